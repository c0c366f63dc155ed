"""Rows that many records share, remembered in the process: codecs and storages. And the clock."""

from __future__ import annotations

import os
import time

from ...errors import SchemaError
from ...model import Codec
from .core import Core, Session

__all__ = ["Shared"]


class Shared(Core):
    """``codec_id``, ``codec``, ``storage_id``, ``storage``, ``now``; and whose machine the store is on."""

    def __init__(self, path: str | os.PathLike[str] | None, *, create: bool = True, timeout: float = 30.0) -> None:
        super().__init__(path, create=create, timeout=timeout)
        self._codec_ids: dict[Codec, int] = {}
        self._codecs: dict[int, Codec] = {}
        self._storage_ids: dict[str, int] = {}
        self._storages: dict[int, tuple[str, str]] = {}

    def codec_id(self, codec: Codec) -> int:
        """See :meth:`Catalog.codec_id <holdfast.catalog.base.Catalog.codec_id>`."""
        known = self._codec_ids.get(codec)
        if known is not None:
            return known
        sql = "SELECT id FROM codecs WHERE serializer IS ? AND content_type=? AND encoding IS ?"

        def work(session: Session) -> int:
            rows = session.rows(sql, tuple(codec)) or session.rows(
                "INSERT INTO codecs(serializer,content_type,encoding) VALUES(?,?,?) RETURNING id", tuple(codec)
            )
            made: int = rows[0][0]
            return made

        rows = self.read(sql, tuple(codec))
        found: int = rows[0][0] if rows else self.transaction(work)  # committed before a record can name it
        self._codec_ids[codec] = found
        return found

    def codec(self, id: int) -> Codec:
        """See :meth:`Catalog.codec <holdfast.catalog.base.Catalog.codec>`."""
        known = self._codecs.get(id)
        if known is None:
            rows = self.read("SELECT serializer,content_type,encoding FROM codecs WHERE id=?", (id,))
            if not rows:
                raise SchemaError(f"{self._where} is damaged: it names codec {id}, which it has not")
            known = self._codecs[id] = Codec._make(rows[0])
        return known

    def storage_id(self, name: str, url: str) -> int:
        """See :meth:`Catalog.storage_id <holdfast.catalog.base.Catalog.storage_id>`."""
        known = self._storage_ids.get(name)
        if known is not None:
            return known
        sql = "SELECT id FROM storages WHERE name=?"

        def work(session: Session) -> int:
            rows = session.rows(sql, (name,)) or session.rows(
                "INSERT INTO storages(name,url) VALUES(?,?) RETURNING id", (name, url)
            )
            made: int = rows[0][0]
            return made

        rows = self.read(sql, (name,))
        found: int = rows[0][0] if rows else self.transaction(work)
        self._storage_ids[name] = found
        return found

    def storage(self, id: int) -> tuple[str, str]:
        """See :meth:`Catalog.storage <holdfast.catalog.base.Catalog.storage>`."""
        known = self._storages.get(id)
        if known is None:
            rows = self.read("SELECT name,url FROM storages WHERE id=?", (id,))
            if not rows:
                raise SchemaError(f"{self._where} is damaged: it names storage {id}, which it has not")
            known = self._storages[id] = rows[0]
        return known

    def now(self) -> float:
        """See :meth:`Catalog.now <holdfast.catalog.base.Catalog.now>`: one machine, so its own clock."""
        return time.time()

    # --- the machine, which only an embedded catalog has ----------------------------------------------------------

    def machine(self) -> tuple[str, str, float] | None:
        """Who holds the store: machine id, boot id, and until when it is known to be alive; None: nobody ever did."""
        machine, boot, until = self.read("SELECT machine,boot,until FROM store WHERE id=1")[0]
        return None if machine is None else (machine, boot, until)

    def claim(self, machine: str, boot: str, seconds: float) -> None:
        """Write down that this machine in this boot holds the store, and is alive for so many seconds from now."""
        self.write(
            "UPDATE store SET machine=?,boot=?,until=? WHERE id=1", (machine, boot, time.time() + seconds), spare=True
        )
        self.make_reserve()

    def adopt(self) -> None:
        """The store came from another machine: take no bytes as synced, and no file as the one that was written."""
        self.write(
            "UPDATE blobs SET synced=0,boot='',device=NULL,inode=NULL,mtime=NULL,ctime=NULL WHERE state=0", spare=True
        )
