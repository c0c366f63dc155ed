"""The file storage beyond the suite: its folder, its errors, its writes under faults."""

from __future__ import annotations

import errno
import gc
import os
import pickle
import resource
import stat
import sys
from io import FileIO
from pathlib import Path

import pytest

from holdfast.errors import (
    ClosedError,
    InvalidArgumentError,
    NotAStoreError,
    ReadOnlyError,
    StorageFullError,
    StoreError,
    StoreNotFoundError,
    ValueLost,
)
from holdfast.payload import Buffer, Payload
from holdfast.storages.file import FileStorage
from holdfast.testing.processes import in_child

MB = 1 << 20


def digest():
    return 0, b""


def put(storage, *buffers, sync=False):
    return storage.write(Payload(buffers, "text/plain"), digest, {}, sync=sync)


def files(storage) -> list[str]:
    return sorted(str(path.relative_to(storage.root)) for path in Path(storage.root).rglob("*") if path.is_file())


@pytest.fixture
def storage(tmp_path):
    storage = FileStorage(tmp_path / "files")
    yield storage
    storage.close()


# --- the folder ---------------------------------------------------------------------------------------------------


def test_nothing_is_made_before_the_first_write(tmp_path):
    storage = FileStorage(tmp_path / "a" / "b")
    assert list(storage.abandoned()) == []
    storage.close()
    assert os.listdir(tmp_path) == []


def test_the_layout(storage):
    config = put(storage, b"abc")
    writer, number = config.split("/")
    assert number == "0"
    assert files(storage) == sorted([config, f"{writer}/lock"])
    assert (Path(storage.root) / config).read_bytes() == b"abc"


@pytest.mark.parametrize("umask, folder, file", [(0o000, 0o700, 0o600), (0o022, 0o700, 0o600), (0o277, 0o500, 0o400)])
def test_rights(tmp_path, umask, folder, file):
    """As private as can be, and never more open than the umask says (0o277 stops root from nothing)."""
    storage = FileStorage(tmp_path / "files")
    before = os.umask(umask)
    try:
        if os.geteuid() and umask & 0o200:
            with pytest.raises(ReadOnlyError):
                put(storage, b"x")
            return
        config = put(storage, b"x")
    finally:
        os.umask(before)
    place = Path(storage.root) / config
    assert stat.S_IMODE(place.stat().st_mode) == file
    assert stat.S_IMODE(place.parent.stat().st_mode) == folder
    assert stat.S_IMODE(Path(storage.root).stat().st_mode) == folder


def test_a_relative_folder_stays_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    storage = FileStorage("files")
    config = put(storage, b"abc")
    monkeypatch.chdir("/")
    assert bytes(storage.read(config)) == b"abc"
    assert storage.root == str(tmp_path / "files")


def test_a_folder_can_be_moved(storage, tmp_path):
    config = put(storage, b"abc")
    storage.close()
    os.rename(storage.root, tmp_path / "moved")
    assert bytes(FileStorage(tmp_path / "moved").read(config)) == b"abc"


def test_a_storage_is_pickled_as_its_folder(storage):
    config = put(storage, b"abc")
    other = pickle.loads(pickle.dumps(storage))
    assert bytes(other.read(config)) == b"abc"
    assert put(other, b"def").split("/")[0] != config.split("/")[0]
    other.close()


def test_a_removed_folder_does_not_stop_later_writes(storage):
    put(storage, b"abc")
    Path(storage.root).rename(storage.root + ".away")
    config = put(storage, b"def")
    assert bytes(storage.read(config)) == b"def"
    with storage.writer({}) as writer:
        writer.write(b"ghi")
        assert bytes(storage.read(writer.commit(digest))) == b"ghi"


@pytest.mark.parametrize("root", ["", b"bytes", 17, None, "a\0b"])
def test_a_folder_is_a_path(root):
    with pytest.raises(InvalidArgumentError, match="path"):
        FileStorage(root)


# --- trouble with the medium --------------------------------------------------------------------------------------


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        storage = FileStorage(root)
        for work in (
            lambda storage: put(storage, b"x"),
            lambda storage: storage.writer({}),
            lambda storage: storage.read("0" * 18 + "/1"),
            lambda storage: storage.identity("0" * 18 + "/1"),
            lambda storage: storage.delete("0" * 18 + "/1"),
            lambda storage: list(storage.abandoned()),
        ):
            with pytest.raises(NotAStoreError, match="something else than a folder"):
                work(storage)


def test_a_missing_folder_does_not_mean_that_values_are_lost(storage):
    """A disk that is not mounted must not make the store give up its records."""
    config = put(storage, b"abc")
    os.rename(storage.root, storage.root + ".away")
    for verb in (storage.read, storage.identity, storage.open, storage.delete, lambda config: storage.map(config, 3)):
        with pytest.raises(StoreNotFoundError, match="mount it"):
            verb(config)
    with pytest.raises(StoreNotFoundError):
        storage.sync([config])
    with pytest.raises(StoreNotFoundError):
        list(storage.read_stream(config))
    os.rename(storage.root + ".away", storage.root)
    assert bytes(storage.read(config)) == b"abc"


def test_a_folder_that_may_not_be_written(storage, tmp_path):
    config = put(storage, b"abc")
    for path in Path(storage.root).rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    Path(storage.root).chmod(0o755)
    reachable = tmp_path
    while reachable != reachable.parent:  # an ordinary user must get as far as the folder
        if os.stat(reachable).st_uid == os.geteuid():
            reachable.chmod(0o755)
        reachable = reachable.parent

    def as_somebody_else():
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        else:
            for path in (Path(storage.root), Path(storage.root) / config.split("/")[0]):
                path.chmod(0o555)
        told = []
        other = FileStorage(storage.root)
        assert bytes(other.read(config)) == b"abc"
        for work in (lambda: put(other, b"x"), lambda: other.writer({}), lambda: other.delete(config)):
            with pytest.raises(ReadOnlyError) as caught:
                work()
            told.append(str(caught.value))
        return told

    for message in in_child(as_somebody_else):
        assert storage.root in message
        assert "may not be written by this user: Permission denied" in message
    assert bytes(storage.read(config)) == b"abc"


def test_a_file_that_may_not_be_read(storage):
    config = put(storage, b"abc")
    path = Path(storage.root) / config
    path.unlink()
    path.mkdir()
    for verb in (storage.read, storage.open, lambda config: list(storage.read_stream(config))):
        with pytest.raises(ValueLost, match="no regular file"):
            verb(config)
    path.rmdir()


def test_too_many_open_files_name_the_limit(storage):
    config = put(storage, b"abc" * 1000)

    limit = 64 + len(os.listdir("/dev/fd"))  # beside what the tests of this process hold open

    def with_few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        maps = [storage.map(config, 3000) for _ in range(500)]
        assert bytes(maps[-1]) == b"abc" * 1000
        taken: list[FileIO] = []
        with pytest.raises(StoreError) as caught:
            taken += map(storage.open, [config] * limit)
        with pytest.raises(StoreError, match=f"{limit} files open"):
            put(storage, b"x")
        with pytest.raises(StoreError, match=f"{limit} files open"):
            FileStorage(storage.root).writer({})
        for file in taken:
            file.close()
        assert bytes(storage.read(put(storage, b"again"))) == b"again"
        return str(caught.value)

    message = in_child(with_few)
    assert f"{limit} files open" in message
    assert "ulimit -n" in message


def test_a_file_system_without_locks_is_told(storage, monkeypatch):
    import fcntl

    def no_locks(fd, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(StoreError, match="no file locks"):
        put(storage, b"x")
    monkeypatch.undo()
    assert os.listdir(storage.root) == []
    assert bytes(storage.read(put(storage, b"x"))) == b"x"


# --- a write under faults -----------------------------------------------------------------------------------------

CALLS = ["open", "posix_fallocate", "writev", "fsync", "close", "ftruncate"]


class Fail:
    """Makes the n-th system call of those that change something fail, before or after it was done."""

    def __init__(self, monkeypatch, n, error, *, after):
        self.left, self.error, self.after, self.failed = n, error, after, None
        for name in CALLS:
            monkeypatch.setattr(os, name, self.wrap(name, getattr(os, name)))

    def wrap(self, name, call):
        def wrapped(*args, **kwargs):
            if self.failed:
                return call(*args, **kwargs)
            self.left -= 1
            if self.left:
                return call(*args, **kwargs)
            self.failed = name
            if self.after or name == "close":  # a close that fails has closed
                result = call(*args, **kwargs)
                if name == "open":
                    os.close(result)  # as nobody ever saw it
            raise self.error

        return wrapped


def write_payload(storage):
    return put(storage, b"head", b"x" * 200_000, sync=True)


def write_stream(storage):
    with storage.writer({}, size=300_000) as writer:
        writer.write(b"x" * 100_000)
        writer.write(b"x" * 100_000)
        return writer.commit(digest, sync=True)


@pytest.mark.alone
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "error, told",
    [
        (OSError(errno.EIO, "Input/output error"), StoreError),
        (OSError(errno.ENOSPC, "No space left on device"), StorageFullError),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), StorageFullError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (MemoryError(), MemoryError),
    ],
    ids=["EIO", "ENOSPC", "EDQUOT", "interrupt", "memory"],
)
@pytest.mark.parametrize("work", [write_payload, write_stream])
def test_each_system_call_fails_once(storage, monkeypatch, work, error, told, after):
    write_payload(storage)  # the folder is there
    gc.collect()  # what tests before this one left open is closed now, and not while it counts
    before, descriptors = files(storage), len(os.listdir("/dev/fd"))
    reached, kinds = [], set()
    for n in range(1, 100):
        with monkeypatch.context() as patch:
            fail = Fail(patch, n, error, after=after)
            try:
                config = work(storage)
            except told as caught:
                kinds.add(type(caught))
            else:
                assert not fail.failed, f"the failure of {fail.failed} was not told"
                break
        assert files(storage) == before, f"something was left when {fail.failed} failed"
        assert len(os.listdir("/dev/fd")) == descriptors, f"a file stayed open when {fail.failed} failed"
        reached.append(fail.failed)
    assert {"open", "writev", "fsync", "close"} <= set(reached)
    assert kinds == {told}
    assert storage.identity(config).size in (200_004, 200_000)


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()], ids=["EIO", "interrupt"]
)
def test_making_a_writers_folder_fails_at_each_step(tmp_path, monkeypatch, error):
    steps = 0
    for n in range(1, 50):
        storage = FileStorage(tmp_path / str(n) / "files")
        with monkeypatch.context() as patch:
            left = [n]

            def counted(call, left=left):
                def wrapped(*args, **kwargs):
                    left[0] -= 1
                    if left[0] == 0:
                        raise error
                    return call(*args, **kwargs)

                return wrapped

            for name in ("mkdir", "open", "rename", "fsync"):
                patch.setattr(os, name, counted(getattr(os, name)))
            try:
                config = put(storage, b"abc")
            except (StoreError, KeyboardInterrupt):
                pass
            else:
                assert left[0] > 0
                break
        steps += 1
        made = os.listdir(storage.root) if os.path.isdir(storage.root) else []
        assert not [name for name in made if name.startswith("new-")], f"step {n} left a half-made folder"
        assert bytes(storage.read(put(storage, b"again"))) == b"again"
        storage.close()
    assert steps >= 6
    assert bytes(storage.read(config)) == b"abc"


@pytest.mark.parametrize("most", [1, 7, 1000])
def test_partial_writes_go_on(storage, monkeypatch, most):
    """The system may take fewer bytes than it is given, at any place."""
    writev = os.writev

    def partial(fd, buffers):
        taken, left = [], most
        for buffer in buffers:
            taken.append(memoryview(buffer)[:left])
            left -= len(taken[-1])
            if not left:
                break
        return writev(fd, taken)

    monkeypatch.setattr(os, "writev", partial)
    parts: list[Buffer] = [b"", b"abc", bytearray(b"defgh"), b"", memoryview(b"0123456789" * 300), b"z"]
    assert bytes(storage.read(put(storage, *parts))) == b"".join(parts)


def test_more_than_one_system_call_can_take(storage, monkeypatch):
    """Linux writes at most 2 GB at once, macOS refuses more; the limit is lowered to see the bytes come through."""
    from holdfast.storages.file import writing

    monkeypatch.setattr(writing, "_MOST", 1000)
    sizes: list[int] = []
    writev = os.writev

    def seen(fd, buffers):
        sizes.append(sum(len(buffer) for buffer in buffers))
        assert len(buffers) <= 1024
        return writev(fd, buffers)

    monkeypatch.setattr(os, "writev", seen)
    parts = [bytes([n % 256]) * (n % 3) for n in range(3000)] + [os.urandom(12_345)]
    config = put(storage, *parts)
    assert bytes(storage.read(config)) == b"".join(parts)
    assert max(sizes) <= 1000
    assert sum(sizes) == len(b"".join(parts))


def test_reading_more_than_one_system_call_gives(storage, monkeypatch):
    from holdfast.storages.file import storage as module

    monkeypatch.setattr(module, "_ONE_READ", 1000)
    data = os.urandom(12_345)
    config = put(storage, data)
    assert bytes(storage.read(config)) == data


# --- on disk ------------------------------------------------------------------------------------------------------


@pytest.fixture
def synced(monkeypatch):
    """The paths that were put on disk, in order."""
    paths: list[str] = []
    fsync = os.fsync

    def noted(fd):
        paths.append(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    return paths


@pytest.mark.skipif(sys.platform != "linux", reason="watches fsync, which is F_FULLFSYNC on macOS")
class TestSynced:
    def test_a_write_with_sync_puts_file_folder_and_root_on_disk(self, storage, synced):
        put(storage, b"unsynced")
        synced.clear()
        config = put(storage, b"x", sync=True)
        folder = f"{storage.root}/{config.split('/')[0]}"
        assert synced == [f"{storage.root}/{config}", folder, storage.root]
        synced.clear()
        with storage.writer({}) as writer:
            config = writer.commit(digest, sync=True)
        assert synced == [f"{storage.root}/{config}", folder]

    def test_new_folders_are_on_disk_before_what_is_in_them(self, tmp_path, synced):
        storage = FileStorage(tmp_path / "a" / "b" / "files")
        put(storage, b"x")
        assert synced == [str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")]

    def test_sync_takes_each_folder_once(self, storage, synced):
        other = FileStorage(storage.root)
        configs = [put(which, b"x") for which in (storage, other) for _ in range(3)]
        writers = sorted({f"{storage.root}/{config.split('/')[0]}" for config in configs})
        synced.clear()
        assert storage.sync(configs) == [True] * 6
        assert synced[:6] == [f"{storage.root}/{config}" for config in configs]
        assert sorted(synced[6:8]) == writers
        assert synced[8:] == [storage.root]
        synced.clear()
        assert storage.sync(configs[:1]) == [True]
        assert synced == [f"{storage.root}/{configs[0]}", f"{storage.root}/{configs[0].split('/')[0]}"]
        other.close()

    def test_without_sync_nothing_waits_for_the_disk(self, storage, synced):
        put(storage, b"x")
        synced.clear()
        put(storage, b"x" * MB)
        with storage.writer({}) as writer:
            writer.write(b"x" * MB)
            writer.commit(digest)
        assert synced == []


# --- the end ------------------------------------------------------------------------------------------------------


def test_a_closed_storage_reads_and_does_not_write(storage):
    config = put(storage, b"abc")
    begun = storage.writer({})
    begun.write(b"begun")
    storage.close()
    assert bytes(storage.read(config)) == b"abc"
    for work in (lambda: put(storage, b"x"), lambda: storage.writer({}), lambda: begun.commit(digest)):
        with pytest.raises(ClosedError):
            work()
    begun.abort()
    assert [path for path in files(storage) if not path.endswith("lock")] == [config]


def test_an_empty_writers_folder_goes_with_its_writer(storage):
    storage.delete(put(storage, b"x"))
    assert len(os.listdir(storage.root)) == 1
    storage.close()
    assert os.listdir(storage.root) == []


def test_a_lost_writer_object_leaves_nothing(storage):
    writer = storage.writer({})
    writer.write(b"x" * 1000)
    del writer
    assert [path for path in files(storage) if not path.endswith("lock")] == []


def test_a_stream_half_read_closes_its_file(storage):
    config = put(storage, os.urandom(3 * MB))
    before = len(os.listdir("/dev/fd"))
    stream = storage.read_stream(config)
    next(stream)
    assert len(os.listdir("/dev/fd")) == before + 1
    stream.close()
    assert len(os.listdir("/dev/fd")) == before


def test_streaming_takes_little_memory(storage):
    """300 MB in and out within 64 MB, in a process of its own whose peak is seen."""

    def stream():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        piece = b"m" * MB
        with storage.writer({}) as writer:
            for _ in range(300):
                writer.write(piece)
            config = writer.commit(digest)
        assert sum(len(part) for part in storage.read_stream(config)) == 300 * MB
        storage.delete(config)
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (1 if sys.platform == "darwin" else 1024)

    assert in_child(stream) < 64 * MB
