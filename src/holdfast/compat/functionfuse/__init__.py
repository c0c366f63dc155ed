"""Function Fuse's workflows and storages over Holdfast's task graphs."""

from __future__ import annotations

from .workflow import workflow
from .workflow import workflow as task

__all__ = ["task", "workflow"]

_INTERNAL = ("errors", "places")  # modules that the original does not have: found by our name only
