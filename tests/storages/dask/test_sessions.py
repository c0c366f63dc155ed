"""Which cluster is in force, and whether a session lasts."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from holdfast.errors import InvalidArgumentError, StoreError
from holdfast.storages.dask import DaskMemory
from holdfast.storages.dask.configs import Config, Session, new_name, place
from holdfast.testing.processes import in_child

from ...clusters.dask_cluster import DaskCluster, settings
from .pieces import in_python, pattern, put, viewed

ID = "Scheduler-01234567-89ab-cdef-0123-456789abcdef"
OTHER = "Scheduler-76543210-89ab-cdef-0123-456789abcdef"


@pytest.fixture
def port() -> Iterator[int]:
    """Of somebody who listens, and is no scheduler."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


# --- texts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "session",
    [
        Session("tcp://10.1.2.3:8786", ID),
        Session("tls://scheduler.example:8786", ID),
        Session("tcp://[fe80::1]:8786", ID),
        Session("tcp://127.0.0.1:8786", ID, "0123456789ab", "ba9876543210"),
        Session("inproc://10.1.2.3/55/1", ID, "0123456789ab", "ba9876543210"),
    ],
)
def test_a_session_as_text(session: Session) -> None:
    assert Session.parse(str(session)) == session


def test_addresses_of_one_machine_name_it() -> None:
    for address in ("tcp://127.0.0.1:1", "tcp://localhost:1", "tcp://[::1]:1", "inproc://10.0.0.1/2/3"):
        assert Session.of(address, ID) == (address, ID, *place())
    assert Session.of("tcp://10.0.0.1:1", ID) == ("tcp://10.0.0.1:1", ID, "", "")


@pytest.mark.parametrize(
    "config",
    [
        Config(ID, new_name(), 0, worker="tcp://10.0.0.1:1"),
        Config(ID, new_name(), 12, worker="inproc://10.0.0.1/3/4"),
        Config(ID, new_name(), 12, parts=3),
        Config(ID, new_name(), None),
    ],
)
def test_a_config_as_text(config: Config) -> None:
    assert Config.parse(str(config)) == config
    for wrong in (f"{config} ", f"{config}/", f"x/{config}", str(config).replace("/", "//", 1), str(config).upper()):
        with pytest.raises(InvalidArgumentError):
            Config.parse(wrong)


def test_dask_takes_all_our_keys_for_one_group() -> None:
    from dask.utils import key_split

    keys = [key for parts in (0, 2) for _ in range(50) for key in Config(ID, new_name(), 1, parts).keys]
    assert len(set(keys)) == 150
    assert {key_split(key) for key in keys} == {"holdfast"}


# --- alive -----------------------------------------------------------------------------------------------------------


def test_nobody_listens() -> None:
    assert not DaskMemory("").alive(str(Session.of(f"tcp://127.0.0.1:{closed_port()}", ID)))


def test_what_cannot_be_told_lasts(port: int) -> None:
    machine, boot = place()
    elsewhere = f"{(int(machine, 16) ^ 1):012x}"
    closed = f"tcp://127.0.0.1:{closed_port()}"
    memory = DaskMemory("")
    assert memory.alive(str(Session.of(f"tcp://127.0.0.1:{port}", ID)))
    assert memory.alive(str(Session(closed, ID, elsewhere, boot))), "that is the loopback of another machine"
    assert memory.alive(str(Session("ucx://10.0.0.1:1", ID)))
    assert memory.alive("of something else")
    assert not memory.alive(str(Session(closed, ID, machine, f"{(int(boot, 16) ^ 1):012x}"))), "before this boot"


def test_another_schedulers_session(dask_client: Any, port: int) -> None:
    """It ended if another is at its address now; the one in force says so, and others when asked."""
    memory = DaskMemory("")
    mine = Session.parse(memory.session())
    assert mine is not None
    assert not memory.alive(str(mine._replace(scheduler=OTHER)))
    worker = next(iter(dask_client.scheduler_info()["workers"]))
    assert not memory.alive(str(mine._replace(address=worker, scheduler=OTHER))), "a worker is there now"
    assert memory.alive(str(mine._replace(address=f"tcp://127.0.0.1:{port}", scheduler=OTHER))), "who knows"


def test_two_clusters_at_once(dask_client: Any) -> None:
    """What lasts on the one is not said to have ended by who uses the other."""
    memory = DaskMemory("")
    first = memory.session()
    with DaskCluster(workers=1) as cluster, cluster.client():
        second = memory.session()
        assert first != second
        assert memory.alive(first)
        assert DaskMemory("").alive(first)
    assert memory.session() == first
    time.sleep(1.1)
    assert not memory.alive(second)


def test_it_is_cheap(dask_client: Any) -> None:
    memory = DaskMemory("")
    session = memory.session()
    memory.alive(session)
    begun = time.perf_counter()
    for _ in range(1000):
        memory.alive(session)
    assert time.perf_counter() - begun < 0.5


# --- no cluster ------------------------------------------------------------------------------------------------------


def test_no_cluster_is_started() -> None:
    memory = DaskMemory("a-store")
    for verb in (memory.session, lambda: put(memory, b"x"), lambda: memory.writer({})):
        with pytest.raises(StoreError, match=r"DASK_SCHEDULER_ADDRESS.*holdfast\.executors"):
            verb()
    memory.close()


def test_a_scheduler_that_does_not_answer() -> None:
    code = """
import dask
from holdfast.errors import StoreError
dask.config.set({"distributed.comm.timeouts.connect": "1s"})
from holdfast.storages.dask import connection
connection.TIMEOUT = 1
try:
    DaskMemory("").session()
except StoreError as error:
    print(error)
"""
    said = in_python(code, DASK_SCHEDULER_ADDRESS=f"tcp://127.0.0.1:{closed_port()}")
    assert said.startswith("no Dask scheduler answers at tcp://127.0.0.1:")
    assert "start one" in said


def test_not_installed() -> None:
    code = """
import sys
sys.modules["distributed"] = None
memory = DaskMemory("")
print(memory.alive("tcp://127.0.0.1:1|%s"), memory.keep(0))
try:
    memory.session()
except ImportError as error:
    print(type(error).__name__, error)
""" % ID  # fmt: skip # noqa: UP031
    alive, said = in_python(code).splitlines()
    assert alive == "False None"
    assert said.startswith("MissingExtraError")
    assert 'pip install "holdfast[dask]"' in said


def test_a_closed_client(dask_cluster: DaskCluster) -> None:
    client = dask_cluster.client(set_as_default=False)
    client.close()
    with client.as_current(), pytest.raises(StoreError, match="closed"):
        DaskMemory("").session()


# --- forks -----------------------------------------------------------------------------------------------------------


def test_a_forked_child_may_make_a_client_of_its_own(dask_client: Any, dask_cluster: DaskCluster) -> None:
    memory = DaskMemory("a-store")
    large = pattern(1) * 80  # large messages are put together by a thread, which a child does not have
    put(memory, large)
    config = put(memory, b"parent's")

    def child() -> Any:
        with pytest.raises(StoreError, match="forked"):
            memory.read(config)
        assert memory.alive(session)
        with dask_cluster.client():
            assert bytes(memory.read(config)) == b"parent's"
            assert memory.read(put(memory, large)) == large
            return put(memory, b"child's")

    session = memory.session()
    assert memory.read(in_child(child)) == b"child's"


# --- a cluster inside this process -----------------------------------------------------------------------------------


def test_a_cluster_of_threads() -> None:
    """It gives objects instead of bytes: what the writer or a reader does with them must change nothing."""
    from distributed import LocalCluster

    memory = DaskMemory("a-store")
    with (
        settings(),
        LocalCluster(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster,
    ):
        with cluster.get_client() as client:
            mine = bytearray(pattern(1))
            config = put(memory, mine)
            mine[:] = bytes(len(mine))
            assert viewed(memory, config) == pattern(1)
            (view,) = memory.view(config, len(mine))
            assert memoryview(view).readonly
            session = memory.session()
            assert session.startswith("inproc://")
            assert memory.alive(session)
            theirs = client.submit(lambda: put(DaskMemory("a-store"), pattern(2)), pure=False).result()
            assert viewed(memory, theirs) == pattern(2)
            assert threading.active_count() < 100
        time.sleep(1.1)
        assert memory.alive(session)
    time.sleep(1.1)
    assert not memory.alive(session)
