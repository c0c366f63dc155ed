"""Runs of workflows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

__all__ = ["WorkflowRun", "WorkflowRunState"]


class WorkflowRunState(StrEnum):
    """How far a run is."""

    pending = "pending"
    """Not begun."""

    running = "running"
    """Begun."""

    finished = "finished"
    """Ended, with a result."""

    failed = "failed"
    """Ended by an error."""


def _now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(kw_only=True)
class WorkflowRun:
    """A run of a workflow.

    Attributes:
        uid: of the run.
        name: of the run.
        workflow: name of the workflow.
        source: who began it.
        started_at: when it began, in UTC.
        finished_at: when it ended, None while it runs.
        result: of the last stage; of a run that failed the name of the error's class, and its message.
        state: see :class:`WorkflowRunState`.
    """

    workflow: str
    uid: UUID = field(default_factory=uuid4)
    name: str = ""
    source: str | None = None
    started_at: datetime = field(default_factory=_now)
    finished_at: datetime | None = None
    result: Any = None
    state: WorkflowRunState = WorkflowRunState.pending

    def __post_init__(self) -> None:
        self.name = self.name or f"{self.workflow}-{self.uid.hex[:8]}"

    def set_finished(self, result: Any = None, state: WorkflowRunState = WorkflowRunState.finished) -> None:
        """End it with a result, in that state."""
        self.result, self.state, self.finished_at = result, state, _now()
