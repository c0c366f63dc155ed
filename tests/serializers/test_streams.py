"""Every shipped serializer of streams passes the suite that ships for them."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.registry import BUILT_IN_STREAMS, Registry
from holdfast.testing.stream_suite import StreamSuite

from .equality import identical
from .test_conformance import MESSAGES, ROWS
from .values import ARRAYS, FRAMES, NESTED, PLAIN


class Suite(StreamSuite):
    name = ""

    @pytest.fixture
    def serializer(self):
        return Registry.default().stream_serializer(self.name)

    def equal(self, one, other):
        return identical(one, other)


class TestValues(Suite):
    name = "holdfast.value-stream@v1"
    streams = (
        [1, "two", None],
        PLAIN,
        [NESTED[0], ARRAYS[-1], FRAMES[1], b"", {}],
        [{"n": number, "half": number / 2} for number in range(300)],
        [b"x" * 300, b"y" * 70_000, b"z" * 270_000],
    )


JSON: list[Any] = [None, True, "text", [], {}, {"a": [1, -2.5, None, {"b": "é"}], "": 10**300}, [[[]]], "\u2028\n\r"]


class TestJsonLines(Suite):
    name = "holdfast.json-lines@v1"
    streams = (JSON, [{"n": number} for number in range(200)], [1])
    delimited = False


class TestMsgpack(Suite):
    name = "holdfast.msgpack-stream@v1"
    streams = (MESSAGES, [{"n": number} for number in range(200)], [b"x" * 200_000, 1, "y" * 70_000])
    delimited = False


class TestCsv(Suite):
    name = "holdfast.csv-rows@v1"
    streams = (ROWS, [[str(row), "x" * row] for row in range(300)], [["\r"]])
    delimited = False


def test_every_one_is_here():
    assert {cls.name for cls in Suite.__subclasses__()} == set(BUILT_IN_STREAMS)
