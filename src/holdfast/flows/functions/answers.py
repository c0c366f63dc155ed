"""What a function said."""

from __future__ import annotations

from typing import NamedTuple

from ..failures import Failure

__all__ = ["Answer", "brief", "error_of"]

_LONGEST = 10_000  # characters of a message


class Answer(NamedTuple):
    """What a function returned.

    Attributes:
        body: its result.
        failure: the error that it returned instead, or None.
    """

    body: bytes
    failure: Failure | None = None


def error_of(code: str, message: str) -> Failure | None:
    """The error that a function gave a code of; None for an empty one."""
    code = " ".join(code.split())
    return Failure(code[:200], message.strip()[:_LONGEST]) if code else None


def brief(text: bytes, most: int = 500) -> str:
    """The beginning of what a function said, for a message."""
    return " ".join(text[: 4 * most].decode(errors="replace").split())[:most]
