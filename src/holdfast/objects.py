"""Putting a value, of which kind it is; and objects of several contents, each by its own serializer in its own storage.

All contents of an object become visible in one commit. Those that are small lie in the record itself, the others are
written one after the other, and then named by the record together.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .address import Path
from .catalog.base import Ledger, Member, MemberRow, Put, WriteAgain, as_ending
from .contents import Part, Unread, config_text, named
from .errors import EncodeError, StorageFullError
from .hashing import ALGORITHMS, digest_buffers
from .kernel import Kernel
from .memory.putting import begin_in_memory, put_in_memory, tidy
from .model import STORABLE, Record
from .options import PLAIN, Plan
from .payload import Buffer
from .steps import Steps, Transfer, run
from .storable.base import Storable, full_name
from .storages.ephemeral import SESSIONS
from .streams import Draft
from .writing import Encoded, commit_put, encode, let_go, new_blob, paused, prepare, put_inline, put_stored, transfer

__all__ = ["CONTENT_TYPE", "ROOM", "put", "put_contents", "putting", "taken_apart"]

CONTENT_TYPE = "application/vnd.holdfast.storable"
"""The content type of records of objects."""

ROOM = 1 << 20
"""Bytes of all small contents of an object together that lie in the catalog, where one may have no more."""

_MOST = 1 << 28
_CONFIG = 1 << 22  # characters that say which contents there are
_BESIDE = {
    "value": ("serializer", "storage"), "value_stream": ("serializer", "storage", "content_type", "config"),
}  # fmt: skip


def put(kernel: Kernel, ledger: Ledger, path: Path, key: str, value: Any, plan: Plan = PLAIN) -> Record:
    """Store a value and give its record."""
    if plan.tier is not None or (isinstance(value, Storable) and plan.serializer is None):
        return run(putting(kernel, ledger, path, key, value, plan))
    encoded, integer = prepare(kernel, value, plan)
    if integer is not None or encoded.size <= kernel.inline:
        return put_inline(kernel, ledger, path, key, encoded, integer, plan)
    return run(put_stored(kernel, ledger, path, key, encoded, plan))


def putting(kernel: Kernel, ledger: Ledger, path: Path, key: str, value: Any, plan: Plan = PLAIN) -> Steps[Record]:
    """:func:`put` as steps."""
    if isinstance(value, Storable) and plan.serializer is None:
        thing, contents = taken_apart(kernel, value)
        try:
            return (yield from put_contents(kernel, ledger, path, key, thing, contents, plan))
        except StorageFullError:
            if plan.tier != "auto":
                raise
        return (yield from put_contents(kernel, ledger, path, key, thing, contents, plan._replace(tier=None)))
    if plan.tier is not None:
        found = yield from put_in_memory(kernel, ledger, path, key, value, plan)
        if isinstance(found, Record):
            return found
        encoded, integer = found, None
    else:
        encoded, integer = prepare(kernel, value, plan)
    if integer is not None or encoded.size <= kernel.inline:
        return put_inline(kernel, ledger, path, key, encoded, integer, plan)
    return (yield from put_stored(kernel, ledger, path, key, encoded, plan))


def taken_apart(kernel: Kernel, value: Storable) -> tuple[tuple[str, str, str], Mapping[str, Mapping[str, Any]]]:
    """Class id, unpacker and class of an object, and its contents by name, as its unpacker gives them.

    Raises:
        NotRegisteredError: its class has no unpacker of a registered name.
    """
    kind = type(value)
    config = kind.storable_config()
    assert config is not None
    unpacker = kernel.registry.unpacker(config.unpacker.name, kind)
    return (config.class_id, unpacker.name, full_name(kind)), unpacker.unpack_object(value, kernel.registry)


class _Piece(NamedTuple):
    """One content that is to be written: a value as bytes, or a stream that is still to be read.

    ``where`` names it in errors. ``storage`` is the id of the one to write to, None where it may lie in the catalog.
    ``again`` is what is there already: bytes of an object that was got, and that nobody has read or changed.
    """

    name: str
    where: str
    encoded: Encoded | None
    streamed: bool
    value: Any
    plan: Plan
    storage: int | None
    again: MemberRow | None = None
    config: Any = None


class _Written(NamedTuple):
    """A content that was written: as a member of the bundle, or else its bytes, which are to lie in the record."""

    piece: _Piece
    encoded: Encoded
    member: Member | None


def put_contents(
    kernel: Kernel,
    ledger: Ledger,
    path: Path,
    key: str,
    thing: tuple[str, str, str],
    contents: Mapping[str, Mapping[str, Any]],
    plan: Plan,
) -> Steps[Record]:
    """Store an object of that class id, unpacker and class, by its contents, as an unpacker gives them.

    Raises:
        EncodeError: they are none, or one of them cannot be stored; nothing is.
        NotRegisteredError: a serializer or storage is not registered.
    """
    home, session = kernel.storage_id, None
    if plan.tier is not None:
        home, session = begin_in_memory(kernel, ledger)
    pieces = _pieces(kernel, ledger, thing, contents, plan, home)
    began = {path: ledger.scope_id(path)} if any(piece.storage or piece.encoded is None for piece in pieces) else None
    deadline, tidied = time.monotonic() + kernel.config.timeout, False
    while True:
        written: list[_Written] = []
        change = Put(path, key, 0, 0, None, 0, tags=plan.tags, expires=plan.expires, if_version=plan.if_version)
        change = as_ending(change, session)
        try:
            for piece in pieces:
                with named(piece.where):
                    written.append((yield from _write(kernel, ledger, path, key, piece, plan)))
        except BaseException as error:
            let_go(kernel, change._replace(members=_members(written)))
            if session is None or tidied or not isinstance(error, StorageFullError) or _streams(pieces):
                raise
            tidied = True
            tidy(kernel, home, thorough=True)  # what was replaced or deleted makes room
            continue
        encoded = _joined(kernel, thing, written, plan)
        if not _members(written):
            return put_inline(kernel, ledger, path, key, encoded, None, plan, began, session)
        data = encoded.buffers[0]
        assert isinstance(data, bytes)
        algorithm, digest = digest_buffers([data], len(data))
        change = change._replace(
            codec=encoded.codec, algorithm=algorithm, digest=digest, size=encoded.size, data=data,
            config=encoded.config, members=_members(written),
            signature=encoded.sign(kernel, algorithm, digest),
        )  # fmt: skip
        try:
            record = commit_put(kernel, ledger, change, plan, began)
        except WriteAgain:
            if _streams(pieces) or not paused(deadline):
                raise
            continue
        if session is not None:
            tidy(kernel, home, thorough=True)
        return record


def _streams(pieces: Iterable[_Piece]) -> bool:
    """Whether some of them can be read once only."""
    return any(piece.encoded is None for piece in pieces)


def _members(written: Iterable[_Written]) -> tuple[Member, ...]:
    return tuple(one.member for one in written if one.member is not None)


def _pieces(
    kernel: Kernel, ledger: Ledger, thing: tuple[str, str, str], contents: Any, plan: Plan, home: int
) -> list[_Piece]:
    """The contents of an object, checked and as bytes; before any of them is written. ``home`` is the storage of those
    that name none."""
    pieces, room = [], max(kernel.inline, ROOM)
    _, unpacker, kind = thing
    if not isinstance(contents, Mapping):
        raise EncodeError(f"{kind}: {unpacker} must give contents by name, not {contents!r}")
    for name, content in contents.items():
        where = f"{kind}.{name}"
        if not isinstance(name, str) or not name or not isinstance(content, Mapping):
            raise EncodeError(f"{where}: {unpacker} must give a mapping by name for each content, not {content!r}")
        if not name.isascii() and any("\ud800" <= letter <= "\udfff" for letter in name):
            raise EncodeError(f"{kind}: {unpacker} gave a content of the name {name!r}, which is no text")
        given = [key for key in content if key in ("value", "value_stream")]
        if len(given) != 1 or content.keys() - {*given, *_BESIDE[given[0]]}:
            raise EncodeError(
                f"{where}: {unpacker} must give one of value and value_stream, and may give a serializer and a storage "
                f"beside it, not {', '.join(map(str, content)) or 'nothing'}"
            )
        with named(where):
            piece = _piece(kernel, ledger, name, where, content, plan, given == ["value_stream"])
            size = 0 if piece.encoded is None or piece.storage is not None else piece.encoded.size
            if size > min(room, kernel.inline if content.get("storage") is None else _MOST):
                size, piece = 0, piece._replace(storage=home)
            room -= size
            pieces.append(piece)
    return pieces


def _piece(
    kernel: Kernel, ledger: Ledger, name: str, where: str, content: Mapping[str, Any], plan: Plan, streamed: bool
) -> _Piece:
    serializer, storage = (_name(content.get(part), part) for part in ("serializer", "storage"))
    value = content["value_stream" if streamed else "value"]
    if isinstance(value, Unread):
        again = _there(kernel, ledger, value, serializer, storage)
        if again is not None:
            part = value.part
            layout = None if part.config is None else json.dumps(part.config, separators=(",", ":"))
            codec = kernel.codec_ids[part.serializer, part.type, part.encoding]
            encoded = Encoded(codec, (), part.size, layout, None)
            return _Piece(name, where, encoded, part.stream, None, plan, again.storage, again)
        value = value.value
    number = None if storage is None else kernel.storage_named(storage)
    how = plan._replace(serializer=serializer, content_type=content.get("content_type"), tier=None)
    if streamed:
        if not isinstance(value, (Iterable, AsyncIterable)):
            raise EncodeError(f"a stream is an iterable, not {type(value).__qualname__}")
        if serializer is not None:
            kernel.registry.stream_serializer(serializer)
        return _Piece(name, where, None, True, value, how, number, config=content.get("config"))
    if isinstance(value, Storable) and serializer is None:
        raise EncodeError(f"it is a {full_name(type(value))}, which has contents of its own: its unpacker gives these")
    return _Piece(name, where, encode(kernel, value, how), False, None, how, number)


def _there(
    kernel: Kernel, ledger: Ledger, unread: Unread, serializer: str | None, storage: str | None
) -> MemberRow | None:
    """The member of a bundle that an unread content is, if it can be one of another bundle as it is."""
    part, (source, bundle) = unread.part, unread.source
    if bundle is None or part.member is None or not kernel.same_store(source):
        return None
    if serializer not in (None, part.serializer) or storage not in (None, part.storage):
        return None
    if kernel.registry.reader(part.serializer).executable:
        return None  # it is read, which checks the signature, before it is signed anew
    members = ledger.members(bundle)
    found = members[part.member] if part.member < len(members) else None
    if found is not None and kernel.catalog.storage(found.storage)[1] in SESSIONS:
        return None  # what ends with a session is read, and written for the record that is to name it
    same = found is not None and (found.digest and found.digest.hex(), found.size) == (part.digest, part.size)
    return found if same and found is not None and found.blob else None


def _name(component: Any, what: str) -> str | None:
    """The name of a component that is given as a name, a class or an instance."""
    name = component if component is None or isinstance(component, str) else getattr(component, "name", component)
    if name is None or isinstance(name, str):
        return name
    raise EncodeError(f"its {what} is {component!r}: give a {what}, or its registered name")


def _write(kernel: Kernel, ledger: Ledger, path: Path, key: str, piece: _Piece, plan: Plan) -> Steps[_Written]:
    number, encoded = piece.storage, piece.encoded
    if encoded is not None and number is None:
        return _Written(piece, encoded, None)
    if encoded is not None and piece.again is not None:
        there = piece.again
        return _Written(piece, encoded, Member(there.blob, there.algorithm, there.digest, there.size))
    storage = kernel.storage_of(kernel.storage_id if number is None else number)
    if encoded is None:
        draft = Draft(kernel, ledger, path, key, piece.plan, storage=None if number is None else storage)
        try:
            yield Transfer(draft, "take", (piece.value,), {})
            encoded, done = yield from draft.finish()
        except BaseException:
            draft.abort()
            raise
        if piece.config is not None:
            config = {**json.loads(encoded.config or "{}"), "config": piece.config}
            encoded = encoded._replace(config=json.dumps(config))
        if done is None:
            return _Written(piece, encoded, None)
        place, digest, since = done
    else:
        place, digest, since = yield from transfer(kernel, storage, encoded, plan)
    blob = new_blob(kernel, place, plan.power, number)
    return _Written(piece, encoded, Member(blob, *digest, encoded.size, since))


def _joined(kernel: Kernel, thing: Sequence[str], written: Iterable[_Written], plan: Plan) -> Encoded:
    """The record's own data and config, of contents that were written."""
    buffers: list[Buffer] = []
    parts, at, member, size, executable = [], 0, 0, 0, False
    for piece, encoded, new in written:
        codec = kernel.catalog.codec(encoded.codec)
        size += encoded.size
        executable = executable or encoded.signer is not None
        layout = None if encoded.config is None else json.loads(encoded.config)
        head = (piece.name, str(codec.serializer), codec.content_type, codec.encoding, layout, encoded.size)
        algorithm, digest = (new.algorithm, new.digest) if new else digest_buffers(encoded.buffers, encoded.size)
        part = Part(*head, ALGORITHMS[algorithm], None if digest is None else digest.hex(), piece.streamed)
        if new is None:
            parts.append(part._replace(at=at))
            buffers += encoded.buffers
            at += encoded.size
        else:
            name, ends = kernel.whereabouts(kernel.storage_id if piece.storage is None else piece.storage)
            parts.append(part._replace(member=member, storage=name, ephemeral=ends or None))
            member += 1
    config = config_text(thing, parts)
    if len(config) > _CONFIG:
        raise EncodeError(f"{thing[2]} has {len(parts)} contents, more than a record can name: put some of their own")
    own = kernel.codec_ids[STORABLE, plan.content_type or CONTENT_TYPE, None]
    return Encoded(own, [b"".join(buffers)], size, config, STORABLE if executable else None)
