"""What the serializers of texts and messages refuse."""

from __future__ import annotations

import csv
import datetime as dt
from io import BytesIO
from typing import Any
from zoneinfo import ZoneInfo

import msgpack
import pytest

from holdfast.errors import DecodeError, UnsupportedValue
from holdfast.payload import Payload
from holdfast.registry import Registry
from holdfast.serializers.csv import CsvSerializer

DEFAULT = Registry.default()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("csv", "text", "takes a list of rows, not str"),
        ("csv", [["a"], ("b",)], "row 2 is no list of str"),
        ("csv", [["a", 1]], "row 1 is no list of str"),
        ("csv", [["a" * 131_073]], "more than 131072 characters"),
        ("csv", [["\ud800"]], "lone surrogate"),
        ("iso8601", dt.date(2024, 1, 1), "takes datetime, not date"),
        ("iso8601", dt.datetime(2024, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")), "would not give back the zone"),
        ("iso8601", dt.datetime(2024, 1, 1, fold=1), "or the fold"),
        ("iso8601", dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(0), "x")), "zone"),
        ("msgpack", (1, 2), "would not give back this tuple"),
        ("msgpack", 2**64, "would not give back this int"),
        ("msgpack", [{"a": msgpack.ExtType(1, b"x")}], "not keep all of this list"),
        ("msgpack", [dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)], "would not give back this list"),
        ("msgpack", ["\ud800"], "would not give back this list"),
    ],
)
def test_what_would_come_back_changed_is_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(UnsupportedValue, match=message):
        DEFAULT.serializer(f"holdfast.{name}@v1").serialize(value)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("csv-rows", b"a,b\n"),
        ("csv-rows", b"a,b\r\nc"),
        ("csv-rows", b'a,"b\r\n'),
        ("csv-rows", b'a"b",c"\r\nx'),
        ("csv-rows", b'"a"b\r\n'),
        ("csv-rows", b"\xff\r\n"),
        ("csv-rows", b"a" * 200_000 + b"\r\n"),
        ("json-lines", b"1\n\n2\n"),
        ("json-lines", b"1\n2"),
        ("json-lines", b"1 2\n"),
        ("json-lines", b"\xef\xbb\xbf1\n"),
        ("msgpack-stream", msgpack.packb(1) + b"\xc1"),
        ("msgpack-stream", b"\xdd\xff\xff\xff\xff"),  # a list of four billion
        ("msgpack-stream", b"\x91" * 100_000),
        ("msgpack-stream", msgpack.packb(msgpack.ExtType(5, b"x"))),
        ("msgpack-stream", b"\xdb\x00\x10\x00\x00abc"),
    ],
)
def test_what_was_not_written_is_refused(name: str, data: bytes) -> None:
    serializer = DEFAULT.stream_serializer(f"holdfast.{name}@v1")
    with pytest.raises(DecodeError):
        list(serializer.deserialize_stream(BytesIO(data)))


@pytest.mark.parametrize(
    "text", ["2024-05-17", "20240517T120000", "2024-05-17 12:00:00", "2024-05-17T12:00:00Z", "", "é"]
)
def test_other_forms_of_moments_are_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        DEFAULT.serializer("holdfast.iso8601@v1").deserialize(Payload([text.encode()], "text/plain"))


def test_others_read_it() -> None:
    rows = [["a", 'x "y"'], ["", "1\r\n2"]]
    data = bytes(DEFAULT.serializer("holdfast.csv@v1").serialize(rows).buffers[0])
    assert list(csv.reader(data.decode().splitlines(keepends=True))) == rows
    stream = DEFAULT.stream_serializer("holdfast.msgpack-stream@v1").serialize_stream(iter([1, {"a": [b"x"]}]))
    assert list(msgpack.Unpacker(BytesIO(b"".join(map(bytes, stream))))) == [1, {"a": [b"x"]}]


def test_options_of_csv_go_with_the_rows() -> None:
    rows = [["a;b", '"', " c"], [], ["1\r\n2"]]
    payload = CsvSerializer(dialect="unix", delimiter=";").serialize(rows)
    assert bytes(payload.buffers[0]).startswith(b'"a;b";"""";" c"\n')
    assert DEFAULT.serializer("holdfast.csv@v1").deserialize(payload) == rows
    assert CsvSerializer().serialize(rows).config is None


def test_a_limit_of_the_program_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(DEFAULT.serializer("holdfast.csv@v1").serialize([["a" * 1000]]).buffers[0])
    limit = csv.field_size_limit(100)
    try:
        with pytest.raises(DecodeError, match="field limit"):
            DEFAULT.serializer("holdfast.csv@v1").deserialize(Payload([data], "text/csv"))
    finally:
        csv.field_size_limit(limit)
