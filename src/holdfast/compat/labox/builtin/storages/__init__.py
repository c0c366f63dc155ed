"""Storages that come with labox."""

from __future__ import annotations

from .database import DatabaseStorage, database_storage
from .file import FileStorage, file_storage
from .memory import MemoryStorage, memory_storage

__all__ = [
    "DatabaseStorage",
    "FileStorage",
    "MemoryStorage",
    "database_storage",
    "file_storage",
    "memory_storage",
]
