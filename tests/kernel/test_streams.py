"""Streams of values: put item by item, got item by item, whole or not at all."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

import holdfast
from holdfast.errors import (
    ClosedError,
    ConflictError,
    DecodeError,
    EncodeError,
    ExistsError,
    IntegrityError,
    InvalidArgumentError,
    InvalidKeyError,
    NotRegisteredError,
    SignatureError,
    UnsupportedValue,
    ValueLost,
)
from holdfast.serializers.base import StreamSerializer

from ..aio.running import stray_files, trickle
from ..serializers.equality import identical
from .test_sharing import in_threads
from .tools import LARGE, file_of, in_fork

FRAMES = [np.full((50, 200), number) for number in range(12)]
"""Together more than what lies in the catalog."""


class PickleStream(StreamSerializer):
    """Runs what it reads."""

    name = "tests.pickles@v1"
    content_types: ClassVar[tuple[str, ...]] = ("application/x-pickles",)
    executable = True

    def serialize_stream(self, values: Iterator[Any]) -> Iterator[bytes]:
        for value in values:
            yield pickle.dumps(value)

    def deserialize_stream(self, file: Any) -> Iterator[Any]:
        while file.peek(1):
            yield pickle.load(file)


class Lazy(StreamSerializer):
    """Has a fault that its class attributes say."""

    name = "tests.lazy@v1"
    takes = 2
    gives: Any = None

    def serialize_stream(self, values: Iterator[Any]) -> Iterator[Any]:
        for _, value in zip(range(self.takes), values, strict=False):
            yield bytes([value]) if self.gives is None else self.gives

    def deserialize_stream(self, file: Any) -> Iterator[Any]:
        yield from file.read(self.takes)


def same(items: Any, frames: Any = FRAMES) -> bool:
    return identical(list(items), list(frames))


@pytest.mark.parametrize("items", [[], [1, 2, 3], FRAMES, [{"a": LARGE, "b": (1, np.arange(9))}] * 3], ids=len)
@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_items_come_back(scope, items, compression):
    record = scope.put_stream("k", iter(items), compression=compression, tags={"a": "b"})
    assert (record.serializer, record.content_type) == ("holdfast.value-stream@v1", "application/vnd.holdfast.values")
    assert record == scope.record("k")
    assert record.tags == {"a": "b"}
    for stream in (scope.get("k"), scope["k"], scope.entry("k").value, scope.get("k", verify=True)):
        assert type(stream) is holdfast.Stream
        assert same(stream, items)
        assert list(stream) == [], "a stream is used once"
    assert scope.get("k", version=record.version) is not None
    (again,) = scope.get_many(["k"]).values()
    assert len(list(again)) == len(items)


def test_items_are_writable_arrays_of_their_own(scope):
    scope.put_stream("k", FRAMES)
    stream = scope.get("k")
    one, other = next(stream), next(stream)
    one[:] = 7
    other[:] = 8
    assert same(scope.get("k"))


def test_items_are_taken_one_by_one(scope):
    """Of a stream of large items few live at a time, on the way in and out."""
    alive: list[int] = []
    frames: list[weakref.ref[Any]] = []

    def count(frame: Any) -> None:
        frames.append(weakref.ref(frame))
        alive.append(sum(known() is not None for known in frames))

    def make() -> Iterator[Any]:
        for number in range(20):
            frame = np.full(100_000, number)
            count(frame)
            yield frame
            del frame

    scope.put_stream("k", make())
    assert max(alive) <= 2, alive
    alive.clear()
    for frame in scope.get("k"):
        count(frame)
        del frame
    assert len(alive) == 20
    assert max(alive) <= 2, alive


def test_a_stream_is_closed_after_its_block(scope):
    scope.put_stream("k", FRAMES)
    with scope.get("k") as stream:
        assert np.array_equal(next(stream), FRAMES[0])
        assert "1 items taken" in repr(stream)
    with pytest.raises(ClosedError, match="was closed: get it again"):
        next(stream)


def test_a_stream_outlives_its_record(scope, store):
    scope.put_stream("k", FRAMES * 20)
    stream = scope.get("k")
    next(stream)
    scope.delete("k")
    store.gc()
    assert len(list(stream)) == len(FRAMES) * 20 - 1


def test_files_are_closed(scope):
    scope.put_stream("k", FRAMES)

    def open_files() -> int:
        gc.collect()
        return len(os.listdir("/dev/fd"))

    def use() -> None:
        for _ in scope.get("k"):
            pass
        next(scope.get("k"))  # forgotten
        with scope.get("k"):
            pass

    use()  # a first time, which may open what stays open
    before = open_files()
    for _ in range(10):
        use()
    assert open_files() < before + 10  # a connection of the store's own may have been opened meanwhile


# --- what is told by what -----------------------------------------------------------------------------------------


def test_the_serializer_is_named_or_found_by_the_first_item(scope):
    scope.put_stream("named", [{"a": 1}, {"b": [2]}], serializer="holdfast.json-lines@v1", content_type="text/plain")
    assert scope.get_bytes("named") == b'{"a":1}\n{"b":[2]}\n'
    assert scope.record("named").content_type == "text/plain"
    assert list(scope.get("named")) == [{"a": 1}, {"b": [2]}]
    assert list(scope.open("named")) == ['{"a":1}\n', '{"b":[2]}\n']
    scope.put_stream("mixed", [1, "two", None, FRAMES[0]], serializer="holdfast.value-stream@v1")
    assert list(scope.get("mixed"))[:3] == [1, "two", None]
    registry = holdfast.Registry([PickleStream])
    with pytest.raises(NotRegisteredError, match="of streams: use put_stream"):
        scope.put("k", 1, serializer="holdfast.json-lines@v1")
    with pytest.raises(NotRegisteredError, match="of whole values: use put"):
        scope.put_stream("k", [1], serializer="holdfast.json@v1")
    with pytest.raises(NotRegisteredError, match="did you mean"):
        scope.put_stream("k", [1], serializer="holdfast.jsonlines@v1")
    assert registry.stream_serializer("tests.pickles@v1").executable
    assert not scope.exists("k")


def test_items_of_another_type_are_an_error_with_their_number(scope):
    with pytest.raises(UnsupportedValue, match=r"item 4 of the stream is a str, the first one a int.*value-stream@v1"):
        scope.put_stream("k", [1, 2, 3, "4", 5])
    with pytest.raises(EncodeError, match="item 2 of the stream: JSON would not give back the tuple"):
        scope.put_stream("k", [[1], (2,)], serializer="holdfast.json-lines@v1")
    with pytest.raises(EncodeError, match=r"item 3 of the stream: .*no serializer without code"):
        scope.put_stream("k", [[1], [2], [object()]])
    with pytest.raises(EncodeError, match="item 1 of the stream"):
        scope.put_stream("k", [object()])
    assert not scope.exists("k")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (5, "a stream is an iterable of values"),
        (None, "a stream is an iterable of values"),
        ("text", "a str is one value: put it by put"),
        (b"bytes", "a bytes is one value"),
        ({"a": 1}, "a dict is one value"),
        (np.zeros(3), "a ndarray is one value"),
        (pd.DataFrame({"a": [1]}), "a DataFrame is one value"),
    ],
    ids=lambda part: "" if isinstance(part, str) else type(part).__name__,
)
def test_what_is_no_stream_is_refused(scope, values, message):
    with pytest.raises(InvalidArgumentError, match=message):
        scope.put_stream("k", values)
    with pytest.raises(InvalidKeyError):
        scope.put_stream("", [1])
    assert not scope.exists("k")


def test_a_stream_is_no_value_but_a_stream_to_put(scope):
    scope.put_stream("k", FRAMES)
    with pytest.raises(InvalidArgumentError, match=r"is no value: give it to put_stream, or put list\(stream\)"):
        scope.put("copy", scope.get("k"))
    scope.put_stream("copy", scope.get("k"))
    assert same(scope.get("copy"))
    scope.copy("k", "same")
    scope.rename("same", "other")
    assert same(scope.get("other"))


@pytest.mark.parametrize("taken", [1, len(FRAMES), None])
def test_a_stream_that_was_read_is_not_put_without_what_was_read(scope, taken):
    scope.put_stream("k", FRAMES)
    scope.put_stream("copy", [1, 2])
    stream = scope.get("k")
    for _ in zip(range(taken or 99), stream, strict=False):
        pass
    with pytest.raises(EncodeError, match=rf"/k was read already, and its first {taken or 12} items .* get it again"):
        scope.put_stream("copy", stream)
    assert list(scope.get("copy")) == [1, 2], "it is as it was"
    scope.put_stream("rest", (item for item in stream))
    assert same(scope.get("rest"), FRAMES[taken or 12 :])
    scope.put_stream("none", [])
    none = scope.get("none")
    assert list(none) == []
    with pytest.raises(EncodeError, match="was read already"):
        scope.put_stream("copy", none)


def test_an_asynchronous_stream_that_was_read_is_not_put(scope):
    async def main() -> None:
        inner = scope.aio
        await inner.put_stream("copy", await inner.get("k"))
        stream = await inner.get("k")
        await anext(stream)
        with pytest.raises(EncodeError, match="/k was read already"):
            await inner.put_stream("copy", stream)

    scope.put_stream("k", FRAMES)
    asyncio.run(asyncio.wait_for(main(), 30))
    assert same(scope.get("copy"))


@pytest.mark.parametrize("serializer", ["holdfast.json-lines@v1", "holdfast.value-stream@v1"])
def test_a_stream_is_of_the_process_that_got_it(scope, serializer):
    """A fork has the same open file: what one reads, the other would miss."""
    items = [{"n": n, "text": "x" * 100} for n in range(5000)]
    scope.put_stream("k", items, serializer=serializer)
    begun, unread, closed = (scope.get("k") for _ in range(3))
    next(begun)

    def child() -> None:
        for stream in (begun, unread):
            with pytest.raises(ClosedError, match="read by the process that got it: get it again in the fork"):
                list(stream)
        closed.close()
        assert list(scope.get("k")) == items

    assert in_fork(child) == 0
    assert [items[0], *begun] == list(unread) == list(closed) == items


def test_a_stream_is_read_by_one_thread_at_once(scope):
    """A second one is told so, and the first goes on: no item is lost, or read twice."""
    scope.put_stream("k", range(40), serializer="holdfast.json-lines@v1")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(100):
            stream, seen = scope.get("k"), list[int]()

            def read(_: int, stream: Any = stream, seen: Any = seen) -> None:
                with suppress(ClosedError):
                    for item in stream:
                        seen += [item]

            in_threads(3, read)
            assert sorted(seen) == list(range(40))
    finally:
        sys.setswitchinterval(interval)


def test_a_stream_is_not_closed_while_another_thread_reads_it(tmp_path):
    inside, go = threading.Event(), threading.Event()

    class Slow(Lazy):
        takes = 99

        def deserialize_stream(self, file: Any) -> Iterator[Any]:
            for byte in file.read():
                inside.set()
                assert go.wait(10)
                yield byte

    with holdfast.open(tmp_path / "store", registry=holdfast.Registry([Slow])) as store:
        scope = store.namespace("a")
        scope.put_stream("k", [1, 2, 3], serializer=Slow.name)
        stream, seen = scope.get("k"), []
        thread = threading.Thread(target=lambda: seen.extend(stream))
        thread.start()
        assert inside.wait(10)
        for use in (stream.close, lambda: next(stream)):
            with pytest.raises(ClosedError, match="is being read by another thread"):
                use()
        go.set()
        thread.join()
        assert seen == [1, 2, 3]


def test_conditions_hold(scope, store):
    first = scope.put_stream("k", [1])
    with pytest.raises(ExistsError):
        scope.put_stream("k", FRAMES, if_absent=True)
    with pytest.raises(ConflictError):
        scope.put_stream("k", FRAMES, if_version=first.version + 1)
    assert scope.put_stream("k", FRAMES, if_version=first.version, durability="power").durability == "power"
    assert same(scope.get("k"))
    assert stray_files(store) == []
    assert scope.update("k", lambda stream: sum(frame.sum() for frame in stream)).value == sum(f.sum() for f in FRAMES)


# --- what fails half-way ------------------------------------------------------------------------------------------


def broken(count: int, ends: list[str]) -> Iterator[Any]:
    try:
        for number in range(count):
            yield np.full(10_000, number)
        raise ZeroDivisionError
    finally:
        ends.append("closed")


@pytest.mark.parametrize("count", [0, 1, 3, 50])
def test_a_source_that_fails_leaves_nothing(scope, store, count):
    ends: list[str] = []
    with pytest.raises(ZeroDivisionError):
        scope.put_stream("k", broken(count, ends))
    assert ends == ["closed"]
    assert not scope.exists("k")
    assert stray_files(store) == []


def test_a_source_is_closed_when_something_else_fails(scope, store):
    ends: list[str] = []
    source = broken(50, ends)
    with pytest.raises(NotRegisteredError):
        scope.put_stream("k", source, serializer="holdfast.jsonl@v1")
    assert ends == [], "nothing was taken"
    source = broken(50, ends)
    next(source)
    with pytest.raises(EncodeError):
        scope.put_stream("k", source, serializer="holdfast.json-lines@v1")
    assert ends == ["closed"]
    assert stray_files(store) == []


def test_what_was_there_before_stays(scope):
    scope.put_stream("k", FRAMES)
    with pytest.raises(ZeroDivisionError):
        scope.put_stream("k", broken(20, []))
    assert same(scope.get("k"))


def test_a_serializer_that_leaves_items_is_an_error(tmp_path):
    with holdfast.open(tmp_path / "data", registry=holdfast.Registry([Lazy])) as store:
        scope = store.namespace("a")
        with pytest.raises(EncodeError, match=r"tests\.lazy@v1 left items of the stream behind: nothing is stored"):
            scope.put_stream("k", [1, 2, 3], serializer=Lazy.name)
        assert not scope.exists("k")
        assert scope.put_stream("k", [1, 2], serializer=Lazy.name).size == 2
        assert list(scope.get("k")) == [1, 2]


def test_a_serializer_that_gives_something_else_than_bytes_is_an_error(tmp_path):
    class Texts(Lazy):
        gives = "text"

    with holdfast.open(tmp_path / "data", registry=holdfast.Registry([Texts()])) as store:
        scope = store.namespace("a")
        with pytest.raises(InvalidArgumentError, match="gave str: give it as bytes"):
            scope.put_stream("k", [1, 2], serializer=Lazy.name)


def test_bytes_after_the_end_are_an_error(tmp_path):
    class Short(Lazy):
        name = "tests.short@v1"
        takes = 3

        def deserialize_stream(self, file: Any) -> Iterator[Any]:
            yield from file.read(2)

    with holdfast.open(tmp_path / "data", registry=holdfast.Registry([Short])) as store:
        store.namespace("a").put_stream("k", [1, 2, 3], serializer=Short.name)
        stream = store.namespace("a").get("k")
        assert [next(stream), next(stream)] == [1, 2]
        with pytest.raises(DecodeError, match="has bytes after the end of its 2 items"):
            next(stream)


# --- integrity and trust ------------------------------------------------------------------------------------------


def test_altered_bytes_are_noticed(scope, store):
    path = file_of(store, scope.put_stream("k", FRAMES))
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError):
        list(scope.get("k"))
    with pytest.raises(IntegrityError):
        scope.get("k", verify=True)
    path.write_bytes(data[:-1])
    with pytest.raises(IntegrityError):
        list(scope.get("k"))
    path.unlink()
    with pytest.raises(ValueLost):
        scope.get("k")


@pytest.mark.parametrize("where", [40, 2000, -20])
def test_altered_bytes_that_are_read_as_they_come_are_noticed_at_the_end(scope, store, where):
    path = file_of(store, scope.put_stream("k", FRAMES, compression="lz4"))
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(data)
    with pytest.raises(DecodeError):
        list(scope.get("k"))
    with pytest.raises(DecodeError):
        scope.get("k", verify=True)


def test_an_error_ends_a_stream(scope):
    scope.put_chunks("k", [b'{"a":1}\n{"a":2}\nnot JSON\n{"a":3}\n'])
    stream: holdfast.Stream[Any] = holdfast.Stream(
        holdfast.Registry.default().stream_serializer("holdfast.json-lines@v1"), scope.open("k", "rb"), "it"
    )
    assert [next(stream), next(stream)] == [{"a": 1}, {"a": 2}]
    with pytest.raises(DecodeError, match=r"^it, after 2 items: line 3 is not"):
        next(stream)
    with pytest.raises(ClosedError):
        next(stream)


@pytest.mark.parametrize("items", [[Path("x")], [Path("x"), LARGE]], ids=["in the catalog", "in a file"])
def test_a_stream_that_runs_code_is_signed(tmp_path, monkeypatch, items):
    registry = holdfast.Registry([PickleStream])
    with holdfast.open(tmp_path / "data", registry=registry) as store:
        scope = store.namespace("a")
        scope.put_stream("k", items, serializer=PickleStream.name)
        assert list(scope.get("k")) == items
    monkeypatch.setenv("HOLDFAST_KEY", "5e" * 32)
    with holdfast.open(tmp_path / "data", registry=registry) as store:
        scope = store.namespace("a")
        with pytest.raises(SignatureError, match=r"loading a tests\.pickles@v1 value can run code"):
            scope.get("k")
        assert list(scope.get("k", trust=True)) == items
    monkeypatch.delenv("HOLDFAST_KEY")
    with holdfast.open(tmp_path / "data", registry=registry) as store:
        record = store.namespace("a").record("k")
        if record.contents["value"].storage:  # the bytes are checked before the first of them runs
            path = file_of(store, record)
            path.write_bytes(b"cos\nabort\n(tR.".ljust(record.size, b"."))
            with pytest.raises(IntegrityError):
                store.namespace("a").get("k")
    with holdfast.open(tmp_path / "data") as store, pytest.raises(NotRegisteredError, match=r"tests\.pickles@v1"):
        store.namespace("a").get("k")


# --- transactions -------------------------------------------------------------------------------------------------


def test_in_a_transaction(scope, store):
    with store.transaction() as transaction:
        inside = scope.within(transaction)
        inside.put_stream("large", FRAMES)
        inside.put_stream("small", [1, 2])
        assert same(inside.get("large"))
        inside.put_stream("again", inside.get("large"))
        assert not scope.exists("large")
    assert same(scope.get("again"))
    assert list(scope.get("small")) == [1, 2]
    with pytest.raises(ZeroDivisionError), scope.transaction() as inside:
        inside.put_many({"stream": inside.put_stream("other", FRAMES).size, "broken": 1 / 0})
    assert not scope.exists("other")
    assert stray_files(store) == []


# --- asynchronous sources -----------------------------------------------------------------------------------------


def test_an_asynchronous_source_runs_in_one_task_of_another_thread(scope):
    seen: list[Any] = []
    ended: list[str] = []

    async def source() -> AsyncIterator[Any]:
        try:
            async with asyncio.timeout(20):  # which has to be left in the task where it was entered
                for frame in FRAMES:
                    seen.append((threading.current_thread().name, asyncio.current_task()))
                    await asyncio.sleep(0)
                    yield frame
        finally:
            await asyncio.sleep(0)
            ended.append("closed")

    scope.put_stream("k", source())
    assert same(scope.get("k"))
    assert len(set(seen)) == 1
    assert seen[0][0] == "holdfast-bridge"
    assert ended == ["closed"]
    assert "holdfast-bridge" not in {thread.name for thread in threading.enumerate()}


def test_an_asynchronous_source_is_asked_for_one_item_at_a_time(tmp_path):
    """No item is made before the one before is written."""
    log: list[str] = []

    class Slow(StreamSerializer):
        name = "tests.slow@v1"

        def serialize_stream(self, values: Iterator[Any]) -> Iterator[bytes]:
            for value in values:
                threading.Event().wait(0.002)
                log.append(f"wrote {value}")
                yield bytes([value])

        def deserialize_stream(self, file: Any) -> Iterator[Any]:
            yield from file.read()

    async def source() -> AsyncIterator[int]:
        for number in range(5):
            log.append(f"made {number}")
            yield number

    with holdfast.open(tmp_path / "data", registry=holdfast.Registry([Slow])) as store:
        store.namespace("a").put_stream("k", source(), serializer=Slow.name)
    assert log == [f"{what} {number}" for number in range(5) for what in ("made", "wrote")]


def test_an_asynchronous_source_that_fails_leaves_nothing(scope, store):
    ended: list[str] = []

    async def source() -> AsyncIterator[Any]:
        try:
            for frame in FRAMES:
                yield frame
            raise ZeroDivisionError
        finally:
            await asyncio.sleep(0)
            ended.append("closed")

    with pytest.raises(ZeroDivisionError):
        scope.put_stream("k", source())
    with pytest.raises(EncodeError):
        scope.put_stream("k", source(), serializer="holdfast.json-lines@v1")
    assert ended == ["closed", "closed"]
    assert not scope.exists("k")
    assert stray_files(store) == []


def test_where_a_loop_runs_it_is_to_be_awaited(scope):
    async def main() -> None:
        with pytest.raises(InvalidArgumentError, match=r"await scope\.aio\.put_stream"):
            scope.put_stream("k", trickle(FRAMES))

    asyncio.run(main())
    assert not scope.exists("k")
