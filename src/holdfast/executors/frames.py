"""Buffers through a socket, whole or not at all: what a process and its workers say to each other."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence

from ..payload import Buffer

__all__ = ["Gone", "receive", "send"]

_COUNT = struct.Struct("<I")
_AT_ONCE = 512  # buffers of one system call; Linux takes 1,024


class Gone(Exception):
    """The other side is not there any more."""


def send(channel: socket.socket, parts: Sequence[Buffer]) -> None:
    """Send these buffers, without joining them.

    Raises:
        Gone: nobody will receive them.
    """
    head = _COUNT.pack(len(parts)) + struct.pack(f"<{len(parts)}Q", *(len(part) for part in parts))
    left = [memoryview(head), *(memoryview(part) for part in parts if len(part))]
    try:
        while left:
            sent = channel.sendmsg(left[:_AT_ONCE])
            while left and sent >= len(left[0]):
                sent -= len(left.pop(0))
            if sent:
                left[0] = left[0][sent:]
    except OSError as error:
        raise Gone from error


def receive(channel: socket.socket, alive: Callable[[], bool] | None = None) -> list[Buffer]:
    """The buffers of one :func:`send`; the large ones may be written to.

    Args:
        alive: asked whenever the socket's time-out is over: whether to go on waiting.

    Raises:
        Gone: the other side has ended, or is not alive.
    """
    (count,) = _COUNT.unpack(_read(channel, _COUNT.size, alive))
    sizes = struct.unpack(f"<{count}Q", _read(channel, 8 * count, alive))
    return [_read(channel, size, alive) for size in sizes]


def _read(channel: socket.socket, size: int, alive: Callable[[], bool] | None) -> bytearray:
    found = bytearray(size)
    left = memoryview(found)
    while left:
        try:
            got = channel.recv_into(left)
        except TimeoutError:
            if alive is None or not alive():
                raise Gone from None
            continue
        except OSError as error:
            raise Gone from error
        if not got:
            raise Gone
        left = left[got:]
    return found
