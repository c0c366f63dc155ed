"""Workflows in this process."""

from __future__ import annotations

from typing import Any

from ..... import executors
from ...baseworkflow import BaseWorkflow

__all__ = ["LocalWorkflow"]


class LocalWorkflow(BaseWorkflow):
    """Runs one node after the other, in this process."""

    def run(self) -> Any:
        """Run what is not stored, and give the result, or a list of them if there are several nodes."""
        with executors.open("threads", workers=1) as executor:
            results = self._run(self.nodes, executor)
        return results[0] if len(results) == 1 else results
