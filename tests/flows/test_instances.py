"""Instances as they are recorded: looked at, cancelled, resumed, removed; here and from other processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import holdfast
from holdfast.catalog.base import Fence
from holdfast.errors import ClosedError, DefinitionError, FlowFailed, InvalidArgumentError, NotFoundError
from holdfast.flows.engine import Engine
from holdfast.flows.ids import new_id
from holdfast.flows.instance import Limits
from holdfast.flows.instances import lease_of

from .callers import Calls
from .conftest import Place
from .samples import COUNTER

ROOT = Path(__file__).parents[2]
DELAY = "states:\n- id: a\n  type: delay\n  duration: PT60S\n"
SLEEP = """
functions: [{id: sleep, image: sleep}]
states:
- id: first
  type: setter
  variables: [{key: n, scope: instance, value: 1}]
  transition: second
- id: second
  type: action
  action: {function: sleep, input: {seconds: jq(.seconds)}}
  transition: third
- id: third
  type: getter
  variables: [{key: n, scope: instance}]
"""


@contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.flows.programs", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def until(condition: object, seconds: float = 10) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_instances_are_listed_the_newest_first_and_with_all_facts(place: Place) -> None:
    place.register(COUNTER)
    ids = [place.engine.start(place.namespace, "flow.yaml") for _ in range(5)]
    for id in ids:
        place.engine.wait(place.namespace, id)
    known = place.engine.instances(place.namespace)
    total, page = known.page(2, 1)
    assert (total, [info.id for info in page]) == (5, ids[::-1][1:3])
    info = known.get(ids[0])
    assert (info.path, info.status, info.invoker, info.state, info.step) == ("/flow.yaml", "complete", "api", "b", 2)
    assert (info.flow, info.error_code, info.lineage) == (("a", "b"), None, ())
    assert info.ended is not None
    assert info.begun <= info.ended
    assert known.definition(ids[0]) == COUNTER
    assert known.output(ids[0])["var"]["x"] in range(1, 6)
    flows = place.namespace.flows
    assert flows.get(ids[0]) == info
    assert [each.id for each in flows.list()] == ids[::-1]
    assert flows.output(ids[0]) == known.output(ids[0])


def test_ids_are_in_the_order_in_which_they_were_made() -> None:
    ids = [new_id() for _ in range(1000)]
    assert sum(before > after for before, after in pairwise(ids)) < 10  # else 500 of those of one millisecond
    assert {UUID(id).version for id in ids} == {7}


def test_runs_of_task_graphs_are_no_instances(place: Place) -> None:
    @holdfast.task
    def one() -> int:
        return 1

    assert place.namespace.run(one(), executor="threads") == [1]
    assert place.namespace.flows.list() == []
    place.run(COUNTER)
    assert len(list(place.namespace.runs.list())) == len(place.namespace.flows.list()) == 1


def test_a_long_log_and_long_data(place: Place) -> None:
    states = (
        "- id: a\n  type: noop\n  log: jq(.n)\n  transform: 'jq(.n += 1)'\n  transition: b\n- id: b\n  type: switch\n"
    )
    states += "  conditions: [{condition: jq(.n < 300), transition: a}]\n"
    assert place.states(states, {"n": 0, "more": "x" * 10_000})["n"] == 300
    assert place.log() == [*map(str, range(300)), "complete"]
    known = place.engine.instances(place.namespace)
    assert known.output(place.last) == {"n": 300, "more": "x" * 10_000}
    assert known.get(place.last).step == 600
    records = [record.size for record in place.namespace.scope("run", place.last).list("log/")]
    assert sum(records) < 300 * 100


def test_what_is_not_there(place: Place) -> None:
    none = "01a22a57-daf7-7e05-b379-bbc1485e2180"
    known = place.engine.instances(place.namespace)
    for call in (known.get, known.output, known.definition, lambda id: list(known.log(id))):
        with pytest.raises(NotFoundError, match="no instance"):
            call(none)
    for verb in (place.engine.wait, place.engine.cancel, place.engine.resume, place.engine.remove):
        with pytest.raises(NotFoundError, match="no instance"):
            verb(place.namespace, none)
        with pytest.raises(InvalidArgumentError, match="UUID"):
            verb(place.namespace, "latest")
    with pytest.raises(NotFoundError, match=r"no workflow /none\.yaml"):
        place.engine.run(place.namespace, "none.yaml")
    for name in ("/", ".", "a/..", "a/"):
        with pytest.raises(InvalidArgumentError, match="named by the path"):
            place.engine.run(place.namespace, name)
    with pytest.raises(InvalidArgumentError, match="must be JSON"):
        place.run(COUNTER, {"a": float("nan")})
    with pytest.raises(InvalidArgumentError, match="must be JSON"):
        place.run(COUNTER, {"a": object()})
    for limit, skip in ((-1, 0), (1, -1)):
        with pytest.raises(InvalidArgumentError, match="from 0 on"):
            place.namespace.flows.list(limit, skip)
    with pytest.raises(InvalidArgumentError, match="of a namespace"):
        place.namespace.workflow("x").flows.list()


def test_inputs_that_are_nested_about_as_deep_as_can_be(place: Place) -> None:
    place.register("states:\n- {id: a, type: noop, log: 'so deep: jq(.)'}\n")
    found = set()
    for depth in range(850, 1000, 2):
        deep: Any = 1
        for _ in range(depth):
            deep = [deep]
        try:
            place.engine.run(place.namespace, "/flow.yaml", {"deep": deep})
            found.add("complete")
        except FlowFailed as failed:
            found.add(failed.error_code or str(failed))
        except InvalidArgumentError:
            found.add("invalid")
    assert found <= {"complete", "direktiv.jq.badCommand", "invalid"}


def test_cancel_here(place: Place) -> None:
    for text in (DELAY, SLEEP):
        id = place.engine.start(place.namespace, place.register(text), {"seconds": 60})
        until(lambda id=id: place.engine.instances(place.namespace).get(id).state in ("a", "second"))
        began = time.monotonic()
        place.engine.cancel(place.namespace, id)
        with pytest.raises(FlowFailed, match="cancelled") as caught:
            place.engine.wait(place.namespace, id)
        assert (caught.value.status, caught.value.instance) == ("cancelled", id)
        assert time.monotonic() - began < 15
        assert not place.namespace.instance(id).present
        place.engine.cancel(place.namespace, id)  # and again
        with pytest.raises(InvalidArgumentError, match="is cancelled"):
            place.engine.resume(place.namespace, id)


def test_cancel_what_waits_for_a_thread(place: Place) -> None:
    place.register(DELAY)
    with Engine(place.store, threads=1) as engine:
        first, *others = (engine.start(place.namespace, "/flow.yaml") for _ in range(3))
        engine.cancel(place.namespace, others[0])
        place.engine.cancel(place.namespace, others[1])  # as another process does
        for id in others:
            with pytest.raises(FlowFailed, match="was cancelled"):
                engine.wait(place.namespace, id, 5)
        assert engine.instances(place.namespace).get(first).status == "pending"


def test_cancel_ends_the_subflows_that_are_waited_for(place: Place) -> None:
    place.register(DELAY, "/child.yaml")
    parent = "functions: [{id: f, workflow: child.yaml}]\nstates:\n- {id: a, type: foreach, array: [1, 2, 3], "
    id = place.engine.start(place.namespace, place.register(parent + "action: {function: f}}\n"))
    until(lambda: place.engine.instances(place.namespace).page()[0] == 4)
    place.engine.cancel(place.namespace, id)
    with pytest.raises(FlowFailed):
        place.engine.wait(place.namespace, id)
    assert {info.status for info in place.engine.instances(place.namespace).page()[1]} == {"cancelled"}


def test_wait_and_cancel_from_another_process(place: Place) -> None:
    place.register(SLEEP)
    with program("start", str(place.store.config.store), "/flow.yaml", '{"seconds": 60}') as process:
        id = line(process)
        until(lambda: place.engine.instances(place.namespace).get(id).state == "second")
        assert place.engine.instances(place.namespace).get(id).status == "pending"
        with pytest.raises(TimeoutError):
            place.engine.wait(place.namespace, id, 0.1)
        for verb in (place.engine.resume, place.engine.remove):
            with pytest.raises(InvalidArgumentError, match=r"pending|goes on"):
                verb(place.namespace, id)
        place.engine.cancel(place.namespace, id)
        assert line(process) == "cancelled"
        with pytest.raises(FlowFailed, match="cancelled"):
            place.engine.wait(place.namespace, id)


def test_an_instance_that_was_killed_is_shown_and_resumed(place: Place) -> None:
    place.register(SLEEP)
    with program("start", str(place.store.config.store), "/flow.yaml", '{"seconds": 60}') as process:
        id = line(process)
        until(lambda: place.engine.instances(place.namespace).get(id).state == "second")
    info = place.engine.instances(place.namespace).get(id)
    assert (info.status, info.state, info.step) == ("crashed", "second", 1)
    with pytest.raises(FlowFailed, match="can be resumed") as caught:
        place.engine.wait(place.namespace, id)
    assert caught.value.status == "crashed"
    place.register("states:\n- {id: other, type: noop}\n")  # it runs by what its definition was
    place.calls.known["sleep"] = lambda action: "awake"
    place.engine.resume(place.namespace, id)
    assert place.engine.wait(place.namespace, id, 20) == {"seconds": 60, "return": "awake", "var": {"n": 1}}
    assert place.log(id) == ["resumed", "complete"]
    assert not place.namespace.instance(id).present


def test_a_crashed_instance_is_cancelled_or_removed(place: Place) -> None:
    place.register(SLEEP)
    ids = []
    for _ in range(2):
        with program("start", str(place.store.config.store), "/flow.yaml", '{"seconds": 60}') as process:
            ids.append(line(process))
            until(lambda: place.engine.instances(place.namespace).get(ids[-1]).state == "second")
    place.engine.cancel(place.namespace, ids[0])
    assert place.engine.instances(place.namespace).get(ids[0]).status == "cancelled"
    place.engine.remove(place.namespace, ids[1])
    assert place.engine.instances(place.namespace).ids() == [ids[0]]
    assert not place.namespace.instance(ids[0]).present
    assert not place.namespace.instance(ids[1]).present


def test_one_of_several_resumes(place: Place) -> None:
    place.register(SLEEP)
    with program("start", str(place.store.config.store), "/flow.yaml", '{"seconds": 1}') as process:
        id = line(process)
        until(lambda: place.engine.instances(place.namespace).get(id).state == "second")
    errors: list[Exception] = []

    def again() -> None:
        try:
            place.engine.resume(place.namespace, id)
        except InvalidArgumentError as error:
            errors.append(error)

    threads = [threading.Thread(target=again) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 7
    assert place.engine.wait(place.namespace, id, 20)["var"] == {"n": 1}
    assert len(place.calls.made) == 1


def test_a_subflow_that_had_ended_is_not_run_again(place: Place) -> None:
    place.register(COUNTER, "/child.yaml")
    place.register(DELAY.replace("PT60S", "PT1S"), "/slow.yaml")
    parent = "functions: [{id: f, workflow: child.yaml}, {id: s, workflow: slow.yaml}]\nstates:\n"
    parent += "- {id: a, type: parallel, actions: [{function: f}, {function: s}]}\n"
    place.register(parent)
    with program("start", str(place.store.config.store), "/flow.yaml") as process:
        id = line(process)
        known = place.engine.instances(place.namespace)
        until(lambda: sorted(info.status for info in known.page()[1]) == ["complete", "pending", "pending"])
    place.engine.resume(place.namespace, id)
    assert place.engine.wait(place.namespace, id, 20)["return"] == [{"var": {"x": 1}}, {}]
    assert place.namespace.workflow("/child.yaml").get_bytes("x") == b"1"
    assert place.engine.instances(place.namespace).page()[0] == 3


def test_a_delay_ends_when_it_was_to(place: Place) -> None:
    place.register(DELAY.replace("PT60S", "PT2.5S"))
    with program("start", str(place.store.config.store), "/flow.yaml") as process:
        id = line(process)
        until(lambda: place.engine.instances(place.namespace).get(id).state == "a")
        until(lambda: place.namespace.scope("run", id).exists("progress"))
        time.sleep(1)
    again = time.monotonic()
    place.engine.resume(place.namespace, id)
    place.engine.wait(place.namespace, id, 20)
    assert time.monotonic() - again < 2.4
    info = place.engine.instances(place.namespace).get(id)
    assert info.ended is not None
    assert (info.ended - info.begun).total_seconds() >= 2.5


def test_an_engine_that_closes_leaves_what_can_be_resumed(place: Place) -> None:
    place.register(SLEEP)
    calls, before = Calls(), set(threading.enumerate())
    with Engine(place.store, calls) as engine:
        id = engine.start(place.namespace, "/flow.yaml", {"seconds": 60})
        until(lambda: calls.made)
    assert calls.closed
    until(lambda: {thread for thread in threading.enumerate() if thread.name == "holdfast-flow"} <= before, 5)
    with pytest.raises(ClosedError):
        engine.start(place.namespace, "/flow.yaml")
    assert place.engine.instances(place.namespace).get(id).status == "crashed"
    place.calls.known["sleep"] = lambda action: None
    place.engine.resume(place.namespace, id)
    assert place.engine.wait(place.namespace, id, 20)["var"] == {"n": 1}


def test_a_namespace_that_is_dropped_does_not_come_back(place: Place) -> None:
    place.register(SLEEP)
    id = place.engine.start(place.namespace, "/flow.yaml", {"seconds": 1})
    until(lambda: place.calls.made)
    place.namespace.drop()
    with pytest.raises(FlowFailed, match="removed"):
        place.engine.wait(place.namespace, id, 20)
    assert not place.namespace.present


def test_an_interrupted_run_can_be_resumed(place: Place) -> None:
    place.register(SLEEP)
    with program("run", str(place.store.config.store), "/flow.yaml", "1") as process:
        assert line(process) == "begun"
        known = place.engine.instances(place.namespace)
        until(lambda: (known.ids() and known.get(known.ids()[0]).step >= 1) or process.poll() is not None)
        process.send_signal(signal.SIGINT)
    assert place.engine.instances(place.namespace).page()[1][0].status in ("crashed", "failed")


def test_an_endless_loop_ends(place: Place) -> None:
    place.engine.limits = Limits(transitions=50)
    failed = place.fails("states:\n- {id: a, type: noop, transition: b}\n- {id: b, type: noop, transition: a}\n")
    assert failed.error_code == "direktiv.workflow.tooManyTransitions"
    assert place.engine.instances(place.namespace).get(place.last).step == 51
    assert Limits().transitions == 10_000


def test_a_limit_is_not_caught(place: Place) -> None:
    place.engine.limits = Limits(transitions=50)
    states = "- {id: a, type: noop, transition: a, catch: [{error: '*', transition: a}]}\n"
    assert place.code(states) == "direktiv.workflow.tooManyTransitions"


def test_a_definition_that_is_changed_is_read_again(place: Place) -> None:
    assert place.run("states:\n- {id: a, type: noop, transform: {n: 1}}\n") == {"n": 1}
    assert place.run("states:\n- {id: a, type: noop, transform: {n: 2}}\n") == {"n": 2}
    place.namespace.scope("file", "tree").put_chunks("flow.yaml", [b"states: []"], tags={"type": "workflow"})
    with pytest.raises(DefinitionError, match=r"flow\.yaml:1: states"):
        place.engine.run(place.namespace, "/flow.yaml")


def test_d02_an_instance_keeps_the_path_that_it_began_with(place: Place) -> None:
    call = "- {id: c, type: action, action: {function: echo}, transition: b}\n"
    place.register("functions: [{id: echo, image: echo}]\n" + COUNTER.replace("transition: b", "transition: c") + call)
    place.engine.run(place.namespace, "/flow.yaml")
    renamed = place.namespace.workflow("/new.yaml")
    place.calls.known["echo"] = lambda action: str(place.namespace.workflow("/flow.yaml").rename_scope(renamed.name))
    place.engine.run(place.namespace, "/flow.yaml")
    assert renamed.get_bytes("x") == b"1"
    assert place.namespace.workflow("/flow.yaml").get_bytes("x") == b"2"


def test_files_that_are_no_definitions(place: Place) -> None:
    tree = place.namespace.scope("file", "tree")
    tree.put_chunks("flow.yaml", [b"states:\n- id: \xff\n"], tags={"type": "workflow"})
    with pytest.raises(DefinitionError, match=r"/flow\.yaml:2: a definition is text in UTF-8"):
        place.engine.run(place.namespace, "/flow.yaml")
    tree.put_chunks("flow.yaml", (b"#" * (1 << 20) for _ in range(33)), tags={"type": "workflow"})
    with pytest.raises(DefinitionError, match=r"/flow\.yaml:1: .*more than"):
        place.engine.start(place.namespace, "/flow.yaml")


def test_many_at_once(place: Place) -> None:
    place.register("states:\n- {id: a, type: delay, duration: PT1S}\n")
    began = time.monotonic()
    ids = [place.engine.start(place.namespace, "/flow.yaml") for _ in range(60)]
    for id in ids:
        place.engine.wait(place.namespace, id, 30)
    assert time.monotonic() - began < 25
    assert place.engine.instances(place.namespace).page(0)[0] == 60


def test_a_quota_is_an_error_that_can_be_caught(place: Place) -> None:
    place.namespace.workflow("/flow.yaml").set_policy(max_bytes=100)
    states = "- id: a\n  type: setter\n  variables: [{key: x, scope: workflow, value: jq(.text)}]\n"
    given = {"text": "x" * 200}
    assert place.code(states, given) == "direktiv.var.quota"
    assert place.states(states + "  catch: [{error: quota}]\n", given)["error"]["code"] == "direktiv.var.quota"


def test_who_lost_the_lease_writes_no_more(place: Place) -> None:
    """As after a long stop of the process: others have gone on with the instance, or will."""
    place.register(SLEEP)
    held = threading.Event()
    place.calls.known["sleep"] = lambda action: held.wait(20)
    id = place.engine.start(place.namespace, "/flow.yaml", {"seconds": 1})
    until(lambda: place.calls.made)
    runner = place.namespace.scope("run", id).get("instance")["runner"]
    catalog = place.store._kernel.catalog
    name = lease_of(place.namespace, runner)
    lease = catalog.holder(name)
    assert lease is not None
    row = catalog.acquire(name, "somebody else", 60.0, dead=lease.owner)
    with Engine(place.store, Calls()) as other:
        assert other.instances(place.namespace).get(id).status == "pending"
    held.set()
    with pytest.raises(FlowFailed) as caught:
        place.engine.wait(place.namespace, id, 10)
    assert caught.value.status == "crashed"
    catalog.release(Fence(name, row.token))
    assert place.engine.run(place.namespace, "/flow.yaml", {"seconds": 0})["var"] == {"n": 1}  # under another lease
    info = place.engine.instances(place.namespace).get(id)
    assert (info.status, info.state) == ("crashed", "second")
    place.engine.resume(place.namespace, id)
    assert place.engine.wait(place.namespace, id, 10)["var"] == {"n": 1}
    assert place.log(id) == ["resumed", "complete"]


def test_a_flow_without_functions_needs_no_caller(place: Place) -> None:
    with Engine(place.store) as engine:
        place.register(COUNTER)
        assert engine.run(place.namespace, "/flow.yaml") == {"var": {"x": 1}}
        place.register(SLEEP)
        with pytest.raises(FlowFailed, match="no functions are configured"):
            engine.run(place.namespace, "/flow.yaml", {"seconds": 1})


def test_a_dropped_namespace_stays_dropped_while_flows_are_started(place: Place) -> None:
    place.register(COUNTER)
    ended = threading.Event()

    def start() -> None:
        while not ended.is_set():
            with suppress(NotFoundError):
                place.engine.start(place.namespace, "/flow.yaml")

    starters = [threading.Thread(target=start) for _ in range(2)]
    for starter in starters:
        starter.start()
    try:
        for _ in range(10):
            time.sleep(0.01)
            place.namespace.drop()
            time.sleep(0.01)
            assert not place.namespace.present
            place.register(COUNTER)
    finally:
        ended.set()
        for starter in starters:
            starter.join()
