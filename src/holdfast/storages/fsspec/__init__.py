"""Bytes behind any protocol that fsspec speaks: ``sftp://``, ``ftp://``, ``hdfs://``, ``smb://``, ``memory://``, …

::

    storage.py    FsspecStorage: a storage on a folder of a file system
    medium.py     whole files, streams and spans through fsspec
    pool.py       file systems of this process, each used by one thread at a time
    failures.py   what an error of a file system means to a caller
"""

from __future__ import annotations

from .storage import FsspecStorage

__all__ = ["FsspecStorage"]
