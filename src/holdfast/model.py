"""The nouns that a caller sees: Record, Content, Entry, ScopeInfo. They hold what the catalog said and do no I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Final, Generic, NamedTuple, TypeVar

from .address import Path, format_address, format_path
from .errors import IntegrityError
from .hashing import ALGORITHMS

__all__ = [
    "BUNDLE",
    "DURABLE",
    "EPHEMERAL",
    "KEPT",
    "POWER",
    "STORABLE",
    "TIERS",
    "Codec",
    "Content",
    "Entry",
    "Record",
    "RecordRow",
    "ScopeInfo",
    "from_epoch",
]

T = TypeVar("T")

DURABLE, EPHEMERAL = 0, 1
TIERS = {DURABLE: "durable", EPHEMERAL: "ephemeral"}
"""Tier numbers as the catalog stores them to the names that callers use."""

BUNDLE: Final = 0
"""As the storage of a blob: none, it holds other blobs together."""

POWER = 2
"""Bit in a record's flags: its commit was on disk before the put returned."""


KEPT: Final = "holdfast.kept@v1"
"""In place of a serializer: the value is kept as it is, by the memory that it was put into."""

STORABLE = "holdfast.storable@v1"
"""What stands as serializer of an object whose contents have their own."""


class Codec(NamedTuple):
    """How the bytes of a content are to be read: a row of the catalog, shared by all contents of the same kind."""

    serializer: str | None
    content_type: str
    encoding: str | None = None


class RecordRow(NamedTuple):
    """A record as the catalog's listing gives it; the plain columns, in this order."""

    key: str
    tier: int
    version: int
    flags: int
    created: float
    updated: float
    expires: float | None
    tags: str | None
    session: str | None
    algorithm: int
    digest: bytes | None
    size: int
    codec: int
    config: str | None
    storage: int | None
    storage_config: str | None
    synced: int | None


class Content(NamedTuple):
    """One piece of bytes of a record and all that is needed to read it again.

    Attributes:
        algorithm: name of the digest's algorithm (``sha256``, ``blake3``), None for a native integer.
        digest: the digest, raw.
        size: bytes.
        content_type: MIME type, as it was put.
        encoding: content encoding (compression), None for none.
        serializer: registered name of the serializer, None for a file.
        serializer_config: what that serializer needs beside the bytes.
        storage: name of the storage that holds the bytes, None when they lie in the catalog.
        storage_config: where in that storage; None for an object's, whose places ``scope.contents`` gives.
        stream: whether it is a stream of values.
        ephemeral: whether the bytes end with a process.
    """

    algorithm: str | None
    digest: bytes | None
    size: int
    content_type: str
    encoding: str | None
    serializer: str | None
    serializer_config: Any
    storage: str | None
    storage_config: Any
    stream: bool = False
    ephemeral: bool = False


def from_epoch(seconds: float | None) -> datetime | None:
    """Seconds since 1970 as an aware UTC datetime; None stays None."""
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)


class Record:
    """All that is known of one key in one scope at one version, its bytes aside. Immutable."""

    __slots__ = ("_codec", "_path", "_row", "_storage", "_volatile")

    def __init__(self, path: Path, row: Any, codec: Codec, storage: str | None, volatile: bool = False) -> None:
        self._path = path
        self._row: RecordRow = row  # as a plain tuple, perhaps
        self._codec = codec
        self._storage = storage
        self._volatile = volatile

    @property
    def path(self) -> Path:
        """The scope, as ``(kind, name)`` pairs from the root."""
        return self._path

    @property
    def key(self) -> str:
        """The key in that scope."""
        return self._row[0]

    @property
    def version(self) -> int:
        """Grows with every write of the key, also across delete and re-creation; 0 inside a transaction."""
        return self._row[2]

    @property
    def row(self) -> RecordRow:
        """The catalog's columns as they are."""
        return RecordRow._make(self._row)

    @property
    def address(self) -> str:
        """Scope and key as text, as ``holdfast get`` takes it."""
        return format_address(self.path, self.key)

    @property
    def scope(self) -> str:
        """The scope as text."""
        return format_path(self.path)

    @property
    def tier(self) -> str:
        """``durable`` or ``ephemeral``."""
        return TIERS[self._row[1]]

    @property
    def durability(self) -> str:
        """What the bytes survive: ``power`` (on disk), ``process`` (any process' death), ``session`` (neither: they
        are in the memory of a process or of an executor)."""
        row = self.row
        if self._volatile or row.tier == EPHEMERAL:
            return "session"
        if row.storage == BUNDLE and any(content.ephemeral for content in self.contents.values()):
            return "session"
        synced = bool(row.flags & POWER) if row.storage is None else bool(row.synced)
        return "power" if synced else "process"

    @property
    def created(self) -> datetime:
        """When the key was first put since it last did not exist (UTC)."""
        return datetime.fromtimestamp(self._row[4], timezone.utc)

    @property
    def updated(self) -> datetime:
        """When this version was written (UTC)."""
        return datetime.fromtimestamp(self._row[5], timezone.utc)

    @property
    def expires(self) -> datetime | None:
        """When the record ends (UTC), None for never."""
        return from_epoch(self._row[6])

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags; a fresh dict at each call."""
        tags: dict[str, str] = json.loads(self._row[7]) if self._row[7] else {}
        return tags

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return self._row[11]

    @property
    def unpacked_size(self) -> int:
        """Bytes that reading the content gives: more than ``size`` where it is compressed."""
        config = json.loads(self._row[13]) if self._codec.encoding and self._row[13] else {}
        size: int = config.get("size", self.size)
        return size

    @property
    def content_type(self) -> str:
        """MIME type of the content."""
        return self._codec.content_type

    @property
    def serializer(self) -> str | None:
        """Name of the serializer, None for a file."""
        return self._codec.serializer

    @property
    def encoding(self) -> str | None:
        """Content encoding (compression), None for none."""
        return self._codec.encoding

    @property
    def contents(self) -> Mapping[str, Content]:
        """The named contents; a value or a file has one, ``value``, and a storable has its own."""
        row, codec = self.row, self._codec
        if codec.serializer == STORABLE and row.config:
            try:
                return {part["name"]: _content(part) for part in json.loads(row.config)["contents"]}
            except (AttributeError, KeyError, TypeError, ValueError):
                told = f"the record of {self.address} has a config that Holdfast cannot have written"
                raise IntegrityError(told) from None
        return {
            "value": Content(
                algorithm=ALGORITHMS.get(row.algorithm, str(row.algorithm)),
                digest=row.digest,
                size=row.size,
                content_type=codec.content_type,
                encoding=codec.encoding,
                serializer=codec.serializer,
                serializer_config=json.loads(row.config) if row.config else None,
                storage=self._storage,
                storage_config=json.loads(row.storage_config) if row.storage_config else None,
                ephemeral=self._volatile or row.tier == EPHEMERAL,
            )
        }

    @property
    def digest(self) -> str | None:
        """``algorithm:hex`` of the content, None for a native integer or an ephemeral content."""
        row = self.row
        return None if row.digest is None else f"{ALGORITHMS.get(row.algorithm, row.algorithm)}:{row.digest.hex()}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and (self.path, self._row) == (other.path, other._row)

    def __hash__(self) -> int:
        return hash((self.path, self.key, self.version))

    def __reduce__(self) -> tuple[Any, ...]:
        return Record, (self._path, self._row, self._codec, self._storage, self._volatile)

    def __repr__(self) -> str:
        return f"<Record {self.address} version {self.version}, {self.size} bytes of {self.content_type}>"


def _content(part: Mapping[str, Any]) -> Content:
    digest = part.get("digest")
    return Content(
        part.get("algorithm"), None if digest is None else bytes.fromhex(digest), part["size"], part["type"],
        part.get("encoding"), part["serializer"], part.get("config"), part.get("storage"), None, part["stream"],
        bool(part.get("ephemeral")),
    )  # fmt: skip


class Entry(Generic[T]):
    """A value and the record that it came from, of one read or one write."""

    __slots__ = ("record", "value")

    def __init__(self, value: T, record: Record) -> None:
        self.value = value
        self.record = record

    @property
    def version(self) -> int:
        """The record's version, for ``if_version=``."""
        return self.record.version

    def __repr__(self) -> str:
        return f"<Entry {self.value!r} of {self.record.address} version {self.version}>"


class ScopeInfo(NamedTuple):
    """A scope that exists, as listings give it.

    Attributes:
        path: ``(kind, name)`` pairs from the root.
        since: when it was made, in seconds since 1970.
        properties: the JSON object that :meth:`Scope.create <holdfast.Scope.create>` was given.
    """

    path: Path
    since: float
    properties: Mapping[str, Any]

    @property
    def created(self) -> datetime:
        """When it was made (UTC)."""
        return datetime.fromtimestamp(self.since, timezone.utc)

    @property
    def kind(self) -> str:
        """The last segment's kind."""
        return self.path[-1][0]

    @property
    def name(self) -> str:
        """The last segment's name."""
        return self.path[-1][1]
