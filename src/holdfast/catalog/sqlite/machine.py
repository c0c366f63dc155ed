"""The clock, and whose machine the store is on: what only an embedded catalog has."""

from __future__ import annotations

import time

from .core import Core

__all__ = ["Machine"]


class Machine(Core):
    """``now``, ``machine``, ``claim`` and ``adopt``."""

    def now(self) -> float:
        """See :meth:`Catalog.now <holdfast.catalog.base.Catalog.now>`: one machine, so its own clock."""
        return time.time()

    def machine(self) -> tuple[str, str, float] | None:
        """Who holds the store: machine id, boot id, and until when it is known to be alive; None: nobody ever did."""
        machine, boot, until = self.read("SELECT machine,boot,until FROM store WHERE id=1")[0]
        return None if machine is None else (machine, boot, until)

    def claim(self, machine: str, boot: str, seconds: float) -> None:
        """Write down that this machine in this boot holds the store, and is alive for so many seconds from now."""
        self.write(
            "UPDATE store SET machine=?,boot=?,until=? WHERE id=1", (machine, boot, time.time() + seconds), spare=True
        )
        self.make_reserve()

    def adopt(self) -> None:
        """The store came from another machine: take no bytes as synced, and no file as the one that was written."""
        self.write(
            "UPDATE blobs SET synced=0,boot='',device=NULL,inode=NULL,mtime=NULL,ctime=NULL WHERE state=0", spare=True
        )
