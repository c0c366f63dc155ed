"""Moments as ISO 8601."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from .....serializers.iso8601 import Iso8601Serializer as NativeIso8601
from ...core.own import NativeSerializer

__all__ = ["Iso8601Serializer", "iso8601_serializer"]


class Iso8601Serializer(NativeSerializer):
    """``datetime``, naive or at a fixed offset from UTC."""

    name = "labox.datetime.iso8601@v1"
    native = NativeIso8601()
    types: ClassVar[Any] = (datetime,)
    content_types = ("text/plain",)


iso8601_serializer = Iso8601Serializer()
"""The usual one."""
