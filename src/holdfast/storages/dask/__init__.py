"""Memory of a Dask cluster: bytes on its workers, found from any client and any worker.

::

    storage.py      DaskMemory: the storage
    configs.py      what names a piece of bytes, and the session that it ends with
    connection.py   which client is in force, and work done on its loop
    cluster.py      pieces to workers, from workers, and away from them
    room.py         which worker has memory for one
    piece.py        a list of buffers as it travels and lies on a worker
    collections.py  Dask's own collections, which stay distributed
    liveness.py     whether a scheduler is still there
    probe.py        whether anybody listens at an address of Dask's
    writing.py      streams, in parts
"""

from __future__ import annotations

from .connection import connect
from .storage import DaskMemory

__all__ = ["DaskMemory", "connect"]
