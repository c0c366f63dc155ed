"""A serializer that is right, and ones that each have one fault. Run by ``test_serializer_faults``, not by itself."""

from __future__ import annotations

import array
import copy
import pickle
import struct
from typing import Any, ClassVar

import pytest

from holdfast.errors import DecodeError, UnsupportedValue
from holdfast.payload import OUT_OF_BAND, Buffer, Payload
from holdfast.serializers.base import Serializer
from holdfast.testing.serializer_suite import SerializerSuite


class Track:
    """A name and numbers."""

    def __init__(self, name: str, numbers: list[int]) -> None:
        self.name = name
        self.numbers = numbers

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Track) and (self.name, self.numbers) == (other.name, other.numbers)

    __hash__ = None  # type: ignore[assignment]


class TrackSerializer(Serializer):
    """Right in everything."""

    name = "tests.track@v1"
    types = (f"{__name__}.Track",)
    content_types: ClassVar[tuple[str, ...]] = ("application/x-track",)

    def serialize(self, value: Any) -> Payload:
        if type(value) is not Track:
            raise UnsupportedValue(f"not a Track but a {type(value).__name__}")
        text = value.name.encode()
        memory = array.array("q", value.numbers).tobytes()
        head = struct.pack("<II", len(text), len(value.numbers)) + text
        buffers = (head, memory) if len(memory) >= OUT_OF_BAND else (head + memory,)
        return Payload(buffers, "application/x-track")

    def deserialize(self, payload: Payload) -> Track:
        buffers = [bytes(buffer) for buffer in payload.buffers]
        try:
            if len(buffers) > 2:
                raise ValueError("too many buffers")
            text, count = struct.unpack_from("<II", buffers[0])
            memory = buffers[1] if len(buffers) == 2 else buffers[0][8 + text :]
            if len(memory) != 8 * count or (len(buffers) == 2 and len(buffers[0]) != 8 + text):
                raise ValueError("wrong sizes")
            return Track(buffers[0][8 : 8 + text].decode(), array.array("q", memory).tolist())
        except (ValueError, IndexError, struct.error) as error:
            raise DecodeError(f"no track: {error}") from None


class BadName(TrackSerializer):
    name = "Track v1"


class UndeclaredContentType(TrackSerializer):
    def serialize(self, value: Any) -> Payload:
        payload = super().serialize(value)
        return Payload(payload.buffers, "application/json")


class ConfigIsNoJson(TrackSerializer):
    def serialize(self, value: Any) -> Payload:
        payload = super().serialize(value)
        return Payload(payload.buffers, payload.content_type, config={"sizes": (1, 2)})


class SmallOutOfBand(TrackSerializer):
    def serialize(self, value: Any) -> Payload:
        payload = super().serialize(value)
        size = 8 + len(value.name.encode())
        first = bytes(payload.buffers[0])
        return Payload((first[:size], first[size:]), payload.content_type) if len(payload.buffers) == 1 else payload


class MemoryNotFlat(TrackSerializer):
    def serialize(self, value: Any) -> Payload:
        payload = super().serialize(value)
        buffers: list[Buffer] = [payload.buffers[0], *(memoryview(b).cast("q") for b in payload.buffers[1:])]
        return Payload(buffers, payload.content_type)


class LosesTheEnd(TrackSerializer):
    def deserialize(self, payload: Payload) -> Track:
        track = super().deserialize(payload)
        return Track(track.name.strip(), track.numbers)


class GivesAnotherType(TrackSerializer):
    def deserialize(self, payload: Payload) -> Any:
        track = super().deserialize(payload)

        class Other(Track):
            pass

        return Other(track.name, track.numbers)


class KnowsNoViews(TrackSerializer):
    """Reads bytes only, not the views that a map gives."""

    def deserialize(self, payload: Payload) -> Track:
        if not isinstance(payload.buffers[0], bytes):
            raise DecodeError("not bytes")
        return super().deserialize(payload)


class SortsTheValue(TrackSerializer):
    def serialize(self, value: Any) -> Payload:
        payload = super().serialize(value)
        value.numbers.sort()
        return payload


class KeepsTheLastOne(TrackSerializer):
    """Saves the name by keeping it at home."""

    def serialize(self, value: Any) -> Payload:
        self.last = value.name if isinstance(value, Track) else ""
        return super().serialize(value)

    def deserialize(self, payload: Payload) -> Track:
        return Track(self.last, super().deserialize(payload).numbers)


class SharesABuffer(TrackSerializer):
    """Reuses one buffer for all threads."""

    def __init__(self) -> None:
        self.scratch: list[int] = []

    def serialize(self, value: Any) -> Payload:
        if type(value) is Track:
            self.scratch = []
            for number in value.numbers:
                self.scratch.append(number)
            value = Track(value.name, list(self.scratch))
        return super().serialize(value)


class DependsOnTheHash(TrackSerializer):
    def serialize(self, value: Any) -> Payload:
        payload = super().serialize(value)
        return Payload(payload.buffers, payload.content_type, config={"check": hash(value.name)})

    def deserialize(self, payload: Payload) -> Track:
        track = super().deserialize(payload)
        if not isinstance(payload.config, dict) or payload.config.get("check") != hash(track.name):
            raise DecodeError("the check does not hold")
        return track


class TakesAnything(TrackSerializer):
    def serialize(self, value: Any) -> Payload:
        return super().serialize(value if type(value) is Track else Track(repr(value), []))


class PickleInDisguise(TrackSerializer):
    def serialize(self, value: Any) -> Payload:
        super().serialize(value)
        return Payload((pickle.dumps(value),), "application/x-track")

    def deserialize(self, payload: Payload) -> Track:
        try:
            (data,) = payload.buffers
            track = pickle.loads(data)
            if type(track) is Track:
                return track
            raise ValueError("another object")
        except Exception as error:
            raise DecodeError(f"no track: {error}") from None


class TrustsEveryone(PickleInDisguise):
    executable = True


class PadsWhatIsMissing(TrackSerializer):
    def deserialize(self, payload: Payload) -> Track:
        first, *others = (bytes(buffer) for buffer in payload.buffers)
        if not others and len(first) >= 8:
            text, count = struct.unpack_from("<II", first)
            if count < 1000 and text < 1000:
                first = first.ljust(8 + text + 8 * count, b"\0")
        return super().deserialize(Payload((first, *others), payload.content_type))


class RaisesItsOwnError(TrackSerializer):
    def deserialize(self, payload: Payload) -> Track:
        track = super().deserialize(payload)
        if any(number > 1 << 40 for number in track.numbers):
            raise OverflowError("a number too large")
        return track


class IgnoresBuffers(TrackSerializer):
    def deserialize(self, payload: Payload) -> Track:
        count = struct.unpack_from("<II", payload.buffers[0])[1] if payload.buffers and payload.buffers[0][7:] else 0
        return super().deserialize(Payload(payload.buffers[: 1 + (count >= 8192)], payload.content_type))


class Suite(SerializerSuite):
    """The suite for tracks; ``caught_by`` is the test that must find the fault, ``made`` the faulty serializer."""

    values = (
        Track("", []),
        Track("one ", [3, -1, 2]),
        Track("two", list(range(300, 0, -1))),
        Track("é", list(range(9000))),
    )
    caught_by: str | None = None
    made: type[Serializer] = TrackSerializer

    @pytest.fixture
    def serializer(self):
        return self.made()


class TestRight(Suite):
    """The right one passes, so that each fault is the cause of its failure."""


def planted(fault: type[Serializer], caught_by: str) -> type[Suite]:
    """The suite run on a fault, with values of its own, as a fault may change them."""
    own = {"values": copy.deepcopy(Suite.values), "made": fault, "caught_by": caught_by, "__module__": __name__}
    return type(f"Test{fault.__name__}", (Suite,), own)


FAULTS = [
    planted(BadName, "test_it_says_what_it_is"),
    planted(UndeclaredContentType, "test_payloads_are_well_formed"),
    planted(ConfigIsNoJson, "test_payloads_are_well_formed"),
    planted(SmallOutOfBand, "test_payloads_are_well_formed"),
    planted(MemoryNotFlat, "test_payloads_are_well_formed"),
    planted(LosesTheEnd, "test_values_come_back"),
    planted(GivesAnotherType, "test_values_come_back"),
    planted(KnowsNoViews, "test_values_come_back"),
    planted(SortsTheValue, "test_putting_changes_nothing"),
    planted(KeepsTheLastOne, "test_nothing_is_kept_between_calls"),
    planted(SharesABuffer, "test_many_threads_may_use_it"),
    planted(DependsOnTheHash, "test_another_process_writes_the_same"),
    planted(TakesAnything, "test_other_values_are_refused"),
    planted(PickleInDisguise, "test_code_needs_trust"),
    planted(TrustsEveryone, "test_code_needs_trust"),
    planted(PadsWhatIsMissing, "test_cut_bytes_are_refused"),
    planted(RaisesItsOwnError, "test_altered_bytes_are_refused"),
    planted(IgnoresBuffers, "test_wrong_buffers_and_configs_are_refused"),
]
globals().update({fault.__name__: fault for fault in FAULTS})
