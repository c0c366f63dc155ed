"""Workflows in the thread that runs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from .....executors import Executor, Future, Resources
from ...baseworkflow import BaseWorkflow

__all__ = ["LocalWorkflow"]


class LocalWorkflow(BaseWorkflow):
    """Runs one node after the other, in the thread that runs the workflow: so a node may use what only the main thread
    can, and what ends the program in a node, as Ctrl-C does, ends it at once."""

    def run(self) -> Any:
        """Run what is not stored, and give the result, or a list of them if there are several nodes."""
        with _ThisThread() as executor:
            results = self._run(self.nodes, executor, 1)
        return results[0] if len(results) == 1 else results


class _ThisThread(Executor):
    """Runs a task while it is submitted."""

    name: ClassVar[str] = "threads"  # as nothing travels
    memory: ClassVar[str] = "local"

    @property
    def resources(self) -> Resources:
        return Resources(1.0, None, {})

    def _start(
        self,
        future: Future[Any],
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        needs: Mapping[str, float],
    ) -> None:
        try:
            value = function(*args, **kwargs)
        except Exception as error:
            inner = error.__traceback__.tb_next if error.__traceback__ else None
            future._fail(error.with_traceback(inner))
        else:
            future._finish(value)

    def _end(self) -> None:
        pass
