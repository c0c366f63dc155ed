"""Labox over a Holdfast store; docs/labox.md has what is the same and what is not."""

from __future__ import annotations

from . import core
from .common.exceptions import NoStorageData, NotRegistered
from .common.types import TagMap
from .core import *  # noqa: F403  each is public, and named there
from .core.storable import Storable

__all__ = ["NoStorageData", "NotRegistered", "Storable", "TagMap", "__version__"]
__all__ += core.__all__

__version__ = "0.1.0"
"""The version of labox whose names these are."""
