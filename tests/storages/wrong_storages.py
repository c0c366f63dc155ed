"""Storages that are wrong in one way each, under the suite. Run by test_storage_faults.py, which expects them to fail.

Each class names the test that must find its fault.
"""

from __future__ import annotations

import hashlib
import itertools
import mmap
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

import pytest

from holdfast.errors import InvalidArgumentError
from holdfast.payload import Payload
from holdfast.storages.base import Abandoned, Identity, Writer
from holdfast.storages.file import FileStorage
from holdfast.storages.memory import MemoryStorage
from holdfast.testing.storage_suite import StorageSuite


class Wrong(StorageSuite):
    kind: ClassVar[Callable[..., Any]]

    @pytest.fixture
    def storage(self, tmp_path):
        storage = self.kind() if self.kind.ephemeral else self.kind(tmp_path / "files")  # type: ignore[attr-defined]
        yield storage
        storage.close()

    def reopen(self, storage):
        return None if storage.ephemeral else type(storage)(storage.root)


class OneSystemCall(FileStorage):
    """Writes what one system call takes."""

    def write(self, payload, get_digest, tags, *, sync=False):
        return super().write(Payload(payload.buffers[:1024], payload.content_type), get_digest, tags, sync=sync)


class TestOneSystemCall(Wrong):
    kind = OneSystemCall
    caught_by = "test_buffers_of_all_kinds_and_many_of_them"


class NamedByContent(FileStorage):
    """Gives equal bytes one config, so that deleting one deletes the other."""

    def __init__(self, root):
        super().__init__(root)
        self.seen = {}

    def write(self, payload, get_digest, tags, *, sync=False):
        name = hashlib.sha256(b"".join(payload.buffers)).digest()
        if name not in self.seen:
            self.seen[name] = super().write(payload, get_digest, tags, sync=sync)
        return self.seen[name]


class TestNamedByContent(Wrong):
    kind = NamedByContent
    caught_by = "test_each_write_is_a_new_piece"


class ConfigIsATuple(FileStorage):
    """Gives configs that JSON turns into something else."""

    def write(self, payload, get_digest, tags, *, sync=False):
        return tuple(super().write(payload, get_digest, tags, sync=sync).split("/"))

    def _path(self, config):
        return super()._path("/".join(config) if isinstance(config, tuple) else config)


class TestConfigIsATuple(Wrong):
    kind = ConfigIsATuple
    caught_by = "test_a_config_is_json"


class KeepsTheCallersBuffer(MemoryStorage):
    """Holds a view of the caller's memory instead of a copy."""

    def write(self, payload, get_digest, tags, *, sync=False):
        config = super().write(payload, get_digest, tags, sync=sync)
        if len(payload.buffers) == 1:
            self._pieces[config] = payload.buffers[0]
        return config


class TestKeepsTheCallersBuffer(Wrong):
    kind = KeepsTheCallersBuffer
    caught_by = "test_what_the_caller_does_with_a_buffer_later_changes_nothing"


class GivesItsOwnBuffer(MemoryStorage):
    """Lets a reader write into what is stored."""

    def write(self, payload, get_digest, tags, *, sync=False):
        config = super().write(payload, get_digest, tags, sync=sync)
        self._pieces[config] = bytearray(self._pieces[config])  # type: ignore[assignment]
        return config


class TestGivesItsOwnBuffer(Wrong):
    kind = GivesItsOwnBuffer
    caught_by = "test_what_a_reader_does_with_its_bytes_changes_nothing"


class IgnoresTheOffset(FileStorage):
    """Streams from the start."""

    def read_stream(self, config, offset=0, length=None):
        return super().read_stream(config, min(offset, 0), length)


class TestIgnoresTheOffset(Wrong):
    kind = IgnoresTheOffset
    caught_by = "test_spans"


class OneBigPiece(FileStorage):
    """Streams all at once."""

    def read_stream(self, config, offset=0, length=None):
        whole = b"".join(super().read_stream(config, offset, length))
        return iter([whole] if whole else [])


class TestOneBigPiece(Wrong):
    kind = OneBigPiece
    caught_by = "test_spans"


class KeepsTheReservation(FileStorage):
    """Leaves a stream's file at the size that was said."""

    def writer(self, tags, *, size=None, **more):
        writer = super().writer(tags, size=size)
        writer._written = max(writer._written, size or 0)
        return writer


class TestKeepsTheReservation(Wrong):
    kind = KeepsTheReservation
    caught_by = "test_a_stream_is_written"


class AbortTakesAwayWriter(Writer):
    def __init__(self, storage, writer):
        self.storage, self.writer, self.config = storage, writer, None

    def write(self, data):
        self.writer.write(data)

    def commit(self, get_digest, *, sync=False):
        self.config = self.writer.commit(get_digest, sync=sync)
        return self.config

    def abort(self):
        self.writer.abort()
        if self.config is not None:
            self.storage.delete(self.config)


class AbortTakesAway(FileStorage):
    """Removes a committed stream when the writer is aborted, as at the end of every ``with``."""

    def writer(self, tags, *, size=None, **more):
        return AbortTakesAwayWriter(self, super().writer(tags, size=size))


class TestAbortTakesAway(Wrong):
    kind = AbortTakesAway
    caught_by = "test_what_the_caller_does_with_a_buffer_later_changes_nothing"


class BareErrors(FileStorage):
    """Tells missing bytes as the operating system does."""

    def read(self, config):
        with open(self._path(config), "rb") as file:
            return file.read()


class TestBareErrors(Wrong):
    kind = BareErrors
    caught_by = "test_what_is_gone_is_told_everywhere"


class AlwaysSynced(FileStorage):
    """Says that what is gone is on disk."""

    def sync(self, configs):
        super().sync(configs)
        return [True] * len(configs)


class TestAlwaysSynced(Wrong):
    kind = AlwaysSynced
    caught_by = "test_what_is_gone_is_told_everywhere"


class AnyPath(FileStorage):
    """Follows a config out of its folder."""

    def _path(self, config):
        if not isinstance(config, str) or "\0" in config or "\ud800" in config:
            raise InvalidArgumentError("not a path")
        return os.path.join(self.root, config)

    def delete(self, config):
        if ".." not in config:
            super().delete(config)


class TestAnyPath(Wrong):
    kind = AnyPath
    caught_by = "test_foreign_configs_are_refused"


class CountsWithoutCare(MemoryStorage):
    """Gives two threads one number."""

    def __init__(self):
        super().__init__()
        self.next = 0

    def _keep(self, buffers):
        number = self.next
        time.sleep(1e-5)  # what a switch between threads does now and then
        self.next = number + 1
        config = f"{self._owner}/{number}"
        self._pieces[config] = b"".join(buffers)
        return config


class TestCountsWithoutCare(Wrong):
    kind = CountsWithoutCare
    caught_by = "test_threads"


class SameNamesAfterFork(MemoryStorage):
    """Goes on counting in a forked process as if it were the only one."""

    def __init__(self):
        super().__init__()
        self.own, self.counter = self._owner, itertools.count()

    def _keep(self, buffers):
        config = f"{self.own}/{next(self.counter)}"
        self._pieces[config] = b"".join(buffers)
        return config


class TestSameNamesAfterFork(Wrong):
    kind = SameNamesAfterFork
    caught_by = "test_a_forked_process_never_takes_our_configs"


class AbortsForTheParent(FileStorage):
    """Removes the parent's half-written file when a forked child gives the writer up."""

    def writer(self, tags, *, size=None, **more):
        writer = super().writer(tags, size=size)
        path, process, abort = writer._current().path, os.getpid(), writer.abort

        def abort_and_remove():
            abort()
            if os.getpid() != process:
                with suppress(FileNotFoundError):
                    os.unlink(path)

        writer.abort = abort_and_remove  # type: ignore[method-assign]
        return writer


class TestAbortsForTheParent(Wrong):
    kind = AbortsForTheParent
    caught_by = "test_a_fork_leaves_our_writer_alone"


class EveryFolder(Abandoned):
    def __init__(self, storage, writer):
        self.storage, self.writer = storage, writer

    def configs(self):
        yield [
            f"{self.writer}/{name}" for name in os.listdir(f"{self.storage.root}/{self.writer}") if name.isdecimal()
        ][:1000]

    def release(self):
        self.storage.swept.add(self.writer)


class SweepsTheLiving(FileStorage):
    """Takes every writer for a dead one."""

    def __init__(self, root):
        super().__init__(root)
        self.swept = set()

    def abandoned(self):
        return [EveryFolder(self, writer) for writer in os.listdir(self.root) if writer not in self.swept]


class TestSweepsTheLiving(Wrong):
    kind = SweepsTheLiving
    caught_by = "test_what_a_killed_process_left"


class FindsNoDead(FileStorage):
    """Never finds what killed processes left."""

    def abandoned(self):
        return []


class TestFindsNoDead(Wrong):
    kind = FindsNoDead
    caught_by = "test_what_a_killed_process_left"


class SharedMap(FileStorage):
    """Maps the file itself: a reader writes to the disk."""

    def map(self, config, size):
        super().map(config, size)
        if not size:
            return memoryview(bytearray())
        with open(self._path(config), "r+b") as file:
            return memoryview(mmap.mmap(file.fileno(), size))


class TestSharedMap(Wrong):
    kind = SharedMap
    caught_by = "test_a_map_is_private"


class MapsShortFiles(FileStorage):
    """Maps as many bytes as there are."""

    def map(self, config, size):
        found = self.identity(config)
        return super().map(config, min(size, found.size) if found else size)


class TestMapsShortFiles(Wrong):
    kind = MapsShortFiles
    caught_by = "test_a_short_file_is_lost_and_kills_nobody"


class TimeAndSize(FileStorage):
    """Takes a file of the same size and modification time for the same."""

    def identity(self, config):
        found = super().identity(config)
        return found and Identity(found.device, found.inode, found.size, found.mtime, 0)


class TestTimeAndSize(Wrong):
    kind = TimeAndSize
    caught_by = "test_an_identity_tells_a_touched_file"


class AFilePerMap(FileStorage):
    """Keeps a file open under each map."""

    def map(self, config, size):
        super().map(config, size)
        if not size:
            return memoryview(bytearray())
        with self.open(config) as file:
            return memoryview(mmap.mmap(os.dup(file.fileno()), size, access=mmap.ACCESS_COPY))


class TestAFilePerMap(Wrong):
    kind = AFilePerMap
    caught_by = "test_nothing_stays_open"


FAULTS = [value for value in list(globals().values()) if isinstance(value, type) and hasattr(value, "caught_by")]
