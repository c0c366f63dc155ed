"""Bytes as files of a local folder: the storage of every embedded store.

::

    storage.py   FileStorage: the contract, verb by verb
    folders.py   a writer's own folder and its lock; what dead writers left
    writing.py   a new file: complete and named when it is finished, or gone
    disk.py      reaching the disk, and what an OSError means to a caller
"""

from __future__ import annotations

from .storage import FileStorage

__all__ = ["FileStorage"]
