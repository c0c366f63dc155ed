"""The documents of an export, and a record as a line of them, which is how it is carried from store to store, too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from msgspec import Meta, Struct, convert
from msgspec.json import Decoder, Encoder

from ..catalog.base import HIGHEST
from ..contents import Part, config_text, read_object
from ..errors import DecodeError, SchemaError
from ..hashing import ALGORITHMS
from ..model import STORABLE, Record

__all__ = [
    "FORMAT", "HEAD", "LONGEST", "NUMBER", "RECORDS", "SCOPES", "ContentLine", "Head", "Line", "ScopeLine",
    "content_of", "encode", "line_of", "parsed", "read_head", "read_line", "read_scope", "reading",
]  # fmt: skip

HEAD, SCOPES, RECORDS = "holdfast-export.json", "scopes.jsonl", "records.jsonl"
"""Names of the documents."""

LONGEST = 1 << 24
"""Longest line, and longest head, in bytes."""

FORMAT, NUMBER = "holdfast-export", 2
"""Name and number of the format: 2 with objects, else 1; a later one is for what this version cannot read."""

_Version = Annotated[int, Meta(ge=1, le=(1 << 63) - 1)]
_Count = Annotated[int, Meta(ge=0, le=HIGHEST)]
_Time = Annotated[float, Meta(ge=-62135596800.0, le=253402300799.0)]  # the years 1 to 9999
_Digest = Annotated[str, Meta(pattern=r"^(sha256|blake3):[0-9a-f]{64}$")]
_Text = Annotated[str, Meta(pattern=r"^[^\0]*$")]  # PostgreSQL has no other
_Name = Annotated[str, Meta(max_length=1000, pattern=r"^[^\0]+$")]
_Inside = Annotated[str, Meta(pattern=r"^(files|objects)(/(?!\.\.?(/|$))[^/\0]+)+$")]  # relative, and nowhere up


class Head(Struct, omit_defaults=True, kw_only=True):
    """``holdfast-export.json``. It is not complete, and has no manifests, until all else is on disk."""

    format: str
    number: int
    complete: bool = False
    store: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    key_id: str
    made: str
    scopes: _Count = 0
    records: _Count = 0
    past: _Count = 0
    size: _Count = 0
    refused: _Count = 0
    manifests: dict[str, str] = {}


class ScopeLine(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A line of ``scopes.jsonl``."""

    scope: str
    created: _Time
    properties: dict[str, Any] = {}
    history: _Count = 0
    max_records: _Count | None = None
    max_bytes: _Count | None = None


class ContentLine(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """In the line of an object: one of its contents, as its config has it; with one of ``text``, ``base64`` and
    ``file``."""

    name: str
    size: _Count
    digest: _Digest
    content_type: str
    serializer: str
    encoding: str | None = None
    text: str | None = None
    base64: bytes | None = None
    file: _Inside | None = None


class Line(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A line of ``records.jsonl``; in a file it has one of ``number``, ``text``, ``base64`` and ``file``, or an
    object's ``contents``."""

    scope: str
    key: str
    version: _Version
    created: _Time
    updated: _Time
    size: _Count
    content_type: str
    digest: _Digest | None = None
    expires: _Time | None = None
    tags: dict[str, str] = {}
    flags: Annotated[int, Meta(ge=0, le=2)] = 0
    serializer: _Name | None = None
    encoding: _Name | None = None
    config: _Text | None = None
    past: bool = False
    signature: Annotated[str, Meta(pattern="^([0-9a-f]{2})+$")] | None = None
    number: Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)] | None = None
    text: str | None = None
    base64: bytes | None = None
    file: _Inside | None = None
    contents: list[ContentLine] = []

    @property
    def stamp(self) -> tuple[Any, ...]:
        """What tells a record that was copied from one that was written since."""
        return (self.version, self.updated, self.digest)

    @property
    def content(self) -> tuple[Any, ...]:
        """What equal records have in common, whoever wrote them, and wherever an object's contents lie."""
        digest, config = (self.digest, self.config)
        if self.serializer == STORABLE:
            thing, parts = self.object()
            nowhere = [part._replace(at=None, member=None, storage=None, ephemeral=None) for part in parts]
            digest, config = None, config_text(thing, nowhere)
        kind = (self.content_type, self.serializer, self.encoding, config)
        return (self.size, digest, self.number, self.expires, self.tags, kind)

    def object(self) -> tuple[tuple[str, str, str], list[Part]]:
        """Of an object its class id, unpacker and class; and its contents.

        Raises:
            IntegrityError: the config does not tell them.
        """
        *thing, parts = read_object(self.config, f"{self.scope}/{self.key}")
        return (thing[0], thing[1], thing[2]), parts


def line_of(record: Record) -> Line:
    """What a record tells of itself: no signature, and nothing of its bytes."""
    row = record.row
    return Line(
        record.scope, row.key, row.version, row.created, row.updated, row.size, record.content_type, record.digest,
        row.expires, dict(record.tags), row.flags, record.serializer, record.encoding, row.config,
    )  # fmt: skip


def content_of(part: Part) -> ContentLine:
    """What an object's record tells of one of its contents."""
    digest = f"{part.algorithm}:{part.digest}"
    return ContentLine(part.name, part.size, digest, part.type, part.serializer, part.encoding)


def parsed(digest: str | None) -> tuple[int, bytes | None]:
    """Algorithm number and bytes of a digest."""
    name, _, text = (digest or "").partition(":")
    return {known: number for number, known in ALGORITHMS.items()}[name or None], bytes.fromhex(text) or None


encode = Encoder().encode
"""Gives a document, or a line of one, as JSON."""

read_scope, read_line = Decoder(ScopeLine).decode, Decoder(Line).decode
"""Read a line; to be done while :func:`reading`."""


@contextmanager
def reading(where: str) -> Iterator[None]:
    """What is wrong with a document is told with its place.

    Raises:
        DecodeError: something is.
    """
    try:
        yield
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"{where} is not what an export has: {error}") from None


def read_head(text: bytes, where: str) -> Head:
    """The head of an export.

    Raises:
        SchemaError: it is of a later format.
        DecodeError: it is none.
    """
    with reading(where):
        found = Decoder(dict[str, Any]).decode(text)
        if found.get("format") != FORMAT or not isinstance(found.get("number"), int):
            raise ValueError("it names another format")
        if found["number"] > NUMBER:
            raise SchemaError(
                f"{where} is of format {found['number']}, later than {NUMBER}: upgrade holdfast to import it"
            )
        head = convert(found, Head)
        if head.complete and {*head.manifests} != {SCOPES, RECORDS}:
            raise ValueError("it lacks a manifest")
        return head
