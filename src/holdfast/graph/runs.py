"""Runs as they are recorded: each in a scope ``run:ID`` below the scope whose graph it ran.

=========  =======================================================================================
key        value
=========  =======================================================================================
``run``    its state, times, executor and where it ran: a :class:`RunInfo` as a dict
``nodes``  of each node a row: a :class:`NodeInfo`
=========  =======================================================================================

What lies there beside is on its way from one node to the next, and goes with the run's end.
"""

from __future__ import annotations

import logging
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import BusyError, ConflictError, NotFoundError, StoreError
from ..scope import BaseScope
from .claims import is_alive

if TYPE_CHECKING:
    from .plan import Plan, Step

__all__ = [
    "BROKEN_OFF", "ENDED", "INTERRUPTED", "KIND", "UNDER_WAY", "WITH_ERRORS", "NodeInfo", "Record", "RunInfo", "Runs",
    "new_id",
]  # fmt: skip

KIND = "run"
"""Kind of the scopes of runs."""

UNDER_WAY, ENDED, WITH_ERRORS, INTERRUPTED, BROKEN_OFF = "running", "done", "failed", "interrupted", "broken off"
"""States of a run; it was broken off when whoever ran it is dead."""

_INFO, _NODES = "run", "nodes"
_PAUSE = 1.0  # seconds between two writes of what is going on
_SHARE = 20  # times as long as the last write took, if that is longer
_TEXT = 1000  # characters of an error

_log = logging.getLogger("holdfast")


class RunInfo(NamedTuple):
    """A run.

    Attributes:
        id: names it; later ones sort behind earlier ones.
        state: ``running``, ``done``, ``failed``, ``interrupted``, or ``broken off`` if whoever ran it is dead.
        begun, ended: when.
        reuse: how stored results were found.
        executor: which executor ran its nodes, None if none had to be run.
        targets: names of the nodes that were asked for.
        counts: how many nodes are in each state.
        where: host, process, and the versions of Python and Holdfast.
    """

    id: str
    state: str
    begun: datetime
    ended: datetime | None
    reuse: str | None
    executor: str | None
    targets: tuple[str, ...]
    counts: Mapping[str, int]
    where: Mapping[str, Any]


class NodeInfo(NamedTuple):
    """A node in a run.

    Attributes:
        name: its name.
        task: what its function is called.
        state: see :data:`holdfast.graph.plan.STATES`.
        begun, ended: when it was run; None if it was not.
        tries: how often it was begun.
        key: of its result, in the scope or in ``graph:results`` below it; None if it is not stored.
        version, size: of the record of its result, if this run stored it.
        needs: names of the nodes before it.
        error: what it raised, as text.
    """

    name: str
    task: str
    state: str
    begun: datetime | None
    ended: datetime | None
    tries: int
    key: str | None
    version: int | None
    size: int | None
    needs: tuple[str, ...]
    error: str | None

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        return None if self.begun is None or self.ended is None else (self.ended - self.begun).total_seconds()


_Nodes = list[NodeInfo]  # a class here has a verb of the name list


def new_id() -> str:
    """The id of a run that begins now."""
    return f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S-%f}-{os.urandom(2).hex()}"


class Record:
    """Writes down one run, now and then while it goes on, and at its end."""

    def __init__(self, scope: BaseScope[Any], id: str, plan: Plan, reuse: str | None) -> None:
        self._scope: BaseScope[Any] = scope.scope(KIND, id)
        self._plan = plan
        self._next = 0.0
        self._info: dict[str, Any] = {
            "id": id,
            "state": UNDER_WAY,
            "begun": time.time(),
            "ended": None,
            "reuse": reuse,
            "executor": None,
            "targets": [step.name for step, _ in plan.targets],
            "where": {
                "host": platform.node(),
                "process": os.getpid(),
                "python": platform.python_version(),
                "holdfast": getattr(sys.modules.get(__name__.partition(".")[0]), "__version__", None),
                "program": sys.argv[0] if sys.argv else "",
            },
        }

    def write(self, **facts: Any) -> None:
        """Write all of it down, with these facts changed."""
        begun = time.monotonic()
        self._info |= facts
        self._info["counts"] = dict(self._plan.counts())
        try:
            # Not in one commit, which would wait for the disk where there are many nodes.
            self._scope.put(_NODES, [_row(step) for step in self._plan.steps])
            self._scope.put(_INFO, self._info)
        except (StoreError, BusyError, ConflictError) as error:
            _log.warning("the run %s goes on, but what is recorded of it is not of now: %s", self._info["id"], error)
        self._next = time.monotonic() + max(_PAUSE, _SHARE * (time.monotonic() - begun))

    def now_and_then(self) -> None:
        """Write it down if that is a while ago."""
        if time.monotonic() >= self._next:
            self.write()

    def end(self, state: str) -> None:
        """Write down how it ended."""
        self.write(state=state, ended=time.time())


def _row(step: Step) -> list[Any]:
    error = None if step.problem is None else step.problem[:_TEXT]
    times = step.begun or None, step.ended or None
    key = step.key if step.kept else None
    needs = [need.name for need in step.needs]
    return [step.name, step.task, step.state, *times, step.tries, key, step.version, step.size, needs, error]


class Runs:
    """The runs of a scope's graphs, which :meth:`Scope.run <holdfast.Scope.run>` records."""

    def __init__(self, scope: BaseScope[Any]) -> None:
        self._scope = scope

    def list(self) -> Iterator[RunInfo]:
        """All of them, the newest first."""
        for scope in reversed(list(self._scope.children(KIND))):
            facts = scope.get(_INFO, None)
            if isinstance(facts, dict) and "counts" in facts:
                yield self._shown(facts)

    def get(self, id: str) -> RunInfo:
        """One of them; ``id`` may be the beginning of its id, or ``latest``.

        Raises:
            NotFoundError: there is none.
        """
        return self._shown(self._found(id).get(_INFO))

    def nodes(self, id: str) -> _Nodes:
        """The nodes of a run, in an order in which they could be run.

        Raises:
            NotFoundError: there is no such run.
        """
        return [
            NodeInfo(name, task, state, _time(begun), _time(ended), tries, key, version, size, tuple(needs), error)
            for name, task, state, begun, ended, tries, key, version, size, needs, error in self._found(id).get(_NODES)
        ]

    def remove(self, id: str) -> None:
        """Remove what is recorded of a run. The results stay.

        Raises:
            NotFoundError: there is no such run.
        """
        self._found(id).drop()

    def _found(self, id: str) -> BaseScope[Any]:
        if id != "latest" and self._scope.scope(KIND, id).exists(_INFO):
            return self._scope.scope(KIND, id)  # type: ignore[no-any-return]
        names = [scope.name for scope in self._scope.children(KIND) if id == "latest" or scope.name.startswith(id)]
        if not names or (len(names) > 1 and id != "latest"):
            what = f"{len(names)} runs have ids that begin with" if names else "no run"
            raise NotFoundError(f"{what} {id} in {self._scope}: scope.runs.list() and holdfast runs ls show them")
        return self._scope.scope(KIND, names[-1])  # type: ignore[no-any-return]

    def _shown(self, facts: Mapping[str, Any]) -> RunInfo:
        state = facts["state"]
        if state == UNDER_WAY and not is_alive(self._scope, facts["id"]):
            facts = self._scope.scope(KIND, facts["id"]).get(_INFO, facts)  # it may have ended since it was read
            state = BROKEN_OFF if facts["state"] == UNDER_WAY else facts["state"]
        begun = _time(facts["begun"])
        assert begun is not None
        return RunInfo(
            facts["id"], state, begun, _time(facts["ended"]), facts["reuse"], facts["executor"],
            tuple(facts["targets"]), facts["counts"], facts["where"],
        )  # fmt: skip


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)
