"""Threads of a store's own, for what would keep a loop waiting, and what becomes of it when its await is cancelled."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from ..errors import ClosedError
from ..stopping import stoppable
from ..storages.loops import at_home

__all__ = ["Job", "Workers"]

T = TypeVar("T")

_IDLE = 10.0  # seconds after which a thread without work ends


class Job(Generic[T]):
    """Work for a thread, and the future of the loop that waits for it.

    Attributes:
        stopped: the work is wanted no more; it asks for that now and then.
        done: it has ended, or was never begun; set in the loop.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()
        self.stopped = self.done = False
        self.result: Any = None
        self.error: BaseException | None = None
        self._context = copy_context()
        self._work = [work]

    def claim(self) -> Callable[[], T] | None:
        """The work, for the one who asks first: the thread that does it, or the loop that wants it no more."""
        with suppress(IndexError):
            return self._work.pop()
        return None

    def run(self) -> None:
        """Do the work, in a thread."""
        work = self.claim()
        if work is not None:
            try:
                self.result = self._context.run(at_home, self.loop, stoppable, lambda: self.stopped, work)
            except BaseException as error:
                self.error = error

    def tell(self) -> None:
        """Let the loop know that it has ended."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self.loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self.done = True
        if not self.future.done():
            self.future.set_result(None)

    async def outcome(self, must: bool = False) -> T:
        """Wait for the end, and give the result or raise the error.

        Cancelled, it is withdrawn if it was not begun (unless it ``must`` be done), and else told to stop and waited
        for: when this ends, nothing of it goes on.
        """
        try:
            await self.future
        except BaseException as end:
            if must or self.claim() is None:
                self.stopped = True
                while not self.done and isinstance(end, asyncio.CancelledError):
                    self.future = self.loop.create_future()
                    with suppress(asyncio.CancelledError):  # told again: it is ending already
                        await self.future
            raise
        if self.error is None:
            result: T = self.result
            return result
        try:
            raise self.error
        finally:
            del self.error  # its traceback holds this frame


class Workers:
    """At most so many threads, begun when there is work for them and ended when there is none. After a fork the child
    begins its own.

    Attributes:
        pending: jobs that wait or are under way.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._jobs: SimpleQueue[Job[Any] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._process = os.getpid()
        self.pending = 0

    def begin(self, work: Callable[[], T]) -> Job[T]:
        """Have a thread do it, when there is one to spare.

        Raises:
            ClosedError: the store was closed.
        """
        job = Job(work)
        if self._process != os.getpid():
            self._begin()
        with self._lock:
            if self._closed:
                raise ClosedError("the store is closed: open it again")
            self.pending += 1
            begin = self._threads < min(self.pending, self._most)
            self._threads += begin
        self._jobs.put(job)
        if begin:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        return job

    def _run(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_IDLE)
            except Empty:
                with self._lock:
                    if self.pending < self._threads:
                        self._threads -= 1
                        return
                continue
            if job is None:
                return
            job.run()
            with self._lock:
                self.pending -= 1
            job.tell()
            del job

    def close(self) -> None:
        """Take no more work; the threads end after what they have."""
        self._closed = True
        if self._process == os.getpid():
            with self._lock:
                for _ in range(self._threads):
                    self._jobs.put(None)
