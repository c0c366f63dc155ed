"""Ports for the servers of a test."""

from __future__ import annotations

import random
import socket

__all__ = ["free_port"]

_LOWEST, _TRIES = 15_000, 1_000
# Drawn by each process for itself: a seed that a test sets would lead all of them to the same ports.
_draw = random.SystemRandom()


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nobody listens.

    It is not among those that the system gives to connections and to who asks for any port: such a one would be
    somebody else's before the server has begun to listen, or while it is started again.

    Raises:
        OSError: none was found.
    """
    for _ in range(_TRIES):
        port = _draw.randrange(_LOWEST, _first_of_the_system())
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise OSError(f"no free port from {_LOWEST} to {_first_of_the_system()}")


def _first_of_the_system() -> int:
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
            first = int(file.read().split()[0])
    except (OSError, ValueError):
        first = 32_768
    return first if first > _LOWEST + _TRIES else 32_768
