"""The executors that whole classes of tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from holdfast.executors import Executor

from ..clusters.ray_cluster import ray_cluster

__all__ = ["executor", "ray_cluster"]


@pytest.fixture(scope="class")
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """One for all tests of a suite."""
    found: Executor = request.cls.first(request)
    yield found
    found.close(cancel=True)
