"""Sizes, ages and tags in a person's words."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from ..errors import InvalidArgumentError

__all__ = ["age_text", "count_text", "duration", "left_text", "shown", "size_from", "size_text", "tags_from"]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SPANS = (("y", 31556952.0), ("mo", 2629746.0), ("d", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0))
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?) *(?:([KMGT]?)I?B)?", re.IGNORECASE)


def size_text(size: float) -> str:
    """Bytes in a unit that fits: ``1.2 MB``, of 1024 KB."""
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"


def count_text(number: int, what: str) -> str:
    """``1 record``, ``2 records``."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _span(seconds: float) -> str:
    for unit, length in _SPANS:
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return "0 s"


def age_text(when: datetime) -> str:
    """How long ago: ``3 min ago``."""
    seconds = (datetime.now(timezone.utc) - when).total_seconds()
    return f"{_span(seconds)} ago" if seconds >= 1 else "now"


def left_text(when: datetime) -> str:
    """How long from now: ``in 3 d``."""
    return f"in {_span((when - datetime.now(timezone.utc)).total_seconds())}"


def shown(text: str) -> str:
    """Text of others made fit for a terminal: what is not printable becomes an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def duration(text: str, option: str) -> timedelta:
    """What an option was given as ``90s``, ``15m``, ``12h``, ``30d`` or ``2w``.

    Raises:
        InvalidArgumentError: anything else.
    """
    match = _DURATION.fullmatch(text)
    try:
        if match is not None:
            span = timedelta(seconds=float(match[1]) * _SECONDS[match[2]])
            datetime.now(timezone.utc) + span  # it must be a date that exists
            return span
    except OverflowError:
        pass
    raise InvalidArgumentError(f"{option} takes a time such as 30d, 12h, 15m or 90s, not {text!r}")


def size_from(text: str, option: str, least: int = 1) -> int:
    """How many bytes an option was given as ``1000``, ``64KB``, ``1.5 MB`` or ``2GB``; units as of :func:`size_text`.

    Raises:
        InvalidArgumentError: anything else, or fewer than ``least``.
    """
    match = _SIZE.fullmatch(text)
    size = 0 if match is None else int(float(match[1]) * 1024 ** " KMGT".index((match[2] or " ").upper()))
    if size < least:
        raise InvalidArgumentError(
            f"{option} takes a size from {least} bytes on, such as 1500, 64KB, 1.5MB or 2GB, not {text!r}"
        )
    return size


def tags_from(pairs: list[str] | None) -> dict[str, str] | None:
    """``["stage=eval"]`` as tags; None for none.

    Raises:
        InvalidArgumentError: a pair without ``=`` or without a name.
    """
    tags = {}
    for pair in pairs or ():
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InvalidArgumentError(f"--tag takes name=value, not {pair!r}")
        tags[name] = value
    return tags or None
