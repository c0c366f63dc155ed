"""The memory storage beyond the suite."""

from __future__ import annotations

import resource
import sys

import pytest

from holdfast.errors import InvalidArgumentError, StorageFullError, ValueLost
from holdfast.payload import Payload
from holdfast.storages.memory import MemoryStorage
from holdfast.testing.processes import in_child


def digest():
    return 0, b""


def put(storage, *buffers):
    return storage.write(Payload(buffers, "text/plain"), digest, {})


def test_it_is_ephemeral():
    assert MemoryStorage.ephemeral
    assert MemoryStorage.name == "holdfast.memory@v1"


def test_another_storages_config_is_lost_and_not_taken_for_ours():
    one, two = MemoryStorage(), MemoryStorage()
    mine, yours = put(one, b"one"), put(two, b"two")
    assert mine != yours
    with pytest.raises(ValueLost, match="end with the process"):
        one.read(yours)
    with pytest.raises(ValueLost):
        one.read_stream(yours)
    assert one.sync([mine, yours]) == [True, False]


def test_a_child_has_what_was_there_and_counts_on_its_own():
    storage = MemoryStorage()
    before = put(storage, b"before")
    seen, theirs = in_child(lambda: [bytes(storage.read(before)).decode(), put(storage, b"child")])
    ours = put(storage, b"parent")
    assert seen == "before"
    assert theirs != ours
    with pytest.raises(ValueLost):
        storage.read(theirs)


def test_closing_forgets():
    storage = MemoryStorage()
    config = put(storage, b"abc")
    storage.close()
    with pytest.raises(ValueLost):
        storage.read(config)


def test_a_config_of_the_file_storage_is_refused():
    with pytest.raises(InvalidArgumentError, match="no memory storage gave"):
        MemoryStorage().read("1m8hmsegy98m32rdm8/0")


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space, which macOS does not hold to")
def test_no_memory_is_a_full_storage():
    def child():
        storage = MemoryStorage()
        kept = put(storage, b"kept")
        piece = b"x" * (64 << 20)
        with open("/proc/self/statm") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + (100 << 20), resource.RLIM_INFINITY))
        with pytest.raises(StorageFullError):
            put(storage, piece, piece, piece)
        assert len(storage._pieces) == 1
        return bytes(storage.read(kept)).decode()

    assert in_child(child) == "kept"
