"""Results in a folder."""

from __future__ import annotations

from typing import ClassVar

from ....api import Scope, Store
from ...places import place_of
from .base import Storage

__all__ = ["FileStorage"]


class FileStorage(Storage):
    """A Holdfast store in the folder ``path``."""

    kind: ClassVar[str] = "file"

    def _open(self) -> Store | Scope:
        return place_of("file", self.options["path"]).root
