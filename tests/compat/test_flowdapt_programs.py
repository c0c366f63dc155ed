"""A program written for flowdapt: with its imports changed, and unmodified by ``python -m holdfast.compat``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import holdfast

from .flowdapt_engines import ENGINES
from .jobs import python

PROGRAM = Path(__file__).with_name("flowdapt_program.txt").read_text()

QUICK = {("threads", "unmodified"), ("processes", "changed"), ("dask", "changed")}


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "engine, how",
    [
        pytest.param(engine, how, marks=() if (engine, how) in QUICK else pytest.mark.long)
        for engine in ENGINES
        for how in ("changed", "unmodified")
    ],
)
def test_the_published_samples_run_as_one_program(
    engine: str, how: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    more: dict[str, Any] = {"HOLDFAST_STORE": str(tmp_path / "data")}
    if engine == "ray":
        more |= request.getfixturevalue("ray_cluster").environment
    elif engine == "dask":
        more["DASK_SCHEDULER_ADDRESS"] = request.getfixturevalue("dask_cluster").address
    changed = re.sub(r"^(\s*)from flowdapt", r"\1from holdfast.compat.flowdapt", PROGRAM, flags=re.MULTILINE)
    Path("program.py").write_text(changed if how == "changed" else PROGRAM)
    begin = [] if how == "changed" else ["-m", "holdfast.compat", "flowdapt"]
    printed = python(*begin, "program.py", engine, seconds=200, **more).stdout
    memory = "local" if engine in ("threads", "processes") else engine
    assert printed.splitlines() == [
        "['St. Louis', 'Moab', 'Los Angeles']",
        "Hello, World!",
        f"['my_username', '{memory}']",
        "None",
        "['my_new_artifact']",
    ]
    with holdfast.open(tmp_path / "data", create=False) as store:  # what it is to Holdfast
        artifact = store.namespace("default").artifact("my_new_artifact", create=False)
        assert dict(artifact.metadata) == {"created_by": "my_username", "creation_date": "2023-05-26"}


STAGES = """
from flowdapt.compute.cluster_memory import get_cluster_memory
from flowdapt.compute.object_store import get, put

class Model:
    def __init__(self, weights):
        self.weights = weights

def train(weights):
    put("model", Model(weights))
    get_cluster_memory().put("seen", len(weights))

def predict(_):
    return sum(get("model").weights) * get_cluster_memory().get("seen")
"""

MAIN = """
import asyncio, sys
from flowdapt.compute.resources.workflow.execute import execute_workflow

stages = [{"name": "train", "target": "stages.train"},
          {"name": "predict", "target": "stages.predict", "depends_on": ["train"]}]
workflow = {"name": "modelling", "stages": stages}
print(asyncio.run(execute_workflow(workflow, {"weights": [1, 2, 3]}, executor=sys.argv[1], return_result=True)))
"""


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "engine", [pytest.param(engine, marks=pytest.mark.long if engine in ("ray", "dask") else ()) for engine in ENGINES]
)
def test_stages_may_be_in_a_module_that_imports_the_original(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    more: dict[str, Any] = {"HOLDFAST_STORE": str(tmp_path / "data")}
    if engine == "ray":  # a Dask cluster is started, as the module has to be where its workers are
        more |= request.getfixturevalue("ray_cluster").environment
    Path("stages.py").write_text(STAGES)
    Path("main.py").write_text(MAIN)
    assert python("-m", "holdfast.compat", "flowdapt", "main.py", engine, seconds=200, **more).stdout == "18\n"
