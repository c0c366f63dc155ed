"""What the catalog's tests put, and how they look at it."""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from typing import Any

from ..address import Path
from ..catalog.base import Catalog, Member, MemberRow, NewBlob, Policy, Put, ValueRow
from ..errors import QuotaExceededError
from ..hashing import NONE, SHA256
from ..model import Codec, RecordRow

__all__ = [
    "BOOT", "FLOW", "INTEGER", "PLAIN", "SPACE", "blob_of", "bundle_put", "collected", "data_of", "file_put", "fill_up",
    "inline_put", "members_of", "put", "put_bundle", "put_file", "record_of", "sweep_all", "versions", "wait_past",
]  # fmt: skip

SPACE: Path = (("namespace", "prod"),)
"""A scope with another below it."""

FLOW: Path = (("namespace", "prod"), ("workflow", "forecast"))
"""The scope that most tests write to."""

PLAIN = Codec("test.plain@v1", "text/plain")
"""Codec of what the tests put."""

INTEGER = Codec("holdfast.int@v1", "application/json")
"""Codec of native integers."""

BOOT = "boot-of-these-tests"
"""The boot id that the tests' bytes are written under."""

_places = itertools.count(1)


def put(
    catalog: Catalog,
    key: str,
    data: bytes | int = b"value",
    path: Path = FLOW,
    *,
    tags: dict[str, str] | None = None,
    expires: float | None = None,
    power: bool = False,
) -> int:
    """Put a small value by the hot path; gives its version."""
    text = json.dumps(tags) if tags else None
    if isinstance(data, int):
        codec = catalog.codec_id(INTEGER)
        return catalog.put(path, key, (expires, text, NONE, None, 8, codec, None, None, data), power)[0]
    codec, digest = catalog.codec_id(PLAIN), hashlib.sha256(data).digest()
    return catalog.put(path, key, (expires, text, SHA256, digest, len(data), codec, None, None, data), power)[0]


def inline_put(catalog: Catalog, key: str, data: bytes = b"value", path: Path = FLOW, **more: Any) -> Put:
    """The same as a change, for ``commit``."""
    digest = hashlib.sha256(data).digest()
    return Put(path, key, catalog.codec_id(PLAIN), SHA256, digest, len(data), data, **more)


def file_put(
    catalog: Catalog,
    key: str,
    content: bytes = b"file",
    path: Path = FLOW,
    *,
    synced: bool = False,
    boot: str = BOOT,
    place: str | None = None,
    storage: str = "test.files@v1",
    **more: Any,
) -> Put:
    """A change that puts bytes that a storage has just taken; ``content`` stands for a large value."""
    where = place or json.dumps(f"files/{next(_places)}")
    new = NewBlob(catalog.storage_id(storage, "files"), where, synced, boot, 1, 2, 3, 4)
    digest = hashlib.sha256(content).digest()
    return Put(path, key, catalog.codec_id(PLAIN), SHA256, digest, len(content), None, new, **more)


def put_file(catalog: Catalog, key: str, content: bytes = b"file", path: Path = FLOW, **more: Any) -> ValueRow:
    """Put a file-sized value; gives its row as a read gives it."""
    catalog.commit([file_put(catalog, key, content, path, **more)])
    return max((ValueRow._make(row) for row in catalog.find(path, key)), key=lambda row: row.version)


def bundle_put(
    catalog: Catalog,
    key: str,
    *contents: bytes,
    data: bytes = b"",
    path: Path = FLOW,
    places: tuple[str, ...] = (),
    synced: bool = False,
    boot: str = BOOT,
    storage: str = "test.files@v1",
    **more: Any,
) -> Put:
    """A change that puts a record of several pieces of bytes that a storage has just taken, and ``data`` beside."""
    puts = [
        file_put(catalog, key, content, synced=synced, boot=boot, storage=storage, place=place)
        for content, place in zip(contents, places or (None,) * len(contents), strict=True)
    ]
    members = tuple([Member(put.blob or 0, put.algorithm, put.digest, put.size) for put in puts])
    put, size = inline_put(catalog, key, data, path, **more), sum(map(len, contents), len(data))
    return put._replace(size=size, members=members)


def put_bundle(catalog: Catalog, key: str, *contents: bytes, **more: Any) -> list[MemberRow]:
    """Put a record of several pieces of bytes; gives them as a read gives them."""
    catalog.commit([bundle_put(catalog, key, *contents, **more)])
    return members_of(catalog, key, more.get("path", FLOW))


def members_of(catalog: Catalog, key: str, path: Path = FLOW) -> list[MemberRow]:
    """The members of a key's newest record; empty when there is none."""
    rows = [ValueRow._make(row) for row in catalog.find(path, key)]
    return catalog.members(blob_of(max(rows, key=lambda row: row.version))) if rows else []


def record_of(catalog: Catalog, key: str, path: Path = FLOW) -> RecordRow:
    """The record of a key that has one."""
    (row,) = catalog.record(path, key)
    return RecordRow._make(row)


def data_of(catalog: Catalog, key: str, path: Path = FLOW) -> bytes | int | str | None:
    """The bytes or integer of a key, or where its bytes lie; None when the key is not there."""
    rows = [ValueRow._make(row) for row in catalog.find(path, key)]
    if not rows:
        return None
    best = max(rows, key=lambda row: row.version)
    return best.storage_config if best.data is None else best.data


def versions(catalog: Catalog, key: str, path: Path = FLOW) -> list[int]:
    """The versions that a key has, one a tier."""
    return [ValueRow._make(row).version for row in catalog.find(path, key)]


def wait_past(catalog: Catalog, moment: float) -> None:
    """Wait until the catalog's clock is past a moment."""
    while catalog.now() <= moment:
        time.sleep(0.001)


def blob_of(row: ValueRow) -> int:
    """The blob that a row's bytes are."""
    assert row.blob is not None
    return row.blob


def sweep_all(catalog: Catalog) -> None:
    """Have all records that are to go removed, and bundles that nobody needs."""
    while catalog.sweep():
        pass


def collected(catalog: Catalog) -> list[str]:
    """Collect all garbage; gives the places."""
    places = []
    while blobs := catalog.garbage():
        places += [blob.config for blob in blobs]
        catalog.forget([blob.id for blob in blobs])
    return sorted(places)


def fill_up(catalog: Catalog, policy: Policy, path: Path = FLOW) -> None:
    """Put all that a quota of both kinds leaves room for; fails where it is refused too early, or too late."""
    used = catalog.usage(path)
    assert policy.max_records is not None
    assert policy.max_bytes is not None
    free, size = policy.max_records - used.records, policy.max_bytes - used.size
    for number in range(free):
        put(catalog, f"fill{number}", b"x" * (size if number == 0 else 0), path)
    for data in (b"", b"x" * (size + 1)):
        try:
            put(catalog, "beyond", data, path)
        except QuotaExceededError:
            continue
        assert free == 0 or data, "more records than are allowed"
        raise AssertionError("there is more than is allowed")
    assert catalog.usage(path).records == policy.max_records
