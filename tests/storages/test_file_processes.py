"""Writers' folders among real processes: forked, killed, many at once, and collectors at work beside them."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from holdfast.errors import ClosedError
from holdfast.payload import Payload
from holdfast.storages.file import FileStorage
from holdfast.storages.file import folders as module
from holdfast.testing.processes import in_child, killed_child

PROGRAM = """
import sys
from holdfast.payload import Payload
from holdfast.storages.file import FileStorage
storage = FileStorage(sys.argv[1])
print(storage.write(Payload([b"from another program"], "text/plain"), lambda: (0, b""), {}), flush=True)
sys.stdin.read()
"""


def digest():
    return 0, b""


def put(storage, data):
    return storage.write(Payload([data], "text/plain"), digest, {})


def sweep(storage, *, release=True):
    """The configs of all dead writers, which are released."""
    found = []
    for item in storage.abandoned():
        for batch in item.configs():
            found += batch
        if release:
            item.release()
    return found


def writer_of(config):
    return config.split("/")[0]


@pytest.fixture
def storage(tmp_path):
    storage = FileStorage(tmp_path / "files")
    yield storage
    storage.close()


@pytest.fixture
def collector(storage):
    return FileStorage(storage.root)


def test_a_program_that_ended_or_was_killed_is_swept_once(storage, collector):
    for end in ("kill", "exit"):
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, storage.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert program.stdout is not None
        config = program.stdout.readline().strip()
        assert bytes(storage.read(config)) == b"from another program"
        assert sweep(collector) == [], "a live writer was swept"
        if end == "kill":
            program.kill()
        program.communicate()
        assert sweep(collector) == [config]
        assert sweep(collector) == []
        assert bytes(storage.read(config)) == b"from another program"
        storage.delete(config)
        assert not os.path.exists(f"{storage.root}/{writer_of(config)}"), "an empty folder of a dead writer stayed"


def test_a_live_writers_empty_folder_stays(storage, collector):
    config = put(storage, b"x")
    collector.delete(config)
    assert bytes(storage.read(put(storage, b"y"))) == b"y"


def test_our_own_folder_is_never_abandoned(storage):
    put(storage, b"x")
    assert list(storage.abandoned()) == []


def test_two_collectors_do_not_sweep_one_folder(storage, collector):
    config = put(storage, b"x")
    storage.close()
    held = list(collector.abandoned())
    assert [list(item.configs()) for item in held] == [[[config]]]
    assert sweep(FileStorage(storage.root)) == []
    in_other_process = in_child(lambda: sweep(FileStorage(storage.root)))
    assert in_other_process == []
    held.clear()
    assert sweep(FileStorage(storage.root)) == [config], "a collector that gave up keeps the lock"


def test_a_sweep_that_was_not_finished_is_done_again(storage, collector):
    config = put(storage, b"x")
    storage.close()
    assert sweep(collector, release=False) == [config]
    assert sweep(collector) == [config]


def test_a_collector_in_the_way_of_nobody(storage, collector):
    """Other things in the folder are left alone."""
    config = put(storage, b"x")
    storage.close()
    root = Path(storage.root)
    (root / "README").write_text("mine")
    (root / "lost+found").mkdir()
    (root / "new-what-ever").mkdir()
    (root / ("0" * 18)).write_text("a file, not a folder")
    (root / writer_of(config) / "notes.txt").write_text("mine too")
    assert sweep(collector) == [config]
    storage.delete(config)
    assert (root / writer_of(config) / "notes.txt").read_text() == "mine too"
    assert sorted(path.name for path in root.iterdir()) == sorted(
        ["README", "lost+found", "new-what-ever", "0" * 18, writer_of(config)]
    )


@pytest.mark.parametrize("step", ["mkdir", "open", "rename"])
def test_what_died_half_made_is_removed(storage, collector, step):
    """Killed just after each step of making a writer's folder."""
    put(storage, b"the root is there")

    def child(report):
        call = getattr(os, step)

        def then_stop(path, *args, **kwargs):
            result = call(path, *args, **kwargs)
            if module._NEW in path:  # not the folder above
                report(sorted(os.listdir(storage.root)))
                signal.pause()
            return result

        setattr(os, step, then_stop)
        put(FileStorage(storage.root), b"never")

    names = killed_child(child)
    assert len(names) == 2
    assert sweep(collector) == []
    assert len(os.listdir(storage.root)) == 1, os.listdir(storage.root)


def test_a_folder_is_never_seen_without_its_held_lock(storage):
    """Collectors at full speed beside writers that begin all the time: no file of a live writer is ever reported,
    and no writer fails because its half-made folder was taken away."""
    stop = Path(storage.root).parent / "stop"
    put(storage, b"x")

    def collect():
        mine = FileStorage(storage.root)
        wrong = []
        while not stop.exists():
            for item in mine.abandoned():
                wrong += [config for batch in item.configs() for config in batch]
                item.release()
        return wrong

    results: list[list[str]] = []
    collectors = [threading.Thread(target=lambda: results.append(in_child(collect))) for _ in range(2)]
    for thread in collectors:
        thread.start()
    try:

        def begin():
            kept = [FileStorage(storage.root) for _ in range(300)]
            configs = [put(one, b"alive") for one in kept]
            assert [bytes(storage.read(config)) for config in configs] == [b"alive"] * 300
            for one, config in zip(kept, configs, strict=True):
                one.delete(config)
                one.close()  # the folder is empty, so that nothing is left to be swept

        for _ in range(3):
            in_child(begin)
    finally:
        stop.touch()
        for thread in collectors:
            thread.join()
    assert results == [[], []]


def test_a_maker_whose_half_made_folder_is_taken_makes_another(storage, collector, monkeypatch):
    """A collector that comes between any two steps of making a folder."""
    for step in ("mkdir", "open", "flock"):
        place = fcntl if step == "flock" else os
        call = getattr(place, step)
        swept: list[bool] = []

        def and_then_collect(*args, call=call, swept=swept, **kwargs):
            result = call(*args, **kwargs)
            if not swept and (not isinstance(args[0], str) or module._NEW in args[0]):
                swept.append(True)
                for name in os.listdir(storage.root):
                    if name.startswith(module._NEW):
                        for file in os.listdir(f"{storage.root}/{name}"):
                            os.unlink(f"{storage.root}/{name}/{file}")
                        os.rmdir(f"{storage.root}/{name}")
            return result

        with monkeypatch.context() as patch:
            patch.setattr(place, step, and_then_collect)
            one = FileStorage(storage.root)
            config = put(one, b"x")
        assert swept
        assert bytes(storage.read(config)) == b"x"
        assert sweep(collector) == []
        one.close()
        assert sweep(collector) == [config]


# --- fork ---------------------------------------------------------------------------------------------------------


def test_a_child_writes_to_a_folder_of_its_own(storage, collector):
    ours = put(storage, b"parent")
    theirs = in_child(lambda: [put(storage, b"child"), put(storage, b"child")])
    assert writer_of(theirs[0]) == writer_of(theirs[1]) != writer_of(ours)
    assert writer_of(put(storage, b"parent")) == writer_of(ours)
    assert sorted(sweep(collector)) == sorted(theirs), "the child's end must free its folder, and not ours"


def test_a_child_that_lives_on_does_not_hold_its_dead_parents_lock(storage, collector):
    """The lock is on a description that fork shares; a child that kept it would keep the parent alive for ever."""

    def parent(report):
        mine = put(storage, b"parent")
        reading, writing = os.pipe()
        grandchild = os.fork()
        if not grandchild:
            os.setsid()
            os.write(writing, put(storage, b"child").encode())
            os.close(writing)
            time.sleep(60)
            os._exit(0)
        report([mine, os.read(reading, 100).decode(), grandchild])
        signal.pause()

    mine, theirs, grandchild = killed_child(parent)
    try:
        assert sweep(collector) == [mine]
        assert bytes(collector.read(theirs)) == b"child"
    finally:
        os.kill(grandchild, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while not (found := sweep(collector)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert found == [theirs]


def test_a_started_program_does_not_hold_our_lock(storage, collector):
    config = put(storage, b"x")
    program = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        storage.close()
        assert sweep(collector) == [config]
    finally:
        program.kill()
        program.wait()


def test_a_collectors_child_does_not_hold_what_it_sweeps(storage, collector):
    config = put(storage, b"x")
    storage.close()
    items = list(collector.abandoned())
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, b"forked")
        time.sleep(60)
        os._exit(0)
    try:
        assert os.read(reading, 10) == b"forked"
        items.clear()
        assert sweep(collector) == [config]
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(writing)
        os.close(reading)


def test_a_writer_begun_before_a_fork_is_the_parents(storage):
    writer = storage.writer({})
    writer.write(b"parent")

    def child():
        with pytest.raises(ClosedError, match="fork"):
            writer.write(b"child")
        with pytest.raises(ClosedError, match="fork"):
            writer.commit(digest)
        writer.abort()
        return True

    assert in_child(child)
    assert bytes(storage.read(writer.commit(digest))) == b"parent"


@pytest.mark.long
def test_forks_among_threads_that_begin_writers(storage):
    """No child hangs on a lock that a thread of its parent held, and none takes a lock with it unknowingly."""
    stop = threading.Event()

    def begin():
        while not stop.is_set():
            one = FileStorage(storage.root)
            one.delete(put(one, b"x"))
            one.close()

    threads = [threading.Thread(target=begin) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            assert in_child(lambda: [put(storage, b"y"), sum(lock.held for lock in module._held)])[1] == 1
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_many_processes_and_threads_at_once(storage):
    """4 processes with 4 threads each, 50 writes a thread: each piece is there, whole, under a config of its own."""

    def work():
        configs: list[list[str]] = []

        def write(thread):
            for number in range(50):
                data = f"{os.getpid()}/{thread}/{number}/"
                configs.append([put(storage, data.encode() * 100), data])

        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return configs

    results: list[list[str]] = []
    runners = [threading.Thread(target=lambda: results.extend(in_child(work))) for _ in range(4)]
    for thread in runners:
        thread.start()
    for thread in runners:
        thread.join()
    assert len({config for config, _ in results}) == 800
    for config, data in results:
        assert bytes(storage.read(config)) == data.encode() * 100


def test_ids_are_in_the_order_of_time_and_never_alike(monkeypatch):
    ids = []
    for milliseconds in (0, 1, 31, 32, 1_800_000_000_000, 1_800_000_000_001, 34_000_000_000_000):
        monkeypatch.setattr(time, "time_ns", lambda now=milliseconds: now * 1_000_000)
        ids.append(module.new_writer_id())
    assert ids == sorted(ids)
    assert all(module._WRITER.fullmatch(name) for name in ids)
    assert len({module.new_writer_id() for _ in range(10_000)}) == 10_000
