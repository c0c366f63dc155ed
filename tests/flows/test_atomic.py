"""D4: variables that are read and written as one unit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from holdfast.errors import FlowFailed
from holdfast.flows import unit
from holdfast.flows.functions.action import Action

from .conftest import Place
from .kills import forked
from .samples import ATOMIC, COUNTER
from .test_instances import program, until

ROOT = Path(__file__).parents[2]


def counted(place: Place) -> int:
    return int(place.namespace.workflow("/flow.yaml").get_bytes("x"))


def at_once(place: Place, counts: list[int], threads: int) -> None:
    """Run the counter so many times in each of as many processes, all at once."""
    command = [sys.executable, "-m", "tests.flows.programs", "at_once", str(place.store.config.store), "/flow.yaml"]
    command += map(str, [threads, *counts])
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=110)


def test_d04_a_hundred_counters_at_once_from_eight_processes(place: Place) -> None:
    place.register(ATOMIC)
    at_once(place, [12, 13] * 4, 13)
    assert counted(place) == 100
    assert place.engine.instances(place.namespace).page(0)[0] == 100


@pytest.mark.long
def test_d04_many_more(place: Place) -> None:
    place.register(ATOMIC)
    at_once(place, [250] * 8, 8)
    assert counted(place) == 2000


def test_d04_the_plain_form_stays_as_it_is(place: Place) -> None:
    place.register(COUNTER)
    at_once(place, [5, 5], 1)
    assert 1 <= counted(place) <= 10


def slowly(place: Place, text: str = ATOMIC) -> str:
    """Register a counter that calls a function between reading and writing."""
    state = "- id: c\n  type: action\n  action: {function: echo}\n  transition: b\n"
    text = text.replace("transition: b\n", "transition: c\n") + state
    return place.register("functions: [{id: echo, image: echo}]\n" + text)


def test_d04_takes_turns_over_calls_of_functions(place: Place) -> None:
    slowly(place)
    place.calls.known["echo"] = lambda action: time.sleep(0.05)
    ids = [place.engine.start(place.namespace, "/flow.yaml") for _ in range(10)]
    for id in ids:
        place.engine.wait(place.namespace, id, 30)
    assert counted(place) == 10
    assert len(place.calls.made) == 10  # nobody had to begin anew


def test_d04_who_does_not_take_turns_is_noticed(place: Place) -> None:
    slowly(place)
    workflow = place.namespace.workflow("/flow.yaml")

    def write(action: Action) -> None:
        if len(place.calls.made) == 1:
            workflow.put_chunks("x", [b"100"], content_type="application/json")

    place.calls.known["echo"] = write
    assert place.engine.run(place.namespace, "/flow.yaml")["var"] == {"x": 101}
    assert counted(place) == 101
    assert len(place.calls.made) == 2
    assert "others wrote atomic variables meanwhile: once more from here" in place.log()


def test_d04_who_always_writes_ends_in_an_error(place: Place) -> None:
    slowly(place)
    workflow = place.namespace.workflow("/flow.yaml")
    place.calls.known["echo"] = lambda action: workflow.add("x").value
    with pytest.raises(Exception, match=r"direktiv\.var\.conflict"):
        place.engine.run(place.namespace, "/flow.yaml")
    assert len(place.calls.made) == 100


def test_d04_a_run_that_fails_writes_nothing_of_its_unit(place: Place) -> None:
    place.run(ATOMIC)
    failing = ATOMIC.replace("    value: 'jq(.var.x)'\n", "    value: 'jq(.var.x)'\n  transition: c\n")
    failing += "- {id: c, type: error, error: e, message: m}\n"
    assert place.fails(failing).error_code == "e"
    assert counted(place) == 1
    assert place.run(ATOMIC)["var"]["x"] == 2


def test_d04_reads_see_own_writes_and_a_null_deletes(place: Place) -> None:
    text = ATOMIC.replace("    value: 'jq(.var.x)'\n", "    value: 'jq(.var.x)'\n  transition: c\n")
    text += "- {id: c, type: getter, variables: [{key: x, scope: workflow, as: y}]}\n"
    assert place.run(text)["var"] == {"y": 1}
    deleting = text.replace("value: 'jq(.var.x)'", "value: null")
    assert place.run(deleting)["var"] == {"y": None}
    assert not place.namespace.workflow("/flow.yaml").exists("x")


def test_d04_several_variables_in_any_order(place: Place) -> None:
    """Each moves one from a to b, or back: together they stay what they were."""
    for key in "ab":
        place.namespace.put_chunks(key, [b"1000"])
    for number, order in enumerate(("ab", "ba")):
        first, second = order[0], order[1]
        units = f"atomic: [{{scope: namespace, key: {first}}}, {{scope: namespace, key: {second}}}]\n"
        states = "states:\n- id: g\n  type: getter\n  transition: s\n  variables:\n"
        states += "".join(f"  - {{key: {key}, scope: namespace}}\n" for key in order)
        states += "- id: s\n  type: setter\n  variables:\n"
        states += f"  - {{key: {first}, scope: namespace, value: jq(.var.{first} - 1)}}\n"
        states += f"  - {{key: {second}, scope: namespace, value: jq(.var.{second} + 1)}}\n"
        place.register(units + states, f"/{number}.yaml")
    ids = [place.engine.start(place.namespace, f"/{number % 2}.yaml") for number in range(40)]
    for id in ids:
        place.engine.wait(place.namespace, id, 30)
    assert [json.loads(place.namespace.get_bytes(key)) for key in "ab"] == [1000, 1000]


def test_d04_a_subflow_that_needs_what_its_caller_has(place: Place) -> None:
    child = (
        "atomic: [{scope: namespace, key: x}]\nstates:\n- {id: a, type: getter, variables: [{key: x, scope: namespace}]"
    )
    place.register(child + "}\n", "/child.yaml")
    parent = "functions: [{id: f, workflow: child.yaml}]\n" + child + ", transition: b}\n"
    parent += "- {id: b, type: action, action: {function: f}}\n"
    began = time.monotonic()
    assert place.fails(parent).error_code == "direktiv.var.conflict"
    assert time.monotonic() - began < 15


def test_d04_waiting_for_a_turn_can_be_cancelled(place: Place) -> None:
    slowly(place)
    done = threading.Event()
    place.calls.known["echo"] = lambda action: done.wait(30)
    first = place.engine.start(place.namespace, "/flow.yaml")
    until(lambda: place.calls.made)
    second = place.engine.start(place.namespace, "/flow.yaml")
    time.sleep(0.3)
    place.engine.cancel(place.namespace, second)
    with pytest.raises(Exception, match="cancelled"):
        place.engine.wait(place.namespace, second, 20)
    done.set()
    place.engine.wait(place.namespace, first, 10)
    assert counted(place) == 1


def test_d04_a_unit_that_was_killed_is_resumed_as_it_was(place: Place) -> None:
    sleeping = "- id: c\n  type: action\n  action: {function: sleep, input: {seconds: 60}}\n  transition: d\n"
    text = ATOMIC.replace("    value: 'jq(.var.x)'\n", "    value: 'jq(.var.x)'\n  transition: c\n") + sleeping
    text += "- {id: d, type: setter, variables: [{key: y, scope: workflow, value: jq(.var.x)}]}\n"
    place.register("functions: [{id: sleep, image: sleep}]\n" + text)
    with program("start", str(place.store.config.store), "/flow.yaml") as process:
        assert process.stdout is not None
        id = process.stdout.readline().strip()
        until(lambda: place.engine.instances(place.namespace).get(id).state == "c")
    workflow = place.namespace.workflow("/flow.yaml")
    assert not workflow.exists("x")
    place.calls.known["sleep"] = lambda action: None
    place.engine.resume(place.namespace, id)
    place.engine.wait(place.namespace, id, 20)
    assert (workflow.get_bytes("x"), workflow.get_bytes("y")) == (b"1", b"1")


def test_d04_who_gave_up_waiting_for_a_turn_may_wait_again(place: Place) -> None:
    """Of two variables one was had already when the time was over."""
    units = "atomic: [{scope: namespace, key: a}, {scope: namespace, key: b}]\n"
    getter = "type: getter, variables: [{key: a, scope: namespace}]"
    states = f"states:\n- {{id: a, {getter}, catch: [{{error: soft, transition: b}}]}}\n- {{id: b, {getter}}}\n"
    place.register("timeouts: {interrupt: PT0.3S, kill: PT20S}\n" + units + states, "/both.yaml")
    place.register(
        "functions: [{id: echo, image: echo}]\natomic: [{scope: namespace, key: b}]\nstates:\n"
        "- {id: a, type: getter, variables: [{key: b, scope: namespace}], transition: b}\n"
        "- {id: b, type: action, action: {function: echo}}\n"
    )
    done = threading.Event()
    place.calls.known["echo"] = lambda action: done.wait(30)
    place.engine.start(place.namespace, "/flow.yaml")
    until(lambda: place.calls.made)
    threading.Timer(0.5, done.set).start()
    assert place.engine.run(place.namespace, "/both.yaml")["var"] == {"a": None}


def test_d04_a_unit_beyond_a_quota_ends_the_run(place: Place) -> None:
    place.namespace.workflow("/flow.yaml").set_policy(max_bytes=100)
    text = ATOMIC.replace("jq(.var.x)", "jq(.text)") + "  catch: [{error: quota}]\n"
    failed = place.fails("timeouts: {kill: PT20S}\n" + text, {"text": "x" * 200})
    assert failed.error_code == "direktiv.var.quota"


def test_d04_a_fork_does_not_wait_for_a_turn_of_its_parent(place: Place) -> None:
    slowly(place)
    done = threading.Event()
    place.calls.known["echo"] = lambda action: done.wait(30)
    id = place.engine.start(place.namespace, "/flow.yaml")
    until(lambda: place.calls.made)

    def within() -> None:
        assert not unit._turns

    assert [turn.lock.locked() for turn in unit._turns.values()] == [True]
    assert os.waitpid(forked(within), 0)[1] == 0
    done.set()
    place.engine.wait(place.namespace, id, 10)


def test_d04_subflows_that_wait_for_what_the_caller_of_each_other_has(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them gives up; else both waited for ever."""
    monkeypatch.setattr(unit, "_PATIENCE", 0.2)
    both = threading.Barrier(2)
    place.calls.known["echo"] = lambda action: both.wait(10)
    for own, other in ("xy", "yx"):
        begin = f"atomic: [{{scope: namespace, key: {own}}}]\n"
        begin += f"functions: [{{id: echo, image: echo}}, {{id: f, workflow: leaf{other}.yaml}}]\nstates:\n"
        getter = f"- {{id: a, type: getter, variables: [{{key: {own}, scope: namespace}}]"
        place.register(f"{begin}{getter}}}\n", f"/leaf{own}.yaml")
        states = f"{getter}, transition: b}}\n- {{id: b, type: action, action: {{function: echo}}, transition: c}}\n"
        place.register(f"{begin}{states}- {{id: c, type: action, action: {{function: f}}}}\n", f"/{own}.yaml")
    ids = [place.engine.start(place.namespace, f"/{own}.yaml") for own in "xy"]
    assert place.engine.wait(place.namespace, ids[0], 5)["return"]["var"] == {"y": None}
    with pytest.raises(FlowFailed, match="a caller of this flow") as caught:
        place.engine.wait(place.namespace, ids[1], 5)
    assert caught.value.error_code == "direktiv.var.conflict"
