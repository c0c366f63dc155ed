"""Pieces shared by the processes of a Ray cluster: who finds them, and whose end they outlive."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from holdfast.errors import StorageFullError, ValueLost
from holdfast.storages.ray import RayMemory

from .writing import get, no_digest, put

BIG = 40 << 20


def pattern(size, seed=0):
    return hashlib.shake_128(b"%d" % seed).digest(1 << 20) * (size >> 20)


def keeper(ray, store):
    return ray.get_actor(f"memory-{store}", namespace="holdfast")


@pytest.mark.parametrize("size", [0, 1, 1000, 64 << 10, 100_000, 1 << 20])
def test_a_task_reads_what_the_driver_wrote_and_the_driver_what_it_wrote(ray_driver, shared, memory, size):
    data = os.urandom(size)
    config = put(memory, data)

    @ray_driver.remote(num_cpus=0)
    def task(config):
        there = RayMemory(shared)
        return get(there, config), put(there, data[::-1]), there.session()

    seen, theirs, session = ray_driver.get(task.remote(config))
    assert seen == data
    assert get(memory, theirs) == data[::-1]
    assert session == memory.session()


def test_actors_share_too_and_async_ones(ray_driver, shared, memory):
    class Plain:
        def work(self, config):
            there = RayMemory(shared)
            return put(there, get(there, config) + b" plain")

    class Asynchronous:
        async def work(self, config):
            there = RayMemory(shared)
            return put(there, get(there, config) + b" async")

    config = put(memory, b"driver")
    for kind in (Plain, Asynchronous):
        actor = ray_driver.remote(num_cpus=0)(kind).remote()
        config = ray_driver.get(actor.work.remote(config))
    assert get(memory, config) == b"driver plain async"


PROGRAM = """
import json, sys
from holdfast.storages.ray import RayMemory
from holdfast.payload import Payload
store, config, size = sys.argv[1:]
memory = RayMemory(store)
read = bytes(memory.read(config)).decode()
theirs = [memory.write(Payload([b"b" * length], ""), lambda: (0, b""), {}) for length in (10, int(size))]
print(json.dumps([read, memory.session(), theirs, memory.alive(memory.session())]))
"""


def other_driver(cluster, *arguments, program=PROGRAM, environment=None):
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, **cluster.environment, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_another_driver_joins_by_itself_and_what_it_wrote_outlives_it(ray_cluster, shared, memory):
    config = put(memory, b"from the first")
    done = other_driver(ray_cluster, shared, config, str(BIG))
    assert done.returncode == 0, done.stderr
    read, session, theirs, alive = json.loads(done.stdout)
    assert (read, session, alive) == ("from the first", memory.session(), True)
    assert [get(memory, config) for config in theirs] == [b"b" * 10, b"b" * BIG]


def test_pieces_outlive_the_worker_that_put_them(ray_driver, shared, memory, tmp_path):
    """Killed the moment it has its configs; and then Ray's store is used for other things."""
    sizes = [10, 200_000, BIG]

    @ray_driver.remote(num_cpus=0, max_retries=0)
    def killed(path):
        there = RayMemory(shared)
        configs = [put(there, b"k" * size) for size in sizes]
        with open(path, "w") as file:
            json.dump(configs, file)
        os.kill(os.getpid(), 9)

    with pytest.raises(ray_driver.exceptions.WorkerCrashedError):
        ray_driver.get(killed.remote(str(tmp_path / "configs")))
    configs = json.loads((tmp_path / "configs").read_text())
    assert [get(memory, config) for config in configs] == [b"k" * size for size in sizes]
    time.sleep(1)
    others = [ray_driver.put(b"o" * BIG) for _ in range(3)]
    assert [get(memory, config) for config in configs] == [b"k" * size for size in sizes]

    @ray_driver.remote(num_cpus=0)
    def read():
        return [get(RayMemory(shared), config) == b"k" * size for config, size in zip(configs, sizes, strict=True)]

    assert ray_driver.get(read.remote()) == [True] * 3
    assert memory.sync(configs) == [True] * 3
    del others


def test_the_keeper_puts_again_what_ray_does_not_give(ray_driver, shared, memory):
    """As for a reader on another node, once the process has ended that put it."""
    data = pattern(BIG, 1)
    config = put(memory, data)
    mine = memory.view(config, BIG)
    name = config.rpartition("/")[2]
    refs = ray_driver.get(keeper(ray_driver, shared).own.remote(name))
    assert b"".join(ray_driver.get(refs[0])) == data
    assert ray_driver.get(keeper(ray_driver, shared).own.remote(name)) == refs, "it was put a second time"
    assert get(memory, config) == data
    assert b"".join(mine) == data
    memory.delete(config)
    assert ray_driver.get(keeper(ray_driver, shared).own.remote(name)) is None


def test_reading_copies_nothing(ray_driver, shared, memory):
    import numpy as np

    data = np.arange(BIG // 8)
    config = put(memory, b"in band", data.data.cast("B"), b"a", b"b")
    first, second = memory.view(config, BIG + 9), memory.view(config, BIG + 9)
    assert [bytes(first[0]), bytes(first[2])] == [b"in band", b"ab"]
    places = []
    for view in (first[1], second[1]):
        array = np.frombuffer(view, dtype=data.dtype)
        assert array.tolist()[::100_000] == data.tolist()[::100_000]
        assert not array.flags.writeable
        places.append(array.__array_interface__["data"][0])
    assert places[0] == places[1], "two views have memory of their own"
    assert places[0] % 64 == 0
    with open("/proc/self/maps") as file:
        spans = [line.split(maxsplit=5) for line in file]
    [name] = [
        fields[5].strip()
        for fields in spans
        if int(fields[0].partition("-")[0], 16) <= places[0] < int(fields[0].partition("-")[2], 16)
    ]
    assert "plasma" in name, f"the bytes lie in {name}, not in Ray's store"


def test_a_view_stays_after_its_piece(memory):
    data = pattern(BIG, 2)
    config = put(memory, data)
    [view] = memory.view(config, BIG)
    memory.delete(config)
    for number in range(8):  # as much as the store has
        memory.delete(put(memory, pattern(BIG, number)))
    assert bytes(view) == data


def test_a_view_of_another_size_is_lost(memory):
    config = put(memory, b"12345")
    with pytest.raises(ValueLost, match="5 bytes and not 6"):
        memory.view(config, 6)


def test_what_is_deleted_makes_room(memory):
    big = pattern(200 << 20)
    for _ in range(6):  # twice what the store has
        memory.delete(put(memory, big))


def test_no_room_is_told_and_nothing_stays(ray_driver):
    memory = RayMemory("small", size=3 << 20)
    kept = put(memory, b"k" * (1 << 20))
    for size in (3 << 20, 100 << 20):
        with pytest.raises(StorageFullError, match=f"no room for {size} bytes"):
            put(memory, b"x" * size)
    with memory.writer({}) as writer:
        writer.write(b"x" * (4 << 20))
        with pytest.raises(StorageFullError):
            writer.commit(no_digest)
    other = put(memory, b"o" * (2 << 20))
    with pytest.raises(StorageFullError):
        put(memory, b"x")
    memory.delete(kept)
    assert get(memory, put(memory, b"x")) == b"x"
    assert get(memory, other) == b"o" * (2 << 20)


def test_more_than_the_node_has_is_refused_before_it_is_put(memory):
    with pytest.raises(StorageFullError, match="object_store_memory"):
        put(memory, bytes(500 << 20))


def test_several_begin_the_keeper_at_once(ray_driver):
    """Processes, and threads of one."""

    @ray_driver.remote(num_cpus=0)
    def work():
        there = RayMemory("raced")
        return there.session(), put(there, b"mine")

    refs = [work.remote() for _ in range(3)]
    memory = RayMemory("raced")
    ours = []
    threads = [threading.Thread(target=lambda: ours.append(memory.session())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sessions, configs = zip(*ray_driver.get(refs), strict=True)
    assert len(ours) == 6
    assert {*sessions, *ours} == {memory.session()}
    assert len(set(configs)) == 3
    assert [get(memory, config) for config in configs] == [b"mine"] * 3


def test_many_are_deleted_in_one_call(memory):
    configs = [put(memory, b"%d" % number) for number in range(150)]
    start = time.monotonic()
    memory.delete_many(configs)
    assert time.monotonic() - start < 2
    assert memory.sync(configs) == [False] * 150
    memory.delete_many(configs)
