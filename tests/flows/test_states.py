"""What each type of state does: D5, D6, D8 to D14."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from holdfast.errors import DefinitionError
from holdfast.flows.instance import Limits
from holdfast.reading import chunks

from .conftest import Place
from .samples import COUNTER


def test_d16_the_published_counter_counts(place: Place) -> None:
    assert [place.run(COUNTER)["var"]["x"] for _ in range(3)] == [1, 2, 3]
    assert json.loads(place.namespace.workflow("/flow.yaml").get_bytes("x")) == 3


def test_the_published_setter_and_getter(place: Place) -> None:
    setter = "direktiv_api: workflow/v1\nstates:\n- id: a\n  type: setter\n  variables:\n  - key: MyVar\n"
    setter += "    scope: namespace\n    value: {}\n"
    getter = "states:\n- id: a\n  type: getter\n  variables:\n  - key: MyVar\n    scope: namespace\n"
    place.run(setter.format("'Hello'"), path="/set.yaml")
    assert place.run(getter, path="/get.yaml") == {"var": {"MyVar": "Hello"}}
    place.run(setter.format(""), path="/delete.yaml")
    assert place.run(getter, path="/get.yaml") == {"var": {"MyVar": None}}
    assert not place.namespace.exists("MyVar")


def test_d05_the_first_state_starts_or_the_one_that_start_names(place: Place) -> None:
    states = "states:\n- id: a\n  type: noop\n  transform: {was: a}\n- id: b\n  type: noop\n  transform: {was: b}\n"
    assert place.run(states) == {"was": "a"}
    assert place.run(f"start:\n  state: b\n{states}") == {"was": "b"}


def test_d05_order_in_a_state(place: Place) -> None:
    """Log and metadata see the data before the logic, the transform what the logic left."""
    states = """
- id: a
  type: getter
  log: jq(.n)
  metadata: {seen: jq(.var // "nothing")}
  variables: [{key: x, scope: workflow}]
  transform: {given: jq(.n), got: jq(.var | has("x"))}
  transition: b
- id: b
  type: noop
  log: [jq(.got), text]
"""
    assert place.states(states, {"n": 7}) == {"given": 7, "got": True}
    assert place.log() == ["7", '[true,"text"]', "complete"]
    assert place.engine.instances(place.namespace).get(place.last).metadata == {"seen": "nothing"}


def test_d08_transforms(place: Place) -> None:
    def transformed(transform: str) -> Any:
        return place.states(f"- id: a\n  type: noop\n  transform: {transform}\n", {"n": 1})

    assert transformed("'jq({m: (.n + 1)})'") == {"m": 2}
    assert transformed("{m: jq(.n), k: [jq(.n), '<jq(.n)>']}") == {"m": 1, "k": [1, "<1>"]}
    for nothing in ('""', '"."', ""):
        assert transformed(nothing) == {"n": 1}


@pytest.mark.parametrize("transform", ["jq(.n)", "text", "[1]", "3", "'jq([.])'"])
def test_d08_a_transform_that_gives_no_object(place: Place, transform: str) -> None:
    assert place.code(f"- id: a\n  type: noop\n  transform: {transform}\n", {"n": 1}) == "direktiv.jq.notObject"


GETTER = "- id: a\n  type: getter\n  variables:\n  - key: {key}\n    scope: {scope}\n"


def test_d09_a_getter_replaces_all_of_var(place: Place) -> None:
    place.namespace.put_chunks("x", [b'{"n": 1}'])
    assert place.states(GETTER.format(key="x", scope="namespace"), {"var": {"old": 1}}) == {"var": {"x": {"n": 1}}}


def test_d09_missing_and_empty_are_null_also_under_as(place: Place) -> None:
    place.namespace.put_chunks("empty", [b""])
    states = GETTER.format(key="empty", scope="namespace") + "    as: e\n  - {key: none, scope: namespace, as: n}\n"
    assert place.states(states) == {"var": {"e": None, "n": None}}


@pytest.mark.parametrize(
    "data, value",
    [
        (b"[1, 2.5]", [1, 2.5]),
        (b'"text"', "text"),
        (b"text", "dGV4dA=="),
        (b"\xff\xfe", "//4="),
        (b"NaN", "TmFO"),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b"[" * 100_000, None),
    ],
    ids=str,
)
def test_d09_json_is_parsed_and_all_else_is_base64(place: Place, data: bytes, value: Any) -> None:
    place.namespace.put_chunks("x", [data])
    found = place.states(GETTER.format(key="x", scope="namespace"))["var"]["x"]
    assert found == value if value is not None else isinstance(found, str)


def test_d09_a_key_is_jq(place: Place) -> None:
    place.namespace.put_chunks("v3", [b"3"])
    assert place.states(GETTER.format(key="'vjq(.n)'", scope="namespace"), {"n": 3})["var"] == {"v3": 3}


def test_d01_getters_read_files_and_facts_of_the_system(place: Place) -> None:
    place.namespace.flows.register("/a/data.yaml", COUNTER)
    before = time.time()
    states = GETTER.format(key="uuid", scope="system") + "  - {key: instance, scope: system}\n"
    states += "  - {key: epoch, scope: system}\n  - {key: /a/data.yaml, scope: file, as: file}\n"
    found = place.states(states)["var"]
    assert found["instance"] == place.last
    assert before - 1 <= found["epoch"] <= time.time() + 1
    assert isinstance(found["file"], str)  # YAML, as base64


def test_d01_the_same_name_in_each_scope(place: Place) -> None:
    states = "- id: a\n  type: setter\n  transition: b\n  variables:\n"
    scopes = ("namespace", "workflow", "instance")
    states += "".join(f"  - {{key: x, scope: {scope}, value: {scope}}}\n" for scope in scopes)
    states += "- id: b\n  type: getter\n  variables:\n"
    states += "".join(f"  - {{key: x, scope: {scope}, as: {scope}}}\n" for scope in scopes)
    assert place.states(states) == {"var": {scope: scope for scope in scopes}}
    assert json.loads(place.namespace.get_bytes("x")) == "namespace"
    assert json.loads(place.namespace.workflow("/flow.yaml").get_bytes("x")) == "workflow"


def test_d02_variables_of_an_instance_end_with_its_run(place: Place) -> None:
    setter = "- id: a\n  type: setter\n  variables: [{key: x, scope: instance, value: 1}]\n"
    place.states(setter)
    assert not place.namespace.instance(place.last).present
    assert place.code(setter + "  transition: b\n- id: b\n  type: error\n  error: e\n  message: m\n") == "e"
    assert not place.namespace.instance(place.last).present


def test_d02_a_changed_definition_keeps_the_variables(place: Place) -> None:
    assert place.run(COUNTER)["var"]["x"] == 1
    assert place.run("name: another\n" + COUNTER)["var"]["x"] == 2


@pytest.mark.parametrize("key", ["1x", "x-", "a b", "", "x/y", "a" * 600, "é"])
@pytest.mark.parametrize("kind", ["getter", "setter"])
def test_d03_names(place: Place, key: str, kind: str) -> None:
    variable = {"key": "jq(.key)", "scope": "workflow", **({"value": 1} if kind == "setter" else {})}
    states = f"- id: a\n  type: {kind}\n  variables: [{json.dumps(variable)}]\n"
    assert place.code(states, {"key": key}) == "direktiv.var.invalidKey"


def test_d03_names_are_case_sensitive_and_values_may_be_empty(place: Place) -> None:
    states = "- id: a\n  type: setter\n  variables:\n  - {key: X, scope: workflow, value: ''}\n"
    states += "  - {key: x, scope: workflow, value: '', mimeType: text/plain}\n"
    place.states(states)
    workflow = place.namespace.workflow("/flow.yaml")
    assert (workflow.get_bytes("X"), workflow.get_bytes("x")) == (b'""', b"")


SETTER = "- id: a\n  type: setter\n  variables:\n  - key: x\n    scope: namespace\n"


@pytest.mark.parametrize("value", ["{}", "[]", "0", "''", "false", "'jq({a: [1.50, .n]})'", "héllo"])
def test_d10_json_is_the_usual_type(place: Place, value: str) -> None:
    place.states(SETTER + f"    value: {value}\n", {"n": 2})
    expected = {"'jq({a: [1.50, .n]})'": {"a": [1.5, 2]}, "héllo": "héllo", "''": ""}
    wanted = expected[value] if value in expected else json.loads(value)
    assert json.loads(place.namespace.get_bytes("x")) == wanted
    assert place.namespace.record("x").content_type == "application/json"


@pytest.mark.parametrize("mime", ["text/plain", "text/plain; charset=utf-8"])
def test_d10_text_is_stored_raw(place: Place, mime: str) -> None:
    place.states(SETTER + f"    mimeType: {mime}\n    value: 'jq(\"é\" + .n)'\n", {"n": "x"})
    assert place.namespace.get_bytes("x") == "éx".encode()
    assert place.namespace.record("x").content_type == mime


def test_d10_octets_are_decoded(place: Place) -> None:
    place.states(SETTER + "    mimeType: application/octet-stream\n    value: AAH/\n")
    assert place.namespace.get_bytes("x") == b"\x00\x01\xff"
    place.states(SETTER + "    mimeType: application/octet-stream\n    value: ''\n")
    assert place.namespace.get_bytes("x") == b""
    code = place.code(SETTER + "    mimeType: application/octet-stream\n    value: '*'\n")
    assert code == "direktiv.jq.badCommand"


@pytest.mark.parametrize("mime", ["''", '"a\\tb"', "é", "jq(3)", "x" * 1001])
def test_d10_mime_types_that_are_none(place: Place, mime: str) -> None:
    code = place.code(SETTER + f"    mimeType: {mime}\n    value: 1\n")
    assert code in ("direktiv.var.invalidMimeType", "direktiv.jq.notString")
    assert not place.namespace.exists("x")


def test_d10_one_state_is_one_transaction(place: Place) -> None:
    """If one of its variables cannot be set, none is."""
    states = (
        SETTER
        + "    value: 1\n  - {key: y, scope: workflow, value: 2}\n  - {key: jq(.k), scope: namespace, value: 3}\n"
    )
    assert place.code(states, {"k": "1x"}) == "direktiv.var.invalidKey"
    assert not place.namespace.exists("x")
    assert not place.namespace.workflow("/flow.yaml").exists("y")
    place.states(states, {"k": "z"})
    assert [place.namespace.get_bytes(key) for key in "xz"] == [b"1", b"3"]


def test_d10_variables_that_are_large(place: Place) -> None:
    place.states(SETTER + "    value: 'jq([range(100000)])'\n")
    assert json.loads(place.namespace.get_bytes("x")) == list(range(100_000))
    states = GETTER.format(key="x", scope="namespace") + "  transform: 'jq({n: (.var.x | length)})'\n"
    assert place.states(states) == {"n": 100_000}
    with place.namespace.open("x", "wb") as file:
        for _ in range(33):
            file.write(b"[" * (1 << 20))
    assert place.code(states) == "direktiv.var.tooLarge"


def test_d10_variables_that_are_large_together(place: Place) -> None:
    with place.namespace.open("x", "wb") as file:
        for _ in range(12):
            file.write(b" " * (1 << 20))
        file.write(b"1")
    states = GETTER.format(key="x", scope="namespace")
    for name in "ab":
        assert place.states(states)["var"]["x"] == 1
        states += f"  - {{key: x, scope: namespace, as: {name}}}\n"
    assert place.code(states) == "direktiv.var.tooLarge"


def test_metadata_and_messages_may_be_any_text(place: Place) -> None:
    states = "- id: a\n  type: error\n  error: e\n  message: jq(.m)\n  metadata: {n: jq(.n)}\n"
    failed = place.fails(f"states:\n{states}", {"m": "é" * 20_000, "n": 10**30})
    info = place.engine.instances(place.namespace).get(failed.instance)
    assert info.error_message == "é" * 10_000
    assert info.metadata == {"n": 10**30}


def test_d10_only_a_literal_null_deletes(place: Place) -> None:
    place.states(SETTER + "    value: 1\n")
    assert place.code(SETTER + "    value: jq(null)\n") == "direktiv.jq.badCommand"
    assert place.namespace.exists("x")
    place.states(SETTER + "    value: null\n")
    assert not place.namespace.exists("x")
    place.states(SETTER + "    value: ~\n")  # and again


def test_d11_scopes_are_stated_and_checked_on_load(place: Place) -> None:
    for line in ("", "    scope: file\n", "    scope: jq(.s)\n", "    scope: global\n"):
        with pytest.raises(DefinitionError, match=r"flow.yaml:\d: .*scope"):
            place.register(f"states:\n- id: a\n  type: setter\n  variables:\n  - key: x\n    value: 1\n{line}")


SWITCH = """
- id: a
  type: switch
  conditions:
  - condition: jq(.x)
    transform: {went: first}
    transition: b
  - condition: jq(.y)
    transform: {went: second}
  defaultTransform: {went: default}
  defaultTransition: b
- id: b
  type: noop
  transform: {went: jq(.went), then: b}
"""


@pytest.mark.parametrize("false", [None, False, {}, [], "", 0, 0.0])
def test_d12_what_is_false(place: Place, false: Any) -> None:
    assert place.states(SWITCH, {"x": false, "y": false}) == {"went": "default", "then": "b"}


@pytest.mark.parametrize("true", [True, {"a": None}, [0], "false", -1, 0.1])
def test_d12_the_first_true_one_wins(place: Place, true: Any) -> None:
    assert place.states(SWITCH, {"x": true, "y": 1}) == {"went": "first", "then": "b"}
    assert place.states(SWITCH, {"x": 0, "y": true}) == {"went": "second"}


def test_d12_a_condition_behind_the_first_true_one_does_not_fail(place: Place) -> None:
    states = SWITCH.replace("jq(.y)", "'jq(.y | error)'")
    assert place.states(states, {"x": 1, "y": "e"})["went"] == "first"
    assert place.code(states, {"x": 0, "y": "e"}) == "direktiv.jq.badCommand"


ERROR = "- id: a\n  type: error\n  error: my.code\n  message: {message}\n"


def test_d14_an_error_state_fails_the_run_and_goes_on(place: Place) -> None:
    states = (
        ERROR.format(message="'%s and %v, 100%%'")
        + "  args: [jq(.n), [1]]\n  transition: b\n"
        + SETTER.replace("id: a", "id: b")
    )
    failed = place.fails(f"states:\n{states}    value: 5\n", {"n": "text"})
    assert (failed.error_code, failed.status) == ("my.code", "failed")
    assert "text and [1], 100%" in str(failed)
    assert place.namespace.get_bytes("x") == b"5"


def test_d14_a_second_raise(place: Place) -> None:
    second = ERROR.format(message="m").replace("id: a", "id: b")
    first = ERROR.format(message="m") + "  transition: b\n"
    assert place.code(first + second) == "direktiv.workflow.multipleErrors"
    caught = first + second + "  catch: [{error: multipleErrors}]\n"
    assert place.code(caught) == "my.code"  # what caught it could not undo the first one


CATCH = """
- id: a
  type: noop
  transform: jq(.n)
  catch:
  - error: '^nothing$'
    transition: b
  - error: '{}'
    transition: c
- id: b
  type: noop
- id: c
  type: noop
  transform: {{error: jq(.error), n: jq(.n)}}
"""


@pytest.mark.parametrize("pattern", ["*", "jq", "notObj", r"direktiv\.jq\..*", "^direktiv.jq.notObject$"])
def test_d13_the_first_catch_that_matches_wins(place: Place, pattern: str) -> None:
    found = place.states(CATCH.format(pattern), {"n": 1})
    assert found["error"]["code"] == "direktiv.jq.notObject"
    assert found["error"]["msg"]
    assert found["n"] == 1


@pytest.mark.parametrize("retries", ["", ", retries: {max_attempts: 1, codes: ['^(e+)+$']}"], ids=["catch", "retries"])
def test_d13_a_pattern_that_takes_for_ever_catches_nothing(place: Place, retries: str) -> None:
    catch = "catch: [{error: '^(e+)+$', transition: a}, {error: '*', transition: a}]"
    failed = f"- {{id: a, type: error, error: {'e' * 60}x, message: m, {catch}}}\n"
    place.register(f"states:\n{failed}", "/child.yaml")
    call = f"- {{id: a, type: action, action: {{function: f{retries}}}, {'' if retries else catch}}}\n"
    began = time.monotonic()
    error = place.fails("functions: [{id: f, workflow: child.yaml}]\nstates:\n" + call)
    assert error.error_code == "e" * 60 + "x"
    assert time.monotonic() - began < 10
    assert any("the patterns of codes cannot be matched" in line for line in place.log(error.instance))


def test_d13_a_catch_that_does_not_match(place: Place) -> None:
    assert place.code(CATCH.format("^jq"), {"n": 1}) == "direktiv.jq.notObject"


def test_d13_a_catch_without_transition_ends_the_run_complete(place: Place) -> None:
    states = "- id: a\n  type: noop\n  transform: jq(1)\n  catch: [{error: '*'}]\n"
    assert place.states(states)["error"]["code"] == "direktiv.jq.notObject"
    assert place.engine.instances(place.namespace).get(place.last).status == "complete"


VALIDATE = """
- id: a
  type: validate
  {}schema:
    type: object
    required: [name]
    properties: {{name: {{type: string}}}}
"""


def test_d06_validate(place: Place) -> None:
    assert place.states(VALIDATE.format(""), {"name": "x"}) == {"name": "x"}
    assert place.code(VALIDATE.format(""), {"name": 1}) == "direktiv.schema.failed"
    assert place.code(VALIDATE.format("subject: jq(.a)\n  "), {"name": "x", "a": {}}) == "direktiv.schema.failed"
    assert place.states(VALIDATE.format("subject: jq(.a)\n  "), {"a": {"name": "x"}})


def test_d06_a_schema_fetches_nothing_and_ends(place: Place) -> None:
    for schema in ("{$ref: 'http://127.0.0.1:9/schema'}", "{$ref: '#'}", "{$ref: '#/$defs/none'}"):
        assert place.code(f"- id: a\n  type: validate\n  schema: {schema}\n") == "direktiv.schema.failed"


@pytest.mark.parametrize(
    "schema",
    [
        "{properties: {text: {pattern: '^(a+)+$'}}}",
        "{patternProperties: {'^(a+)+$': {}}}",
        "{$ref: '#/$defs/s0', $defs: {s30: {}, "
        + ", ".join(f"s{n}: {{allOf: [{{$ref: '#/$defs/s{n + 1}'}}, {{$ref: '#/$defs/s{n + 1}'}}]}}" for n in range(30))
        + "}}",
    ],
    ids=["pattern", "names", "references"],
)
def test_d06_a_schema_that_takes_for_ever_fails_its_flow_and_no_other(place: Place, schema: str) -> None:
    place.engine.limits = place.engine.limits._replace(jq=0.3)
    text = "a" * 40 + "!"
    code = place.code(f"- id: a\n  type: validate\n  schema: {schema}\n", {"text": text, text: 1})
    assert code == "direktiv.schema.failed"
    place.engine.limits = Limits()
    assert place.states(VALIDATE.format(""), {"name": "x"}) == {"name": "x"}


def test_d06_a_schema_that_breaks_what_checks_it(place: Place) -> None:
    for schema in (
        "{$ref: '#/a', a: {patternProperties: {'(': {}}}}",
        "{$ref: '#/a', a: {type: x}}",
        "{$ref: '#/a', a: 5}",
    ):
        assert place.code(f"- id: a\n  type: validate\n  schema: {schema}\n", {"x": 1}) == "direktiv.schema.failed"


def test_d06_delay(place: Place) -> None:
    began = time.monotonic()
    assert place.states("- id: a\n  type: delay\n  duration: PT0.3S\n", {"n": 1}) == {"n": 1}
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("kind", ["consumeEvent", "eventXor", "eventAnd", "generateEvent"])
def test_d06_states_of_events_are_refused_by_name(place: Place, kind: str) -> None:
    with pytest.raises(DefinitionError, match=f"flow.yaml:2: .*{kind} belongs to event routing"):
        place.register(f"states:\n- id: a\n  type: {kind}\n")


@pytest.mark.parametrize(
    "given, data",
    [
        (None, {}),
        (b"", {}),
        (b'{"a": 1}', {"a": 1}),
        ({"a": [None]}, {"a": [None]}),
        (b"[1]", {"input": [1]}),
        (b"null", {"input": None}),
        (3, {"input": 3}),
        (b"text", {"input": "dGV4dA=="}),
        (b"\xff", {"input": "/w=="}),
    ],
    ids=repr,
)
def test_d15_what_an_instance_begins_with(place: Place, given: Any, data: Any) -> None:
    assert place.states("- id: a\n  type: noop\n", given) == data


@pytest.mark.parametrize("then", ["deleted", "replaced"])
def test_a_variable_that_goes_while_it_is_read(place: Place, monkeypatch: pytest.MonkeyPatch, then: str) -> None:
    """Its bytes are collected between the look at its record and their reading."""
    scope = place.namespace
    scope.put_chunks("x", [b"1" * 100_000])

    def late(*arguments: Any) -> Any:
        if arguments[2] != "x":  # the definition
            return chunks(*arguments)
        monkeypatch.setattr("holdfast.flows.variables.chunks", chunks)
        if then == "deleted":
            scope.delete("x")
        else:
            scope.put_chunks("x", [b"2"])
        place.store.gc()
        return chunks(*arguments)

    monkeypatch.setattr("holdfast.flows.variables.chunks", late)
    output = place.states("- {id: a, type: getter, variables: [{key: x, scope: namespace}]}\n")
    assert output == {"var": {"x": None if then == "deleted" else 2}}
