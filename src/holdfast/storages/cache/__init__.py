"""Copies on the local disk of bytes that lie elsewhere, by their digest.

::

    cache.py    DiskCache: a private map of the bytes of a digest, fetched when they are not here
    room.py     how much the copies take together, and which of them make room
    pins.py     which copies are mapped by some process
"""

from __future__ import annotations

from .cache import CacheUsage, DiskCache

__all__ = ["CacheUsage", "DiskCache"]
