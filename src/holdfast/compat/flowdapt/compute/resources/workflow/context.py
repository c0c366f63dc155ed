"""The context of a run: what a stage can ask of the workflow that it is in."""

from __future__ import annotations

from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Any

from ......context import current_context
from ....errors import OutsideRunError

__all__ = ["WorkflowRunContext", "current_namespace", "get_run_context", "reset_run_context", "set_run_context"]


@dataclass(kw_only=True)
class WorkflowRunContext:
    """What a run knows.

    Attributes:
        input: what the run was given, by name.
        namespace: whose keys and artifacts are meant where none is named.
        executor: ``local``, ``ray`` or ``dask``.
        run: the run itself.
        definition: the workflow.
        config: settings of the run.
    """

    input: dict[str, Any] = field(default_factory=dict)
    namespace: str = "default"
    executor: str = "local"
    run: Any = None
    definition: Any = None
    config: dict[str, Any] = field(default_factory=dict)


_current: ContextVar[WorkflowRunContext | None] = ContextVar("flowdapt_run", default=None)


def get_run_context() -> WorkflowRunContext:
    """The context of the run that this code is a stage of.

    Raises:
        OutsideRunError: it is none (a RuntimeError).
    """
    context = _current.get()
    if context is None:
        raise OutsideRunError("no run is current: this is for stages, which execute_workflow() runs")
    return context


def set_run_context(context: WorkflowRunContext) -> Token[WorkflowRunContext | None]:
    """Make a context the current one, until it is reset by the token that this gives."""
    return _current.set(context)


def reset_run_context(token: Token[WorkflowRunContext | None]) -> None:
    """Make the context current that was so before."""
    _current.reset(token)


def current_namespace() -> str:
    """That of the run; outside of runs that of the store's context, else ``default``."""
    try:
        return get_run_context().namespace
    except OutsideRunError:
        context = current_context()
        return "default" if context is None else context.names.get("namespace", "default")
