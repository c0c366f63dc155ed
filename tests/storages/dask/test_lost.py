"""Workers that are killed or too small, and schedulers that are gone: told at once, and by what happened."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from holdfast.errors import StorageFullError, StoreError, ValueLost
from holdfast.storages.dask import DaskMemory

from ...clusters.dask_cluster import DaskCluster, settings
from .pieces import in_python, pattern, put, viewed

MB = 1 << 20


@pytest.fixture(scope="module")
def small() -> Iterator[DaskCluster]:
    """A cluster of these tests alone: two workers of 500 MB each."""
    with settings(), DaskCluster(memory=500 * MB) as cluster:
        yield cluster


def test_a_worker_killed_with_the_only_copy(small: DaskCluster) -> None:
    memory = DaskMemory("a-store")
    with small.client() as client:
        configs = [put(memory, pattern(number)) for number in range(8)]
        killed = configs[0].rpartition("@")[2]
        os.kill(client.run(os.getpid, workers=[killed])[killed], signal.SIGKILL)
        begun = time.monotonic()
        with pytest.raises(ValueLost, match="killed") as caught:
            memory.read(configs[0])
        assert killed in str(caught.value)
        assert time.monotonic() - begun < 10
        lost = [config for config in configs if config.endswith("@" + killed)]
        assert memory.sync(configs) == [config not in lost for config in configs]
        for config in set(configs) - set(lost):
            assert viewed(memory, config) == pattern(configs.index(config))
        memory.delete_many(configs)
        again = put(memory, pattern(9))
        assert viewed(memory, again) == pattern(9)
        assert memory.alive(memory.session()), "the session is the scheduler's"


def test_workers_that_are_too_small(small: DaskCluster) -> None:
    memory = DaskMemory("a-store")
    with small.client():
        with pytest.raises(StorageFullError, match="memory_limit"):
            put(memory, bytes(600 * MB))
        config = put(memory, bytes(16 * MB))
        assert memory.sync([config]) == [True], "what was refused took the place of what is not"


@pytest.mark.long
def test_more_than_a_worker_has_memory_for() -> None:
    """It spills to its disk, or says that it is full, and does not end by it."""
    memory = DaskMemory("a-store")
    with settings(), DaskCluster(workers=1, memory=800 * MB) as cluster, cluster.client() as client:
        pieces = [pattern(number, 1000) * 15_000 for number in range(60)]
        configs = [put(memory, piece) for piece in pieces]
        assert sum(client.run(lambda dask_worker: len(dask_worker.data.slow)).values()) > 0
        for config, piece in zip(configs, pieces, strict=True):
            assert viewed(memory, config, len(piece)) == piece
        with pytest.raises(StorageFullError):
            configs.extend(put(memory, bytes(150 * MB + number)) for number in range(4))
        assert memory.sync(configs) == [True] * len(configs)


@pytest.mark.long
def test_a_scheduler_that_is_gone(dask_cluster: DaskCluster) -> None:
    memory = DaskMemory("a-store")
    with DaskCluster(workers=1) as first:
        client = first.client()
        try:
            import dask.array as da

            config, kept, session = put(memory, b"gone"), memory.keep(da.ones(3)), memory.session()
            assert memory.alive(session)
            lives = "import sys; print(DaskMemory('').alive(sys.argv[1]))"
            assert in_python(lives, session) == "True"
            first.kill()
            time.sleep(1.1)  # what was known is known for a second
            assert not memory.alive(session)
            assert in_python(lives, session) == "False"
            for verb in (lambda: memory.read(config), lambda: memory.fetch(kept), lambda: put(memory, b"more")):
                begun = time.monotonic()
                with pytest.raises((StoreError, ValueLost), match=r"ended|closed"):
                    verb()
                assert time.monotonic() - begun < 10
        finally:
            client.close(timeout=1)
        with pytest.raises((StoreError, ValueLost)):
            memory.read(config)
        with dask_cluster.client():
            assert not memory.alive(session)
            assert not DaskMemory("a-store").alive(session)
            with pytest.raises(ValueLost, match="ended with its Dask scheduler"):
                memory.read(config)
            memory.delete(config)
            assert memory.sync([config, kept]) == [False, False]
            assert memory.session() != session
            assert memory.read(put(memory, b"anew")) == b"anew"


def test_a_worker_that_hangs_is_not_waited_for(small: DaskCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.storages.dask.connection.TIMEOUT", 2.0)
    memory = DaskMemory("a-store")
    with small.client() as client:
        config = put(memory, pattern(1))
        holder = config.rpartition("@")[2]
        process = client.run(os.getpid, workers=[holder])[holder]
        os.kill(process, signal.SIGSTOP)
        try:
            with pytest.raises(StoreError, match="within 2 seconds"):
                memory.read(config)
        finally:
            os.kill(process, signal.SIGCONT)
        assert viewed(memory, config) == pattern(1)


def test_a_worker_that_is_retired_gives_its_bytes_to_others(small: DaskCluster) -> None:
    memory = DaskMemory("a-store")
    with small.client() as client:
        config = put(memory, pattern(1))
        client.retire_workers([config.rpartition("@")[2]])
        assert viewed(memory, config) == pattern(1)
