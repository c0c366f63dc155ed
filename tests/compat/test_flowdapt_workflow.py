"""Workflows through the Flowdapt face: stages on each engine (P3, P4, P13)."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

import holdfast
from holdfast import InvalidArgumentError, executors
from holdfast.compat.flowdapt.compute.domain.models.workflowrun import WorkflowRun, WorkflowRunState
from holdfast.compat.flowdapt.compute.resources.workflow.context import get_run_context
from holdfast.compat.flowdapt.compute.resources.workflow.execute import execute_workflow

from .flowdapt_engines import run

CONTEXT = ("executor", "namespace", "input", "config")


def stages() -> dict[str, Any]:
    """Functions that travel by value: workers cannot import this module."""

    def first(start: int = 1, unused: int = 0) -> list[int]:
        return [start, start + 1, start + 2]

    def double(item: int, factor: int = 2) -> int:
        return item * factor

    def total(items: list[int]) -> int:
        return sum(items)

    def join(*results: Any) -> list[Any]:
        return list(results)

    async def later(value: int) -> int:
        import asyncio

        await asyncio.sleep(0.001)
        return value + 1

    def fail(*_: Any) -> None:
        raise KeyError("what went wrong")

    def picky(item: int) -> int:
        if item == 2:
            raise ValueError(f"not {item}")
        return item

    def about() -> dict[str, Any]:
        from holdfast.compat.flowdapt.compute.resources.workflow.context import get_run_context

        context = get_run_context()
        return {
            **{name: getattr(context, name) for name in ("executor", "namespace", "input", "config")},
            "workflow": context.run.workflow, "name": context.definition.metadata.name,
            "stages": [stage.name for stage in context.definition.spec.stages],
        }  # fmt: skip

    def where() -> str:
        import holdfast

        return str(holdfast.current())

    return {name: value for name, value in locals().items() if callable(value)}


S = stages()


@pytest.fixture(autouse=True)
def in_store(store: holdfast.Store) -> Any:
    with store.context(namespace="elsewhere"):
        yield


# --- P3 ---------------------------------------------------------------------------------------------------------------


def test_p03_results_are_passed_on_in_order(engine: executors.Executor) -> None:
    assert run(S["first"], S["total"], executor=engine, input={"start": 5}) == 18
    both = {"target": S["join"], "depends_on": ["total", "first", "later"]}
    later = {"target": S["later"], "depends_on": ["total"]}
    assert run(S["first"], S["total"], later, both, executor=engine) == [6, [1, 2, 3], 7]


def test_p03_a_parameterized_stage_is_called_for_each_item(engine: executors.Executor) -> None:
    each = {"target": S["double"], "type": "parameterized"}
    assert run(S["first"], each, S["total"], executor=engine) == 12
    mapped = {**each, "options": {"map_on": "items"}}
    assert run(mapped, executor=engine, input={"items": range(4), "factor": 3}) == [0, 3, 6, 9]
    beside = {**mapped, "depends_on": ["later"]}
    assert run({"target": S["later"]}, beside, executor=engine, input={"items": [1, 2], "value": 9}) == [10, 20]
    assert run(mapped, executor=engine, input={"items": []}) == []


def test_p03_a_stage_that_fails_ends_the_run(engine: executors.Executor) -> None:
    with pytest.raises(KeyError, match="what went wrong"):
        run(S["first"], S["fail"], S["total"], executor=engine)
    found = run(S["first"], S["fail"], S["total"], executor=engine, return_result=False)
    assert (found.state, found.result) == ("failed", ("KeyError", "'what went wrong'"))
    picky = {"target": S["picky"], "type": "parameterized"}
    with pytest.raises(ValueError, match="not 2"):
        run(S["first"], picky, executor=engine)
    assert run(S["first"], {**picky, "options": {"allow_partial_failure": True}}, executor=engine) == [1, 3]


def test_p03_a_run_is_given_that_says_how_it_went() -> None:
    found = run(S["first"], S["total"], return_result=False)
    assert isinstance(found, WorkflowRun)
    assert (found.state, found.result, found.workflow) == (WorkflowRunState.finished, 6, "tested")
    assert isinstance(found.finished_at, datetime)
    assert found.finished_at >= found.started_at
    mine = WorkflowRun(workflow="mine", source="me")
    assert run(S["first"], run=mine, return_result=False) is mine
    assert (mine.state, mine.result, mine.source) == ("finished", [1, 2, 3], "me")


def test_p03_targets_are_named_by_import_strings() -> None:
    for target in ("math.sqrt", "math:sqrt"):
        stages = [{"name": "value", "target": S["later"]}, {"name": "root", "target": target, "depends_on": ["value"]}]
        workflow = {"name": "flat", "stages": stages[::-1]}  # in any order
        assert asyncio.run(execute_workflow(workflow, {"value": 15}, return_result=True)) == 4.0


def test_p03_stages_run_beside_each_other() -> None:
    import threading

    meet = threading.Barrier(3, timeout=30)
    beside = [{"name": f"s{n}", "target": lambda: meet.wait() >= 0, "depends_on": []} for n in range(3)]
    assert run(*beside, executor="threads", workers=3) is True


def test_p03_the_store_is_that_of_who_runs_it(engine: executors.Executor) -> None:
    assert run(S["where"], executor=engine) == "namespace:default/workflow:tested"
    assert run(S["where"], executor=engine, namespace="prod") == "namespace:prod/workflow:tested"


def test_p03_bad_definitions_say_what_is_wrong() -> None:
    good = {"name": "a", "target": S["first"]}
    for stages, words in (
        ([], "one at least"),
        ("a", "list of stages"),
        ([7], "a stage is a mapping"),
        ([{"name": "a"}], "'a' has no target"),
        ([{"name": "a", "target": 7}], "function or 'package"),
        ([{"name": "a", "target": "sqrt"}], "function or 'package"),
        ([{"name": "a", "target": "math.nothing"}], "'a' has no target 'math.nothing'"),
        ([{"name": "a", "target": "math.pi"}], "is no function"),
        ([{**good, "typ": "simple"}], "no 'typ'"),
        ([{**good, "type": "other"}], "'other': there are simple and parameterized"),
        ([{**good, "depends_on": ["b"]}], "depends on 'b', which is no stage"),
        ([good, good], "two stages are called 'a'"),
        ([{**good, "depends_on": ["b"]}, {**good, "name": "b", "depends_on": ["a"]}], "a, b wait for each other"),
        ([{**good, "type": "parameterized"}], "called for each item"),
        ([{**good, "type": "parameterized", "options": {"map_on": "x"}}], "input 'x', which was not given"),
        ([{"name": "a", "target": S["later"]}], "'a' cannot be called"),
    ):
        with pytest.raises(InvalidArgumentError, match=words):
            asyncio.run(execute_workflow({"spec": {"stages": stages}}, return_result=True))
    with pytest.raises(InvalidArgumentError, match="mapping with stages"):
        asyncio.run(execute_workflow(7))  # type: ignore[arg-type]
    for executor in ("nonsense", 7):
        with pytest.raises(InvalidArgumentError, match="no executor"):
            run(S["first"], executor=executor)


# --- P13 --------------------------------------------------------------------------------------------------------------


def test_p13_a_stage_knows_its_run(engine: executors.Executor) -> None:
    found = run(S["about"], executor=engine, namespace="prod", input={"a": [1]}, config={"b": {"c": 2}})
    kind = "local" if engine.name in ("threads", "processes") else engine.name
    assert found == {
        "executor": kind, "namespace": "prod", "input": {"a": [1]}, "config": {"b": {"c": 2}}, "workflow": "tested",
        "name": "tested", "stages": ["about"],
    }  # fmt: skip
    with pytest.raises(RuntimeError):
        get_run_context()


def test_p13_runs_beside_each_other_have_contexts_of_their_own() -> None:
    async def both() -> list[Any]:
        workflow = {"stages": [{"name": "about", "target": S["about"]}]}
        runs = [execute_workflow(workflow, {"n": n}, namespace=f"n{n}", return_result=True) for n in range(5)]
        return await asyncio.gather(*runs)

    assert [(each["namespace"], each["input"]) for each in asyncio.run(both())] == [
        (f"n{n}", {"n": n}) for n in range(5)
    ]
