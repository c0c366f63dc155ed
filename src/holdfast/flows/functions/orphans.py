"""Commands that outlived the process that ran them."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

__all__ = ["end_commands"]

_TURNS = 10  # looks for what was started while others were ended


def end_commands(folder: str) -> None:
    """End the commands of actions that had not ended when their process died, whose folder this was.

    A command, and what it started, is known by its environment: that has the path of its temporary directory, which
    nobody else had. Only Linux tells it; elsewhere they go on.
    """
    known = os.fsencode(f"DIREKTIV_TEMPDIR={folder}/")
    if not hasattr(os, "pidfd_open") or not os.path.isdir("/proc"):
        return
    for _ in range(_TURNS):
        pids = {int(name) for name in os.listdir("/proc") if name.isdecimal()} - {os.getpid()}
        if not sum(_end(pid, known) for pid in pids):
            return


def _end(pid: int, known: bytes) -> bool:
    """End a process if it is one of them."""
    with suppress(OSError):
        process = os.pidfd_open(pid)  # which stays that process', whoever has its number next
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                variables = file.read().split(b"\0")
            folders = [item.partition(b"=")[2] for item in variables if item.startswith(known)]
            if any(map(os.path.isdir, folders)):
                signal.pidfd_send_signal(process, signal.SIGKILL)
                return True
        finally:
            os.close(process)
    return False
