"""A single value, or a single stream."""

from __future__ import annotations

from typing import TypeVar

from .....storable import simple as native
from ...core.storable import Storable

__all__ = ["StorableStream", "StorableStreamUnpacker", "StorableValue", "StorableValueUnpacker"]

T = TypeVar("T")


class StorableValueUnpacker(native.StorableValueUnpacker):
    """Takes a :class:`StorableValue` as its one content, under labox' name."""

    name = "labox.builtin.storable_value_unpacker@v1"


class StorableStreamUnpacker(native.StorableStreamUnpacker):
    """Takes a :class:`StorableStream` likewise."""

    name = "labox.builtin.storable_stream_unpacker@v1"


class StorableValue(native.StorableValue[T], Storable, class_id="5a044e9f1ab0", unpacker=StorableValueUnpacker()):
    """A value, saved by a serializer and in a storage that may be named by their classes."""


class StorableStream(native.StorableStream[T], Storable, class_id="31198cfb1ab0", unpacker=StorableStreamUnpacker()):
    """A stream of values, likewise."""
