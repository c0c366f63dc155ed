"""Moving a store: to a folder of plain files and back, and to another store."""

from __future__ import annotations

from .results import Copied, Exported
from .verbs import Exchanging, read_key

__all__ = ["Copied", "Exchanging", "Exported", "read_key"]
