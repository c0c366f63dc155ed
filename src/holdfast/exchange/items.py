"""What is carried from store to store: a record with its bytes, wherever they lie; and a store to take it from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple, Protocol

from ..address import Path
from ..catalog.base import HEAD, EntryRow, ValueRow
from ..kernel import Kernel
from ..model import DURABLE, Codec, RecordRow, ScopeInfo
from ..reading import read_current, stored_chunks, visible_record
from ..scope import BaseScope
from ..signing import Signer
from ..store import BaseStore
from ..verifier import scopes_from

__all__ = ["Item", "Source", "StoreSource", "durable"]


class Item(NamedTuple):
    """A record as it is carried. A head, which is what a listing gives, has no signature and neither data nor pieces.

    Attributes:
        data: a native integer, or the bytes where they are few.
        pieces: begins to read the bytes where they are many; checked against the digest at their end.
    """

    path: Path
    key: str
    version: int
    flags: int
    created: float
    updated: float
    expires: float | None
    tags: str | None
    algorithm: int
    digest: bytes | None
    size: int
    codec: Codec
    config: str | None
    signature: bytes | None = None
    data: int | bytes | None = None
    pieces: Callable[[], Iterator[bytes]] | None = None

    @property
    def content(self) -> tuple[Any, ...]:
        """What two equal records have in common, however they were written; of a head without the integer."""
        number = self.data if isinstance(self.data, int) else None
        return (*self[6:13], number)


class Source(Protocol):
    """Where items come from."""

    @property
    def signer(self) -> Signer | None:
        """Checks their signatures; None where its key is not known."""

    def scopes(self) -> Iterable[ScopeInfo]:
        """All scopes, each before those below it."""

    def heads(self, path: Path) -> Iterator[Item]:
        """The records of a scope by key, by bytes; each scope in the order of :meth:`scopes`."""

    def fetch(self, head: Item) -> Item | None:
        """All of a record as it is now, None when it is gone."""


def durable(kernel: Kernel, path: Path, key: str) -> EntryRow | None:
    """The durable record of a key with its value row, unless it is expired."""
    rows = [row for row in kernel.catalog.entry(path, key) if row[1] == DURABLE]
    return visible_record(kernel, rows)


class StoreSource:
    """An open store as a source, while others write to it."""

    def __init__(self, store: BaseStore[Any]) -> None:
        self._store = store
        self.kernel: Kernel = store._kernel
        self.signer: Signer | None = self.kernel.signer

    def scopes(self) -> Iterator[ScopeInfo]:
        """See :class:`Source`."""
        found = (self.kernel.catalog.scope(scope.path) for scope in scopes_from(self._store) if scope.path)
        return (info for info in found if info is not None)

    def heads(self, path: Path) -> Iterator[Item]:
        """See :class:`Source`."""
        return (self._item(path, record.row) for record in BaseScope(self.kernel, path).list())

    def fetch(self, head: Item) -> Item | None:
        """See :class:`Source`."""

        def now() -> EntryRow:
            return durable(self.kernel, head.path, head.key) or ()

        return read_current(now(), now, self._whole(head.path))

    def _whole(self, path: Path) -> Callable[[EntryRow], Item | None]:
        def read(row: EntryRow) -> Item | None:
            if not row:
                return None  # it is gone by now
            item, value = self._item(path, RecordRow._make(row[:HEAD])), ValueRow._make(row[HEAD:])
            item = item._replace(signature=value.signature)
            if isinstance(value.data, int):
                return item._replace(data=value.data)
            _, pieces = stored_chunks(self.kernel, path, item.key, value)
            first = next(pieces, b"")  # the file is open now: it can be read to its end, deleted or not
            if value.data is not None:
                return item._replace(data=b"".join((first, *pieces)))
            opened = chain((first,), pieces)
            return item._replace(pieces=lambda: opened)

        return read

    def _item(self, path: Path, row: RecordRow) -> Item:
        codec = self.kernel.catalog.codec(row.codec)
        return Item(
            path, row.key, row.version, row.flags, row.created, row.updated, row.expires, row.tags, row.algorithm,
            row.digest, row.size, codec, row.config,
        )  # fmt: skip
