"""Which sessions of executors last: what ended with one is not shown any more."""

from __future__ import annotations

import time
from collections.abc import Callable
from weakref import WeakMethod

from ..catalog.base import Catalog
from ..errors import AccessError, BusyError, MissingExtraError, NotRegisteredError
from ..storages.ephemeral import EphemeralStorage

__all__ = ["Sessions", "session_of"]

_BELIEVED = 0.2  # seconds for which it is believed which sessions there are, where asking takes a way through a network


def session_of(memory: EphemeralStorage) -> str:
    """What the records of values that are put into a memory now say they end with: its name, and its session."""
    return f"{memory.name} {memory.session()}"


class Sessions:
    """The sessions of one store's ephemeral records.

    Nobody need be there when a session ends. Whoever is about to show its records finds that it has, and ends them.
    """

    def __init__(self, catalog: Catalog, memory: Callable[[str], EphemeralStorage]) -> None:
        """``memory`` gives the memory of a name, and raises NotRegisteredError or MissingExtraError."""
        self._catalog = catalog
        self._memory = WeakMethod(memory)  # of the kernel, which has this, and goes when nobody has it
        self._looked = float("-inf")
        self.used = False
        """Whether something was put into a memory here."""

    def lasts(self, session: str) -> bool:
        """Whether a session lasts, as far as can be told here; the records of one that does not are ended.

        Raises:
            BusyError: that takes time, and the catalog is asked in haste.
        """
        name, _, id = session.partition(" ")
        try:
            find = self._memory()
            assert find is not None
            memory = find(name)
            if memory.far and self._catalog.in_haste():
                raise BusyError(f"whether a session of {name} lasts is asked through a network")
            if memory.alive(id):
                return True
            self._catalog.end_session(session)
        except (AccessError, MissingExtraError, NotRegisteredError):
            return True  # for others to tell, or to end
        return False

    def leave(self) -> None:
        """End those of the machine that had an embedded store before: nobody will come back to them."""
        for session in self._catalog.sessions():
            if session.startswith("holdfast.local@v1 "):
                self._catalog.end_session(session)

    def settle(self) -> bool:
        """End the records of all sessions that have ended, and tell whether there were any; called before something
        depends on which there are."""
        if self._catalog.served and not self.used:
            return False  # the service does
        if not self._catalog.prompt:
            if time.monotonic() - self._looked < _BELIEVED:
                return False
            self._looked = time.monotonic()
        try:
            found = self._catalog.sessions()
        except AccessError:  # whoever may not see them ends none
            self._looked = float("inf")
            return False
        return bool([session for session in found if not self.lasts(session)])
