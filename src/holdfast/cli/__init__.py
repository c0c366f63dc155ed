"""The command line: ``holdfast`` and ``python -m holdfast``, one file a command."""

from __future__ import annotations

from .application import app, main

__all__ = ["app", "main"]
