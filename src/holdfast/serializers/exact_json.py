"""JSON that gives back what it was given, or refuses it: for the serializers that stand on it."""

from __future__ import annotations

import json
import math
from typing import Any

from ..errors import DecodeError, UnsupportedValue
from ..payload import Buffer

__all__ = ["dump", "load"]

_MAX_DEPTH = 200
_LIMIT = 10**640  # Python converts this many digits whatever limit a program sets


def dump(value: Any) -> bytes:
    """Compact JSON in UTF-8; keys stay in their order.

    Raises:
        UnsupportedValue: JSON would not give back the value; the message has the path to what is wrong.
    """
    _check(value, "value", 0)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise UnsupportedValue("a str inside the value has a lone surrogate: it is no UTF-8") from None


def load(data: Buffer, problem: str) -> Any:
    """Read strictly: no NaN, no equal keys, no other encoding than UTF-8.

    Raises:
        DecodeError: it is no such JSON; ``problem`` begins the message.
    """
    try:
        text = str(data, "utf-8")
        return json.loads(text, parse_constant=_refuse, parse_float=_float, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"{problem}: {error}") from None


def _check(value: Any, path: str, depth: int) -> None:
    kind = type(value)
    if kind is dict or kind is list:
        if depth > _MAX_DEPTH:
            raise UnsupportedValue(f"the value is nested more than {_MAX_DEPTH} levels deep, or refers to itself")
        for key, item in value.items() if kind is dict else enumerate(value):
            if kind is dict and type(key) is not str:
                raise UnsupportedValue(f"JSON cannot hold a key of type {type(key).__name__}, in {path}")
            if type(item) is not str:
                _check(item, f"{path}[{key!r}]", depth + 1)
    elif kind is float:
        if not math.isfinite(value):
            raise UnsupportedValue(f"JSON cannot hold {value}, at {path}")
    elif kind is int:
        if not -_LIMIT < value < _LIMIT:
            raise UnsupportedValue(f"the integer at {path} has more than 640 digits")
    elif kind is not str and kind is not bool and value is not None:
        raise UnsupportedValue(f"JSON would not give back the {kind.__name__} at {path}")


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object with equal keys")
    return result
