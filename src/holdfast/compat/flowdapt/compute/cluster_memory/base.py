"""The class of all cluster memories."""

from __future__ import annotations

from ..executor import memory

__all__ = ["ClusterMemory"]

ClusterMemory = memory.ClusterMemory
"""That of :mod:`holdfast.compat.flowdapt.compute.executor.memory`: what engines have stands below this package."""
