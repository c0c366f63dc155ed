"""Inert results."""

from __future__ import annotations

from .views import DataResult

__all__ = ["DataResult"]
