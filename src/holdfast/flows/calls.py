"""Calls of functions and of subflows: one, one for each element of an array, or several at once; with their retries."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from threading import Lock, Thread
from typing import Any, NamedTuple

from .definition import Act, Call, FileEntry, Foreach, Parallel, Retries
from .expressions import Data, Template
from .failures import Cancelled, Codes, Failure, Fatal, Stopped
from .functions.action import Action, File
from .groups import CANCELLED, CLOSING, Group
from .instance import Above, Instance, earliest
from .json_text import NoJson, encode, shown
from .threads import begin_thread
from .variables import LARGEST

__all__ = ["act", "foreach", "parallel"]

_LONGEST_DELAY = 86400.0  # seconds between two tries
_PLAIN, _INSTANCE = Template("plain", ()), Template("instance", ())

_Job = Callable[[Group], Any]


class _Common(NamedTuple):
    """What the calls of a state have in common.

    Attributes:
        state: its id.
        step: which state of the run it is. The instance may be further when a call is made that nobody waits for.
        end: until when they may go on.
        told: whether the state itself says how long they may take.
    """

    state: str
    step: int
    end: float | None
    told: bool


def act(run: Instance, logic: Act, data: Data) -> dict[str, Any]:
    """Call a function, and give the data with its result."""
    job = partial(_call, run, logic.call, data, 0, _common(run, logic.timeout))
    if logic.apart:
        run.in_background(partial(_ignored, run, job))
        return data.value  # type: ignore[no-any-return]
    (result,) = _all(run, [job], True)
    return {**data.value, "return": result}


def foreach(run: Instance, logic: Foreach, data: Data) -> dict[str, Any]:
    """Call a function for each element of an array, and give the data with the list of the results."""
    (array,) = data.values(logic.array)
    most = run.host.limits.elements
    if not isinstance(array, list):
        raise Failure(Codes.BAD_ARRAY, f"the array of a foreach must be a list, not {shown(array):.200}")
    if len(array) > most:
        raise Failure(Codes.BAD_ARRAY, f"the array of a foreach has {len(array):,} elements, and may have {most:,}")
    common = _common(run, logic.timeout)
    jobs = [partial(_call, run, logic.call, run.data_of(each), n, common) for n, each in enumerate(array)]
    return {**data.value, "return": _all(run, jobs, True)}


def parallel(run: Instance, logic: Parallel, data: Data) -> dict[str, Any]:
    """Call several functions, and give the data with the list of their results, null for those not waited for."""
    common = _common(run, logic.timeout)
    jobs = [partial(_call, run, call, data, n, common) for n, call in enumerate(logic.calls)]
    return {**data.value, "return": _all(run, jobs, logic.mode == "and")}


def _common(run: Instance, timeout: float | None) -> _Common:
    end = None if timeout is None else time.monotonic() + timeout
    return _Common(run.moment.state, run.step, earliest(run.deadline, end), timeout is not None)


def _ignored(run: Instance, job: _Job) -> None:
    try:
        job(Group(run.apart))
    except (Cancelled, Stopped):
        pass
    except Exception as error:
        run.record.log(f"a call that is not waited for failed: {error}", "error")


# --- several at once --------------------------------------------------------------------------------------------------


class _Jobs:
    """Calls of one state, each run by whichever thread has nothing to do."""

    def __init__(self, jobs: Sequence[_Job], all: bool, group: Group) -> None:
        self._jobs = jobs
        self._all = all
        self._group = group
        self._next = count()
        self._lock = Lock()
        self.results: list[Any] = [None] * len(jobs)
        self.done = self._size = 0
        self.errors: list[BaseException] = []

    def work(self) -> None:
        while not self._group.event.is_set() and (n := next(self._next)) < len(self._jobs):
            try:
                self._keep(n, self._jobs[n](self._group))
            except BaseException as error:
                self._failed(error)

    def _keep(self, n: int, result: Any) -> None:
        size = len(encode(result)) if len(self._jobs) > 1 else 0  # one alone has the bounds of the data
        with self._lock:
            if self._all or not self.done:
                self.results[n] = result
            self.done += 1
            self._size += size
        if not self._all:
            self._group.stop(CANCELLED)
        elif self._size > LARGEST:
            raise Fatal(Codes.TOO_LARGE, f"the results of these calls have more than {LARGEST:,} bytes together")

    def _failed(self, error: BaseException) -> None:
        with self._lock:
            self.errors.append(error)
        if not isinstance(error, (Failure, NoJson)):  # a crash: all of them can be gone on with
            self._group.stop(CLOSING)
        elif self._all:
            self._group.stop(CANCELLED)


def _all(run: Instance, jobs: Sequence[_Job], all: bool) -> list[Any]:
    """The results of calls at the same time: of all, or null but for the first one that succeeded."""
    group = Group(run.group)
    several = _Jobs(jobs, all, group)
    threads: list[Thread] = []
    try:
        while len(threads) + 1 < min(len(jobs), run.host.limits.threads) and run.host.threads.acquire(blocking=False):
            thread = begin_thread(partial(_helping, run, several), "holdfast-flow-call")
            if thread is None:
                run.host.threads.release()
                break
            threads.append(thread)
        several.work()
    except BaseException:
        group.stop(CLOSING)
        raise
    finally:
        for thread in threads:
            thread.join()
    run.group.check()
    unexpected = [error for error in several.errors if not isinstance(error, (Failure, Cancelled))]
    if unexpected:
        raise unexpected[0]
    run.check()  # its time
    failures = [error for error in several.errors if isinstance(error, Failure)]
    if all and failures:
        raise failures[0]
    if not all and not several.done:
        raise Failure(Codes.ALL_FAILED, f"none of {len(jobs)} calls succeeded; the first one to fail: {failures[0]}")
    return several.results


def _helping(run: Instance, several: _Jobs) -> None:
    try:
        several.work()
    finally:
        run.host.threads.release()


# --- one --------------------------------------------------------------------------------------------------------------


def _call(run: Instance, call: Call, data: Data, n: int, common: _Common, group: Group) -> Any:
    """Call a function or a subflow, and again as its retries say."""
    above = Above(group, run.unit.held, common.end)
    seconds = 0.0 if call.retries is None else call.retries.delay
    for attempt in count():
        try:
            above.check()
            return _try(run, call, data, n, attempt, above, common)
        except Fatal:
            raise
        except Failure as failure:
            above.check()
            retries = _retries(run, call.retries, attempt, failure)
            seconds = min(seconds, _LONGEST_DELAY)
            run.record.log(f"try {attempt + 1} failed: {failure}; the next one in {seconds:g} s", "warning")
            group.event.wait(earliest(seconds, above.left))
            seconds *= retries.multiplier
    raise AssertionError


def _retries(run: Instance, retries: Retries | None, attempt: int, failure: Failure) -> Retries:
    """How a call that failed is tried again; raises what is to be raised where it is not."""
    if retries is None or run.matched(retries.codes, failure) is None:
        raise failure
    if attempt >= retries.most:
        raise Failure(Codes.RETRIES, f"tried {attempt + 1} times, and failed: {failure}") from None
    return retries


def _try(run: Instance, call: Call, data: Data, n: int, attempt: int, above: Above, common: _Common) -> Any:
    function = call.function
    if function.subflow:
        (given,) = data.values(call.input)
        given = given if isinstance(given, dict) else {"input": given}
        by = {"id": run.place.instance, "state": common.state, "branch": f"{common.step}/{n}/{attempt}"}
        return run.host.run_subflow(run, function.name, given, by, above)
    caller = run.host.caller
    if caller is None:
        raise Failure("", f"the function {function.name} cannot be called: no functions are configured")
    own = [field for entry in call.files for field in _fields(entry)]
    general = [field for entry in function.files for field in _fields(entry)]
    given, *values = data.values(call.input, *own, *general)
    wins, others = _files(values[: len(own)]), _files(values[len(own) :])
    targets = {file.target for file in wins}
    twice = Counter(file.target for file in others)  # of one place, which fails, whatever the other place says
    files = (*wins, *(file for file in others if file.target not in targets or twice[file.target] > 1))
    left = above.left
    timeout = left if common.told else None
    record, cancelled = run.record, above.group.event
    return caller.call(
        Action(function.name, given, files, n, timeout, run.place, record.log, cancelled, left, record.guard)
    )


def _fields(entry: FileEntry) -> tuple[Template, ...]:
    permissions = entry.permissions or Template("", ())
    return (entry.key, entry.scope or _INSTANCE, entry.target or entry.key, entry.type or _PLAIN, permissions)


def _files(values: Sequence[Any]) -> tuple[File, ...]:
    found = []
    for start in range(0, len(values), 5):
        key, scope, target, kind, permissions = values[start : start + 5]
        if isinstance(permissions, int) and not isinstance(permissions, bool):
            permissions = str(permissions)
        for text in (key, scope, target, kind, permissions):
            if not isinstance(text, str):
                raise Failure(Codes.NOT_STRING, f"a field of files must be text: {shown(text):.200}")
        found.append(File(key, scope, target, kind, permissions or None))
    return tuple(found)
