"""One instance: its states one after the other, and what is recorded in between.

A commit is made with what a setter writes, before and after what takes long or has effects elsewhere, now and then, and
at the end: see docs/decisions/0038.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import BoundedSemaphore, Thread
from typing import Any, NamedTuple

from ..errors import ConflictError, QuotaExceededError
from .definition import Act, Definition, Delay, Foreach, Logic, Parallel, State
from .evaluation.patterns import first
from .expressions import Data, Template
from .failures import Cancelled, Codes, Failure, Fatal
from .functions.action import Caller
from .groups import CANCELLED as WAS_CANCELLED
from .groups import CLOSING, Group
from .json_text import NoJson, encode, shown
from .place import Place
from .record import CANCELLED, COMPLETE, FAILED, PENDING, Change, Record
from .threads import begin_thread
from .unit import Moment, Unit
from .variables import LARGEST, Write

__all__ = ["Above", "Host", "Instance", "Limits", "Result", "earliest"]

_OFTEN = 0.1  # seconds after which what is quick is recorded, too
_FLOW = 100  # ids of states that are recorded, the last ones
_PATIENCE = 5.0  # seconds for calls that are cancelled
_SLOW = (Act, Delay, Foreach, Parallel)


class Limits(NamedTuple):
    """What an instance may use.

    Attributes:
        transitions: states that it may begin.
        depth: subflows in each other.
        threads: calls at the same time of one state.
        elements: of the array of a foreach.
        jq: seconds of an evaluation, or of a check by a schema.
        seconds: that it may be run here, its subflows included; None for as long as it takes.
    """

    transitions: int = 10_000
    depth: int = 16
    threads: int = 16
    elements: int = 10_000
    jq: float = 10.0
    seconds: float | None = None


class Result(NamedTuple):
    """What the logic of a state gives.

    Attributes:
        data: the data with its result.
        writes: variables to write.
        way: transform and transition of a switch; None for those of the state.
        raised: an error with which the run will end, and which nothing catches.
    """

    data: dict[str, Any]
    writes: tuple[Write, ...] = ()
    way: tuple[Template | None, str | None] | None = None
    raised: Failure | None = None


class Host(NamedTuple):
    """What an instance is run with.

    Attributes:
        perform: does what a state does, beside its log, its transform and its transition.
        caller: calls functions.
        run_subflow: runs a subflow in this thread: by its caller, its path, its input, the call as its lineage tells of
            it, and what it is under; gives its output, or raises a Failure.
        threads: how many more may be started, beside those that run instances.
    """

    limits: Limits
    perform: Callable[[Instance, Logic, Data], Result]
    caller: Caller | None
    run_subflow: Callable[[Instance, str, dict[str, Any], dict[str, Any], Above], dict[str, Any]]
    threads: BoundedSemaphore


class Above(NamedTuple):
    """What an instance is under.

    Attributes:
        group: what stops it.
        held: addresses of variables that instances which called it have for themselves.
        deadline: when they give up, by ``time.monotonic``.
    """

    group: Group
    held: frozenset[str] = frozenset()
    deadline: float | None = None

    @property
    def left(self) -> float | None:
        """Seconds until then."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def check(self) -> None:
        """Raise if what is under it is not to go on.

        Raises:
            Cancelled, Stopped: it was stopped.
            Failure: its time is over.
        """
        self.group.check()
        if self.left == 0:
            raise Failure(
                Codes.SOFT_TIMEOUT,
                "the call took longer than it may: raise timeout of the state, or timeouts of the flow",
            )


def earliest(*times: float | None) -> float | None:
    """The first of these times, None for never."""
    return min((time for time in times if time is not None), default=None)


class Instance:
    """An instance that this process runs.

    Attributes:
        step: how many states it has begun.
        moment: before the state that is running.
        group: what stops it.
        apart: what stops calls that it does not wait for.
        unit: its variables that are atomic.
        output: its data at its end, if it is complete.
    """

    def __init__(
        self,
        host: Host,
        definition: Definition,
        record: Record,
        facts: dict[str, Any],
        data: Data,
        above: Above,
        unit: dict[str, Any] | None = None,
    ) -> None:
        """``unit`` is what is recorded of one that is to be gone on with."""
        self.host = host
        self.definition = definition
        self.record = record
        self.facts = facts
        self.group = above.group
        self.step: int = self.facts["step"]
        self.output: dict[str, Any] | None = None
        self._data = data
        self.moment = Moment(self.facts["state"], data.value, self.step)
        self._writes: tuple[Write, ...] = ()
        self._unrecorded = False
        elapsed = record.place.namespace._kernel.catalog.now() - self.facts["begun"]
        now = time.monotonic() - elapsed
        interrupt = None if facts["interrupted"] else definition.interrupt
        self._interrupt = None if interrupt is None else now + interrupt
        self._kill = earliest(above.deadline, None if definition.kill is None else now + definition.kill)
        self.unit = Unit(record.place, definition.atomic, above.held, self.pause)
        if unit is not None:
            self.unit.restore(unit)
        self.apart = Group(self.group)
        self._background: list[Thread] = []

    @property
    def place(self) -> Place:
        """Where it is."""
        return self.record.place

    def data_of(self, value: Any) -> Data:
        """A value to evaluate fields with."""
        return self._data if value is self._data.value else Data(value, self.host.limits.jq)

    # --- time ---------------------------------------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        """When what it does now must have ended, by ``time.monotonic``."""
        return earliest(self._interrupt, self._kill)

    def check(self) -> None:
        """Raise if it is not to go on.

        Raises:
            Cancelled, Stopped: it was stopped.
            Fatal, Failure: its time is over.
        """
        self.group.check()
        now = time.monotonic()
        if self._kill is not None and now >= self._kill:
            raise Fatal(Codes.HARD_TIMEOUT, "the run took longer than timeouts.kill, or what calls it, lets it")
        if self._interrupt is not None and now >= self._interrupt:
            self._interrupt = None  # raised once: what catches it may take its time
            self.facts["interrupted"] = True
            raise Failure(Codes.SOFT_TIMEOUT, "the run took longer than timeouts.interrupt says")

    def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            Cancelled, Stopped, Failure: as of :meth:`check`.
        """
        end = time.monotonic() + seconds
        while True:
            self.check()
            now = time.monotonic()
            if now >= end:
                return
            until = end if self.deadline is None else min(end, self.deadline)
            self.group.event.wait(max(0.0, until - now))

    # --- running ------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run it to its end, which is recorded.

        Raises:
            Stopped: it goes on no further here.
            BaseException: all else, such as an error of the store. It has crashed then: see :meth:`crashed`.
        """
        try:
            while self.facts["status"] == PENDING:
                try:
                    self._one()
                except Cancelled:
                    self._end(CANCELLED)
                except Failure as failure:
                    self._end(FAILED, failure)
        finally:
            self.apart.stop(CLOSING)
            self.unit.end()

    def _one(self) -> None:
        """Run one state."""
        state = self.definition.states[self.facts["state"]]
        self.moment = Moment(state.id, self._data.value, self.step)
        self._writes = ()
        self.step += 1
        if self.step > self.host.limits.transitions:
            most = self.host.limits.transitions
            raise Fatal(Codes.TRANSITIONS, f"more than {most:,} states were run: is there an endless loop?")
        flow = self.facts["flow"]
        flow.append(state.id)
        del flow[:-_FLOW]
        try:
            self.check()
            if self.unit.began is not None:
                self.begin_unit()
            target = self._through(state)
        except Fatal:
            raise
        except (Failure, NoJson) as error:
            target = self._caught(state, error)
        try:
            self._next(state, target)
        except Fatal:
            raise
        except (Failure, NoJson) as error:
            self._next(state, self._caught(state, error))

    def _through(self, state: State) -> str | None:
        """Log, metadata, logic and transform of a state; gives where it leads."""
        data = self._data
        data.look_up(state.programs)
        if state.log is not None:
            self.record.log(shown(data.values(state.log)[0]), state=state.id)
        if state.metadata is not None:
            self.facts["metadata"] = encode(data.values(state.metadata)[0]).decode()
        if isinstance(state.logic, _SLOW):
            if isinstance(state.logic, Delay) and self.facts["wake"] is None:
                self.facts["wake"] = self._now() + state.logic.seconds
                self._unrecorded = True
            if self._unrecorded:
                self._commit(self.moment)
        result = self.host.perform(self, state.logic, data)
        self._data, self._writes = self.data_of(result.data), result.writes
        transform, target = result.way or (state.transform, state.transition)
        new = self._data.transformed(transform, () if target is None else self.definition.states[target].programs)
        if new is None:
            self._data.forget()
        else:
            self._data = new
        if result.raised is not None:
            self._raise(result.raised)
        return target

    def _raise(self, failure: Failure) -> None:
        """Fail at the end of the run, whatever comes until then."""
        code = self.facts["code"]
        if code is not None:
            raise Failure(
                Codes.MULTIPLE_ERRORS, f"the run has failed with {code} already, and again with {failure.code}"
            )
        self.facts["code"], self.facts["message"] = failure.code, failure.message
        self.record.log(f"{failure.code}: {failure.message}", "error")

    def _caught(self, state: State, error: Failure | NoJson) -> str | None:
        failure = error if isinstance(error, Failure) else Failure(Codes.BAD_COMMAND, f"a value is no JSON: {error}")
        n = self.matched([catch.pattern for catch in state.catch], failure)
        if n is None:
            raise failure
        self._data = self.data_of({**self._data.value, "error": {"code": failure.code, "msg": failure.message}})
        self.record.log(f"caught {failure.code}: {failure.message}", "warning", state.id)
        return state.catch[n].transition

    def matched(self, patterns: Sequence[str], failure: Failure) -> int | None:
        """Which of these patterns is the first one that matches the code of an error; where that cannot be told, it is
        logged, and the error raised."""
        try:
            return first(patterns, failure.code, self.host.limits.jq)
        except Failure as slow:
            self.record.log(f"the patterns of codes cannot be matched: {slow}", "error", self.moment.state)
            raise failure from None

    def begin_unit(self) -> None:
        """Be at the unit of atomic variables, from the state on that is running."""
        self.unit.begin(self.moment)

    def _next(self, state: State, target: str | None) -> None:
        """Go on to the next state, or end; what is written goes into the commit that says so."""
        self.facts["wake"] = None
        try:
            if target is None:
                self._join()
                self._end(COMPLETE if self.facts["code"] is None else FAILED)
                return
            self._unrecorded = True
            if self._writes or isinstance(state.logic, _SLOW) or self.record.age > _OFTEN:
                self._commit(Moment(target, self._data.value, self.step))
        except QuotaExceededError as error:
            self._writes = ()
            raise Failure(Codes.QUOTA, str(error)) from None
        self.facts["state"] = target

    # --- what is recorded ---------------------------------------------------------------------------------------------

    def _now(self) -> float:
        return float(self.place.namespace._kernel.catalog.now())

    def _commit(self, moment: Moment) -> None:
        """Record that it is about to begin a state."""
        facts = {**self.facts, "state": moment.state, "step": moment.step}
        text = self._text(self.data_of(moment.data))
        self.record.commit(Change(facts, text, self.unit.as_record(), self._writes))
        self._writes = ()
        self._unrecorded = False

    @staticmethod
    def _text(data: Data) -> str:
        try:
            text = data.text
        except Failure as failure:
            raise Fatal(failure.code, failure.message) from None
        if len(text) > LARGEST:
            raise Fatal(Codes.TOO_LARGE, f"the data of the instance has more than {LARGEST:,} bytes")
        return text.decode()

    def _end(self, status: str, failure: Failure | None = None) -> None:
        """Record how it ended; or go on, where variables that are atomic were written to by others."""
        if status != COMPLETE:
            self.apart.stop(WAS_CANCELLED)
            end = time.monotonic() + _PATIENCE
            for thread in self._background:
                thread.join(max(0.0, end - time.monotonic()))
        facts = {**self.facts, "status": status, "step": self.step, "ended": self._now()}
        if failure is not None:
            facts["code"], facts["message"] = failure.code, failure.message
        line = status if failure is None else f"{failure.code}: {failure.message}"
        change = Change(facts, writes=self._writes, line=("info" if status == COMPLETE else "error", line))
        if status == COMPLETE:
            writes = (*self._writes, *self.unit.writes)
            change = change._replace(data=self._text(self._data), writes=writes, expected=self.unit.expected)
        try:
            self.record.commit(change)
        except ConflictError:
            if not change.expected:
                raise
            self._again(self.unit.again())
            return
        self.facts.update(facts)
        self._writes = ()
        if status == COMPLETE:
            self.output = self._data.value

    def _again(self, moment: Moment) -> None:
        self.record.log("others wrote atomic variables meanwhile: once more from here", "warning", moment.state)
        self._data, self._writes = self.data_of(moment.data), ()
        self.facts["state"] = moment.state

    def crashed(self, error: BaseException) -> None:
        """Record that it is not run by anybody any more, so that it can be resumed; or learn that it had ended.

        Raises:
            Stopped: it was removed, or others took over.
            HoldfastError: it cannot be recorded now.
        """
        self.facts.update(self.record.crashed(error))
        if self.facts["status"] == COMPLETE:
            self.output = self._data.value

    # --- calls that nobody waits for ----------------------------------------------------------------------------------

    def in_background(self, work: Callable[[], object]) -> None:
        """Do something beside the states that come; the run does not end before it."""
        self._background = self._behind
        many = len(self._background) >= self.host.limits.threads
        thread = None if many else begin_thread(work, "holdfast-flow-call")
        if thread is None:
            work()
        else:
            self._background.append(thread)

    @property
    def _behind(self) -> list[Thread]:
        return [thread for thread in self._background if thread.is_alive()]

    def _join(self) -> None:
        while self._background:
            self.check()
            self._background[0].join(_OFTEN)
            self._background = self._behind
