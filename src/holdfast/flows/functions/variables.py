"""The bytes of variables, as functions see them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ...address import check_key
from ...catalog.base import HEAD
from ...errors import NotFoundError
from ...model import STORABLE
from ...reading import make_record
from ...scope import BaseScope

__all__ = ["Variable", "read"]


class Variable(NamedTuple):
    """One version of a variable.

    Attributes:
        content_type: its MIME type.
        size: how many bytes it gives.
        pieces: they, in pieces of at most 4 MB; what is wrong with them is raised at their end.
    """

    content_type: str
    size: int
    pieces: Iterator[bytes]


def read(scope: BaseScope[Any], key: str) -> Variable | None:
    """A variable; None where there is none. An object of several contents has no bytes of its own, and is none."""
    try:
        row = scope._entry(check_key(key))
    except NotFoundError:
        return None
    record = make_record(scope._kernel, scope.path, row[:HEAD])
    if record.serializer == STORABLE:
        return None
    value = row[HEAD + 9]
    size = len(str(value)) if isinstance(value, int) else record.unpacked_size
    return Variable(record.content_type, size, scope._chunks(key, row[HEAD:]))
