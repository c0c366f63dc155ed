"""Where results are stored."""

from __future__ import annotations

from .storage_factory import storage_factory

__all__ = ["storage_factory"]
