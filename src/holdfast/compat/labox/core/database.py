"""What was saved: a manifest for each object, and in it a record for each content. They are made from Holdfast's own
records, hold no connection, and can be pickled."""

from __future__ import annotations

import json
from asyncio import to_thread
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import IntEnum
from functools import partial
from typing import Any
from uuid import UUID, uuid4, uuid5

from ....aio.driver import driver_of
from ....api import Scope
from ....catalog.base import HEAD, Catalog, MemberRow, ValueRow
from ....contents import Part, read_object
from ....errors import NotFoundError
from ....model import STORABLE
from ....reading import make_record
from ....storages.file.storage import path_of
from .session import scope_of

__all__ = ["BaseRecord", "ContentRecord", "ManifestRecord", "SerializerTypeEnum"]


class _Making:
    """A catalog that is made by who awaits this, in a thread, or runs it."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def __await__(self) -> Generator[Any, Any, None]:
        return to_thread(self.run).__await__()

    def run(self) -> None:
        """Make it, if need be."""
        scope_of(self._engine)


@dataclass(kw_only=True)
class BaseRecord:
    """Base of both."""

    @classmethod
    def create_all(cls, engine: Any) -> Any:
        """Make the catalog in the database of an engine, if need be; to be awaited, or ``.run()``."""
        return _Making(engine)

    def __str__(self) -> str:
        return f"{type(self).__name__}({getattr(self, 'id', '')})"


class SerializerTypeEnum(IntEnum):
    """Of what a content is: a value or a stream of values."""

    Serializer = 1
    StreamSerializer = 2


def _now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(kw_only=True)
class ContentRecord(BaseRecord):
    """One content of an object: what its bytes are, how they are read and where they lie."""

    id: UUID = field(default_factory=uuid4)
    manifest_id: UUID
    content_key: str
    content_type: str
    content_encoding: str | None
    content_hash: str
    content_hash_algorithm: str
    content_size: int
    serializer_name: str
    serializer_config: str
    serializer_type: SerializerTypeEnum
    storage_name: str
    storage_config: str
    created_at: datetime = field(default_factory=_now)


@dataclass(kw_only=True)
class ManifestRecord(BaseRecord):
    """An object that was saved. To load it, its id and class are enough."""

    id: UUID = field(default_factory=uuid4)
    tags: Mapping[str, str] | None
    class_id: UUID
    unpacker_name: str
    created_at: datetime = field(default_factory=_now)
    contents: Sequence[ContentRecord] = ()

    @classmethod
    async def get(cls, session: Any, id: UUID | str) -> ManifestRecord:
        """The manifest of an id.

        Raises:
            NotFoundError: there is none.
        """
        scope = scope_of(session)
        return await driver_of(scope._kernel).look(partial(cls.read, scope, str(UUID(str(id)))))

    @classmethod
    async def search(
        cls, session: Any, *, tags: Mapping[str, str] | None = None, class_id: UUID | None = None
    ) -> AsyncIterator[ManifestRecord]:
        """The manifests that have these tags, and are of that class. What is in the scope beside them, or is deleted
        meanwhile, is passed over."""
        async for record in scope_of(session).aio.list(tags=tags):
            if record.serializer != STORABLE or not _is_id(record.key):
                continue
            found = None
            with suppress(NotFoundError):
                found = await cls.get(session, record.key)
            if found is not None and class_id in (None, found.class_id):
                yield found

    @classmethod
    def read(cls, scope: Scope, key: str) -> ManifestRecord:
        """The manifest of a record."""
        catalog, entry = scope._kernel.catalog, scope._entry(key)
        record = make_record(scope._kernel, scope.path, entry[:HEAD])
        row = ValueRow._make(entry[HEAD:])
        class_id, unpacker, _, parts = read_object(row.config, record.address)
        members = [] if row.blob is None else catalog.members(row.blob)
        manifest = cls(
            id=UUID(key), tags=dict(record.tags), class_id=UUID(class_id), unpacker_name=unpacker,
            created_at=record.created,
        )  # fmt: skip
        manifest.contents = [_content(manifest, part, catalog, members) for part in parts]
        return manifest


def _is_id(key: str) -> bool:
    try:
        return str(UUID(key)) == key
    except ValueError:
        return False


def _content(manifest: ManifestRecord, part: Part, catalog: Catalog, members: Sequence[MemberRow]) -> ContentRecord:
    config, encoding = (part.config or {}).get("config"), part.encoding
    if part.stream and isinstance(config, list):
        encoding, _, config = config
    name, place = "holdfast.inline@v1", "null"
    if part.member is not None:
        member = members[part.member]
        name, url = catalog.storage(member.storage)
        place = _located(url.partition("#")[0], member.storage_config)
    return ContentRecord(
        id=uuid5(manifest.id, part.name), manifest_id=manifest.id, content_key=part.name, content_type=part.type,
        content_encoding=encoding, content_hash=part.digest or "", content_hash_algorithm=part.algorithm or "",
        content_size=part.size, serializer_name=part.serializer,
        serializer_config=config if isinstance(config, str) else json.dumps(config),
        serializer_type=SerializerTypeEnum.StreamSerializer if part.stream else SerializerTypeEnum.Serializer,
        storage_name=name, storage_config=place, created_at=manifest.created_at,
    )  # fmt: skip


def _located(url: str, place: str) -> str:
    """A storage's config as text, with all that is needed to read it: of a folder with its path."""
    config = json.loads(place)
    if url.startswith("/"):
        return json.dumps(path_of(url, config))
    return config if isinstance(config, str) and not url else place
