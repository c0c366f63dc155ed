"""What an error of a file system means to a caller: one error of our tree for one cause, whichever protocol it is."""

from __future__ import annotations

import errno
import re

from ...errors import HoldfastError, ReadOnlyError, StorageFullError, StoreError

__all__ = ["explain", "is_broken"]

_REPLY = re.compile(r"^(\d{3})[ -]")  # of an FTP server
_FULL = {errno.ENOSPC, errno.EDQUOT}


def _reply(error: BaseException) -> str:
    found = _REPLY.match(str(error))
    return found[1] if found else ""


def is_broken(error: BaseException) -> bool:
    """Whether a connection is at its end, which a new one may mend."""
    return isinstance(error, (EOFError, ConnectionError, TimeoutError)) or _reply(error) in ("421", "425", "426")


def explain(error: Exception, shown: str, *, writing: bool) -> HoldfastError:
    """The error of our tree for one of a file system's, but for what is not there; to be raised ``from`` it."""
    if isinstance(error, HoldfastError):
        return error
    reply, number = _reply(error), getattr(error, "errno", None)
    what = f"{type(error).__name__}: {str(error) or 'no more is told'}"
    if reply in ("452", "552") or number in _FULL:
        return StorageFullError(f"no space is left, or the quota is used up, for {shown} ({what})")
    if reply in ("530", "532") or (not reply and re.search(r"authentication|logon", str(error), re.IGNORECASE)):
        protocol = shown.partition(":")[0].upper()
        return StoreError(
            f"{shown} refused the credentials ({what}): set FSSPEC_{protocol}_USERNAME and FSSPEC_{protocol}_PASSWORD, "
            "or what its own package reads"
        )
    if isinstance(error, PermissionError) or reply in ("550", "553"):
        if writing:
            return ReadOnlyError(f"{shown} may not be written with these credentials ({what}): give them the right to")
        return StoreError(f"{shown} may not be read with these credentials ({what}): give them the right to")
    if is_broken(error) or isinstance(error, OSError):
        return StoreError(
            f"{shown} could not be reached, or the connection broke: check the network, the host and the port ({what})"
        )
    return StoreError(f"{'writing to' if writing else 'reading from'} {shown} failed: {what}")
