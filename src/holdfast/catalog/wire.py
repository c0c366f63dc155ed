"""The calls of a catalog as they cross HTTP: one table, from which service and client are both made.

A call is ``POST /v1/catalog/NAME`` with its arguments as an array in MessagePack, and its result in MessagePack as the
answer. The tuples of the contract cross as arrays in the order of their fields; all that comes in is checked for its
type before anything is done. An error crosses as the name of its class and its message.

Two kinds of numbers would open what is not one's own, and so cross *sealed*
(:mod:`holdfast.service.remote.seals`): places in storages that the service reads, and, to whom may not have all, ids of
blobs. A sealed id is some bytes, which stand for one large integer in the client.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_type_hints

import msgspec
from msgspec import Meta

from .. import errors
from ..errors import HoldfastError, InvalidArgumentError, StoreError
from ..model import Codec, RecordRow, ScopeInfo
from .base import (
    UNCHANGED,
    Blob,
    Change,
    Committed,
    Delete,
    Edit,
    Expect,
    Fence,
    InlineRow,
    LeaseRow,
    Member,
    MemberRow,
    NewBlob,
    Policy,
    Put,
    Restore,
    Since,
    Unchanged,
    Usage,
    ValueRow,
    WriteAgain,
)

__all__ = [
    "BEYOND",
    "CALLS",
    "LONGER",
    "MIME",
    "PLACE",
    "PREFIX",
    "SEALED_ID",
    "BlobId",
    "Call",
    "Hello",
    "as_put",
    "decode",
    "decode_changes",
    "encode",
    "encode_changes",
    "encode_error",
    "named_error",
    "raised",
]

MIME: Final = "application/msgpack"
"""The content type of calls and their answers."""

PREFIX: Final = "/v1"
"""What the paths of the service begin with."""

BEYOND: Final = 416
"""The status that tells that there is nothing in a range that was asked for."""

LONGER: Final = 60.0
"""Seconds beyond the client's time-out that an answer may take: the service waits for others and for its disk."""

SEALED_ID: Final = 32
"""Bytes of a sealed id: a seal of the id, a seal of it with its content, and the id."""

PLACE: Final = ValueRow._fields.index("blob")
"""Where the place of bytes begins in a value row: blob, storage, config."""

BlobId = Union[int, bytes]
"""A blob's id as it crosses: as it is, or sealed."""

_Needs = Literal["any", "read", "write", "either", "admin", "store"]

_MANY, _PARTS = 100_000, 1_000_000
"""Of a list in a call, and of names and contents in all changes of a commit: few bytes are much more in memory."""
_Path = Annotated[tuple[tuple[str, str], ...], Meta(max_length=_MANY)]
_Row = tuple[Any, ...]


def _crossing(kind: Any, **other: Any) -> Any:
    """A named tuple's type with other types for some fields, as they cross."""
    hints = {**get_type_hints(kind), **other}
    make: Any = NamedTuple
    return make(kind.__name__, [(name, hints[name]) for name in kind._fields])


def _of(shape: Any, *kinds: Any) -> Any:
    """A type of several, as ``list[kind]``, of kinds that are made here."""
    return shape[kinds if len(kinds) > 1 else kinds[0]]


class Hello(NamedTuple):
    """What a client learns first.

    Attributes:
        store_id: the store's own id.
        boot: the service's boot, under which it records bytes.
        integer: the id of the codec of native integers.
        storages: number, name, URL and whether the service reads it for its clients, of each storage.
        volatile: whether all of it ends with the service.
        instance: tells the store from copies of it.
    """

    store_id: str
    boot: str
    integer: int
    storages: list[tuple[int, str, str, bool]]
    volatile: bool
    instance: str = ""


class Call(NamedTuple):
    """One call.

    Attributes:
        arguments: the type of each.
        result: the type of what it gives.
        needs: for the path that is its first argument ``read``, ``write`` or ``admin``, ``either`` of the first two;
            ``any``: a token; ``store``: everything, for the whole store.
        again: it changes nothing, or the second time nothing more, so that it is tried again when its answer is lost.
    """

    arguments: Any
    result: Any
    needs: _Needs
    again: bool = True


_Value = _crossing(ValueRow, blob=BlobId | None)
_Member = _crossing(MemberRow, blob=BlobId)
_Blob = _crossing(Blob, id=BlobId)
_NewMember = _crossing(Member, blob=NewBlob | BlobId, since=Since | None)
_Members: Any = Annotated[_of(tuple, _NewMember, ...), Meta(max_length=_MANY)]
_Put = _crossing(Put, path=_Path, blob=NewBlob | BlobId | None, members=_Members, since=Since | None)
_Edit = _crossing(Edit, path=_Path, expires=float | bool | None, tags=str | bool | None, codec=int | bool)
_Info = _crossing(ScopeInfo, path=_Path, properties=str)  # as JSON, whose numbers may be of any size
_Committed = _crossing(Committed, row=RecordRow | None, members=tuple[bool, ...])

_Changes = Annotated[list[tuple[str, msgspec.Raw]], Meta(max_length=_MANY)]
_Scopes = Annotated[list[tuple[_Path, int | None]], Meta(max_length=_MANY)]
_Ids = Annotated[list[BlobId], Meta(max_length=_MANY)]

CALLS: Final[Mapping[str, Call]] = {
    "hello": Call((), Hello, "any"),
    "find": Call((_Path, str), _of(list, _Value), "read"),
    "put": Call((_Path, str, InlineRow, bool, str | None), tuple[int, float, float], "write", again=False),
    "replace": Call((_Path, str, InlineRow, int), tuple[int, float, float] | None, "write", again=False),
    "add": Call((_Path, str, int, int, bool), tuple[int, RecordRow], "write", again=False),
    "commit": Call((_Changes, _Scopes, Fence | None, bool), _of(list, _Committed), "any", again=False),
    "record": Call((_Path, str), list[RecordRow], "read"),
    "entry": Call((_Path, str), _of(list, _Row), "read"),
    "past": Call((_Path, str), _of(list, _Row), "read"),
    "members": Call((BlobId,), _of(list, _Member), "any"),
    "keys": Call((_Path, str, str | None, int), list[str], "read"),
    "search": Call(
        (_Path, str, str | None, dict[str, str] | None, str, RecordRow | None, int), list[RecordRow], "read"
    ),
    "scope_id": Call((_Path,), int | None, "either"),
    "usage": Call((_Path, bool), Usage, "read"),
    "scope": Call((_Path,), _of(Union, _Info, None), "read"),
    "create_scope": Call((_Path, str | None, bool, float | None), None, "write", again=False),
    "children": Call((_Path, tuple[str, str] | None, int), _of(list, _Info), "read"),
    "rename_scope": Call((_Path, str), None, "admin", again=False),
    "drop_scope": Call((_Path, bool), None, "admin", again=False),
    "was_dropped": Call((_Path,), bool, "read"),
    "policy": Call((_Path,), Policy | None, "read"),
    "set_policy": Call((_Path, Policy | None, Policy | None), bool, "admin"),
    "past_keys": Call((_Path, str, str | None, int), list[str], "read"),
    "codec_id": Call((Codec,), int, "any"),
    "codec": Call((int,), Codec, "any"),
    "storage_id": Call((str, str), int, "any"),
    "storage": Call((int,), tuple[str, str, bool], "any"),
    "storages": Call((), list[int], "any"),
    "now": Call((), float, "any"),
    "settled": Call((), float, "any"),
    "acquire": Call((str, str, float, str), LeaseRow, "any"),  # by the same owner it gives the same lease
    "holder": Call((str,), LeaseRow | None, "any"),
    "renew": Call((Fence, float), LeaseRow, "any"),
    "release": Call((Fence,), None, "any"),
    "sessions": Call((), list[str], "store"),
    "end_session": Call((str,), int, "store"),
    "barrier": Call((), None, "any"),
    "unsynced": Call((str, bool, BlobId, int), _of(list, _Blob), "store"),
    "mark_synced": Call((_Ids,), None, "store"),
    "trust": Call((BlobId, NewBlob), None, "store"),
    "mark_lost": Call((BlobId,), int, "store"),
    "sweep": Call((int,), int, "store"),
    "garbage": Call((int, int | None), _of(list, _Blob), "store"),
    "forget": Call((_Ids,), None, "store"),
    "begin": Call((), Since, "store"),
    "vacate": Call((_Ids,), None, "store"),
    "abandon": Call((_Put,), None, "store"),
    "known": Call((int, list[str]), set[str], "store"),
    "garbage_size": Call((), tuple[int, int, int], "store"),
}
"""All calls, by name: those of :class:`~holdfast.catalog.base.Catalog`, and ``hello``."""

_encoder = msgspec.msgpack.Encoder()
_arguments = {
    name: msgspec.msgpack.Decoder(_of(tuple, *call.arguments) if call.arguments else tuple[()])
    for name, call in CALLS.items()
}
_results = {name: msgspec.msgpack.Decoder(call.result) for name, call in CALLS.items()}
_kinds: dict[str, tuple[Any, Any]] = {
    "put": (_Put, Put),
    "restore": (_crossing(Restore, put=_Put), Restore),
    "delete": (_crossing(Delete, path=_Path), Delete),
    "edit": (_Edit, Edit),
    "expect": (_crossing(Expect, path=_Path), Expect),
}
_changes = {name: (msgspec.msgpack.Decoder(kind), made) for name, (kind, made) in _kinds.items()}
_names = {made: name for name, (_, made) in _kinds.items()}
_told = msgspec.msgpack.Decoder(tuple[str, str])

encode = _encoder.encode
"""Arguments (as a tuple) or a result as MessagePack."""


def decode(name: str, data: bytes, *, result: bool = False) -> Any:
    """The arguments of a call, as a tuple, or its result.

    Raises:
        InvalidArgumentError: they are none.
        StoreError: it is no result of this call.
    """
    try:
        return (_results if result else _arguments)[name].decode(data)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:  # UnicodeDecodeError is one of the last
        if result:
            raise StoreError(f"the service gave no answer to {name}: {error}") from None
        raise InvalidArgumentError(f"no arguments of {name}: {error}") from None


# --- changes ----------------------------------------------------------------------------------------------------------


def encode_changes(changes: Iterable[Change]) -> list[tuple[str, Any]]:
    """Changes as they cross, each with its kind; columns that an edit leaves as they are cross as True."""
    crossing: list[tuple[str, Any]] = []
    for change in changes:
        row: Any = change
        if isinstance(change, Edit):
            row = tuple(True if isinstance(column, Unchanged) else column for column in change)
        crossing.append((_names[type(change)], row))
    return crossing


def decode_changes(crossing: Iterable[tuple[str, Any]]) -> list[Change]:
    """The changes again; ids of blobs in them may be sealed.

    Raises:
        InvalidArgumentError: one is no change.
    """
    changes: list[Change] = []
    parts = 0
    for name, raw in crossing:
        try:
            decoder, made = _changes[name]
            row = decoder.decode(raw)
        except (KeyError, msgspec.DecodeError, RecursionError, ValueError) as error:
            raise InvalidArgumentError(f"no change: {name[:20]!r}, {error}") from None
        put = row[0] if made is Restore else row
        parts += len(put.path) + len(getattr(put, "members", ()))
        if parts > _PARTS:
            raise InvalidArgumentError(f"the changes name more than {_PARTS} scopes and contents: commit fewer at once")
        if made is Put:
            changes.append(as_put(row))
        elif made is Restore:
            changes.append(Restore(as_put(put), *row[1:]))
        elif made is Edit:
            changes.append(_checked_edit(Edit._make(UNCHANGED if column is True else column for column in row)))
        else:
            changes.append(made(*row))
    return changes


def as_put(row: Sequence[Any]) -> Put:
    """A put that crossed, in the contract's own types."""
    put = Put(*row)
    return put._replace(members=tuple(Member(*member) for member in put.members)) if put.members else put


def _checked_edit(edit: Edit) -> Edit:
    if any(column is False for column in edit):
        raise InvalidArgumentError("no change: a column of an edit is a value, or True for as it is")
    return edit


# --- errors -----------------------------------------------------------------------------------------------------------

_tree: list[type[HoldfastError]] = [getattr(errors, name) for name in errors.__all__]
_classes = {kind.__name__: kind for kind in (*_tree, WriteAgain)}
_by_code = {kind.code: kind for kind in _tree}


def encode_error(error: HoldfastError) -> bytes:
    """An error as it crosses."""
    kinds = (kind.__name__ for kind in type(error).__mro__)
    return encode((next((name for name in kinds if name in _classes), "HoldfastError"), str(error)))


def named_error(code: str, message: str) -> HoldfastError:
    """The error of a ``code``, as JSON answers have it; a StoreError where there is none of ours."""
    kind: type[HoldfastError] = _by_code.get(code, StoreError)
    return kind(message)


def raised(data: bytes, where: str) -> HoldfastError:
    """The error that an answer tells."""
    try:
        name, message = _told.decode(data)
    except (msgspec.DecodeError, ValueError):
        return StoreError(f"{where} failed, and did not say how")
    kind: type[HoldfastError] = _classes.get(name, StoreError)
    return kind(message)
