"""Storage, File and the controller."""

from __future__ import annotations

from typing import Any

from .file import File
from .storage import Storage

__all__ = ["Controller", "File", "Storage", "ViktorController"]


class ViktorController:
    """The base of an app's controllers. Inert: it takes any keywords and does nothing."""

    def __init__(self, **options: Any) -> None:
        """Take what the platform would give."""


Controller = ViktorController
"""The newer name of :class:`ViktorController`."""
