"""The documents of an export: what they are called, what stands in them, and what is no such document."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.json import Decoder, Encoder

from ..catalog.base import HIGHEST

__all__ = [
    "FORMAT", "HEAD", "LONGEST", "NUMBER", "RECORDS", "SCOPES", "Head", "Manifest", "RecordLine", "ScopeLine", "encode",
    "read_head", "read_record", "read_scope",
]  # fmt: skip

FORMAT, NUMBER = "holdfast-export", 1
"""Name and number of the format; a later number is for what this version cannot read."""

HEAD, SCOPES, RECORDS = "holdfast-export.json", "scopes.jsonl", "records.jsonl"
"""Names of the documents."""

LONGEST = 1 << 24
"""Longest line of a manifest, in bytes."""

_Version = Annotated[int, Meta(ge=1, le=HIGHEST)]
_Count = Annotated[int, Meta(ge=0)]


class Manifest(Struct, forbid_unknown_fields=True):
    """One of the two long documents, as the head tells of it."""

    lines: _Count
    sha256: str


class Head(Struct, omit_defaults=True):
    """``holdfast-export.json``. Until an export is complete it has ``complete`` false and no manifests."""

    format: str
    number: int
    store: str = ""
    key_id: str = ""
    began: str = ""
    complete: bool = False
    scopes: _Count = 0
    records: _Count = 0
    past: _Count = 0
    size: _Count = 0
    left_out: _Count = 0
    manifests: dict[str, Manifest] = {}


class ScopeLine(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A line of ``scopes.jsonl``."""

    scope: str
    created: float
    properties: dict[str, Any] = {}


class RecordLine(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A line of ``records.jsonl``. Of ``number``, ``text``, ``base64`` and ``file`` it has one."""

    scope: str
    key: str
    version: _Version
    created: float
    updated: float
    size: _Count
    content_type: str
    digest: str | None = None
    expires: float | None = None
    tags: dict[str, str] = {}
    flags: int = 0
    serializer: str | None = None
    encoding: str | None = None
    config: str | None = None
    signature: str | None = None
    number: int | None = None
    text: str | None = None
    base64: str | None = None
    file: str | None = None


encode = Encoder().encode
"""Gives one of them as JSON."""

read_head, read_scope, read_record = Decoder(Head).decode, Decoder(ScopeLine).decode, Decoder(RecordLine).decode
"""Read one; a MsgspecError, UnicodeDecodeError or RecursionError for what is none."""
