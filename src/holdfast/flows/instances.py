"""Instances as they are recorded, whoever runs or ran them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any, NamedTuple
from uuid import UUID

from ..errors import InvalidArgumentError, NotFoundError
from ..lease import is_held, name_in
from ..model import Entry
from ..scope import BaseScope
from .ids import is_id, same_time
from .json_text import parse
from .record import COMPLETE, CRASHED, FACTS, KIND, LOG, PENDING, PROGRESS, text_in

__all__ = ["InstanceInfo", "Instances", "LogLine", "is_alive", "lease_of"]


class InstanceInfo(NamedTuple):
    """An instance.

    Attributes:
        id: a UUID; later ones sort behind earlier ones.
        path: of its workflow.
        status: ``pending``, ``complete``, ``failed``, ``cancelled``; or ``crashed`` if it is pending and nobody
            runs it.
        begun, ended: when.
        invoker: ``api``, ``cli``, or ``instance:ID``.
        lineage: the instances above it, the outermost first, each as ``{"id", "state", "branch"}``.
        state: the one that it begins next, or was at last.
        step: how many states it has begun.
        flow: these states, the last hundred.
        error_code, error_message: with which it failed, or why it crashed; None for none.
        metadata: what its last state with metadata said.
    """

    id: str
    path: str
    status: str
    begun: datetime
    ended: datetime | None
    invoker: str
    lineage: tuple[dict[str, Any], ...]
    state: str
    step: int
    flow: tuple[str, ...]
    error_code: str | None
    error_message: str | None
    metadata: Any


class LogLine(NamedTuple):
    """A line of an instance's log; ``level`` is ``info``, ``warning`` or ``error``, ``state`` empty for none."""

    time: datetime
    level: str
    state: str
    text: str


def lease_of(namespace: BaseScope[Any], runner: str) -> str:
    """The name of the lease that is held by who runs instances of a namespace under this name."""
    return name_in(namespace.path, f"flows/{runner}")


def is_alive(namespace: BaseScope[Any], runner: str | None) -> bool:
    """Whether who runs instances of a namespace under this name is alive."""
    return runner is not None and is_held(namespace._kernel, lease_of(namespace, runner))


class Instances:
    """The instances of a namespace.

    Args:
        own: name of a runner that is known to be alive.
    """

    def __init__(self, namespace: BaseScope[Any], own: str | None = None) -> None:
        self._namespace = namespace
        self._alive: dict[str | None, bool] = {own: own is not None}

    def scope(self, id: str) -> BaseScope[Any]:
        """The scope with what is recorded of an instance.

        Raises:
            InvalidArgumentError: it is no UUID.
        """
        try:
            return self._namespace.scope(KIND, str(UUID(id)))  # type: ignore[no-any-return]
        except (ValueError, AttributeError, TypeError):
            raise InvalidArgumentError(f"an instance is named by its UUID, not by {id!r:.200}") from None

    def ids(self) -> list[str]:
        """The ids of all of them, the newest first."""
        names = [scope.name for scope in self._namespace.children(KIND)]
        return [name for name in reversed(names) if is_id(name)]

    def below(self, id: str) -> list[str]:
        """The ids of the subflows that one has called, and of those that they have, the innermost first."""
        name = self.scope(id).name
        near = [each for each in self.ids() if same_time(each, name)]
        lineages = [(each, self._namespace.scope(KIND, each).get(FACTS, {}).get("lineage", ())) for each in near]
        found = [(len(lineage), each) for each, lineage in lineages if any(above["id"] == name for above in lineage)]
        return [each for _, each in sorted(found, reverse=True)]

    def page(self, limit: int | None = None, skip: int = 0) -> tuple[int, list[InstanceInfo]]:
        """How many there are, and so many of them behind those that are skipped, the newest first.

        Raises:
            InvalidArgumentError: a number is below 0.
        """
        if skip < 0 or (limit is not None and limit < 0):
            raise InvalidArgumentError(f"limit and skip are numbers from 0 on, not {limit} and {skip}")
        ids = self.ids()
        found = []
        for id in ids[skip:] if limit is None else ids[skip : skip + limit]:
            facts = self._namespace.scope(KIND, id).get(FACTS, None)
            if facts is not None:  # else it was removed just now
                found.append(self._shown(facts))
        return len(ids), found

    def get(self, id: str) -> InstanceInfo:
        """One of them.

        Raises:
            NotFoundError: there is none of this id.
        """
        return self._shown(self.facts(id).value)

    def facts(self, id: str) -> Entry[dict[str, Any]]:
        """What is recorded of one, with its record.

        Raises:
            NotFoundError: there is none of this id.
        """
        try:
            return self.scope(id).entry(FACTS)
        except NotFoundError:
            raise NotFoundError(f"there is no instance {id} in {self._namespace}") from None

    def definition(self, id: str) -> str:
        """The text that it runs by.

        Raises:
            NotFoundError: there is none of this id.
        """
        return str(text_in(self.scope(id), self.facts(id).value, "definition"))

    def output(self, id: str) -> Any:
        """The data at its end.

        Raises:
            NotFoundError: there is none of this id, or it is not complete.
        """
        facts = self.facts(id).value
        if facts["status"] != COMPLETE:
            raise NotFoundError(f"the instance {id} is {self._shown(facts).status} and has no output")
        return parse(text_in(self.scope(id), facts, "output") or "{}")

    def log(self, id: str) -> Iterator[LogLine]:
        """Its log, from the beginning.

        Raises:
            NotFoundError: there is none of this id.
        """
        scope = self.scope(id)
        last = self.facts(id).value["lines"]
        chunks = (scope.get(key, ()) for key in list(scope.keys(LOG)))
        for when, level, state, text in (line for lines in (*chunks, last) for line in lines):
            yield LogLine(_time(when), level, state, text)

    def lasts(self, facts: dict[str, Any]) -> bool:
        """Whether somebody runs an instance that has these facts."""
        if facts["status"] != PENDING:
            return False
        runner = facts["runner"]
        if runner not in self._alive:
            self._alive[runner] = is_alive(self._namespace, runner)
        return self._alive[runner]

    def _shown(self, facts: dict[str, Any]) -> InstanceInfo:
        status, message = facts["status"], facts["message"]
        if status == PENDING:
            scope = self._namespace.scope(KIND, facts["id"])
            seen = None
            while facts != seen and not self.lasts(facts):  # he may have ended it, or others have it, since it was read
                seen, facts = facts, scope.get(FACTS, facts)
            status, message = facts["status"], facts["message"]
            if status == PENDING:
                if facts == seen:
                    status, message = CRASHED, facts["trouble"] or "the process that ran it is gone: it can be resumed"
                facts = {**facts, **(scope.get(PROGRESS, None) or {})}
        ended = facts["ended"]
        return InstanceInfo(
            facts["id"], facts["path"], status, _time(facts["begun"]), None if ended is None else _time(ended),
            facts["invoker"], tuple(facts["lineage"]), facts["state"], facts["step"], tuple(facts["flow"]),
            facts["code"], message, None if facts["metadata"] is None else parse(facts["metadata"]),
        )  # fmt: skip


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
