"""Dask arrays, chunk by chunk."""

from __future__ import annotations

from ....apart import arrays

__all__ = ["DaskArraySerializer"]

DaskArraySerializer = arrays.DaskArraySerializer
"""Holdfast's own."""
