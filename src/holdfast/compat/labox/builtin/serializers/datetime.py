"""Moments as ISO 8601."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from ...core.own import OwnSerializer

__all__ = ["Iso8601Serializer", "iso8601_serializer"]


class Iso8601Serializer(OwnSerializer):
    """``datetime``, naive or at a fixed offset from UTC."""

    name = "labox.datetime.iso8601@v1"
    native = "holdfast.iso8601@v1"
    types: ClassVar[Any] = (datetime,)
    content_types = ("text/plain",)


iso8601_serializer = Iso8601Serializer()
"""The usual one."""
