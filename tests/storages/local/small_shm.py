"""The local memory where ``/dev/shm`` is small, missing or full: run in a mount namespace of its own by test_room.py.

``python -m tests.storages.local.small_shm <scene> <folder>``; an assertion that fails ends it with status 1.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from holdfast.errors import StorageFullError
from holdfast.storages.local import LocalMemory

from ..small_disk import mount
from .programs import MB, counted, pattern, put, stream, taken


def full(folder: str) -> None:
    """No space, before the limit is reached: older values make way, or nothing of the write is left."""
    mount(folder, "size=16m")
    memory = LocalMemory("one", folder=folder, size=100 * MB)
    configs = [put(memory, pattern(4 * MB, number)) for number in range(3)]
    for number in range(3, 12):
        configs.append(put(memory, pattern(4 * MB, number)))
        assert bytes(memory.read(configs[number])) == pattern(4 * MB, number)
    assert memory.sync(configs)[-3:] == [True] * 3
    assert counted(folder) == taken(folder) <= 16 * MB

    views = [memory.view(config, 4 * MB)[0] for config in configs[-3:]]
    for work in (lambda: put(memory, pattern(5 * MB)), lambda: put(memory, pattern(50 * MB))):
        with pytest.raises(StorageFullError) as caught:
            work()
        assert "memory_folder=" in str(caught.value)
    with pytest.raises(StorageFullError):
        stream(memory, 20)
    assert views == [pattern(4 * MB, number) for number in range(9, 12)]
    assert not list(Path(folder).rglob("new-*"))
    assert counted(folder) == taken(folder)

    # what another program takes cannot be had
    del views
    with open(f"{folder}/other", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, os.statvfs(folder).f_bavail * 4096)
    assert bytes(memory.read(put(memory, pattern(4 * MB, "last")))) == pattern(4 * MB, "last")
    with pytest.raises(StorageFullError, match="memory_folder="):
        put(memory, pattern(15 * MB))
    memory.close()
    assert sorted(os.listdir(folder)) == ["other"]


def _where(folder: str, expected: str) -> None:
    memory = LocalMemory("one")
    config = put(memory, pattern(2 * MB))
    assert os.path.isdir(f"{expected}/holdfast-{os.geteuid()}/one")
    assert memory.view(config, 2 * MB)[0] == pattern(2 * MB)
    memory.close()
    assert not os.path.exists(f"{expected}/holdfast-{os.geteuid()}")


def small_shm(folder: str) -> None:
    """What containers have unless they are told is too little."""
    mount("/dev/shm", "size=64m")
    _where(folder, folder)


def no_shm(folder: str) -> None:
    """One that may not be written is as good as none."""
    mount("/dev/shm", "size=512m", "ro")
    _where(folder, folder)


def large_shm(folder: str) -> None:
    """Its size bounds what is kept."""
    mount("/dev/shm", "size=128m", "mode=1777")
    _where(folder, "/dev/shm")
    memory = LocalMemory("one")
    with pytest.raises(StorageFullError, match="67,108,864"):
        memory.writer({}, size=65 * MB)
    memory.writer({}, size=63 * MB).abort()
    memory.close()


if __name__ == "__main__":
    {"full": full, "small_shm": small_shm, "no_shm": no_shm, "large_shm": large_shm}[sys.argv[1]](sys.argv[2])
