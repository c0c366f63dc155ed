"""The storage of a store that keeps everything in its catalog."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from ..errors import StorageFullError, ValueLost
from .base import Storage

__all__ = ["InlineStorage"]


class InlineStorage(Storage):
    """Takes nothing: what is too large for a row of the catalog has no place."""

    name: ClassVar[str] = "holdfast.inline@v1"

    def write(self, *arguments: Any, **options: Any) -> NoReturn:
        """Refuse.

        Raises:
            StorageFullError: always.
        """
        raise StorageFullError(
            "this store keeps everything in its catalog, where a value has at most 256 MB: open it with a storage for "
            "what is larger, such as storage='s3://bucket/prefix'"
        )

    writer = write

    def read(self, config: Any) -> NoReturn:
        """Refuse.

        Raises:
            ValueLost: always.
        """
        raise ValueLost(f"nothing lies outside of the catalog: not {config!r}")

    def read_stream(self, config: Any, offset: int = 0, length: int | None = None) -> NoReturn:
        """As :meth:`read`."""
        self.read(config)

    def delete(self, config: Any) -> None:
        """Do nothing."""
