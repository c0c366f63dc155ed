from __future__ import annotations

from ...clusters.dask_cluster import dask_client, dask_cluster

__all__ = ["dask_client", "dask_cluster"]
