"""Running what a plan has to run: what is ready is submitted, what ends lets others be ready."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, CancelledError
from contextlib import suppress
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from ..catalog.base import Put
from ..errors import BusyError, StoreError
from ..executors.base import Executor
from ..executors.futures import Future, is_lent, wait_for
from ..executors.pool import PoolExecutor
from ..scope import BaseScope
from ..stopping import go_on
from .node import Node
from .plan import DONE, ELSEWHERE, FAILED, RUNNING, SKIPPED, STORED, WAITING, Plan, Step
from .shelf import Shelf
from .task import natural
from .work import Call, Lies, Outcome, Place, Taken, Unstorable, Value, carried, work

__all__ = ["Driver", "Surroundings"]

_LOOK = 0.1  # seconds between looks at what nobody tells of: time-outs, other runs, whether this one is to stop
_TOGETHER = 100  # small results that are stored by one commit, at most

_log = logging.getLogger("holdfast")


class Surroundings(NamedTuple):
    """What a run is run in.

    Attributes:
        run: its id.
        runs: it and the runs that it is part of.
        shelf: where results are stored; None if they are not.
        spare: scope of what is on its way between nodes; None where there is no store.
        most: how many nodes are submitted at a time.
        glance: called now and then, and whenever something ended.
        elsewhere: given steps that another run is about, gives those that are settled, and what is to be run instead.
    """

    run: str
    runs: tuple[str, ...]
    shelf: Shelf | None
    spare: BaseScope[Any] | None
    most: int
    glance: Callable[[], None]
    elsewhere: Callable[[list[Step]], tuple[list[Step], list[Step]]]


class Driver:
    """Has the nodes of a plan run by an executor."""

    def __init__(self, executor: Executor, around: Surroundings, plan: Plan) -> None:
        self._executor = executor
        self._around = around
        self._plan = plan
        self._targets = {step for step, _ in plan.targets}
        self._here = executor.name == "threads"
        self._tells = isinstance(executor, PoolExecutor)  # which nodes have begun
        self._ready: deque[Step] = deque()
        self._flying: dict[Step, Future[Outcome]] = {}
        self._since: dict[Step, float] = {}  # when those of a time-out began; 0: not yet
        self._away: list[Step] = []
        self._counted: set[Step] = set()  # of those that want the results that they take
        self._ended: SimpleQueue[tuple[Step, Future[Outcome]]] = SimpleQueue()
        self._bell: Future[None] = Future("the end of a node")
        self._is_lent = is_lent()
        self._unstored: list[tuple[Step, Put]] = []
        self._functions: dict[Any, Any] = {}
        self._looked = 0.0

    def run(self, steps: list[Step]) -> None:
        """Run these, which are not there; those of them that another run is about are waited for.

        What fails is noted at its step, and what depends on it is skipped.
        """
        try:
            self._add(steps)
            while self._ready or self._flying or self._away:
                self._submit()
                self._wait()
                self._around.glance()
                go_on()
        finally:
            for future in self._flying.values():
                future.cancel()

    def _add(self, steps: list[Step]) -> None:
        self._away += [step for step in steps if step.state == ELSEWHERE]
        for step in steps:
            if step not in self._counted:  # as those are that another run was about
                self._counted.add(step)
                for need in step.needs:
                    need.wanted += 1
        waiting = [step for step in steps if step.state == WAITING]
        for step in waiting:
            step.lacking = sum(need.state not in (STORED, DONE) for need in step.needs)
        for step in waiting:
            if any(need.state in (FAILED, SKIPPED) for need in step.needs):
                self._skip(step)
            elif not step.lacking:
                self._ready.append(step)

    # --- submitting ---------------------------------------------------------------------------------------------------

    def _submit(self) -> None:
        while self._ready and len(self._flying) < self._around.most:
            step = self._ready.popleft()
            if step.state != WAITING:
                continue
            step.state = RUNNING
            step.tries += 1
            step.begun = time.time()
            options = step.node._options
            try:
                future = self._executor.submit(work, self._call(step), resources=options.resources)
            except Exception as error:
                self._failed(step, error, again=False)
                continue
            self._flying[step] = future
            if options.timeout is not None:
                self._since[step] = 0.0
            future.add_done_callback(lambda ended, step=step: self._ring(step, ended))  # type: ignore[misc]

    def _call(self, step: Step) -> Call:
        node, around = step.node, self._around
        keep = around.shelf.place(step, around.run) if around.shelf is not None and step.kept else None
        spare = begin = None
        if around.spare is not None and not self._here:
            spare = Place(around.spare.path, f"node/{node._number}", {})
            if node._options.timeout is not None and not self._tells:
                begin = self._mark(step)
        inputs = tuple([Taken(self._lies(one.node, one.state), one.path) for one in node._inputs])
        before = None if node._before is None else self._object(node._before)
        return Call(
            self._function(node), node._method, node._args, node._kwargs, inputs, before, keep, spare, begin,
            around.runs, step.name, self._here, node._method is not None and self._is_shown(step),
            node._options.retries > 0,
        )  # fmt: skip

    def _is_shown(self, step: Step) -> bool:
        """Whether others take the object as this call of a method leaves it."""
        inputs = (one for user in step.users for one in user.node._inputs if one.state)
        return any(self._plan.step_of(one.node) is step for one in inputs)

    def _mark(self, step: Step) -> Place:
        """Where a worker notes that it has begun with a node."""
        assert self._around.spare is not None
        return Place(self._around.spare.path, f"begun/{step.node._number}/{step.tries}", {})

    def _lies(self, node: Node, state: bool) -> Value | Lies:
        step = self._plan.step_of(node)
        found: Value | Lies | None = step.copy if state else step.value
        if found is None:
            assert self._around.shelf is not None
            found = Lies(self._around.shelf.scope.path, str(step.key))
        return found

    def _object(self, node: Node) -> Value | Lies | None:
        found: Value | Lies | None = self._plan.step_of(node).object
        return found

    def _function(self, node: Node) -> Any:
        """The function of a node, as it travels: by its name, or once by value."""
        function: Any = node._task.function
        if self._here:
            return function
        found = self._functions.get(function)
        if found is None:
            task = natural(node._task)
            found = self._functions[function] = carried(function) if task is None else task
        return found

    # --- what ended ---------------------------------------------------------------------------------------------------

    def _ring(self, step: Step, ended: Future[Outcome]) -> None:
        self._ended.put((step, ended))
        if self._is_lent:
            self._bell._finish(None)

    def _next(self) -> tuple[Step, Future[Outcome]]:
        """The next one that ends. Where this is itself a task, others have its place meanwhile: nodes, for one.

        Raises:
            Empty: it is time to look at other things.
        """
        if not self._is_lent:
            return self._ended.get(timeout=_LOOK)
        self._bell = Future(self._bell.name)
        if self._ended.empty():
            # Ray lends a place only to what it knows itself.
            wait_for([self._bell, *islice(self._flying.values(), 1)], _LOOK, FIRST_COMPLETED)
        return self._ended.get_nowait()

    def _wait(self) -> None:
        """Wait until something ends, or it is time to look; then take all that has ended."""
        if self._flying or self._away:
            with suppress(Empty):
                self._take(*self._next())
                while len(self._unstored) < _TOGETHER:
                    self._take(*self._ended.get_nowait())
            self._store()
        if time.monotonic() >= self._looked + _LOOK:
            self._looked = time.monotonic()
            self._check_times()
            if self._away:
                self._check_away()

    def _take(self, step: Step, future: Future[Outcome]) -> None:
        if self._flying.get(step) is not future:
            return  # its time was over
        del self._flying[step]
        self._since.pop(step, None)
        try:
            outcome = future.result()
        except BaseException as error:
            self._failed(step, error, again=not isinstance(error, (CancelledError, Unstorable)))
        else:
            step.value, step.object, step.copy = outcome.value, outcome.object, outcome.copy
            step.begun, step.ended = outcome.begun, outcome.ended
            step.version, step.size = outcome.version, outcome.size
            if outcome.change is not None:
                self._unstored.append((step, outcome.change))
            else:
                self._done(step, STORED if outcome.found else DONE)

    def _store(self) -> None:
        """Store the small results that threads have given: together, or each by itself if that fails."""
        new, self._unstored = self._unstored, []
        shelf = self._around.shelf
        if not new or shelf is None:
            return
        try:
            versions = shelf.commit([change for _, change in new])
        except Exception as error:
            if len(new) == 1:
                self._failed(new[0][0], error, again=True)
                return
            for one in new:
                self._unstored = [one]
                self._store()
            return
        for (step, change), version in zip(new, versions, strict=True):
            step.version, step.size = version, change.size
            self._done(step, DONE)

    def _done(self, step: Step, state: str) -> None:
        step.state = state
        for need in step.needs:
            self._unwanted(need)
        for user in step.users:
            if user.state == WAITING:
                user.lacking -= 1
                if not user.lacking:
                    self._ready.append(user)

    def _unwanted(self, step: Step) -> None:
        """One of those that take its result has ended: if it was the last one, what is at hand of it is let go."""
        step.wanted -= 1
        if step.wanted <= 0 and step not in self._targets:
            lying = {one for one in (step.value, step.object, step.copy) if isinstance(one, Lies)}
            step.value = step.object = step.copy = None
            spare = self._around.spare
            for one in lying:
                if spare is not None and one.path == spare.path:
                    with suppress(StoreError, BusyError):  # the end of the run tries it again
                        spare.delete(one.key, missing_ok=True)

    def _failed(self, step: Step, error: BaseException, *, again: bool) -> None:
        step.ended = time.time()
        step.error = error
        if again and isinstance(error, Exception) and step.tries <= step.node._options.retries:
            _log.warning("node %r failed and is tried again: %s", step.name, step.problem)
            step.state, step.error = WAITING, None
            self._ready.append(step)
            return
        step.state = FAILED
        for need in step.needs:
            self._unwanted(need)
        for user in step.users:
            if user.state == WAITING:
                self._skip(user)

    def _skip(self, step: Step) -> None:
        new = [step]
        while new:
            one = new.pop()
            if one.state != WAITING:
                continue  # by another way
            one.state = SKIPPED
            for need in one.needs:
                self._unwanted(need)
            new += [user for user in one.users if user.state == WAITING]

    # --- what nobody tells of -----------------------------------------------------------------------------------------

    def _check_times(self) -> None:
        for step, since in list(self._since.items()):
            future, limit = self._flying[step], step.node._options.timeout
            assert limit is not None
            if not since:
                if self._has_begun(step, future):
                    self._since[step] = time.monotonic()  # the clocks of other machines may be others
            elif time.monotonic() > since + limit:
                del self._flying[step], self._since[step]
                future.cancel()
                problem = f"node {step.name!r} has not ended within {limit:g} s: raise its timeout, or mend it"
                self._failed(step, BusyError(problem), again=True)

    def _has_begun(self, step: Step, future: Future[Outcome]) -> bool:
        """Whether a node has begun, as far as is known."""
        if self._tells:
            return future.running()
        if self._around.spare is None:
            return True
        return bool(self._around.spare.exists(self._mark(step).key))

    def _check_away(self) -> None:
        settled, new = self._around.elsewhere(self._away)
        if not settled and not new:
            return
        self._away = [step for step in self._away if step.state == ELSEWHERE]
        for step in settled:
            self._done(step, STORED)
        self._add(new)
