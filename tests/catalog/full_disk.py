"""A catalog on a file system that is full; run as a program by test_sqlite_full.py, with that file system's folder."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from holdfast.catalog.base import Catalog, Delete, Edit, Fence
from holdfast.catalog.sqlite import SQLiteCatalog
from holdfast.errors import StorageFullError
from holdfast.testing.catalog_cases import FLOW, data_of, inline_put, put, put_file, record_of


def fill(folder: Path, leave: int = 0) -> Path:
    """Take all space there is but ``leave`` bytes."""
    ballast = folder / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for piece in (1 << 16, 4096):
            try:
                while True:
                    file.write(bytes(piece))
            except OSError:
                pass
    os.truncate(ballast, ballast.stat().st_size - leave)
    return ballast


def put_until_full(catalog: SQLiteCatalog, prefix: str) -> list[str]:
    """Put values of 20 KB until there is no space; each that was acknowledged is there."""
    keys: list[str] = []
    for number in range(100_000):
        try:
            put(catalog, f"{prefix}{number}", hashlib.shake_128(b"%d" % number).digest(20_000))
        except StorageFullError:
            return keys
        keys.append(f"{prefix}{number}")
        if number % 1000 == 0:
            catalog.claim("machine", "boot", 60)  # as an open store does three times a minute
    raise AssertionError("the disk was never full")


def everything_that_frees(catalog: Catalog, keys: list[str]) -> None:
    """Each verb that has to work on a full disk, and then room again."""
    lease = catalog.acquire("collector", "me", 60)
    fence = Fence("collector", catalog.renew(Fence("collector", lease.token), 60).token)
    catalog.commit([Edit(FLOW, keys[0], tags='{"a":"b"}')])
    assert record_of(catalog, keys[0]).tags == '{"a":"b"}'
    for key in keys:
        catalog.commit([Delete(FLOW, key)], fence=fence)
    assert catalog.keys(FLOW, keys[0][0], keys[0][0] + "~", 10) == []
    catalog.sweep()
    while blobs := catalog.garbage():
        catalog.forget([blob.id for blob in blobs])
    catalog.barrier()
    catalog.release(fence)


def check_own_data(folder: Path) -> None:
    """The catalog itself fills the disk, again and again."""
    catalog = SQLiteCatalog(folder / "c.sqlite")
    reserve = folder / "c.sqlite.reserve"
    assert reserve.stat().st_blocks * 512 >= 4 << 20, "the reserve takes no space"
    put_file(catalog, "gone", synced=True)
    catalog.commit([Delete(FLOW, "gone")])
    for turn in range(6):
        keys = put_until_full(catalog, f"{turn}/")
        assert len(keys) > 100
        assert data_of(catalog, keys[-1]) is not None
        everything_that_frees(catalog, keys)
        put(catalog, "after", b"room again")
    catalog.close()
    assert data_of(SQLiteCatalog(folder / "c.sqlite"), "after") == b"room again"


def check_other_data(folder: Path) -> None:
    """Something else fills the disk to the last block, and stays."""
    catalog = SQLiteCatalog(folder / "d.sqlite")
    for number in range(200):
        put(catalog, f"k{number:03}", b"x" * 3000)
        put_file(catalog, f"file{number}", b"%d" % number, synced=True)
    catalog.create_scope((("namespace", "drop"), ("workflow", "me")))
    ballast = fill(folder)
    for verb in (
        lambda: [put(catalog, "more", b"y" * 30_000) for _ in range(200)],
        lambda: catalog.commit([inline_put(catalog, "more", b"y" * 30_000)] * 200),
    ):
        try:
            verb()
        except StorageFullError:
            pass
        else:
            raise AssertionError("a put had room on a full disk")
    lost = put_until_full(catalog, "z")
    everything_that_frees(catalog, [f"k{number:03}" for number in range(200)])
    everything_that_frees(catalog, [f"file{number}" for number in range(200)])
    catalog.drop_scope((("namespace", "drop"),))
    assert data_of(catalog, "k000") is None
    ballast.unlink()
    put(catalog, "after", b"room again")
    catalog.barrier()
    assert (folder / "d.sqlite.reserve").exists(), "the reserve was not made again"
    catalog.commit([Delete(FLOW, key) for key in lost])
    catalog.close()


def check_opening(folder: Path) -> None:
    """No room even for an empty catalog, and then for one that is there."""
    ballast = fill(folder)
    try:
        SQLiteCatalog(folder / "e.sqlite")
    except StorageFullError:
        pass
    else:
        raise AssertionError("a catalog was made on a full disk")
    ballast.unlink()
    catalog = SQLiteCatalog(folder / "e.sqlite")
    put(catalog, "key")
    catalog.close()
    fill(folder)
    catalog = SQLiteCatalog(folder / "e.sqlite")
    assert data_of(catalog, "key") == b"value"
    catalog.commit([Delete(FLOW, "key")])
    catalog.close()


if __name__ == "__main__":
    {"own": check_own_data, "other": check_other_data, "opening": check_opening}[sys.argv[1]](Path(sys.argv[2]))
    print("done")
