"""VIKTOR's Storage, File and memoize over a Holdfast store; docs/viktor.md has what is the same and what is not."""

from __future__ import annotations

from .api_v1 import Entity
from .core import Controller, File, Storage, ViktorController
from .utils import memoize
from .views import DataGroup, DataItem, DataResult, DataView

__all__ = [
    "Controller",
    "DataGroup",
    "DataItem",
    "DataResult",
    "DataView",
    "Entity",
    "File",
    "Storage",
    "ViktorController",
    "memoize",
]

_INTERNAL = ("download", "file", "storage")  # modules that the SDK does not have: found by our name only
