"""A store, and the three memories that it can have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import holdfast

from ..clusters.dask_cluster import dask_client, dask_cluster  # noqa: F401
from ..clusters.ray_cluster import ray_cluster, ray_driver  # noqa: F401

MEMORIES = ("local", "ray", "dask")
_NEEDS = {"ray": "ray_driver", "dask": "dask_client"}


@pytest.fixture(params=MEMORIES)
def memory(request: pytest.FixtureRequest) -> str:
    """The name of a memory that is there."""
    if request.param in _NEEDS:
        request.getfixturevalue(_NEEDS[request.param])
    return str(request.param)


@pytest.fixture
def store(memory: str, tmp_path: Path) -> Iterator[holdfast.Store]:
    """A store whose memory that is."""
    with holdfast.open(tmp_path / "data", memory=memory) as store:
        yield store


@pytest.fixture
def scope(store: holdfast.Store) -> holdfast.Scope:
    """A scope of it."""
    return store.namespace("prod").workflow("forecast")
