"""The limit, and who makes room: those longest unused, never one that a reader has."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from holdfast.errors import StorageFullError, ValueLost
from holdfast.storages.local import LocalMemory, place
from holdfast.testing.processes import in_child, killed_child

from ...mounts import linux_only, run_apart
from .programs import MB, counted, pattern, put, segments, stream, taken


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "memory")


@pytest.fixture
def memory(folder):
    memory = LocalMemory("one", folder=folder, size=10 * MB)
    yield memory
    memory.close()


def there(memory, configs):
    return [number for number, found in enumerate(memory.sync(configs)) if found]


def test_those_longest_unused_make_room(memory, folder):
    configs = [put(memory, pattern(MB, number)) for number in range(10)]
    memory.read(configs[0])
    memory.view(configs[1], MB)
    next(iter(memory.read_stream(configs[2])))
    configs.append(put(memory, pattern(MB, 10)))
    assert there(memory, configs) == [0, 1, 2, 4, 5, 6, 7, 8, 9, 10]
    configs.append(put(memory, pattern(3 * MB, 11)))
    assert there(memory, configs) == [0, 1, 2, 7, 8, 9, 10, 11]
    for number in there(memory, configs):
        size = 3 * MB if number == 11 else MB
        assert bytes(memory.read(configs[number])) == pattern(size, number)
    with pytest.raises(ValueLost, match=r"make room for others; set memory_size= higher"):
        memory.read(configs[3])
    with pytest.raises(ValueLost, match="make room"):
        memory.view(configs[4], MB)
    assert counted(folder) == taken(folder) <= 10 * MB


def test_a_deleted_one_does_not_say_that_it_made_room(memory):
    config = put(memory, b"x")
    memory.delete(config)
    with pytest.raises(ValueLost, match="deleted"):
        memory.read(config)


def test_reading_by_another_process_counts(memory):
    configs = [put(memory, pattern(MB, number)) for number in range(10)]
    in_child(lambda: bytes(memory.read(configs[0])) and None)
    put(memory, pattern(MB))
    assert there(memory, configs) == [0, 2, 3, 4, 5, 6, 7, 8, 9]


def test_another_process_makes_room_among_all(memory, folder):
    configs = [put(memory, pattern(MB, number)) for number in range(9)]
    theirs = in_child(lambda: [put(memory, pattern(MB, "child")) for _ in range(3)])
    assert there(memory, [*configs, *theirs]) == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert counted(folder) == taken(folder) == 10 * MB


def test_what_a_reader_has_mapped_is_never_taken(memory, folder):
    configs = [put(memory, pattern(MB, number)) for number in range(10)]
    views = [(number, memory.view(configs[number], MB)[0]) for number in range(8)]
    later = [put(memory, pattern(MB, number)) for number in range(10, 30)]
    assert there(memory, configs) == list(range(8))
    assert there(memory, later) == [18, 19]
    for number, view in views:
        assert view == pattern(MB, number)
    with pytest.raises(StorageFullError) as caught:
        put(memory, pattern(3 * MB))
    for words in ("10,485,760", "mapped by readers", "memory_size=", "memory_folder="):
        assert words in str(caught.value)
    assert there(memory, later) == [18, 19], "values were removed, and for nothing"
    assert counted(folder) == taken(folder) == 10 * MB
    views.pop()
    del view
    put(memory, pattern(3 * MB))
    assert there(memory, configs) == list(range(7))


def test_a_childs_views_are_never_taken(memory):
    configs = [put(memory, pattern(MB, number)) for number in range(10)]
    ready, told = os.pipe()
    waiting, go = os.pipe()
    child = os.fork()
    if not child:
        view = memory.view(configs[0], MB)[0]
        os.write(told, b"x")
        os.read(waiting, 1)
        os._exit(view != pattern(MB, 0))
    try:
        os.read(ready, 1)
        for number in range(20):
            put(memory, pattern(MB, number))
        assert there(memory, configs) == [0]
    finally:
        os.write(go, b"x")
        _, status = os.waitpid(child, 0)
        for fd in (ready, told, waiting, go):
            os.close(fd)
    assert status == 0


def test_free_ones_go_before_values(memory, folder):
    kept = [put(memory, pattern(MB, number)) for number in range(5)]
    for config in [put(memory, pattern(MB)) for _ in range(5)]:
        memory.delete(config)
    view = memory.view(kept[0], MB)
    memory.delete(kept[0])
    kept.append(put(memory, pattern(4 * MB, "large")))
    assert there(memory, kept) == [1, 2, 3, 4, 5]
    del view
    kept.append(put(memory, pattern(2 * MB, "large")))
    assert there(memory, kept) == [1, 2, 3, 4, 5, 6], "values went, and not what had been read when it was deleted"
    assert counted(folder) == taken(folder) <= 10 * MB


@pytest.mark.parametrize("size", [10 * MB + 1, 1 << 50])
def test_what_is_larger_than_the_limit_is_refused_at_once(memory, size, folder):
    config = put(memory, pattern(MB))

    with pytest.raises(StorageFullError, match=r"more than the memory of this store may keep, 10,485,760"):
        memory.writer({}, size=size)
    if size < 1 << 30:
        with pytest.raises(StorageFullError, match="memory_size="):
            put(memory, bytes(size))
    assert there(memory, [config]) == [0]
    assert counted(folder) == taken(folder) == MB


def test_what_is_as_large_as_the_limit_is_taken(folder):
    memory = LocalMemory("one", folder=folder, size=10 * MB - 1000)
    data = pattern(10 * MB - 1000)
    for _ in range(3):
        config = put(memory, data)
        assert bytes(memory.read(config)) == data
    memory.close()


def test_a_stream_beyond_the_limit_is_taken_back(memory, folder):
    put(memory, pattern(MB))
    with pytest.raises(StorageFullError):
        stream(memory, 100)
    assert len(segments(folder)) <= 1
    assert counted(folder) == taken(folder)
    config = put(memory, pattern(9 * MB))
    assert bytes(memory.read(config)) == pattern(9 * MB)


def test_a_stream_makes_room(memory, folder):
    configs = [put(memory, pattern(MB, number)) for number in range(10)]
    config = stream(memory, 5)
    assert bytes(memory.read(config)) == pattern(MB, "stream") * 5
    assert 9 in there(memory, configs)
    assert 0 not in there(memory, configs)
    assert counted(folder) == taken(folder) <= 10 * MB


def test_what_is_counted_wrongly_is_put_right_when_it_matters(memory, folder):
    """As when a process is killed between counting a segment and making it."""
    config = put(memory, pattern(MB))
    (room,) = Path(folder).rglob("room")
    room.write_bytes((9 * MB).to_bytes(8, "little"))
    other = put(memory, pattern(7 * MB))
    assert there(memory, [config, other]) == [0, 1]
    assert counted(folder) == taken(folder) == 8 * MB


def test_what_died_unfinished_makes_room_first(memory, folder):
    config = put(memory, pattern(MB))

    def child(report):
        writer = memory.writer({}, size=7 * MB)
        report(None)
        signal.pause()
        writer.abort()

    killed_child(child)
    assert taken(folder) == 8 * MB
    other = put(memory, pattern(7 * MB))
    assert there(memory, [config, other]) == [0, 1]
    assert counted(folder) == taken(folder) == 8 * MB


def test_small_values_in_a_full_memory(memory, folder):
    """Many times: one look at all values must serve many of them."""
    configs = [put(memory, pattern(40_000, number)) for number in range(1500)]
    kept = there(memory, configs)
    assert kept == list(range(1500 - len(kept), 1500))
    assert len(kept) == 10 * MB // 40_960
    assert bytes(memory.read(configs[-1])) == pattern(40_000, 1499)
    assert counted(folder) == taken(folder)


def test_the_size_that_is_not_said(tmp_path, monkeypatch):
    found = os.statvfs(tmp_path)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr(place, "_CGROUP", str(tmp_path / "max"))
    assert place.default_size(str(tmp_path)) == min(found.f_blocks * found.f_frsize, memory) // 2
    (tmp_path / "max").write_text("max\n")
    assert place.default_size(str(tmp_path)) == min(found.f_blocks * found.f_frsize, memory) // 2
    (tmp_path / "max").write_text(f"{100 * MB}\n")
    assert place.default_size(str(tmp_path)) == 50 * MB


# --- small disks ----------------------------------------------------------------------------------------------------


@linux_only
@pytest.mark.parametrize("scene", ["full", "small_shm", "no_shm", "large_shm"])
def test_scene(scene: str, tmp_path: Path) -> None:
    run_apart("-m", "tests.storages.local.small_shm", scene, str(tmp_path), TMPDIR=str(tmp_path))
