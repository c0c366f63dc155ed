"""What a namespace has from here. What it needs is loaded when it is first used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import InvalidArgumentError
from ..scope import BaseScope

if TYPE_CHECKING:
    from .engine import Engine
    from .instances import InstanceInfo, LogLine

__all__ = ["Flowing", "Flows", "engine_of"]

_List = list  # a class here has a verb of that name


class Flowing:
    """The verbs that a scope has from here."""

    @property
    def flows(self: Any) -> Flows:
        """The flows of this namespace."""
        return Flows(self)


class Flows:
    """The flows of a namespace: definitions that are registered as files in it, and instances of them.

    Raises:
        InvalidArgumentError: when it is used, of a scope that is no namespace.

    ::

        flows = store.namespace("prod").flows
        flows.register("/counter.yaml", text)
        flows.run("/counter.yaml", {"by": 1})
    """

    def __init__(self, namespace: BaseScope[Any]) -> None:
        self._scope = namespace

    @property
    def _namespace(self) -> BaseScope[Any]:
        scope = self._scope
        if len(scope.path) != 1 or scope.kind != "namespace":
            raise InvalidArgumentError(f"flows are of a namespace, as store.namespace('prod').flows, not of {scope}")
        return scope

    def register(self, path: str, text: str) -> str:
        """Make a text the definition of a workflow, and give its path; see
        :func:`~holdfast.flows.workflows.register`.

        Raises:
            DefinitionError: the text is not legal; the message says where, and how to mend it.
        """
        from .workflows import register

        return register(self._namespace, path, text)

    def unregister(self, path: str) -> None:
        """Remove the workflow of a path, and its variables with it; see
        :func:`~holdfast.flows.workflows.unregister`.

        Raises:
            NotFoundError: there is no such workflow.
        """
        from .workflows import unregister

        unregister(self._namespace, path)

    def run(self, path: str, given: Any = None) -> Any:
        """Run an instance of a workflow, and give its output: the data at its end.

        Args:
            path: of the workflow.
            given: its input, a JSON value or the bytes of one.

        Raises:
            FlowFailed: it failed, or was cancelled.
            NotFoundError: there is no such workflow.
            DefinitionError, InvalidArgumentError: its definition, or the input, is not legal.
        """
        return self._engine.run(self._namespace, path, given)

    def start(self, path: str, given: Any = None) -> str:
        """Begin an instance of a workflow in the background, and give its id.

        Raises:
            NotFoundError, DefinitionError, InvalidArgumentError: as of :meth:`run`.
        """
        return self._engine.start(self._namespace, path, given)

    def wait(self, id: str, timeout: float | None = None) -> Any:
        """Wait for the end of an instance, whoever runs it, and give its output.

        Raises:
            FlowFailed: it failed, was cancelled, or crashed.
            TimeoutError: it goes on after so many seconds.
        """
        return self._engine.wait(self._namespace, id, timeout)

    def resume(self, id: str) -> None:
        """Go on with an instance that crashed, in the background; see :meth:`Engine.resume
        <holdfast.flows.engine.Engine.resume>`."""
        self._engine.resume(self._namespace, id)

    def cancel(self, id: str) -> None:
        """End an instance, whoever runs it."""
        self._engine.cancel(self._namespace, id)

    def remove(self, id: str) -> None:
        """Remove what is recorded of an instance that does not go on; what it has written stays."""
        self._engine.remove(self._namespace, id)

    def list(self, limit: int | None = None, skip: int = 0) -> _List[InstanceInfo]:
        """So many instances behind those that are skipped, the newest first."""
        return self._engine.instances(self._namespace).page(limit, skip)[1]

    def get(self, id: str) -> InstanceInfo:
        """One instance."""
        return self._engine.instances(self._namespace).get(id)

    def output(self, id: str) -> Any:
        """The output of an instance that is complete."""
        return self._engine.instances(self._namespace).output(id)

    def log(self, id: str) -> Iterator[LogLine]:
        """The log of an instance, from the beginning."""
        return self._engine.instances(self._namespace).log(id)

    @property
    def _engine(self) -> Engine:
        return engine_of(self._namespace)


def engine_of(scope: Any) -> Engine:
    """The engine of this process for the store of a scope, with the functions that are configured; it is closed with
    the store.

    Raises:
        InvalidArgumentError: the configuration of functions is not legal.
    """
    from .engine import Engine
    from .functions import configured

    companions = scope._kernel.companions
    found: Engine | None = companions.get(Engine)
    return found or companions.setdefault(Engine, Engine(scope, configured()))
