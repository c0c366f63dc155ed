"""An open store as a place to take records from, while others write to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

from ..address import Path
from ..catalog.base import HEAD, HIGHEST, EntryRow, Policy, ValueRow
from ..contents import rows_of
from ..errors import ConflictError, ValueLost
from ..kernel import Kernel
from ..model import DURABLE, STORABLE, ScopeInfo
from ..reading import make_record, read_current, stored_chunks, visible_record
from ..scope import BaseScope
from ..signing import Signer
from ..store import BaseStore
from ..upkeep.verifier import scopes_from
from .layout import Line, content_of, line_of

__all__ = ["Pieces", "Replaced", "StoreSource", "begun"]

Pieces = Iterator[bytes]
"""Bytes in pieces of at most 4 MB, to be read once."""


class Replaced(ConflictError):
    """An object was replaced, and bytes of it were collected, while they were read: fetch it again."""


def begun(pieces: Pieces) -> Pieces:
    """The pieces, the first of which is read: the file is open then, and can be read to its end, deleted or not."""
    return chain((next(pieces, b""),), pieces)


class StoreSource:
    """See the module.

    Attributes:
        signer: checks the signatures of its records.
        highest: what has a higher version is taken over under a new one.
    """

    highest = HIGHEST

    def __init__(self, store: BaseStore[Any]) -> None:
        self.store = store
        self.kernel: Kernel = store._kernel
        self.signer: Signer | None = self.kernel.signer if self.kernel.signer.able else None

    def scopes(self) -> Iterator[ScopeInfo]:
        """All scopes, each before those below it."""
        found = (self.kernel.catalog.scope(scope.path) for scope in scopes_from(self.store) if scope.path)
        return (info for info in found if info is not None)

    def heads(self, path: Path) -> Iterator[Line]:
        """The records of a scope by key, by bytes, as a listing gives them."""
        return map(line_of, BaseScope(self.kernel, path).list())

    def past(self, path: Path) -> Iterator[Line]:
        """The versions that a scope keeps beside the newest ones, by key and version, in the same way."""
        start = ""
        while keys := self.kernel.catalog.past_keys(path, start, None, 1000):
            for key in keys:
                for row in reversed(self.kernel.catalog.past(path, key)):
                    line = line_of(make_record(self.kernel, path, row[:HEAD]))
                    line.past = True
                    yield line
            start = keys[-1] + "\0"

    def policy(self, path: Path) -> Policy:
        """What a scope asks for."""
        return self.kernel.catalog.policy(path) or Policy()

    def row(self, path: Path, key: str) -> EntryRow | None:
        """The durable record of a key, unless it is expired."""
        return visible_record(self.kernel, [row for row in self.kernel.catalog.entry(path, key) if row[1] == DURABLE])

    def line(self, path: Path, row: EntryRow) -> Line:
        """All that a row tells, its bytes aside."""
        value, line = ValueRow._make(row[HEAD:]), line_of(make_record(self.kernel, path, row[:HEAD]))
        line.signature = value.signature.hex() if value.signature else None
        line.number = value.data if isinstance(value.data, int) else None
        return line

    def fetch(self, path: Path, head: Line) -> tuple[Line, list[Pieces]] | None:
        """All of a record as it is now, None when it is gone: bytes for each content, and none for a number.

        Those of an object are read one after the other, and may raise :class:`Replaced`.
        """

        def row() -> EntryRow:
            if not head.past:
                return self.row(path, head.key) or ()
            kept = (row for row in self.kernel.catalog.past(path, head.key) if row[2] == head.version)
            return next(kept, ())

        return read_current(row(), row, partial(self._read, path, head.past, row))

    def _read(
        self, path: Path, past: bool, again: Callable[[], EntryRow], row: EntryRow
    ) -> tuple[Line, list[Pieces]] | None:
        if not row:
            return None
        line, kernel = self.line(path, row), self.kernel
        line.past = past
        if line.number is not None:
            return line, []
        if line.serializer != STORABLE:
            return line, [begun(stored_chunks(kernel, path, line.key, row[HEAD:])[1])]
        rows = list(rows_of(kernel, kernel.catalog, path, line.key, ValueRow._make(row[HEAD:])))
        line.contents = [content_of(part) for part, _, _ in rows]

        def pieces(inner: str, one: ValueRow) -> Pieces:
            try:
                yield from stored_chunks(kernel, path, inner, one)[1]
            except ValueLost as error:
                if again() == row:
                    raise
                raise Replaced(error.message) from error

        return line, [pieces(inner, one) for _, inner, one in rows]
