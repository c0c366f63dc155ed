"""Bytes as objects in a bucket: S3 and what speaks its language, Azure Blob Storage, Google Cloud Storage.

::

    storage.py      ObjectStorage: a storage on a bucket, which names its objects itself
    routed.py       RoutedStorage: one whose objects lie where a router says
    routers.py      routers, their pointers, and what is no legal one
    medium.py       whole objects, streams and ranges through obstore
    connection.py   a URL, the environment and given settings to a bucket that can be reached
    profile.py      keys from AWS' shared files and from Azure's connection string
    failures.py     what an error of obstore means to a caller
    library.py      obstore itself, usable in forked children
"""

from __future__ import annotations

from .routed import RoutedStorage
from .routers import Router, simple_blob_router, simple_s3_router
from .storage import ObjectStorage

__all__ = ["ObjectStorage", "RoutedStorage", "Router", "simple_blob_router", "simple_s3_router"]
