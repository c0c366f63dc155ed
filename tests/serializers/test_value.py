"""Nested plain data: any value comes back exactly, what cannot is named, and hostile bytes are refused cheaply."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import io
import math
import os
import pickle
import struct
import subprocess
import sys
import threading
import tracemalloc
import zoneinfo
from decimal import Decimal
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import DecodeError, UnsupportedValue
from holdfast.payload import OUT_OF_BAND, Payload
from holdfast.registry import Registry
from holdfast.serializers.value import ValueSerializer

from .equality import identical
from .values import NESTED, PLAIN

VALUE = Registry.default().serializer("holdfast.value@v1")
PREFIX = b"\x92\xd4\x00\x00"

offsets = st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23))
fixed = st.none() | st.builds(dt.timezone, offsets) | st.builds(dt.timezone, offsets, st.text(max_size=5))
zones = fixed | st.sampled_from(["Europe/Berlin", "UTC", "America/St_Johns", "Etc/GMT+5"]).map(zoneinfo.ZoneInfo)
# Hypothesis gives no surrogates by default; they are refused, which has a test of its own.
atoms = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**66), 2**66),
    st.floats(),
    st.complex_numbers(),
    st.text(),
    st.binary(),
    st.builds(bytearray, st.binary()),
    st.decimals(allow_nan=True),
    st.uuids(),
    st.dates(),
    st.times(timezones=fixed),
    st.datetimes(timezones=zones),
    st.timedeltas(),
    st.builds(PurePosixPath, st.text(st.characters(exclude_categories=["Cs"]), max_size=8)),
)


def hashable(value: Any) -> bool:
    try:
        hash(value)
    except (TypeError, ValueError):  # ValueError: a signalling NaN
        return False
    return not (isinstance(value, Decimal) and value.is_nan())


# Deferred, as Hypothesis would else print these whole for every filtered draw.
plain = st.deferred(lambda: atoms)
keys = st.deferred(
    lambda: st.recursive(
        atoms.filter(hashable),
        lambda items: st.lists(items, max_size=3).map(tuple) | st.frozensets(items, max_size=3),
        max_leaves=6,
    )
)
values = st.recursive(
    plain,
    lambda items: st.one_of(
        st.lists(items, max_size=6),
        st.lists(items, max_size=6).map(tuple),
        st.dictionaries(keys, items, max_size=6),
        st.dictionaries(st.text(), items, max_size=6),
        st.sets(keys, max_size=6),
        st.frozensets(keys, max_size=6),
    ),
    max_leaves=40,
)


def there_and_back(value: Any, serializer: Any = VALUE) -> Any:
    payload = serializer.serialize(value)
    return serializer.deserialize(Payload([bytes(buffer) for buffer in payload.buffers], payload.content_type))


@given(values)
def test_any_value_comes_back(value):
    assert identical(value, there_and_back(value))


@given(st.binary())
def test_any_bytes_are_read_or_refused(data):
    for hostile in (data, PREFIX + data):
        try:
            VALUE.deserialize(Payload([hostile], "application/msgpack"))
        except DecodeError:
            pass


message = st.recursive(
    st.none() | st.integers(-5, 300) | st.text(max_size=5) | st.binary(max_size=5)
    | st.builds(msgpack.ExtType, st.integers(0, 50), st.binary(max_size=12) | st.just(b"\0")),
    lambda items: st.lists(items, max_size=8) | st.dictionaries(st.text(max_size=3), items, max_size=4),
)  # fmt: skip


@given(message, st.lists(st.binary(max_size=3), max_size=3))
def test_any_well_formed_message_is_read_or_refused(data, buffers):
    """Random bytes hardly ever get past the first length; these are messages of the right grammar."""
    hostile = Payload([PREFIX + msgpack.packb(data), *buffers], "application/msgpack")
    try:
        VALUE.deserialize(hostile)
    except DecodeError:
        pass


def test_plain_data_is_plain_msgpack():
    """Any other language can read what has no Python types in it."""
    plain = {"a": [1, -2.5, None, True, "é", b"\x00"], "b": {"c": {}}}
    (data,) = VALUE.serialize(plain).buffers
    assert msgpack.unpackb(data) == plain


def test_false_alarms_leave_it_plain():
    """Bytes that look like an extension's do not make the slower form."""
    plain = {
        "floats": [math.pi * n for n in range(100)],
        "bytes": b"\xc7\xd4",
        "text": "Ø×Ôñ",
        "ints": list(range(190, 230)),
    }
    (data,) = VALUE.serialize(plain).buffers
    assert msgpack.unpackb(data) == plain
    assert there_and_back(plain) == plain


def test_disguised_types_are_found():
    """msgpack packs these without a word, as something else."""
    assert type(there_and_back({"x": [bytearray(b"abc")]})["x"][0]) is bytearray
    for disguised in (memoryview(b"abc"), msgpack.ExtType(1, b"\0"), msgpack.Timestamp(5)):
        for value in (
            disguised,
            [[disguised]],
            {"a": {"b": disguised}},
            {disguised: 1} if disguised.__hash__ else [disguised],
        ):
            with pytest.raises(UnsupportedValue):
                VALUE.serialize(value)


def test_large_bytes_are_out_of_band():
    value = {"a": b"x" * OUT_OF_BAND, "b": [bytearray(b"y" * OUT_OF_BAND)], "c": b"z" * (OUT_OF_BAND - 1)}
    payload = VALUE.serialize(value)
    assert [len(buffer) for buffer in payload.buffers[1:]] == [OUT_OF_BAND, OUT_OF_BAND]
    assert payload.buffers[1] is value["a"], "it was copied"
    assert identical(value, there_and_back(value))


def test_nested_arrays_are_not_copied():
    array = np.arange(100_000)
    payload = VALUE.serialize({"a": [array]})
    assert np.shares_memory(np.frombuffer(payload.buffers[1], "i8"), array)
    memory = memoryview(bytearray(payload.buffers[1]))
    back = VALUE.deserialize(Payload([payload.buffers[0], memory], payload.content_type))
    assert np.shares_memory(back["a"][0], np.frombuffer(memory, "i8"))
    back["a"][0][0] = 7
    assert np.array_equal(back["a"][0][1:], array[1:])


def test_without_a_resolver_nothing_nests():
    alone = ValueSerializer()
    with pytest.raises(UnsupportedValue, match=r"value\['a'\]\[0\].*numpy\.ndarray"):
        alone.serialize({"a": [np.zeros(2)]})
    payload = VALUE.serialize({"a": [np.zeros(2)]})
    with pytest.raises(DecodeError, match=r"holdfast\.numpy@v1"):
        alone.deserialize(payload)


class Colour(enum.Enum):
    RED = 1


class Text(str):
    __slots__ = ()


Pair = collections.namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"a": [1, {"b": object()}]}, r"value\['a'\]\[1\]\['b'\].*builtins\.object"),
        ([Colour.RED], r"value\[0\].*Colour"),
        ({"x": Text("a")}, r"value\['x'\].*Text"),
        ({"x": Pair(1, 2)}, r"value\['x'\].*Pair"),
        ((collections.OrderedDict(),), r"value\[0\].*OrderedDict"),
        ({(1, object): 2}, r"the key <tuple> of value\[1\].*type"),
        ({1, (2, range(3))}, r"an item of value\[1\].*range"),
        (["\ud800"], r"value\[0\].*lone surrogate"),
        ({"\ud800": 1}, r"the key '\\ud800' of value.*lone surrogate"),
        ([dt.datetime(2024, 1, 1, tzinfo=type("Zone", (dt.tzinfo,), {})())], r"value\[0\].*time zone"),
        ([np.array([None])], r"value\[0\].*dtype\('O'\)"),
        ([PureWindowsPath, 1], r"value\[0\].*type"),
    ],
)
def test_what_it_cannot_hold_is_named(value, says):
    with pytest.raises(UnsupportedValue, match=says):
        VALUE.serialize(value)


def test_a_zone_without_a_key_is_refused():
    counts = struct.pack(">6l", 0, 0, 0, 0, 1, 4)  # a zone file with nothing but one type of local time
    zone = zoneinfo.ZoneInfo.from_file(
        io.BytesIO(b"TZif" + bytes(16) + counts + struct.pack(">lbb", 3600, 0, 0) + b"LMT\0")
    )
    with pytest.raises(UnsupportedValue, match="no key"):
        VALUE.serialize([dt.datetime(2024, 1, 1, tzinfo=zone)])


def test_depth():
    """Moderate depth is held, too much and cycles are refused, in the quick form and in the other."""
    for wrap in (lambda inner: [inner], lambda inner: (inner,), lambda inner: {"a": inner}):
        value: Any = 1
        for _ in range(200):
            value = wrap(value)
        assert there_and_back(value) == value
        for _ in range(2000):
            value = wrap(value)
        with pytest.raises(UnsupportedValue, match="deep"):
            VALUE.serialize(value)
    cycle: list[Any] = []
    cycle.append((cycle,))
    with pytest.raises(UnsupportedValue, match="itself"):
        VALUE.serialize(cycle)


def ext(code: int, data: bytes) -> bytes:
    return bytes(msgpack.packb(msgpack.ExtType(code, data)))


def mark(code: int, *items: Any) -> Any:
    return [msgpack.ExtType(code, b"\0"), *items]


def nested(name: Any, inline: bytes | None, count: int = 0) -> bytes:
    return PREFIX + bytes(msgpack.packb(mark(7, name, "x/y", None, None, inline, 1, count)))


HOSTILE = {
    "nothing": b"",
    "array of 2**32": b"\xdd\xff\xff\xff\xff" + b"\0" * 10,
    "map of 2**32": b"\xdf\xff\xff\xff\xff" + b"\0" * 10,
    "text of 2**32": b"\xdb\xff\xff\xff\xff" + b"a" * 10,
    "bytes of 2**32": b"\xc6\xff\xff\xff\xff" + b"a" * 10,
    "extension of 2**32": PREFIX + b"\xc9\xff\xff\xff\xff\x20" + b"a" * 10,
    "deep lists": b"\x91" * 100_000 + b"\xc0",
    "deep marked lists": PREFIX + b"\x92\xd4\x01\x00" * 100_000 + b"\xc0",
    "deep maps": b"\x81\xa0" * 100_000 + b"\xc0",
    "trailing": b"\xc0\xc0",
    "a dict as key": b"\x81\x80\xc0",
    "a byte that msgpack never uses": b"\xc1",
    "text that is no UTF-8": b"\xa1\xff",
    "an extension without the prefix": ext(32, b"\x01" + b"\0" * 9),
    "an unknown extension": PREFIX + ext(99, b"x"),
    "a small integer as extension": PREFIX + ext(32, b"\x05"),
    "a long form of an integer": PREFIX + ext(32, b"\0\0\x01" + b"\0" * 9),
    "a date that is none": PREFIX + ext(34, b"2024-02-30"),
    "a date in another form": PREFIX + ext(34, b"20240229"),
    "a year of five digits": PREFIX + ext(36, b"10000-01-01T00:00:00"),
    "a time span too long": PREFIX + ext(37, b"1000000000,0,0"),
    "a time span of many digits": PREFIX + ext(37, b"9" * 5000 + b",0,0"),
    "an unknown zone": PREFIX + ext(36, b"2024-01-01T00:00:00|0ZNo/Such"),
    "a zone that is a path": PREFIX + ext(36, b"2024-01-01T00:00:00|0Z../../etc/passwd"),
    "a zone that is absolute": PREFIX + ext(36, b"2024-01-01T00:00:00|0Z/etc/passwd"),
    "a zone that is a module": PREFIX + ext(36, b"2024-01-01T00:00:00|0Zos.path"),
    "a zone that is a folder": PREFIX + ext(36, b"2024-01-01T00:00:00|0ZEurope"),
    "an offset of days": PREFIX + ext(36, b"2024-01-01T00:00:00|0O999999999999999"),
    "a fold of 7": PREFIX + ext(36, b"2024-01-01T00:00:00|7"),
    "a decimal that is none": PREFIX + ext(38, b"1.2.3"),
    "a decimal with spaces": PREFIX + ext(38, b" 1"),
    "a decimal with an absurd exponent": PREFIX + ext(38, b"1E+99999999999999999999"),
    "a UUID too short": PREFIX + ext(39, b"short"),
    "a UUID too long": PREFIX + ext(39, b"x" * 18),
    "a path of no family": PREFIX + ext(40, b"zabc"),
    "a path not in normal form": PREFIX + ext(40, b"pa//b"),
    "a complex number too short": PREFIX + ext(33, b"x" * 15),
    "a mark alone": PREFIX + ext(1, b"\0"),
    "a mark with content": PREFIX + msgpack.packb([msgpack.ExtType(1, b"\1"), 1]),
    "a mark in the middle": PREFIX + msgpack.packb([1, msgpack.ExtType(1, b"\0")]),
    "two marks": PREFIX + msgpack.packb([msgpack.ExtType(1, b"\0"), msgpack.ExtType(1, b"\0")]),
    "a set of equal items": PREFIX + msgpack.packb(mark(2, 1, 1)),
    "a set of lists": PREFIX + msgpack.packb(mark(2, [])),
    "a dict of equal keys": PREFIX + msgpack.packb(mark(4, 1, 2, 1, 3)),
    "a dict without a last value": PREFIX + msgpack.packb(mark(4, 1, 2, 3)),
    "a buffer that is not there": PREFIX + msgpack.packb(mark(5, 1, 5)),
    "the in-band buffer": PREFIX + msgpack.packb(mark(5, 0, 5)),
    "a buffer counted from the end": PREFIX + msgpack.packb(mark(5, -1, 5)),
    "a buffer named by a text": PREFIX + msgpack.packb(mark(5, "1", 5)),
    "a nested pickle": nested("holdfast.pickle@v1", pickle.dumps(1)),
    "a nested value of this kind": nested("holdfast.value@v1", b"\xc0"),
    "a nested value of nobody's": nested("no.such@v1", b""),
    "a nested value without a name": nested(5, b""),
    "a nested value with too many buffers": nested("holdfast.numpy@v1", b"", 2**40),
    "a nested value without bytes": nested("holdfast.numpy@v1", None),
    "nested nonsense": nested("holdfast.numpy@v1", b"junk"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_bytes_are_refused_in_little_memory(case):
    payload = Payload([HOSTILE[case]], "application/msgpack")
    with pytest.raises(DecodeError):  # once before, so that what is imported is not counted
        VALUE.deserialize(payload)
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            VALUE.deserialize(payload)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 * len(HOSTILE[case]) + 1_000_000


def test_wrong_out_of_band_buffers_are_refused():
    payload = VALUE.serialize([b"x" * 70_000, b"y" * 70_000])
    first, one, two = payload.buffers
    twice = PREFIX + msgpack.packb([mark(5, 1, 70_000), mark(5, 1, 70_000)])
    for buffers in (
        [first, one],
        [first, one, two, two],
        [first],
        [first, one, two[:-1]],
        [twice, one],
        [b"\xc0", one],
    ):
        with pytest.raises(DecodeError):
            VALUE.deserialize(Payload(buffers, "application/msgpack"))


def test_results_hold_no_foreign_objects():
    """msgpack's own time stamps, which are never written, are read as datetimes, not as a class of msgpack's."""
    found = VALUE.deserialize(Payload([b"\xd6\xff\x00\x00\x00\x01"], "application/msgpack"))
    assert found == dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.timezone.utc)
    assert type(found) is dt.datetime


def test_decimals_do_not_depend_on_the_context():
    with decimal.localcontext() as context:
        context.prec, context.capitals = 2, 0
        assert identical(there_and_back([Decimal("1.23456e+50")]), [Decimal("1.23456e+50")])


@pytest.mark.parametrize("seed", ["0", "1", "31337"])
def test_hash_seeds_do_not_matter(seed):
    """Sets and dicts written under one order of hashes are read under another."""
    script = (
        "import sys; from holdfast.registry import Registry\n"
        "value = {frozenset({'a', ('b', 'c')}): {'x', 'y', 'z', b'q', None}, 'k': {('t', n) for n in range(50)}}\n"
        "sys.stdout.buffer.write(Registry.default().serializer('holdfast.value@v1').serialize(value).buffers[0])"
    )
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
    value = {frozenset({"a", ("b", "c")}): {"x", "y", "z", b"q", None}, "k": {("t", n) for n in range(50)}}
    assert VALUE.deserialize(Payload([done.stdout], "application/msgpack")) == value


def test_a_list_as_a_key_which_is_never_written_is_read_as_a_tuple():
    assert ValueSerializer().deserialize(Payload([b"\x81\x91\x01\xc0"], "application/msgpack")) == {(1,): None}


def test_packers_are_not_shared():
    """A packer in use is nobody else's, whatever switches between threads; one that grew is dropped."""
    from holdfast.serializers import value as module

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    wrong: list[bool] = []

    def work(number: int) -> None:
        value = {"n": number, "list": [number] * 50, "text": str(number) * 50}
        wrong.extend(True for _ in range(500) if VALUE.deserialize(VALUE.serialize(value)) != value)

    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not wrong
    module._packers.clear()
    VALUE.serialize(["x" * 1_000_000])
    assert not module._packers
    VALUE.serialize(["x"])
    assert len(module._packers) == 1


@pytest.mark.parametrize("number", range(len(PLAIN) + len(NESTED)))
def test_known_values_come_back(number):
    value = [*PLAIN, *NESTED][number]
    assert identical(value, there_and_back(value))
    assert identical([(value,)], there_and_back([(value,)]))
