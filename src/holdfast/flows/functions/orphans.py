"""Commands that nobody has any more: the process that ran them died, or was interrupted while it started them."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

__all__ = ["end_commands"]

_TURNS = 10  # looks for what was started while others were ended


def end_commands(folder: str) -> None:
    """End the commands of the action of this folder, or of all actions whose folders are in this one.

    A command, and what it started, is known by its environment: that has the path of its temporary directory, which
    nobody else had. Only Linux tells it; elsewhere they go on.
    """
    if not hasattr(os, "pidfd_open") or not os.path.isdir("/proc"):
        return
    name = os.fsencode(os.path.basename(folder))
    for _ in range(_TURNS):
        pids = {int(pid) for pid in os.listdir("/proc") if pid.isdecimal()} - {os.getpid()}
        if not sum(_end(pid, name) for pid in pids):
            return


def _end(pid: int, name: bytes) -> bool:
    """End a process if it is of an action whose folder, or the one around that, has this name."""
    with suppress(OSError):
        process = os.pidfd_open(pid)  # which stays that process', whoever has its number next
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                variables = dict(item.partition(b"=")[::2] for item in file.read().split(b"\0"))
            own = variables.get(b"DIREKTIV_TEMPDIR", b"")
            if name in own.split(b"/")[-2:] and os.path.isdir(own):
                signal.pidfd_send_signal(process, signal.SIGKILL)
                return True
        finally:
            os.close(process)
    return False
