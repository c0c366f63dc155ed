"""The contract of a serializer: one type of value to bytes and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from ..payload import Payload

__all__ = ["Serializer"]


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
