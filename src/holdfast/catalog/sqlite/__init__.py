"""The embedded catalog: one SQLite file, many threads and processes of one machine."""

from __future__ import annotations

from .catalog import SQLiteCatalog

__all__ = ["SQLiteCatalog"]
