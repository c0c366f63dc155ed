"""The published samples as one program: with its imports changed, and unmodified by ``python -m holdfast.compat``."""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.compat import faces

from .jobs import python

PROGRAM = Path(__file__).with_name("functionfuse_program.txt").read_text()

_numbers = count()

QUICK = {("local", "S3", "unmodified"), ("ray", "file", "changed")}


def test_it_is_one_of_the_faces() -> None:
    assert "functionfuse" in faces()


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "backend, kind, how",
    [
        pytest.param(*case, marks=() if case in QUICK else pytest.mark.long)
        for case in (
            (backend, kind, how)
            for backend in ("local", "ray")
            for kind in ("file", "S3", "ray")
            for how in ("changed", "unmodified")
        )
    ],
)
def test_the_published_samples_run_as_one_program(
    backend: str, kind: str, how: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    more: dict[str, Any] = {}
    options: dict[str, Any] = {"path": "storage"}
    if kind == "ray":
        options = {
            "path": str(tmp_path / "storage"),
            "remoteArgs": {"num_cpus": 0.5},
            "rayInitArgs": {"log_to_driver": False},
        }
    if kind == "S3":
        keys = {"key": "tester", "secret": "of-no-worth", "endpoint_url": request.getfixturevalue("s3_endpoint")}
        options = {"path": f"/bucket/program{next(_numbers)}-{tmp_path.parent.parent.name}", "s3fs": keys}
        more = {"HOLDFAST_STORE": str(tmp_path / "catalog"), "HOLDFAST_CACHE": str(tmp_path / "copies")}
    if "ray" in (backend, kind):
        more |= request.getfixturevalue("ray_cluster").environment
    changed = re.sub(r"^(\s*)from functionfuse", r"\1from holdfast.compat.functionfuse", PROGRAM, flags=re.MULTILINE)
    Path("program.py").write_text(changed if how == "changed" else PROGRAM)
    begin = [] if how == "changed" else ["-m", "holdfast.compat", "functionfuse"]

    def run() -> list[str]:
        opt = repr({"kind": kind, "options": options})
        return python(*begin, "program.py", backend, opt, seconds=200, **more).stdout.splitlines()

    told = [
        "All graph node names:  ['node1', 'node2']",
        "3",
        "['s3 protocol']" if kind == "S3" else "['file_protocol']",
        "4999950000",
        "dask.array.core 10000 99999",
    ]
    assert run() == [*(["sum", "sum"] if backend == "local" else []), *told]
    if backend == "local" or kind == "ray":
        assert run() == told  # nothing is run again
    if kind == "file":
        with holdfast.open("storage", create=False) as store:  # what it is to Holdfast
            assert store.workflow("operations").get("node2") == 3


NODES = """
from functionfuse import workflow

class Model:
    def __init__(self, weights):
        self.weights = weights

@workflow
def train(weights):
    return Model(weights)

@workflow
def predict(model):
    return sum(model.weights)

@workflow
class Counter:
    def __init__(self, start):
        self.total = start

    def add(self, number):
        self.total += number
        return self.total
"""

MAIN = """
from functionfuse.backends.builtin.rayback import RayWorkflow
from functionfuse.storage import storage_factory
from nodes import Counter, predict, train

predicted = predict(train([1, 2, 3]).set_name("model")).set_name("predicted")
counter = Counter(10)
forecast = RayWorkflow(predicted, counter.add(predicted), workflow_name="forecast")
storage = storage_factory({"kind": "file", "options": {"path": "storage"}})
forecast.set_storage(storage)
print(forecast.run(return_results=True), storage.read_task("forecast", "model").weights)
"""


def test_nodes_may_be_in_a_module_that_imports_the_original(ray_cluster: Any) -> None:
    Path("nodes.py").write_text(NODES)
    Path("main.py").write_text(MAIN)
    more: dict[str, Any] = ray_cluster.environment
    assert python("-m", "holdfast.compat", "functionfuse", "main.py", **more).stdout == "[6, 16] [1, 2, 3]\n"
