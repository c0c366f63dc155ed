"""The memory of this machine: for all its processes, by no server."""

from __future__ import annotations

from typing import ClassVar

from ..memory import ClusterMemory

__all__ = ["LocalClusterMemory"]


class LocalClusterMemory(ClusterMemory):
    """The memory of this machine: for all its processes, by no server."""

    engine: ClassVar[str] = "local"
