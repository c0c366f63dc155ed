from __future__ import annotations

import secrets

import pytest

from holdfast.storages.ray import RayMemory

from ...clusters.ray_cluster import ray_cluster, ray_driver

__all__ = ["ray_cluster", "ray_driver"]


@pytest.fixture(scope="module")
def shared(ray_driver):
    """The id of one store for the tests of a module: each of its own would start a keeper."""
    return secrets.token_hex(8)


@pytest.fixture
def memory(shared):
    memory = RayMemory(shared)
    yield memory
    memory.close()
