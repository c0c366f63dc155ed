"""Chosen types go apart: parts of a value that are too large for memory, or that only their own library can write, lie
beside it in the same record, each kept by a class for its type.

::

    from holdfast import apart

    apart.put(scope, "result", {"grid": dask_array, "score": 0.9})
    scope.get("result")["grid"]    # a lazy array of the same chunks

What goes apart without being asked for: dask arrays, chunk by chunk (HDF5 on files, Zarr in buckets); dask's frames and
polars' lazy frames, as partitioned Parquet.

::

    contract.py    what a persistent serializer is; table.py which there are
    record.py      put, get, delete
    pickling.py    the value, with what went apart only named in it
    outgoing.py    the files of a record while it is written
    stored.py      and as they lie there
    protocols.py   how serializers open them; folder.py as a file system of fsspec
    steady.py      files for libraries that do not bear one which fails
    arrays.py, frames.py, lazy.py   the shipped serializers
"""

from __future__ import annotations

from .contract import FILE_PROTOCOL, S3_PROTOCOL, PersistentSerializer
from .record import delete, get, put, registered
from .table import Table

__all__ = ["FILE_PROTOCOL", "S3_PROTOCOL", "PersistentSerializer", "Table", "delete", "get", "put", "registered"]
