"""Moving a store: to a folder of plain files and back, and to another store."""

from __future__ import annotations

from .running import Moved
from .verbs import Exchanging, read_key

__all__ = ["Exchanging", "Moved", "read_key"]
