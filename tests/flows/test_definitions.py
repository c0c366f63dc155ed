"""Definitions that are not legal: told before anything runs, with file, line and field."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from holdfast.errors import DefinitionError
from holdfast.flows.evaluation import jq_process
from holdfast.flows.reading import read

NOOP = "states:\n- id: a\n  type: noop\n"


def told(text: str) -> str:
    with pytest.raises(DefinitionError) as caught:
        read(text, "flow.yaml")
    return str(caught.value)


FAULTS = {
    "no YAML": ("states: [", "flow.yaml:2: this is no YAML"),
    "no map": ("- 1\n", "flow.yaml:1: .*map with the field states"),
    "empty": ("# nothing\n", "flow.yaml:1: the definition is empty"),
    "two documents": (f"{NOOP}---\na: 1\n", "flow.yaml:4: a definition is one document"),
    "a tag": ("states: !!python/object/apply:os.system [true]\n", "flow.yaml:1: tags such as .* are not taken"),
    "a key twice": (f"{NOOP}  type: delay\n", "flow.yaml:4: type: this key stands here twice"),
    "a merge": (f"{NOOP}  log: &x {{a: 1}}\n  transform: {{<<: *x, b: 2}}\n", "flow.yaml:5: <<: maps are not merged"),
    "no alias": ("states: *none\n", "flow.yaml:1: no anchor &none"),
    "an unknown field": (f"sates: 1\n{NOOP}", "flow.yaml:1: sates: there is no such field here: did you mean states"),
    "an unknown field of a state": (f"{NOOP}  tranform: 1\n", r"flow.yaml:4: states\[0\]\(a\).tranform: .*transform"),
    "a field of another type": (f"{NOOP}  variables: []\n", r"flow.yaml:4: .*variables: there is no such field"),
    "no states": ("name: x\n", "flow.yaml:1: states: this field is missing"),
    "states empty": ("states: []\n", "flow.yaml:1: states: this is a list, and not empty"),
    "no id": ("states:\n- type: noop\n", r"flow.yaml:2: states\[0\].id: this field is missing"),
    "no type": ("states:\n- id: a\n", r"flow.yaml:2: states\[0\]\(a\).type: this field is missing"),
    "an unknown type": ("states:\n- id: a\n  type: nope\n", "flow.yaml:3: .*no state of type 'nope'"),
    "an id twice": (f"{NOOP}- id: a\n  type: noop\n", r"flow.yaml:4: states\[1\]\(a\).id: another state has the id"),
    "a transition to nowhere": (f"{NOOP}  transition: b\n", "flow.yaml:4: .*transition: there is no state 'b'"),
    "a catch to nowhere": (f"{NOOP}  catch:\n  - error: x\n    transition: b\n", "flow.yaml:6: .*no state 'b'"),
    "a start to nowhere": (f"start: {{state: b}}\n{NOOP}", "flow.yaml:1: start.state: there is no state 'b'"),
    "a start by events": (f"start: {{type: event, event: {{}}}}\n{NOOP}", "flow.yaml:1: start.type: .*event routing"),
    "a bad pattern": (f"{NOOP}  catch:\n  - error: '('\n", "flow.yaml:5: .*error: .*no regular expression"),
    "a bad duration": ("states:\n- id: a\n  type: delay\n  duration: 5s\n", "flow.yaml:4: .*PT30S"),
    "a duration that is text with nothing": ("states:\n- {id: a, type: delay, duration: P}\n", "no duration"),
    "a duration without end": ("states:\n- {id: a, type: delay, duration: P99999999D}\n", "ten years"),
    "js": (f"{NOOP}  transform: js(1)\n", r"flow.yaml:4: .*transform: js\(...\) is not evaluated here"),
    "js within": (f"{NOOP}  transform: {{a: ['x js(1)']}}\n", r"flow.yaml:4: .*js\(...\)"),
    "no program": (f"{NOOP}  transform: jq(.a |)\n", r"flow.yaml:4: .*transform: jq\(.a \|\) is no program of jq"),
    "a program that imports": (f"{NOOP}  transform: 'jq(import \"a\" as a; 1)'\n", "flow.yaml:4: .*no program of jq"),
    "an unknown function of jq": (f"{NOOP}  log: jq(nosuch)\n", "flow.yaml:4: .*log: .*nosuch/0 is not defined"),
    "jq not closed": (f"{NOOP}  log: 'jq(.a'\n", r"flow.yaml:4: .*the parenthesis of jq\( is not closed"),
    "jq closed wrongly": (f"{NOOP}  log: 'jq([.a)]'\n", "flow.yaml:4: .*closes nothing"),
    "jq of nothing": (f"{NOOP}  log: jq( )\n", r"flow.yaml:4: .*jq\(\) has no program"),
    "an unknown scope": (
        "states:\n- id: a\n  type: getter\n  variables:\n  - {key: x, scope: thread}\n",
        r"flow.yaml:5: .*variables\[0\].scope: this is namespace or workflow or instance or file or system",
    ),
    "a setter of a file": (
        "states:\n- id: a\n  type: setter\n  variables:\n  - {key: x, scope: file, value: 1}\n", "flow.yaml:5: .*scope"
    ),
    "a setter without a value": (
        "states:\n- id: a\n  type: setter\n  variables:\n  - {key: x, scope: workflow}\n", "flow.yaml:5: .*value"
    ),
    "a call of nothing": (
        "states:\n- id: a\n  type: action\n  action: {function: f}\n", "flow.yaml:4: .*no function 'f'"
    ),
    "a function twice": (
        f"functions:\n- {{id: f, image: x}}\n- {{id: f, image: y}}\n{NOOP}", r"flow.yaml:3: functions\[1\].id: another"
    ),
    "a function without an image": (f"functions:\n- id: f\n  type: knative-workflow\n{NOOP}", "flow.yaml:2: .*image"),
    "a subflow with files": (
        "functions:\n- {id: f, workflow: x, files: [{key: a}]}\nstates:\n- id: a\n  type: action\n"
        "  action: {function: f}\n",
        "flow.yaml:6: .*a subflow takes no files",
    ),
    "secrets": (
        "functions:\n- {id: f, image: x}\nstates:\n- id: a\n  type: action\n  action: {function: f, secrets: [s]}\n",
        "flow.yaml:6: .*secrets are not kept here",
    ),
    "retries": (
        "functions:\n- {id: f, image: x}\nstates:\n- id: a\n  type: action\n  action:\n    function: f\n"
        "    retries: {max_attempts: -1, multiplier: x}\n",
        "flow.yaml:8: .*max_attempts: this is a whole number",
    ),
    "no schema": ("states:\n- {id: a, type: validate, schema: {type: 3}}\n", "flow.yaml:2: .*no JSON Schema"),
    "atomic": (f"atomic:\n- {{scope: workflow, key: 1x}}\n{NOOP}", r"flow.yaml:2: atomic\[0\].key: .*no name"),
    "an atomic variable as a file": (
        "atomic: [{scope: workflow, key: x}]\n"
        f"functions:\n- {{id: f, image: x, files: [{{key: x, scope: workflow}}]}}\n{NOOP}",
        "flow.yaml:3: .*files.*functions do not see what is atomic",
    ),
    "another version": (f"direktiv_api: workflow/v2\n{NOOP}", "flow.yaml:1: direktiv_api: this is workflow/v1"),
    "an error without a message": ("states:\n- {id: a, type: error, error: x}\n", "flow.yaml:2: .*message"),
    "a code without end": (f"states:\n- {{id: a, type: error, message: m, error: {'x' * 300}}}\n", "256 characters"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_told_with_line_and_field(fault: str) -> None:
    text, message = FAULTS[fault]
    found = told(text)
    assert re.search(message, found), found


def test_all_that_is_wrong_is_told_at_once() -> None:
    found = told("states:\n- id: a\n  type: nope\n- id: b\n  type: noop\n  transition: c\n  log: jq(|)\n").splitlines()
    assert [line.split(":")[1] for line in found] == ["3", "6", "7"]


@pytest.mark.parametrize(
    "text",
    [
        "states: " + "[" * 100_000,
        "states: " + "{a: " * 1000 + "1" + "}" * 1000,
        "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
        + "".join(f"{b}: &{b} [{','.join(['*' + a] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
        "name: " + "x" * (1 << 21),
        "\0",
        "states:\n\t- a",
        "? [a]\n: 1",
        "a: \ud800".encode("utf-8", "replace").decode(),
        "a: %x",
        "&a [*a]",
    ],
    ids=[
        "lists",
        "maps",
        "aliases",
        "long",
        "nul",
        "tab",
        "a key that is a list",
        "surrogate",
        "percent",
        "within itself",
    ],
)
def test_documents_that_are_hostile(text: str) -> None:
    began = time.monotonic()
    assert "flow.yaml:" in told(text)
    assert time.monotonic() - began < 15


def test_what_is_wrong_in_many_places_is_told_briefly() -> None:
    states = "".join(f"- {{id: s{n}, type: noop, transition: none{n}}}\n" for n in range(1000))
    found = told(f"states:\n{states}")
    assert len(found.splitlines()) == 100
    assert len(found) < 100_000
    fields = told(NOOP + "".join(f"  f{n}: 1\n" for n in range(1000))).splitlines()
    assert [line.split(":")[1] for line in fields] == [str(n) for n in range(4, 104)]


@pytest.mark.parametrize("text", ["states: [\ud800]", b"states: []", None, 3], ids=repr)
def test_what_is_no_text(text: Any) -> None:
    assert "flow.yaml:1: " in told(text)


def test_programs_that_take_too_long_to_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jq_process, "SECONDS", 0.05)
    programs = ", ".join(f"jq({n})" for n in range(1000))
    assert re.search(r"flow.yaml:4: .*log: .* cannot be checked: ", told(f"{NOOP}  log: [{programs}]\n"))


@pytest.mark.parametrize(
    "schema", ["{$schema: []}", "{$ref: 5}", "{pattern: '('}", "{$defs: {a: {type: x}}}", "{type: {}}"]
)
def test_schemas_that_are_none(schema: str) -> None:
    found = told(f"states:\n- id: a\n  type: validate\n  schema: {schema}\n")
    assert found.startswith("flow.yaml:4: states[0](a).schema: this is no JSON Schema: ")


def test_what_yaml_says_is_as_in_json() -> None:
    text = NOOP + "  transform:\n    a: [yes, on, 2020-01-01, 0644, 0o644, 0x10, 1e3, '1', .5, 1_000, ~, True, .nan,\n"
    text += "      1:30]\n"
    given = read(text, "flow.yaml").states["a"].transform
    assert given is not None
    assert given.shape["a"] == [
        "yes", "on", "2020-01-01", "0644", "0o644", 16, 1000.0, "1", 0.5, "1_000", None, True, ".nan", "1:30"
    ]  # fmt: skip


def test_anchors_are_taken() -> None:
    text = "states:\n- id: a\n  type: noop\n  log: &said {x: 1}\n  transform: *said\n"
    state = read(text, "flow.yaml").states["a"]
    assert state.transform == state.log


def test_what_concerns_containers_is_left_to_others() -> None:
    text = f"functions:\n- {{id: f, image: x, size: small, cmd: run, envs: [{{name: a, value: b}}]}}\n{NOOP}"
    assert read(text, "flow.yaml").start == "a"


@pytest.mark.parametrize(
    "text, seconds",
    [("PT5S", 5), ("PT0.5S", 0.5), ("P1DT2H3M4S", 93784), ("P1W", 604800), ("PT1M", 60), ("P1M", 30 * 86400)],
)
def test_durations(text: str, seconds: float) -> None:
    definition = read(f"timeouts: {{kill: {text}}}\n{NOOP}", "flow.yaml")
    assert definition.kill == seconds
