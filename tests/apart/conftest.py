"""Stores whose bytes are files, or in a bucket, and an environment that names none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import holdfast

from ..clusters.dask_cluster import dask_client, dask_cluster  # noqa: F401
from ..kernel.places import opener_of, set_keys


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("HOLDFAST_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("no_proxy", "*")  # the servers of the tests are on this machine
    monkeypatch.chdir(tmp_path)
    set_keys(monkeypatch)


@pytest.fixture(params=["sqlite+files", "sqlite+s3", "service+files"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[holdfast.Store]:
    with opener_of(request.param, request)(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def files(tmp_path: Path) -> Iterator[holdfast.Store]:
    with holdfast.open(tmp_path / "data") as opened:
        yield opened
