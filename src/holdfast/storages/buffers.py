"""Buffers one after the other, never joined: how memories keep them, and how they are read as one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby

from ..payload import OUT_OF_BAND, Buffer

__all__ = ["Chain", "cut", "gathered"]

_PIECE = 1 << 20


def gathered(buffers: Sequence[Buffer]) -> list[Buffer]:
    """The buffers, small neighbours joined and empty ones left out: each travels as a part of its own."""
    found: list[Buffer] = []
    for small, group in groupby(buffers, lambda buffer: len(buffer) < OUT_OF_BAND):
        if small:
            found.append(b"".join(group))
        else:
            found += group
    return [buffer for buffer in found if buffer]


def cut(buffers: Sequence[Buffer], offset: int, end: int) -> Iterator[bytes]:
    """The bytes from ``offset`` to ``end``, or to the last, in pieces of at most 1 MB."""
    start = 0
    for buffer in buffers:
        view = memoryview(buffer)
        stop = min(len(view), end - start)
        for position in range(max(0, offset - start), stop, _PIECE):
            yield bytes(view[position : min(position + _PIECE, stop)])
        start += len(view)


class Chain:
    """Buffers as one: a slice is a view of the buffer that it lies in, and a copy where it lies in several.

    Attributes:
        size: bytes in all of them together.
    """

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self._views = [memoryview(buffer).cast("B") for buffer in buffers or (b"",)]
        self._ends = list(accumulate(map(len, self._views)))
        self.size = self._ends[-1]

    def __getitem__(self, span: slice) -> Buffer:
        begin, end = span.start, span.stop
        n = bisect_right(self._ends, begin, hi=len(self._ends) - 1)
        view, first = self._views[n], self._ends[n] - len(self._views[n])
        if end <= self._ends[n]:
            return view[begin - first : end - first]
        return b"".join([view[begin - first :], self[self._ends[n] : end]])  # as no memory of ours divides them
