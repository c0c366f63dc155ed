"""Copies on the local disk: what they may be believed for, what they take, and what many processes do with them."""

from __future__ import annotations

import fcntl
import gc
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from holdfast.errors import IntegrityError, InvalidArgumentError, StoreError, ValueLost
from holdfast.hashing import BLAKE3, NONE, SHA256, check_digest
from holdfast.storages.cache import DiskCache
from holdfast.storages.cache.pins import Pins
from holdfast.storages.cache.room import FILLING, copies
from holdfast.testing.processes import in_child, killed_child

from .remote.helpers import pattern

KB, MB = 1 << 10, 1 << 20


class Source:
    """Bytes that lie elsewhere, and how often they were asked for."""

    def __init__(self, size: int = 100 * KB, seed: int = 0) -> None:
        self.data = pattern(size, seed)
        self.digest = blake3(self.data).digest()
        self.asked = 0

    def __call__(self) -> Iterator[bytes]:
        self.asked += 1
        for start in range(0, len(self.data), 30_000):
            yield self.data[start : start + 30_000]

    def map(self, cache: DiskCache) -> Any:
        return cache.map(BLAKE3, self.digest, len(self.data), self, "namespace:x/key")

    def open(self, cache: DiskCache) -> Any:
        return cache.open(BLAKE3, self.digest, len(self.data), self, "namespace:x/key")


@pytest.fixture
def cache(tmp_path):
    return DiskCache(tmp_path / "cache", 10 * MB)


def copy_of(cache: DiskCache, source: Source) -> Path:
    return Path(cache.folder) / source.digest.hex()[:2] / f"{BLAKE3}-{source.digest.hex()}-{len(source.data)}"


def test_what_is_fetched_once_is_here(cache):
    source = Source()
    for _ in range(3):
        assert source.map(cache) == source.data
    assert source.asked == 1
    assert DiskCache(cache.folder, cache.limit).usage() == (1, len(source.data))
    with source.open(cache) as file:
        assert file.seek(50_000) == 50_000
        assert file.read(10) == source.data[50_000:50_010]
    assert source.asked == 1


def test_a_map_is_private_and_writable(cache):
    source = Source()
    view = source.map(cache)
    assert view is not None
    assert (view.format, view.readonly, view.nbytes) == ("B", False, len(source.data))
    view[:5] = b"mine!"
    assert source.map(cache) == source.data
    assert source.asked == 1


def test_the_folder_is_for_its_user_alone(cache):
    source = Source()
    source.map(cache)
    assert os.stat(cache.folder).st_mode & 0o777 == 0o700
    assert copy_of(cache, source).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("algorithm", "digest", "size"),
    [(NONE, b"", 5), (BLAKE3, None, 5), (BLAKE3, b"x" * 32, 0), (BLAKE3, b"x" * 32, 11 * MB), (77, b"x" * 32, 5)],
)
def test_what_is_not_kept(cache, algorithm, digest, size):
    def never() -> Iterator[bytes]:
        raise AssertionError("was asked")

    assert cache.map(algorithm, digest, size, never, "x") is None
    assert cache.open(algorithm, digest, size, never, "x") is None
    assert cache.usage() == (0, 0)


def test_other_digests(cache):
    from hashlib import sha256

    data = b"small"
    assert cache.map(SHA256, sha256(data).digest(), 5, lambda: [data], "x") == data


# --- believed or not -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [b"", b"x" * 100 * KB, pattern(100 * KB) + b"x", pattern(100 * KB)[:-1]])
def test_wrong_bytes_are_told_and_not_kept(cache, wrong):
    source = Source()
    with pytest.raises(IntegrityError, match="namespace:x/key"):
        cache.map(BLAKE3, source.digest, len(source.data), lambda: [wrong], "namespace:x/key")
    assert cache.usage() == (0, 0)
    assert source.map(cache) == source.data


def test_an_error_of_the_source_is_told(cache):
    source = Source()

    def lost() -> Iterator[bytes]:
        yield source.data[:1000]
        raise ValueLost("gone")

    with pytest.raises(ValueLost, match="gone"):
        cache.map(BLAKE3, source.digest, len(source.data), lost, "x")

    def broken() -> Iterator[bytes]:
        if source.asked == 0:
            raise StoreError("no network")
        yield b""

    with pytest.raises(StoreError, match="no network"):
        cache.map(BLAKE3, source.digest, len(source.data), broken, "x")
    assert os.listdir(f"{cache.folder}/new") == []
    assert source.map(cache) == source.data


def alter(path: Path) -> None:
    with open(path, "r+b") as file:
        file.seek(500)
        file.write(b"altered")


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"x" * path.stat().st_size)
    other.rename(path)


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    "touch", [alter, replace, lambda path: os.truncate(path, 99_999), lambda path: os.truncate(path, 200_000)]
)
def test_a_copy_that_was_altered_is_fetched_anew(cache, touch):
    source = Source()
    source.map(cache)
    touch(copy_of(cache, source))
    assert source.map(cache) == source.data
    assert source.asked == 2


def test_a_link_in_the_place_of_a_copy_is_not_followed(cache):
    source = Source()
    source.map(cache)
    link(copy_of(cache, source))
    assert source.map(cache) is None, "nobody knows what it is, and who asked reads from afar"


def test_a_copy_that_was_touched_is_hashed_once(cache, monkeypatch):
    """And found to be as it was: it is not fetched."""
    hashed: list[str] = []

    def counted(algorithm: int, digest: bytes, pieces: Any, where: str) -> None:
        hashed.append(where)
        check_digest(algorithm, digest, pieces, where)

    monkeypatch.setattr("holdfast.storages.cache.cache.check_digest", counted)
    source = Source()
    source.map(cache)
    source.map(cache)
    assert hashed == []
    os.utime(copy_of(cache, source))
    for _ in range(3):
        assert source.map(cache) == source.data
    assert (len(hashed), source.asked) == (1, 1)


def test_a_copy_of_an_earlier_start_of_the_machine_is_hashed(cache):
    """After a power cut a file may have its full size and be zeros, with the times that it should have."""
    source = Source()
    source.map(cache)
    path = copy_of(cache, source)
    seen = path.with_name(path.name + ".seen")
    boot, _, identity = seen.read_text().partition(" ")
    seen.write_text(f"another-boot {identity}")
    assert source.map(cache) == source.data
    assert source.asked == 1
    assert seen.read_text() == f"{boot} {identity}"
    alter(path)
    found = os.stat(path)
    seen.write_text(
        f"another-boot {found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
    )
    assert source.map(cache) == source.data
    assert source.asked == 2


# --- room ----------------------------------------------------------------------------------------------------------


def test_the_least_recently_used_make_room(tmp_path):
    cache = DiskCache(tmp_path / "cache", MB)
    sources = [Source(200 * KB, seed) for seed in range(5)]
    for age, source in enumerate(sources):
        source.map(cache)
        seen = copy_of(cache, source)
        os.utime(seen.with_name(seen.name + ".seen"), (1000 + age, 1000 + age))
    sources[0].map(cache)  # now the last one used
    Source(200 * KB, 9).map(cache)
    assert cache.usage().size <= MB
    there = [copy_of(cache, source).exists() for source in sources]
    assert there == [True, False, False, True, True]


def test_the_limit_holds(tmp_path):
    cache = DiskCache(tmp_path / "cache", MB)
    for seed in range(40):
        source = Source(90 * KB + seed * KB, seed)
        assert source.map(cache) == source.data
        assert cache.usage().size <= MB
    assert cache.usage().size > MB // 2


def test_what_is_mapped_is_not_removed(tmp_path):
    cache = DiskCache(tmp_path / "cache", MB)
    mapped = [Source(200 * KB, seed) for seed in range(4)]
    views = [source.map(cache) for source in mapped]
    for seed in range(10, 20):
        Source(200 * KB, seed).map(cache)
    assert all(copy_of(cache, source).exists() for source in mapped)
    file = Source(100 * KB, 50).open(cache)
    assert Source(500 * KB, 99).map(cache) is None, "there is no room beside what is mapped"
    assert cache.usage().size <= MB
    file.close()
    del views, file
    gc.collect()
    large = Source(900 * KB, 98)
    assert large.map(cache) == large.data
    assert cache.usage().size <= MB


def test_what_another_process_has_mapped_is_not_removed(tmp_path):
    cache = DiskCache(tmp_path / "cache", MB)
    source = Source(500 * KB)
    source.map(cache)
    gc.collect()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            view = source.map(cache)
            os.write(writing, b"mapped" if view == source.data else b"broken")
            signal.pause()
        finally:
            os._exit(1)
    try:
        assert os.read(reading, 6) == b"mapped"
        for seed in range(1, 10):
            Source(300 * KB, seed).map(cache)
        assert copy_of(cache, source).exists()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    for seed in range(1, 10):
        Source(400 * KB, seed + 100).map(cache)
    assert not copy_of(cache, source).exists(), "a process that is gone keeps nothing"


def test_a_forked_child_keeps_its_maps(tmp_path):
    """It inherits them, and not the locks of its parent, which may let go."""
    cache = DiskCache(tmp_path / "cache", MB)
    source = Source(500 * KB)
    view = source.map(cache)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, b"x")
            signal.pause()
        finally:
            os._exit(1)
    try:
        os.read(reading, 1)
        del view
        gc.collect()
        for seed in range(1, 10):
            Source(300 * KB, seed).map(cache)
        assert copy_of(cache, source).exists()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_maps_hold_no_descriptors(cache):
    source = Source()
    source.map(cache)
    before = len(os.listdir("/dev/fd"))
    views = [source.map(cache) for _ in range(100)]
    assert len(os.listdir("/dev/fd")) == before
    assert len(views) == 100


def test_clear(cache):
    kept, gone = Source(100 * KB, 1), Source(100 * KB, 2)
    view = kept.map(cache)
    gone.map(cache)
    gc.collect()
    cache.clear()
    assert cache.usage() == (1, 100 * KB)
    assert view == kept.data


def test_a_full_disk_is_no_error(tmp_path):
    cache = DiskCache(tmp_path / "cache", 10 * MB)
    source = Source(MB)

    def work() -> Any:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300 * KB, resource.RLIM_INFINITY))
        assert source.map(cache) is None
        assert os.listdir(f"{cache.folder}/new") == []
        return cache.usage()

    assert in_child(work) == [0, 0]
    assert source.map(cache) == source.data


def test_a_folder_that_was_removed_is_no_error(cache):
    import shutil

    shutil.rmtree(cache.folder)
    assert Source().map(cache) is None


@pytest.mark.parametrize("limit", [0, -1, True])
def test_a_limit_is_a_positive_number(tmp_path, limit):
    with pytest.raises(InvalidArgumentError, match="limit"):
        DiskCache(tmp_path, limit)


def test_a_folder_that_is_none(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot be a cache"):
        DiskCache(tmp_path / "file", MB)


# --- many at once --------------------------------------------------------------------------------------------------


def test_a_copy_that_is_finished_between_the_look_and_the_fetch_is_taken(cache, monkeypatch):
    source, real = Source(), DiskCache._open
    late = iter([None])

    def look(self, *arguments):  # the first look was before the copy was there
        return next(late, True) and real(self, *arguments)

    source.map(cache)
    monkeypatch.setattr(DiskCache, "_open", look)
    assert source.map(cache) == source.data
    assert source.asked == 1
    assert os.listdir(Path(cache.folder) / FILLING) == []


def test_many_threads_fetch_once(cache):
    source = Source(MB)
    results: list[bool] = []
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        results.append(source.map(cache) == source.data)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 8
    assert source.asked == 1


MANY = """
import random, sys
sys.path[:0] = [{root!r}]
from holdfast.storages.cache import DiskCache
from tests.storages.test_cache import KB, MB, Source

cache = DiskCache({folder!r}, MB)
sources = [Source(60 * KB + seed * KB, seed) for seed in range(30)]
chance = random.Random(int(sys.argv[1]))
held = []
for turn in range(400):
    source = chance.choice(sources)
    view = source.map(cache)
    assert view is None or view == source.data
    held.append(view)
    if len(held) > 4:
        del held[chance.randrange(len(held))]
print("ok")
"""


@pytest.mark.long
def test_many_processes(tmp_path):
    folder, root = str(tmp_path / "cache"), str(Path(__file__).parents[2])
    script = MANY.format(root=root, folder=folder)
    running = [
        subprocess.Popen([sys.executable, "-c", script, str(seed)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for seed in range(4)
    ]
    deadline = time.monotonic() + 60
    while any(process.poll() is None for process in running) and time.monotonic() < deadline:
        assert _settled(folder) <= MB
        time.sleep(0.01)
    for process in running:
        out, err = process.communicate()
        assert out == b"ok\n", err.decode()
    assert DiskCache(folder, MB).usage().size <= MB
    assert os.listdir(f"{folder}/new") == []


def _settled(folder: str) -> int:
    """What the copies take at one moment, at which none can be removed, nor begun."""
    try:
        with open(f"{folder}/total", "rb") as total:
            fcntl.flock(total, fcntl.LOCK_SH)
            return sum(copy.size for copy in copies(folder))
    except FileNotFoundError:
        return 0  # not made yet


def test_a_process_that_is_killed_while_it_fetches(tmp_path):
    cache = DiskCache(tmp_path / "cache", MB)
    source = Source(500 * KB)

    killed_child(lambda report: _half(cache, source, report))
    assert len(os.listdir(f"{cache.folder}/new")) == 1
    assert cache.usage() == (0, 0)
    assert source.map(cache) == source.data
    killed_child(lambda report: _half(cache, Source(500 * KB, 1), report))
    for seed in range(2, 8):
        assert Source(400 * KB, seed).map(cache) is not None, "what was left takes no room for ever"
    assert os.listdir(f"{cache.folder}/new") == []


def _half(cache: DiskCache, source: Source, report: Any) -> None:
    def slow() -> Iterator[bytes]:
        yield source.data[:1000]
        report(None)
        time.sleep(60)

    cache.map(BLAKE3, source.digest, len(source.data), slow, "x")


def test_pins_are_let_go_by_the_garbage_collector_at_any_moment(tmp_path):
    """A release may come while the very lock that it needs is held by the same thread."""
    pins = Pins.of(str(tmp_path / "pins"))
    byte = pins.pin("a")
    with pins._lock:
        pins.release(byte)
    pins.pin("b")
    assert pins._byte("a") not in pins._counts
    assert Pins.of(str(tmp_path / "pins")) is pins
