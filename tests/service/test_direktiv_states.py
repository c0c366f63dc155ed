"""What a flow does, clause by clause, as its clients see it over sockets: behaviours D1, D3, D5 to D14, D17 to D19, D21
and D22. The function that flows call here does what its input says, and tells what it found."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import tarfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import holdfast
from holdfast.flows.functions import Functions

from ..flows.functions.acting import tar
from ..flows.functions.serving import Answer, Request, Service, json_of, serving
from .direktiv import error, of
from .flows import Flowing
from .talk import Reply, served
from .test_direktiv_errors import NO_NAMESPACE, NO_PATH, WRONG_METHOD

FUNCTIONS = """
functions:
- {id: f, image: 'acme/told:v1'}
- {id: sh, image: acme/shell, type: knative-workflow}
states:
"""

_names = count(1)


def work(request: Request) -> Answer:
    """Leave the files that the input says, and answer what it says; else tell what there is in the directory."""
    given = json.loads(request.body) or {}
    folder = Path(request.folder)
    found = {}
    for path in folder.rglob("*"):
        if path.relative_to(folder).parts[0] != "out" and path.is_file():
            text = base64.b64encode(path.read_bytes()).decode()
            found[str(path.relative_to(folder))] = [f"{path.stat().st_mode & 0o7777:o}", text]
    for name, text in given.get("leave", {}).items():
        (folder / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "out" / name).write_text(text)
    if "body" in given or "status" in given:
        return given.get("status", 200), given.get("headers", {}), given.get("body", "").encode()
    out = sorted(path.name for path in (folder / "out").iterdir())
    folders = sorted(path.name for path in folder.iterdir() if path.is_dir())
    return json_of({"files": found, "folders": folders, "out": out, "iterator": request.headers["Direktiv-Iterator"]})


@pytest.fixture(scope="module")
def told() -> Iterator[Service]:
    with serving(work) as service:
        yield service


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory, told: Service) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("states")
    names = ("acme/told", "/services/told.yaml")
    shell = 'printf \'{"input": %s, "iterator": %s}\' "$(cat)" "$DIREKTIV_ITERATOR"'
    settings = {**{name: {"url": told.url} for name in names}, "acme/shell": {"command": shell, "shell": True}}
    caller = Functions.from_settings(settings, {"door": "127.0.0.1:0", "folder": str(folder / "actions")})
    with holdfast.open(folder / "store") as store, served(store, None, functions=caller) as service:

        def make() -> Flowing:
            found = Flowing(f"s{next(_names)}", service.another(), service)
            found.data("POST", "/namespaces", {"name": found.namespace})
            return found

        yield make


@pytest.fixture
def api(make: Any, told: Service) -> Iterator[Flowing]:
    """A namespace that no other test has."""
    told.requests.clear()
    found = make()
    yield found
    found.client.close()


def states(api: Flowing, text: str, body: Any = None) -> Any:
    """The output of a flow of these states."""
    return api.output(f"{FUNCTIONS}{text}", body)


def code(api: Flowing, text: str, body: Any = None) -> str:
    """The code with which a flow of these states fails."""
    reply = api.run(api.flow(f"{FUNCTIONS}{text}"), body)
    assert reply.status >= 400, reply.body
    found = reply.headers["direktiv-instance-error-code"]
    assert error(reply)[1] == found
    return found


def noop(transform: str) -> str:
    return f"- {{id: a, type: noop, transform: {transform}}}\n"


def raw(api: Flowing, key: str, **query: str) -> Reply:
    return api.ask("GET", f"variables?raw=true&name={key}" + "".join(f"&{name}={query[name]}" for name in query))


# --- D1, D3 -----------------------------------------------------------------------------------------------------------


def test_d01_files_and_facts_of_the_system_are_read(api: Flowing) -> None:
    api.file("/dir", type="directory")
    api.file("/dir/data.json", '{"n": 1}')
    before = int(time.time())
    text = """
- id: a
  type: getter
  variables:
  - {key: dir/data.json, scope: file, as: relative}
  - {key: /dir/data.json, scope: file}
  - {key: /dir/none, scope: file, as: none}
  - {key: instance, scope: system}
  - {key: uuid, scope: system}
  - {key: uuid, scope: system, as: another}
  - {key: epoch, scope: system}
  transition: b
- id: b
  type: action
  action: {function: f, files: [{key: /dir/data.json, scope: file, as: data}]}
"""
    reply = api.run(api.flow(f"{FUNCTIONS}{text}"))
    found = reply.json["var"]
    assert (found["relative"], found["/dir/data.json"], found["none"]) == ({"n": 1}, {"n": 1}, None)
    assert found["instance"] == reply.headers["direktiv-instance-id"]
    assert len({found["instance"], str(UUID(found["uuid"])), str(UUID(found["another"]))}) == 3
    assert isinstance(found["epoch"], int)
    assert before <= found["epoch"] <= time.time()
    assert reply.json["return"]["files"] == {"data": ["644", _b64(b'{"n": 1}')]}
    assert code(api, GET % "{key: other, scope: system}") == "direktiv.var.invalidKey"


@pytest.mark.parametrize("scope", ["file", "system"])
def test_d01_files_and_facts_of_the_system_are_not_written(api: Flowing, scope: str) -> None:
    api.flow(f"{FUNCTIONS}{SET % f'{{key: instance, scope: {scope}, value: 1}}'}")
    status, found, message = error(api.run())
    assert (status, found) == (400, "request_data_invalid")
    assert "variables[0].scope" in message


@pytest.mark.parametrize("key", ["1x", "x-", "x.", "_", "a b", "x/y", "é", "x" * 513])
def test_d03_names_that_are_not_legal(api: Flowing, key: str) -> None:
    for text in (
        SET % "{key: jq(.key), scope: namespace, value: 1}",
        GET % "{key: jq(.key), scope: namespace}",
        ACT % ("f", "{}") + "    files: [{key: jq(.key), as: x}]\n",
    ):
        assert code(api, text, {"key": key}) == "direktiv.var.invalidKey", text
    assert api.names() == []


GET = "- {id: a, type: getter, variables: [%s]}\n"
SET = "- {id: a, type: setter, variables: [%s]}\n"
ACT = "- id: a\n  type: action\n  action:\n    function: %s\n    input: %s\n"


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


# --- D5 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("api_line", ["", "direktiv_api: workflow/v1\n"])
def test_d05_where_a_flow_starts_and_ends(api: Flowing, api_line: str) -> None:
    text = f"{api_line}states:\n- {{id: a, type: noop, transform: {{at: a}}}}\n"
    text += "- {id: b, type: noop, transform: {at: b}}\n"
    assert api.output(text) == {"at": "a"}
    assert api.output(f"start: {{state: b}}\n{text}") == {"at": "b"}


ORDER = """
- id: a
  type: setter
  log: {log}
  metadata: {metadata}
  variables: [{{key: x, scope: namespace, value: {value}}}]
  transform: {transform}
  catch: [{{error: '*', transition: b}}]
- {{id: b, type: noop, transform: {{code: jq(.error.code), done: 'jq(.done // "")'}}}}
"""


@pytest.mark.parametrize(
    ("fails", "log", "metadata", "stored"),
    [
        ("log", [], None, False),
        ("metadata", ["said"], None, False),
        ("value", ["said"], b'"told"', False),
        ("transform", ["said"], b'"told"', True),
    ],
)
def test_d05_what_comes_before_that_which_fails_is_done(
    api: Flowing, fails: str, log: list[str], metadata: bytes | None, stored: bool
) -> None:
    """In the order: log, metadata, logic, transform, transition."""
    parts = {"log": "said", "metadata": "told", "value": "1", "transform": "{done: true}", fails: "jq(error)"}
    reply = api.run(api.flow(f"{FUNCTIONS}{ORDER.format(**parts)}"))
    assert reply.json == {"code": "direktiv.jq.badCommand", "done": ""}
    id = reply.headers["direktiv-instance-id"]
    assert [line for line in api.log(id) if line == "said"] == log
    found = api.data("GET", f"instances/{id}/metadata").get("metadata")
    assert (None if found is None else of(found)) == metadata
    assert api.names() == (["x"] if stored else [])


# --- D6 ---------------------------------------------------------------------------------------------------------------

LOGIC = {
    "getter": ("variables: [{key: 1x, scope: namespace}]", "direktiv.var.invalidKey"),
    "setter": ("variables: [{key: 1x, scope: namespace, value: 1}]", "direktiv.var.invalidKey"),
    "action": ("action: {function: f, input: {status: 500}}", "container failed"),
    "noop": ("transform: jq(1)", "direktiv.jq.notObject"),
    "switch": ("conditions: [{condition: jq(empty)}]", "direktiv.jq.badCommand"),
    "validate": ("schema: {type: object, required: [none]}", "direktiv.schema.failed"),
    "delay": ("duration: PT20S", "direktiv.cancels.timeout.soft"),
    "error": ("error: e, message: jq(1 | error)", "direktiv.jq.badCommand"),
    "foreach": ("array: jq(1), action: {function: f}", "direktiv.foreach.badArray"),
    "parallel": ("mode: or, actions: [{function: f, input: {status: 500}}]", "direktiv.parallel.allFailed"),
}


@pytest.mark.parametrize("kind", LOGIC)
def test_d06_an_error_in_each_state_is_caught(api: Flowing, kind: str) -> None:
    fields, wanted = LOGIC[kind]
    text = "timeouts: {interrupt: PT0.3S}\n" if kind == "delay" else ""
    text += f"{FUNCTIONS}- {{id: a, type: {kind}, {fields}, catch: [{{error: none}}, {{error: '*', transition: b}}]}}\n"
    found = api.output(f"{text}- {{id: b, type: noop, transform: 'jq(.error)'}}\n")
    assert found["code"] == wanted
    assert found["msg"]


@pytest.mark.parametrize("kind", ["consumeEvent", "eventXor", "eventAnd", "generateEvent"])
def test_d06_event_routing_is_refused_by_name(api: Flowing, kind: str) -> None:
    api.flow(f"states:\n- {{id: a, type: {kind}}}\n")
    status, found, message = error(api.run())
    assert (status, found) == (400, "request_data_invalid")
    assert f"flow.yaml:2: states[0]: {kind} belongs to event routing" in message


def test_d06_what_each_call_gives(api: Flowing) -> None:
    action = "action: {function: sh, input: jq(.)}"
    assert states(api, f"- {{id: a, type: action, {action}}}\n", {"n": 1})["return"]["input"] == {"n": 1}
    found = states(api, f"- {{id: a, type: foreach, array: jq(.l), {action}}}\n", {"l": ["x", {"y": 1}, 2]})
    assert found["return"] == [{"input": each, "iterator": n} for n, each in enumerate(["x", {"y": 1}, 2])]
    parallel = "- {id: a, type: parallel, actions: [{function: sh, input: a}, {function: sh, input: b}]}\n"
    assert [each["input"] for each in states(api, parallel)["return"]] == ["a", "b"]


# --- D7, D8 -----------------------------------------------------------------------------------------------------------

EXPRESSIONS = {
    "jq(.n)": 1,
    "  jq( .n )\n": 1,
    "jq(.l)": [1, {"a": None}],
    "jq(false)": False,
    "<jq(.s)>": "<x>",
    "jq(.s)jq(.n)jq(.l)": 'x1[1,{"a":null}]',
    "  plain ": "plain",
    'jq("a)b") (': "a)b (",
}


def test_d07_what_texts_give(api: Flowing) -> None:
    transform = {f"k{n}": text for n, text in enumerate(EXPRESSIONS)}
    transform = {**transform, "jq(.n)": [["jq(.n)", {"jq(.s)": "jq(.s)"}], None, 1.5, True]}  # type: ignore[dict-item]
    found = states(api, noop(json.dumps(transform)), {"n": 1, "s": "x", "l": [1, {"a": None}]})
    assert found.pop("jq(.n)") == [[1, {"jq(.s)": "x"}], None, 1.5, True]
    assert list(found.values()) == list(EXPRESSIONS.values())


@pytest.mark.parametrize("text", ["jq(null)", "jq(.none)", "jq(empty)", "jq(1, 2)", "<jq(null)>", "jq(.s + 1)"])
def test_d07_all_but_one_value_that_is_not_null_is_an_error(api: Flowing, text: str) -> None:
    for where in (text, [text], {"a": text}):
        assert code(api, noop(json.dumps({"x": where})), {"s": "x"}) == "direktiv.jq.badCommand"


def test_d07_a_condition_may_be_null_but_not_nothing(api: Flowing) -> None:
    switch = "- {id: a, type: switch, conditions: [{condition: %s, transform: {b: 1}}], defaultTransform: {b: 0}}\n"
    assert states(api, switch % "jq(.none)") == {"b": 0}
    assert states(api, switch % "jq(1)") == {"b": 1}
    for text in ("jq(empty)", "'jq(1, 2)'", "jq(error)"):
        assert code(api, switch % text) == "direktiv.jq.badCommand"


@pytest.mark.parametrize("text", ["js(1)", "a js(1)", "[js(1)]", "{a: js(1)}"])
def test_d07_javascript_is_refused_by_name(api: Flowing, text: str) -> None:
    api.flow(f"states:\n{noop(text)}")
    status, found, message = error(api.run())
    assert (status, found) == (400, "request_data_invalid")
    assert "flow.yaml:2: states[0](a).transform: js(...)" in message


@pytest.mark.parametrize("text", ["jq(.n)", "text", "[1]", "1", "'jq([1])'", "true", "'jq(\"{}\")'"])
def test_d08_a_transform_that_gives_no_object(api: Flowing, text: str) -> None:
    assert code(api, noop(text), {"n": 1}) == "direktiv.jq.notObject"


@pytest.mark.parametrize("text", ['""', '"."', '" . "', "null", "jq(.)"])
def test_d08_transforms_that_change_nothing(api: Flowing, text: str) -> None:
    assert states(api, noop(text), {"n": 1}) == {"n": 1}


# --- D9 to D11 --------------------------------------------------------------------------------------------------------


def test_d09_what_a_getter_gives(api: Flowing) -> None:
    for name, data in (("json", '{"a": [1]}'), ("text", "text"), ("bytes", b"\xff\0"), ("empty", b"")):
        api.make(name, data)
    keys = "{key: 'jq(.which)', scope: namespace}, {key: text, scope: namespace, as: 'jq(.which)'}, "
    keys += "{key: bytes, scope: namespace}, {key: empty, scope: namespace, as: e}, {key: none, scope: namespace}, "
    keys += "{key: none, scope: workflow, as: n}"
    found = states(api, GET % keys, {"which": "json", "var": {"old": 1}, "kept": 1})
    values = {"json": {"a": [1]}, "jq(.which)": _b64(b"text"), "bytes": _b64(b"\xff\0"), "e": None, "none": None}
    assert found == {"which": "json", "kept": 1, "var": {**values, "n": None}}


@pytest.mark.parametrize(
    ("fields", "mime", "data"),
    [
        ("value: {a: 1}", "application/json", b'{"a":1}'),
        ("value: text", "application/json", b'"text"'),
        ("value: {}", "application/json", b"{}"),
        ("value: []", "application/json", b"[]"),
        ("value: 0", "application/json", b"0"),
        ("value: ''", "application/json", b'""'),
        ("value: false", "application/json", b"false"),
        ("value: 'jq({})'", "application/json", b"{}"),
        ("value: jq(0)", "application/json", b"0"),
        ("value: {a: null}", "application/json", b'{"a":null}'),
        ("value: a/b, mimeType: 'jq(.mime)'", "x/y", b'"a/b"'),
        ("value: text, mimeType: text/plain", "text/plain", b"text"),
        ("value: text, mimeType: text/plain; charset=utf-8", "text/plain; charset=utf-8", b"text"),
        ("value: '', mimeType: text/plain", "text/plain", b""),
        ("value: <p>, mimeType: text/html", "text/html", b"<p>"),
        ("value: AAH/, mimeType: application/octet-stream", "application/octet-stream", b"\0\1\xff"),
        ("value: '', mimeType: application/octet-stream", "application/octet-stream", b""),
    ],
)
def test_d10_what_a_setter_stores(api: Flowing, fields: str, mime: str, data: bytes) -> None:
    api.make("x", "before", "a/b")
    states(api, SET % f"{{key: x, scope: namespace, {fields}}}", {"mime": "x/y"})
    found = raw(api, "x")
    assert (found.status, found.headers["content-type"], found.body) == (200, mime, data)


@pytest.mark.parametrize("value", ["null", "~", ""])
def test_d10_a_literal_null_deletes(api: Flowing, value: str) -> None:
    api.make("x")
    text = f"- id: a\n  type: setter\n  variables:\n  - key: x\n    scope: namespace\n    value: {value}\n"
    for _ in range(2):  # what is not there can be deleted, too
        states(api, text)
        assert api.names() == []


@pytest.mark.parametrize("value", ["jq(null)", "jq(.none)", "jq(empty)"])
def test_d10_no_other_null_deletes(api: Flowing, value: str) -> None:
    made = api.make("x")
    assert code(api, SET % f"{{key: x, scope: namespace, value: {value}}}") == "direktiv.jq.badCommand"
    assert api.data("GET", f"variables/{made['id']}") == made


@pytest.mark.parametrize("atomic", ["", "atomic: [{scope: namespace, key: x}]\n"])
@pytest.mark.parametrize(("values", "stored"), [((1, 2), b"2"), ((None, 3), b"3"), ((4, None), None)])
def test_d10_of_several_values_of_one_variable_the_last_one_counts(
    api: Flowing, values: tuple[int | None, ...], stored: bytes | None, atomic: str
) -> None:
    variables = [{"key": "x", "scope": "namespace", "value": value} for value in values]
    api.output(f"{atomic}states:\n- {{id: a, type: setter, variables: {json.dumps(variables)}}}\n")
    found = raw(api, "x")
    assert (found.body if found.status == 200 else None) == stored


@pytest.mark.parametrize("scope", [None, "jq(.s)", "global", "Namespace", "[namespace]"])
def test_d11_a_scope_is_a_literal_that_is_checked_on_load(api: Flowing, scope: str | None) -> None:
    stated = "" if scope is None else f", scope: {scope}"
    for text in (GET % f"{{key: x{stated}}}", SET % f"{{key: x, value: 1{stated}}}"):
        api.flow(f"{FUNCTIONS}{text}")
        status, found, message = error(api.run(body={"s": "namespace"}))
        assert (status, found) == (400, "request_data_invalid")
        assert re.match(r"flow.yaml:6: states\[0\]\(a\).variables\[0\].scope: ", message), message
    assert api.ask("GET", "instances").json["meta"]["total"] == 0


# --- D12 to D14 -------------------------------------------------------------------------------------------------------

SWITCH = """
- id: a
  type: switch
  conditions:
  - {condition: jq(.x), transform: {way: 1}, transition: b}
  - {condition: jq(.y), transform: {way: 2}}
  defaultTransform: {way: 0}
  defaultTransition: b
- {id: b, type: noop, transform: {way: jq(.way), b: true}}
"""


@pytest.mark.parametrize("value", [None, False, {}, [], "", 0, 0.0])
def test_d12_what_is_false(api: Flowing, value: Any) -> None:
    assert states(api, SWITCH, {"x": value, "y": value}) == {"way": 0, "b": True}


@pytest.mark.parametrize("value", [True, {"a": None}, [0], "0", -1, 0.5])
def test_d12_the_first_that_is_true_wins(api: Flowing, value: Any) -> None:
    assert states(api, SWITCH, {"x": value, "y": value}) == {"way": 1, "b": True}
    assert states(api, SWITCH, {"x": None, "y": value}) == {"way": 2}


CODES = {
    "direktiv.jq.badCommand": noop("jq(error)"),
    "direktiv.jq.notString": SET % "{key: jq(1), scope: namespace, value: 1}",
    "direktiv.jq.notObject": noop("jq(1)"),
    "direktiv.var.invalidKey": SET % "{key: 1x, scope: namespace, value: 1}",
    "direktiv.var.invalidScope": ACT % ("f", "{}") + "    files: [{key: x, scope: jq(.s)}]\n",
    "direktiv.var.perms": ACT % ("f", "{}") + "    files: [{key: x, permissions: rwx}]\n",
    "direktiv.var.invalidType": ACT % ("f", "{}") + "    files: [{key: x, type: zip}]\n",
    "direktiv.schema.failed": "- {id: a, type: validate, schema: {required: [none]}}\n",
    "direktiv.foreach.badArray": "- {id: a, type: foreach, array: {}, action: {function: f}}\n",
    "direktiv.parallel.allFailed": "- {id: a, type: parallel, mode: or, actions: [{function: f, input: jq(.e)}]}\n",
    "direktiv.retries.exceeded": ACT % ("f", "jq(.e)") + "    retries: {max_attempts: 1}\n",
    "direktiv.workflow.multipleErrors": "- {id: z, type: error, error: x, message: m, transition: a}\n"
    "- {id: a, type: error, error: y, message: m}\n",
    "container failed": ACT % ("f", "jq(.e)"),
    "my.own": ACT % ("f", "jq(.own)"),
}
GIVEN = {
    "s": "global",
    "e": {"status": 500},
    "own": {"headers": {"Direktiv-ErrorCode": "my.own", "Direktiv-ErrorMessage": "m"}, "status": 200},
}


@pytest.mark.parametrize("wanted", CODES)
def test_d13_each_code_fails_a_run_and_is_caught(api: Flowing, wanted: str) -> None:
    text = CODES[wanted]
    assert code(api, text, GIVEN) == wanted
    catch = f"catch: [{{error: '^{wanted}$', transition: c}}]"
    if text.startswith("- id"):
        text += f"  {catch}\n"
    else:
        text = f"{text.removesuffix('}' + chr(10))}, {catch}}}\n"
    text += "- {id: c, type: noop, log: 'jq(.error.code): jq(.error.msg | length > 0)'}\n"
    reply = api.run(api.flow(f"{FUNCTIONS}{text}"), GIVEN)
    assert f"{wanted}: true" in api.log(reply.headers["direktiv-instance-id"])
    if wanted.endswith("multipleErrors"):
        assert error(reply)[1] == "x"  # what catches it does not undo the first one
    else:
        assert reply.json["error"]["code"] == wanted


@pytest.mark.parametrize(
    ("patterns", "way"),
    [
        (["*"], "w0"),
        (["jq"], "w0"),
        (["^jq", "Object$"], "w1"),
        ([r"direktiv\.jq\..*", "*"], "w0"),
        (["nothing", "(bad|not)O.*t"], "w1"),
        (["direktiv"], "w0"),
    ],
)
def test_d13_the_first_pattern_that_is_found_in_the_code_wins(api: Flowing, patterns: list[str], way: str) -> None:
    catch = [{"error": pattern, "transition": f"w{n}"} for n, pattern in enumerate(patterns)]
    text = f"- {{id: a, type: noop, transform: jq(1), catch: {json.dumps(catch)}}}\n"
    text += "".join(f"- {{id: w{n}, type: noop, transform: {{way: w{n}}}}}\n" for n in range(len(patterns)))
    assert states(api, text) == {"way": way}


def test_d13_a_catch_without_transition_ends_the_run_complete(api: Flowing) -> None:
    reply = api.run(
        api.flow(f"{FUNCTIONS}- {{id: a, type: noop, transform: jq(1), catch: [{{error: '*'}}]}}\n"), {"n": 1}
    )
    assert (reply.status, set(reply.json), set(reply.json["error"])) == (200, {"n", "error"}, {"code", "msg"})
    found = api.info(reply.headers["direktiv-instance-id"])
    assert (found["status"], found["errorCode"]) == ("complete", None)


@pytest.mark.parametrize(
    ("given", "data"), [({"a": 1}, {"a": 1}), ([1], {"input": [1]}), (3, {"input": 3}), ("", {"input": ""})]
)
def test_d15_a_subflow_begins_with_an_object_too(api: Flowing, given: Any, data: Any) -> None:
    api.flow("states:\n- {id: s, type: noop}\n", "/sub.yaml")
    text = "functions: [{id: sub, workflow: sub.yaml}]\nstates:\n" + ACT % ("sub", "jq(.given)")
    assert api.output(text, {"given": given})["return"] == data


# --- D17, D18 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "named",
    [
        "image: acme/told", "image: acme/told, type: knative-workflow", "service: /services/told.yaml",
        "service: /services/told.yaml, type: knative-service", "path: /services/told.yaml, type: knative-namespace",
        "path: /services/told.yaml, type: knative-system",
    ],
)  # fmt: skip
def test_d17_what_a_flow_names_is_mapped_to_a_url(api: Flowing, told: Service, named: str) -> None:
    found = api.output(f"functions: [{{id: g, {named}}}]\nstates:\n{ACT % ('g', '{n: jq(.n)}')}", {"n": 5})
    (asked,) = told.requests
    assert (asked.method, json.loads(asked.body)) == ("POST", {"n": 5})
    assert {name for name in asked.headers if name.startswith("Direktiv-")} >= {
        "Direktiv-ActionID", "Direktiv-TempDir", "Direktiv-Iterator",
    }  # fmt: skip
    assert found["return"]["iterator"] == "0"


def test_d17_without_an_input_a_function_gets_all_data(api: Flowing) -> None:
    """Or the element of a foreach."""
    found = states(api, "- {id: a, type: action, action: {function: sh}}\n", {"n": 1, "l": []})
    assert found["return"]["input"] == {"n": 1, "l": []}
    found = states(api, "- {id: a, type: foreach, array: jq(.l), action: {function: sh}}\n", {"l": [{"n": 1}, 2]})
    assert [each["input"] for each in found["return"]] == [{"n": 1}, 2]


def test_d17_each_element_has_its_iterator(api: Flowing, told: Service) -> None:
    found = states(api, "- {id: a, type: foreach, array: [a, b, c], action: {function: f, input: {}}}\n")
    assert [each["iterator"] for each in found["return"]] == ["0", "1", "2"]
    assert len({request.headers["Direktiv-ActionID"] for request in told.requests}) == 3


def test_d18_files_of_both_places(api: Flowing) -> None:
    """All fields are jq; for one name the action's counts; and the usual scope is that of the instance."""
    for name in ("one", "two", "three"):
        api.make(name, name)
    text = """
functions:
- id: g
  image: acme/told
  files:
  - {key: one, scope: namespace}
  - {key: two, scope: namespace, as: same, permissions: 0700}
  - {key: own}
states:
- {id: z, type: setter, variables: [{key: own, scope: instance, value: 1}], transition: a}
- id: a
  type: action
  action:
    function: g
    files:
    - {key: 'jq(.key)', scope: 'jq(.scope)', as: 'jq(.as)', type: 'jq(.type)', permissions: 'jq(.permissions)'}
    - {key: one, scope: namespace, as: octal, permissions: 0o640}
    - {key: one, scope: namespace, as: digits, permissions: 755}
"""
    given = {"key": "three", "scope": "namespace", "as": "same", "type": "plain", "permissions": "0400"}
    found = api.output(text, given)["return"]["files"]
    assert found == {
        "one": ["644", _b64(b"one")], "same": ["400", _b64(b"three")], "own": ["644", _b64(b"1")],
        "octal": ["640", _b64(b"one")], "digits": ["755", _b64(b"one")],
    }  # fmt: skip


TWICE = "[{key: x, as: same}, {key: y, as: same}]"


@pytest.mark.parametrize(("of_function", "of_action"), [("[]", TWICE), (TWICE, "[]"), (TWICE, "[{key: z, as: same}]")])
def test_d18_two_files_of_one_name_in_one_place_fail(
    api: Flowing, told: Service, of_function: str, of_action: str
) -> None:
    text = f"functions: [{{id: g, image: acme/told, files: {of_function}}}]\nstates:\n"
    api.flow(f"{text}{ACT % ('g', '{}')}    files: {of_action}\n")
    reply = api.run()
    assert error(reply)[1] == "holdfast.function.files"
    assert "two files would be laid at 'same'" in error(reply)[2]
    assert told.requests == []


# --- D19 --------------------------------------------------------------------------------------------------------------

ARCHIVE = tar(("file-1", b"one"), ("sub/file-2", b"two"))
TYPES: dict[str, tuple[bytes, dict[str, bytes]]] = {
    "plain": (b"b25l", {"x": b"b25l"}),
    "base64": (b"b25l", {"x": b"one"}),
    "tar": (ARCHIVE, {"x/file-1": b"one", "x/sub/file-2": b"two"}),
    "tar.gz": (gzip.compress(ARCHIVE), {"x/file-1": b"one", "x/sub/file-2": b"two"}),
}


@pytest.mark.parametrize("kind", TYPES)
def test_d19_what_each_type_gives(api: Flowing, kind: str) -> None:
    data, wanted = TYPES[kind]
    api.make("x", data)
    text = ACT % ("f", "{}") + f"    files: [{{key: x, scope: namespace, type: {kind}}}]\n"
    found = states(api, text)["return"]
    assert {name: base64.b64decode(text) for name, (_, text) in found["files"].items()} == wanted


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("there", ["missing", "empty"])
def test_d19_what_is_missing_or_empty_is_empty(api: Flowing, kind: str, there: str) -> None:
    if there == "empty":
        empty = {"tar": tar(), "tar.gz": gzip.compress(tar())}
        api.make("x", empty.get(kind, b""))
    text = ACT % ("f", "{}") + f"    files: [{{key: x, scope: namespace, type: {kind}, as: it}}]\n"
    found = states(api, text)["return"]
    folders = kind in ("tar", "tar.gz")
    assert (found["files"], found["folders"]) == ({} if folders else {"it": ["644", ""]}, ["it"] * folders + ["out"])


def _link(name: str) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return found


@pytest.mark.parametrize(
    "data", [b"no archive", ARCHIVE[:700], tar(("../x", b"1")), tar(("/x", b"1")), tar(_link("x"))],
    ids=["none", "cut", "above", "absolute", "link"],
)  # fmt: skip
def test_d19_an_archive_that_is_refused_fails_the_action(api: Flowing, told: Service, data: bytes) -> None:
    for kind in ("tar", "tar.gz"):
        made = api.make("x", data if kind == "tar" else gzip.compress(data))
        text = ACT % ("f", "{}") + f"    files: [{{key: x, scope: namespace, type: {kind}}}]\n"
        assert code(api, text) == "holdfast.function.files"
        api.ask("DELETE", f"variables/{made['id']}")
    assert told.requests == []


# --- D21, D22 ---------------------------------------------------------------------------------------------------------

LEFT = {
    "instance/i": "1", "workflow/w.txt": "two", "namespace/n": "", "namespace/dir/a": "a",
    "namespace/dir/b/c": "in c",
}  # fmt: skip


@pytest.mark.parametrize("headers", [{}, {"Direktiv-ErrorCode": "my.code", "Direktiv-ErrorMessage": "why"}])
def test_d21_what_a_function_leaves_is_stored(api: Flowing, headers: dict[str, str]) -> None:
    given = {"leave": LEFT, "status": 500 if headers else 200, "headers": headers, "body": "1"}
    text = ACT % ("f", "jq(.)") + "  catch: [{error: my.code, transition: b}]\n  transition: b\n"
    text += GET.replace("id: a", "id: b") % "{key: i, scope: instance}"
    assert states(api, text, given)["var"] == {"i": 1}
    assert api.names() == ["dir", "n"]
    assert (raw(api, "n").status, raw(api, "n").body) == (200, b"")
    assert raw(api, "w.txt", workflowPath="/flow.yaml").body == b"two"
    with tarfile.open(fileobj=io.BytesIO(raw(api, "dir").body), mode="r:gz") as archive:
        assert archive.getnames() == ["a", "b", "b/c"]
        inner = archive.extractfile("b/c")
        assert inner is not None
        assert inner.read() == b"in c"


def test_d21_the_directories_are_there(api: Flowing) -> None:
    assert states(api, ACT % ("f", "{}"))["return"]["out"] == ["instance", "namespace", "workflow"]


@pytest.mark.parametrize("status", [200, 500])
def test_d21_a_name_that_is_not_legal_stores_nothing(api: Flowing, status: int) -> None:
    given = {"leave": {**LEFT, "workflow/1x": "1"}, "status": status, "body": "1"}
    wanted = "holdfast.function.output" if status == 200 else "container failed"
    assert code(api, ACT % ("f", "jq(.)"), given) == wanted
    assert api.names() == []
    assert api.names(workflowPath="/flow.yaml") == []


@pytest.mark.parametrize(
    ("body", "value"),
    [('{"a": [1]}', {"a": [1]}), ("null", None), ("3", 3), ("text", _b64(b"text")), ("", ""), ("{", _b64(b"{"))],
)
def test_d22_json_is_the_result_and_all_else_is_base64(api: Flowing, body: str, value: Any) -> None:
    assert states(api, ACT % ("f", "jq(.)"), {"body": body})["return"] == value


@pytest.mark.parametrize("status", [200, 404, 500])
def test_d22_a_code_makes_an_error_whatever_the_status(api: Flowing, status: int) -> None:
    headers = {"Direktiv-ErrorCode": "my.code", "Direktiv-ErrorMessage": "why"}
    text = ACT % ("f", "jq(.)") + "  catch: [{error: my.code}]\n"
    assert states(api, text, {"status": status, "headers": headers})["error"] == {"code": "my.code", "msg": "why"}


@pytest.mark.parametrize(("sent", "found"), [("h\xe9".encode().decode("latin-1"), "h\xe9"), ("h\xe9", "h\xe9")])
def test_d22_a_message_is_text_of_utf_8_or_of_latin_1(api: Flowing, sent: str, found: str) -> None:
    headers = {"Direktiv-ErrorCode": "my.code", "Direktiv-ErrorMessage": sent}
    text = ACT % ("f", "jq(.)") + "  catch: [{error: my.code}]\n"
    assert states(api, text, {"status": 200, "headers": headers})["error"]["msg"] == found


@pytest.mark.parametrize("status", [300, 404, 500])
def test_d22_a_status_that_is_not_2xx_is_container_failed(api: Flowing, status: int) -> None:
    text = ACT % ("f", "jq(.)") + "  catch: [{error: ^container failed$}]\n"
    assert states(api, text, {"status": status, "body": "so it is"})["error"]["msg"].endswith("so it is")


# --- D26, D29, D30 ----------------------------------------------------------------------------------------------------


INSTANCE = "instances/00000000-0000-4000-8000-000000000000"
ROUTES = {
    "instances": "GET POST", INSTANCE: "GET PATCH DELETE", f"{INSTANCE}/output": "GET", f"{INSTANCE}/metadata": "GET",
    "logs": "GET",
}  # fmt: skip


@pytest.mark.parametrize("path", ROUTES)
def test_d26_errors_of_instances_are_worded_as_all_are(api: Flowing, path: str) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        if method in ROUTES[path].split():
            assert error(api.ask(method, f"/namespaces/nobody/{path}")) == NO_NAMESPACE
        else:
            assert error(api.ask(method, path)) == WRONG_METHOD
        assert error(api.ask(method, f"{path}/more/and/more")) == NO_PATH


def test_d29_lineage_says_where_the_call_was(api: Flowing) -> None:
    """Each instance above, with its state, how many states it had begun, and which of several calls it was."""
    api.flow("states:\n- {id: s, type: noop}\n", "/sub.yaml")
    text = "functions: [{id: sub, workflow: sub.yaml}]\nstates:\n- {id: z, type: noop, transition: a}\n"
    text += "- {id: a, type: foreach, array: [1, 2, 3], action: {function: sub}}\n"
    id = api.run(api.flow(text)).headers["direktiv-instance-id"]
    lineages = [found["lineage"] for found in api.ask("GET", "instances?path=sub.yaml").json["data"]]
    assert sorted(lineages, key=str) == [[{"id": id, "state": "a", "step": 2, "branch": n}] for n in range(3)]


@pytest.mark.parametrize("field", ["Origin", "Host"])
def test_d30_flows_are_not_run_for_pages_of_others(api: Flowing, field: str) -> None:
    api.flow(f"{FUNCTIONS}{noop('{a: 1}')}")
    id = api.run().headers["direktiv-instance-id"]
    for method, path in (
        ("POST", "instances?path=flow.yaml"), ("GET", "instances"), ("GET", f"instances/{id}"),
        ("GET", f"instances/{id}/output"), ("GET", f"logs?instance={id}"), ("DELETE", f"instances/{id}"),
    ):  # fmt: skip
        assert error(api.ask(method, path, **{field: "http://evil.example"}))[:2] == (403, "access_denied")
    assert api.ask("GET", "instances").json["meta"]["total"] == 1
