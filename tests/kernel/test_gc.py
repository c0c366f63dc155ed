"""gc: what it removes, what it keeps, and whom it may meet."""

from __future__ import annotations

import os
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast import BusyError

from .tools import LARGE, blob_files, pattern, said, start_python

PAST = timedelta(seconds=-1)


def nothing_left(store: holdfast.Store) -> bool:
    left = store.gc(dry_run=True)
    return (left.records, left.blobs, left.size) == (0, 0, 0)


def test_what_goes_and_what_stays(store: holdfast.Store) -> None:
    scope = store.namespace("a")
    scope.put("stays", pattern(100_000))
    scope.put("deleted", pattern(50_000, 1))
    scope.delete("deleted")
    scope.put("replaced", pattern(60_000, 2))
    scope.put("replaced", 1)
    scope.put("expired", pattern(70_000, 3), expires=PAST)
    scope.put("expired small", 1, expires=PAST)
    for index in range(5):
        scope.workflow("w").put(f"k{index}", index)
    scope.workflow("w").put("large", pattern(80_000, 4))
    scope.workflow("w").drop()
    store.sync()
    plan = store.gc(dry_run=True)
    assert plan.dry_run
    assert len(blob_files(store)) == 5
    seen: list[int] = []
    done = store.gc(progress=seen.append)
    assert not done.dry_run
    assert (done.records, plan.records) == (8, 8)
    assert (done.blobs, done.size) == (4, 50_000 + 60_000 + 70_000 + 80_000)
    # a dry run sees what nobody needs now; what the expired and dropped records hold becomes free with them
    assert 0 < plan.blobs <= done.blobs
    assert 0 < plan.size <= done.size
    assert sum(seen) == done.records + done.blobs
    assert len(blob_files(store)) == 1
    assert nothing_left(store)
    again = store.gc()
    assert again[:4] == (0, 0, 0, 0)
    assert scope.get("stays", verify=True) == pattern(100_000)
    assert scope.get("replaced") == 1


def test_a_scope_of_many_records(store: holdfast.Store) -> None:
    scope = store.namespace("a")
    scope.put_many({f"k{index}": index for index in range(3500)})
    scope.drop()
    scope.put("new", 1)
    assert store.gc().records == 3500
    assert list(scope) == ["new"]


def test_beside_readers_of_what_goes(store: holdfast.Store) -> None:
    scope = store.namespace("a")
    scope.put("array", np.arange(200_000))
    scope.put_chunks("file", [pattern(3_000_000)])
    array, file, stream = scope.get("array"), scope.open("file", "rb"), scope.get_chunks("file")
    begin = next(stream)
    scope.drop()
    assert store.gc().blobs == 2
    assert blob_files(store) == []
    assert array[199_999] == 199_999
    with file:
        assert file.read() == pattern(3_000_000)
    assert begin + b"".join(stream) == pattern(3_000_000)


def test_only_one_at_a_time(store: holdfast.Store) -> None:
    with store.lease("holdfast/gc"):
        with pytest.raises(BusyError):
            store.gc()
        with pytest.raises(BusyError):
            store.gc(wait=0.1)
        assert store.gc(dry_run=True).dry_run
    threading.Timer(0.1, store.lease("holdfast/gc").acquire().release).start()
    store.gc(wait=5)


def test_orphans_of_a_killed_writer_and_none_of_a_live_one(store: holdfast.Store) -> None:
    code = """
    import sys, holdfast
    store = holdfast.open(sys.argv[1])
    scope = store.namespace("a")
    scope.put("kept", bytes(100_000))
    scope.put("other", b"o" * 100_000)
    def chunks():
        for _ in range(30):
            yield b"c" * 100_000
        print("written", flush=True)
        sys.stdin.readline()
    scope.put_chunks("never", chunks())
    """
    mine = store.namespace("a").open("mine", "wb")
    mine.write(LARGE * 20)
    with start_python(code, str(store.config.store)) as process:
        said(process, "written")
        assert len(blob_files(store)) == 4
        assert store.gc().orphans == 0
        assert len(blob_files(store)) == 4
        process.kill()
    done = store.gc()
    assert done.orphans == 1
    assert len(blob_files(store)) == 3
    mine.close()
    scope = store.namespace("a")
    assert scope.get("kept", verify=True) == bytes(100_000)
    assert scope.get_bytes("mine") == LARGE * 20
    assert list(scope) == ["kept", "mine", "other"]
    assert store.gc().orphans == 0
    scope.delete("kept")
    scope.delete("other")
    store.gc()
    folders = [path for path in Path(store.config.store, "files").iterdir() if path.is_dir()]
    assert len(folders) == 1, "the dead writer's folder is still there"


def test_a_killed_collector_is_followed_by_the_next(store: holdfast.Store) -> None:
    scope = store.namespace("a")
    for index in range(20):
        scope.put("k", pattern(50_000, index))
    store.sync()
    child = os.fork()
    if not child:
        kernel = store._kernel

        def killed(config: Any) -> None:
            os.kill(os.getpid(), 9)

        kernel.storage.delete = killed  # type: ignore[method-assign]
        store.gc()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    began = time.monotonic()
    store.gc()
    assert time.monotonic() - began < 5
    assert len(blob_files(store)) == 1
    assert scope.get("k", verify=True) == pattern(50_000, 19)


def test_a_storm_of_equal_values_beside_gc_loses_none(store: holdfast.Store) -> None:
    """Equal bytes are written, shared, deleted and collected all the time: what is put is there."""
    scope = store.namespace("a")
    ending = threading.Event()
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            with holdfast.open(store.config.store) as own:
                there = own.namespace("a")
                for index in range(60):
                    there.put(f"k{number}", LARGE)
                    assert there.get(f"k{number}", verify=True) == LARGE
                    if index % 2:
                        there.delete(f"k{number}")
        except BaseException as error:
            failures.append(error)

    def collect() -> None:
        try:
            while not ending.is_set():
                store.gc()
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    collector = threading.Thread(target=collect)
    for thread in (*workers, collector):
        thread.start()
    for thread in workers:
        thread.join()
    ending.set()
    collector.join()
    assert failures == []
    assert list(scope) == []
    store.gc()
    assert blob_files(store) == []


def test_gc_in_memory() -> None:
    with holdfast.open("memory:") as store:
        scope = store.namespace("a")
        scope.put("k", LARGE)
        scope.put("l", LARGE[::-1])
        scope.delete("k")
        assert store.gc().blobs == 1
        assert scope.get("l", verify=True) == LARGE[::-1]
        assert nothing_left(store)
