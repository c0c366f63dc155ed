"""Reaching a server at once or not at all: the engines of clusters go on trying, some of them for minutes."""

from __future__ import annotations

import socket

__all__ = ["dial"]


def dial(address: str, seconds: float, port: int | None = None) -> socket.socket:
    """A connection to ``host:port``, whatever scheme is before it; an IPv6 host is in brackets.

    Args:
        seconds: in which it is there, or is given up.
        port: where the address names none.

    Raises:
        ConnectionRefusedError, ConnectionResetError: nobody listens there.
        OSError: it cannot be told whether anybody does, or it is no such address.
    """
    place = address.rpartition("://")[2]
    host, colon, number = place.rpartition(":")
    if port is not None and (not colon or place.endswith("]")):
        host, number = place, str(port)
    if not host or not number.isdecimal() or int(number[:6]) > 65_535:  # which the system would wrap around
        raise OSError("it is no address such as host:port")
    try:
        return socket.create_connection((host.removeprefix("[").removesuffix("]"), int(number)), seconds)
    except UnicodeError as error:  # a name that none can be
        raise OSError(str(error)) from error
