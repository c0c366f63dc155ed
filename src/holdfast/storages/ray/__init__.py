"""Memory on a Ray cluster: bytes in Ray's own object store, read without a copy.

::

    storage.py      RayMemory: the storage, as one process uses it
    keeper.py       the actors that hold the references, one for each store and node
    cluster.py      this process' connection to a cluster, and what it is asked through it
    session.py      how a session is named, and told from those that have ended
"""

from __future__ import annotations

from .storage import RayMemory

__all__ = ["RayMemory"]
