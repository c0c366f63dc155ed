"""JSON as flows have it: text of UTF-8 and back, without what JSON does not have."""

from __future__ import annotations

import json
import sys
from base64 import b64encode
from typing import Any

__all__ = ["NoJson", "encode", "from_bytes", "parse", "shown"]


_MOST = sys.float_info.max


class NoJson(ValueError):
    """A value has no form as JSON."""


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def _number(text: str) -> float:
    return max(-_MOST, min(_MOST, float(text)))  # beyond it there are no numbers, as in jq


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_DECODER = json.JSONDecoder(parse_constant=_no_constant, parse_float=_number)


def encode(value: Any) -> bytes:
    """A value as compact JSON.

    Raises:
        NoJson: it is of another type, a number without end, nested too deep, or within itself.
    """
    try:
        text = _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise NoJson(str(error)) from None
    try:
        return text.encode()
    except UnicodeEncodeError:  # half of a pair, which is no text
        return text.encode("utf-8", "replace")


def shown(value: Any) -> str:
    """A value within text: text as it is, all else as compact JSON."""
    return value if isinstance(value, str) else encode(value).decode()


def parse(data: bytes | str) -> Any:
    """The value that JSON says.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        text = data if isinstance(data, str) else data.decode()
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def from_bytes(data: bytes) -> Any:
    """What bytes say as JSON; those that are none as base64."""
    try:
        return parse(data)
    except ValueError:
        return b64encode(data).decode()
