"""What is put by one process of a cluster is there for all of them."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from holdfast.errors import ClosedError, StoreError, ValueLost
from holdfast.storages.dask import DaskMemory, connect
from holdfast.storages.dask.writing import PART

from ...clusters.dask_cluster import DaskCluster
from .pieces import delete_here, in_python, pattern, put, put_here, read_here, session_here, viewed


@pytest.fixture
def memory(dask_client: Any) -> DaskMemory:
    return DaskMemory("a-store")


def test_every_process_is_in_one_session(dask_client: Any, dask_cluster: DaskCluster, memory: DaskMemory) -> None:
    session = memory.session()
    assert session.isascii()
    assert " " not in session
    assert len(session) <= 200
    theirs = dask_client.gather(dask_client.map(lambda _: session_here(), range(4), pure=False))
    other = in_python("print(session_here())", DASK_SCHEDULER_ADDRESS=dask_cluster.address)
    assert {session} == {*theirs, other}


def test_workers_read_what_a_client_put(dask_client: Any, memory: DaskMemory) -> None:
    config = put(memory, pattern(1))
    for worker in dask_client.scheduler_info()["workers"]:
        assert dask_client.submit(read_here, config, workers=[worker], pure=False).result() == pattern(1)


def test_a_client_and_other_workers_read_what_a_task_put(dask_client: Any, memory: DaskMemory) -> None:
    first, second = dask_client.scheduler_info()["workers"]
    config = dask_client.submit(put_here, 2, workers=[first], pure=False).result()
    assert config.endswith("@" + first), "a task's bytes are not on its own worker"
    assert viewed(memory, config) == pattern(2)
    assert dask_client.submit(read_here, config, workers=[second], pure=False).result() == pattern(2)
    dask_client.submit(delete_here, config, workers=[second], pure=False).result()
    with pytest.raises(ValueLost):
        memory.read(config)


def test_another_clients_process(dask_cluster: DaskCluster, memory: DaskMemory) -> None:
    config = put(memory, pattern(3))
    code = "import sys; assert read_here(sys.argv[1]) == pattern(3); print(put_here(4))"
    theirs = in_python(code, config, DASK_SCHEDULER_ADDRESS=dask_cluster.address)
    assert memory.read(theirs) == pattern(4), "what a client put must outlive it"


def test_bytes_survive_the_client_that_put_them(dask_cluster: DaskCluster, memory: DaskMemory) -> None:
    with dask_cluster.client(set_as_default=False) as other, other.as_current():
        config = put(memory, pattern(5))
    assert viewed(memory, config) == pattern(5)


def test_a_worker_reads_its_own_without_a_copy(dask_client: Any) -> None:
    def task() -> None:
        import numpy as np
        from distributed import get_worker

        array = np.arange(100_000.0)
        memory = DaskMemory("a-store")
        config = put(memory, b"head", array.data.cast("B"))
        array[:] = 0  # the writer's own
        mine: Any
        (mine,) = [piece for key, piece in get_worker().data.items() if config.partition("/")[2][:32] in str(key)]
        head, body = memory.view(config, 800_004)
        assert bytes(head) == b"head"
        assert memoryview(body).readonly
        seen = np.frombuffer(body)
        assert np.shares_memory(seen, np.frombuffer(mine.buffers[1]))
        assert (seen == np.arange(100_000.0)).all()

    dask_client.submit(task, pure=False).result()


@pytest.mark.parametrize("size", [1_000, 100_000, 3_000_000, 80_000_000])
def test_what_came_from_another_process_is_ones_own(memory: DaskMemory, size: int) -> None:
    """Writable, and aligned, however Dask puts it together: it joins small buffers and cuts large ones."""
    import numpy as np

    values = np.arange(size // 8, dtype=np.float64)
    written: list[Any] = [b"an odd head", values.data.cast("B"), b"tail", bytes(values[:50_000].data)]
    config = put(memory, *written)
    total = sum(map(len, written))
    buffers = memory.view(config, total)
    assert b"".join(buffers) == b"".join(written)
    for buffer in buffers:
        array = np.frombuffer(buffer, np.uint8)
        if len(buffer) >= 65536:
            assert array.ctypes.data % 16 == 0, "arrays over it are not aligned"
        array[:] = 0
    assert b"".join(memory.view(config, total)) == b"".join(written), "a reader changed what others read"
    with pytest.raises(ValueLost, match="not 5"):
        memory.view(config, 5)
    memory.delete(config)


def test_nothing_at_all_is_a_value(dask_client: Any, memory: DaskMemory) -> None:
    config = put(memory)
    assert memory.view(config, 0) == []
    assert dask_client.submit(read_here, config, pure=False).result() == b""
    assert memory.sync([config]) == [True]


def test_two_clients_and_many_threads(dask_cluster: DaskCluster, memory: DaskMemory) -> None:
    failures: list[BaseException] = []
    written: list[tuple[str, int]] = []

    def work(client: Any, thread: int) -> None:
        try:
            with client.as_current():
                mine = DaskMemory("a-store")
                for number in range(10):
                    seed = thread * 100 + number
                    written.append((put(mine, pattern(seed)), seed))
                    config, seed = written[(seed * 7) % len(written)]
                    assert viewed(mine, config) == pattern(seed)
        except BaseException as error:
            failures.append(error)

    with dask_cluster.client(set_as_default=False) as one, dask_cluster.client(set_as_default=False) as two:
        threads = [threading.Thread(target=work, args=((one, two)[number % 2], number)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    configs = [config for config, _ in written]
    assert len(set(configs)) == 60
    assert memory.sync(configs) == [True] * 60
    memory.delete_many(configs)
    assert memory.sync(configs) == [False] * 60


def test_threads_of_a_task_use_its_cluster(dask_client: Any, memory: DaskMemory) -> None:
    def task() -> str:
        configs: list[str] = []
        thread = threading.Thread(target=lambda: configs.append(put_here(6)))
        thread.start()
        thread.join()
        return configs[0]

    assert viewed(memory, dask_client.submit(task, pure=False).result()) == pattern(6)


def test_through_the_scheduler_where_workers_cannot_be_reached(dask_cluster: DaskCluster, memory: DaskMemory) -> None:
    with (
        dask_cluster.client(set_as_default=False, direct_to_workers=False) as outside,
        outside.as_current(),
    ):
        config = put(memory, pattern(7))
        assert viewed(memory, config) == pattern(7)
        assert not set(outside.rpc.available) - {dask_cluster.address}, "it talked to a worker"
    assert viewed(memory, config) == pattern(7)


def test_a_network_that_does_not_lead_to_the_workers(
    dask_cluster: DaskCluster, memory: DaskMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is found once, and then all goes through the scheduler."""
    asked: list[str] = []
    monkeypatch.setattr("holdfast.storages.dask.cluster.listens", asked.append)
    with dask_cluster.client(set_as_default=False) as outside, outside.as_current():
        config = put(memory, pattern(11))
        assert viewed(memory, config) == pattern(11)
        assert not set(outside.rpc.available) - {dask_cluster.address}, "it talked to a worker"
    assert len(asked) == 1


# --- streams ---------------------------------------------------------------------------------------------------------


def test_a_stream_in_parts(memory: DaskMemory) -> None:
    data = pattern(8, 2 * PART + 1000)
    with memory.writer({}) as writer:
        for start in range(0, len(data), 5_000_000):
            writer.write(data[start : start + 5_000_000])
        config = writer.commit(lambda: (0, b""))
    assert memory.read(config) == data
    for offset, length in ((0, None), (PART - 5, 10), (PART, PART), (2 * PART + 999, None), (len(data), None), (3, 5)):
        end = None if length is None else offset + length
        assert b"".join(memory.read_stream(config, offset, length)) == data[offset:end]
    stream = memory.read_stream(config)
    first = next(stream)
    memory.delete(config)
    assert first + b"".join(stream) == data, "who reads may finish"
    assert memory.sync([config]) == [False]
    with pytest.raises(ValueLost):
        memory.read(config)


def test_an_aborted_stream_leaves_nothing(dask_client: Any, memory: DaskMemory) -> None:
    def ours() -> set[str]:
        return {key for keys in dask_client.has_what().values() for key in keys if str(key).startswith("holdfast-")}

    before = ours()
    writer = memory.writer({})
    writer.write(bytes(PART + 1))
    assert len(ours() - before) == 1
    writer.abort()
    assert ours() == before
    with pytest.raises(ClosedError):
        writer.write(b"more")


# --- clients of other kinds ------------------------------------------------------------------------------------------


def _kept(memory: DaskMemory) -> Any:
    import dask.array as da

    return memory.keep(da.ones(3))


def test_an_asynchronous_task(dask_client: Any, memory: DaskMemory) -> None:
    """Its loop is the worker's own."""

    async def task() -> bytes:
        with pytest.raises(StoreError, match="to_thread"):
            put_here(12)
        config = await asyncio.to_thread(put_here, 12)
        return await asyncio.to_thread(read_here, config)

    assert dask_client.submit(task, pure=False).result() == pattern(12)


def test_an_asynchronous_client(dask_cluster: DaskCluster) -> None:
    """It is used from threads; on its own loop it is told that it would wait for itself."""

    async def program() -> None:
        async with dask_cluster.client(asynchronous=True):
            memory = DaskMemory("a-store")
            config = await asyncio.to_thread(put, memory, pattern(9))
            assert await asyncio.to_thread(viewed, memory, config) == pattern(9)
            with pytest.raises(StoreError, match="to_thread"):
                memory.read(config)
            collection = await asyncio.to_thread(_kept, memory)
            assert (await asyncio.to_thread(memory.fetch, collection)).shape == (3,)
            with pytest.raises(StoreError, match="to_thread"):
                memory.fetch(collection)
            assert memory.alive(memory_session)

    memory_session = in_python("print(session_here())", DASK_SCHEDULER_ADDRESS=dask_cluster.address)
    asyncio.run(program())


def test_a_named_scheduler(dask_cluster: DaskCluster) -> None:
    memory = DaskMemory("a-store")
    connect(dask_cluster.address)
    try:
        config = put(memory, pattern(10))
        assert viewed(memory, config) == pattern(10)
        memory.close()
        assert memory.read(config) == pattern(10), "it connects again when it is used again"
    finally:
        connect(None)
        memory.close()
    with pytest.raises(StoreError, match="no Dask cluster"):
        memory.read(config)
