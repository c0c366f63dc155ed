"""The life of a worker process: receive a call, run it, send what came of it."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading

from . import frames
from .tasks import Packed, run

__all__ = ["BEGUN", "READY", "main"]

READY = b"ready"
"""A worker's first words."""

BEGUN = b"begun"
"""What it says when it has a call, before it does anything with it."""


def main(channel: int, lifeline: int) -> None:
    """Work until the other end of the channel is closed; end at once when that of the lifeline is: its holder died."""
    threading.Thread(target=_watch, args=(lifeline,), daemon=True).start()
    # Ctrl-C reaches all processes of a terminal: what it means for this one, the process that started it says. (To
    # ignore it would be inherited by the programs that tasks start, a function is not.)
    signal.signal(signal.SIGINT, _nothing)
    with socket.socket(fileno=channel) as connection:
        try:
            frames.send(connection, [READY])
            while True:
                call = Packed(*frames.receive(connection))
                frames.send(connection, [BEGUN])
                outcome = run(call)
                _flush()
                frames.send(connection, outcome.parts)
                del call, outcome
        except frames.Gone:
            pass


def _watch(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(1)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads it


def _nothing(*_: object) -> None:
    pass
