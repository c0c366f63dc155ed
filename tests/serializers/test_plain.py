"""Bytes, text, integers and JSON: what is not theirs is refused, in both directions."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import DecodeError, UnsupportedValue
from holdfast.payload import Payload
from holdfast.serializers.json import JsonSerializer
from holdfast.serializers.plain import BytesSerializer, IntSerializer, TextSerializer

from .equality import identical

BYTES, TEXT, INT, JSON = BytesSerializer(), TextSerializer(), IntSerializer(), JsonSerializer()


class Str(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("serializer", "value"),
    [
        (BYTES, bytearray(b"a")),
        (BYTES, memoryview(b"a")),
        (BYTES, "a"),
        (TEXT, b"a"),
        (TEXT, Str("a")),
        (TEXT, "\ud800"),
        (INT, True),
        (INT, 1.0),
        (INT, 10**640),
    ],
)
def test_other_values_are_refused(serializer, value):
    with pytest.raises(UnsupportedValue):
        serializer.serialize(value)


def test_bytes_are_not_copied():
    data = b"x" * 1000
    payload = BYTES.serialize(data)
    assert payload.buffers[0] is data
    assert BYTES.deserialize(payload) is data
    assert type(BYTES.deserialize(Payload([memoryview(bytearray(b"abc"))], "x/y"))) is bytes


@pytest.mark.parametrize("data", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"])
def test_text_is_utf8(data):
    with pytest.raises(DecodeError):
        TEXT.deserialize(Payload([data], "text/plain"))


@given(st.integers(-(10**640) + 1, 10**640 - 1))
def test_any_integer_comes_back(value):
    payload = INT.serialize(value)
    assert payload.buffers[0] == str(value).encode()
    assert identical(value, INT.deserialize(payload))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"-",
        b"+1",
        b" 1",
        b"1 ",
        b"01",
        b"-0",
        b"1_0",
        b"0x1",
        b"1.0",
        b"1e3",
        "\u0661".encode(),
        b"9" * 641,
        b"9" * 10**6,
        b"1\0",
    ],
)
def test_integers_are_strict(data):
    with pytest.raises(DecodeError):
        INT.deserialize(Payload([data], "application/json"))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**640) + 1, 10**640 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda items: st.lists(items) | st.dictionaries(st.text(), items),
    max_leaves=20,
)


@given(json_values)
def test_any_json_comes_back(value):
    assert identical(value, JSON.deserialize(JSON.serialize(value)))


class Int(int):
    pass


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ((1, 2), "tuple at value"),
        ({"a": [1, (2,)]}, r"tuple at value\['a'\]\[1\]"),
        ({1: 2}, "key of type int, in value"),
        ({"a": {None: 2}}, r"key of type NoneType, in value\['a'\]"),
        ([math.nan], r"nan, at value\[0\]"),
        ({"x": math.inf}, r"inf, at value\['x'\]"),
        ([Int(1)], r"Int at value\[0\]"),
        (b"bytes", "bytes at value"),
        ({"a": {1}}, r"set at value\['a'\]"),
        ([10**640], r"value\[0\] has more than 640 digits"),
        (["\ud800"], "surrogate"),
        ({"\ud800": 1}, "surrogate"),
    ],
)
def test_what_json_would_change_is_named(value, says):
    with pytest.raises(UnsupportedValue, match=says):
        JSON.serialize(value)


def test_depth_and_cycles():
    deep: list[Any] = []
    for _ in range(150):
        deep = [deep]
    assert JSON.deserialize(JSON.serialize(deep)) == deep
    deep.append(deep)
    with pytest.raises(UnsupportedValue, match="itself"):
        JSON.serialize(deep)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[1,]",
        b"{'a': 1}",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e999",
        b'{"a":1,"a":2}',
        b"\xff\xfe1\x00",
        b"1 2",
        b"[" * 100_000,
        b"9" * 100_000,
        b'"\n"',
        "\ufeff1".encode(),
    ],
    ids=lambda data: repr(data[:14]),
)
def test_bad_json_is_refused(data):
    with pytest.raises(DecodeError):
        JSON.deserialize(Payload([data], "application/json"))
