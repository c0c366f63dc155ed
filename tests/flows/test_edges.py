"""Edges of what flows do: data that is too large, atomic variables that change between two reads, fields of another
kind, and keys and paths that are none: D4, D5, D9, D13."""

from __future__ import annotations

import re
from typing import Any

import pytest

from holdfast.errors import DefinitionError, InvalidArgumentError
from holdfast.flows.functions.action import Action

from .conftest import Place


def test_d04_an_atomic_variable_that_others_change_between_two_reads(place: Place) -> None:
    """Both reads are of one moment in the end: the instance goes on again from the first one."""
    workflow = place.namespace.workflow("/flow.yaml")
    workflow.put_chunks("x", [b"1"])

    def change(action: Action) -> Any:
        if len(place.calls.made) == 1:
            workflow.put_chunks("x", [b"10"])

    place.calls.known["echo"] = change
    get = "type: getter, variables: [{key: x, scope: workflow}]"
    text = f"""
atomic: [{{scope: workflow, key: x}}]
functions: [{{id: f, image: echo}}]
states:
- {{id: a, {get}, transform: {{first: jq(.var.x)}}, transition: b}}
- {{id: b, type: action, action: {{function: f}}, transition: c}}
- {{id: c, {get}, transform: {{first: jq(.first), second: jq(.var.x)}}}}
"""
    assert place.run(text) == {"first": 10, "second": 10}
    assert len(place.calls.made) == 2
    assert any("others wrote atomic variables" in line for line in place.log())


def test_an_input_that_is_too_large_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.flows.engine.LARGEST", 1000)
    place.register("states: [{id: a, type: noop}]")
    for given in (b'"' + b"x" * 1000 + b'"', b"\xff" * 1000):
        with pytest.raises(InvalidArgumentError, match="1,000 bytes: put more into a variable"):
            place.engine.run(place.namespace, "/flow.yaml", given)
    assert place.engine.instances(place.namespace).ids() == []


@pytest.mark.parametrize("more", ["", "  transition: b\n- {id: b, type: delay, duration: PT0S}\n"])
def test_data_that_grows_too_large_fails_the_run(place: Place, monkeypatch: pytest.MonkeyPatch, more: str) -> None:
    """And that is not caught: there is nothing that could be gone on with."""
    monkeypatch.setattr("holdfast.flows.instance.LARGEST", 1000)
    states = f"- id: a\n  type: noop\n  catch: [{{error: '*'}}]\n  transform: 'jq({{x: (\"x\" * 1000)}})'\n{more}"
    failed = place.fails(f"states:\n{states}")
    assert (failed.status, failed.error_code) == ("failed", "direktiv.var.tooLarge")
    assert "more than 1,000 bytes" in str(failed)


@pytest.mark.parametrize("kind", ["getter", "setter"])
def test_d13_a_key_that_is_no_text(place: Place, kind: str) -> None:
    value = ", value: 1" if kind == "setter" else ""
    states = f"- {{id: a, type: {kind}, variables: [{{key: jq(1), scope: namespace{value}}}]}}\n"
    assert place.code(states) == "direktiv.jq.notString"


@pytest.mark.parametrize("key", ['jq(.none // "")', "/"])
def test_d09_a_path_that_is_none(place: Place, key: str) -> None:
    states = f"- id: a\n  type: getter\n  variables:\n  - scope: file\n    key: '{key}'\n"
    assert place.code(states) == "direktiv.var.invalidKey"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("states:\n- 1\n", r"flow.yaml:2: states\[0\]: this is a map of fields"),
        ("states:\n- {id: '', type: noop}\n", r"flow.yaml:2: states\[0\]\(\).id: this is text, and not empty"),
        ("states:\n- {id: a, type: noop, catch: {}}\n", r"flow.yaml:2: states\[0\]\(a\).catch: this is a list"),
        (
            "functions: [{id: f, image: x}]\nstates:\n- {id: a, type: action, action: {function: f}, async: 1}\n",
            r"flow.yaml:3: states\[0\]\(a\).async: this is true or false",
        ),
        ("states:\n- {id: a, type: validate, schema: text}\n", r"flow.yaml:2: states\[0\]\(a\).schema: .*a map"),
    ],
)
def test_d05_a_field_of_another_kind_is_told_with_its_line(place: Place, text: str, told: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        place.register(text)
    assert re.search(told, str(caught.value)), caught.value
