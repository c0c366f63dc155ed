"""What a function said."""

from __future__ import annotations

from base64 import b64encode
from typing import Any, NamedTuple

import msgspec

from ..failures import Failure

__all__ = ["Answer", "brief", "error_of", "value_of"]

_LONGEST = 10_000  # characters of a message


class Answer(NamedTuple):
    """What a function returned.

    Attributes:
        body: its result.
        failure: the error that it returned instead, or None.
    """

    body: bytes
    failure: Failure | None = None


def value_of(body: bytes) -> Any:
    """A result as a flow sees it: the JSON value that it is, else its bytes as base64."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return b64encode(body).decode()


def error_of(code: str, message: str) -> Failure | None:
    """The error that a function gave a code of; None for an empty one."""
    code = " ".join(code.split())
    return Failure(code[:200], message.strip()[:_LONGEST]) if code else None


def brief(text: bytes, most: int = 500) -> str:
    """The beginning of what a function said, for a message."""
    return " ".join(text[: 4 * most].decode(errors="replace").split())[:most]
