"""Whether somebody listens at an address of Dask's, told from outside and at once."""

from __future__ import annotations

import os
import sys
from typing import Any

from ..dialing import dial

__all__ = ["SECONDS", "listens"]

SECONDS = 0.5
"""A machine that answers at all does so within this time."""

_SCHEMES = ("tcp", "tls", "ws", "wss")


def listens(address: str) -> bool | None:
    """Whether somebody listens at an address of Dask's; None where that cannot be told."""
    if address.startswith("inproc://"):
        return _listens_inside(address)
    if address.partition("://")[0] not in _SCHEMES:
        return None
    try:
        dial(address, SECONDS).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return False
    except (OSError, OverflowError, ValueError):
        return None  # a network that is not there now, or a machine that is no longer: nobody knows which
    return True


def _listens_inside(address: str) -> bool | None:
    """The same for a scheduler in a process of this machine."""
    path = address.removeprefix("inproc://")
    pid = int(path.split("/")[1]) if path.count("/") == 2 else 0
    if pid != os.getpid():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except OSError:
            pass
        return None
    inproc: Any = sys.modules.get("distributed.comm.inproc")
    try:
        return inproc is not None and inproc.global_manager.get_listener_for(path) is not None
    except ValueError:  # the machine has another address by now
        return None
