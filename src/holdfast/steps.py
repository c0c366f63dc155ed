"""Verbs as steps: what moves bytes is yielded, so that each colour can move them in its own way.

A verb with a transfer in it is written once, as a generator that yields its transfers. Synchronous callers :func:`run`
it to its end. Asynchronous ones :func:`advance` it in a thread, up to a transfer that they would rather await.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any, NamedTuple, TypeVar

from .stopping import go_on

__all__ = ["Steps", "Transfer", "advance", "run"]

T = TypeVar("T")


class Transfer(NamedTuple):
    """One step that moves bytes: a verb of a storage, or of a writer to one, and its arguments. Calling it makes it."""

    target: Any
    verb: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]

    def __call__(self) -> Any:
        return getattr(self.target, self.verb)(*self.arguments, **self.options)


Steps = Generator[Transfer, Any, T]
"""A verb under way: yields its transfers, is sent what each came to, and gives what the verb gives."""


def run(steps: Steps[T]) -> T:
    """Make all steps of a verb here, one after the other."""
    try:
        advance(steps, partial(next, steps))
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError


def advance(
    steps: Steps[Any], resume: Callable[[], Transfer], apart: Callable[[Transfer], bool] | None = None
) -> Transfer:
    """Resume a verb, and make its transfers here, up to one that is to be made ``apart``, which is given.

    Raises:
        StopIteration: the verb is at its end, with what it gives.
    """
    while True:
        step = resume()
        if apart is not None and apart(step):
            return step
        try:
            go_on()
            made = step()
        except BaseException as error:
            resume = partial(steps.throw, error)
        else:
            resume = partial(steps.send, made)
