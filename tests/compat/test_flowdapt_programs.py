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

QUICK = {("threads", "changed"), ("processes", "unmodified"), ("ray", "unmodified"), ("dask", "changed")}


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
