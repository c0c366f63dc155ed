"""Several requests at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["together"]

T = TypeVar("T")


def together(calls: Sequence[Callable[[], T]], threads: int) -> list[T]:
    """What the calls give, made by up to ``threads`` threads, of which the caller's own is one.

    The threads are made and ended here: a pool would not survive a fork. After an error no further call is begun, and
    the error is raised when those under way have ended.
    """
    results: dict[int, T] = {}
    failures: list[BaseException] = []
    numbers = iter(range(len(calls)))  # shared: taking the next one is one step under the interpreter's lock

    def work() -> None:
        for number in numbers:
            if failures:
                return
            try:
                results[number] = calls[number]()
            except BaseException as error:  # raised in the caller's thread below
                failures.append(error)

    others = [threading.Thread(target=work) for _ in range(min(threads, len(calls)) - 1)]
    for thread in others:
        thread.start()
    try:
        work()
    except BaseException as error:  # an interrupt between two calls
        failures.append(error)
    for thread in others:
        thread.join()
    if failures:
        raise failures[0]
    return [results[number] for number in range(len(calls))]
