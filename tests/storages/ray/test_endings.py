"""Keepers that end, clusters that are not there, and what is told of it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from holdfast.errors import StoreError, ValueLost
from holdfast.storages.ray import RayMemory
from holdfast.storages.ray import cluster as connection
from holdfast.storages.ray.keeper import machine
from holdfast.storages.ray.session import Session

from .writing import get, put


def keeper(ray, store):
    return ray.get_actor(f"memory-{store}", namespace="holdfast")


def soon(check, seconds=10.0):
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_session_is_a_name(memory):
    session = memory.session()
    assert session.isascii()
    assert session.isprintable()
    assert not set(session) & set(" \t\n")
    assert len(session) <= 200
    assert memory.session() == session
    assert memory.alive(session)


@pytest.mark.parametrize(("how", "size"), [("ray", 10), ("signal", 300_000)])
def test_with_the_keeper_the_session_ends(ray_driver, how, size):
    store = f"ends-{how}"
    memory, other = RayMemory(store), RayMemory(store)
    session = memory.session()
    small, large = put(memory, b"small"), put(memory, b"l" * 300_000)
    assert other.alive(session)
    actor = keeper(ray_driver, store)
    if how == "ray":
        ray_driver.kill(actor)
    else:
        pid = ray_driver.get(actor.__ray_call__.remote(lambda keeper: os.getpid()))
        os.kill(pid, signal.SIGKILL)
    soon(lambda: not memory.alive(session))
    soon(lambda: not other.alive(session))
    for config in (small, large):
        for storage in (memory, other):
            with pytest.raises(ValueLost, match="gone"):
                storage.read(config)
            with pytest.raises(ValueLost):
                storage.view(config, 5)
            storage.delete(config)
    assert memory.sync([small, large]) == [False, False]
    again = put(memory, b"a" * size)
    assert get(other, again) == b"a" * size
    after = memory.session()
    assert after != session
    assert not memory.alive(session)
    assert memory.alive(after)
    assert other.session() == after
    with pytest.raises(ValueLost):
        memory.read(small)


def test_a_write_begins_what_has_just_ended(ray_driver, shared, memory):
    before, session = put(memory, b"before"), memory.session()
    ray_driver.kill(keeper(ray_driver, shared))
    soon(lambda: not memory.alive(session))
    after = put(memory, b"l" * 300_000)
    assert get(memory, after) == b"l" * 300_000
    with pytest.raises(ValueLost):
        memory.read(before)


def test_a_keeper_that_does_not_answer_is_told(ray_driver, shared, memory, monkeypatch):
    config, other, session = put(memory, b"abc"), put(memory, b"other"), memory.session()
    pid = ray_driver.get(keeper(ray_driver, shared).__ray_call__.remote(lambda keeper: os.getpid()))
    monkeypatch.setattr(connection, "WAIT", 0.5)
    os.kill(pid, signal.SIGSTOP)
    try:
        for verb in (lambda: memory.read(config), lambda: put(memory, b"x"), lambda: memory.delete(other)):
            with pytest.raises(StoreError, match="does not answer"):
                verb()
        start = time.monotonic()
        assert all(memory.alive(session) for _ in range(10)), "it cannot be told"
        assert time.monotonic() - start < 8
    finally:
        os.kill(pid, signal.SIGCONT)
    assert get(memory, config) == b"abc"


def test_a_session_of_another_cluster_is_over_where_that_is_seen():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        session = Session("session_1", address, machine(), "0123456789abcdef")
        elsewhere = session._replace(machine="elsewhere")
        assert Session.of(str(session)) == session
        assert not session.seen_to_end(None)
        assert session.seen_to_end(address), "its address is another cluster's now"
        assert not elsewhere.seen_to_end(address)
    assert session.seen_to_end(None)
    assert not elsewhere.seen_to_end(None), "what is seen here says nothing of another machine"


def test_a_session_of_another_cluster_is_asked_for_from_within_one(ray_driver, memory):
    address = ray_driver.get_runtime_context().gcs_address
    replaced = Session("session_of_before", address, machine(), "0123456789abcdef")
    assert not memory.alive(str(replaced))
    assert memory.alive(str(replaced._replace(machine="elsewhere")))
    ours = Session.of(memory.session())
    assert ours
    assert not memory.alive(str(ours._replace(token="0123456789abcdef")))


def test_another_connection_of_this_process(ray_cluster, ray_driver, memory):
    config, session = put(memory, b"x" * 200_000), memory.session()
    ray_driver.shutdown()
    assert memory.alive(session)
    assert get(memory, config) == b"x" * 200_000, "it joins by itself"
    assert memory.session() == session
    assert ray_driver.is_initialized()


# --- processes that have no cluster -----------------------------------------------------------------------------------

BEGIN = "from holdfast.storages.ray import RayMemory; memory = RayMemory('abc')\n"


def printed(program, **environment):
    """What a process prints that knows no cluster but that of its environment."""
    known = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**known, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


SAY = """
def say(verb, *arguments):
    try:
        print(verb(*arguments))
    except Exception as error:
        print(type(error).__name__, "|", error)
"""


def test_not_installed():
    block = "import sys; sys.modules['ray'] = None\n"
    config = "/".join(["0" * 16, "0" * 16, "0" * 24])
    told = printed(block + BEGIN + SAY + f"say(memory.session)\nsay(memory.read, {config!r})\n")
    assert told == ['MissingExtraError | memory on Ray needs ray: pip install "holdfast[ray]"'] * 2


def test_nothing_is_imported_before_it_is_needed():
    session = Session("session_1", "127.0.0.1:9", machine(), "0123456789abcdef")
    text = f"memory.close(); memory.alive('what is this'); print(memory.alive('{session}'), 'ray' in sys.modules)"
    assert printed("import sys\n" + BEGIN + text) == ["False False"]


def test_no_cluster_is_there(tmp_path):
    """None known; one that RAY_ADDRESS names and one that Ray has noted, and neither answers. All told at once."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = f"127.0.0.1:{gone.getsockname()[1]}"
    (tmp_path / "ray").mkdir()
    told = printed(
        f"""
import os, time
{BEGIN}{SAY}
import ray
start = time.monotonic()
say(memory.session)
say(memory.read, "/".join(["0" * 16, "0" * 16, "0" * 24]))
os.environ["RAY_ADDRESS"] = {address!r}
say(memory.session)
del os.environ["RAY_ADDRESS"]
open({str(tmp_path)!r} + "/ray/ray_current_cluster", "w").write({address!r})
say(memory.session)
print(time.monotonic() - start < 5, ray.is_initialized())
""",
        RAY_TMPDIR=str(tmp_path),
    )
    assert len(told) == 5
    for line in told[:2]:
        assert line.startswith("StoreError | this process is in no Ray cluster, and none is known here"), line
    for line in told[2:4]:
        assert line.startswith(f"StoreError | no Ray cluster answers at {address}"), line
    for line in told[:4]:
        assert "`ray start --head`" in line
        assert "holdfast.executors" in line
    assert told[4] == "True False"
