"""What the VIKTOR face raises beside Holdfast's own errors."""

from __future__ import annotations

from ...errors import NotFoundError

__all__ = ["EntityNotFoundError", "MissingFileError"]


class EntityNotFoundError(NotFoundError):
    """The entity was dropped."""


class MissingFileError(NotFoundError, FileNotFoundError):
    """No file under that key, or at that path or URL (also a :class:`FileNotFoundError`)."""
