"""Classes to build on, and for single values and streams."""

from __future__ import annotations

from .dataclasses import StorableDataclass
from .simple import StorableStream, StorableValue

__all__ = ["StorableDataclass", "StorableStream", "StorableValue"]
