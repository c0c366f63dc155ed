"""From a value to a committed record: prepare (serialize, place), transfer (bytes to a storage), commit (one row).

Bytes first, record last: a storage has the whole value before the catalog names it. What was written and is not named
in the end is deleted here where the outcome is certain, and else by the collector.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from .address import Path
from .catalog.base import Committed, Ledger, NewBlob, Put, ValueRow
from .errors import (
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    StorageFullError,
    StoreError,
    UnsupportedValue,
)
from .hashing import NONE, digest_beside, digest_buffers
from .kernel import Kernel
from .layout import lay_out
from .model import POWER, Codec, Record
from .options import PLAIN, Plan
from .payload import Buffer, Payload
from .reading import make_record, recorded_identity
from .serializers.base import Serializer
from .storages.base import MappedStorage, Storage

__all__ = ["CERTAIN", "Encoded", "commit_blob", "encode", "new_blob", "put", "put_inline", "settle"]

CERTAIN = (ConflictError, InvalidArgumentError, NotFoundError, StorageFullError)
"""Errors after which the commit is known not to have happened, so that the bytes may be deleted at once."""

_PICKLE = "holdfast.pickle@v1"


class Encoded(NamedTuple):
    """A value as bytes with all that its record will say of them, the digest aside."""

    codec: int
    buffers: list[Buffer]
    size: int
    config: str | None
    signer: str | None
    """Name of the serializer to sign for, None when its bytes run no code."""


def encode(kernel: Kernel, value: Any, plan: Plan) -> Encoded:
    """Serialize by the value's exact type, or by the serializer that the plan names.

    Raises:
        NotRegisteredError: no such serializer.
        EncodeError: no serializer takes the value.
    """
    registry = kernel.registry
    serializer: Serializer
    if plan.serializer is not None:
        serializer = registry.serializer(plan.serializer)
        payload = serializer.serialize(value)
    else:
        serializer = registry.for_value(value)
        try:
            payload = serializer.serialize(value)
        except UnsupportedValue:
            if serializer.name == _PICKLE:
                raise
            serializer = registry.serializer(_PICKLE)
            payload = serializer.serialize(value)
    codec = kernel.catalog.codec_id(Codec(serializer.name, plan.content_type or payload.content_type, payload.encoding))
    buffers, size, config = lay_out(payload)
    return Encoded(codec, buffers, size, config, serializer.name if serializer.executable else None)


def put(kernel: Kernel, ledger: Ledger, path: Path, key: str, value: Any, plan: Plan = PLAIN) -> Record:
    """Store a value and give its record."""
    if value.__class__ is int and plan.serializer is None and -(1 << 63) <= value < 1 << 63:
        codec = kernel.integer if plan.content_type is None else _integer_codec(kernel, plan.content_type)
        return put_inline(kernel, ledger, path, key, Encoded(codec, [], 8, None, None), value, plan)
    encoded = encode(kernel, value, plan)
    if encoded.size <= kernel.inline:
        return put_inline(kernel, ledger, path, key, encoded, None, plan)
    return _put_file(kernel, ledger, path, key, encoded, plan)


def _integer_codec(kernel: Kernel, content_type: str) -> int:
    return kernel.catalog.codec_id(Codec("holdfast.int@v1", content_type))


def _sign(kernel: Kernel, encoded: Encoded, algorithm: int, digest: bytes) -> bytes | None:
    return None if encoded.signer is None else kernel.signer.sign(encoded.signer, encoded.config, algorithm, digest)


def put_inline(
    kernel: Kernel,
    ledger: Ledger,
    path: Path,
    key: str,
    encoded: Encoded,
    integer: int | None,
    plan: Plan,
    began: dict[Path, int | None] | None = None,
) -> Record:
    """Commit a value that lies in the catalog: its bytes, or a native ``integer`` in their place.

    ``began`` tells which scope it was when a write that took its time began.
    """
    codec, buffers, size, config, _ = encoded
    data: bytes | int
    if integer is not None:
        data, algorithm, digest, signature = integer, NONE, None, None
    else:
        head = buffers[0]
        data = head if len(buffers) == 1 and isinstance(head, bytes) else b"".join(buffers)
        algorithm, digest = digest_buffers((data,), size)
        signature = _sign(kernel, encoded, algorithm, digest)
    power = kernel.power if plan.power is None else plan.power
    done: tuple[int, float, float] | None = None
    columns = (plan.tags, plan.expires, algorithm, digest, size, codec, config, signature, data)
    if began is not None:
        pass  # the whole form below compares it
    elif not plan.conditional:
        done = ledger.put(path, key, *columns, power)
    elif plan.if_version and plan.fence is None and not power:
        done = ledger.replace(path, key, *columns, plan.if_version)
    if done is None:
        change = Put(path, key, codec, algorithm, digest, size, data, None, config, signature, plan.tags, plan.expires)
        change = change._replace(if_version=plan.if_version)
        (made,) = ledger.commit([change], began=began, fence=plan.fence, power=power)
        assert made.row is not None
        return make_record(kernel, path, made.row)
    version, created, updated = done
    flags = POWER if power else 0
    # fmt: off
    row = (key, 0, version, flags, created, updated, plan.expires, plan.tags, None,
           algorithm, digest, size, codec, config, None, None, None)
    # fmt: on
    return Record(path, row, kernel.catalog.codec(codec), None)


def _put_file(kernel: Kernel, ledger: Ledger, path: Path, key: str, encoded: Encoded, plan: Plan) -> Record:
    power = kernel.power if plan.power is None else plan.power
    began = {path: ledger.scope_id(path)}
    storage = kernel.storage
    get_digest = digest_beside(encoded.buffers, encoded.size)
    tags = json.loads(plan.tags) if plan.tags else {}
    try:
        place = storage.write(Payload(encoded.buffers, "", None), get_digest, tags, sync=power)
    finally:
        algorithm, digest = get_digest()  # the thread reads the caller's memory: it ends before we return
    signature = _sign(kernel, encoded, algorithm, digest)
    blob = new_blob(kernel, storage, place, power)
    change = Put(
        path, key, encoded.codec, algorithm, digest, encoded.size, None, blob, encoded.config, signature, plan.tags,
        plan.expires, if_version=plan.if_version,
    )  # fmt: skip
    return commit_blob(kernel, ledger, change, began, plan, power)


def new_blob(kernel: Kernel, storage: Storage, place: Any, synced: bool) -> NewBlob:
    """What the catalog records of bytes that were just written."""
    text = json.dumps(place, separators=(",", ":"))
    if not isinstance(storage, MappedStorage):
        return NewBlob(kernel.storage_id, text, True, kernel.boot)
    identity = storage.identity(place)
    if identity is None:
        return NewBlob(kernel.storage_id, text, synced, kernel.boot)
    device, inode, _, mtime, ctime = identity
    return NewBlob(kernel.storage_id, text, synced, kernel.boot, device, inode, mtime, ctime)


def commit_blob(
    kernel: Kernel, ledger: Ledger, change: Put, began: dict[Path, int | None], plan: Plan, power: bool
) -> Record:
    """Commit one put of bytes that were just written, and delete them where they turn out not to be needed."""
    blob = change.blob
    assert isinstance(blob, NewBlob)
    try:
        (done,) = ledger.commit([change], began=began, fence=plan.fence, power=power)
    except CERTAIN:
        kernel.storage_of(blob.storage).delete(json.loads(blob.config))
        raise
    settle(kernel, change, done)
    assert done.row is not None
    return make_record(kernel, change.path, done.row)


def _place_to_leave(kernel: Kernel, change: Put, fresh: NewBlob) -> str:
    """Of two places with equal bytes, ours and the one that was there, the one to delete: ours, unless the other file
    is not as it was recorded. Then the fresh bytes take its place, which mends every record that shares them."""
    storage = kernel.storage_of(fresh.storage)
    rows = [ValueRow._make(row) for row in kernel.catalog.find(change.path, change.key)]
    if isinstance(storage, MappedStorage):
        for row in rows:
            if row.blob is not None and row.digest == change.digest and row.storage_config is not None:
                there = storage.identity(json.loads(row.storage_config))
                if there != recorded_identity(row):
                    synced = storage.sync([json.loads(fresh.config)])[0]
                    kernel.catalog.trust(row.blob, fresh._replace(synced=synced))
                    return row.storage_config
    return fresh.config


def settle(kernel: Kernel, change: Put, done: Committed) -> None:
    """After a commit: delete bytes that were there already, and have new ones put on disk in the background."""
    blob = change.blob
    if not isinstance(blob, NewBlob):
        return
    if not done.taken:
        try:
            kernel.storage_of(blob.storage).delete(json.loads(_place_to_leave(kernel, change, blob)))
        except StoreError as error:
            # The value is stored: an error would say that it is not. The bytes are found by gc when this writer ended.
            import logging

            logging.getLogger("holdfast").warning("bytes that are there twice could not be deleted yet: %s", error)
    elif not blob.synced:
        kernel.dirty()
