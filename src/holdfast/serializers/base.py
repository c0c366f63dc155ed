"""The contracts of serializers: of one type of value, or of a stream of such values, to bytes and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, BinaryIO, ClassVar

from ..payload import Buffer, Payload

__all__ = ["Serializer", "StreamSerializer"]


class Serializer(ABC):
    """Turns values of some types into a :class:`~holdfast.payload.Payload` and back.

    A serializer keeps no state between calls and may be used from many threads at once. What it once wrote it reads
    for ever: a change of format is a new name (``my.table@v2``).

    Attributes:
        name: permanent and unique, ``owner.what@v1``.
        types: full names (``module.qualname``) of the exact types it is chosen for without being asked; names, not
            classes, so that the library that defines them is imported only when such a value is met.
        content_types: the MIME types it writes, the default first.
        executable: True when reading its bytes can run code. The store signs what such a serializer writes, and the
            serializer must raise :class:`~holdfast.errors.SignatureError` for a payload that is not ``trusted``.
        compression: content encoding in which the store keeps what it writes, unless a put says another: ``"zstd"`` or
            ``"lz4"``. The serializer itself gives and is given the bytes without it.
    """

    name: ClassVar[str]
    types: ClassVar[tuple[str, ...]] = ()
    content_types: ClassVar[tuple[str, ...]] = ("application/octet-stream",)
    executable: ClassVar[bool] = False
    compression: ClassVar[str | None] = None

    @abstractmethod
    def serialize(self, value: Any) -> Payload:
        """Give the value as bytes, large buffers out of band and not copied.

        Raises:
            UnsupportedValue: a value of these types that this format cannot give back as it was.
            EncodeError: a value that no format can hold.
        """

    @abstractmethod
    def deserialize(self, payload: Payload) -> Any:
        """Give the value back. Arrays are made over the payload's out-of-band buffers without a copy.

        Raises:
            DecodeError: for any bytes that :meth:`serialize` cannot have given; never another exception, whatever
                the bytes are, and no code of theirs is run.
        """


class StreamSerializer(ABC):
    """Turns a stream of values, its *items*, into one content and back, with few of them in memory at a time.

    It keeps no state between calls and may be used from many threads at once; what it once wrote it reads for ever.

    Attributes:
        name, content_types, executable, compression: as of a :class:`Serializer`, with which it shares the names.
        types: full names of the exact types of items for which it is chosen without being asked, by the first one.
        random_access: True when reading needs a file that can seek. The store then makes a copy of bytes that are
            compressed or far away; else it reads them as they come.
    """

    name: ClassVar[str]
    types: ClassVar[tuple[str, ...]] = ()
    content_types: ClassVar[tuple[str, ...]] = ("application/octet-stream",)
    executable: ClassVar[bool] = False
    compression: ClassVar[str | None] = None
    random_access: ClassVar[bool] = False

    @abstractmethod
    def serialize_stream(self, values: Iterator[Any]) -> Iterator[Buffer]:
        """Give the bytes, piece by piece, and take an item when those of the one before are given. A piece is taken
        when the next one is asked for, so its memory may be used again.

        Raises:
            UnsupportedValue: an item that this format cannot give back as it was; the message gives its number, from 1.
            EncodeError: an item that no format can hold, likewise.
        """

    @abstractmethod
    def deserialize_stream(self, file: BinaryIO) -> Iterator[Any]:
        """Give the items back, each when it is asked for. The file stands at the beginning, and is closed by others.

        Raises:
            DecodeError: for any bytes that :meth:`serialize_stream` cannot have given, a beginning of its bytes
                included where the format can tell; never another exception, and no code of theirs is run. What the
                file raises passes.
        """
