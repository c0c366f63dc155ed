"""The catalog of a store that a service keeps, reached over HTTP."""

from __future__ import annotations

from .catalog import HTTPCatalog

__all__ = ["HTTPCatalog"]
