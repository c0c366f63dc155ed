"""Inert results."""

from __future__ import annotations

from . import views

__all__ = ["DataResult"]

DataResult = views.DataResult
