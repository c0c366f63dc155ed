"""Bytes in the memory of this process."""

from __future__ import annotations

from typing import Self

from .....config import MEMORY
from .....storages.memory import MemoryStorage as NativeMemoryStorage
from ...core.own_storage import OwnStorage

__all__ = ["MemoryStorage", "memory_storage"]


class MemoryStorage(OwnStorage, NativeMemoryStorage):
    """Bytes that are gone with this object; any number of stores may use it."""

    name = "labox.memory@v1"
    ephemeral = True
    url = MEMORY

    def __init__(self, chunk_size: int = 5 << 20) -> None:
        super().__init__()
        self.chunk_size = chunk_size
        self._of: dict[str, Self] = {}

    def of(self, store: str) -> Self:
        """See :meth:`OwnStorage.of`."""
        return self._of.setdefault(store, type(self)(self.chunk_size))

    def close(self) -> None:
        """Do nothing: another store, or the same one opened again, may read on."""


memory_storage = MemoryStorage()
"""One for all."""
