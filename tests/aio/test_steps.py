"""Transfers: made where the verb runs, or awaited in the caller's loop by a storage that has a twin for that; and how
work in a thread is told to stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

import pytest

import holdfast
from holdfast.aio.workers import Workers
from holdfast.errors import ClosedError
from holdfast.payload import Buffer
from holdfast.steps import Steps, Transfer, advance, run
from holdfast.stopping import Stopped, go_on, stoppable, told
from holdfast.storages.base import OCTETS, GetDigest, Writer
from holdfast.storages.memory import MemoryStorage
from tests.aio.running import awaited, trickle

LARGE = bytes(range(256)) * 400


class Twin:
    """The asynchronous side of a storage or of a writer: its verbs take a moment of the loop that awaits them."""

    def __init__(self, target: Any, log: list[tuple[str, str]], pause: float = 0.02) -> None:
        self._target = target
        self._log = log
        self._pause = pause
        self._under_way = 0
        self.most = 0

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._target, name)

        async def awaited(*arguments: Any, **options: Any) -> Any:
            self._log.append((name, threading.current_thread().name))
            self._under_way += 1
            self.most = max(self.most, self._under_way)
            await asyncio.sleep(self._pause)
            self._under_way -= 1
            return verb(*arguments, **options)

        return awaited


class AwaitedWriter(Writer):
    """A writer with a twin."""

    def __init__(self, writer: Writer, log: list[tuple[str, str]]) -> None:
        self._writer = writer
        self.awaited = Twin(writer, log)

    def write(self, data: Buffer) -> None:
        raise AssertionError("it is to be awaited")

    def commit(self, get_digest: GetDigest, *, sync: bool = False) -> Any:
        raise AssertionError("it is to be awaited")

    def abort(self) -> None:
        self._writer.abort()


class AwaitedStorage(MemoryStorage):
    """A storage whose transfers are coroutines in the caller's loop."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[tuple[str, str]] = []
        self.awaited = Twin(self, self.log)

    def writer(
        self,
        tags: Mapping[str, str],
        *,
        size: int | None = None,
        content_type: str = OCTETS,
        encoding: str | None = None,
    ) -> Writer:
        return AwaitedWriter(super().writer(tags, size=size), self.log)


@pytest.fixture
def storage(store: holdfast.Store) -> AwaitedStorage:
    kernel = store._kernel
    kernel.storage = made = AwaitedStorage()
    kernel.storage_id = kernel.catalog.storage_id("test.awaited@v1", "memory:")
    kernel._storages[kernel.storage_id] = made
    return made


@awaited
async def test_transfers_are_awaited_in_the_caller_s_loop(scope: holdfast.Scope, storage: AwaitedStorage) -> None:
    here = threading.current_thread().name
    await scope.aio.put("k", LARGE)
    assert await scope.aio.get("k") == LARGE
    assert storage.log == [("write", here), ("read_sized", here)]
    storage.log.clear()
    await scope.aio.put_chunks("c", trickle([LARGE, LARGE * 5]))
    assert [name for name, thread in storage.log if thread == here] == ["writer", "write", "write", "commit"]
    assert await scope.aio.get("c") == LARGE * 6


@awaited
async def test_a_transfer_takes_no_thread(scope: holdfast.Scope, storage: AwaitedStorage) -> None:
    """Two hundred are under way at once, far more than there are threads."""
    storage.awaited = Twin(storage, storage.log, 1)
    await asyncio.gather(*(scope.aio.put(f"k{number}", LARGE) for number in range(200)))
    assert storage.awaited.most > 50
    assert len(list(scope.keys())) == 200


@awaited
async def test_an_awaited_transfer_that_fails_or_is_cancelled(scope: holdfast.Scope, storage: AwaitedStorage) -> None:
    async def fail(*arguments: Any, **options: Any) -> Any:
        raise OSError("the line is dead")

    vars(storage.awaited)["write"] = fail
    with pytest.raises(OSError, match="the line is dead"):
        await scope.aio.put("k", LARGE)
    del vars(storage.awaited)["write"]
    for number, pause in enumerate((0, 0.001, 0.005, 0.01, 0.019, 0.02, 0.021, 0.022, 0.025)):
        before = len(storage._pieces)
        task = asyncio.ensure_future(scope.aio.put("k", LARGE + bytes([number])))
        await asyncio.sleep(pause)
        task.cancel()
        await asyncio.wait([task])
        if task.cancelled():
            there = scope.exists("k")
            await asyncio.sleep(0.03)
            assert scope.exists("k") == there
        assert len(storage._pieces) - before == scope.exists("k")
        scope.delete("k", missing_ok=True)


# --- steps ------------------------------------------------------------------------------------------------------------


class Target:
    def double(self, number: int) -> int:
        if number < 0:
            raise ZeroDivisionError
        return 2 * number


def verb(*numbers: int) -> Steps[list[int]]:
    made = []
    for number in numbers:
        try:
            made.append((yield Transfer(Target(), "double", (number,), {})))
        except ZeroDivisionError:
            made.append(0)
    return made


def test_steps_are_run() -> None:
    assert run(verb(1, -1, 3)) == [2, 0, 6]
    assert run(verb()) == []


def test_steps_are_advanced_up_to_one_that_is_made_elsewhere() -> None:
    steps = verb(1, 2, 3)
    step = advance(steps, lambda: next(steps), lambda step: step.arguments == (2,))
    assert step.arguments == (2,)
    with pytest.raises(StopIteration) as end:
        advance(steps, lambda: steps.send("two"))
    assert end.value.value == [2, "two", 6]


def test_what_is_told_to_stop_stops() -> None:
    asked = iter([False, False, True])
    assert not told()
    with pytest.raises(Stopped):
        stoppable(lambda: next(asked), lambda: run(verb(1, 2, 3, 4)))
    assert not told()
    assert run(verb(1)) == [2]
    stoppable(lambda: False, go_on)
    with pytest.raises(Stopped):
        stoppable(lambda: False, lambda: stoppable(lambda: True, go_on))


def test_a_put_that_is_told_to_stop_leaves_nothing(scope: holdfast.Scope, store: holdfast.Store) -> None:
    for when in range(1, 6):
        asked = iter([False] * when + [True] * 100)
        try:
            stoppable(lambda: next(asked), lambda: scope.put_chunks(f"k{when}", [LARGE] * 3))  # noqa: B023
        except Stopped:
            assert not scope.exists(f"k{when}")
    assert store.verify().fine


# --- threads ----------------------------------------------------------------------------------------------------------


@awaited
async def test_as_many_threads_as_there_is_work_for_up_to_a_limit() -> None:
    workers = Workers("some-work", 3)
    gate = threading.Barrier(3)
    jobs = [workers.begin(gate.wait) for _ in range(6)]
    await asyncio.gather(*(job.outcome() for job in jobs))
    threads = [thread for thread in threading.enumerate() if thread.name == "some-work"]
    assert len(threads) == 3
    one = workers.begin(lambda: 1)
    assert await one.outcome() == 1
    workers.close()
    with pytest.raises(ClosedError):
        workers.begin(lambda: 1)
    for thread in threads:
        await asyncio.to_thread(thread.join, 5)
        assert not thread.is_alive()


@awaited
async def test_errors_of_any_kind_reach_the_caller() -> None:
    workers = Workers("some-work", 1)

    def fail(error: BaseException) -> None:
        raise error

    for error in (ValueError("v"), asyncio.CancelledError(), SystemExit(3)):
        with pytest.raises(type(error)):
            await workers.begin(lambda: fail(error)).outcome()  # noqa: B023
    with pytest.raises(RuntimeError, match="StopIteration"):
        await workers.begin(lambda: fail(StopIteration())).outcome()
    workers.close()
