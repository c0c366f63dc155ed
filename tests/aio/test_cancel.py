"""A cancelled verb has happened or not, wholly, and is over: no file of it stays, and nothing of it comes later."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from statistics import median
from typing import Any

import pytest

import holdfast
from holdfast.aio.driver import driver_of
from tests.aio.running import awaited, stray_files, trickle
from tests.aio.test_loop import HOLDER
from tests.kernel.tools import said, start_python, tell

pytestmark = pytest.mark.alone

KB, MB = 1 << 10, 1 << 20
LARGE = os.urandom(MB)


def versions(scope: holdfast.Scope) -> dict[str, int]:
    """What is there: every record's version."""
    return {record.key: record.version for record in scope.list()}


async def cut(make: Callable[[], Coroutine[Any, Any, Any]], after: float) -> bool:
    """Begin a task and cancel it after some seconds; whether the cancellation came through."""
    task = asyncio.ensure_future(make())
    await asyncio.sleep(after)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return True
    return False


class Trials:
    """Cancels verbs at random moments, and looks each time whether all is over and nothing stays."""

    def __init__(self, store: holdfast.Store, scope: holdfast.Scope, seed: int) -> None:
        self.store = store
        self.scope = scope
        self.chance = random.Random(seed)
        self.cancelled = self.happened = 0

    async def run(self, make: Callable[[str], Coroutine[Any, Any, Any]], count: int, most: float) -> None:
        for number in range(count):
            key = f"k{number % 3}"
            before = versions(self.scope)
            cancelled = await cut(lambda key=key: make(key), self.chance.uniform(0, most))  # type: ignore[misc]
            after = versions(self.scope)
            assert stray_files(self.store) == []
            changed = after != before
            assert cancelled or changed, "it ended, and nothing was written"
            self.cancelled += cancelled
            self.happened += changed
            self._seen = after

    async def end(self) -> None:
        """Nothing comes afterwards, and all that is there is whole."""
        await asyncio.sleep(0.3)
        assert versions(self.scope) == self._seen
        self.store.sync()
        assert self.store.verify().fine
        self.store.gc()
        assert self.store.gc(dry_run=True)[:3] == (0, 0, 0)
        assert stray_files(self.store) == []


async def _seconds(make: Callable[[str], Coroutine[Any, Any, Any]]) -> float:
    """How long a verb takes, once it is warm; one that happened to take long would let all that follow end in time."""
    await make("warm")
    took = []
    for _ in range(5):
        began = time.perf_counter()
        await make("warm")
        took.append(time.perf_counter() - began)
    return median(took)


SIZES = {"1 KB": (KB, 150), "1 MB": (MB, 100), "50 MB": (50 * MB, 15)}


@pytest.mark.parametrize("size", SIZES)
@awaited
async def test_puts_cancelled_at_any_moment(store: holdfast.Store, scope: holdfast.Scope, size: str) -> None:
    length, count = SIZES[size]
    trials = Trials(store, scope, 1)
    data = os.urandom(length - 8)

    async def put(key: str) -> None:
        await scope.aio.put(key, data + os.urandom(8))

    await trials.run(put, count, 1.3 * await _seconds(put))
    await trials.end()
    assert trials.happened > count // 20
    if size != "1 KB":  # which is put in the loop, at one go
        assert trials.cancelled > count // 10


@awaited
async def test_small_puts_in_a_thread_cancelled_at_any_moment(
    store: holdfast.Store, scope: holdfast.Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(scope._kernel.catalog), "prompt", False)
    trials = Trials(store, scope, 4)

    async def put(key: str) -> None:
        await scope.aio.put(key, os.urandom(KB))

    await trials.run(put, 200, 1.3 * await _seconds(put))
    await trials.end()
    assert trials.happened > 10
    assert trials.cancelled > 10


async def _chunks(scope: holdfast.Scope, key: str) -> None:
    await scope.aio.put_chunks(key, trickle([LARGE[:300_000], os.urandom(16), LARGE], 0.0005))


async def _block(scope: holdfast.Scope, key: str) -> None:
    async with scope.aio.transaction() as inside:
        await inside.put(key, LARGE + os.urandom(8))
        await asyncio.gather(inside.put("other", os.urandom(8) + LARGE), inside.add("n"))


async def _file(scope: holdfast.Scope, key: str) -> None:
    async with scope.aio.open(key, "wb") as file:
        for _ in range(5):
            await file.write(LARGE[:400_000])
        await file.write(os.urandom(8))


async def _update(scope: holdfast.Scope, key: str) -> None:
    await scope.aio.update(key, lambda old: os.urandom(8) + LARGE, default=b"")


async def _many(scope: holdfast.Scope, key: str) -> None:
    await scope.aio.put_many({key: LARGE + os.urandom(8), "other": os.urandom(8) + LARGE, "small": time.time()})


async def _copied(scope: holdfast.Scope, key: str) -> None:
    await scope.aio.put_file(__file__, key)
    await scope.aio.put("x" + key, LARGE + os.urandom(8))
    await scope.aio.copy("x" + key, key, replace=True)


async def _artifact(scope: holdfast.Scope, key: str) -> None:
    async with scope.aio.artifact("a").transaction() as artifact:
        await artifact.write(key, LARGE + os.urandom(8))
        await artifact.metadata.merge({key: time.time()})
    await scope.aio.put(key, time.time())


VERBS = [_chunks, _block, _file, _update, _many, _copied, _artifact]


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__.strip("_"))
@awaited
async def test_other_verbs_cancelled_at_any_moment(store: holdfast.Store, scope: holdfast.Scope, verb: Any) -> None:
    trials = Trials(store, scope, 2)

    async def make(key: str) -> None:
        await verb(scope, key)

    await trials.run(make, 40, 1.2 * await _seconds(make))
    await trials.end()
    assert trials.cancelled > 3
    for key in scope.keys("k"):
        if verb is _block:
            assert scope.exists("other")
        if verb is _file:
            assert scope.record(key).size == 2_000_008, "a part of a file became visible"
        if verb is _chunks:
            assert scope.record(key).size == 300_016 + MB


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__.strip("_"))
@awaited
async def test_at_length(store: holdfast.Store, scope: holdfast.Scope, verb: Any) -> None:
    async def make(key: str) -> None:
        await verb(scope, key)

    for seed in range(20):
        trials = Trials(store, scope, 100 + seed)
        await trials.run(make, 50, (0.5 + seed % 4 / 2) * await _seconds(make))
        await trials.end()


def test_those_that_wait_for_another_process_end_at_once(store: holdfast.Store, scope: holdfast.Scope) -> None:
    async def main() -> None:
        verbs: list[Callable[[], Coroutine[Any, Any, Any]]] = [
            lambda: scope.aio.put("small", 1), lambda: scope.aio.put("large", LARGE), lambda: scope.aio.add("n"),
            lambda: scope.aio.update("u", lambda old: 1, default=0), lambda: scope.aio.delete("there"),
            lambda: scope.aio.put_many({"a": 1, "b": LARGE}), lambda: _file(scope, "file"),
            lambda: _chunks(scope, "chunks"), lambda: scope.aio.rename("there", "elsewhere"),
        ]  # fmt: skip
        tell(holder, "4")
        said(holder, "held")
        began = time.perf_counter()
        cut_short = await asyncio.gather(*(cut(verb, 0.2) for verb in verbs))
        assert all(cut_short)
        assert time.perf_counter() - began < 3
        assert stray_files(store) == []
        said(holder, "free")
        await asyncio.sleep(0.1)
        assert versions(scope) == {"there": 1}

    scope.put("there", 1)
    with start_python(HOLDER, store.config.store) as holder:
        said(holder, "ready")
        asyncio.run(main())
        assert holder.stdin is not None
        holder.stdin.close()


@awaited
async def test_time_outs_and_task_groups(store: holdfast.Store, scope: holdfast.Scope) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await scope.aio.put_chunks("slow", trickle([LARGE] * 100, 0.01))

    async def fails() -> None:
        await asyncio.sleep(0.01)
        raise ZeroDivisionError

    async def group() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(scope.aio.put(f"k{number}", LARGE * 10))
            group.create_task(fails())

    with pytest.raises(ExceptionGroup):
        await group()
    seen = versions(scope)
    assert "slow" not in seen
    assert len(seen) < 20
    assert stray_files(store) == []
    await asyncio.sleep(0.2)
    assert versions(scope) == seen
    assert store.verify().fine


def test_the_end_of_a_loop(store: holdfast.Store, scope: holdfast.Scope) -> None:
    async def main() -> None:
        tasks: list[Any] = [asyncio.ensure_future(scope.aio.put(f"k{number}", LARGE * 10)) for number in range(20)]
        tasks += [asyncio.ensure_future(_file(scope, f"f{number}")) for number in range(5)]
        await asyncio.sleep(0.01)
        assert not all(task.done() for task in tasks)

    asyncio.run(main())
    seen = versions(scope)
    assert stray_files(store) == []
    time.sleep(0.2)
    assert versions(scope) == seen
    assert store.verify().fine


@awaited
async def test_what_was_not_begun_is_withdrawn(scope: holdfast.Scope) -> None:
    """With all threads taken, a cancelled verb does not wait for one."""
    leave = threading.Event()
    begun = threading.Semaphore(0)

    def wait(old: int) -> int:
        begun.release()
        leave.wait(10)
        return old + 1

    busy = [asyncio.ensure_future(scope.aio.update(f"u{number}", wait, default=0)) for number in range(8)]
    for _ in range(8):
        await asyncio.to_thread(begun.acquire)
    try:
        began = time.perf_counter()
        assert await cut(lambda: scope.aio.put("k", LARGE), 0.05)
        assert time.perf_counter() - began < 5
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(scope.aio.get_bytes("u0"), 0.05)
        assert (await scope.aio.put("small", 1)).version  # needs no thread
        assert (await scope.aio.delete("small")) is not None
    finally:
        leave.set()
    await asyncio.gather(*busy)
    await asyncio.sleep(0.05)
    assert not scope.exists("k")


@awaited
async def test_a_function_of_the_caller_s_is_waited_for(scope: holdfast.Scope) -> None:
    """It cannot be stopped in the middle; its result is not written."""
    ended = threading.Event()

    def slow(old: int) -> Any:
        time.sleep(0.2)
        ended.set()
        return LARGE

    assert await cut(lambda: scope.aio.update("k", slow, default=0), 0.05)
    assert ended.is_set()
    assert not scope.exists("k")


@awaited
async def test_cancelled_again_and_again(store: holdfast.Store, scope: holdfast.Scope) -> None:
    task = asyncio.ensure_future(scope.aio.put("k", LARGE * 50))
    await asyncio.sleep(0.005)
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    assert task.cancelled() != scope.exists("k") or scope.exists("k")
    assert stray_files(store) == []


@awaited
async def test_a_stopped_transfer_is_stopped_soon(scope: holdfast.Scope, tmp_path: Path) -> None:
    """Of a file of 2 GB only a part has been moved when it is told to stop."""
    source = tmp_path / "source"
    with open(source, "wb") as file:
        file.truncate(2 << 30)
    moved = 0

    def count(size: int) -> None:
        nonlocal moved
        moved += size

    assert await cut(lambda: scope.aio.put_file(source, "k", progress=count), 0.1)
    assert 0 < moved < 2 << 30
    await scope.aio.put_chunks("large", (LARGE for _ in range(300)))
    target = tmp_path / "target"
    moved = 0
    assert await cut(lambda: scope.aio.get_file("large", target, progress=count), 0.02)
    assert moved < 300 * MB
    assert list(tmp_path.glob("*target*")) == []


@awaited
async def test_a_cancelled_look_is_over(store: holdfast.Store, scope: holdfast.Scope) -> None:
    await scope.aio.put("k", LARGE * 50)
    for _ in range(20):
        await cut(lambda: scope.aio.get("k", verify=True), random.random() * 0.01)
        await cut(lambda: store.aio.verify(), random.random() * 0.01)
        await cut(lambda: store.aio.gc(), random.random() * 0.01)
        await asyncio.sleep(0.01)  # until those that were withdrawn have left the queue
        assert driver_of(scope._kernel)._pool.pending == 0
    assert await scope.aio.get("k") == LARGE * 50
    assert (await store.aio.gc()).dry_run is False  # the lease was given back


@awaited
async def test_a_cancelled_write_discards_its_file(store: holdfast.Store, scope: holdfast.Scope) -> None:
    file = await scope.aio.open("k", "wb")
    await file.write(LARGE[:100])
    cancelled = False
    while not cancelled:  # a write into memory is not interrupted
        cancelled = await cut(lambda: file.write(LARGE * 20), 0.001)
    assert file.closed
    with pytest.raises(ValueError, match="closed file"):
        await file.write(b"more")
    await file.close()
    assert file.record is None
    assert not scope.exists("k")
    assert stray_files(store) == []


@awaited
async def test_a_file_whose_opening_is_cancelled_is_closed(
    scope: holdfast.Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    real = type(scope).open

    def slow(self: Any, *arguments: Any, **options: Any) -> Any:
        opened.append(real(self, *arguments, **options))
        time.sleep(0.1)
        return opened[-1]

    scope.put("k", LARGE)
    monkeypatch.setattr(type(scope), "open", slow)
    for mode in ("rb", "wb"):
        assert await cut(scope.aio.open("k", mode)._open, 0.03)
        assert opened[-1].closed
    assert scope.get("k") == LARGE


@awaited
async def test_a_block_left_by_cancellation_is_given_up(store: holdfast.Store, scope: holdfast.Scope) -> None:
    inside_it = asyncio.Event()

    async def block() -> None:
        async with scope.aio.transaction() as inside:
            await inside.put("large", LARGE)
            await inside.put("small", 1)
            inside_it.set()
            await asyncio.sleep(10)

    task = asyncio.ensure_future(block())
    await inside_it.wait()
    assert len(stray_files(store)) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stray_files(store) == []
    assert versions(scope) == {}


@awaited
async def test_cancelled_leases(store: holdfast.Store) -> None:
    chance = random.Random(3)
    for _ in range(60):
        lease = store.aio.lease("x", seconds=60)
        if not await cut(lease.acquire, chance.uniform(0, 0.004)):
            await lease.release()
        assert not lease.held
        async with store.aio.lease("x", wait=0) as other:  # whatever happened, nobody has it now
            assert other.held
            waiting = store.aio.lease("x")
            assert await cut(waiting.acquire, chance.uniform(0, 0.01))
            assert not waiting.held
