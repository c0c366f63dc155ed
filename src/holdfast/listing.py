"""What a scope holds: keys and records in pages, and the habits of a Python mapping."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .address import check_key, prefix_end
from .errors import InvalidArgumentError
from .model import Record, RecordRow
from .options import tags_text
from .reading import make_record
from .values import Values

__all__ = ["ORDERS", "Listing"]

ORDERS = ("key", "created", "updated", "size", "version")
"""What :meth:`Listing.list` can sort by; with ``-`` in front, descending."""

_DESCENDING = tuple(f"-{order}" for order in ORDERS)
_PAGE = 1000
_SURROGATE = re.compile("[\ud800-\udfff]")


class Listing(Values):
    """Verbs on many keys. All of them read whole pages; nothing stays open between two."""

    def keys(
        self, prefix: str = "", *, start: str = "", end: str | None = None, limit: int | None = None
    ) -> Iterator[str]:
        """Keys by bytes: those that begin with ``prefix``, from ``start`` on and before ``end``, at most ``limit``."""
        return self._keys(*_range(prefix, start, end), _limit(limit))

    def _keys(self, begin: str, stop: str | None, left: int) -> Iterator[str]:
        while left > 0:
            self._kernel.sessions.settle()
            page = self._ledger.keys(self.path, begin, stop, min(_PAGE, left))
            yield from page
            left -= len(page)
            if len(page) < _PAGE:
                return
            begin = page[-1] + "\0"  # no legal key lies between: keys have no control characters

    def list(
        self,
        prefix: str = "",
        *,
        tags: Mapping[str, str] | None = None,
        start: str = "",
        end: str | None = None,
        order: str = "key",
        after: Record | None = None,
        limit: int | None = None,
    ) -> Iterator[Record]:
        """Records without their bytes.

        Args:
            prefix: only keys that begin with it.
            tags: only records that have all of these.
            start: only keys from this one on, by bytes.
            end: only keys before this one.
            order: one of :data:`ORDERS`, with ``-`` in front for descending; equal ones come by key.
            after: go on behind this record of an earlier call with the same order.
            limit: at most so many.
        """
        if order not in ORDERS and order not in _DESCENDING:
            raise InvalidArgumentError(
                f"order {order!r}: there are {', '.join(ORDERS)}, with - in front for descending"
            )
        if after is not None and not isinstance(after, Record):
            raise InvalidArgumentError(f"after must be a record of an earlier call, not {after!r}")
        tags_text(tags)
        begin, stop = _range(prefix, start, end)
        return self._list(begin, stop, tags, order, None if after is None else after.row, _limit(limit))

    def _list(
        self,
        start: str,
        end: str | None,
        tags: Mapping[str, str] | None,
        order: str,
        after: RecordRow | None,
        left: int,
    ) -> Iterator[Record]:
        kernel, path = self._kernel, self.path
        while left > 0:
            size = min(_PAGE, left)
            kernel.sessions.settle()
            page = self._ledger.search(path, start=start, end=end, tags=tags, order=order, after=after, limit=size)
            for row in page:
                yield make_record(kernel, path, row)
            left -= len(page)
            if len(page) < size:
                return
            after = RecordRow._make(page[-1])

    def __iter__(self) -> Iterator[str]:
        return self.keys()

    def __getitem__(self, key: str) -> Any:
        return self.get(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self.put(key, value)

    def __delitem__(self, key: str) -> None:
        self.delete(key)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.exists(check_key(key))


def _range(prefix: str, start: str, end: str | None) -> tuple[str, str | None]:
    """Prefix and range together as one range.

    Raises:
        InvalidArgumentError: one of them is no text, or has surrogates.
    """
    for name, text in (("prefix", prefix), ("start", start), ("end", "" if end is None else end)):
        _check_text(name, text)
    stop = prefix_end(prefix)
    if end is not None and (stop is None or end.encode() < stop.encode()):
        stop = end
    return (prefix if prefix.encode() > start.encode() else start), stop


def _check_text(name: str, text: Any) -> None:
    if not isinstance(text, str) or (not text.isascii() and _SURROGATE.search(text)):
        raise InvalidArgumentError(f"{name} must be the beginning of a key, not {text!r}")


def _limit(limit: int | None) -> int:
    if limit is None:
        return 1 << 62
    if type(limit) is not int or limit < 0:
        raise InvalidArgumentError(f"limit must be a number of records, not {limit!r}")
    return limit
