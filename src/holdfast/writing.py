"""From a value to a committed record: prepare (serialize, place), transfer (bytes to a storage), commit (one row).

Bytes first, record last: a storage has the whole value before the catalog names it. What was written and is not named
in the end is deleted here where the outcome is certain, and else by the collector.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import compress
from typing import Any, NamedTuple, TypeVar

from .address import Path
from .catalog.base import (
    BUNDLE,
    Blob,
    Committed,
    InlineRow,
    Ledger,
    MemberRow,
    NewBlob,
    Put,
    Since,
    ValueRow,
    WriteAgain,
    as_ending,
)
from .errors import (
    BusyError,
    ConflictError,
    InvalidArgumentError,
    MissingExtraError,
    NotFoundError,
    NotRegisteredError,
    QuotaExceededError,
    StorageFullError,
    StoreError,
    UnsupportedValue,
)
from .hashing import NONE, digest_beside, digest_buffers
from .kernel import NATIVE_INTEGER, Kernel
from .layout import lay_out, pack
from .model import DURABLE, EPHEMERAL, POWER, Record
from .options import Plan
from .payload import Buffer, Payload
from .reading import blob_at, make_record, recorded_identity
from .registry import PICKLE
from .serializers.base import Serializer
from .steps import Steps, Transfer
from .stopping import Stopped, go_on
from .storages.base import MappedStorage, Storage

__all__ = [
    "CERTAIN",
    "Encoded",
    "commit_bytes",
    "commit_put",
    "encode",
    "inline_row",
    "let_go",
    "new_blob",
    "parts",
    "paused",
    "place_text",
    "prepare",
    "put_inline",
    "put_stored",
    "settle",
    "since_now",
    "store_chunks",
    "sync_blobs",
    "transfer",
]

B = TypeVar("B", Blob, NewBlob)

_PAUSE = 0.05  # seconds until bytes are written again at whose place equal ones were being collected

CERTAIN = (BusyError, ConflictError, InvalidArgumentError, NotFoundError, StorageFullError, Stopped)
"""Errors after which the commit is known not to have happened, so that the bytes may be deleted at once."""


class Encoded(NamedTuple):
    """A value as bytes with all that its record will say of them, the digest aside."""

    codec: int
    buffers: Sequence[Buffer]
    size: int
    config: str | None
    signer: str | None
    """Name of the serializer to sign for, None when its bytes run no code."""

    def sign(self, kernel: Kernel, algorithm: int, digest: bytes) -> bytes | None:
        """The signature that its record has, with that digest of its bytes."""
        return None if self.signer is None else kernel.signer.sign(self.signer, self.config, algorithm, digest)


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
            if serializer.name == PICKLE:
                raise
            serializer = registry.serializer(PICKLE)
            payload = serializer.serialize(value)
    if serializer.executable:
        kernel.signer.check()  # before bytes are written
    layout, encoding = lay_out(payload), payload.encoding
    compression = plan.compression or serializer.compression
    if compression is not None and encoding is None:
        layout = pack(layout, compression)
        encoding = layout.encoding
    buffers, size, config, _ = layout
    codec = kernel.codec_ids[serializer.name, plan.content_type or payload.content_type, encoding]
    return Encoded(codec, buffers, size, config, serializer.name if serializer.executable else None)


def prepare(kernel: Kernel, value: Any, plan: Plan) -> tuple[Encoded, int | None]:
    """A value as its record will have it: encoded, or a native integer."""
    if value.__class__ is int and plan.serializer is None and -(1 << 63) <= value < 1 << 63:
        codec = kernel.integer
        if plan.content_type is not None:
            codec = kernel.codec_ids[NATIVE_INTEGER._replace(content_type=plan.content_type)]
        return Encoded(codec, [], 8, None, None), value
    return encode(kernel, value, plan), None


def put_inline(
    kernel: Kernel,
    ledger: Ledger,
    path: Path,
    key: str,
    encoded: Encoded,
    integer: int | None,
    plan: Plan,
    began: dict[Path, int | None] | None = None,
    session: str | None = None,
) -> Record:
    """Commit a value that lies in the catalog: its bytes, or a native ``integer`` in their place; one that ends with
    the ``session``, if it is named.

    ``began`` tells which scope it was when a write that took its time began.
    """
    row = inline_row(kernel, encoded, integer, plan)
    done: tuple[int, float, float] | None = None
    if not plan.conditional and began is None:
        with suppress(QuotaExceededError):  # perhaps only with what has ended with its session
            done = ledger.put(path, key, row, plan.power, session)
    elif plan.if_version and plan.fence is None and began is None and session is None and not plan.power:
        done = ledger.replace(path, key, row, plan.if_version)
    if done is None:
        change = as_ending(Put(path, key, **InlineRow._make(row)._asdict(), if_version=plan.if_version), session)
        (made,) = _commit(kernel, ledger, change, plan, began)
        assert made.row is not None
        return make_record(kernel, path, made.row)
    version, created, updated = done
    _, _, algorithm, digest, size, codec, config, _, _ = row
    flags = POWER if plan.power else 0
    tier = DURABLE if session is None else EPHEMERAL
    # fmt: off
    record = (key, tier, version, flags, created, updated, plan.expires, plan.tags, session,
              algorithm, digest, size, codec, config, None, None, None)
    # fmt: on
    return Record(path, record, kernel.decoders[codec][0], None, kernel.volatile)


def inline_row(kernel: Kernel, encoded: Encoded, integer: int | None, plan: Plan) -> tuple[Any, ...]:
    """The fields of an :class:`~holdfast.catalog.base.InlineRow`."""
    codec, buffers, size, config, _ = encoded
    data: bytes | int
    if integer is not None:
        data, algorithm, digest, signature = integer, NONE, None, None
    else:
        head = buffers[0]
        data = head if len(buffers) == 1 and isinstance(head, bytes) else b"".join(buffers)
        algorithm, digest = digest_buffers((data,), size)
        signature = encoded.sign(kernel, algorithm, digest)
    return plan.expires, plan.tags, algorithm, digest, size, codec, config, signature, data


def put_stored(kernel: Kernel, ledger: Ledger, path: Path, key: str, encoded: Encoded, plan: Plan) -> Steps[Record]:
    """Write a value to the storage and commit it."""
    began = {path: ledger.scope_id(path)}
    deadline = time.monotonic() + kernel.config.timeout
    while True:
        place, digest, since = yield from transfer(kernel, kernel.storage, encoded, plan)
        try:
            return commit_bytes(kernel, ledger, path, key, encoded, place, digest, plan, began, since)
        except WriteAgain:
            if not paused(deadline):
                raise


def transfer(
    kernel: Kernel, storage: Storage, encoded: Encoded, plan: Plan
) -> Steps[tuple[Any, tuple[int, bytes], Since | None]]:
    """Write bytes to a storage: their place, their digest, and what the catalog said before."""
    get_digest = digest_beside(encoded.buffers, encoded.size)
    tags = json.loads(plan.tags) if plan.tags else {}
    payload = Payload(encoded.buffers, *kernel.catalog.codec(encoded.codec)[1:])
    since = since_now(kernel, storage)
    try:
        place = yield Transfer(storage, "write", (payload, get_digest, tags), {"sync": plan.power})
    finally:
        digest = get_digest()  # the thread reads the caller's memory: it ends before we return
    return place, digest, since


def paused(deadline: float) -> bool:
    """Wait a little, so that bytes are written again; False at once when it is too late for that."""
    if time.monotonic() >= deadline:
        return False
    time.sleep(_PAUSE)
    return True


def since_now(kernel: Kernel, storage: Storage) -> Since | None:
    """Asked before bytes are written, for the commit after that; None where no place is given twice."""
    return kernel.catalog.begin() if storage.shares else None


def place_text(place: Any) -> str:
    """A storage's config as the catalog keeps it: equal ones are equal texts."""
    return json.dumps(place, separators=(",", ":"))


def commit_bytes(
    kernel: Kernel,
    ledger: Ledger,
    path: Path,
    key: str,
    encoded: Encoded,
    place: Any,
    digest: tuple[int, bytes],
    plan: Plan,
    began: dict[Path, int | None],
    since: Since | None,
) -> Record:
    """Commit a value whose bytes were just written to a place, and delete them where they turn out not to be needed."""
    signature = encoded.sign(kernel, *digest)
    blob = new_blob(kernel, place, plan.power)
    change = Put(
        path, key, encoded.codec, *digest, encoded.size, None, blob, encoded.config, signature, plan.tags, plan.expires,
        if_version=plan.if_version, since=since,
    )  # fmt: skip
    return commit_put(kernel, ledger, change, plan, began)


def commit_put(kernel: Kernel, ledger: Ledger, change: Put, plan: Plan, began: dict[Path, int | None] | None) -> Record:
    """Commit a put with new bytes, and delete them where they turn out not to be needed."""
    try:
        go_on()
        (done,) = _commit(kernel, ledger, change, plan, began)
    except CERTAIN:
        let_go(kernel, change)
        raise
    settle(kernel, change, done)
    assert done.row is not None
    return make_record(kernel, change.path, done.row)


def _commit(
    kernel: Kernel, ledger: Ledger, change: Put, plan: Plan, began: dict[Path, int | None] | None
) -> Sequence[Committed]:
    """Commit a put, without what has ended with its session in the way of its conditions."""
    if plan.conditional:
        kernel.sessions.settle()
    try:
        return ledger.commit([change], began=began, fence=plan.fence, power=plan.power)
    except QuotaExceededError:
        if not kernel.sessions.settle():
            raise
        return ledger.commit([change], began=began, fence=plan.fence, power=plan.power)


class _Part(NamedTuple):
    """New bytes of a put: the number of the member, the put as it were with them alone, and where they are."""

    n: int
    put: Put
    blob: NewBlob


def parts(change: Put) -> Iterator[_Part]:
    """The new bytes of a put: of its blob, or of its members."""
    alone = (change._replace(members=(), **member._asdict()) for member in change.members)
    for n, put in enumerate(alone if change.members else (change,)):
        if isinstance(put.blob, NewBlob):
            yield _Part(n, put, put.blob)


def let_go(kernel: Kernel, change: Put) -> None:
    """Delete the new bytes of a put that was not committed; where others may share their place the collector does."""
    for _, put, blob in parts(change):
        storage = kernel.storage_of(blob.storage)
        if not storage.shares:
            storage.delete(json.loads(blob.config))
        else:
            kernel.catalog.abandon(put)


def new_blob(kernel: Kernel, place: Any, power: bool, number: int | None = None) -> NewBlob:
    """What the catalog records of bytes that a storage has just taken: the store's own, or that of the number."""
    number = kernel.storage_id if number is None else number
    storage, identity, synced = kernel.storage_of(number), None, True  # as of one that keeps all it has taken
    if isinstance(storage, MappedStorage):
        identity, synced = storage.identity(place), power
    return blob_at(number, place_text(place), synced, kernel.boot, identity)


def store_chunks(kernel: Kernel, put: Put, chunks: Iterable[Buffer]) -> Put:
    """The put with its bytes, of a known digest, in the storage; an error from the iterable leaves nothing behind."""
    digest, since = (put.algorithm, put.digest or b""), since_now(kernel, kernel.storage)
    tags = json.loads(put.tags) if put.tags else {}
    _, content_type, encoding = kernel.catalog.codec(put.codec)
    with kernel.storage.writer(tags, size=put.size, content_type=content_type, encoding=encoding) as writer:
        for chunk in chunks:
            go_on()
            writer.write(chunk)
        place = writer.commit(lambda: digest, sync=kernel.power)
    return put._replace(blob=new_blob(kernel, place, kernel.power), since=since)


def sync_blobs(kernel: Kernel, blobs: Sequence[B]) -> list[B]:
    """Put blobs' bytes on disk, those of a storage together; gives the blobs whose bytes are there."""
    by_storage: dict[int, list[B]] = {}
    for blob in blobs:
        by_storage.setdefault(blob.storage, []).append(blob)
    there: list[B] = []
    for storage, batch in by_storage.items():
        with suppress(MissingExtraError, NotRegisteredError):  # who knows the storage puts its bytes on disk
            there += compress(batch, kernel.storage_of(storage).sync([json.loads(blob.config) for blob in batch]))
    return there


def _place_to_leave(kernel: Kernel, storage: MappedStorage, there: ValueRow | MemberRow | None, fresh: NewBlob) -> str:
    """Of two places with equal bytes, ours and the one that was there, the one to delete: ours, unless the other file
    is not as it was recorded. Then the fresh bytes take its place, which mends every record that shares them."""
    if there is None or there.blob is None:
        return fresh.config
    if storage.identity(json.loads(str(there.storage_config))) == recorded_identity(there):
        return fresh.config
    synced = storage.sync([json.loads(fresh.config)])[0]
    kernel.catalog.trust(there.blob, fresh._replace(synced=synced))
    return str(there.storage_config)


def _there(kernel: Kernel, change: Put) -> Iterator[ValueRow | MemberRow]:
    """The rows of the blobs that the records of a put's key name now."""
    for row in map(ValueRow._make, kernel.catalog.find(change.path, change.key)):
        if row.storage == BUNDLE and row.blob is not None:
            yield from kernel.catalog.members(row.blob)
        else:
            yield row


def settle(kernel: Kernel, change: Put, done: Committed) -> None:
    """After a commit: delete bytes that were there already, and have new ones put on disk in the background."""
    there: dict[tuple[int | None, bytes | None], ValueRow | MemberRow] | None = None
    for n, put, blob in parts(change):
        if done.members[n] if done.members else done.taken:
            if not blob.synced:
                kernel.dirty()
            continue
        try:
            storage, place = kernel.storage_of(blob.storage), blob.config
            if isinstance(storage, MappedStorage):
                if there is None:  # once, as an object may have thousands
                    there = {(row.storage, row.digest): row for row in _there(kernel, change)}
                # Looked at once: what equal bytes have mended is not as the row says any more.
                place = _place_to_leave(kernel, storage, there.pop((blob.storage, put.digest), None), blob)
            let_go(kernel, put._replace(blob=blob._replace(config=place)))
        except StoreError as error:
            # The value is stored: an error would say that it is not. The bytes are found by gc when this writer ended.
            import logging

            logging.getLogger("holdfast").warning("bytes that are there twice could not be deleted yet: %s", error)
