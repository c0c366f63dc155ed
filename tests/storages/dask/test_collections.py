"""Dask's own collections stay distributed and lazy."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.errors import EncodeError, InvalidArgumentError, ValueLost
from holdfast.storages.dask import DaskMemory

from ...clusters.dask_cluster import DaskCluster
from .pieces import put


@pytest.fixture
def memory(dask_client: Any) -> DaskMemory:
    return DaskMemory("a-store")


def _where(number: int) -> int:
    """A part of a collection, which is the process that it was computed in."""
    import os

    return os.getpid() + 0 * number


def test_an_array(memory: DaskMemory, dask_client: Any, dask_cluster: DaskCluster) -> None:
    import dask.array as da
    import numpy as np

    array = da.arange(1000, chunks=100) ** 2
    config = memory.keep(array)
    assert config is not None
    assert memory.sync([config]) == [True]
    with dask_cluster.client(set_as_default=False) as other, other.as_current():
        found = memory.fetch(config)
        assert type(found) is da.Array
        assert found.dask, "it came computed"
        assert (found.shape, found.chunks, found.dtype) == (array.shape, array.chunks, array.dtype)
        assert int((found + 1).sum().compute()) == int((np.arange(1000) ** 2 + 1).sum())
    memory.delete(config)
    memory.delete(config)
    assert memory.sync([config]) == [False]
    with pytest.raises(ValueLost):
        memory.fetch(config)


def test_a_frame(memory: DaskMemory, dask_client: Any) -> None:
    import dask.dataframe as dd
    import pandas as pd

    frame = pd.DataFrame({"n": range(100), "text": [f"t{number}" for number in range(100)]})
    config = memory.keep(dd.from_pandas(frame, npartitions=4))
    found = memory.fetch(config)
    assert isinstance(found, dd.DataFrame)
    assert found.npartitions == 4
    pd.testing.assert_frame_equal(found.compute(), frame, check_dtype=False)


def test_the_workers_compute_it_and_nobody_else(memory: DaskMemory, dask_client: Any) -> None:
    import os

    from dask.delayed import delayed

    processes = set(dask_client.run(os.getpid).values())
    config = memory.keep(delayed(_where)(1, dask_key_name="where-it-was"))
    first = memory.fetch(config).compute()
    assert first in processes
    assert memory.fetch(config).compute() == first, "it was computed a second time"
    memory.delete(config)


def test_a_task_keeps_one_and_its_worker_may_end(dask_client: Any, memory: DaskMemory) -> None:
    def task() -> Any:
        import dask.array as da

        return DaskMemory("a-store").keep(da.ones(50, chunks=10))

    def another(config: str) -> float:
        return float(DaskMemory("a-store").fetch(config).shape[0])

    config = dask_client.submit(task, pure=False).result()
    assert dask_client.submit(another, config, pure=False).result() == 50
    assert float(memory.fetch(config).sum().compute()) == 50


def test_other_values_are_not_kept_so(memory: DaskMemory) -> None:
    for value in (0, "", None, [1], {"a": 1}, object()):
        assert memory.keep(value) is None


def test_bytes_and_collections_are_not_confused(memory: DaskMemory) -> None:
    import dask.array as da

    collection, piece = memory.keep(da.ones(3)), put(memory, b"abc")
    for verb in (memory.read, memory.read_stream, lambda config: memory.view(config, 3)):
        with pytest.raises(InvalidArgumentError, match="fetch"):
            verb(collection)
    with pytest.raises(InvalidArgumentError, match="read"):
        memory.fetch(piece)
    with pytest.raises(InvalidArgumentError):
        memory.fetch("anything")
    memory.delete_many([collection, piece])
    assert memory.sync([collection, piece]) == [False, False]


def test_a_collection_that_cannot_be_sent(memory: DaskMemory) -> None:
    import threading

    from dask.delayed import delayed

    with pytest.raises(EncodeError, match="cannot be sent"):
        memory.keep(delayed(len)(threading.Lock()))
