"""Payload: what it holds and what it says of itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.payload import OUT_OF_BAND, Buffer, Payload


@given(st.lists(st.binary(max_size=50)))
def test_the_size_is_of_all_buffers(parts: list[bytes]) -> None:
    buffers: list[Buffer] = [part for data in parts for part in (data, bytearray(data), memoryview(data))]
    assert Payload(buffers, "text/plain").size == len(b"".join(buffers))


def test_buffers_are_kept_as_they_are() -> None:
    array = bytearray(OUT_OF_BAND)
    view = memoryview(array)
    payload = Payload([b"head", view], "application/octet-stream")
    assert payload.buffers[1] is view
    array[0] = 7
    assert payload.buffers[1][0] == 7


def test_what_is_not_said_is_nothing() -> None:
    payload = Payload([b""], "text/plain")
    assert (payload.encoding, payload.config, payload.trusted, payload.size) == (None, None, False, 0)


def test_everything_is_kept() -> None:
    payload = Payload([b"x"], "text/csv", "zstd", {"a": [1]}, True)
    assert (payload.content_type, payload.encoding, payload.config, payload.trusted) == (
        "text/csv",
        "zstd",
        {"a": [1]},
        True,
    )


def test_it_holds_nothing_else() -> None:
    payload = Payload([b"x"], "text/csv")
    with pytest.raises(AttributeError):
        payload.digest = b""  # type: ignore[attr-defined]


def test_its_text_shows_no_bytes() -> None:
    assert repr(Payload([b"secret", b"more"], "text/csv")) == "<Payload text/csv of 10 bytes in 2 buffers>"
