"""What every serializer of streams must do, as tests to inherit.

The test file of one is this::

    class TestTableStreamSerializer(StreamSuite):
        streams = [[Table()], [Table(rows=[1, 2]), Table(), Table(rows=range(100_000))]]

        @pytest.fixture
        def serializer(self):
            return TableStreamSerializer()

        def equal(self, one, other):                # only where == does not say it
            return one.rows.tolist() == other.rows.tolist()

The streams should be short and long, of small items and of large ones: the suite finds only what they show. The empty
stream is tried in any case.
"""

from __future__ import annotations

import base64
import copy
import gc
import io
import json
import os
import pickle
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import chain, islice, repeat
from typing import Any, BinaryIO, ClassVar

import cloudpickle
import pytest

from ..errors import DecodeError, EncodeError, StoreError
from ..serializers.base import StreamSerializer
from .hostile import NAME, Stranger, altered, lengths, sprung, traps

__all__ = ["StreamSuite"]

_LONG = 1 << 18  # bytes of a stream that is long enough to see whether it is read as it is asked for

_CHILD = """
import base64, json, sys
sys.path[:] = json.loads(sys.argv[1])
import cloudpickle
serializer, streams = cloudpickle.loads(base64.b64decode(sys.stdin.buffer.read()))
written = [b"".join(map(bytes, serializer.serialize_stream(iter(items)))) for items in streams]
sys.stdout.buffer.write(base64.b64encode(cloudpickle.dumps(written)))
"""


class _Trouble(StoreError):
    """What a storage raises."""


class _Source(io.RawIOBase):
    """Bytes that are read forward only, few at a time, and that may end in trouble."""

    def __init__(self, data: bytes, most: int = 1 << 12, trouble_at: int | None = None) -> None:
        super().__init__()
        self._data = data
        self._most = most
        self._trouble_at = trouble_at
        self.at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any, /) -> int:
        if self._trouble_at is not None and self.at >= self._trouble_at:
            raise _Trouble("the storage has trouble")
        piece = self._data[self.at : self.at + min(self._most, len(target))]
        target[: len(piece)] = piece
        self.at += len(piece)
        return len(piece)


def _count(items: Any) -> int:
    return len(items)


def _open_files() -> set[str]:
    gc.collect()
    return {name for name in os.listdir("/dev/fd") if os.path.exists(f"/dev/fd/{name}")}


class StreamSuite:
    """Inherit it, give ``streams`` and the fixture ``serializer``, and perhaps :meth:`equal`."""

    streams: ClassVar[Any] = ()
    """The streams to try, each a sequence of items, which must come back as they were."""

    delimited: ClassVar[bool] = True
    """False when the beginning of a stream's bytes may be those of another stream (as for lines of text)."""

    held: ClassVar[int] = 1
    """How many items may be taken before bytes of the first are given: more than one for what looks ahead."""

    _before: ClassVar[Any] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._before = copy.deepcopy(cls.streams)  # now, as the first test of a faulty serializer may change the items

    def equal(self, one: Any, other: Any) -> bool:
        """Whether an item came back as it was; the types are compared beside this."""
        return bool(one == other)

    @pytest.fixture
    def serializer(self) -> StreamSerializer:
        """The serializer to test."""
        raise NotImplementedError("give your serializer by a fixture of this name")

    def write(self, serializer: StreamSerializer, items: Sequence[Any]) -> bytes:
        """The bytes of a stream."""
        return b"".join(map(bytes, serializer.serialize_stream(iter(items))))

    def open(self, serializer: StreamSerializer, data: bytes, **how: Any) -> BinaryIO:
        """A file as the store gives it."""
        return io.BytesIO(data) if serializer.random_access else io.BufferedReader(_Source(data, **how), 1 << 12)

    def read(self, serializer: StreamSerializer, data: bytes, **how: Any) -> list[Any]:
        """All items of a stream, which its bytes must be over with."""
        file = self.open(serializer, data, **how)
        items = list(serializer.deserialize_stream(file))
        if not serializer.random_access and file.read(1):
            raise DecodeError("bytes after the end")  # as the store says
        return items

    def check(self, items: Sequence[Any], result: Sequence[Any]) -> None:
        """Fail unless the result are the items."""
        assert len(result) == len(items), f"{len(items)} items came back as {len(result)}"
        for number, (one, other) in enumerate(zip(items, result, strict=True), 1):
            assert type(other) is type(one), f"item {number}, a {type(one).__name__}, is a {type(other).__name__}"
            assert self.equal(one, other), f"item {number}, {one!r:.200}, came back as {other!r:.200}"

    def longest(self) -> list[Any]:
        """The stream of the most items."""
        return list(max(self.streams, key=_count))

    def long(self, serializer: StreamSerializer) -> list[Any]:
        """A stream of many items, made of the longest of those to try by repeating it."""
        items = self.longest()
        many = max(30, -(-_LONG * len(items) // max(len(self.write(serializer, items)), 1)))
        return list(islice(chain.from_iterable(repeat(items)), min(many, 20_000)))

    def test_it_says_what_it_is(self, serializer: StreamSerializer) -> None:
        """Name, types and content types are well formed, and there are streams to try."""
        assert isinstance(serializer, StreamSerializer), "a serializer of streams inherits from StreamSerializer"
        assert NAME.fullmatch(serializer.name), f"the name {serializer.name!r} is not like my.table@v1"
        assert isinstance(serializer.types, tuple)
        assert all("." in str(name) for name in serializer.types), "types are full names"
        assert serializer.content_types, "there is no content type"
        assert all("/" in content_type for content_type in serializer.content_types)
        assert (type(serializer.executable), type(serializer.random_access)) == (bool, bool)
        assert any(len(items) > 1 for items in self.streams), "there are no streams of several items to try"

    def test_pieces_are_bytes(self, serializer: StreamSerializer) -> None:
        """Flat bytes, piece by piece."""
        for items in self.streams:
            for piece in serializer.serialize_stream(iter(items)):
                assert isinstance(piece, bytes | bytearray | memoryview), f"a piece is a {type(piece).__name__}"
                if isinstance(piece, memoryview):
                    assert (piece.ndim, piece.format, piece.c_contiguous) == (1, "B", True), "memory must be flat bytes"

    def test_streams_come_back(self, serializer: StreamSerializer) -> None:
        """Each item comes back equal, of its own type and in its place, also where few bytes come at a time."""
        for items in ([], *self.streams):
            data = self.write(serializer, items)
            self.check(items, self.read(serializer, data))
            slow = self.open(serializer, data) if serializer.random_access else io.BufferedReader(_Source(data, 7), 11)
            self.check(items, list(serializer.deserialize_stream(slow)))

    def test_results_can_be_put_again(self, serializer: StreamSerializer) -> None:
        """What was read can be written and read again, as it comes."""
        for items in self.streams:
            first = self.open(serializer, self.write(serializer, items))
            again = b"".join(map(bytes, serializer.serialize_stream(iter(serializer.deserialize_stream(first)))))
            self.check(items, self.read(serializer, again))

    def test_putting_changes_nothing(self, serializer: StreamSerializer) -> None:
        """Serializing leaves the items as they were."""
        for before, items in zip(self._before, self.streams, strict=True):
            self.write(serializer, items)
            self.check(before, items)

    def test_items_are_taken_as_bytes_are_given(self, serializer: StreamSerializer) -> None:
        """Of many items few are taken ahead, and none before bytes are wanted."""
        taken = 0

        def count() -> Iterator[Any]:
            nonlocal taken
            for item in self.long(serializer):
                taken += 1
                yield item

        pieces = iter(serializer.serialize_stream(count()))
        assert taken == 0, f"{taken} items were taken before a piece was wanted"
        before, most = 0, 0
        for piece in pieces:
            if piece:
                most, before = max(most, taken - before), taken
        assert most <= self.held, f"{most} items were taken for one piece"

    def test_items_are_given_as_they_are_asked_for(self, serializer: StreamSerializer) -> None:
        """The first item comes before all bytes are read, and no byte is read before it is asked for."""
        items = self.long(serializer)
        data = self.write(serializer, items)
        if serializer.random_access:
            file = io.BytesIO(data)
            found = serializer.deserialize_stream(file)
            assert file.tell() == 0, "the file was read before an item was asked for"
            self.check(items[:2], [next(found), next(found)])
            return
        source = _Source(data)
        found = serializer.deserialize_stream(io.BufferedReader(source, 1 << 12))
        assert source.at == 0, "the file was read before an item was asked for"
        self.check(items[:1], [next(found)])
        assert source.at < max(len(data) * 3 // 4, 1 << 13), f"{source.at} of {len(data)} bytes were read for one item"

    def test_either_side_may_stop(self, serializer: StreamSerializer) -> None:
        """A stream that is given up, in writing or in reading, leaves nothing open."""
        items = self.long(serializer)
        data = self.write(serializer, items)
        files, threads = _open_files(), threading.active_count()
        for way in (
            serializer.serialize_stream(iter(items)),
            serializer.deserialize_stream(self.open(serializer, data)),
        ):
            next(iter(way))
            if hasattr(way, "close"):
                way.close()
            del way
            assert _open_files() == files, "a file stays open"
            assert threading.active_count() <= threads, "a thread stays"

    def test_what_the_source_raises_passes(self, serializer: StreamSerializer) -> None:
        """An error of the items' source ends the stream as it is."""

        def source(count: int) -> Iterator[Any]:
            yield from islice(self.longest(), count)
            raise ZeroDivisionError

        for count in (0, 1, 2):
            with pytest.raises(ZeroDivisionError):
                list(serializer.serialize_stream(source(count)))

    def test_what_the_file_raises_passes(self, serializer: StreamSerializer) -> None:
        """Trouble of the storage is not taken for damaged bytes, nor for the end."""
        if serializer.random_access:
            return  # its file is a local one
        items = self.longest()
        data = self.write(serializer, items)
        for place in {0, len(data) // 2, len(data)}:
            with pytest.raises(_Trouble):
                self.read(serializer, data, trouble_at=place)

    def test_streams_may_be_interleaved(self, serializer: StreamSerializer) -> None:
        """Nothing is kept in the serializer: two streams are written and read by turns."""
        one, other = self.longest(), self.longest()[::-1]
        ways = [iter(serializer.serialize_stream(iter(items))) for items in (one, other)]
        written = _by_turns(ways)
        data = [b"".join(map(bytes, pieces)) for pieces in written]
        read = _by_turns([iter(serializer.deserialize_stream(self.open(serializer, written))) for written in data])
        self.check(one, read[0])
        self.check(other, read[1])

    def test_many_threads_may_use_it(self, serializer: StreamSerializer) -> None:
        """Eight threads at once get their own items back."""
        failures: list[BaseException] = []
        start = threading.Barrier(8)
        short = sorted(self.streams, key=lambda items: len(self.write(serializer, items)))[:3]

        def work(seed: int) -> None:
            order = random.Random(seed)
            try:
                start.wait()
                end = time.monotonic() + 0.5
                while time.monotonic() < end:
                    items = order.choice(short)
                    self.check(items, self.read(serializer, self.write(serializer, items)))
            except BaseException as error:  # raised again in the test's own thread
                failures.append(error)

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(interval)
        if failures:
            raise failures[0]

    def test_another_process_writes_the_same(self, serializer: StreamSerializer) -> None:
        """Bytes written by a process with other hashes and addresses are read here."""
        pickled = cloudpickle.dumps((serializer, list(self.streams)))
        streams = pickle.loads(pickled)[1]  # what the other process has: some values change by being pickled
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, json.dumps(sys.path)],
            input=base64.b64encode(pickled),
            env={**os.environ, "PYTHONHASHSEED": "4711"},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        for items, data in zip(streams, pickle.loads(base64.b64decode(done.stdout)), strict=True):
            self.check(items, self.read(serializer, data))

    def test_other_values_are_refused(self, serializer: StreamSerializer) -> None:
        """An EncodeError for an item that it does not take, with its number."""
        strange = threading.Lock() if serializer.executable else Stranger()
        items = self.longest()
        for number in (1, 2):
            with pytest.raises(EncodeError, match=rf"\bitem {number}\b"):
                self.write(serializer, [*items[: number - 1], strange])

    def test_no_code_is_run(self, serializer: StreamSerializer) -> None:
        """Whoever is not said to run code runs none, whatever the bytes are."""
        if serializer.executable:
            return  # the store reads it only where it signed it
        for items in self.streams:
            data = self.write(serializer, items)
            for trap in traps():
                for hostile in (trap, data + trap, data[: len(data) // 2] + trap):
                    sprung.clear()
                    self._refused_or_read(serializer, hostile)
                    assert not sprung, "reading ran the code in the bytes"

    def test_cut_bytes_are_refused(self, serializer: StreamSerializer) -> None:
        """A stream cut short gives a DecodeError, where the format can tell."""
        if serializer.executable:
            return
        for items in self.streams:
            data = self.write(serializer, items)
            for length in lengths(len(data)):
                read = self._refused_or_read(serializer, data[:length])
                assert not (read and self.delimited), f"{length} of {len(data)} bytes were read as a stream"

    def test_more_bytes_are_refused(self, serializer: StreamSerializer) -> None:
        """Bytes after the end are a DecodeError, or are left in the file for the store to find. (Of a file that is read
        from its end, two of them one after the other look like the second.)"""
        if serializer.executable:
            return
        for items in self.streams:
            data = self.write(serializer, items)
            for more in (b"\x00", b"\xff" * 9, b"more", *([data] * (not serializer.random_access))):
                read = self._refused_or_read(serializer, data + more)
                assert not (read and self.delimited), f"{len(more)} bytes more were passed over"

    def test_altered_bytes_are_refused(self, serializer: StreamSerializer) -> None:
        """Altered bytes give a DecodeError, or items of that form, and never another exception."""
        if serializer.executable:
            return
        for number, items in enumerate(self.streams):
            for hostile in altered(self.write(serializer, items), random.Random(number), 400 // len(self.streams)):
                self._refused_or_read(serializer, hostile)

    def _refused_or_read(self, serializer: StreamSerializer, data: bytes) -> bool:
        """Whether all was read; any exception but a DecodeError goes on to the test."""
        try:
            self.read(serializer, data)
        except DecodeError:
            return False
        return True


def _by_turns(ways: list[Iterator[Any]]) -> list[list[Any]]:
    """What several iterators give, asked one after the other."""
    given: list[list[Any]] = [[] for _ in ways]
    waiting, end = set(range(len(ways))), object()
    while waiting:
        for number in sorted(waiting):
            item = next(ways[number], end)
            if item is end:
                waiting.remove(number)
            else:
                given[number].append(bytes(item) if isinstance(item, memoryview | bytearray) else item)
    return given
