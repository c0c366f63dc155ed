"""System calls that fail: one error of our tree, nothing stored before is lost, nothing is seen in part, nothing stays.

Each case opens a store, does one deed during which one chosen call fails (or tears, or is reported as failed although
it was made), and looks at everything. See :mod:`holdfast.testing.faults`.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from holdfast import HoldfastError, StorageFullError, StoreError, errors
from holdfast.testing.faults import BEFORE, BETWEEN, FAILS, Faults, stages
from holdfast.testing.interpose import Call, interposed

from .children import Doomed
from .deeds import PUTS, Deed, do, invent, open_store
from .test_kill import KINDS, Arena, Wrong, do_in_child, last_look

UNKNOWN = "unknown"


class Case(NamedTuple):
    """What fails when."""

    kind: str
    form: str
    at: int
    call: Call
    stage: str
    action: str
    number: int
    lasting: bool = False
    dies: bool = False


def _fails(call: Call) -> bool:
    """Not the deletion of SQLite's log, at the last connection's end: SQLite does without it, and says nothing; only of
    a VFS in Python, as is in between here, its error comes through."""
    return (call.layer, call.verb) != ("sqlite", "unlink")


def observe(arena: Arena, kind: str, form: str, random: Random) -> list[Call]:
    """The calls of a deed, which is done."""
    faults = Faults(counts=_fails)
    deed = invent(kind, form, random)
    assert attempt(arena, deed, faults) is None
    return faults.calls


def attempt(arena: Arena, deed: Deed, faults: Faults) -> HoldfastError | None:
    """Open the store and do a deed under faults; gives the error. What was acknowledged is noted."""
    faults.armed = deed.kind == "open"
    with interposed(arena.folder, faults):
        try:
            store = open_store(arena.folder)
        except HoldfastError as error:
            assert faults.armed
            return error
        try:
            faults.armed = True
            versions = do(store, deed)
        except HoldfastError as error:
            faults.armed = False
            if deed.kind != "close":
                arena.check(store, deed)  # it goes on working, and sees all of the deed or nothing
            return error
        finally:
            faults.armed = False
            store.close()
    arena.take([deed], [versions])
    return None


def attempt_and_die(arena: Arena, deed: Deed, faults: Faults) -> HoldfastError | None:
    """The same in a process that is killed afterwards, so that SQLite reads its log anew: a commit that failed late may
    be in it."""

    def work(send: Callable[[Any], None]) -> None:
        with interposed(arena.folder, faults):
            try:
                faults.armed = deed.kind == "open"
                store = open_store(arena.folder)
                faults.armed = True
                answer = [do(store, deed), None, ""]
            except HoldfastError as error:
                answer = [None, error.code, str(error)]
            faults.armed = False
            send([*answer, [call[:-2] for call in faults.calls]])
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()

    ((versions, code, text, calls),) = Doomed(work).answers()
    faults.calls = [Call(*call) for call in calls]
    if code is not None:
        return _ERRORS[code](text)
    arena.take([deed], [versions])
    return None


_ERRORS = {
    kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, HoldfastError)
}


def cases(arena: Arena, random: Random) -> Iterator[Case]:
    """Each call of each kind of deed, with each way to fail."""
    for kind, form in KINDS:
        calls = observe(arena, kind, form, random)
        stage = stages(calls) if kind in PUTS else [UNKNOWN] * len(calls)
        for at, call in enumerate(calls):
            for action in FAILS:
                if call.verb != "write" and action in ("torn", "short"):
                    continue
                yield Case(kind, form, at, call, stage[at], action, errno.EIO)
            yield Case(kind, form, at, call, stage[at], "error", errno.ENOSPC)
            yield Case(kind, form, at, call, stage[at], "torn", errno.ENOSPC, lasting=True)


def run(arena: Arena, case: Case, random: Random) -> str:
    """One case; gives what came of it."""
    deed = invent(case.kind, case.form, random)
    faults = Faults(case.at, case.action, case.number, lasting=case.lasting, counts=_fails)
    before = dict(arena.state)
    error = (attempt_and_die if case.dies else attempt)(arena, deed, faults)
    with open_store(arena.folder) as store:
        arena.check(store, deed if error is not None else None)
    if error is None:
        return "done all the same"
    if not isinstance(error, StoreError):
        raise Wrong(f"a system call that failed is told as {error!r}")
    # What is there already makes more or fewer calls: it may be another one that failed than the one foreseen.
    struck = faults.calls[case.at]
    full = case.number == errno.ENOSPC and struck.verb in ("write", "allocate", "create", "mkdir")
    if full and not isinstance(error, StorageFullError):
        raise Wrong(f"a full disk is told as {error!r}")
    foreseen = struck[:2] == case.call[:2] and struck.verb != "sync"
    certain = case.stage in (BEFORE, BETWEEN) and case.action != "late" and foreseen
    if certain and arena.state != before:
        raise Wrong("a put that failed before its commit is seen")
    return f"{type(error).__name__}, {'done' if arena.state != before else 'not done'}"


def run_all(folder: Path, seed: int, number: int | None) -> Counter[str]:
    random, arena = Random(seed), Arena(folder)
    do_in_child(arena)
    todo = [case._replace(dies=random.random() < 0.4) for case in cases(arena, random)]
    if number is not None:
        todo = random.sample(todo, number)
    outcomes: Counter[str] = Counter()
    for case in todo:
        try:
            outcome = run(arena, case, random)
        except Exception as error:
            raise Wrong(f"{case._replace(call=case.call._replace(data=None))}: {error!r}") from error
        outcomes[f"{case.action} {errno.errorcode[case.number]}, {case.stage}: {outcome}"] += 1
    gc.collect()  # a collection that failed here may hold a dead writer's folder until its error is forgotten
    last_look(arena)
    return outcomes


def test_failing_calls(quick_folder: Path) -> None:
    outcomes = run_all(quick_folder, seed=1, number=50)
    for outcome, count in sorted(outcomes.items()):
        print(count, outcome)
    assert sum("not done" in outcome for outcome in outcomes) > 5


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_all_failing_calls(quick_folder: Path) -> None:
    outcomes = run_all(quick_folder, seed=2, number=None)
    assert sum(outcomes.values()) > 1500
