"""Records as they are listed: what a page is made of."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...errors import InvalidArgumentError
from ...model import RecordRow

__all__ = ["Window", "window"]

_ORDERS = ("key", "created", "updated", "size", "version")


class Window(NamedTuple):
    """Where a page begins and ends.

    Attributes:
        column: the column that orders it; equal ones by key.
        descending: whether the highest comes first.
        start: its keys are from here on.
        end: and before this one, unless it is None.
        value: the last row of the page before had this in the column; None when the keys say where to go on.
        key: and this key.
    """

    column: str
    descending: bool
    start: str
    end: str | None
    value: Any
    key: str | None


def window(order: str, start: str, end: str | None, after: RecordRow | None) -> Window:
    """The page that a search asks for.

    Raises:
        InvalidArgumentError: no such order.
    """
    column = order.removeprefix("-")
    if column not in _ORDERS:
        raise InvalidArgumentError(f"order {order!r}: it must be one of {', '.join(_ORDERS)}, with - in front or not")
    value, key = None, None
    if after is not None:
        after = RecordRow._make(after)
        if order == "key":
            start = max(start, after.key + "\0", key=str.encode)  # the next key by bytes
        elif order == "-key":
            end = after.key if end is None else min(end, after.key, key=str.encode)
        else:
            value, key = getattr(after, column), after.key
    return Window(column, order != column, start, end, value, key)
