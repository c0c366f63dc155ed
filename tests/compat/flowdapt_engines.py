"""The engines that stages of the Flowdapt face run on, each open for the tests of a module."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from holdfast import executors
from holdfast.compat.flowdapt.compute.resources.workflow.execute import execute_workflow

__all__ = ["ENGINES", "engine", "run"]

ENGINES = ["threads", "processes", "ray", "dask"]


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[executors.Executor]:
    """An executor on two workers, or on the cluster of these tests."""
    options: dict[str, Any] = {"workers": 2}
    if request.param == "ray":
        request.getfixturevalue("ray_driver")
        options = {"address": request.getfixturevalue("ray_cluster").address}
    elif request.param == "dask":
        options = {"address": request.getfixturevalue("dask_cluster").address}
    opened = executors.open(request.param, **options)  # not entered: its memory is to be in force where that is tested
    try:
        yield opened
    finally:
        opened.close(cancel=True)


def run(*stages: Any, **options: Any) -> Any:
    """What a workflow of these stages gives: mappings, or functions of which each depends on the one before."""
    definitions: list[dict[str, Any]] = []
    for stage in stages:
        given = stage if isinstance(stage, dict) else {"target": stage}
        name = given.get("name", getattr(given["target"], "__name__", ""))
        before = [definitions[-1]["name"]] if definitions else []
        definitions.append({"depends_on": before, **given, "name": name})
    workflow = {"kind": "workflow", "metadata": {"name": "tested"}, "spec": {"stages": definitions}}
    return asyncio.run(execute_workflow(workflow, **{"return_result": True, **options}))
