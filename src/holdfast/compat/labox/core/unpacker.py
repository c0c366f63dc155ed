"""The contract of unpackers."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Any, Required, TypedDict, Union

from ....storable.base import Unpacker as NativeUnpacker
from .component import Component
from .serializer import Serializer, StreamSerializer
from .storage import Storage

__all__ = ["AnyUnpackedValue", "UnpackedValue", "UnpackedValueStream", "Unpacker"]


class Unpacker(Component, NativeUnpacker):
    """Takes objects of some classes apart into named contents, and makes them again of these."""


class UnpackedValue(TypedDict, total=False):
    """A content: a value, and where it has them its serializer and storage."""

    value: Required[Any]
    serializer: Serializer | None
    storage: Storage | None


class UnpackedValueStream(TypedDict, total=False):
    """A content that is a stream of values."""

    value_stream: Required[AsyncIterable[Any]]
    serializer: StreamSerializer | None
    storage: Storage | None


AnyUnpackedValue = Union[UnpackedValue, UnpackedValueStream]
"""A content of either kind."""
