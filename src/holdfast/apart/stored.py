"""A file beside a value, as it lies in a record: opened when it is needed, in this process or another one."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, BinaryIO

from ..address import Path, format_address
from ..catalog.base import MemberRow, ValueRow
from ..contents import Part, Unread, row_of
from ..errors import ValueLost
from ..hashing import digest_buffers
from ..kernel import Kernel
from ..layout import read_config
from ..model import DURABLE
from ..reading import open_bytes

__all__ = ["Stored", "stored_part"]

_BUFFER = 1 << 17
_KEPT = 16  # bundles whose members a process remembers


class Stored:
    """Calling it opens the file to read, from its beginning and with seeking.

    Pickled, it travels with its store, and is opened there as long as its record is neither replaced nor removed.
    """

    def __init__(self, kernel: Kernel, place: tuple[Path, str], row: ValueRow, part: Part | None = None) -> None:
        """``place`` is for messages. ``part`` is of a member of the bundle that the row names; else the row is the
        file's own."""
        self._kernel, self._place, self._row, self._part = kernel, place, row, part

    @property
    def where(self) -> str:
        """For messages."""
        return format_address(*self._place)

    @property
    def size(self) -> int:
        """Bytes."""
        row = self._row
        config = self._part.config if self._part is not None else read_config(row.config, self.where)
        size: int = (config or {}).get("size", self._part.size if self._part is not None else row.size)
        return size

    @property
    def identity(self) -> str:
        """Equal for equal bytes."""
        if self._part is not None:
            return f"{self._part.algorithm}:{self._part.digest}"
        return f"{self._row.algorithm}:{(self._row.digest or b'').hex()}"

    def __call__(self) -> BinaryIO:
        """Open it.

        Raises:
            ValueLost: the record was replaced or removed.
            IntegrityError: the bytes are not what was written.
        """
        try:
            raw = open_bytes(self._kernel, *self._place, self._found())
        except ValueLost as error:
            raise ValueLost(f"{error}: was its record replaced or removed since it was read? Then read it again") from (
                error
            )
        return io.BufferedReader(raw, _BUFFER)

    def _found(self) -> ValueRow:
        if self._part is None:
            return self._row
        assert self._row.blob is not None
        members = _members(self._kernel, self._row.blob)
        return row_of(self._kernel, self._part, self._row, members, self.where)

    def __reduce__(self) -> tuple[Any, ...]:
        return Stored, (self._kernel, self._place, self._row, self._part)


def stored_part(unread: Unread, place: tuple[Path, str]) -> Stored:
    """The file that a content of a record is."""
    kernel, blob = unread.source
    part = unread.part
    if part.member is not None:
        row = ValueRow(DURABLE, 0, None, 0, None, part.size, 0, None, None, None, blob, *(None,) * 8)
        return Stored(kernel, place, row, part)
    data = bytes(unread.value)  # of a small one, which is at hand
    codec = kernel.codec_ids[part.serializer, part.type, None]
    digest = digest_buffers((data,), len(data))
    return Stored(kernel, place, ValueRow(DURABLE, 0, None, *digest, len(data), codec, None, None, data, *(None,) * 9))


class _Members:
    """Members of bundles that were asked for lately, beside an open store: they never change."""

    def __init__(self) -> None:
        self.known: OrderedDict[int, Sequence[MemberRow]] = OrderedDict()

    def close(self) -> None:
        self.known.clear()


def _members(kernel: Kernel, blob: int) -> Sequence[MemberRow]:
    known = kernel.companions.setdefault(_Members, _Members()).known
    found: Sequence[MemberRow] | None = known.get(blob)
    if found is None:
        found = kernel.catalog.members(blob)
        known[blob] = found
        while len(known) > _KEPT:
            known.popitem(last=False)
    return found
