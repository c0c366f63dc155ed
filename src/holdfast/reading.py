"""From a row of the catalog to a value: which record is seen, where its bytes are, whether they may be believed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from io import BufferedReader, BytesIO, FileIO, RawIOBase
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .address import Path, format_address
from .catalog.base import HEAD, Ledger, MemberRow, NewBlob, ValueRow
from .compression import unpack, unpacked
from .contents import Part, Unread, at_once, named, read_object, row_of, several
from .errors import (
    DecodeError,
    HoldfastError,
    IntegrityError,
    MissingExtraError,
    NotFoundError,
    NotRegisteredError,
    SignatureError,
    StoreError,
    ValueLost,
)
from .hashing import NONE, SHA256, check_digest, checked
from .kernel import Kernel
from .layout import packed_size, read_config, take_apart
from .model import EPHEMERAL, KEPT, STORABLE, Record
from .payload import Buffer, Payload
from .serializers.base import StreamSerializer
from .steps import Steps, Transfer, run
from .stopping import go_on
from .storable.base import full_name
from .storages.base import Identity, MappedStorage, Storage
from .storages.ephemeral import EphemeralStorage
from .stream import Forward, Stream

__all__ = [
    "blob_at",
    "chunks",
    "ensure_trusted",
    "every",
    "load",
    "load_stored",
    "locate",
    "make_record",
    "missing",
    "newest",
    "open_bytes",
    "read_current",
    "recorded_identity",
    "seen",
    "stored_chunks",
    "visible_record",
]

if TYPE_CHECKING:
    from .storages.cache import DiskCache

T = TypeVar("T")

_PIECE = 1 << 22
_AHEAD = 1 << 18  # bytes of a stream of values that are read at once
_CACHED = 1 << 14  # fewer bytes take more of the disk by being a file than by what they are


def seen(kernel: Kernel, ledger: Ledger, path: Path, key: str, tier: int | None = None) -> tuple[Any, ...] | None:
    """The value row of a key that a reader sees: the highest version that has not expired, nor ended with a session;
    of one tier, if it is given."""
    rows = _lasting(kernel, ledger, path, key)
    return newest(kernel, rows if tier is None else [row for row in rows if row[0] == tier])


def every(kernel: Kernel, ledger: Ledger, path: Path, key: str) -> list[tuple[Any, ...]]:
    """The value rows of a key that a reader can see by naming the tier."""
    return [row for row in _lasting(kernel, ledger, path, key) if newest(kernel, [row]) is not None]


def _lasting(kernel: Kernel, ledger: Ledger, path: Path, key: str) -> Sequence[tuple[Any, ...]]:
    """The value rows of a key but for those that ended with a session."""
    rows = ledger.find(path, key)
    if any(row[0] == EPHEMERAL for row in rows):
        rows = [row[HEAD:] for row in ledger.entry(path, key) if row[8] is None or kernel.sessions.lasts(row[8])]
    return rows


def newest(kernel: Kernel, rows: Sequence[tuple[Any, ...]]) -> tuple[Any, ...] | None:
    """Of value rows the one of the highest version that has not expired."""
    best = None
    for row in rows:
        if (row[2] is None or row[2] > kernel.catalog.now()) and (best is None or row[1] > best[1]):
            best = row
    return best


def visible_record(kernel: Kernel, rows: Iterable[tuple[Any, ...]]) -> tuple[Any, ...] | None:
    """The same for record rows, and for entry rows, which begin with one."""
    alive = [
        row
        for row in rows
        if (row[6] is None or row[6] > kernel.catalog.now()) and (row[8] is None or kernel.sessions.lasts(row[8]))
    ]
    return max(alive, key=lambda row: row[2], default=None)


def make_record(kernel: Kernel, path: Path, row: tuple[Any, ...]) -> Record:
    """A record over a row of the catalog."""
    return Record(path, row, kernel.catalog.codec(row[12]), *kernel.whereabouts(row[14]))


def missing(path: Path, key: str, tier: str | None = None) -> NotFoundError:
    """The one error for a key that is not there, or not in that tier."""
    address = format_address(path, key)
    if tier is None:
        return NotFoundError(f"no record {address}")
    return NotFoundError(f"no durable record {address}" if tier == "durable" else f"no record {address} in memory")


def read_current(row: tuple[Any, ...], again: Callable[[], tuple[Any, ...]], read: Callable[[tuple[Any, ...]], T]) -> T:
    """``read(row)``, and anew with the row that ``again`` finds when that one was replaced, and its bytes collected,
    between the two.

    Raises:
        ValueLost: the bytes of the row as it is now are lost.
    """
    while True:
        try:
            return read(row)
        except ValueLost:
            found = again()
            if found == row:
                raise
            row = found


def load(
    kernel: Kernel,
    path: Path,
    key: str,
    row: tuple[Any, ...],
    verify: bool = False,
    trust: bool = False,
    ledger: Ledger | None = None,
) -> Any:
    """The value of a value row, which ``ledger`` gave, or the catalog.

    Raises:
        ValueLost, IntegrityError, SignatureError, DecodeError: see the errors.
    """
    data = row[9]
    if data.__class__ is int:
        return data
    codec, serializer, safe = kernel.decoders[row[6]]
    if row[3] == SHA256 and safe and serializer is not None and data is not None and row[7] is None:
        # The hot path: a small value in the catalog.
        if sha256(data).digest() != row[4]:
            check_digest(SHA256, row[4], [data], format_address(path, key))
        return serializer.deserialize(Payload((data,), codec[1], codec[2]))
    return run(load_stored(kernel, path, key, row, verify, trust, ledger))


def load_stored(
    kernel: Kernel,
    path: Path,
    key: str,
    found: tuple[Any, ...],
    verify: bool,
    trust: bool,
    ledger: Ledger | None = None,
) -> Steps[Any]:
    """:func:`load` as steps."""
    row, where = ValueRow._make(found), format_address(path, key)
    if row.data.__class__ is int:
        return row.data
    codec, serializer, safe = kernel.decoders[row.codec]
    if codec.serializer == KEPT:
        storage, place = locate(kernel, where, row)
        if not isinstance(storage, EphemeralStorage):
            raise IntegrityError(f"the record of {where} says that {storage.name} keeps a value, which it cannot")
        kept: Any = yield Transfer(storage, "fetch", (place,), {})
        return kept
    if codec.serializer == STORABLE:
        members = [] if row.blob is None else (ledger or kernel.catalog).members(row.blob)
        return (yield from _load_object(kernel, path, key, row, members, verify, trust))
    if isinstance(serializer, StreamSerializer):
        return _open_stream(kernel, path, key, row, serializer, verify, trust)
    config = read_config(row.config, where)
    size, encoding = packed_size(config, where), codec.encoding
    buffers: Sequence[Buffer] = yield from _bytes(
        kernel, where, row, verify, mapped="parts" in config or size is not None
    )
    if serializer is not None and not (safe or trust):
        _check_signature(kernel, where, row, serializer.name)
    in_memory = row.tier == EPHEMERAL and row.data is None
    if in_memory and size is None and serializer is not None and "parts" in config:
        parts = take_apart(buffers, config, where)  # as they lie there: nothing is copied
        return serializer.deserialize(Payload(parts, codec.content_type, encoding, config.get("config"), trusted=True))
    stored = buffers[0] if len(buffers) == 1 else b"".join(buffers)
    if size is not None:
        whole, encoding = unpack(encoding, stored, size, where), None
        stored = whole.getvalue() if serializer is None else whole.getbuffer()
    if serializer is None:
        return stored if isinstance(stored, bytes) else bytes(stored)
    buffers = [stored]
    if "parts" in config:
        view = memoryview(stored)
        # Arrays over it are to be writable, as over a map.
        buffers = take_apart(memoryview(bytearray(view)) if view.readonly else view, config, where)
    return serializer.deserialize(Payload(buffers, codec.content_type, encoding, config.get("config"), trusted=True))


def _open_stream(
    kernel: Kernel, path: Path, key: str, row: ValueRow, serializer: StreamSerializer, verify: bool, trust: bool
) -> Any:
    """A stream of values over a local file that may be believed, or over bytes that are checked as they come."""
    where = format_address(path, key)
    if serializer.executable and not trust:
        _check_signature(kernel, where, row, serializer.name)
    if verify:
        for _ in chunks(kernel, path, key, row):
            pass
    local = row.data is None and isinstance(locate(kernel, where, row)[0], MappedStorage)
    config = read_config(row.config, where)
    plain = packed_size(config, where) is None
    file: RawIOBase
    if serializer.random_access or serializer.executable or (local and plain):
        file = open_bytes(kernel, path, key, row)
    else:
        pieces = chunks(kernel, path, key, row)
        file = Forward(next(pieces, b""), pieces)  # it is open now: it can be read to its end, deleted or not
    return kernel.opened(Stream(serializer, BufferedReader(file, _AHEAD), where), config.get("config"))


def _load_object(
    kernel: Kernel, path: Path, key: str, row: ValueRow, members: Sequence[MemberRow], verify: bool, trust: bool
) -> Steps[Any]:
    """An object of several contents, made by its unpacker: of those in storages each is read when the unpacker, or who
    uses the object, asks for it; at once with ``verify``, and where nobody may be kept waiting."""
    where, data = format_address(path, key), row.data
    if not isinstance(data, bytes):
        raise ValueLost(f"the bytes of {where} are gone from the catalog")
    check_digest(row.algorithm, row.digest, [data], where)
    class_id, name, class_name, parts = read_object(row.config, where)
    with named(f"{where}, a {class_name}"):
        kind = kernel.registry.storable(class_id)
        unpacker = kernel.registry.unpacker(name, kind)
    contents, eager = {}, at_once.get()
    for part in parts:
        inner, there = f"{key} [{class_name}.{part.name}]", f"{where} [{class_name}.{part.name}]"
        with named(there):
            one = row_of(kernel, part, row, members, there)
            read = partial(_read_part, kernel, path, inner, there, part, row, one, trust, _kept_open(kernel, one))
            unread = Unread(part, read, (kernel, row.blob))
            if verify or eager:
                _check_part(kernel, there, one, row, trust)
                value = yield from load_stored(kernel, path, inner, one, verify, trust=True)
                unread.value = eager(value) if eager and isinstance(value, Stream) else value
        contents[part.name] = unread
    with named(where):
        try:
            made = unpacker.repack_object(kind, contents, kernel.registry)
        except HoldfastError:
            raise
        except Exception as error:
            raise DecodeError(f"{name} cannot make a {full_name(kind)} of its contents: {error!r}") from error
        if not isinstance(made, kind):
            raise DecodeError(f"{name} gave a {full_name(type(made))} for a {full_name(kind)}")
    return made


def _read_part(
    kernel: Kernel,
    path: Path,
    key: str,
    where: str,
    part: Part,
    whole_row: ValueRow,
    row: ValueRow,
    trust: bool,
    view: Buffer | None,
) -> Any:
    with named(where):
        _check_part(kernel, where, row, whole_row, trust)
        try:
            return run(load_stored(kernel, path, key, row, False, trust=True))
        except ValueLost as error:
            if view is None:
                raise ValueLost(
                    f"{error}; was the record replaced after its object was got? Then get it again"
                ) from error
            data: Any = view if part.config and "parts" in part.config else bytes(view)
            return run(load_stored(kernel, path, key, row._replace(data=data), False, trust=True))


def _check_part(kernel: Kernel, where: str, row: ValueRow, whole_row: ValueRow, trust: bool) -> None:
    """Refuse a content whose bytes can run code unless its record, which has their digest, is signed."""
    serializer = kernel.decoders[row.codec].serializer
    if not trust and serializer is not None and serializer.executable:
        _check_signature(kernel, where, whole_row, STORABLE, serializer.name)


def _kept_open(kernel: Kernel, row: ValueRow) -> Buffer | None:
    """A map of a local file, by which it is still read when its record is replaced and the file is deleted."""
    if row.data is None:
        with suppress(MissingExtraError, NotRegisteredError):  # what is not asked for is not missed
            storage, config = locate(kernel, "", row)
            return storage.map(config, row.size) if isinstance(storage, MappedStorage) else None
    return None


def _check_signature(kernel: Kernel, where: str, row: ValueRow, signed: str, serializer: str | None = None) -> None:
    signature, signer, digest = row.signature, kernel.signer, row.digest
    if row.tier == EPHEMERAL and row.algorithm == NONE and row.storage_config is not None:
        # What lies in a memory is not hashed: its place is signed, which is given once.
        digest = sha256(row.storage_config.encode()).digest()
    if signature is None or digest is None:
        problem = "it is not signed"
    elif not signer.holds(signature, signed, row.config, row.algorithm, digest):
        known = signature[:8] == signer.key_id
        mine = f"not with {signer.key_id.hex()}, of this store or of HOLDFAST_KEY"
        other = f"it was signed with another key ({signature[:8].hex()}, {mine})"
        problem = "its signature does not hold" if known else other
    else:
        return
    raise SignatureError(
        f"{where} is not loaded: {problem}, and loading a {serializer or signed} value can run code. "
        "If you know where it comes from, pass trust=True"
    )


def _bytes(kernel: Kernel, where: str, row: ValueRow, verify: bool, mapped: bool) -> Steps[Sequence[Buffer]]:
    if row.data is not None:
        data = row.data
        assert not isinstance(data, int)
        check_digest(row.algorithm, row.digest, [data], where)
        return [data]
    storage, config = locate(kernel, where, row)
    if isinstance(storage, EphemeralStorage):
        with named(where):
            buffers: Sequence[Buffer] = yield Transfer(storage, "view", (config, row.size), {})
        check_digest(row.algorithm, row.digest, buffers, f"{where} in {storage.name}")
        return buffers
    if mapped and isinstance(storage, MappedStorage):
        try:
            view = storage.map(config, row.size)
        except ValueLost:
            found = storage.identity(config)
            if found is None:
                raise
            raise _wrong_size(where, storage, found.size, row.size) from None
        if verify:  # the very bytes that are given, whatever was done to the file's name meanwhile
            check_digest(row.algorithm, row.digest, [view], where)
        ensure_trusted(kernel, where, row, storage, config)
        return [view]
    cache = None if verify else _cache_of(kernel, storage, row)
    if cache is not None:
        copy = cache.map(row.algorithm, row.digest, row.size, partial(_fetch, storage, config, row, where), where)
        if copy is not None:
            return [copy]
    there = storage.identity(config) if isinstance(storage, MappedStorage) else None
    if there is not None and there.size != row.size:
        raise _wrong_size(where, storage, there.size, row.size)  # not first read: it may be larger than all memory
    with named(where):
        stored: Buffer = yield Transfer(storage, "read_sized", (config, row.size), {})
    if len(stored) != row.size:
        raise _wrong_size(where, storage, len(stored), row.size)
    check_digest(row.algorithm, row.digest, [stored], f"{where} in {storage.name}")
    return [stored]


def _cache_of(kernel: Kernel, storage: Storage, row: ValueRow) -> DiskCache | None:
    """Where copies of a row's bytes are kept on this machine, if they are."""
    return kernel.cache if storage.remote and row.size >= _CACHED else None


def _fetch(storage: Storage, config: Any, row: ValueRow, where: str) -> Iterator[bytes]:
    with named(where):
        # One byte more than there should be is enough to tell that there are too many.
        yield from _stoppable(storage.read_stream(config, 0, row.size + 1))


def _wrong_size(where: str, storage: Storage, found: int, expected: int) -> IntegrityError:
    more = " or more" if storage.remote and found > expected else ""  # no more were read
    told = f"{where} has {found} bytes{more} in its storage ({storage.name}), its record says {expected}"
    return IntegrityError(told)


def locate(kernel: Kernel, where: str, row: ValueRow) -> tuple[Storage, Any]:
    """Storage and config of a row whose bytes are not in the catalog.

    Raises:
        ValueLost: the bytes are known to be lost.
        IntegrityError: the record does not say where they are.
    """
    if row.storage is None or row.storage_config is None:
        raise ValueLost(f"the bytes of {where} are gone from the catalog")
    try:
        place = json.loads(row.storage_config)
    except (ValueError, RecursionError):
        raise IntegrityError(f"the record of {where} is damaged: where its bytes are is no JSON") from None
    return kernel.storage_of(row.storage), place


def recorded_identity(row: ValueRow | MemberRow) -> Identity | None:
    """The identity of a row's file after it was written, None when it is not known on this machine."""
    if row.device is None or row.inode is None or row.mtime is None or row.ctime is None:
        return None
    return Identity(row.device, row.inode, row.size, row.mtime, row.ctime)


def blob_at(storage: int, config: str, synced: bool, boot: str, identity: Identity | None) -> NewBlob:
    """What the catalog records of bytes in a storage, as that identity tells of their file."""
    if identity is None:
        return NewBlob(storage, config, synced, boot)
    device, inode, _, mtime, ctime = identity
    return NewBlob(storage, config, synced, boot, device, inode, mtime, ctime)


def ensure_trusted(kernel: Kernel, where: str, row: ValueRow, storage: MappedStorage, config: Any) -> None:
    """Hash a file unless it is known to be the one that was written.

    It is while its identity is the recorded one and either its sync is recorded or this boot wrote it (a file can
    have its full size and be zeros after a power cut). Else it is hashed once, and what was found is recorded.

    Raises:
        IntegrityError: the bytes do not match their digest.
        ValueLost: the file is gone.
    """
    before = storage.identity(config)
    if before is None:
        raise ValueLost(f"the bytes of {where} are gone from their storage")
    if before == recorded_identity(row) and (row.synced or row.boot == kernel.boot):
        return
    if before.size != row.size:
        raise _wrong_size(where, storage, before.size, row.size)
    check_digest(row.algorithm, row.digest, _stoppable(storage.read_stream(config)), where)
    if row.algorithm == NONE or row.blob is None or row.storage is None or storage.identity(config) != before:
        return
    synced = bool(row.synced) or storage.sync([config])[0]
    kernel.catalog.trust(row.blob, blob_at(row.storage, row.storage_config or "", synced, kernel.boot, before))


def open_bytes(kernel: Kernel, path: Path, key: str, row: tuple[Any, ...]) -> RawIOBase:
    """The bytes of a row, checked, as a seekable file: that of its storage or of the cache; else a copy, in memory
    while it is small, or in a temporary file without a name.

    Raises:
        StorageFullError, StoreError: no such file can be made.
        IntegrityError, DecodeError, ValueLost: the bytes are not what was put.
    """
    value, where = ValueRow._make(row), format_address(path, key)
    size = _unpacked_size(kernel, value, where)
    if value.data is None and size is None:
        storage, config = locate(kernel, where, value)
        file: FileIO | None = None
        cache = _cache_of(kernel, storage, value)
        if cache is not None:
            fetch = partial(_fetch, storage, config, value, where)
            file = cache.open(value.algorithm, value.digest, value.size, fetch, where)
        elif isinstance(storage, MappedStorage):
            file = storage.open(config)
            try:
                ensure_trusted(kernel, where, value, storage, config)
            except BaseException:
                file.close()
                raise
        if file is not None:
            return file
    return _copied(chunks(kernel, path, key, row), value.size if size is None else size, kernel.folder, where)


def _copied(pieces: Iterator[bytes], size: int, folder: str | None, where: str) -> RawIOBase:
    if size <= _PIECE:
        return cast(RawIOBase, BytesIO(b"".join(pieces)))
    from tempfile import TemporaryFile

    from .storages.file.disk import explain

    try:
        file = TemporaryFile(dir=folder)  # noqa: SIM115
        try:
            file.writelines(pieces)
            file.seek(0)
        except BaseException:
            file.close()
            raise
    except StoreError:
        raise
    except OSError as error:
        raise explain(error, f"a temporary copy of {where}", writing=True) from error
    return cast(RawIOBase, file)


def chunks(kernel: Kernel, path: Path, key: str, row: tuple[Any, ...]) -> Iterator[bytes]:
    """The bytes of a row, as they were put, in pieces of at most 4 MB, checked as they pass: a digest that fails is
    raised at the end."""
    value, where = ValueRow._make(row), format_address(path, key)
    size = _unpacked_size(kernel, value, where)
    encoding, pieces = stored_chunks(kernel, path, key, row)
    return pieces if size is None else unpacked(encoding, pieces, size, where)


def _unpacked_size(kernel: Kernel, row: ValueRow, where: str) -> int | None:
    """How many bytes a row's are unpacked; None where they are as they were put.

    Raises:
        InvalidArgumentError: it is an object.
    """
    if kernel.catalog.codec(row.codec).serializer == STORABLE:
        raise several(where, [part.name for part in read_object(row.config, where)[3]])
    return packed_size(read_config(row.config, where), where)


def stored_chunks(kernel: Kernel, path: Path, key: str, row: tuple[Any, ...]) -> tuple[str | None, Iterator[bytes]]:
    """The content encoding of a row's bytes, and they as they are stored, in pieces of at most 4 MB, checked as they
    pass."""
    value, where = ValueRow._make(row), format_address(path, key)
    return kernel.catalog.codec(value.codec).encoding, _stored(kernel, value, where)


def _stored(kernel: Kernel, value: ValueRow, where: str) -> Iterator[bytes]:
    if isinstance(value.data, int):
        yield str(value.data).encode()
    elif value.data is not None:
        check_digest(value.algorithm, value.digest, [value.data], where)
        for begin in range(0, len(value.data), _PIECE):
            yield value.data[begin : begin + _PIECE]
    else:
        storage, config = locate(kernel, where, value)
        pieces = _fetch(storage, config, value, where)
        yield from checked(value.algorithm, value.digest, pieces, f"{where} in {storage.name}")


def _stoppable(pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        go_on()
        yield piece
