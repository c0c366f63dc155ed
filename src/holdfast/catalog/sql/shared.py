"""Rows that many records share, remembered in the process: codecs and storages."""

from __future__ import annotations

from typing import Any

from ...errors import SchemaError
from ...model import Codec
from .engine import Engine, Session

__all__ = ["Shared"]


class Shared(Engine):
    """``codec_id``, ``codec``, ``storage_id``, ``storage`` and ``storages``."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._codec_ids: dict[Codec, int] = {}
        self._codecs: dict[int, Codec] = {}
        self._storage_ids: dict[tuple[str, str], int] = {}
        self._storages: dict[int, tuple[str, str]] = {}

    def _id(self, find: str, key: tuple[Any, ...], make: str, values: tuple[Any, ...]) -> int:
        """The id of a row, which is made when it is new: committed before a record can name it."""

        def work(session: Session) -> int:
            rows = session.rows(find, key) or session.rows(make, values)
            made: int = rows[0][0]
            return made

        rows = self.read(find, key)
        return rows[0][0] if rows else self.transaction(work)

    def codec_id(self, codec: Codec) -> int:
        """See :meth:`Catalog.codec_id <holdfast.catalog.base.Catalog.codec_id>`."""
        found = self._codec_ids.get(codec)
        if found is None:
            found = self._codec_ids[codec] = self._id(
                "SELECT id FROM codecs WHERE serializer IS NOT DISTINCT FROM ?1 AND content_type=?2 "
                "AND encoding IS NOT DISTINCT FROM ?3",
                tuple(codec),
                "INSERT INTO codecs(serializer,content_type,encoding) VALUES(?1,?2,?3) RETURNING id",
                tuple(codec),
            )
        return found

    def codec(self, id: int) -> Codec:
        """See :meth:`Catalog.codec <holdfast.catalog.base.Catalog.codec>`."""
        known = self._codecs.get(id)
        if known is None:
            rows = self.read("SELECT serializer,content_type,encoding FROM codecs WHERE id=?1", (id,))
            if not rows:
                raise SchemaError(f"{self._where} is damaged: it names codec {id}, which it has not")
            known = self._codecs[id] = Codec._make(rows[0])
        return known

    def storage_id(self, name: str, url: str) -> int:
        """See :meth:`Catalog.storage_id <holdfast.catalog.base.Catalog.storage_id>`."""
        found = self._storage_ids.get((name, url))
        if found is None:
            found = self._storage_ids[name, url] = self._id(
                "SELECT id FROM storages WHERE name=?1 AND url=?2",
                (name, url),
                "INSERT INTO storages(name,url) VALUES(?1,?2) RETURNING id",
                (name, url),
            )
        return found

    def storage(self, id: int) -> tuple[str, str]:
        """See :meth:`Catalog.storage <holdfast.catalog.base.Catalog.storage>`."""
        known = self._storages.get(id)
        if known is None:
            rows = self.read("SELECT name,url FROM storages WHERE id=?1", (id,))
            if not rows:
                raise SchemaError(f"{self._where} is damaged: it names storage {id}, which it has not")
            known = self._storages[id] = rows[0]
        return known

    def storages(self) -> list[int]:
        """See :meth:`Catalog.storages <holdfast.catalog.base.Catalog.storages>`."""
        return [id for (id,) in self.read("SELECT id FROM storages ORDER BY id")]
