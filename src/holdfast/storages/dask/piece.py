"""A list of buffers as it lies on a worker and travels between processes, never joined.

Imported only where ``distributed`` is: a worker that is sent a piece imports this module to read it, so Holdfast must
be installed there.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from distributed.protocol.serialize import Serialize, dask_deserialize, dask_serialize

from ...payload import Buffer
from ..buffers import gathered

__all__ = ["Piece", "packed"]


class Piece:
    """Buffers one after the other. They are nobody else's to change.

    Attributes:
        buffers: the bytes; small neighbours are joined.
        landed: whether it is where it is to stay, so that who is sent it next is a reader.
    """

    __slots__ = ("buffers", "landed")

    def __init__(self, buffers: Sequence[Buffer], *, landed: bool) -> None:
        self.buffers = buffers
        self.landed = landed

    @classmethod
    def of(cls, buffers: Sequence[Buffer], *, copied: bool) -> Piece:
        """A piece of somebody's buffers.

        Args:
            copied: whether what its owner may change must be copied, as the piece stays in this process.
        """
        parts = gathered(buffers)
        return cls([bytes(part) for part in parts] if copied else parts, landed=copied)

    @property
    def size(self) -> int:
        """Bytes together."""
        return sum(len(buffer) for buffer in self.buffers)

    def views(self) -> list[memoryview]:
        """The buffers, of which none can be written: other readers have the same."""
        return [memoryview(buffer).toreadonly() for buffer in self.buffers]

    def __sizeof__(self) -> int:  # what the cluster reckons with
        return object.__sizeof__(self) + self.size

    def __repr__(self) -> str:
        return f"<Piece of {self.size} bytes>"


# Not by pickle, which would make what comes of immutable bytes read-only, though whoever receives it has it alone.
@dask_serialize.register(Piece)  # type: ignore[untyped-decorator, no-untyped-call]
def _serialize(piece: Piece) -> tuple[dict[str, Any], list[Buffer]]:
    if not piece.landed:
        return {"spaced": False}, list(piece.buffers)
    return {"spaced": True}, [frame for buffer in piece.buffers for frame in (_SPACE, buffer)]


@dask_deserialize.register(Piece)  # type: ignore[untyped-decorator, no-untyped-call]
def _deserialize(header: dict[str, Any], frames: list[Buffer]) -> Piece:
    views = [memoryview(frame).cast("B") for frame in frames]
    if header["spaced"]:
        views = [_aligned(space, view) for space, view in zip(views[::2], views[1::2], strict=True)]
    return Piece(views, landed=True)


_LINE = 64
_SPACE = bytes(_LINE)
"""Goes before each buffer on its way to a reader: Dask reads the first large one, and all small ones, into the memory
of the message's head, where it begins anywhere; into this space it can be moved to where arrays may be."""


def _aligned(space: memoryview, view: memoryview) -> memoryview:
    """The bytes of a view that nobody else has yet, moved into the space before them if they need be and can be."""
    if view.readonly or view.obj is not space.obj or not len(view):
        return view
    there, start = (ctypes.addressof(ctypes.c_char.from_buffer(one)) for one in (space, view))
    beyond = start % _LINE
    if not beyond or there + _LINE != start:
        return view
    whole = memoryview(view.obj).cast("B")
    first = start - beyond - ctypes.addressof(ctypes.c_char.from_buffer(whole))
    ctypes.memmove(start - beyond, start, len(view))
    return whole[first : first + len(view)]


def packed(piece: Piece) -> Any:
    """The piece as a part of a message, out of band."""
    return Serialize(piece)  # type: ignore[no-untyped-call]
