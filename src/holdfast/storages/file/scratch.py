"""A file without a name, which goes with whoever has it open."""

from __future__ import annotations

import io
import os
import tempfile
from typing import Any

from .disk import explain

__all__ = ["Scratch"]


class Scratch(io.FileIO):
    """One in a folder, or where temporary files are; a disk that is full is told as a put tells it."""

    def __init__(self, folder: str | None) -> None:
        self._folder = folder or tempfile.gettempdir()
        try:
            with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
                super().__init__(os.dup(file.fileno()), "r+b")
        except OSError as error:
            raise explain(error, self._folder, writing=True) from error

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise explain(error, self._folder, writing=True) from error
