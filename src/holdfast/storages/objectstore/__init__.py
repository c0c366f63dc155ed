"""Bytes as objects in a bucket: S3 and what speaks its language, Azure Blob Storage, Google Cloud Storage.

::

    storage.py      ObjectStorage: a storage on a bucket
    medium.py       whole objects, streams and ranges through obstore
    connection.py   a URL, the environment and given settings to a bucket that can be reached
    profile.py      keys from AWS' shared files and from Azure's connection string
    failures.py     what an error of obstore means to a caller
    library.py      obstore itself, usable in forked children
"""

from __future__ import annotations

from .storage import ObjectStorage

__all__ = ["ObjectStorage"]
