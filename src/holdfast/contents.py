"""Objects of several contents, as their records have them: the config that says so, and contents that are not read yet.

The record's config is JSON::

    {"object": [class id, unpacker, name of the class], "contents": [{"name": ..., "serializer": ..., ...}, ...]}

with a :class:`Part` for each content. Small ones lie one after the other in the record's own data (``at``), the others
in storages, as the members of its bundle (``member``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from typing import Any, NamedTuple

from .address import Path, format_address
from .catalog.base import Ledger, MemberRow, ValueRow
from .errors import HoldfastError, IntegrityError, InvalidArgumentError, NotFoundError, ValueLost
from .hashing import ALGORITHMS
from .kernel import Kernel
from .layout import read_config
from .model import STORABLE, Record

__all__ = [
    "Part",
    "Unread",
    "at_once",
    "config_text",
    "named",
    "object_of",
    "one_of",
    "read_object",
    "row_of",
    "rows_of",
    "several",
]

at_once: ContextVar[Callable[[Any], Any] | None] = ContextVar("at_once", default=None)
"""Set where objects are to be read with all their contents at once, as nobody may be kept waiting for one later: what
makes of a stream one for those."""

_TEXT = re.compile("[^\0\ud800-\udfff]*")
_NUMBERS = {name: number for number, name in ALGORITHMS.items()}


class Part(NamedTuple):
    """One content of an object, as the config of its record has it.

    Attributes:
        name: of the content.
        serializer, type, encoding: as of a :class:`~holdfast.model.Codec`.
        config: where its parts lie in it, and what its serializer needs; see :mod:`holdfast.layout`.
        size: bytes, as they are stored.
        algorithm, digest: name of the algorithm, and hex digits.
        stream: whether it is one of values.
        at: where it begins in the record's data.
        member: or which member of the bundle it is.
        storage: name of the storage that a member is in.
        ephemeral: True for one whose bytes end with a process.
    """

    name: str
    serializer: str
    type: str
    encoding: str | None
    config: Any
    size: int
    algorithm: str | None
    digest: str | None
    stream: bool
    at: int | None = None
    member: int | None = None
    storage: str | None = None
    ephemeral: bool | None = None


def config_text(thing: Sequence[str], parts: Iterable[Part]) -> str:
    """The config of an object of that class id, unpacker and class, with these contents."""
    contents = [{name: value for name, value in part._asdict().items() if value is not None} for part in parts]
    return json.dumps({"object": thing, "contents": contents}, separators=(",", ":"))


def read_object(text: str | None, where: str) -> tuple[str, str, str, list[Part]]:
    """Class id, unpacker, name of the class and contents of an object, by its config.

    Raises:
        IntegrityError: it is none of ours.
    """
    config = read_config(text, where)
    try:
        thing = tuple(config["object"])
        parts = [Part._make(map(content.get, Part._fields)) for content in config["contents"]]
        sound = len(thing) == 3 and all(map(_is_text, thing)) and all(map(_is_sound, parts))
    except (AttributeError, KeyError, TypeError):
        sound = False
    if not sound:
        raise IntegrityError(f"the record of {where} has a config that Holdfast cannot have written")
    return (*thing, parts)


def _is_sound(part: Any) -> bool:
    """Whether a part could be written; nor is it an object, by which what may not be loaded could be hidden."""
    return (
        isinstance(part.name, str)
        and all(map(_is_text, (part.serializer, part.type)))
        and part.serializer != STORABLE
        and all(one is None or _is_text(one) for one in (part.encoding, part.algorithm, part.digest, part.storage))
        and all(type(one) is int and 0 <= one < 1 << 63 for one in (part.size, part.at or 0, part.member or 0))
        and type(part.stream) is bool
    )


def _is_text(name: object) -> bool:
    """Whether it is a text that every catalog can keep."""
    return isinstance(name, str) and _TEXT.fullmatch(name) is not None


def object_of(record: Record) -> tuple[str, str, str]:
    """Class id, unpacker and name of the class of the object that a record is."""
    return read_object(record.row.config, record.address)[:3]


def row_of(kernel: Kernel, part: Part, row: ValueRow, members: Sequence[MemberRow], where: str) -> ValueRow:
    """A content as a value of its own, of the row of the object that it is of.

    Raises:
        IntegrityError: the record does not say what it has to.
        ValueLost: there are no bytes of it.
    """
    codec = kernel.codec_ids[part.serializer, part.type, part.encoding]
    config = None if part.config is None else json.dumps(part.config)
    data: bytes | None = None
    place: tuple[Any, ...] = (None,) * 9
    other = False
    try:
        digest = None if part.digest is None else bytes.fromhex(part.digest)
        if part.at is not None and isinstance(row.data, bytes):
            data = row.data[part.at : part.at + part.size]
        elif part.member is not None and 0 <= part.member < len(members):
            other = members[part.member][1:4] != (_NUMBERS[part.algorithm], digest, part.size)
            place = tuple(members[part.member])[4:]
        head = (row.tier, row.version, None, _NUMBERS[part.algorithm], digest, part.size, codec, config, None)
    except (KeyError, TypeError, ValueError):
        raise IntegrityError(f"the record of {where} does not say where its bytes are") from None
    if other:
        raise IntegrityError(f"the catalog has other bytes for {where} than its record says")
    if data is None and place[0] is None:
        raise ValueLost(f"the bytes of {where} are gone from the catalog")
    return ValueRow(*head, data, *place)


def rows_of(
    kernel: Kernel, ledger: Ledger, path: Path, key: str, row: ValueRow
) -> Iterator[tuple[Part, str, ValueRow]]:
    """The contents of an object: what the record says of each, a key for messages, and it as a value of its own.

    Raises:
        IntegrityError, ValueLost: see :func:`read_object` and :func:`row_of`.
    """
    _, _, kind, parts = read_object(row.config, format_address(path, key))
    members = [] if row.blob is None else ledger.members(row.blob)
    for part in parts:
        inner = f"{key} [{kind}.{part.name}]"
        yield part, inner, row_of(kernel, part, row, members, format_address(path, inner))


def one_of(
    kernel: Kernel, ledger: Ledger, path: Path, key: str, row: tuple[Any, ...], content: str | None
) -> tuple[Any, ...]:
    """The row of a content: the one that a value or a file has, ``value``, or that of this name.

    Raises:
        InvalidArgumentError: no name is given, and it is an object.
        NotFoundError: it has no content of that name.
    """
    rows: dict[str | None, tuple[Any, ...]] = {"value": row, None: row}
    if kernel.catalog.codec(row[6]).serializer == STORABLE:
        rows = {part.name: one for part, _, one in rows_of(kernel, ledger, path, key, ValueRow._make(row))}
        if content is None:
            raise several(format_address(path, key), rows)
    if content not in rows:
        names = ", ".join(name for name in rows if name is not None)
        raise NotFoundError(f"{format_address(path, key)} has no content {content!r}: it has {names}")
    return rows[content]


def several(where: str, names: Iterable[str | None]) -> InvalidArgumentError:
    """The error for bytes of an object, of which it has several."""
    listed = ", ".join(map(str, names))
    return InvalidArgumentError(f"{where} is an object: name one of its contents by content= (--content): {listed}")


class Unread(Mapping[str, Any]):
    """A content of an object that was got, as unpackers are given it: ``value`` or ``value_stream``, which is read when
    it is first asked for, and the names of its ``serializer`` and ``storage``.

    Attributes:
        part: what the record says of it.
        source: the store that it is of, and the bundle of its record there, None for one without.
    """

    def __init__(self, part: Part, read: Callable[[], Any], source: tuple[Kernel, int | None]) -> None:
        self.part = part
        self.source = source
        self._read = read

    @property
    def is_read(self) -> bool:
        """Whether its value is at hand."""
        return "value" in vars(self)

    @cached_property
    def value(self) -> Any:
        """What it is, of either kind."""
        return self._read()

    def __getitem__(self, name: str) -> Any:
        if name not in self._names():
            raise KeyError(name)
        return self.value if name.startswith("value") else getattr(self.part, name)

    # Not those of Mapping, which take an error for a name that is missing, as ValueLost is a KeyError.
    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def get(self, name: str, default: Any = None) -> Any:
        """What is under a name, else the default."""
        return self[name] if name in self else default  # noqa: SIM401  that is this

    def _names(self) -> tuple[str, ...]:
        return "value_stream" if self.part.stream else "value", "serializer", "storage"

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __reduce__(self) -> tuple[Any, ...]:
        return _same, (self.value,)  # another process cannot read it

    def __repr__(self) -> str:
        return f"<{self.part.name}: {self.part.size} bytes by {self.part.serializer}>"


def _same(value: Any) -> Any:
    return value


@contextmanager
def named(what: str) -> Iterator[None]:
    """Errors of what is done here say that they are of this content, or object."""
    try:
        yield
    except HoldfastError as error:
        if what in str(error):
            raise
        raise type(error)(f"{what}: {error}") from error
