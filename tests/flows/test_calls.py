"""Actions, foreach, parallel and subflows: D6, D13, D14, D17, D18, retries and time-outs."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import DefinitionError, FlowFailed
from holdfast.flows.engine import Engine
from holdfast.flows.failures import Failure
from holdfast.flows.functions import Functions
from holdfast.flows.functions.action import Action, File
from holdfast.flows.instance import Limits

from .conftest import Place
from .test_instances import until

FUNCTIONS = """
functions:
- {id: echo, image: echo}
- {id: fail, type: knative-workflow, image: fail}
- {id: sleep, type: knative-namespace, service: sleep}
states:
"""


def act(function: str, given: str = "{}", more: str = "") -> str:
    text = f"- id: a\n  type: action\n  action:\n    function: {function}\n    input: {given}\n"
    return FUNCTIONS + text + more


def test_d06_an_action_gives_return(place: Place) -> None:
    assert place.run(act("echo", "{n: jq(.n), m: [jq(.n)]}"), {"n": 2}) == {"n": 2, "return": {"n": 2, "m": [2]}}
    (action,) = place.calls.made
    assert (action.iterator, action.timeout, action.files, action.place.instance) == (0, None, (), place.last)


def test_d17_an_action_without_input_gets_all_data(place: Place) -> None:
    text = FUNCTIONS + "- id: a\n  type: action\n  action:\n    function: echo\n"
    assert place.run(text, {"n": 2}) == {"n": 2, "return": {"n": 2}}


def test_d13_errors_of_functions_are_caught_by_their_codes(place: Place) -> None:
    caught = "  catch:\n  - error: other\n  - error: my\\.\n    transition: b\n- id: b\n  type: noop\n"
    found = place.run(act("fail", more=caught))
    assert found["error"] == {"code": "my.code", "msg": "as it was told to"}
    assert place.fails(act("fail")).error_code == "my.code"
    assert any("my.code: as it was told to" in line for line in place.log())


def test_a_function_that_is_not_configured_is_told_before_anything_runs(place: Place) -> None:
    text = act("echo").replace("image: echo", "image: other/one:v1")
    with pytest.raises(DefinitionError, match=r"flow.yaml:3: functions\[0\].image: no function other/one:v1 is"):
        place.run(text)
    assert not place.engine.instances(place.namespace).ids()


def test_a_caller_that_breaks_is_a_crash_and_not_lost(place: Place) -> None:
    def broken(action: Action) -> Any:
        raise RuntimeError("a fault of the library")

    place.calls.known["echo"] = broken
    failed = place.fails(act("echo"))
    assert failed.status == "crashed"
    info = place.engine.instances(place.namespace).get(place.last)
    assert (info.status, info.error_message) == ("crashed", "RuntimeError: a fault of the library")
    place.calls.known["echo"] = lambda action: "mended"
    place.engine.resume(place.namespace, info.id)
    assert place.engine.wait(place.namespace, info.id, 10) == {"return": "mended"}


def test_d18_files_of_function_and_action(place: Place) -> None:
    text = act("echo").replace(
        "{id: echo, image: echo}",
        "{id: echo, image: echo, files: [{key: a}, {key: b, scope: workflow, as: same, type: tar, permissions: 0644}]}",
    )
    text += "    files:\n    - {key: jq(.k), scope: namespace, as: same, type: tar.gz, permissions: 755}\n"
    place.run(text, {"k": "key"})
    assert place.calls.made[0].files == (
        File("key", "namespace", "same", "tar.gz", "755"),
        File("a", "instance", "a", "plain", None),
    )


def test_d18_fields_of_files_are_text(place: Place) -> None:
    text = act("echo", more="    files: [{key: jq(.k)}]\n")
    assert place.fails(text, {"k": 1}).error_code == "direktiv.jq.notString"
    assert place.calls.made == []


# --- retries and time-outs --------------------------------------------------------------------------------------------


def test_retries_back_off_until_it_succeeds(place: Place) -> None:
    times: list[float] = []

    def third(action: Action) -> Any:
        times.append(time.monotonic())
        if len(times) < 3:
            raise Failure("not.yet", "try again")
        return len(times)

    place.calls.known["echo"] = third
    more = "    retries: {max_attempts: 5, delay: PT0.1S, multiplier: 3, codes: ['^not']}\n"
    assert place.run(act("echo", more=more))["return"] == 3
    assert times[1] - times[0] >= 0.1
    assert times[2] - times[1] >= 0.3


def test_d13_retries_exceeded(place: Place) -> None:
    assert place.fails(act("fail", more="    retries: {max_attempts: 2}\n")).error_code == "direktiv.retries.exceeded"
    assert len(place.calls.made) == 3
    more = "    retries: {max_attempts: 2, codes: [other]}\n"
    assert place.fails(act("fail", more=more)).error_code == "my.code"


def test_delays_that_grow_without_end(place: Place) -> None:
    more = "    retries: {max_attempts: 400, multiplier: 10}\n"
    assert place.fails(act("fail", more=more)).error_code == "direktiv.retries.exceeded"
    assert len(place.calls.made) == 401


def test_a_delay_that_was_broken_off_is_not_that_of_the_next_state(place: Place) -> None:
    states = "- {id: a, type: delay, duration: PT60S, catch: [{error: soft, transition: b}]}\n"
    states += "- {id: b, type: delay, duration: PT0.1S}\n"
    assert place.run(f"timeouts: {{interrupt: PT0.1S, kill: PT20S}}\nstates:\n{states}")["error"]


def test_a_state_that_takes_too_long(place: Place) -> None:
    began = time.monotonic()
    text = act("sleep", "{seconds: 30}", "  timeout: PT0.3S\n")
    assert place.fails(text).error_code == "direktiv.cancels.timeout.soft"
    assert 0 < (place.calls.made[0].timeout or 0) <= 0.3
    assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    ("flow", "state", "code", "configured"),
    [
        ("timeouts: {kill: PT20S, interrupt: PT20S}", "", "holdfast.function.timeout", 0.1),
        ("", "timeout: PT0.1S", "direktiv.cancels.timeout.soft", 20),
        ("timeouts: {interrupt: PT0.1S}", "", "direktiv.cancels.timeout.soft", 20),
        ("", "timeout: PT20S", None, 0.1),
    ],
)
def test_the_time_of_a_function_is_configured_where_its_state_says_none(
    place: Place, tmp_path: Path, flow: str, state: str, code: str | None, configured: float
) -> None:
    """The times of the whole run bound it; they do not take the place of its own."""
    table = {"sleep": {"command": ["sleep", "0.3" if code is None else "20"], "timeout": configured}}
    table |= {name: {"command": ["true"]} for name in ("echo", "fail")}
    functions = Functions.from_settings(table, {"door": "127.0.0.1:0", "folder": str(tmp_path / "actions")})
    place.register(f"{flow}\n" + act("sleep", "1", f"  {state}\n" if state else ""))
    began = time.monotonic()
    with Engine(place.store, functions) as engine:
        if code is None:
            engine.run(place.namespace, "/flow.yaml")
        else:
            with pytest.raises(FlowFailed) as caught:
                engine.run(place.namespace, "/flow.yaml")
            assert caught.value.error_code == code
    assert time.monotonic() - began < 15


def test_a_flow_that_takes_too_long_can_be_caught_and_then_killed(place: Place) -> None:
    text = "timeouts: {interrupt: PT0.3S, kill: PT0.8S}\n" + act(
        "sleep", "{seconds: 30}", "  catch:\n  - error: soft\n"
    )
    text += "    transition: b\n- id: b\n  type: delay\n  duration: PT30S\n  catch: [{error: '*'}]\n"
    began = time.monotonic()
    failed = place.fails(text)
    assert failed.error_code == "direktiv.cancels.timeout.hard"
    assert 0.7 < time.monotonic() - began < 15
    assert any("caught direktiv.cancels.timeout.soft" in line for line in place.log())


# --- several at once --------------------------------------------------------------------------------------------------

FOREACH = (
    FUNCTIONS
    + """
- id: a
  type: foreach
  array: {array}
  action:
    function: {function}
    input: {given}
"""
)


def foreach(array: str, function: str = "echo", given: str = "{x: jq(.)}") -> str:
    return FOREACH.replace("{array}", array).replace("{function}", function).replace("{given}", given)


def test_d06_foreach_evaluates_with_each_element(place: Place) -> None:
    found = place.run(foreach("jq(.list)", given="'jq({n: .n})'"), {"list": [{"n": n} for n in range(50)]})
    assert found["return"] == [{"n": n} for n in range(50)]
    assert sorted(action.iterator for action in place.calls.made) == list(range(50))
    assert place.run(foreach("[]"))["return"] == []


def test_foreach_runs_at_the_same_time_within_bounds(place: Place) -> None:
    running, most, lock = [0], [0], threading.Lock()

    def watched(action: Action) -> Any:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.02)
        with lock:
            running[0] -= 1

    place.calls.known["echo"] = watched
    place.run(foreach("jq([range(64)])"))
    assert 2 < most[0] <= place.engine.limits.threads


@pytest.mark.parametrize("array", ["jq(.n)", "jq({})", "text", "'jq([range(10001)])'"])
def test_d13_bad_arrays(place: Place, array: str) -> None:
    assert place.fails(foreach(array), {"n": 1}).error_code == "direktiv.foreach.badArray"
    assert place.calls.made == []


def test_foreach_ends_with_the_first_error(place: Place) -> None:
    place.calls.known["echo"] = lambda action: place.calls.known["fail" if action.iterator == 1 else "sleep"](
        action._replace(input={"seconds": 20})
    )
    began = time.monotonic()
    assert place.fails(foreach("[1, 2, 3]")).error_code == "my.code"
    assert time.monotonic() - began < 15


def test_results_that_are_large_together_end_the_run(place: Place) -> None:
    place.engine.limits = place.engine.limits._replace(threads=1)
    place.calls.known["echo"] = lambda action: "x" * (12 << 20)
    assert place.fails(foreach("jq([range(50)])")).error_code == "direktiv.var.tooLarge"
    assert len(place.calls.made) == 3


PARALLEL = FUNCTIONS + "- id: a\n  type: parallel\n  mode: MODE\n  actions:\n"
SLOW = "  - {function: sleep, input: {seconds: 20}}\n"
QUICK = "  - {function: echo, input: {n: jq(.n)}}\n"
FAILS = "  - {function: fail}\n"


def test_d06_parallel(place: Place) -> None:
    assert place.run(PARALLEL.replace("MODE", "and") + QUICK * 3, {"n": 1})["return"] == [{"n": 1}] * 3
    began = time.monotonic()
    assert place.run(PARALLEL.replace("MODE", "or") + SLOW + FAILS + QUICK, {"n": 1})["return"] == [
        None,
        None,
        {"n": 1},
    ]
    assert place.fails(PARALLEL.replace("MODE", "and") + SLOW + FAILS).error_code == "my.code"
    assert place.fails(PARALLEL.replace("MODE", "or") + FAILS * 3).error_code == "direktiv.parallel.allFailed"
    assert time.monotonic() - began < 15


def test_an_action_that_is_not_waited_for(place: Place) -> None:
    done: list[float] = []
    place.calls.known["echo"] = lambda action: done.append(place.calls.known["sleep"](action))
    began = time.monotonic()
    text = act("echo", "{seconds: 0.3}", "  async: true\n  transition: b\n- id: b\n  type: noop\n  log: b\n")
    assert place.run(text) == {}
    assert time.monotonic() - began >= 0.3  # its variables are there for as long as it runs
    assert len(done) == 1
    assert place.run(act("fail", more="  async: true\n")) == {}
    assert any("my.code" in line for line in place.log())


def test_calls_that_are_not_waited_for_end_with_a_run_that_fails(place: Place) -> None:
    text = act("sleep", "{seconds: 60}", "  async: true\n  transition: b\n")
    began = time.monotonic()
    assert place.fails(text + "- {id: b, type: noop, transform: jq(1)}\n").error_code == "direktiv.jq.notObject"
    assert time.monotonic() - began < 15
    assert place.calls.made[0].cancelled.is_set()


# --- subflows ---------------------------------------------------------------------------------------------------------

PARENT = """
functions: [{{id: sub, type: subflow, workflow: {}}}]
states:
- id: a
  type: action
  action: {{function: sub, input: {{n: jq(.n)}}}}
  catch: [{{error: sub.code, transition: b}}]
- id: b
  type: noop
"""
CHILD = """
states:
- id: a
  type: setter
  variables: [{key: seen, scope: workflow, value: jq(.n)}]
  transform: {doubled: jq(.n * 2)}
"""


@pytest.mark.parametrize("path", ["child.yaml", "/sub/child.yaml", "../sub/child.yaml", "./child.yaml"])
def test_d06_subflows_may_be_relative(place: Place, path: str) -> None:
    place.register(CHILD, "/sub/child.yaml")
    assert place.run(PARENT.format(path), {"n": 3}, path="/sub/parent.yaml")["return"] == {"doubled": 6}
    assert place.namespace.workflow("/sub/child.yaml").get_bytes("seen") == b"3"
    known = place.engine.instances(place.namespace)
    parent, child = sorted(known.page()[1], key=lambda info: info.path, reverse=True)
    assert child.invoker == f"instance:{parent.id}"
    assert [(each["id"], each["state"]) for each in child.lineage] == [(parent.id, "a")]
    assert {parent.status, child.status} == {"complete"}


def test_d14_a_subflows_error_is_caught_by_its_code(place: Place) -> None:
    place.register("states:\n- {id: a, type: error, error: sub.code, message: m}\n", "/child.yaml")
    assert place.run(PARENT.format("child.yaml"), {"n": 1})["error"] == {"code": "sub.code", "msg": "m"}


def test_subflows_that_are_not_there_or_not_legal(place: Place) -> None:
    assert place.fails(PARENT.format("none.yaml"), {"n": 1}).error_code == "direktiv.workflow.notFound"
    place.namespace.scope("file", "tree").put_chunks("bad.yaml", [b"states: 3"], tags={"type": "workflow"})
    assert place.fails(PARENT.format("bad.yaml"), {"n": 1}).error_code == "direktiv.workflow.invalid"


def test_paths_of_subflows_that_are_none(place: Place) -> None:
    assert place.fails(PARENT.format("/"), {"n": 1}).error_code == "direktiv.workflow.invalid"


def test_a_subflow_that_is_cancelled_by_itself_is_an_error_of_its_caller(place: Place) -> None:
    place.register("states:\n- {id: a, type: delay, duration: PT60S}\n", "/child.yaml")
    place.register(PARENT.format("child.yaml"))
    parent = place.engine.start(place.namespace, "/flow.yaml", {"n": 1})
    known = place.engine.instances(place.namespace)
    until(lambda: known.below(parent))
    place.engine.cancel(place.namespace, known.below(parent)[0])
    with pytest.raises(FlowFailed) as caught:
        place.engine.wait(place.namespace, parent, 10)
    assert (caught.value.status, caught.value.error_code) == ("failed", "direktiv.cancels.api")


def test_a_subflow_that_crashes_is_gone_on_with_by_its_caller(place: Place) -> None:
    def broken(action: Action) -> Any:
        raise RuntimeError("a fault of the library")

    place.register(act("echo"), "/child.yaml")
    place.calls.known["echo"] = broken
    parent = place.fails(PARENT.format("child.yaml"), {"n": 1})
    assert parent.status == "crashed"
    place.calls.known["echo"] = lambda action: "mended"
    place.engine.resume(place.namespace, parent.instance)
    assert place.engine.wait(place.namespace, parent.instance, 10)["return"] == {"n": 1, "return": "mended"}
    assert place.engine.instances(place.namespace).page(0)[0] == 2


def test_a_subflow_that_somebody_else_goes_on_with_is_waited_for(place: Place) -> None:
    place.register(act("echo"), "/child.yaml")
    place.calls.known["echo"] = lambda action: 1 / 0
    parent = place.fails(PARENT.format("child.yaml"), {"n": 1}).instance
    (child,) = place.engine.instances(place.namespace).below(parent)
    done = threading.Event()
    place.calls.known["echo"] = lambda action: done.wait(20)
    place.engine.resume(place.namespace, child)
    until(lambda: len(place.calls.made) == 2)
    place.engine.resume(place.namespace, parent)
    with pytest.raises(TimeoutError):
        place.engine.wait(place.namespace, parent, 0.1)
    done.set()
    assert place.engine.wait(place.namespace, parent, 10)["return"] == {"n": 1, "return": True}


def test_a_flow_that_calls_itself_without_end(place: Place) -> None:
    assert place.fails(PARENT.format("flow.yaml"), {"n": 1}).error_code == "direktiv.workflow.tooDeep"


def test_foreach_of_subflows_in_each_other(place: Place) -> None:
    inner = "functions: [{id: sub, type: subflow, workflow: child.yaml}]\nstates:\n- id: a\n  type: foreach\n"
    inner += "  array: 'jq([range(4) | {n: .}])'\n  action: {function: sub, input: jq(.)}\n"
    place.register(CHILD, "/child.yaml")
    place.register(inner, "/inner.yaml")
    found = place.run(inner.replace("child", "inner"), path="/outer.yaml")
    assert [each["return"] for each in found["return"]] == [[{"doubled": 2 * n} for n in range(4)]] * 4
    assert place.engine.instances(place.namespace).page(0)[0] == 1 + 4 + 16


def test_the_time_of_a_subflow_is_that_of_the_state_that_calls_it(place: Place) -> None:
    place.register("states:\n- {id: a, type: delay, duration: PT30S}\n", "/child.yaml")
    text = PARENT.format("child.yaml").replace("  catch:", "  timeout: PT0.3S\n  catch:")
    assert place.fails(text, {"n": 1}).error_code == "direktiv.cancels.timeout.soft"
    statuses = [info.status for info in place.engine.instances(place.namespace).page()[1]]
    assert statuses == ["failed", "failed"]


def test_a_subflow_that_nobody_waits_for_is_of_the_state_that_called_it(place: Place) -> None:
    """Else it could be taken for what another state calls, and that one get its output."""

    def failing(action: Action) -> Any:
        until(lambda: any(each.function == "echo" for each in place.calls.made))
        raise Failure("not.yet", "try again")

    def waits(action: Action) -> None:
        until(lambda: [each.function for each in place.calls.made].count("fail") == 2)

    place.calls.known |= {"fail": failing, "echo": waits}
    place.register(act("fail"), "/child.yaml")
    functions = "functions: [{id: echo, image: echo}, {id: child, workflow: child.yaml}]\nstates:\n"
    apart = "{id: a, type: action, async: true, action: {function: child, retries: {max_attempts: 1}}, transition: b}"
    place.run(f"{functions}- {apart}\n- {{id: b, type: action, action: {{function: echo}}}}\n")
    known = place.engine.instances(place.namespace)
    (parent,) = (info.id for info in known.page()[1] if not info.lineage)
    callers = [info.lineage[-1] for info in known.page()[1] if info.lineage]
    assert sorted((each["state"], each["branch"]) for each in callers) == [("a", "1/0/0"), ("a", "1/0/1")]
    assert {each["id"] for each in callers} == {parent}


def test_a_call_that_nobody_waits_for_takes_the_place_of_one_that_has_ended(place: Place) -> None:
    def last(action: Action) -> None:
        if action.input == 1:
            until(lambda: not any(thread.name == "holdfast-flow-call" for thread in threading.enumerate()))
        elif action.input == 2:
            until(lambda: len(place.calls.made) == 4, 1)

    place.calls.known["echo"] = last
    states = "".join(
        f"- {{id: s{n}, type: action, async: {'false' if n % 2 else 'true'}, action: {{function: echo, input: {n}}}"
        + (f", transition: s{n + 1}}}\n" if n < 3 else "}\n")
        for n in range(4)
    )
    place.register(FUNCTIONS + states)
    with Engine(place.store, place.calls, limits=Limits(threads=1)) as engine:
        engine.run(place.namespace, "/flow.yaml")
    assert not any("failed" in line for line in place.log())
