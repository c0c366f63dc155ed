"""Event loops for threads: authors' coroutines run in the loop of the caller for whom a thread works
(:func:`at_home`), or else in the bridge's own, in one daemon thread of each process.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar
from weakref import WeakSet

from ..errors import ClosedError, InvalidArgumentError, StoreError
from ..stopping import go_on, stoppable

__all__ = ["Home", "OwnLoop", "at_home", "drawn", "here", "own_loop", "wait"]

T = TypeVar("T")

_LOOK = 0.05  # seconds between two looks whether work is still wanted
_END = 5.0  # seconds that the loop's tasks have to end


class Home(NamedTuple):
    """An event loop, running in another thread of this process."""

    loop: asyncio.AbstractEventLoop
    process: int


class _Here(threading.local):
    home: Home | None = None


here = _Here()
"""Its ``home``: the loop of the caller for whom this thread works, and None for nobody's."""


def at_home(loop: asyncio.AbstractEventLoop, work: Callable[..., T], *arguments: Any) -> T:
    """``work()`` in this thread, on behalf of a loop that goes on meanwhile: authors' coroutines run in that one."""
    before, here.home = here.home, Home(loop, os.getpid())
    try:
        return work(*arguments)
    finally:
        here.home = before


class OwnLoop:
    """The bridge's own loop, there as long as an open storage or stream has used it."""

    def __init__(self) -> None:
        self._inherited: list[object] = []
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._users: WeakSet[object] = WeakSet()
        self._home: Home | None = None

    def enter(self, user: object) -> Home:
        """The loop, begun when there is none."""
        with self._lock:
            self._users.add(user)
            if self._home is None or self._home.loop.is_closed():  # it may have ended by itself
                begun: SimpleQueue[tuple[asyncio.AbstractEventLoop, Callable[[], None]]] = SimpleQueue()
                self._thread = threading.Thread(target=self._run, args=(begun,), name="holdfast-bridge", daemon=True)
                self._thread.start()
                loop, self._over = begun.get()
                self._home = Home(loop, os.getpid())
            return self._home

    @staticmethod
    def _run(begun: SimpleQueue[Any]) -> None:
        async def serve() -> None:
            over = asyncio.Event()
            begun.put((asyncio.get_running_loop(), over.set))
            await over.wait()

        asyncio.run(serve())  # what is left at the end is cancelled

    def leave(self, user: object) -> None:
        """A storage is closed, or a stream at its end: end the loop when nobody else uses it."""
        with self._lock:
            self._users.discard(user)
        self.end(unused=True)

    def end(self, unused: bool = False) -> None:
        """End the loop, or only if it is ``unused``; who uses it again begins another."""
        with self._lock:
            if self._home is None or (unused and self._users):
                return
            home, thread, over, self._home = self._home, self._thread, self._over, None
        with suppress(RuntimeError):  # it has ended by itself
            home.loop.call_soon_threadsafe(over)
        if threading.current_thread() is not thread:
            thread.join(_END)

    def forget(self) -> None:
        """In a forked child: the loop is the parent's. It is kept, as its end would close what the parent uses."""
        self._inherited.append(self._home)
        self._begin()


own_loop = OwnLoop()
"""The loop of those that work for no other."""
atexit.register(own_loop.end)
os.register_at_fork(after_in_child=own_loop.forget)


def wait(home: Home, coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine comes to in that loop; it has ended when this ends, whatever ends the wait.

    Raises:
        ClosedError: the loop has ended, or is of another process.
        StoreError: it is called in that loop itself.
    """
    if home.process != os.getpid() or home.loop.is_closed():
        coroutine.close()
        raise ClosedError("this was begun in an event loop that has ended, or in another process: begin it again")
    if asyncio._get_running_loop() is home.loop:
        coroutine.close()
        raise StoreError("a storage's own coroutine, or a loop that waits for it, calls a synchronous verb: await it")
    ended, made = threading.Event(), []

    def begin() -> None:
        made.append(home.loop.create_task(coroutine))
        made[0].add_done_callback(lambda task: ended.set())

    home.loop.call_soon_threadsafe(begin)
    try:
        while not ended.wait(_LOOK) and not home.loop.is_closed():
            go_on()
    except BaseException:
        home.loop.call_soon_threadsafe(lambda: made[0].cancel())
        ended.wait()
        raise
    if not ended.is_set() or made[0].cancelled():
        raise ClosedError("the event loop of a storage ended before its work: begin it again")
    result: T = made[0].result()
    return result


class _Drawn(Iterator[T]):
    """An asynchronous iterable for this thread: one task of a loop runs it, and gives an item when one is wanted."""

    home: Home
    task: asyncio.Task[None]

    def __init__(self, values: AsyncIterable[T]) -> None:
        self._values = values
        self._wanted = asyncio.Event()
        self._over = False
        self._given: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

    async def begin(self) -> None:
        self.task = asyncio.create_task(self._give())

    async def _give(self) -> None:
        items = aiter(self._values)
        try:
            while await self._wanted.wait():
                self._wanted.clear()
                self._given.put((await anext(items), None))
        except BaseException as error:  # for the thread; its end, too
            self._given.put((None, error))
        finally:
            if isinstance(items, AsyncGenerator):
                await items.aclose()

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])

    def __next__(self) -> T:
        if self._over:
            raise StopIteration
        self.home.loop.call_soon_threadsafe(self._wanted.set)
        while True:
            with suppress(Empty):
                item, error = self._given.get(timeout=_LOOK)
                break
            go_on()
            if self.home.loop.is_closed():
                raise ClosedError("the event loop of a stream ended before it: begin it again")
        self._over = error is not None
        if isinstance(error, StopAsyncIteration):
            raise StopIteration
        if error is not None:
            raise error
        return item  # type: ignore[no-any-return]


@contextmanager
def drawn(values: AsyncIterable[T]) -> Iterator[Iterator[T]]:
    """The items of an asynchronous iterable, for a thread: it is run in the loop for which the thread works, else in
    the bridge's own, and asked for an item when the one before is done with. At the end it is closed, if it can be.

    Raises:
        InvalidArgumentError: a loop runs in this very thread.
    """
    if asyncio._get_running_loop() is not None:
        raise InvalidArgumentError(
            "where a loop runs, an asynchronous stream is put by await scope.aio.put_stream(...)"
        )
    items, home = _Drawn(values), here.home
    items.home = home if home is not None and home.process == os.getpid() else own_loop.enter(items)
    try:
        wait(items.home, items.begin())
        try:
            yield items
        finally:
            stoppable(bool, lambda: wait(items.home, items.end()))  # also where this thread is told to stop
    finally:
        own_loop.leave(items)
