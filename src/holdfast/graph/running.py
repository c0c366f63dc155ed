"""One run of a graph, from what was asked for to the results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from .. import executors
from ..context import within
from ..errors import BusyError, InvalidArgumentError, StoreError, TaskFailed
from ..executors.base import Executor
from ..scope import BaseScope
from ..store import BaseStore
from .claims import Claims
from .drive import Driver, Surroundings
from .node import Input
from .plan import ELSEWHERE, FAILED, REUSES, SKIPPED, STORED, WAITING, Plan, Step
from .progress import Teller, Watcher
from .runs import ENDED, INTERRUPTED, KIND, WITH_ERRORS, Record, new_id
from .shelf import Shelf
from .work import Value, inside

__all__ = ["Run"]

_MOST = 1000  # nodes that are submitted at a time, unless said otherwise


class Run:
    """One run.

    Args:
        store, scope: where it is run; None for nowhere, so that nothing is stored.
        targets: what is asked for.
        reuse: how stored results are found; one of :data:`~holdfast.graph.plan.REUSES`.
        again: a glob pattern for the names of nodes that are run again with all that depend on them.
        progress: who watches.
        most: how many nodes are submitted at a time.

    Raises:
        InvalidArgumentError: one of these is not legal, or the graph has a circle, or two nodes of one name.
        UnhashableError: results are to be found by inputs, and one has no reliable hash.
    """

    def __init__(
        self,
        store: BaseStore[Any] | None,
        scope: BaseScope[Any] | None,
        targets: Sequence[Input],
        reuse: str | None,
        again: str | None,
        progress: Watcher | bool | None,
        most: int | None,
    ) -> None:
        if reuse not in REUSES:
            raise InvalidArgumentError(f"reuse must be 'inputs', 'name' or None, not {reuse!r}")
        if most is not None and (type(most) is not int or most < 1):
            raise InvalidArgumentError(f"most must be a number of nodes from 1 on, or None, not {most!r}")
        if again is not None and not isinstance(again, str):
            raise InvalidArgumentError(f"again must be a glob pattern of names, or None, not {again!r}")
        self.id = new_id()
        self._store = store
        self._scope = store._at(scope.path) if store is not None and scope is not None else None
        self._runs = (*inside.get(), self.id)
        self._reuse = reuse if scope is not None else None
        self._most = most or _MOST
        self._plan = Plan(targets, self._reuse)
        # The options of the scope that it was given are for results only.
        self._shelf = Shelf(scope, self._reuse) if scope is not None and self._reuse is not None else None
        self._claims = Claims(self._scope, self.id, inside.get()) if self._scope is not None else None
        self._again = self._plan.behind(again) if again is not None else []
        self._record = Record(self._scope, self.id, self._plan, reuse) if self._scope is not None else None
        self._teller = Teller(progress)
        self._others: dict[str, str] = {}

    def results(self, executor: Executor | str | None) -> list[Any]:
        """Run what is not stored, and give the results in the order of the targets.

        Raises:
            TaskFailed: nodes failed; all that does not depend on them was run.
        """
        try:
            failed = self._run(executor)
            self._teller.tell(self.id, self._plan, True)
            if failed:
                raise _failure(self.id, self._plan)
            return [self._result(step, target) for step, target in self._plan.targets]
        finally:
            self._sweep()

    def _run(self, executor: Executor | str | None) -> bool:
        """Run what is not stored, and record it; gives whether any of it failed."""
        state = INTERRUPTED
        try:
            missing = self._missing()
            if missing:
                self._drive(missing, executor)
            state = WITH_ERRORS if any(step.state == FAILED for step in self._plan.steps) else ENDED
        finally:
            try:
                if self._record is not None:
                    self._record.end(state)
            finally:
                if self._claims is not None:
                    self._claims.end()
        return state == WITH_ERRORS

    # --- what there is to do ------------------------------------------------------------------------------------------

    def _missing(self) -> list[Step]:
        """Look what is there, and say what this run is about."""
        wanted = [step for step, _ in self._plan.targets]
        if self._shelf is None or self._claims is None:
            return self._look(wanted, {}, set())
        forced = set(self._again)
        steps = self._look(wanted, {}, forced)
        if not steps:
            return steps
        for step in self._plan.steps:
            step.looked = False
        with self._claims.planning():  # once more, now that it counts
            self._shelf.remove(self._again)
            self._others = self._claims.others()
            return self._claimed(self._look(wanted, self._others, forced))

    def _claimed(self, steps: list[Step]) -> list[Step]:
        assert self._claims is not None
        self._claims.claim(str(step.key) for step in steps if step.state == WAITING and step.kept)
        return steps

    def _look(self, steps: Iterable[Step], others: dict[str, str], forced: set[Step]) -> list[Step]:
        """Find out which of the steps, and of those that these need, are not there; from the last ones on."""
        missing: list[Step] = []
        wave = [step for step in dict.fromkeys(steps) if not step.looked]
        there: set[Step] = set()
        known = False  # of all steps, as of those of the first wave it is at once
        while wave:
            candidates = [step for step in wave if step.kept and step not in forced]
            if self._shelf is not None and candidates and not known:
                known = bool(missing)
                if known:
                    candidates = [step for step in self._plan.steps if step.kept and step not in forced]
                there |= self._shelf.stored(candidates)
            for step in wave:
                step.looked = True
            needed: dict[Step, None] = {}
            for step in wave:
                if step in there:
                    step.state = STORED
                elif step.kept and step.key in others:
                    step.state = ELSEWHERE
                    missing.append(step)
                else:
                    step.state = WAITING
                    missing.append(step)
                    needed.update(dict.fromkeys(need for need in step.needs if not need.looked))
            wave = list(needed)
        return missing

    def _elsewhere(self, away: list[Step]) -> tuple[list[Step], list[Step]]:
        """Of steps that other runs are about: those that are there now, and what is to be run here instead."""
        assert self._shelf is not None
        assert self._claims is not None
        there = self._shelf.stored(away)
        for step in there:
            step.state = STORED
        left = [step for step in away if step not in there]
        if not left or all(self._claims.lasts(run) for run in {self._others.get(str(step.key), "") for step in left}):
            return list(there), []
        with self._claims.planning():
            self._others = self._claims.others()
            freed = [step for step in left if step.key not in self._others]
            for step in freed:
                step.looked = False
            new = self._claimed(self._look(freed, self._others, set()))
            return [*there, *(step for step in freed if step.state == STORED)], new

    # --- doing it -----------------------------------------------------------------------------------------------------

    def _drive(self, missing: list[Step], executor: Executor | str | None) -> None:
        with ExitStack() as stack:
            if self._scope is not None and self._store is not None:
                stack.enter_context(within(self._store, self._scope.path))
            opened = stack.enter_context(executors.using(executor))
            if self._record is not None and self._claims is not None:
                self._claims.live()
                self._record.write(executor=opened.name)
            spare = self._scope.scope(KIND, self.id) if self._scope is not None else None
            more = self._most, self._glance, self._elsewhere
            around = Surroundings(self.id, self._runs, self._shelf, spare, *more)
            Driver(opened, around, self._plan).run(missing)

    def _glance(self) -> None:
        self._teller.tell(self.id, self._plan)
        if self._record is not None:
            self._record.now_and_then()

    def _result(self, step: Step, target: Input) -> Any:
        found: Any = step.object if target.state else step.value
        if isinstance(found, Value):
            value = found.value
        elif found is not None:
            value = self._store._at(found.path).get(found.key)  # type: ignore[union-attr]
        else:
            assert self._shelf is not None
            value = self._shelf.get(step)
        for item in target.path:
            value = value[item]
        return value

    def _sweep(self) -> None:
        """Remove what was on its way between nodes."""
        if self._scope is None:
            return
        spare = self._scope.scope(KIND, self.id)
        with suppress(StoreError, BusyError):  # it goes with the record of the run
            for prefix in ("node/", "begun/"):
                for key in list(spare.keys(prefix)):
                    spare.delete(key, missing_ok=True)


def _failure(run: str, plan: Plan) -> TaskFailed:
    failed = [step for step in plan.steps if step.state == FAILED]
    skipped = tuple(step.name for step in plan.steps if step.state == SKIPPED)
    first = failed[0]
    said = f"node {first.name!r} of run {run} failed: {first.problem}"
    if len(failed) > 1:
        said += f"; so did {', '.join(repr(step.name) for step in failed[1:6])}"
        said += f" and {len(failed) - 6} more" if len(failed) > 6 else ""
    if skipped:
        said += f"; {len(skipped)} that depend on {'it' if len(failed) == 1 else 'these'} were not run"
    error = TaskFailed(said)
    error.run = run
    error.failures = {step.name: step.error for step in failed if step.error is not None}
    error.skipped = skipped
    error.__cause__ = first.error
    return error
