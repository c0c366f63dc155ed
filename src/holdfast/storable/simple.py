"""One value, or one stream of values, as a storable: with a serializer and a storage of its own, and no class."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from ..errors import DecodeError
from .base import Storable, Unpacker, full_name

__all__ = ["StorableStream", "StorableStreamUnpacker", "StorableValue", "StorableValueUnpacker"]

T = TypeVar("T")

_ITEM = "item"


class StorableValueUnpacker(Unpacker):
    """Takes a :class:`StorableValue` as its one content, ``item``."""

    name = "holdfast.storable-value@v1"
    _given = "value"

    def unpack_object(self, obj: Any, registry: Any, /) -> dict[str, dict[str, Any]]:
        """See the contract."""
        return {_ITEM: {self._given: getattr(obj, self._given), "serializer": obj.serializer, "storage": obj.storage}}

    def repack_object(self, cls: type[Any], contents: Mapping[str, Mapping[str, Any]], registry: Any, /) -> Any:
        """See the contract."""
        if self._given not in contents.get(_ITEM, ()):
            raise DecodeError(f"a {full_name(cls)} has a content {_ITEM!r} with a {self._given}, and here is none")
        return cls(contents[_ITEM][self._given])


class StorableStreamUnpacker(StorableValueUnpacker):
    """Takes a :class:`StorableStream` likewise."""

    name = "holdfast.storable-stream@v1"
    _given = "value_stream"


class _One(Storable):
    """What both have in common. Objects are equal when what they hold is."""

    _given: str

    def __init__(self, item: Any, *, serializer: Any = None, storage: Any = None) -> None:
        setattr(self, self._given, item)
        self.serializer = serializer
        self.storage = storage

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and bool(getattr(self, self._given) == getattr(other, self._given))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({getattr(self, self._given)!r})"


class StorableValue(_One, Generic[T], class_id="5a044e9f", unpacker=StorableValueUnpacker()):
    """A value that is stored with a serializer and a storage of its own.

    Attributes:
        value: it.
        serializer, storage: by name, class or instance; None for those that a value of its own has. They are not read
            back.
    """

    value: T
    _given = "value"

    def __init__(self, value: T, *, serializer: Any = None, storage: Any = None) -> None:
        super().__init__(value, serializer=serializer, storage=storage)


class StorableStream(_One, Generic[T], class_id="31198cfb", unpacker=StorableStreamUnpacker()):
    """A stream of values, likewise; read back it is a :class:`~holdfast.Stream`.

    Attributes:
        value_stream: an iterable of the values, synchronous or not.
        serializer, storage: of the stream, as of a :class:`StorableValue`.
    """

    value_stream: Iterable[T] | AsyncIterable[T]
    _given = "value_stream"

    def __init__(
        self, value_stream: Iterable[T] | AsyncIterable[T], *, serializer: Any = None, storage: Any = None
    ) -> None:
        super().__init__(value_stream, serializer=serializer, storage=storage)
