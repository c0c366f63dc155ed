"""Two nodes: where pieces lie, what goes with a node, and what with the cluster."""

from __future__ import annotations

import os
import time

import pytest

from holdfast.errors import StoreError, ValueLost
from holdfast.storages.ray import RayMemory

from ...clusters.ray_cluster import RayCluster
from .writing import get, put

STORE = "nodes"
BIG = 20 << 20

pytestmark = pytest.mark.long


@pytest.fixture
def two_nodes(monkeypatch):
    with RayCluster(cpus=2, memory=200 << 20, others=1) as cluster:
        ray = cluster.connect(monkeypatch)
        yield cluster
        ray.shutdown()


def elsewhere(ray, work):
    """What a function gives on the node that is not this one; in a process that is killed then if it gives ``kill``."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = ray.get_runtime_context().get_node_id()
    [there] = [node["NodeID"] for node in ray.nodes() if node["NodeID"] != here]
    strategy = NodeAffinitySchedulingStrategy(there, soft=False)
    return ray.get(ray.remote(num_cpus=0, max_retries=0)(work).options(scheduling_strategy=strategy).remote())


def ended(ray, actor):
    """Whether an actor that was killed has ended, which takes a moment."""
    try:
        ray.get(actor.room.remote(), timeout=10)
    except ray.exceptions.RayActorError:
        return True
    return False


def test_pieces_end_with_their_node_and_all_with_the_cluster(two_nodes, tmp_path):
    import ray

    memory = RayMemory(STORE)
    session = memory.session()
    here = put(memory, b"h" * BIG)

    def far():
        there = RayMemory(STORE)
        assert get(there, here) == b"h" * BIG
        return there.session(), [put(there, b"s"), put(there, b"l" * BIG)]

    def killed():
        config = put(RayMemory(STORE), b"k" * BIG)
        with open(tmp_path / "config", "w") as file:
            file.write(config)
        os.kill(os.getpid(), 9)

    seen, configs = elsewhere(ray, far)
    assert seen == session
    assert {config.split("/")[0] for config in [here, *configs]} == {here.split("/")[0]}
    assert len({config.split("/")[1] for config in [here, *configs]}) == 2, "each node has a keeper"
    assert [get(memory, config) for config in configs] == [b"s", b"l" * BIG]

    with pytest.raises(ray.exceptions.WorkerCrashedError):
        elsewhere(ray, killed)
    orphan = (tmp_path / "config").read_text()
    assert get(memory, orphan) == b"k" * BIG, "it was not put again by its keeper"
    assert memory.sync([here, *configs, orphan]) == [True] * 4

    os.kill(elsewhere(ray, lambda: os.getppid()), 9)  # the node's own process

    def lost(config):
        """Its processes follow the node's own within a moment, and what answers then is known within some more."""
        try:
            get(memory, config)
        except ValueLost:
            return True
        except StoreError:
            pass
        return False

    end = time.monotonic() + 90
    while not lost(configs[0]):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert memory.sync([here, *configs]) == [True, False, False]
    memory.delete_many([*configs, here])
    assert memory.alive(session)
    assert get(memory, put(memory, b"on")) == b"on"

    ray.shutdown()
    assert memory.alive(session)
    two_nodes.__exit__(None, None, None)
    end = time.monotonic() + 10
    while memory.alive(session):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_keeper_of_a_node_is_begun_again(two_nodes):
    import ray

    memory = RayMemory(STORE)
    session = memory.session()

    def far():
        from holdfast.storages.ray.cluster import connect

        there = RayMemory(STORE)
        before = put(there, b"before")
        ray = connect()
        actor = there._keepers.near(ray).actor
        ray.kill(actor)
        while not ended(ray, actor):
            time.sleep(0.05)
        return before, [put(there, b"after"), put(there, b"l" * BIG)]

    before, after = elsewhere(ray, far)
    with pytest.raises(ValueLost):
        memory.read(before)
    assert [get(memory, config) for config in after] == [b"after", b"l" * BIG]
    assert memory.session() == session
