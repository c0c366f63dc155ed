"""Copying large buffers in one go, while other threads run.

What is much larger than the processor's cache the C library copies past it, in half the time, and sees how large it is
only when it is asked once for all of it. That is so if target and source begin at about the same place of a page, or
the target at an earlier one; just behind it costs four times as much, as the processor takes each load for one of what
was stored before. So a value begins in its segment where its largest buffer then lies well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from ...payload import Buffer
from ...stopping import go_on

if TYPE_CHECKING:
    import ctypes

__all__ = ["STARTS", "best_start", "copy"]

STARTS = 4096
"""Bytes within which values begin: a page of the processor, whatever the system's is."""

_LARGE = 1 << 20
_WHOLE = 1 << 28  # bytes copied at once; between two the writer may be told to stop
_PIECE = 4 << 20  # likewise, where the places do not suit
_PLACED = 8 << 20  # buffers of fewer bytes are not worth a place of their own
_ALIGNED = 64
_BEHIND = 1024


def best_start(buffers: Sequence[Buffer]) -> int | None:
    """Where buffers should begin in a segment, so that the largest is copied well: a multiple of 64 below ``STARTS``;
    None where it does not matter."""
    largest = max(buffers, key=len, default=b"")
    if len(largest) < _PLACED:
        return None
    before = 0
    for buffer in buffers:
        if buffer is largest:
            break
        before += len(buffer)
    with memoryview(largest) as view, _address(view) as source:
        return (source - before) % STARTS // _ALIGNED * _ALIGNED


def copy(target: memoryview, at: int, source: memoryview) -> None:
    """Write all of ``source`` into ``target`` from ``at`` on."""
    size = len(source)
    if at + size > len(target):
        raise ValueError(f"{size} bytes from {at} on are more than {len(target)} bytes hold")
    if size < _LARGE:
        target[at : at + size] = source
        return
    import ctypes

    with _address(target) as into, _address(source) as out_of:
        into += at
        piece = _PIECE if 0 < (into - out_of) % STARTS < _BEHIND else _WHOLE
        for start in range(0, size, piece):
            go_on()
            ctypes.memmove(into + start, out_of + start, min(piece, size - start))


@contextmanager
def _address(buffer: memoryview) -> Iterator[int]:
    """Where a buffer is, and stays meanwhile."""
    import ctypes

    exported: Any = _structure()()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(buffer), ctypes.byref(exported), 0)
    try:
        yield exported.buf
    finally:
        ctypes.pythonapi.PyBuffer_Release(ctypes.byref(exported))


@cache
def _structure() -> type[ctypes.Structure]:
    """``Py_buffer``, which is part of the stable interface from Python 3.11 on."""
    import ctypes

    class PyBuffer(ctypes.Structure):
        _fields_ = (
            ("buf", ctypes.c_void_p),
            ("obj", ctypes.c_void_p),
            ("len", ctypes.c_ssize_t),
            ("itemsize", ctypes.c_ssize_t),
            ("readonly", ctypes.c_int),
            ("ndim", ctypes.c_int),
            ("format", ctypes.c_char_p),
            ("shape", ctypes.c_void_p),
            ("strides", ctypes.c_void_p),
            ("suboffsets", ctypes.c_void_p),
            ("internal", ctypes.c_void_p),
        )

    return PyBuffer
