"""Storage, File and the controller."""

from __future__ import annotations

from typing import Any

from . import file, storage

__all__ = ["Controller", "File", "Storage", "ViktorController"]

File = file.File
Storage = storage.Storage


class ViktorController:
    """The base of an app's controllers. Inert: it takes any keywords and does nothing."""

    def __init__(self, **options: Any) -> None:
        pass


Controller = ViktorController
