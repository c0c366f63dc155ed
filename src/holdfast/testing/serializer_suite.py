"""What every serializer must do, as tests to inherit.

A serializer's own test file is this::

    class TestTableSerializer(SerializerSuite):
        values = [Table(), Table(rows=[1, 2]), Table(rows=range(100_000))]

        @pytest.fixture
        def serializer(self):
            return TableSerializer()

        def equal(self, one, other):                # only where == does not say it
            return one.rows.tolist() == other.rows.tolist()

The values should be small and large, empty and full: the suite finds only what they show.
"""

from __future__ import annotations

import base64
import copy
import json
import os
import pickle
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import cloudpickle
import pytest

from ..errors import DecodeError, EncodeError, SignatureError
from ..payload import OUT_OF_BAND, Buffer, Payload
from ..serializers.base import Serializer
from .hostile import NAME, Stranger, altered, lengths, sprung, traps

__all__ = ["SerializerSuite"]

_MANY = 4  # buffers that are cut everywhere; of those after them, a few places stand for all
_LEVEL = 64  # what buffers are laid out at

_CHILD = """
import base64, json, sys
sys.path[:] = json.loads(sys.argv[1])
import cloudpickle
serializer, values = cloudpickle.loads(base64.b64decode(sys.stdin.buffer.read()))
payloads = [serializer.serialize(value) for value in values]
parts = [([bytes(buffer) for buffer in p.buffers], p.content_type, p.encoding, p.config) for p in payloads]
sys.stdout.buffer.write(base64.b64encode(cloudpickle.dumps(parts)))
"""


def _stored(payload: Payload, *, mapped: bool, trusted: bool = False) -> Payload:
    """The payload as a store gives it back: bytes of its own, or views of one map at multiples of 64."""
    if not mapped:
        first = bytes(payload.buffers[0])
        buffers: list[Buffer] = [first, *(memoryview(bytearray(buffer)) for buffer in payload.buffers[1:])]
    else:
        offsets = []
        size = 0
        for buffer in payload.buffers:
            offsets.append(size)
            size += -(-len(buffer) // _LEVEL) * _LEVEL
        whole = memoryview(bytearray(size))
        buffers = []
        for offset, buffer in zip(offsets, payload.buffers, strict=True):
            view = whole[offset : offset + len(buffer)]
            view[:] = buffer
            buffers.append(view)
    config = None if payload.config is None else json.loads(json.dumps(payload.config))
    return Payload(buffers, payload.content_type, payload.encoding, config, trusted)


class SerializerSuite:
    """Inherit it, give ``values`` and the fixture ``serializer``, and perhaps :meth:`equal`."""

    values: ClassVar[Sequence[Any]] = ()
    """The values to try, each of which must come back as it was."""

    delimited: ClassVar[bool] = True
    """False when a part of the bytes of a value may be the bytes of another one (as for plain text)."""

    _before: ClassVar[Sequence[Any]] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._before = copy.deepcopy(cls.values)  # now, as the first test of a faulty serializer may change the values

    def equal(self, one: Any, other: Any) -> bool:
        """Whether a value came back as it was; the types are compared beside this."""
        return bool(one == other)

    @pytest.fixture
    def serializer(self) -> Serializer:
        """The serializer to test."""
        raise NotImplementedError("give your serializer by a fixture of this name")

    def read(self, serializer: Serializer, payload: Payload, *, mapped: bool = False) -> Any:
        """Deserialize what a store would give back."""
        return serializer.deserialize(_stored(payload, mapped=mapped, trusted=serializer.executable))

    def check(self, value: Any, result: Any) -> None:
        """Fail unless the result is the value."""
        assert type(result) is type(value), f"a {type(value).__name__} came back as a {type(result).__name__}"
        assert self.equal(value, result), f"{value!r:.200} came back as {result!r:.200}"

    def test_it_says_what_it_is(self, serializer: Serializer) -> None:
        """Name, types and content types are well formed, and there are values to try."""
        assert isinstance(serializer, Serializer), "a serializer inherits from Serializer"
        assert NAME.fullmatch(serializer.name), f"the name {serializer.name!r} is not like my.table@v1"
        assert isinstance(serializer.types, tuple)
        assert all("." in str(name) for name in serializer.types), "types are full names"
        assert isinstance(serializer.content_types, tuple)
        assert serializer.content_types, "there is no content type"
        assert all("/" in content_type for content_type in serializer.content_types)
        assert isinstance(serializer.executable, bool)
        assert self.values, "there are no values to try"

    def test_payloads_are_well_formed(self, serializer: Serializer) -> None:
        """Flat buffers, large ones only out of band, a declared content type, and a config that is JSON."""
        for value in self.values:
            payload = serializer.serialize(value)
            assert isinstance(payload, Payload)
            assert payload.buffers, "a payload has an in-band buffer, be it empty"
            for buffer in payload.buffers:
                assert isinstance(buffer, bytes | bytearray | memoryview), f"a buffer is a {type(buffer).__name__}"
                if isinstance(buffer, memoryview):
                    assert (buffer.ndim, buffer.format, buffer.c_contiguous) == (1, "B", True), (
                        "memory must be flat bytes"
                    )
            small = [len(buffer) for buffer in payload.buffers[1:] if len(buffer) < OUT_OF_BAND]
            assert not small, f"buffers of {small} bytes are out of band, smaller than {OUT_OF_BAND}"
            assert payload.content_type in serializer.content_types
            assert payload.encoding is None or isinstance(payload.encoding, str)
            assert payload.trusted is False, "only a store can say that bytes are to be trusted"
            assert json.loads(json.dumps(payload.config, allow_nan=False)) == payload.config, "the config must be JSON"

    def test_values_come_back(self, serializer: Serializer) -> None:
        """Each value comes back equal and of its own type, from bytes in memory and from a map."""
        for value in self.values:
            payload = serializer.serialize(value)
            self.check(value, self.read(serializer, payload))
            self.check(value, self.read(serializer, payload, mapped=True))

    def test_a_result_can_be_put_again(self, serializer: Serializer) -> None:
        """What was read can be written and read again."""
        for value in self.values:
            result = self.read(serializer, serializer.serialize(value), mapped=True)
            self.check(value, self.read(serializer, serializer.serialize(result)))

    def test_putting_changes_nothing(self, serializer: Serializer) -> None:
        """Serializing leaves the value as it was."""
        for before, value in zip(self._before, self.values, strict=True):
            serializer.serialize(value)
            assert self.equal(before, value), f"serializing changed {before!r:.200} into {value!r:.200}"

    def test_nothing_is_kept_between_calls(self, serializer: Serializer) -> None:
        """Payloads do not depend on what was serialized before or after."""
        payloads = [serializer.serialize(value) for value in self.values]
        for value, payload in reversed(list(zip(self.values, payloads, strict=True))):
            self.check(value, self.read(serializer, payload))

    def test_many_threads_may_use_it(self, serializer: Serializer) -> None:
        """Eight threads at once get their own values back."""
        failures: list[BaseException] = []
        start = threading.Barrier(8)
        small = [value for value in self.values if serializer.serialize(value).size < OUT_OF_BAND] or self.values[:1]
        comparing = threading.Lock()  # comparisons need not be for several threads: those of pandas are not

        def work(seed: int) -> None:
            order = random.Random(seed)
            try:
                start.wait()
                end = time.monotonic() + 2
                for _ in range(100):
                    if time.monotonic() > end:
                        break
                    value = order.choice(small)
                    read = self.read(serializer, serializer.serialize(value))
                    with comparing:
                        self.check(value, read)
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

    def test_another_process_writes_the_same(self, serializer: Serializer) -> None:
        """Bytes written by a process with other hashes and addresses are read here."""
        pickled = cloudpickle.dumps((serializer, list(self.values)))
        values = pickle.loads(pickled)[1]  # what the other process has: some values change by being pickled
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, json.dumps(sys.path)],
            input=base64.b64encode(pickled),
            env={**os.environ, "PYTHONHASHSEED": "4711"},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        parts = pickle.loads(base64.b64decode(done.stdout))
        for value, part in zip(values, parts, strict=True):
            self.check(value, self.read(serializer, Payload(*part)))

    def test_other_values_are_refused(self, serializer: Serializer) -> None:
        """An EncodeError for a value that it does not take: no text of it, no part of it."""
        with pytest.raises(EncodeError):
            serializer.serialize(threading.Lock() if serializer.executable else Stranger())

    def test_code_needs_trust(self, serializer: Serializer) -> None:
        """Whoever runs code refuses untrusted bytes; all others run none, whatever the bytes are."""
        for value in self.values:
            payload = serializer.serialize(value)
            if serializer.executable:
                with pytest.raises(SignatureError):
                    serializer.deserialize(_stored(payload, mapped=False))
            for trap in traps():
                hostile = Payload([trap, *payload.buffers[1:]], payload.content_type, payload.encoding, payload.config)
                sprung.clear()
                _refused_or_read(serializer, hostile)
                assert not sprung, "reading ran the code in the bytes"

    def test_cut_bytes_are_refused(self, serializer: Serializer) -> None:
        """Each buffer cut short gives a DecodeError."""
        if serializer.executable:
            return  # bytes that are not trusted are never looked at, which is tested above
        for value in self.values:
            payload = _stored(serializer.serialize(value), mapped=False)
            for number, buffer in enumerate(payload.buffers):
                for length in lengths(len(buffer)) if number < _MANY else (0, len(buffer) // 2, len(buffer) - 1):
                    cut = [*payload.buffers[:number], buffer[:length], *payload.buffers[number + 1 :]]
                    hostile = Payload(cut, payload.content_type, payload.encoding, payload.config)
                    read = _refused_or_read(serializer, hostile)
                    assert not (read and self.delimited), f"{length} of {len(buffer)} bytes were read as a value"

    def test_altered_bytes_are_refused(self, serializer: Serializer) -> None:
        """Altered bytes give a DecodeError, or a value of that form, and never another exception."""
        if serializer.executable:
            return
        for number, value in enumerate(self.values):
            payload = serializer.serialize(value)
            for hostile in _altered(payload, random.Random(number)):
                _refused_or_read(serializer, hostile)

    def test_wrong_buffers_and_configs_are_refused(self, serializer: Serializer) -> None:
        """Too few or too many buffers, and another config, give a DecodeError."""
        if serializer.executable:
            return
        for value in self.values:
            payload = _stored(serializer.serialize(value), mapped=False)
            kind, encoding, config = payload.content_type, payload.encoding, payload.config
            for buffers in (
                [],
                [*payload.buffers, bytes(OUT_OF_BAND)],
                *([payload.buffers[:-1]] * (len(payload.buffers) > 1)),
            ):
                with pytest.raises(DecodeError):
                    serializer.deserialize(Payload(buffers, kind, encoding, config))
            others: list[Any] = [None, 7, "text", [], {}, {"type": 7}, [[None]], {"": {"": []}}]
            for other in others:
                _refused_or_read(serializer, Payload(payload.buffers, kind, encoding, other))


def _refused_or_read(serializer: Serializer, payload: Payload) -> bool:
    """Whether the payload was read; any exception but a DecodeError goes on to the test."""
    try:
        serializer.deserialize(payload)
    except DecodeError:
        return False
    return True


def _altered(payload: Payload, chance: random.Random) -> Iterator[Payload]:
    """Payloads whose in-band part is altered."""
    for data in altered(bytes(payload.buffers[0] or payload.buffers[-1]), chance):
        buffers = [data, *payload.buffers[1:]] if payload.buffers[0] else [b"", *payload.buffers[1:-1], data]
        yield Payload(buffers, payload.content_type, payload.encoding, payload.config)
