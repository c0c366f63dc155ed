"""Several writes in one commit; the short way where all of them are small puts, as nearly all of an instance are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..address import Path
from ..catalog.base import Change, Expect, Fence, InlineRow, Put
from ..options import PLAIN
from ..scope import BaseScope
from ..transaction import Atomic
from ..writing import Encoded, inline_row, prepare

__all__ = ["Batch"]


class Batch:
    """Writes that are to be made together.

    Args:
        fence: of the lease that must be held.
        began: ids of scopes that must not be dropped meanwhile.
    """

    def __init__(self, root: BaseScope[Any], fence: Fence, began: Mapping[Path, int]) -> None:
        self._root = root
        self._kernel = root._kernel
        self._fence = fence
        self._began = began
        self._puts: list[tuple[Path, str, Any, str | None]] = []
        self._deletes: list[tuple[Path, str]] = []
        self._expected: list[Expect] = []

    def put(self, scope: BaseScope[Any], key: str, value: Any, content_type: str | None = None) -> None:
        """Put a value; or with a content type bytes, as a file."""
        self._puts.append((scope.path, key, value, content_type))

    def delete(self, scope: BaseScope[Any], key: str) -> None:
        """Delete a record, if it is there."""
        self._deletes.append((scope.path, key))

    def expect(self, scope: BaseScope[Any], key: str, version: int) -> None:
        """Do nothing unless a record is at this version, or for 0 not there."""
        self._expected.append(Expect(scope.path, key, version))

    def commit(self) -> None:
        """Make all of them.

        Raises:
            ConflictError: an expected version is another (LeaseLost, ScopeDroppedError: see those).
            HoldfastError: as of a put; nothing was written.
        """
        kernel = self._kernel
        changes: list[Change] = [*self._expected, *filter(None, map(self._small, self._puts))]
        if self._deletes or len(changes) < len(self._puts) + len(self._expected):
            self._transaction()
        else:
            kernel.catalog.commit(changes, began=self._began, fence=self._fence, power=kernel.power)

    def _small(self, put: tuple[Path, str, Any, str | None]) -> Put | None:
        path, key, value, content_type = put
        if content_type is None:
            encoded, integer = prepare(self._kernel, value, PLAIN)
        else:
            codec = self._kernel.codec_ids[None, content_type, None]
            encoded, integer = Encoded(codec, [value], len(value), None, None), None
        if integer is None and encoded.size > self._kernel.inline:
            return None
        return Put(path, key, **InlineRow._make(inline_row(self._kernel, encoded, integer, PLAIN))._asdict())

    def _transaction(self) -> None:
        with Atomic(self._kernel, self._root._inside, None) as inside:
            inside._ledger.commit(self._expected, began=self._began, fence=self._fence)
            for path, key, value, content_type in self._puts:
                if content_type is None:
                    inside._at(path).put(key, value)
                else:
                    inside._at(path).put_chunks(key, [value], content_type=content_type)
            for path, key in self._deletes:
                inside._at(path).delete(key, missing_ok=True)
