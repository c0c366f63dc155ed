"""Verbs as steps: what moves bytes is yielded, so that each colour can move them in its own way.

A verb with a transfer in it is written once, as a generator that yields its transfers. Synchronous callers :func:`run`
it to its end. Asynchronous ones :func:`advance` it in a thread, up to a transfer that they would rather await.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, NamedTuple, TypeVar

__all__ = ["Steps", "Stopped", "Transfer", "advance", "go_on", "run", "stoppable"]

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


class Stopped(BaseException):
    """Whoever waits for this work wants it no more; nothing of it is committed."""


class _Here(threading.local):
    told: Callable[[], bool] | None = None


_here = _Here()


def stoppable(told: Callable[[], bool], work: Callable[[], T]) -> T:
    """``work()``, which ends in :class:`Stopped` soon after ``told()`` has become true, or as if nobody had asked."""
    before, _here.told = _here.told, told
    try:
        return work()
    finally:
        _here.told = before


def go_on() -> None:
    """Asked between pieces of long work, and last before a commit.

    Raises:
        Stopped: this thread is told to stop.
    """
    if _here.told is not None and _here.told():
        raise Stopped


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
