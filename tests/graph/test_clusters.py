"""The same graphs on Ray and on Dask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

import holdfast
from holdfast import executors
from holdfast.errors import ClosedError, StoreError, TaskFailed, TaskLost

from ..clusters.dask_cluster import DaskCluster, dask_client, dask_cluster, settings  # noqa: F401
from ..clusters.ray_cluster import ray_cluster, ray_driver  # noqa: F401
from .samples import Tally, add, boom, current_scope, forever, inner, plain, ran, size, sleepy, table, total

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(params=["ray", "dask"])
def cluster(request: pytest.FixtureRequest) -> Iterator[executors.Executor]:
    request.getfixturevalue({"ray": "ray_driver", "dask": "dask_client"}[request.param])
    with executors.open(request.param) as executor:
        yield executor


def graph(log: Path) -> Any:
    tally: Any = Tally(log)
    raw = table(20_000)
    both = total({"these": [add(1, 2, log), tally.add(4)]}, log, scale=tally.add(1))
    return both, size(raw)[0], current_scope(), raw


def test_a_graph_on_a_cluster(
    scope: holdfast.Scope, cluster: executors.Executor, threads: executors.Executor, log: Path
) -> None:
    both, summed, where, array = scope.run(*graph(log), executor=cluster)
    assert (both, summed, where) == (35, 200_000 * 199_999 / 2, str(scope))
    assert numpy.array_equal(array, numpy.arange(200_000.0).reshape(20_000, 10))
    lines = len(ran(log))
    again = scope.run(*graph(log)[:3], executor=threads)  # what a cluster stored is found without it
    assert again == [both, summed, where]
    assert len(ran(log)) == lines
    (left,) = scope.run(size(table.using(keep=False)(30_000))[0], executor=cluster, reuse=None)
    assert left == 300_000 * 299_999 / 2
    with pytest.raises(TaskFailed) as caught:
        scope.run(plain(boom(log)), plain(3), executor=cluster)
    assert "samples.py" in str(caught.value.failures["boom_0001"].__cause__)
    assert caught.value.skipped == ("plain_0001",)


@pytest.mark.parametrize(
    "engine, driver", [pytest.param("ray", "ray_driver", marks=pytest.mark.long), ("dask", "dask_client")]
)
def test_nodes_may_run_graphs_on_their_own_cluster(
    scope: holdfast.Scope, engine: str, driver: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(driver)
    nodes = [inner(count, engine) for count in range(1, 4)]  # more than the cluster has places
    with executors.open(engine) as cluster:
        assert scope.run(*nodes, executor=cluster) == [[0], [0, 1], [0, 1, 2]]


@pytest.mark.long
def test_a_cluster_that_goes_away_in_the_middle(scope: holdfast.Scope, threads: executors.Executor, log: Path) -> None:
    def kill(status: Any) -> None:
        if ran(log):
            doomed.kill()

    nodes = [add(sleepy(1.0, log, number), number, log) for number in range(4)]
    with (
        settings(),
        DaskCluster(workers=1) as doomed,
        executors.open("dask", address=doomed.address) as executor,
        pytest.raises(TaskFailed) as caught,
    ):
        scope.run(*nodes, executor=executor, progress=kill)
    assert {type(error) for error in caught.value.failures.values()} <= {TaskLost, StoreError, ClosedError}
    assert scope.runs.get("latest").state == "failed"
    assert scope.run(*nodes, executor=threads) == [1.0, 2.0, 3.0, 4.0]


def test_time_is_over_on_a_cluster(scope: holdfast.Scope, ray_driver: Any) -> None:  # noqa: F811
    with executors.open("ray") as cluster, pytest.raises(TaskFailed, match="has not ended within 1 s"):
        scope.run(forever().set(timeout=1), executor=cluster)
