"""Streams of values of the asynchronous colour."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast.aio.stream import AsyncStream
from holdfast.errors import ClosedError, DecodeError, EncodeError, InvalidArgumentError
from holdfast.serializers.base import StreamSerializer
from tests.aio.running import awaited, everything, stray_files, trickle
from tests.serializers.equality import identical
from tests.storages.authors import FileStorage

FRAMES = [np.full((50, 200), number) for number in range(12)]


class Told(StreamSerializer):
    """Notes in which threads it works; its third item cannot be read."""

    name = "tests.told@v1"
    threads: set[str] = set()  # noqa: RUF012

    def serialize_stream(self, values: Iterator[Any]) -> Iterator[bytes]:
        for value in values:
            self.threads.add(threading.current_thread().name)
            yield bytes([value])

    def deserialize_stream(self, file: Any) -> Iterator[Any]:
        while byte := file.read(1):
            self.threads.add(threading.current_thread().name)
            if byte == b"\xff":
                raise DecodeError("not this one")
            yield byte[0]


@awaited
async def test_both_kinds_of_iterables_are_put_and_all_ways_to_get_give_a_stream(scope: holdfast.Scope) -> None:
    aio = scope.aio
    record = await aio.put_stream("sync", FRAMES, tags={"a": "b"})
    await aio.put_stream("async", trickle(FRAMES), compression="zstd")
    await aio.put_stream("empty", trickle([]))
    assert record == scope.record("sync")
    for stream in (
        await aio.get("sync"),
        await aio.get("async"),
        await aio.get("sync", verify=True),
        await aio.get("sync", version=record.version),
        (await aio.entry("sync")).value,
        (await aio.get_many(["async"]))["async"],
    ):
        assert type(stream) is AsyncStream
        assert identical(await everything(stream), FRAMES)
        assert await everything(stream) == []
    assert await everything(await aio.get("empty")) == []
    assert identical(list(scope.get("async")), FRAMES)
    await aio.put_stream("again", await aio.get("async"))
    assert identical(list(scope.get("again")), FRAMES)


@awaited
async def test_a_source_runs_in_this_loop_in_one_task(scope: holdfast.Scope) -> None:
    seen: set[Any] = set()
    ready: asyncio.Queue[Any] = asyncio.Queue()  # of this loop

    async def source() -> AsyncIterator[Any]:
        async with asyncio.timeout(20):
            while (frame := await ready.get()) is not None:
                seen.add((threading.current_thread(), asyncio.current_task()))
                yield frame

    async def feed() -> None:
        for frame in [*FRAMES, None]:
            await asyncio.sleep(0.001)
            ready.put_nowait(frame)

    await asyncio.gather(scope.aio.put_stream("k", source()), feed())
    assert identical(list(scope.get("k")), FRAMES)
    ((thread, _),) = seen
    assert thread is threading.current_thread()


def test_serializers_work_in_threads(tmp_path: Path) -> None:
    async def main() -> None:
        async with holdfast.open(tmp_path / "data", registry=holdfast.Registry([Told])).aio as store:
            scope = store.namespace("a")
            await scope.put_stream("k", trickle(range(100)), serializer=Told.name)
            assert await everything(await scope.get("k")) == list(range(100))

    asyncio.run(main())
    assert {name.rpartition("-")[0] for name in Told.threads} <= {"holdfast", "holdfast-aio"}
    assert "MainThread" not in Told.threads


def test_an_error_comes_after_the_items_before_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with holdfast.open(tmp_path / "data", registry=holdfast.Registry([Told])).aio as store:
            scope = store.namespace("a")
            await scope.put_stream("k", trickle([1, 2, 255, 3]), serializer=Told.name)
            stream = await scope.get("k")
            assert [await anext(stream), await anext(stream)] == [1, 2]
            with pytest.raises(DecodeError, match="after 2 items: not this one"):
                await anext(stream)
            with pytest.raises(ClosedError):
                await anext(stream)

    asyncio.run(main())


@awaited
async def test_a_consumer_may_stop(scope: holdfast.Scope) -> None:
    await scope.aio.put_stream("k", FRAMES)
    async with await scope.aio.get("k") as stream:
        async for frame in stream:
            assert identical(frame, FRAMES[0])
            break
    with pytest.raises(ClosedError):
        await anext(stream)
    async with aclosing(await scope.aio.get("k")) as stream:
        await anext(stream)
        stream._ahead.extend(stream._sync)
    with pytest.raises(ClosedError):  # also where all was read ahead: it has not come to its end
        await anext(stream)
    assert "AsyncStream of <Stream" in repr(stream)


@awaited
async def test_several_tasks_may_share_a_stream(scope: holdfast.Scope) -> None:
    await scope.aio.put_stream("k", range(5000))
    stream = await scope.aio.get("k")
    parts = await asyncio.gather(*(everything(stream) for _ in range(5)))
    assert sorted(item for part in parts for item in part) == list(range(5000))


@awaited
async def test_what_fails_leaves_nothing(store: holdfast.Store, scope: holdfast.Scope) -> None:
    ended: list[str] = []

    async def source(fail: bool) -> AsyncIterator[Any]:
        try:
            for frame in FRAMES:
                yield frame
            if fail:
                raise ZeroDivisionError
        finally:
            await asyncio.sleep(0)
            ended.append("closed")

    with pytest.raises(ZeroDivisionError):
        await scope.aio.put_stream("k", source(True))
    with pytest.raises(EncodeError, match="item 1 of the stream"):
        await scope.aio.put_stream("k", source(False), serializer="holdfast.json-lines@v1")
    assert ended == ["closed", "closed"]
    for wrong in (5, "text", FRAMES[0]):
        with pytest.raises(InvalidArgumentError):
            await scope.aio.put_stream("k", wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        await scope.aio.put_stream("k", FRAMES, serialiser="x")  # type: ignore[call-arg]
    assert not scope.exists("k")
    assert stray_files(store) == []


@pytest.mark.parametrize("count", [0, 1, 6])
@awaited
async def test_cancelled_it_leaves_nothing(store: holdfast.Store, scope: holdfast.Scope, count: int) -> None:
    reached, ended = asyncio.Event(), asyncio.Event()

    async def source() -> AsyncIterator[Any]:
        try:
            for frame in FRAMES[:count]:
                yield frame
            reached.set()
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.01)
            ended.set()

    task = asyncio.create_task(scope.aio.put_stream("k", source()))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set(), "nothing goes on when it has ended"
    assert not scope.exists("k")
    assert stray_files(store) == []


@awaited
async def test_streams_that_feed_each_other_do_not_wait_for_each_other(scope: holdfast.Scope) -> None:
    """More of them than there are threads for other verbs, each reading from the store as it writes."""
    await scope.aio.put_stream("k", FRAMES)

    async def doubled() -> AsyncIterator[Any]:
        async for frame in await scope.aio.get("k"):
            await scope.aio.put("last", frame)
            yield frame * 2

    async with asyncio.timeout(60):
        await asyncio.gather(*(scope.aio.put_stream(f"k{number}", doubled()) for number in range(20)))
    assert identical(list(scope.get("k19")), [frame * 2 for frame in FRAMES])


@awaited
async def test_in_a_transaction(store: holdfast.Store, scope: holdfast.Scope) -> None:
    async with asyncio.timeout(60), scope.aio.transaction() as inside:
        await inside.put_stream("a", trickle(FRAMES))

        async def doubled() -> AsyncIterator[Any]:
            async for frame in await inside.get("a"):
                await inside.add("count")
                yield frame * 2

        await inside.put_stream("b", doubled())
        assert not scope.exists("a")
    assert identical(list(scope.get("b")), [frame * 2 for frame in FRAMES])
    assert scope.get("count") == len(FRAMES)

    async def block() -> None:
        async with scope.aio.transaction() as inside:
            await inside.put_stream("c", trickle(FRAMES))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await block()
    assert not scope.exists("c")
    assert stray_files(store) == []


class Watched(FileStorage):
    """Notes in which loops it works, and whether what it reads is closed."""

    name = "tests.watched@v1"

    def __init__(self, prefix: Path) -> None:
        super().__init__(prefix)
        self.loops: set[Any] = set()
        self.closed = 0

    async def write_data_stream(self, stream: Any, get_digest: Any, tags: Any) -> Any:
        self.loops.add(asyncio.get_running_loop())
        return await super().write_data_stream(stream, get_digest, tags)

    async def read_data_stream(self, config: Any) -> Any:
        self.loops.add(asyncio.get_running_loop())
        try:
            async for piece in super().read_data_stream(config):
                yield piece
        finally:
            self.closed += 1


def test_authors_storages_are_awaited_in_this_loop(tmp_path: Path) -> None:
    storage = Watched(tmp_path / "bytes")

    async def main() -> None:
        async with holdfast.open(tmp_path / "data", storage=storage).aio as store:
            scope = store.namespace("a")
            await scope.put_stream("k", trickle(FRAMES * 20))
            assert identical(await everything(await scope.get("k")), FRAMES * 20)
            assert storage.loops == {asyncio.get_running_loop()}
            async with await scope.get("k") as stream:
                await anext(stream)
            while storage.closed < 2:
                await asyncio.sleep(0.001)

    asyncio.run(main())
    with holdfast.open(tmp_path / "data", storage=storage) as store:
        scope = store.namespace("a")
        scope.put_stream("k", trickle(FRAMES))
        assert identical(list(scope.get("k")), FRAMES)
        assert len(storage.loops) == 2, "one of the bridge's own"
