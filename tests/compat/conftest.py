"""A store in a folder of the test's own, and an environment that names none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import holdfast

from ..clusters.dask_cluster import dask_cluster  # noqa: F401
from ..clusters.ray_cluster import ray_cluster, ray_driver  # noqa: F401
from .flowdapt_engines import engine  # noqa: F401
from .functionfuse_backends import backend, place  # noqa: F401


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("HOLDFAST_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("no_proxy", "*")  # the servers of the tests are on this machine
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[holdfast.Store]:
    with holdfast.open(tmp_path / "data") as opened:
        yield opened
