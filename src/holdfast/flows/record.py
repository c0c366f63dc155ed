"""What is recorded of an instance, in the scope ``run:ID`` of its namespace.

================  ===================================================================================================
key               value
================  ===================================================================================================
``instance``      its facts, see :func:`new_facts`: written when it begins, when others go on with it, and at its end
``progress``      how far it is: facts that move, and ``data``: its data before the state that it begins next
``definition``,   the text that it runs by, its data at the beginning and at its end: where they are too long for
``input``,        being among the facts
``output``
``log/N``         lines of its log: those of one commit together, but for a few at its end, which are among the facts
================  ===================================================================================================

What is written often is little, and in few records: that is what a commit costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import RLock
from typing import Any, NamedTuple
from uuid import uuid4

from ..address import Path
from ..errors import ConflictError, HoldfastError, LeaseLost, NotFoundError, ScopeDroppedError
from ..lease import Lease
from ..model import Entry
from ..scope import BaseScope
from .batch import Batch
from .failures import Stopped
from .place import Place
from .variables import Write

__all__ = [
    "CANCELLED", "COMPLETE", "CRASHED", "FACTS", "FAILED", "KIND", "LOG", "PENDING", "PROGRESS", "Change", "Record",
    "new_facts", "text_in",
]  # fmt: skip

KIND = "run"
"""Kind of the scopes, which runs of task graphs have, too."""

FACTS, PROGRESS, LOG = "instance", "progress", "log/"
"""Keys in them, and how those of the log begin."""

PENDING, COMPLETE, FAILED, CRASHED, CANCELLED = "pending", "complete", "failed", "crashed", "cancelled"
"""What an instance is; one that crashed is recorded as pending."""

_MOVING = ("state", "step", "flow", "code", "message", "metadata", "wake", "interrupted")
_SHORT = 8192  # characters that may be among the facts
_TRIES = 100
_SOON = 1.0  # seconds after which lines of a log are not kept back any more
_LINES = 1000  # that are kept back at most
_LONGEST = 65_536  # characters of a line
_FEW = 20  # lines that may be among the facts
_REMOVED = 0  # id of no scope
_TROUBLE = 1000  # characters of what made it crash


def new_facts(place: Place, invoker: str, lineage: Sequence[Mapping[str, Any]], state: str) -> dict[str, Any]:
    """The facts of an instance that is about to begin its first state.

    ========================  ===================================================================================
    ``id``, ``path``          its id, and the path of its workflow
    ``invoker``, ``lineage``  who started it; and each instance that is above it, as ``{"id", "state", "branch"}``
    ``status``                ``pending``, ``complete``, ``failed`` or ``cancelled``
    ``state``, ``step``       the state that it begins next, or was at last; and how many it has begun
    ``flow``                  the states that it has begun, the last ones
    ``begun``, ``ended``      when, in seconds since 1970
    ``code``, ``message``     of the error with which it fails
    ``metadata``              what its last state with metadata said, as JSON
    ``wake``                  when its delay ends
    ``interrupted``           whether the error was raised with which ``timeouts.interrupt`` ends
    ``runner``                whose lease says that it is run; None if it is known not to be
    ``claim``                 another text each time that somebody begins to run it, or goes on with it
    ``trouble``               why it is not run
    ``definition``            the text that it runs by
    ``input``, ``output``     its data at the beginning, until it ends, and at its end, if it is complete; as JSON
    ``lines``                 the last lines of its log
    ========================  ===================================================================================
    """
    return {
        "id": place.instance, "path": place.path, "invoker": invoker, "lineage": list(lineage), "status": PENDING,
        "state": state, "step": 0, "flow": [], "begun": place.namespace._kernel.catalog.now(), "ended": None,
        "code": None, "message": None, "metadata": None, "wake": None, "interrupted": False, "runner": None,
        "claim": None, "trouble": None, "lines": [],
    }  # fmt: skip


class Change(NamedTuple):
    """What one commit changes.

    Attributes:
        facts: all of them as they are then.
        data: where it goes on from, as JSON; or at the end of what is complete its output.
        unit: of a unit that goes on.
        writes: variables.
        expected: scope, key and version of variables that must be what they were.
        line: level and text of a line for the log.
    """

    facts: dict[str, Any]
    data: str | None = None
    unit: dict[str, Any] | None = None
    writes: Sequence[Write] = ()
    expected: Sequence[tuple[str, str, int]] = ()
    line: tuple[str, str] | None = None


class Record:
    """Writes down one instance.

    Args:
        lease: says that this process runs it.
    """

    def __init__(self, place: Place, lease: Lease) -> None:
        self.place = place
        self.scope: BaseScope[Any] = place.namespace.scope(KIND, place.instance)
        self._lease = lease
        self._number: int | None = None
        self._lines: list[list[Any]] = []
        self._chunks = 0  # of lines that are written
        self._claim = uuid4().hex
        self._lock = RLock()
        self._written = time.monotonic()

    def begin(self, facts: dict[str, Any], definition: str, data: str, namespace: int) -> None:
        """Write down that it begins; the facts get definition and input, if these are short.

        Args:
            namespace: id of the namespace's scope as it was when the definition was read.

        Raises:
            NotFoundError: the namespace was dropped since.
        """
        facts["claim"] = self._claim

        def make(batch: Batch) -> None:
            self._put_text(batch, facts, "definition", definition)
            self._put_text(batch, facts, "input", data)
            batch.put(self.scope, FACTS, facts)

        try:
            self._commit(make, 1, {self.place.namespace.path: namespace})
        except ScopeDroppedError:
            raise NotFoundError(f"{self.place.namespace} was dropped") from None
        self._number = self.scope._ledger.scope_id(self.scope.path) or _REMOVED

    def _put_text(self, batch: Batch, facts: dict[str, Any], name: str, text: str) -> None:
        if len(text) <= _SHORT:
            facts[name] = text
        else:
            batch.put(self.scope, name, text)

    def take_over(self, facts: dict[str, Any], version: int) -> None:
        """Write down that somebody else runs it now.

        Raises:
            ConflictError: its facts are not at this version any more.
        """
        self._number = self.scope._ledger.scope_id(self.scope.path) or _REMOVED
        facts["claim"] = self._claim

        def make(batch: Batch) -> None:
            batch.expect(self.scope, FACTS, version)
            batch.put(self.scope, FACTS, facts)

        self._commit(make, 1)
        self._chunks = sum(1 for _ in self.scope.keys(LOG))

    @property
    def age(self) -> float:
        """Seconds since the last commit."""
        return time.monotonic() - self._written

    def log(self, text: str, level: str = "info", state: str = "") -> None:
        """Add a line to its log; it is written soon: with the next commit, or by :meth:`write_log`."""
        with self._lock:
            self._lines.append(self._line(text[:_LONGEST].encode("utf-8", "replace").decode(), level, state))
            if self.age > _SOON or len(self._lines) >= _LINES:
                self.write_log()

    def write_log(self) -> None:
        """Write down the lines that are kept back, for who looks at an instance that is about something long."""
        with self._lock:
            if self._lines and self._number is not None:
                with suppress(HoldfastError, Stopped):  # who runs it learns of that when he commits
                    self._commit(self._put_lines)

    def _line(self, text: str, level: str, state: str = "") -> list[Any]:
        return [self.scope._kernel.catalog.now(), level, state, text]

    def commit(self, change: Change) -> None:
        """Write down all that changes, and the log, in one commit.

        Raises:
            ConflictError: a variable is not at the version that is expected.
            Stopped: the instance was removed, or others took over; nothing was written.
        """
        if change.facts["status"] == PENDING:
            self._commit(lambda batch: self._go_on(batch, change))
            return
        self._commit(lambda batch: self._end(batch, change), 1 if change.expected else _TRIES)
        self._drop_variables()

    def _drop_variables(self) -> None:
        """Drop their scope, when it has ended and nothing is left in there."""
        scope = self.place.scope("instance")
        with suppress(HoldfastError):
            if scope.present:
                scope.drop(missing_ok=True)

    def crashed(self, error: BaseException) -> dict[str, Any]:
        """Write down that who claimed it by this does not run it any more; gives its facts as they are recorded then.

        Where it is stays as it was recorded last: what failed may be the answer to a commit that was made, and then
        the instance is claimed, or further than who ran it knows, or has ended.

        Raises:
            Stopped: the instance was removed, or others took over; nothing was written.
        """
        try:
            entry: Entry[dict[str, Any]] = self.scope.entry(FACTS)
        except NotFoundError:
            raise Stopped from None
        facts = entry.value
        if facts.get("claim") != self._claim:
            raise Stopped
        if facts["status"] == PENDING and facts["runner"] is not None:
            stopped = isinstance(error, Stopped)
            why = "it was stopped: it can be resumed" if stopped else f"{type(error).__name__}: {error}"
            facts |= {"runner": None, "trouble": why[:_TROUBLE]}

            def make(batch: Batch) -> None:
                batch.expect(self.scope, FACTS, entry.version)
                batch.put(self.scope, FACTS, facts)
                self._put_lines(batch)

            self._commit(make)
        elif facts["status"] != PENDING:
            self._drop_variables()
        return facts

    def _go_on(self, batch: Batch, change: Change) -> None:
        self._variables(batch, change)
        progress = {name: change.facts[name] for name in _MOVING}
        batch.put(self.scope, PROGRESS, {**progress, "data": change.data, "unit": change.unit})
        self._put_lines(batch)

    def _end(self, batch: Batch, change: Change) -> None:
        lasting = [write for write in change.writes if write.scope != "instance"]
        self._variables(batch, change._replace(writes=lasting))
        facts = {**change.facts, "input": None}
        if change.data is not None:
            self._put_text(batch, facts, "output", change.data)
        if change.line is not None:
            last = self._line(change.line[1], change.line[0])
            lines = [*self._lines, last]
            if len(lines) <= _FEW and sum(len(line[-1]) for line in lines) <= _SHORT:
                facts["lines"] = lines
            else:
                self._put_lines(batch)
                facts["lines"] = [[*last[:-1], last[-1][:_SHORT]]]
        batch.put(self.scope, FACTS, facts)
        scope = self.place.scope("instance")
        if scope.present:  # dropped afterwards; but its variables are gone in the commit that ends the instance
            for key in list(scope.keys()):
                batch.delete(scope, key)

    def _variables(self, batch: Batch, change: Change) -> None:
        scope_of = self.place.scope
        for scope, key, version in change.expected:
            batch.expect(scope_of(scope), key, version)
        for scope, key, mime_type, data in change.writes:
            if data is None:
                batch.delete(scope_of(scope), key)
            else:
                batch.put(scope_of(scope), key, data, mime_type)

    def _put_lines(self, batch: Batch) -> None:
        if self._lines:
            batch.put(self.scope, f"{LOG}{self._chunks:09}", self._lines)

    def _commit(
        self, make: Callable[[Batch], None], tries: int = _TRIES, began: Mapping[Path, int] | None = None
    ) -> None:
        """Commit, and again where it fails because scopes of variables were dropped, or deleted from, meanwhile."""
        if began is None:
            began = self._began
        with self._lock:
            for attempt in range(tries):
                try:
                    batch = Batch(self.scope, self._lease.fence, began)
                    make(batch)
                    batch.commit()
                    break
                except HoldfastError as error:
                    if isinstance(error, LeaseLost) or self.is_gone():
                        raise Stopped from error
                    if not isinstance(error, ConflictError) or attempt == tries - 1:
                        raise
            self._chunks += bool(self._lines)
            self._lines, self._written = [], time.monotonic()

    @property
    def _began(self) -> Mapping[Path, int]:
        return {} if self._number is None else {self.scope.path: self._number}

    def guard(self, inside: Any) -> None:
        """In a transaction: let it be made only if the instance is run here, and was not removed."""
        inside._ledger.commit([], began=self._began, fence=self._lease.fence)

    def is_gone(self) -> bool:
        """Whether the instance was removed, alone or with its namespace."""
        return self._number is not None and self.scope._ledger.scope_id(self.scope.path) != self._number


def text_in(scope: BaseScope[Any], facts: Mapping[str, Any], name: str) -> str | None:
    """A text that is among the facts of an instance, or, where it is long, in a record of its own; None for none."""
    text: str | None = facts.get(name)
    return text if text is not None else scope.get(name, None)
