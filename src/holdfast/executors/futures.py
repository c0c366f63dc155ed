"""What stands for the result of a task until that is there."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ALL_COMPLETED
from contextlib import contextmanager
from typing import Any, TypeVar

from ..errors import BusyError, InvalidArgumentError

__all__ = ["Future", "Wait", "Waited", "is_lent", "plainly", "wait_for", "waiting_by"]

R = TypeVar("R")

Waited = tuple[set[concurrent.futures.Future[Any]], set[concurrent.futures.Future[Any]]]
"""Those that have ended, and those that have not."""

Wait = Callable[[Collection[concurrent.futures.Future[Any]], float | None, str], Waited]
"""Waits for futures, at most so many seconds, until all or some of them have ended."""


def plainly(futures: Collection[concurrent.futures.Future[Any]], timeout: float | None, until: str) -> Waited:
    """Wait as :func:`concurrent.futures.wait` does."""
    return concurrent.futures.wait(futures, timeout, until)


class _Here(threading.local):
    wait: Wait = staticmethod(plainly)


_here = _Here()


@contextmanager
def waiting_by(wait: Wait) -> Iterator[None]:
    """A block that is a task, which waits for other ones by ``wait``, and so lets others have its place meanwhile. Else
    tasks that wait for tasks of their own would take up all places, and wait for ever."""
    before, _here.wait = _here.wait, wait
    try:
        yield
    finally:
        _here.wait = before


def is_lent() -> bool:
    """Whether this is a task whose place others have while it waits by :func:`wait_for`."""
    return _here.wait is not plainly


def wait_for(
    futures: Collection[concurrent.futures.Future[Any]], timeout: float | None, until: str = ALL_COMPLETED
) -> Waited:
    """Those that have ended, and those that have not, after waiting as is done here."""
    return _here.wait(futures, timeout, until)


class Future(concurrent.futures.Future[R]):
    """The result of a task, there or still to come; a :class:`concurrent.futures.Future`, so that
    :func:`concurrent.futures.wait`, :func:`concurrent.futures.as_completed` and :func:`asyncio.wrap_future` take it.

    Attributes:
        name: what the task is called in messages: its function's name.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self._begun = False
        self._told = False
        self._taking = threading.Lock()
        self._recall: Callable[[], None] = _nothing
        self._needs: dict[str, float] = {}
        self._handle: Any = None

    def result(self, timeout: float | None = None) -> R:
        """What the task gave, waiting for it for at most ``timeout`` seconds; what it raised, if it did.

        Raises:
            BusyError: the time is over; the task goes on.
            TaskLost: the worker that ran the task died.
            EncodeError: the result, or what the task raised, cannot be pickled; the message has its text.
            concurrent.futures.CancelledError: the task was cancelled.
        """
        self._await(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the task raised, None if it gave a result; waits as :meth:`result` does, and raises the same for a time
        that is over and for a task that was cancelled."""
        self._await(timeout)
        return super().exception(0)

    def running(self) -> bool:
        """Whether it is known that the task has begun, and has not ended. Clusters do not say."""
        return self._begun and not self.done()

    def cancel(self) -> bool:
        """Take the task back, and say whether that came in time, before its end.

        A task that has not begun is not run. One that has begun goes on to its end in a thread and on Dask, with nobody
        waiting for it; on Ray it is interrupted; in a process of its own it ends with that process, at once.
        """
        if not super().cancel():
            return False
        with self._taking:
            first, self._told = not self._told, True
        if first:
            self.set_running_or_notify_cancel()  # else concurrent.futures.wait would not see it
            self._recall()
        return True

    def _await(self, timeout: float | None) -> None:
        if not self.done() and wait_for([self], timeout)[1] and not self.done():
            raise BusyError(f"{self.name} has not ended within {timeout:g} s: wait longer, or cancel it")

    # --- for executors ----------------------------------------------------------------------------------------------

    def _begin(self) -> bool:
        """The task is about to run; False when it is not wanted any more."""
        self._begun = True
        return not self.done()

    def _recalled_by(self, recall: Callable[[], None]) -> None:
        """What to do when it is cancelled: now, if that has happened already."""
        self._recall = recall
        if self.done():
            recall()

    def _finish(self, value: R) -> None:
        try:
            self.set_result(value)
        except concurrent.futures.InvalidStateError:
            pass  # cancelled meanwhile

    def _fail(self, error: BaseException) -> None:
        try:
            self.set_exception(error)
        except concurrent.futures.InvalidStateError:
            pass

    def __reduce__(self) -> Any:
        raise InvalidArgumentError(
            f"a future stays in the process that submitted its task: give its result, as in {self.name}.result()"
        )

    def __repr__(self) -> str:
        if self.cancelled():
            state = "cancelled"
        elif not self.done():
            state = "running" if self._begun else "waiting"
        else:
            state = "done" if super().exception(0) is None else "failed"
        return f"<Future {self.name} {state}>"


def _nothing() -> None:
    pass
