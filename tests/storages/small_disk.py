"""What happens on a disk that is full, or may not be written: run in a mount namespace of its own by test_file_disk.py.

``python -m tests.storages.small_disk <scene> <folder>``; an assertion that fails ends it with status 1.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.errors import ReadOnlyError, StorageFullError
from holdfast.payload import Payload
from holdfast.storages.file import FileStorage

MB = 1 << 20


def digest():
    return 0, b""


def put(storage, *buffers, sync=False):
    return storage.write(Payload(buffers, "text/plain"), digest, {}, sync=sync)


def mount(folder: str, *options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", folder], check=True)


def files(root: str) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in Path(root).rglob("*") if path.name.isdecimal())


def refused(kind, work, *words: str) -> None:
    with pytest.raises(kind) as caught:
        work()
    assert caught.type is kind
    assert all(word in str(caught.value) for word in words), str(caught.value)


def full(folder: str) -> None:
    """No space: each way of writing says so and leaves nothing; what was there stays; space makes it go on."""
    mount(folder, "size=8m")
    storage = FileStorage(f"{folder}/files")
    kept = put(storage, b"k" * 4 * MB)
    small = b"s" * 60_000

    refused(StorageFullError, lambda: put(storage, b"x" * 5 * MB), "no space", folder)
    refused(StorageFullError, lambda: put(storage, b"head", b"x" * 5 * MB, sync=True), "no space")
    refused(StorageFullError, lambda: storage.writer({}, size=5 * MB), "no space")
    assert files(folder) == [f"files/{kept}"]

    before = os.listdir("/dev/fd")
    writer = storage.writer({})

    def stream():
        for _ in range(100):
            writer.write(small * 5)

    refused(StorageFullError, stream, "no space")
    writer.abort()
    assert files(folder) == [f"files/{kept}"]
    assert os.listdir("/dev/fd") == before

    many = []

    def fill():
        while True:
            many.append(put(storage, small))

    refused(StorageFullError, fill, "no space")
    assert len(many) > 40
    assert files(folder) == sorted(f"files/{config}" for config in [kept, *many])
    assert bytes(storage.read(kept)) == b"k" * 4 * MB
    assert all(bytes(storage.read(config)) == small for config in many)

    # a stream of unknown size sets blocks aside for more than comes; where they are not to be had, it does without
    storage.delete(many.pop())
    storage.delete(many.pop())
    with storage.writer({}) as tight:
        for _ in range(11):
            tight.write(b"t" * 10_000)
        last = tight.commit(digest)
    assert bytes(storage.read(last)) == b"t" * 110_000

    storage.delete(kept)
    assert bytes(storage.read(put(storage, b"n" * 3 * MB))) == b"n" * 3 * MB


def no_names(folder: str) -> None:
    """No inodes: the folder or the file cannot be made."""
    mount(folder, "size=8m", "nr_inodes=4")
    storage = FileStorage(f"{folder}/files")
    config = put(storage, b"one") if os.statvfs(folder).f_favail > 3 else None
    refused(StorageFullError, lambda: [put(storage, b"x") for _ in range(10)], "no space")
    assert not any(name.startswith("new-") for name in os.listdir(f"{folder}/files"))
    assert config is None or bytes(storage.read(config)) == b"one"


def read_only(folder: str) -> None:
    """A mount that may not be written: reading works, writing says why."""
    mount(folder, "size=8m")
    config = put(FileStorage(f"{folder}/files"), b"there")
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    storage = FileStorage(f"{folder}/files")
    assert bytes(storage.read(config)) == b"there"
    assert bytes(storage.map(config, 5)) == b"there"
    for work in (lambda: put(storage, b"x"), lambda: storage.writer({}), lambda: storage.delete(config)):
        refused(ReadOnlyError, work, "may not be written", "Read-only")
    refused(ReadOnlyError, lambda: put(FileStorage(f"{folder}/new/files"), b"x"), "may not be written")


def places(folder: str) -> None:
    """A real mount, under a name that the system writes with escapes, is told by its kind."""
    from holdfast.storages.places import check_local, filesystem_type

    odd = f"{folder}/a b\tc\\d"
    os.mkdir(odd)
    outside = filesystem_type(folder)
    mount(odd, "size=1m")
    os.mkdir(f"{odd}/in")
    os.symlink(odd, f"{folder}/link")
    for path in (odd, f"{odd}/in", f"{odd}/in/not/there", f"{folder}/link/in"):
        assert filesystem_type(path) == "tmpfs", path
        check_local(path)
    subprocess.run(["mount", "-t", "ramfs", "ramfs", odd], check=True)
    assert filesystem_type(odd) == "ramfs", "of two mounts on one place the later counts"
    assert filesystem_type(f"{odd}x") == outside == filesystem_type(folder)


if __name__ == "__main__":
    {"full": full, "no_names": no_names, "read_only": read_only, "places": places}[sys.argv[1]](sys.argv[2])
