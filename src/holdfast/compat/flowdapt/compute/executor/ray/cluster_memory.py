"""The memory of a Ray cluster."""

from __future__ import annotations

from typing import ClassVar

from ..memory import ClusterMemory

__all__ = ["RayClusterMemory"]


class RayClusterMemory(ClusterMemory):
    """The memory of a Ray cluster."""

    engine: ClassVar[str] = "ray"
