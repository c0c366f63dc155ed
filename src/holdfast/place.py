"""Where verbs act: one scope of one store, through the catalog or through a transaction over it."""

from __future__ import annotations

from .address import Path
from .catalog.base import Ledger
from .kernel import Kernel
from .options import PLAIN, Plan, PutOptions, plan

__all__ = ["Place"]


class Place:
    """The parts that every verb of a scope needs.

    Attributes:
        path: ``(kind, name)`` pairs from the root.
    """

    path: Path
    _kernel: Kernel
    _ledger: Ledger

    def _plan(self, options: PutOptions) -> Plan:
        return plan(options, self._kernel.catalog.now) if options else PLAIN
