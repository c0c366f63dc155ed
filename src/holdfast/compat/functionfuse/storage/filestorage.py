"""Results in a folder."""

from __future__ import annotations

from typing import ClassVar

from ....api import Store
from ....config import find_config
from ....kernel import shared_kernel
from ....store import OpenKernel
from .base import Storage

__all__ = ["FileStorage"]


class FileStorage(Storage):
    """A Holdfast store in the folder ``path``."""

    kind: ClassVar[str] = "file"

    def _open(self) -> Store:
        return Store(shared_kernel(OpenKernel, find_config(self.options["path"])))
