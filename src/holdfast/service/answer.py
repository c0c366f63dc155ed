"""What a handler gives."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any, NamedTuple

import msgspec

__all__ = ["JSON", "Answer", "Headers", "as_json", "json_answer"]

Headers = list[tuple[bytes, bytes]]
"""Header fields as ASGI has them, names in lower case."""

JSON = (b"content-type", b"application/json")
"""The header field of answers in JSON."""


class Answer(NamedTuple):
    """What a handler gives.

    Attributes:
        status: of the answer.
        headers: its header fields; the length of a ``body`` of bytes is added.
        body: bytes, or an iterator of them, for which ``headers`` has a length, or that is sent in chunks. It is closed
            when the answer ends in whatever way. None for what HEAD says of a body.
    """

    status: int
    headers: Headers
    body: bytes | AsyncIterator[bytes] | None = b""


def as_json(value: Any) -> bytes:
    """A value as JSON."""
    try:
        return msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):  # large integers, and text that is no UTF-8
        return json.dumps(value, separators=(",", ":")).encode()


def json_answer(status: int, value: Any, headers: Iterable[tuple[bytes, bytes]] = ()) -> Answer:
    """An answer in JSON."""
    return Answer(status, [JSON, *headers], as_json(value))
