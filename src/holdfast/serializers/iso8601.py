"""Moments as ISO 8601 text, for what other programs are to read. Chosen by name only."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar

from ..errors import DecodeError, UnsupportedValue
from ..payload import Payload
from .base import Serializer

__all__ = ["Iso8601Serializer"]

_CONTENT_TYPE = "text/plain; charset=utf-8"


class Iso8601Serializer(Serializer):
    """``datetime``, naive or at a fixed offset from UTC. One in a zone with a name would come back without it, and is
    :class:`~holdfast.errors.UnsupportedValue`."""

    name: ClassVar[str] = "holdfast.iso8601@v1"
    content_types: ClassVar[tuple[str, ...]] = (_CONTENT_TYPE,)

    def serialize(self, value: Any) -> Payload:
        """Give text such as ``2024-05-17T12:00:00+02:00``."""
        if type(value) is not datetime:
            raise UnsupportedValue(f"{self.name} takes datetime, not {type(value).__name__}")
        if value.fold or not (value.tzinfo is None or _is_plain(value.tzinfo)):
            raise UnsupportedValue(f"ISO 8601 would not give back the zone or the fold of {value!r}")
        return Payload((value.isoformat().encode(),), _CONTENT_TYPE)

    def deserialize(self, payload: Payload) -> datetime:
        """Read exactly the form that :meth:`serialize` gives."""
        if len(payload.buffers) != 1:
            raise DecodeError(f"{self.name} reads one buffer, not {len(payload.buffers)}")
        try:
            text = str(payload.buffers[0], "ascii")
            value = datetime.fromisoformat(text)
        except ValueError as error:
            raise DecodeError(f"the stored bytes are no moment in ISO 8601: {error}") from None
        if value.isoformat() != text:
            raise DecodeError(f"the stored moment {text!r} is not in the form in which moments are written")
        return value


def _is_plain(zone: Any) -> bool:
    """Whether a zone is no more than its offset: a timezone without a name of its own."""
    return type(zone) is timezone and zone.tzname(None) == timezone(zone.utcoffset(None) or timedelta()).tzname(None)
