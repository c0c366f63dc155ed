"""A store on a disk that is full: run in a mount namespace of its own by test_disk.py."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import holdfast
from holdfast import StorageFullError
from holdfast.filesystem import HoldfastFileSystem

from .tools import blob_files, pattern

MB = 1 << 20


def refused(work: Any) -> None:
    try:
        work()
    except StorageFullError:
        return
    raise AssertionError("there was room")


def main(folder: str, size: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", folder], check=True)
    with holdfast.open(folder + "/data", timeout=3) as store:
        scope = store.namespace("a")
        scope.put("kept", pattern(2 * MB))
        scope.put("small", {"a": 1})
        scope.put_chunks("packed", (bytes(MB) for _ in range(2 * int(size))), compression="zstd")
        refused(lambda: scope.open("packed", "rb"))  # unpacked it is more than the disk
        scope.delete("packed")
        store.gc()
        files = len(blob_files(store))

        def chunks() -> Any:
            while True:
                yield pattern(MB)

        def transaction() -> None:
            with scope.transaction() as inside:
                for index in range(100):
                    inside.put(f"t{index}", pattern(2 * MB, index))

        def stream() -> None:
            with scope.open("stream", "wb") as file:
                for piece in chunks():
                    file.write(piece)

        def change() -> None:
            with HoldfastFileSystem(store).open("namespace:a/changed", "w+b") as file:
                for piece in chunks():
                    file.write(piece)

        for work in (
            lambda: scope.put("kept", b"x" * (int(size) * MB)),
            lambda: scope.put_chunks("kept", chunks()),
            transaction,
            stream,
            change,
        ):
            refused(work)
            assert list(scope) == ["kept", "small"]
            assert len(blob_files(store)) == files, "a refused write left its bytes"
        count = 0

        def fill(value: Any) -> None:
            nonlocal count
            while True:
                scope.put(f"fill {count:06}", value)
                count += 1

        for size_ in (400_000, 40_000, 20_000):
            refused(lambda size_=size_: fill(pattern(size_, count)))
        assert count > 3
        # all that was acknowledged is there, and can be read, listed and deleted
        assert scope.get("kept", verify=True) == pattern(2 * MB)
        assert scope.get("small") == {"a": 1}
        keys = list(scope.keys("fill"))
        assert keys == [f"fill {number:06}" for number in range(count)]
        for key in keys:
            scope.get(key, verify=True)
        for key in keys[: count // 2]:
            scope.delete(key)
        store.gc()
        scope.put("again", pattern(100_000))
        scope.put("small", {"a": 2})
        assert scope.get("again", verify=True) == pattern(100_000)
        assert scope.get("kept", verify=True) == pattern(2 * MB)
        scope.drop()
        store.gc()
        scope.put("last", pattern(2 * MB, 5))
        assert scope.get("last", verify=True) == pattern(2 * MB, 5)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
