"""What becomes of an instance when something under it fails: the store, its process, or an answer that is lost."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import holdfast
from holdfast.errors import FlowFailed, InvalidArgumentError, NotFoundError, StorageFullError
from holdfast.flows.engine import Engine
from holdfast.flows.functions.action import Action
from holdfast.flows.instances import Instances
from holdfast.flows.record import Record

from .callers import Calls
from .conftest import Place
from .kills import forked
from .samples import ATOMIC, COUNTER
from .test_instances import DELAY, SLEEP, until


@contextmanager
def failing(store: holdfast.Store, before: Any = None, after: Any = None) -> Iterator[None]:
    """Commits raise what ``before`` gives instead of being made, or what ``after`` gives when they are, if it gives
    something for their changes."""
    catalog = store._kernel.catalog
    commit = catalog.commit

    def faulty(changes: Any, **options: Any) -> Any:
        for wanted, made in ((before, False), (after, True)):
            error = None if wanted is None else wanted(changes)
            if error is not None:
                if made:
                    commit(changes, **options)
                raise error
        return commit(changes, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "commit", faulty)
        yield


def _keys(changes: Any) -> set[str]:
    return {change.key for change in changes}


@pytest.mark.parametrize("error", [StorageFullError("full"), KeyboardInterrupt()], ids=["store", "interrupt"])
def test_a_setter_whose_commit_gave_no_answer_is_not_done_twice(place: Place, error: BaseException) -> None:
    states = "transition: c\n- {id: c, type: noop, transform: {n: jq(.var.x)}}\n"
    place.register(COUNTER + f"  {states}")
    told = failing(place.store, after=lambda changes: error if "x" in _keys(changes) else None)
    with told, pytest.raises((FlowFailed, KeyboardInterrupt)):
        place.engine.run(place.namespace, "/flow.yaml")
    crashed = place.last
    assert place.engine.run(place.namespace, "/flow.yaml") == {"n": 2}
    place.engine.resume(place.namespace, crashed)
    assert place.engine.wait(place.namespace, crashed, 10) == {"n": 1}
    assert place.namespace.workflow("/flow.yaml").get_bytes("x") == b"2"


def test_an_instance_whose_last_commit_gave_no_answer_has_ended(place: Place) -> None:
    place.register(COUNTER)
    with failing(place.store, after=lambda changes: StorageFullError("full") if "x" in _keys(changes) else None):
        assert place.engine.run(place.namespace, "/flow.yaml") == {"var": {"x": 1}}
    assert place.engine.instances(place.namespace).get(place.last).status == "complete"
    told = failing(place.store, after=lambda changes: KeyboardInterrupt() if "x" in _keys(changes) else None)
    with told, pytest.raises(KeyboardInterrupt):
        place.engine.run(place.namespace, "/flow.yaml")
    assert place.engine.instances(place.namespace).get(place.last).status == "complete"
    assert place.namespace.workflow("/flow.yaml").get_bytes("x") == b"2"


def test_an_instance_that_was_recorded_and_not_begun_has_crashed(place: Place) -> None:
    place.register(COUNTER)
    errors = iter([KeyboardInterrupt()])
    with failing(place.store, after=lambda _: next(errors, None)), pytest.raises(KeyboardInterrupt):
        place.engine.start(place.namespace, "/flow.yaml")
    assert place.engine.instances(place.namespace).get(place.last).status == "crashed"
    place.engine.resume(place.namespace, place.last)
    assert place.engine.wait(place.namespace, place.last, 10) == {"var": {"x": 1}}


def test_an_instance_that_is_removed_when_it_has_just_begun(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.register(COUNTER)
    catalog = place.store._kernel.catalog
    commit = catalog.commit

    def removed(*given: Any, **options: Any) -> Any:
        monkeypatch.undo()
        made = commit(*given, **options)
        place.namespace.drop()
        return made

    monkeypatch.setattr(catalog, "commit", removed)
    with pytest.raises(FlowFailed, match="removed"):
        place.engine.run(place.namespace, "/flow.yaml")
    assert not place.namespace.present


def test_a_crash_that_cannot_be_recorded_is_recorded_later(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.register(COUNTER)
    full = threading.Event()
    full.set()
    with failing(place.store, before=lambda changes: StorageFullError("full") if full.is_set() else None):
        full.clear()
        original = place.engine._new

        def begun(*given: Any) -> Any:
            running = original(*given)
            full.set()
            return running

        monkeypatch.setattr(place.engine, "_new", begun)
        with pytest.raises(FlowFailed) as caught:
            place.engine.run(place.namespace, "/flow.yaml")
        assert caught.value.status == "crashed"
        full.clear()
        until(lambda: place.engine.instances(place.namespace).get(place.last).status == "crashed")
    assert place.engine.instances(place.namespace).get(place.last).error_message == "StorageFullError: full"
    place.engine.resume(place.namespace, place.last)
    assert place.engine.wait(place.namespace, place.last, 10) == {"var": {"x": 1}}


def test_a_crash_whose_record_gave_no_answer_does_not_stop_who_goes_on(place: Place) -> None:
    place.register("functions: [{id: echo, image: echo}]\nstates:\n- {id: a, type: action, action: {function: echo}}\n")
    errors, done = iter([StorageFullError("full")]), threading.Event()
    place.calls.known["echo"] = lambda action: 1 / 0
    told = failing(place.store, after=lambda _: next(errors, None) if place.calls.made else None)
    with told, pytest.raises(FlowFailed, match="division by zero"):
        place.engine.run(place.namespace, "/flow.yaml")
    place.calls.known["echo"] = lambda action: done.wait(10)
    place.engine.resume(place.namespace, place.last)
    until(lambda: not place.engine._workers._crashed)
    assert place.engine.instances(place.namespace).get(place.last).status == "pending"
    done.set()
    assert place.engine.wait(place.namespace, place.last, 10) == {"return": True}


def test_without_more_threads_those_that_there_are_do_the_work(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    functions = "functions: [{id: echo, image: echo}]\nstates:\n"
    states = "- {id: a, type: foreach, array: 'jq([range(100)])', action: {function: echo}, transition: b}\n"
    states += "- {id: b, type: action, async: true, action: {function: echo}}\n"
    place.register(functions + states)
    assert len(place.engine.run(place.namespace, "/flow.yaml")["return"]) == 100  # with all threads but its own
    monkeypatch.setattr(threading.Thread, "start", none)
    with Engine(place.store, place.calls) as engine:
        for _ in range(2):
            id = engine.start(place.namespace, "/flow.yaml")
            assert len(engine.wait(place.namespace, id, 10)["return"]) == 100
        assert len(place.calls.made) == 303
        assert engine._threads._value == place.engine._threads._value
        monkeypatch.undo()


def test_calls_that_are_not_waited_for_end_with_a_run_that_crashes(place: Place) -> None:
    def broken(action: Action) -> Any:
        until(lambda: len(place.calls.made) == 2)
        raise RuntimeError("a fault of the library")

    place.calls.known["echo"] = broken
    functions = "functions: [{id: sleep, image: sleep}, {id: echo, image: echo}]\nstates:\n"
    states = "- {id: a, type: action, async: true, transition: b, action: {function: sleep, input: {seconds: 9}}}\n"
    place.register(functions + states + "- {id: b, type: action, action: {function: echo}}\n")
    with pytest.raises(FlowFailed, match="a fault of the library"):
        place.engine.run(place.namespace, "/flow.yaml")
    assert all(action.cancelled.is_set() for action in place.calls.made if action.function == "sleep")


def closed_while_it_sleeps(place: Place, text: str) -> str:
    """The id of an instance that was stopped in a call of ``sleep``."""
    place.register(text)
    calls = Calls()
    with Engine(place.store, calls) as engine:
        id = engine.start(place.namespace, "/flow.yaml", {"seconds": 60})
        until(lambda: calls.made)
    return id


UNIT = (
    "functions: [{id: sleep, image: sleep}]\n"
    + ATOMIC.replace("    value: 'jq(.var.x)'\n", "    value: 'jq(.var.x)'\n  transition: c\n")
    + "- id: c\n  type: action\n  action: {function: sleep, input: {seconds: jq(.seconds // 60)}}\n"
)
HOLDS = "functions: [{id: sleep, image: echo}]\n" + UNIT.partition("\n")[2]


def test_a_crashed_instance_is_cancelled_without_its_functions_and_with_its_subflows(place: Place) -> None:
    place.register(SLEEP, "/child.yaml")
    parent = "functions: [{id: f, workflow: child.yaml}]\nstates:\n"
    id = closed_while_it_sleeps(place, parent + "- {id: a, type: action, action: {function: f, input: jq(.)}}\n")
    known = place.engine.instances(place.namespace)
    assert {info.status for info in known.page()[1]} == {"crashed"}
    assert known.get(id).state == "a"
    del place.calls.known["sleep"]
    place.engine.cancel(place.namespace, id)
    found = place.engine.instances(place.namespace).page()[1]
    assert sorted((info.status, info.state) for info in found) == [("cancelled", "a"), ("cancelled", "second")]
    assert place.log(id)[-1] == "cancelled"
    with pytest.raises(FlowFailed, match=r"the flow /flow.yaml was cancelled \(instance"):
        place.engine.wait(place.namespace, id)


def test_all_below_a_crashed_instance_is_looked_for_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.register(SLEEP, "/leaf.yaml")
    calls = "functions: [{id: f, workflow: %s.yaml}]\nstates:\n- {id: a, type: foreach, array: 'jq([1, 2])', "
    calls += "action: {function: f, input: {seconds: 60}}}\n"
    place.register(calls % "leaf", "/middle.yaml")
    place.register(calls % "middle")
    made = Calls()
    with Engine(place.store, made) as engine:
        id = engine.start(place.namespace, "/flow.yaml")
        until(lambda: len(made.made) == 4)
    looks: list[Instances] = []
    ids = Instances.ids

    def look(known: Instances) -> list[str]:
        looks.append(known)
        return ids(known)

    monkeypatch.setattr(Instances, "ids", look)
    place.engine.cancel(place.namespace, id)
    assert len(looks) == 1
    assert [info.status for info in place.engine.instances(place.namespace).page()[1]] == ["cancelled"] * 7


def test_what_a_fork_sees_of_instances_of_its_parent(place: Place) -> None:
    id = place.engine.start(place.namespace, place.register(DELAY))

    def within() -> None:
        with pytest.raises(TimeoutError):
            place.engine.wait(place.namespace, id, 0.05)
        assert place.engine.run(place.namespace, place.register(COUNTER, "/counter.yaml")) == {"var": {"x": 1}}
        place.engine.cancel(place.namespace, id)
        place.engine.close()

    assert os.waitpid(forked(within), 0)[1] == 0
    with pytest.raises(FlowFailed, match="was cancelled"):
        place.engine.wait(place.namespace, id, 10)


def test_a_fork_that_comes_while_a_definition_is_looked_up(place: Place) -> None:
    place.register(COUNTER)

    def within() -> None:
        signal.alarm(5)
        place.engine.run(place.namespace, "/flow.yaml")
        place.engine.close()

    with place.engine._definitions._lock:  # as another thread may have it then
        process = forked(within)
    assert os.waitpid(process, 0)[1] == 0


def test_what_is_added_to_workers_that_have_closed_does_not_run(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.register("functions: [{id: echo, image: echo}]\nstates:\n- {id: a, type: action, action: {function: echo}}\n")
    engine = Engine(place.store, place.calls)
    original = engine._held

    def late(*given: Any) -> Any:
        record = original(*given)
        engine.close()
        return record

    monkeypatch.setattr(engine, "_held", late)
    with pytest.raises(FlowFailed, match="closed"):
        engine.run(place.namespace, "/flow.yaml")
    assert place.calls.made == []
    assert place.engine.instances(place.namespace).get(place.last).status == "crashed"


@pytest.mark.parametrize("how", ["cancel", "close", "interrupt"])
def test_what_a_unit_keeps_back_outlasts_a_wait_for_its_turn(place: Place, how: str) -> None:
    """An instance that is resumed and waits for its variables may end, or stop once more, and forgets nothing."""
    text = UNIT.replace("atomic:", "timeouts: {interrupt: PT0.8S}\natomic:") if how == "interrupt" else UNIT
    id = closed_while_it_sleeps(place, text)
    done = threading.Event()
    place.calls.known |= {"echo": lambda action: done.wait(20), "sleep": lambda action: None}
    place.namespace.flows.register("/flow.yaml", HOLDS)
    other = place.engine.start(place.namespace, "/flow.yaml")
    until(lambda: place.calls.made)
    with Engine(place.store, place.calls) as engine:
        engine.resume(place.namespace, id)
        if how == "interrupt":
            with pytest.raises(FlowFailed):
                engine.wait(place.namespace, id, 10)
        else:
            time.sleep(0.1)
        if how == "cancel":
            engine.cancel(place.namespace, id)
            with pytest.raises(FlowFailed, match="was cancelled"):
                engine.wait(place.namespace, id, 10)
    done.set()
    place.engine.wait(place.namespace, other, 10)
    found = place.engine.instances(place.namespace).get(id)
    if how == "interrupt":
        assert (found.status, found.error_code) == ("failed", "direktiv.cancels.timeout.soft")
    elif how == "cancel":
        assert found.status == "cancelled"
    else:
        assert found.status == "crashed"
        place.engine.resume(place.namespace, id)
        place.engine.wait(place.namespace, id, 10)
        assert place.namespace.workflow("/flow.yaml").get_bytes("x") == b"2"


def test_an_instance_that_is_resumed_before_who_ran_it_has_ended(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is known as what runs here, and so cancelled."""
    place.register("functions: [{id: echo, image: echo}]\nstates:\n- {id: a, type: action, action: {function: echo}}\n")
    place.calls.known["echo"] = lambda action: 1 / 0
    original = Record.crashed

    def resumed(record: Record, error: BaseException) -> Any:
        found = original(record, error)
        monkeypatch.undo()
        place.calls.known["echo"] = lambda action: action.cancelled.wait(10)
        place.engine.resume(place.namespace, record.place.instance)
        until(lambda: len(place.calls.made) == 2)
        return found

    monkeypatch.setattr(Record, "crashed", resumed)
    with pytest.raises(FlowFailed, match="division by zero"):
        place.engine.run(place.namespace, "/flow.yaml")
    place.engine.cancel(place.namespace, place.last)
    with pytest.raises(FlowFailed, match="was cancelled"):
        place.engine.wait(place.namespace, place.last, 2)


def test_an_instance_that_is_started_when_the_last_thread_ends_for_want_of_work(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.register(COUNTER)
    monkeypatch.setattr("holdfast.flows.workers._IDLE", 0.05)
    with Engine(place.store, place.calls, threads=1) as engine:
        original = engine._workers._next
        begun: list[str] = []

        def late() -> Any:
            found = original()
            if found is None and len(begun) == 1:
                begun.append(engine.start(place.namespace, "/flow.yaml"))
            return found

        monkeypatch.setattr(engine._workers, "_next", late)
        begun.append(engine.start(place.namespace, "/flow.yaml"))
        until(lambda: len(begun) == 2)
        assert engine.wait(place.namespace, begun[1], 2) == {"var": {"x": 2}}


@pytest.mark.parametrize("answer", ["lost", "given"])
def test_an_instance_that_was_taken_over_and_is_not_gone_on_with_has_crashed(place: Place, answer: str) -> None:
    """Whether that is to resume or to cancel it."""
    id = closed_while_it_sleeps(place, SLEEP)
    errors = iter([StorageFullError("full")] if answer == "lost" else [None, StorageFullError("full")])
    how = {"after" if answer == "lost" else "before": lambda changes: next(errors, None)}
    done = place.engine.resume if answer == "lost" else place.engine.cancel
    with failing(place.store, **how), pytest.raises(StorageFullError):
        done(place.namespace, id)
    assert place.engine.instances(place.namespace).get(id).status == "crashed"
    place.calls.known["sleep"] = lambda action: None
    place.engine.resume(place.namespace, id)
    assert place.engine.wait(place.namespace, id, 10)["var"] == {"n": 1}


def test_a_resume_that_fails_does_not_stop_who_was_faster(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    id = closed_while_it_sleeps(place, SLEEP)
    done = threading.Event()
    place.calls.known["sleep"] = lambda action: done.wait(10)
    original = place.engine._hold

    def slower(*given: Any) -> Any:
        monkeypatch.undo()
        place.engine.resume(place.namespace, id)
        return original(*given)

    monkeypatch.setattr(place.engine, "_hold", slower)
    errors = iter([None, StorageFullError("full")])
    with failing(place.store, before=lambda changes: next(errors, None)):
        with pytest.raises((StorageFullError, InvalidArgumentError)):
            place.engine.resume(place.namespace, id)
        done.set()
        assert place.engine.wait(place.namespace, id, 10)["var"] == {"n": 1}


def test_an_instance_that_is_removed_when_it_is_resumed_changes_nothing_for_others(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = closed_while_it_sleeps(place, SLEEP)
    runner = place.engine._hold(place.namespace, None)
    catalog = place.store._kernel.catalog
    commit = catalog.commit

    def removed(*given: Any, **options: Any) -> Any:
        monkeypatch.undo()
        place.engine.remove(place.namespace, id)
        return commit(*given, **options)

    monkeypatch.setattr(catalog, "commit", removed)
    with pytest.raises(NotFoundError, match="removed"):
        place.engine.resume(place.namespace, id)
    assert place.engine._hold(place.namespace, None) is runner


def test_an_interrupt_is_told_though_the_instance_is_gone(place: Place) -> None:
    def drop(changes: Any) -> BaseException | None:
        if "progress" not in _keys(changes):
            return None
        place.engine.instances(place.namespace).scope(place.last).drop()
        return KeyboardInterrupt()

    place.register(SLEEP)
    with failing(place.store, before=drop), pytest.raises(KeyboardInterrupt):
        place.engine.run(place.namespace, "/flow.yaml", {"seconds": 0})


def test_a_subflow_that_crashes_while_its_caller_waits_for_who_resumed_it(place: Place) -> None:
    place.register(SLEEP, "/child.yaml")
    parent = "functions: [{id: f, workflow: child.yaml}]\nstates:\n"
    id = closed_while_it_sleeps(place, parent + "- {id: a, type: action, action: {function: f, input: jq(.)}}\n")
    (child,) = place.engine.instances(place.namespace).below(id)
    others = Calls()
    with Engine(place.store, others) as other:
        other.resume(place.namespace, child)
        until(lambda: others.made)
        place.engine.resume(place.namespace, id)
        with pytest.raises(TimeoutError):
            place.engine.wait(place.namespace, id, 0.1)
        place.calls.known["sleep"] = lambda action: None
    assert place.engine.wait(place.namespace, id, 10)["return"]["var"] == {"n": 1}


def test_an_interrupt_that_was_caught_does_not_come_again_for_who_goes_on(place: Place) -> None:
    states = "- {id: a, type: delay, duration: PT60S, catch: [{error: soft, transition: b}]}\n"
    states += "- {id: b, type: action, action: {function: sleep, input: {seconds: 60}}}\n"
    functions = "functions: [{id: sleep, image: sleep}]\n"
    id = closed_while_it_sleeps(place, f"timeouts: {{interrupt: PT0.1S}}\n{functions}states:\n{states}")
    place.calls.known["sleep"] = lambda action: 1
    place.engine.resume(place.namespace, id)
    assert place.engine.wait(place.namespace, id, 10)["return"] == 1


PARENT = """
functions: [{id: first, workflow: first.yaml}, {id: second, workflow: second.yaml}]
states:
"""


@pytest.mark.parametrize(
    "states",
    [
        "- {id: a, type: parallel, actions: [{function: first}, {function: second}]}\n",
        "- {id: a, type: action, async: true, action: {function: first}, transition: b}\n"
        "- {id: b, type: action, action: {function: second}}\n",
    ],
    ids=["parallel", "async"],
)
def test_a_subflow_crashes_with_another_one_and_is_gone_on_with(place: Place, states: str) -> None:
    """It is not cancelled, with which the whole could not be gone on with; nor pending for ever."""
    one = "functions: [{{id: {0}, image: {0}}}]\nstates:\n- {{id: a, type: action, action: {{function: {0}}}}}\n"
    place.register(one.format("sleep"), "/first.yaml")
    place.register(one.format("echo"), "/second.yaml")

    def broken(action: Action) -> Any:
        until(lambda: len(place.calls.made) == 2)
        raise RuntimeError("a fault of the library")

    place.calls.known |= {"echo": broken, "sleep": lambda action: action.cancelled.wait(10)}
    place.register(PARENT + states)
    with pytest.raises(FlowFailed, match="a fault of the library"):
        place.engine.run(place.namespace, "/flow.yaml")
    known = place.engine.instances(place.namespace)
    until(lambda: {info.status for info in known.page()[1]} == {"crashed"}, 2)
    place.calls.known |= {"echo": lambda action: 1, "sleep": lambda action: 2}
    for info in sorted(known.page()[1], key=lambda info: -len(info.lineage)):
        place.engine.resume(place.namespace, info.id)
        place.engine.wait(place.namespace, info.id, 10)
    assert {info.status for info in known.page()[1]} == {"complete"}


def test_an_instance_whose_end_gave_no_answer_leaves_no_scope(place: Place) -> None:
    place.calls.known["sleep"] = lambda action: None
    ends = iter([StorageFullError("full")])

    def last(changes: Any) -> BaseException | None:
        return next(ends, None) if {"n", "instance"} <= _keys(changes) else None  # the facts, and a delete

    place.register(SLEEP)
    with failing(place.store, after=last):
        assert place.engine.run(place.namespace, "/flow.yaml", {"seconds": 0})["var"] == {"n": 1}
    assert next(ends, None) is None
    assert not place.namespace.scope("instance", place.last).present


def test_who_lost_his_lease_does_not_take_what_others_did_for_his_own(place: Place) -> None:
    place.register(SLEEP)
    done = threading.Event()
    place.calls.known["sleep"] = lambda action: done.wait(10)
    id = place.engine.start(place.namespace, "/flow.yaml", {"seconds": 0})
    until(lambda: place.calls.made)
    running = place.engine._here(place.namespace, id)
    assert running is not None
    place.engine._runners[place.namespace.path].lease.release()
    with Engine(place.store, Calls()) as other:
        other.resume(place.namespace, id)
        assert other.wait(place.namespace, id, 10)["var"] == {"n": 1}
    done.set()
    assert running.ended.wait(10)
    assert (running.status, running.instance.output) == ("stopped", None)
