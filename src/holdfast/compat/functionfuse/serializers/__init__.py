"""Serializers that keep values of one type beside the result that they are in."""

from __future__ import annotations

from ....apart import FILE_PROTOCOL, S3_PROTOCOL

__all__ = ["FILE_PROTOCOL", "S3_PROTOCOL"]
