"""A serializer of streams that is right, and ones that each have one fault. Run by ``test_stream_faults``, not by
itself."""

from __future__ import annotations

import array
import copy
import os
import pickle
import struct
import time
from collections.abc import Iterator
from typing import Any, BinaryIO, ClassVar

import pytest

from holdfast.errors import DecodeError, EncodeError, UnsupportedValue
from holdfast.serializers.base import StreamSerializer
from holdfast.testing.stream_suite import StreamSuite

from .wrong_serializers import Track


class TrackStream(StreamSerializer):
    """Right in everything: a one and the track for each, and a zero at the end."""

    name = "tests.tracks@v1"
    types = (f"{Track.__module__}.Track",)
    content_types: ClassVar[tuple[str, ...]] = ("application/x-tracks",)

    def serialize_stream(self, values: Iterator[Any]) -> Iterator[Any]:
        for number, value in enumerate(values, 1):
            if type(value) is not Track:
                raise UnsupportedValue(f"item {number} of the stream is no Track but a {type(value).__name__}")
            yield self.one(value)
        yield b"\0"

    def one(self, value: Track) -> bytes:
        text = value.name.encode()
        return b"\1" + struct.pack("<II", len(text), len(value.numbers)) + text + array.array("q", value.numbers)

    def deserialize_stream(self, file: BinaryIO) -> Iterator[Any]:
        while (mark := self.exactly(file, 1)) != b"\0":
            if mark != b"\1":
                raise DecodeError("neither a track nor the end")
            yield self.track(file)

    def track(self, file: BinaryIO) -> Track:
        text, count = struct.unpack("<II", self.exactly(file, 8))
        if text > 1000 or count > 1 << 16:
            raise DecodeError("a track that was never written")
        try:
            name = self.exactly(file, text).decode()
        except UnicodeDecodeError as error:
            raise DecodeError(f"no name: {error}") from None
        return Track(name, array.array("q", self.exactly(file, 8 * count)).tolist())

    def exactly(self, file: BinaryIO, size: int) -> bytes:
        data = file.read(size)
        if len(data) < size:
            raise DecodeError("the bytes end in the middle")
        return data


class BadName(TrackStream):
    name = "tracks"


class GivesText(TrackStream):
    def serialize_stream(self, values: Iterator[Any]) -> Iterator[Any]:
        yield from ("" if piece == b"\0" else piece for piece in super().serialize_stream(values))


class LosesTheLast(TrackStream):
    def deserialize_stream(self, file: BinaryIO) -> Iterator[Any]:
        yield from list(super().deserialize_stream(file))[:-1]


class NeedsAllAtOnce(TrackStream):
    """Takes a read that gives less than what was asked for as the end of the bytes."""

    def exactly(self, file: BinaryIO, size: int) -> bytes:
        data = file.read1(size) if size > 1 else file.read(size)  # type: ignore[attr-defined]
        return data + bytes(size - len(data))


class ReadsWhereItWrites(TrackStream):
    """Keeps what it is reading where it keeps what it is writing."""

    last: str | None = None

    def one(self, value: Track) -> bytes:
        self.last = None
        return super().one(value)

    def deserialize_stream(self, file: BinaryIO) -> Iterator[Any]:
        for track in super().deserialize_stream(file):
            self.last = track.name
            yield track
            if self.last != track.name:
                raise DecodeError("another track came in between")


class SortsTheItems(TrackStream):
    def one(self, value: Track) -> bytes:
        data = super().one(value)
        value.numbers.sort()
        return data


class TakesAll(TrackStream):
    def serialize_stream(self, values: Iterator[Any]) -> Iterator[Any]:
        yield from super().serialize_stream(iter(list(values)))


class TakesTheFirstAtOnce(TrackStream):
    def serialize_stream(self, values: Iterator[Any]) -> Iterator[Any]:
        return super().serialize_stream(iter(list(values)))


class ReadsAll(TrackStream):
    def deserialize_stream(self, file: BinaryIO) -> Iterator[Any]:
        yield from list(super().deserialize_stream(file))


class LeavesAFile(TrackStream):
    opened: ClassVar[list[int]] = []

    def deserialize_stream(self, file: BinaryIO) -> Iterator[Any]:
        copied = os.open(os.devnull, os.O_RDONLY)
        self.opened.append(copied)
        yield from super().deserialize_stream(file)
        os.close(self.opened.pop())


class SwallowsTheSource(TrackStream):
    def serialize_stream(self, values: Iterator[Any]) -> Iterator[Any]:
        def all_of() -> Iterator[Any]:
            try:
                yield from values
            except ArithmeticError:
                pass

        yield from super().serialize_stream(all_of())


class TakesTroubleForDamage(TrackStream):
    def exactly(self, file: BinaryIO, size: int) -> bytes:
        try:
            return super().exactly(file, size)
        except OSError as error:
            raise DecodeError(f"no tracks: {error}") from error


class KeepsACount(TrackStream):
    """Numbers the items at home."""

    def serialize_stream(self, values: Iterator[Any]) -> Iterator[Any]:
        self.count = 0
        for value in values:
            self.count += 1
            if type(value) is not Track:
                raise UnsupportedValue(f"item {self.count} of the stream is no Track")
            yield self.one(Track(f"{self.count} {value.name}", value.numbers))
        yield b"\0"

    def deserialize_stream(self, file: BinaryIO) -> Iterator[Any]:
        for number, track in enumerate(super().deserialize_stream(file), 1):
            said, _, name = track.name.partition(" ")
            if said != str(number):
                raise DecodeError("a wrong number")
            yield Track(name, track.numbers)


class SharesABuffer(TrackStream):
    """Reuses one buffer for all threads."""

    scratch: ClassVar[bytearray] = bytearray()

    def one(self, value: Track) -> bytes:
        self.scratch[:] = super().one(value)
        time.sleep(0)
        return bytes(self.scratch)


class DependsOnTheHash(TrackStream):
    def one(self, value: Track) -> bytes:
        return super().one(Track(f"{hash(value.name)} {value.name}", value.numbers))

    def track(self, file: BinaryIO) -> Track:
        track = super().track(file)
        said, _, name = track.name.partition(" ")
        if said != str(hash(name)):
            raise DecodeError("the check does not hold")
        return Track(name, track.numbers)


class TakesAnything(TrackStream):
    def serialize_stream(self, values: Iterator[Any]) -> Iterator[Any]:
        yield from super().serialize_stream(v if type(v) is Track else Track(repr(v), []) for v in values)


class SaysNoNumber(TrackStream):
    def serialize_stream(self, values: Iterator[Any]) -> Iterator[Any]:
        for value in values:
            if type(value) is not Track:
                raise EncodeError("this is no Track")
            yield self.one(value)
        yield b"\0"


class PickleInDisguise(TrackStream):
    def one(self, value: Track) -> bytes:
        data = pickle.dumps(value)
        return b"\1" + struct.pack("<I", len(data)) + data

    def deserialize_stream(self, file: BinaryIO) -> Iterator[Any]:
        while (mark := self.exactly(file, 1)) != b"\0":
            track = self.load(mark + file.read() if mark != b"\1" else self.part(file))
            if type(track) is not Track:
                raise DecodeError("another object")
            yield track

    def part(self, file: BinaryIO) -> bytes:
        (size,) = struct.unpack("<I", self.exactly(file, 4))
        return self.exactly(file, size) if size < 1 << 20 else b""

    def load(self, data: bytes) -> Any:
        try:
            return pickle.loads(data)
        except Exception as error:
            raise DecodeError(f"no track: {error}") from None


class EndsAnywhere(TrackStream):
    def exactly(self, file: BinaryIO, size: int) -> bytes:
        data = file.read(size)
        return data if len(data) == size else data + bytes(size - len(data))


class ReadsOn(TrackStream):
    def deserialize_stream(self, file: BinaryIO) -> Iterator[Any]:
        yield from super().deserialize_stream(file)
        file.read()


class RaisesItsOwnError(TrackStream):
    def track(self, file: BinaryIO) -> Track:
        track = super().track(file)
        if not track.name.isprintable():
            raise OverflowError("a name that nobody has")
        return track


class Suite(StreamSuite):
    """The suite for tracks; ``caught_by`` is the test that must find the fault, ``made`` the faulty serializer."""

    streams = (
        [Track("one ", [3, -1, 2])],
        [Track("", []), Track("two", list(range(300, 0, -1))), Track("é", list(range(9000))), Track("z", [1])],
    )
    caught_by: str | None = None
    made: type[StreamSerializer] = TrackStream

    @pytest.fixture
    def serializer(self):
        return self.made()


class TestRight(Suite):
    """The right one passes, so that each fault is the cause of its failure."""


def planted(fault: type[StreamSerializer], caught_by: str) -> type[Suite]:
    """The suite run on a fault, with items of its own, as a fault may change them."""
    own = {"streams": copy.deepcopy(Suite.streams), "made": fault, "caught_by": caught_by, "__module__": __name__}
    return type(f"Test{fault.__name__}", (Suite,), own)


FAULTS = [
    planted(BadName, "test_it_says_what_it_is"),
    planted(GivesText, "test_pieces_are_bytes"),
    planted(LosesTheLast, "test_streams_come_back"),
    planted(NeedsAllAtOnce, "test_streams_come_back"),
    planted(ReadsWhereItWrites, "test_results_can_be_put_again"),
    planted(SortsTheItems, "test_putting_changes_nothing"),
    planted(TakesAll, "test_items_are_taken_as_bytes_are_given"),
    planted(TakesTheFirstAtOnce, "test_items_are_taken_as_bytes_are_given"),
    planted(ReadsAll, "test_items_are_given_as_they_are_asked_for"),
    planted(LeavesAFile, "test_either_side_may_stop"),
    planted(SwallowsTheSource, "test_what_the_source_raises_passes"),
    planted(TakesTroubleForDamage, "test_what_the_file_raises_passes"),
    planted(KeepsACount, "test_streams_may_be_interleaved"),
    planted(SharesABuffer, "test_many_threads_may_use_it"),
    planted(DependsOnTheHash, "test_another_process_writes_the_same"),
    planted(TakesAnything, "test_other_values_are_refused"),
    planted(SaysNoNumber, "test_other_values_are_refused"),
    planted(PickleInDisguise, "test_no_code_is_run"),
    planted(EndsAnywhere, "test_cut_bytes_are_refused"),
    planted(ReadsOn, "test_more_bytes_are_refused"),
    planted(RaisesItsOwnError, "test_altered_bytes_are_refused"),
]
globals().update({fault.__name__: fault for fault in FAULTS})
