"""Where a verb runs: in the loop, when that is a matter of microseconds and nobody has to be waited for, else in a
thread; and how the loop stays free when thousands of such verbs come at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import monotonic, perf_counter
from typing import Any, Literal, TypeVar

from ..contents import at_once
from ..errors import BusyError
from ..kernel import Kernel
from ..registry import VALUE
from ..stopping import told
from .stream import AsyncStream
from .ways import LATER, Later, Ways
from .workers import Workers

__all__ = ["Driver", "driver_of", "is_brief", "is_plain"]

T = TypeVar("T")

_THREADS = 8
_SHARE = 0.002  # seconds that verbs may take of one turn of the loop; then they wait for the next
_UPKEEP = 200  # writes made in the loop, after which one is made in a thread, where the catalog tidies up
_BRIEF = 1 << 14  # bytes of a value that is encoded in the loop
_PARTS = 500  # and how many objects it may have
_SCALARS, _BYTES, _NESTING = {type(None), bool, float, complex}, {bytes, bytearray}, {list, tuple, set, frozenset, dict}
_PLAIN = {None, "holdfast.bytes@v1", "holdfast.text@v1", "holdfast.json@v1", VALUE}


class _Share(threading.local):
    """What the verbs of a thread's loop have taken of its present turn."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._begin()

    def _begin(self) -> None:
        self.calls, self.taken, self.counting = 0, 0.0, False
        self.waiting: deque[asyncio.Future[None]] = deque()

    def turn(self) -> asyncio.Future[None] | None:
        """What to await first, when this turn's share is used up."""
        loop = asyncio.get_running_loop()
        if loop is not self.loop:
            self.loop = loop
            self._begin()
        if not self.counting:
            self.counting = True
            loop.call_soon(self._next)
        if self.taken < _SHARE and not self.waiting:
            return None
        future = loop.create_future()
        self.waiting.append(future)
        return future

    def add(self, began: float) -> None:
        """Note that a verb has taken its time since then."""
        self.calls += 1
        self.taken += perf_counter() - began

    def _next(self) -> None:
        """The loop's next turn: let in as many as will probably fit."""
        room = max(1, int(self.calls * _SHARE / self.taken)) if self.taken else 1
        self.calls, self.taken, self.counting = 0, 0.0, False
        while self.waiting and room:
            future = self.waiting.popleft()
            if not future.done():
                future.set_result(None)
                room -= 1
        if self.waiting:
            self.counting = True
            asyncio.get_running_loop().call_soon(self._next)


_share = _Share()


def _true() -> bool:
    return True


class Driver(Ways):
    """The ways of a store."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._pool = Workers("holdfast-aio", _THREADS)
        self._lane = Workers("holdfast-aio-brief", 1)  # brief writes, so that they never wait behind long work
        self._free = Workers("holdfast-aio-stream", 1 << 16)
        self._hasty = 0

    async def here(self, verb: Callable[[], T]) -> T | Literal[Later.LATER]:
        turn = _share.turn()
        if turn is not None:
            await turn
        catalog, began = self.kernel.catalog, perf_counter()
        try:
            return catalog.impatient(_true, verb) if catalog.prompt else LATER
        except BusyError:
            return LATER
        finally:
            _share.add(began)

    async def brief_if(self, fits: Callable[[], bool], verb: Callable[[], T]) -> T | Literal[Later.LATER]:
        turn = _share.turn()
        if turn is not None:
            await turn
        catalog, began = self.kernel.catalog, perf_counter()
        try:
            if self.kernel.power or not fits():
                return LATER
            if catalog.prompt and not self._lane.pending and self._hasty < _UPKEEP:
                self._hasty += 1
                with suppress(BusyError):
                    return catalog.impatient(_true, verb)
            self._hasty = 0
            late = monotonic() + self.kernel.config.timeout
            job = self._lane.begin(partial(self._patiently, lambda: monotonic() > late, verb))
        finally:
            _share.add(began)
        return await job.outcome()

    async def away(self, verb: Callable[[], T], must: bool = False) -> T:
        turn = None if must else _share.turn()
        if turn is not None:
            await turn
        began = perf_counter()
        job = self._pool.begin(partial(self._patiently, bool, verb))
        _share.add(began)
        return await job.outcome(must)

    async def alone(self, verb: Callable[[], T]) -> T:
        return await self._free.begin(verb).outcome()

    def _patiently(self, late: Callable[[], bool], verb: Callable[[], T]) -> T:
        token = at_once.set(partial(AsyncStream, self))
        try:
            return self.kernel.catalog.impatient(lambda: told() or late(), verb)
        finally:
            at_once.reset(token)  # else the job would hold the store for a moment longer

    def close(self) -> None:
        """End the threads."""
        for workers in (self._pool, self._lane, self._free):
            workers.close()


def driver_of(kernel: Kernel) -> Driver:
    """The one driver of an open store."""
    found: Driver | None = kernel.companions.get(Driver)
    return found or kernel.companions.setdefault(Driver, Driver(kernel))


def is_brief(kernel: Kernel, value: Any) -> bool:
    """Whether a value surely fits into the catalog and is encoded in microseconds; looks at few of its parts."""
    kind = type(value)
    if kind is int:
        return bool(-(1 << 63) <= value < 1 << 63)
    serializer = kernel.registry.by_type.get(kind)  # none yet: importing it may take long
    if serializer is None or serializer.name not in _PLAIN:
        return False
    room, parts, groups = min(_BRIEF, kernel.inline), _PARTS, [(value,)]
    while groups:
        group = groups.pop()
        parts -= len(group)
        room -= 10 * len(group)  # at most, of what stands beside the bytes
        if parts < 0:
            return False
        kinds = set(map(type, group))
        for kind in kinds - _SCALARS:
            some: Any = group if len(kinds) == 1 else [item for item in group if type(item) is kind]
            if kind is str:
                room -= sum(map(len, some)) * (1 if all(map(str.isascii, some)) else 4)
            elif kind is int:
                room -= max(map(int.bit_length, some)) // 64 * _BRIEF
            elif kind in _BYTES:
                room -= sum(map(len, some))
            elif kind in _NESTING:
                groups += some if kind is not dict else [*some, *(pairs.values() for pairs in some)]
            else:
                return False
        if room < 0:
            return False
    return True


def is_plain(kernel: Kernel, row: tuple[Any, ...]) -> bool:
    """Whether the value of a value row lies in the catalog and is surely decoded in microseconds."""
    data = row[9]
    if data.__class__ is int:
        return True
    decoder = kernel.decoders.get(row[6])  # none yet: importing it may take long
    if data is None or decoder is None or len(data) > 2 * _BRIEF or row[7] is not None:
        return False
    name = decoder.codec.serializer
    return name in _PLAIN and (name != VALUE or b"@v" not in data)  # as in the name of another serializer
