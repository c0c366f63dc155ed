"""The memory of a Dask cluster: of values of any type, and of collections, which stay distributed."""

from __future__ import annotations

from typing import ClassVar

from ..memory import ClusterMemory

__all__ = ["DaskClusterMemory"]


class DaskClusterMemory(ClusterMemory):
    """The memory of a Dask cluster: of values of any type, and of collections, which stay distributed."""

    engine: ClassVar[str] = "dask"
