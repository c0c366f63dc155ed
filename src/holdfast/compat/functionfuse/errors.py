"""Errors as programs written for Function Fuse expect them."""

from __future__ import annotations

from ...errors import DecodeError, NotFoundError

__all__ = ["FileMissing", "InvalidPickle"]


class InvalidPickle(DecodeError):
    """A stored result is not what was stored: truncated, altered or lost (a ValueError)."""


class FileMissing(NotFoundError, FileNotFoundError):
    """No stored result, or no file, of that name."""
