"""Segments are written again and again, and whoever reads one has what was put, however long."""

from __future__ import annotations

import functools
import gc
import mmap
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import InvalidArgumentError, ValueLost
from holdfast.stopping import Stopped, stoppable
from holdfast.storages.local import LocalMemory
from holdfast.storages.local.copying import copy
from holdfast.storages.local.segments import Maps, capacities
from holdfast.testing.processes import in_child, killed_child

from .programs import MB, counted, digest, pattern, put, segments, taken

HAMMER = """
import sys
from tests.storages.local.programs import MB, pattern, put
from holdfast.storages.local import LocalMemory
memory = LocalMemory("one", folder=sys.argv[1])
memory.delete(sys.argv[2])
for number in range(int(sys.argv[3])):
    config = put(memory, pattern(2 * MB, number))
    assert bytes(memory.read(config)) == pattern(2 * MB, number)
    memory.delete(config)
"""


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "memory")


@pytest.fixture
def memory(folder):
    memory = LocalMemory("one", folder=folder, size=200 * MB)
    yield memory
    memory.close()


def die_after(report, answer):
    report(answer)
    signal.pause()


def open_files():
    return len(os.listdir("/dev/fd"))


@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 100_000, MB, MB + 1, 5 * MB, 123_456_789, 1 << 40])
def test_a_segment_has_at_most_a_quarter_too_many_bytes(size):
    found = capacities(size)
    assert found == sorted(set(found))
    page = resource.getpagesize()
    for capacity in found:
        assert capacity % page == 0
        assert capacity >= size
        assert capacity <= max(page, size * 5 / 4 + page)
    assert found[0] <= max(page, size * 9 / 8 + page)
    assert capacities(found[0])[0] == found[0]


def test_a_deleted_values_segment_is_written_again(memory, folder):
    config = put(memory, pattern(2 * MB, 1))
    before = segments(folder)
    for number in range(5):
        memory.delete(config)
        config = put(memory, pattern(2 * MB - number * 1000, number))
        assert bytes(memory.read(config)) == pattern(2 * MB - number * 1000, number)
    assert segments(folder).keys() == before.keys()
    assert counted(folder) == taken(folder)


def test_another_process_writes_it_again(memory, folder):
    config = put(memory, pattern(2 * MB, 1))
    before = segments(folder)
    run = [sys.executable, "-c", HAMMER, folder, config, "3"]
    subprocess.run(run, check=True, cwd=Path(__file__).parents[3])
    assert segments(folder).keys() == before.keys()
    memory.delete(config)
    config = put(memory, pattern(2 * MB, 2))
    assert bytes(memory.read(config)) == pattern(2 * MB, 2)
    assert segments(folder).keys() == before.keys()


def test_a_view_stays_through_delete_recycling_and_close(memory, folder):
    data = pattern(2 * MB, "kept")
    config = put(memory, b"head", data[4:])
    view = memory.view(config, 2 * MB)[0]
    part = view[MB:]
    subprocess.run([sys.executable, "-c", HAMMER, folder, config, "30"], check=True, cwd=Path(__file__).parents[3])
    assert view == b"head" + data[4:]
    with pytest.raises(ValueLost, match="deleted"):
        memory.view(config, 2 * MB)
    del view
    gc.collect()
    put(memory, pattern(2 * MB, "other"))
    assert part == data[MB:], "a part of a view did not keep the segment"
    memory.close()
    assert list(Path(folder).iterdir()) == []
    assert part == data[MB:]


def test_it_is_written_again_when_the_last_view_is_gone(memory, folder):
    config = put(memory, pattern(2 * MB, 1))
    (inode,) = segments(folder)
    views = [memory.view(config, 2 * MB)[0] for _ in range(3)]
    memory.delete(config)
    assert "/gone/" in segments(folder)[inode]
    while views:
        put(memory, pattern(2 * MB, 2))
        assert "/gone/" in segments(folder)[inode], "a segment that a reader has was taken"
        views.pop()
    last = put(memory, pattern(2 * MB, 3))
    assert last.endswith(os.path.basename(segments(folder)[inode]))


def test_a_view_is_writable_for_its_reader_alone(memory):
    for size in (1000, 2 * MB):
        data = pattern(size)
        config = put(memory, data)
        (first,), (second,) = memory.view(config, size), memory.view(config, size)
        first[:4] = b"mine"
        assert bytes(second) == data
        assert bytes(memory.read(config)) == data
        assert bytes(first[:4]) == b"mine"


def test_what_a_view_is_of(memory):
    config = put(memory, b"abc")
    assert bytes(memory.view(config, 2)[0]) == b"ab"
    with pytest.raises(ValueLost, match="not what was put"):
        memory.view(config, 4)
    with pytest.raises(InvalidArgumentError):
        memory.view(config, -1)
    assert bytes(memory.view(put(memory), 0)[0]) == b""


def test_all_views_of_a_value_hold_one_file(memory):
    config = put(memory, pattern(MB))
    before = open_files()
    views = [memory.view(config, MB) for _ in range(20)]
    assert open_files() == before + 1
    views.clear()
    assert open_files() == before


def test_views_are_copies_where_files_are_scarce(memory):
    """And nothing is left open by any verb."""
    config = put(memory, pattern(MB))
    before = open_files()
    configs = [put(memory, pattern(300_000, number)) for number in range(100)]
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(name) for name in os.listdir("/dev/fd")}
    free = next(islice((number for number in count() if number not in taken), 20, None))
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(free / 0.75), limits[1]))
    try:
        views = [memory.view(config, 300_000)[0] for config in configs]
        for number, view in enumerate(views):
            assert view == pattern(300_000, number)
        assert 10 < open_files() - before < 35
        del views, view
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for _ in range(10):
        memory.read(config)
        memory.writer({}).abort()
        memory.delete(put(memory, b"x"))
        next(iter(memory.read_stream(config)))
    assert open_files() == before


def test_a_childs_view_outlives_its_parents(memory, folder):
    data = pattern(2 * MB, "kept")
    config = put(memory, data)
    view = memory.view(config, 2 * MB)[0]
    ready, go = os.pipe()
    child = os.fork()
    if not child:
        os.read(ready, 1)
        os._exit(view != data)
    try:
        del view
        memory.delete(config)
        for number in range(10):
            config = put(memory, pattern(2 * MB, number))
            memory.delete(config)
    finally:
        os.write(go, b"x")
        _, status = os.waitpid(child, 0)
        os.close(ready)
        os.close(go)
    assert status == 0, "what a child had mapped was written again, as its parent let go of its own view"


def test_a_parents_view_outlives_its_childs(memory):
    data = pattern(2 * MB, "kept")
    config = put(memory, data)
    views = [memory.view(config, 2 * MB)[0]]

    def child():
        views.clear()
        gc.collect()
        memory.delete(config)
        for number in range(5):
            memory.delete(put(memory, pattern(2 * MB, number)))

    in_child(child)
    assert views[0] == data


def test_reading_goes_on_beside_writers_of_the_same_segments(memory):
    """Each read gives what was put, or tells that it is gone; views taken meanwhile stay right."""
    stop = threading.Event()
    names: list[tuple[str, int]] = []
    wrong: list[object] = []

    def write():
        number = 0
        while not stop.is_set():
            number += 1
            names.append((put(memory, pattern(MB, number)), number))
            if len(names) > 3:
                memory.delete(names.pop(0)[0])

    def read():
        kept = []
        while not stop.is_set():
            for config, number in names:
                try:
                    (view,) = memory.view(config, MB)
                    kept.append((view, number))
                    if bytes(memory.read(config)) != pattern(MB, number):
                        wrong.append(config)
                except ValueLost:
                    continue
            wrong.extend(number for view, number in kept if view != pattern(MB, number))
            del kept[:-3]

    threads = [threading.Thread(target=work) for work in (write, read, read)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("how", ["write", "writer"])
def test_a_writer_that_is_killed_leaves_nothing_torn(memory, folder, how):
    """Its unfinished segment is no value, and is written again once a collector has seen that it is dead."""
    put(memory, b"of this process")
    memory.delete(put(memory, pattern(8 * MB)))
    before = segments(folder)

    def child(report):
        def stop(*args):
            report(None)
            signal.pause()

        if how == "write":
            memory._here.room.maps.keep = stop  # when all is copied, and nothing is published
            put(memory, pattern(8 * MB, "torn"))
        else:
            writer = memory.writer({}, size=8 * MB)
            writer.write(pattern(MB, "torn"))
            stop()

    killed_child(child)
    assert len([path for path in segments(folder).values() if "/new-" in path]) == 1
    for item in memory.abandoned():
        assert list(item.configs()) == []
        item.release()
    assert list(memory.abandoned()) == []
    config = put(memory, pattern(8 * MB, "whole"))
    assert bytes(memory.read(config)) == pattern(8 * MB, "whole")
    assert segments(folder).keys() == before.keys()
    assert counted(folder) == taken(folder)


def test_a_new_segment_of_a_killed_writer_is_removed(memory, folder):
    """It may lack blocks, and to write those by a map could kill a process on a full disk."""
    put(memory, b"of this process")

    def child(report):
        writer = memory.writer({}, size=8 * MB)
        writer.write(pattern(MB, "torn"))
        report(None)
        signal.pause()

    killed_child(child)
    for item in memory.abandoned():
        item.release()
    assert len(segments(folder)) == 1
    assert counted(folder) == taken(folder) == resource.getpagesize()


def test_the_pieces_of_a_released_writer_stay_until_they_are_deleted(memory, folder):
    put(memory, b"of this process")
    theirs = killed_child(lambda report: die_after(report, put(memory, b"dead")))
    writer = theirs.split("/")[1]
    for item in memory.abandoned():
        assert list(item.configs()) == [[theirs]]
        item.release()
    assert list(memory.abandoned()) == []
    assert bytes(memory.read(theirs)) == b"dead"
    memory.delete(theirs)
    assert list(Path(folder).rglob(writer)) == []


def test_a_collector_need_not_be_part_of_the_session(memory, folder):
    put(memory, b"x")
    theirs = killed_child(lambda report: die_after(report, put(memory, b"dead")))
    other = LocalMemory("one", folder=folder)
    for item in other.abandoned():
        assert list(item.configs()) == [[theirs]]
        other.delete(theirs)
        item.release()
    assert list(other.abandoned()) == []
    assert other._here is None
    with pytest.raises(ValueLost, match="deleted"):
        memory.read(theirs)


def test_a_stream_takes_what_it_needs(memory, folder):
    data = pattern(5 * MB)
    for size in (None, 5 * MB, 1000, 20 * MB):
        with memory.writer({}, size=size) as writer:
            for start in range(0, len(data), 300_000):
                writer.write(data[start : start + 300_000])
            config = writer.commit(digest)
        assert bytes(memory.read(config)) == data
        (path,) = [path for path in segments(folder).values() if "/free/" not in path]
        assert os.path.getsize(path) <= 5 * MB * 5 / 4
        assert taken(folder) == counted(folder)
        memory.delete(config)
    writer = memory.writer({}, size=None)
    writer.write(data)
    del writer
    gc.collect()
    assert not [path for path in segments(folder).values() if "/new-" in path]


def test_a_write_that_is_told_to_stop_leaves_nothing(memory, folder):
    put(memory, b"x")
    for _ in range(2):  # into a new segment, and into a used one
        asked: list[None] = []

        def stop(asked=asked):
            asked.append(None)
            return len(asked) > 2

        data = pattern(8 * MB)
        with pytest.raises(Stopped):
            stoppable(stop, functools.partial(put, memory, data, data[:4], data))
        assert len([path for path in segments(folder).values() if "/free/" not in path]) == 1
        assert counted(folder) == taken(folder)
        memory.delete(put(memory, pattern(16 * MB + 4)))


@pytest.mark.parametrize("size", [0, 1, MB - 1, MB, 3 * MB + 1])
def test_copies(size):
    data = pattern(size)
    for source in (memoryview(data), memoryview(bytearray(data)), memoryview(b"x" + data)[1:]):
        target = bytearray(size + 20)
        copy(memoryview(target), 10, source)
        assert target == bytes(10) + data + bytes(10)
        with pytest.raises(ValueError, match="more than"):
            copy(memoryview(target), 21, source)
        assert target == bytes(10) + data + bytes(10)
        target += b"nothing is exported any more"


def test_a_large_value_begins_where_it_is_copied_well(memory, folder):
    data = bytearray(pattern(10 * MB + 100))
    starts: set[str] = set()
    for offset in range(0, 4096, 509):
        buffers: list[Any] = [pattern(300), memoryview(data)[offset : offset + 9 * MB], b"tail"]
        whole = b"".join(map(bytes, buffers))
        config = put(memory, *buffers)
        assert bytes(memory.read(config)) == whole
        assert b"".join(bytes(piece) for piece in memory.read_stream(config, 200, 5 * MB)) == whole[200 : 200 + 5 * MB]
        (view,) = memory.view(config, len(whole))
        assert view == whole
        (part,) = memory.view(config, 300)
        assert bytes(part) == whole[:300]
        starts.add(config.rpartition("-")[2] if config.count("-") == 2 else "0")
        del view, part
        memory.delete(config)
    assert len(starts) > 3
    assert all(int(start) % 64 == 0 for start in starts)
    assert len(segments(folder)) == 1, "the same was put again, and took another segment"


def test_a_start_that_a_config_invents_gives_nothing(memory):
    config = put(memory, b"abc")
    with pytest.raises(ValueLost):
        memory.read(f"{config}-1")


def test_maps_are_few():
    maps = Maps(3 * MB)
    for number in range(5):
        maps.keep(number, mmap.mmap(-1, MB))
    assert [number in maps for number in range(5)] == [False, False, True, True, True]
    maps.clear()
    assert 4 not in maps
