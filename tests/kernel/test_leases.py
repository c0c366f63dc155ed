"""Leases: one holder at a time over processes, fencing, and what becomes of a dead or slow holder."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

import holdfast
from holdfast import BusyError, LeaseLost, renewal
from holdfast.address import format_address, parse_address
from holdfast.lease import _alone, _path, bury, is_held, name_in, shortened
from holdfast.storages.places import machine_id

from .tools import LARGE, blob_files, in_fork, said, start_python

HOLDER = """
import sys, holdfast
store = holdfast.open(sys.argv[1])
lease = store.lease("job", seconds=float(sys.argv[2]))
lease.acquire()
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture(params=["folder", "memory"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path):
    with holdfast.open("memory:" if request.param == "memory" else tmp_path / "data", timeout=5) as opened:
        yield opened


def test_one_at_a_time(any_store: holdfast.Store) -> None:
    with any_store.lease("job") as lease:
        with pytest.raises(BusyError, match="'job'"):
            any_store.lease("job", wait=0).acquire()
        with any_store.lease("other", wait=0) as other:
            assert other.name == "other"
        first = lease.token
    with any_store.lease("job", wait=0) as lease:
        assert lease.token > first
    with pytest.raises(LeaseLost, match="not held"):
        assert lease.token


def test_waiting(store: holdfast.Store) -> None:
    lease = store.lease("job").acquire()
    began = time.monotonic()
    with pytest.raises(BusyError):
        store.lease("job", wait=0.2).acquire()
    assert 0.2 <= time.monotonic() - began < 2
    threading.Timer(0.1, lease.release).start()
    with store.lease("job", wait=5) as second:
        assert second.token
    assert time.monotonic() - began < 4


def test_a_lease_that_expired_goes_to_the_next_and_its_writes_are_refused(any_store: holdfast.Store) -> None:
    scope = any_store.namespace("a")
    slow = any_store.lease("job", seconds=0.1).acquire()
    scope.put("k", "slow", lease=slow)
    time.sleep(0.15)
    for put in (
        lambda: scope.put("k", "late", lease=slow),
        lambda: scope.put("k", LARGE, lease=slow),
        lambda: scope.put_chunks("k", [LARGE], lease=slow),
        lambda: scope.update("k", lambda old: "late", lease=slow),
        lambda: scope.put_many({"k": "late"}, lease=slow),
    ):
        with pytest.raises(LeaseLost):
            put()
    with any_store.lease("job", wait=1) as quick:
        scope.put("k", "quick", lease=quick)
        with pytest.raises(LeaseLost):
            slow.renew()
        slow.release()  # gives nothing back that is not its own any more
        scope.put("k", "quick again", lease=quick)
        with pytest.raises(BusyError):
            any_store.lease("job", wait=0).acquire()
    assert scope.get("k") == "quick again"
    if any_store.config.store != "memory:":
        assert blob_files(any_store) == []


def test_a_holder_by_expiry_is_not_robbed_when_the_slow_one_ends(store: holdfast.Store) -> None:
    slow = store.lease("job", seconds=0.1).acquire()
    time.sleep(0.15)
    quick = store.lease("job", seconds=30, wait=1).acquire()
    slow.release()
    with pytest.raises(BusyError):
        store.lease("job", wait=0.1).acquire()
    quick.renew()
    quick.release()


def test_renewing_keeps_it(any_store: holdfast.Store) -> None:
    with any_store.lease("job", seconds=0.3) as lease:
        for _ in range(4):
            time.sleep(0.1)
            before = lease.expires
            lease.renew()
            assert lease.expires > before
        lease.renew(60)
        with pytest.raises(BusyError):
            any_store.lease("job", wait=0).acquire()
    with any_store.lease("job", wait=0):
        pass


def test_a_lost_lease_can_be_acquired_again(any_store: holdfast.Store) -> None:
    lease = any_store.lease("job", seconds=0.05).acquire()
    first = lease.token
    time.sleep(0.1)
    with pytest.raises(LeaseLost):
        lease.renew()
    assert lease.acquire().token > first
    lease.release()
    lease.release()


def test_a_killed_holder_on_this_machine_is_followed_at_once(store: holdfast.Store) -> None:
    with start_python(HOLDER, str(store.config.store), "1000") as process:
        said(process, "held")
        with pytest.raises(BusyError):
            store.lease("job", wait=0.1).acquire()
        process.kill()
    began = time.monotonic()
    with store.lease("job", wait=5) as lease:
        assert time.monotonic() - began < 1
        store.namespace("a").put("k", 1, lease=lease)


def test_a_stopped_holder_keeps_it_until_it_expires(store: holdfast.Store) -> None:
    with start_python(HOLDER, str(store.config.store), "0.5") as process:
        said(process, "held")
        process.send_signal(signal.SIGSTOP)
        try:
            with store.lease("job", wait=5):
                pass
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


def test_a_forked_child_neither_keeps_nor_releases_its_parents_lease(store: holdfast.Store) -> None:
    with store.lease("job", seconds=1000) as lease:

        def child() -> None:
            with pytest.raises(LeaseLost):
                _ = lease.fence
            lease.release()

        assert in_fork(child) == 0
        with pytest.raises(BusyError):
            store.lease("job", wait=0).acquire()
        store.namespace("a").put("k", 1, lease=lease)


def test_a_forked_child_that_acquires_its_parents_lease_waits_for_it(store: holdfast.Store) -> None:
    with store.lease("job", seconds=1000, wait=0.1) as lease:

        def child() -> None:
            with pytest.raises(BusyError):
                lease.acquire()
            with pytest.raises(BusyError), lease:
                pass

        assert in_fork(child) == 0
        assert lease.token


def test_children_of_a_killed_holder_do_not_keep_it(store: holdfast.Store) -> None:
    code = HOLDER.replace(
        'print("held", flush=True)',
        "import os, time\nif not os.fork():\n    time.sleep(5); os._exit(0)\nprint('held', flush=True)",
    )
    with start_python(code, str(store.config.store), "1000") as process:
        said(process, "held")
        process.kill()
        process.wait()
        began = time.monotonic()
        with store.lease("job", wait=5):
            assert time.monotonic() - began < 1


def test_leases_of_the_library_for_a_scope_are_addresses_there() -> None:
    path = (("namespace", "prod"), ("workflow", "/a.yaml"))
    name = name_in(path, "memo/1")
    assert name == "namespace:prod/workflow:%2Fa.yaml/holdfast/memo/1"
    assert parse_address(name) == (path, "holdfast/memo/1")
    long = (*path, ("%" * 40, "\N{SNOWMAN}" * 512))
    name = name_in(long, "memo/1")
    assert parse_address(name) == (shortened(long), "holdfast/memo/1")
    assert shortened(long) == shortened(shortened(long)) != shortened((*path, ("%" * 40, "\N{SNOWMAN}" * 511)))
    assert name_in(path, "x" * 600) == "holdfast/" + "x" * 600  # which no lease can be called
    deep = (("n", "m" * 512),) * 20
    assert len(name_in(deep, "memo/1")) <= 512
    assert name_in(deep, "memo/1").startswith(format_address(shortened(deep[:9]), "holdfast/")[:-9])


def test_looking_at_a_lease(any_store: holdfast.Store) -> None:
    kernel = any_store._kernel
    assert not is_held(kernel, "job")
    with any_store.lease("job"):
        assert is_held(kernel, "job")
    assert not is_held(kernel, "job")
    any_store.lease("job", seconds=0.01).acquire()
    time.sleep(0.02)
    assert not is_held(kernel, "job")


def test_a_holder_who_was_killed_is_seen_to_be_dead_by_all_who_look(store: holdfast.Store) -> None:
    with start_python(HOLDER, str(store.config.store), "3600") as process, ThreadPoolExecutor(8) as pool:
        said(process, "held")
        assert set(pool.map(lambda _: is_held(store._kernel, "job"), range(100))) == {True}
        process.kill()
        process.wait()
        assert set(pool.map(lambda _: is_held(store._kernel, "job"), range(100))) == {False}


def test_who_only_looks_keeps_nobody_from_taking_it(store: holdfast.Store) -> None:
    """Neither while it is free, nor while a dead one has it."""
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            is_held(store._kernel, "job")

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(20):
            with store.lease("job", wait=0):
                pass
        for _ in range(4):
            with start_python(HOLDER, str(store.config.store), "3600") as process:
                said(process, "held")
                process.kill()
            with store.lease("job", wait=0):
                pass
    finally:
        ended.set()
        for looker in lookers:
            looker.join()


def test_who_removes_the_file_of_a_dead_one_late_does_not_make_a_living_one_seem_dead(
    store: holdfast.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease is given back and taken again between his opening of the file and his look at its lock."""
    lease, lock = store.lease("job", seconds=1000).acquire(), fcntl.flock
    times: list[int] = []

    def later(file: Any, how: int) -> None:
        if threading.current_thread() is not threading.main_thread() and not times:
            times.append(lease.token)
            lease.release()
            lease.acquire()
        lock(file, how)

    with monkeypatch.context() as changed:
        changed.setattr(fcntl, "flock", later)
        remover = threading.Thread(target=bury, args=(store._kernel.locks,))
        remover.start()
        remover.join()
    assert times < [lease.token]
    assert is_held(store._kernel, "job")
    with pytest.raises(BusyError):
        store.lease("job", wait=0).acquire()
    lease.release()


def test_a_child_that_is_forked_while_another_thread_takes_a_lease_keeps_none_of_its_locks(
    store: holdfast.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, taking, forked = store._kernel.catalog, threading.Event(), threading.Event()
    acquire = catalog.acquire

    def slow(*given: Any, **more: Any) -> Any:
        taking.set()
        forked.wait()
        return acquire(*given, **more)

    with monkeypatch.context() as changed:
        changed.setattr(catalog, "acquire", slow)
        taker = threading.Thread(target=lambda: store.lease("job").acquire().release())
        taker.start()
        taking.wait()
        child = os.fork()
        if not child:
            signal.pause()
            os._exit(0)
        forked.set()
        taker.join()
    try:
        with store.lease("job", wait=0):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_lease_that_goes_to_another_while_its_holder_is_looked_for_is_left_to_him(
    store: holdfast.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As to one who comes over HTTP, and so is no part of who looks one after the other on this machine."""
    first, catalog = store.lease("job", seconds=60).acquire(), store._kernel.catalog
    acquire, taken = catalog.acquire, []

    def later(*given: Any, **more: Any) -> Any:
        row = acquire(*given, **more)
        if first.held:
            first.release()
            taken.append(acquire("job", "elsewhere", 60))
        return row

    monkeypatch.setattr(catalog, "acquire", later)
    with pytest.raises(BusyError):
        store.lease("job", wait=0).acquire()
    assert catalog.holder("job") == taken[0]


def test_a_lock_file_that_cannot_be_opened_is_an_error_of_the_store_and_in_nobodys_way_else(
    store: holdfast.Store,
) -> None:
    owner = f"{machine_id()}/1/dead"
    store._kernel.catalog.acquire("job", owner, 60)
    assert store._kernel.locks is not None
    path = _path(store._kernel.locks, owner, "owner-")
    with store.lease("other"):
        pass
    os.symlink(path, path)
    for look in (store.lease("job", wait=0).acquire, lambda: is_held(store._kernel, "job")):
        with pytest.raises(holdfast.StoreError, match="locks"):
            look()
    store.gc()
    os.unlink(path)
    with store.lease("job", wait=0):
        pass


def test_counting_under_a_lease_in_many_processes_loses_nothing(store: holdfast.Store) -> None:
    """Each reads, waits and writes without a condition: only the lease keeps them apart."""
    scope = store.namespace("a")
    scope.put("n", 0)

    def count() -> None:
        with holdfast.open(store.config.store) as own:
            there = own.namespace("a")
            for _ in range(10):
                with own.lease("job", seconds=30) as lease:
                    number = there.get("n")
                    time.sleep(0.001)
                    there.put("n", number + 1, lease=lease)

    children = []
    for _ in range(4):
        child = os.fork()
        if not child:
            try:
                count()
            except BaseException:
                os._exit(1)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert scope.get("n") == 40


def test_threads_exclude_one_another(store: holdfast.Store) -> None:
    inside: list[int] = []
    failures: list[Any] = []

    def work(number: int) -> None:
        for _ in range(5):
            with store.lease("job"):
                inside.append(number)
                time.sleep(0.001)
                if inside != [number]:
                    failures.append(list(inside))
                inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_leases_leave_no_file_and_no_descriptor_behind(store: holdfast.Store) -> None:
    with store.lease("job"):
        pass
    folder = Path(store.config.store, "locks")
    before, files = psutil.Process().num_fds(), len(list(folder.iterdir()))
    for _ in range(50):
        with store.lease("job"), pytest.raises(BusyError):
            store.lease("job", wait=0).acquire()
    assert psutil.Process().num_fds() == before
    assert len(list(folder.iterdir())) == files


def test_a_lease_outlives_no_store(store: holdfast.Store) -> None:
    lease = store.lease("job", seconds=1000).acquire()
    store.close()
    with pytest.raises(holdfast.ClosedError):
        lease.renew()
    with holdfast.open(store.config.store) as again, pytest.raises(BusyError):
        again.lease("job", wait=0).acquire()


@pytest.mark.parametrize("verb", ["delete", "touch", "set_tags", "set_content_type", "copy", "rename", "put"])
def test_a_lost_lease_protects_every_verb(store: holdfast.Store, verb: str) -> None:
    scope = store.namespace("prod")
    scope.put("k", "value")
    before = scope.record("k")
    lease = store.lease("only", seconds=60).acquire()
    thief = store.lease("only", seconds=60)
    store._kernel.catalog.acquire("only", thief.owner, 60, dead=lease.owner)
    calls = {
        "delete": lambda: scope.delete("k", lease=lease),
        "touch": lambda: scope.touch("k", None, lease=lease),
        "set_tags": lambda: scope.set_tags("k", {"a": "b"}, lease=lease),
        "set_content_type": lambda: scope.set_content_type("k", "text/csv", lease=lease),
        "copy": lambda: scope.copy("k", "l", lease=lease),
        "rename": lambda: scope.rename("k", "l", lease=lease),
        "put": lambda: scope.put("k", "other", lease=lease),
    }
    with pytest.raises(holdfast.LeaseLost):
        calls[verb]()
    assert scope.record("k") == before
    assert list(scope) == ["k"]


def test_a_lease_that_was_forgotten_is_free_at_once(store: holdfast.Store) -> None:
    # as by an interrupt between taking it and the block that would have released it
    lease = store.lease("job", seconds=60).acquire()
    with pytest.raises(BusyError):
        store.lease("job", wait=0).acquire()
    del lease
    with store.lease("job", wait=0) as second:
        assert second.token


@pytest.mark.alone
def test_renewed_in_the_background(store: holdfast.Store) -> None:
    with store.lease("job", seconds=0.3, renew=True) as lease:
        token = lease.token
        for _ in range(6):
            time.sleep(0.15)
            with pytest.raises(BusyError):
                store.lease("job", wait=0).acquire()
        assert store.namespace("prod").put("k", 1, lease=lease).version
        assert lease.token == token
    expired = store.lease("job", seconds=0.1).acquire()
    time.sleep(0.5)
    assert expired.held, "nobody looked yet"
    with store.lease("job", wait=0) as next_one:
        assert next_one.token > token


def test_a_lease_that_is_taken_again_and_again_is_renewed_once(any_store: holdfast.Store) -> None:
    lease = any_store.lease("job", seconds=0.3, renew=True)
    end = time.monotonic() + 0.2
    while time.monotonic() < end:
        lease.acquire().release()
    with lease:
        late = time.monotonic() + 5
        while [each for _, _, each, *_ in list(renewal._renewer._due)].count(lease) > 1:
            assert time.monotonic() < late
            time.sleep(0.01)
        assert lease.held


@pytest.mark.alone
def test_a_forked_child_renews_nothing_of_its_parent(store: holdfast.Store) -> None:
    lease = store.lease("job", seconds=0.3, renew=True).acquire()

    def child() -> None:
        time.sleep(0.5)
        with store.lease("other", seconds=0.3, renew=True) as own:
            time.sleep(0.5)
            own.renew()  # raises if it expired
            assert not lease.held

    assert in_fork(child) == 0
    assert lease.held
    lease.release()


def test_waiting_takes_no_cpu(store: holdfast.Store) -> None:
    process = start_python(HOLDER, store.config.store, "60")
    said(process, "held")
    waiter = store.lease("job")
    done = threading.Event()

    def wait() -> None:
        waiter.acquire()
        done.set()

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.3)
    before = time.process_time()
    time.sleep(2)
    spent = time.process_time() - before
    assert not done.is_set()
    process.kill()
    process.communicate()
    assert done.wait(1), "the death of the holder was not noticed"
    thread.join()
    waiter.release()
    assert spent < 0.06  # of two seconds


def test_a_lease_given_back_leaves_no_row(store: holdfast.Store) -> None:
    for number in range(300):
        with store.lease(f"job {number}"):
            pass
    store.lease("expired", seconds=0.001).acquire()
    time.sleep(0.01)
    store.gc()
    catalog: Any = store._kernel.catalog
    assert catalog.read("SELECT count(*) FROM leases") == [(0,)]
    names = [path for path in Path(store.config.store, "locks").iterdir() if not path.name.startswith("owner-")]
    assert len(names) <= 256


@pytest.mark.parametrize("wait", [0, 0.05])
def test_who_does_not_wait_bears_with_one_who_looks_at_a_name_of_the_same_lock(
    store: holdfast.Store, wait: float
) -> None:
    async def take() -> None:
        async with store.aio.lease("job", wait=wait):
            pass

    def others(seconds: float) -> threading.Timer:
        file = _alone(str(store._kernel.locks), "job")
        assert file is not None
        timer = threading.Timer(seconds, file.close)
        timer.start()
        return timer

    for acquire in (lambda: store.lease("job", wait=wait).acquire().release(), lambda: asyncio.run(take())):
        timer = others(0.1)
        acquire()
        timer.join()


def test_names_that_share_a_lock_do_not_seem_taken(store: holdfast.Store) -> None:
    failures: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            for number in range(40):
                with store.lease(f"{thread} {number}", wait=0):
                    pass
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
