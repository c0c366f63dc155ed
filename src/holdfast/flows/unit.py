"""Variables that an instance reads and writes as one unit (``atomic:`` of a definition).

From the first time that it uses one of them to its end an instance has them for itself: leases let those take turns
whose flows name the same variable. What it writes is kept back, and written in the commit of its end, if every variable
is still what it was when it was read. If somebody without a lease wrote one meanwhile, the instance goes on again from
where it first used one. A run that fails writes none of them.
"""

from __future__ import annotations

import os
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from threading import Lock
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from ..address import format_address
from ..errors import BusyError, HoldfastError
from ..lease import Lease, name_in
from .failures import Codes, Failure
from .json_text import encode, parse
from .place import Place
from .variables import Write, check_name, find

__all__ = ["Moment", "Unit"]

_SECONDS = 30.0  # of a lease, which is renewed
_TRIES = 100  # of a unit
_PATIENCE = 30.0  # seconds for a turn out of order, which may never come


class Moment(NamedTuple):
    """Where an instance was: the state that it was about to begin, its data, and how many states it had begun."""

    state: str
    data: dict[str, Any]
    step: int


class _Turn:
    """Whose turn it is among the threads of this process, before they take turns with other processes."""

    def __init__(self) -> None:
        self.lock = Lock()


_turns: WeakValueDictionary[tuple[str, str], _Turn] = WeakValueDictionary()
_turns_lock = Lock()


def _after_fork_in_child() -> None:
    # Whoever has his turn in the parent does not run here, and would never end it.
    global _turns, _turns_lock
    _turns, _turns_lock = WeakValueDictionary(), Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)


class Unit:
    """The unit of one instance.

    Args:
        keys: scope and key of each variable.
        held: addresses of variables that those who called this instance have for themselves.
        pause: waits so many seconds, or raises what ends the wait.
    """

    def __init__(
        self,
        place: Place,
        keys: Sequence[tuple[str, str]],
        held: frozenset[str],
        pause: Callable[[float], None],
    ) -> None:
        self._place = place
        self._keys = frozenset(keys)
        self._outer = held
        self._pause = pause
        self._versions: dict[tuple[str, str], int] = {}
        self._writes: dict[tuple[str, str], Write] = {}
        self._leases: list[Lease] = []
        self._locks: list[_Turn] = []
        self._tries = 0
        self._has = False
        self.began: Moment | None = None
        """Where it first used one of its variables; None while it did not."""

    def __contains__(self, variable: tuple[str, str]) -> bool:
        return variable in self._keys

    @property
    def held(self) -> frozenset[str]:
        """Addresses of the variables that this instance, or one that called it, has for itself."""
        return self._outer | self._addresses() if self._has else self._outer

    def _addresses(self) -> frozenset[str]:
        return frozenset(format_address(self._place.scope(scope).path, key) for scope, key in self._keys)

    def begin(self, moment: Moment) -> None:
        """Have the variables for itself from here on; does nothing when it has them.

        Raises:
            Failure: ``direktiv.var.conflict``: an instance that called this one has one of its variables for itself; or
                others have had one for long, and may wait for one that it has.
        """
        if self._has:
            return
        addresses = sorted(self._addresses())
        taken = self._outer.intersection(addresses)
        if taken:
            raise Failure(
                Codes.CONFLICT, f"{min(taken)} is atomic in a flow that calls this one: name it in one of them only"
            )
        # All who wait for what comes behind all that they have, in one order, cannot wait for each other.
        in_order = not self._outer or max(self._outer) < addresses[0]
        end = None if in_order else time.monotonic() + _PATIENCE
        try:
            for address in addresses:
                self._wait_for(address, end)
        except BaseException:
            self.end()  # else it would wait for itself, should it begin once more
            raise
        self._has = True
        self.began = self.began or moment

    def _wait_for(self, address: str, end: float | None) -> None:
        def pause(seconds: float) -> None:
            if end is not None and time.monotonic() >= end:
                why = "others have it, and may wait for what a caller of this flow has: run that once more"
                raise Failure(Codes.CONFLICT, f"{address} is atomic, and no turn came in {_PATIENCE:g} seconds: {why}")
            self._pause(seconds)

        kernel = self._place.namespace._kernel
        with _turns_lock:
            turn = _turns.setdefault((kernel.catalog.store_id, address), _Turn())
        while not turn.lock.acquire(timeout=0.1):
            pause(0.0)
        self._locks.append(turn)
        name = name_in(self._place.namespace.path, f"atomic/{sha256(address.encode()).hexdigest()[:32]}")
        lease = Lease(kernel, name, _SECONDS, None, True)
        with suppress(BusyError):
            for seconds in lease.attempts():
                pause(seconds)
        self._leases.append(lease)

    def read(self, variable: tuple[str, str]) -> bytes:
        """The bytes of one of its variables; none for one that is missing."""
        if variable in self._writes:
            return self._writes[variable].data or b""
        scope, key = variable
        found = find(self._place.scope(scope), check_name(key))
        if self._versions.setdefault(variable, found.version) != found.version:
            self._versions[variable] = -1  # no version: it was changed between two reads, and the end will tell
        return found.data

    def write(self, write: Write) -> None:
        """Keep what a setter writes to one of its variables back to the end."""
        self._writes[write.scope, write.key] = write

    @property
    def writes(self) -> list[Write]:
        """What is to be written at the end."""
        return list(self._writes.values())

    @property
    def expected(self) -> list[tuple[str, str, int]]:
        """What must be as it was read, at the end."""
        return [(*variable, version) for variable, version in self._versions.items()]

    def again(self) -> Moment:
        """After a conflict: forget all that was read and written, and give where to go on from.

        Raises:
            Failure: ``direktiv.var.conflict``, after many tries.
        """
        assert self.began is not None
        self._tries += 1
        if self._tries >= _TRIES:
            raise Failure(
                Codes.CONFLICT, f"others wrote atomic variables of this flow meanwhile, {_TRIES} times in a row"
            )
        self._versions, self._writes = {}, {}
        return self.began

    def end(self) -> None:
        """Let others have their turn."""
        leases, self._leases = self._leases, []
        locks, self._locks = self._locks, []
        self._has = False
        for lease in reversed(leases):
            with suppress(HoldfastError):  # then it is given back when it expires
                lease.release()
        for turn in locks:
            turn.lock.release()

    # --- what is recorded of it ---------------------------------------------------------------------------------------

    def as_record(self) -> dict[str, Any] | None:
        """It, as JSON, once it has begun."""
        if self.began is None:
            return None
        writes = [
            [scope, key, mime_type, None if data is None else b64encode(data).decode()]
            for scope, key, mime_type, data in self._writes.values()
        ]
        state, data, step = self.began
        began = [state, encode(data).decode(), step]
        return {"began": began, "versions": [list(each) for each in self.expected], "writes": writes}

    def restore(self, recorded: dict[str, Any]) -> None:
        """Be what was recorded; the variables are to be had again, by :meth:`begin`."""
        state, data, step = recorded["began"]
        self.began = Moment(state, parse(data), step)
        self._versions = {(scope, key): version for scope, key, version in recorded["versions"]}
        for scope, key, mime_type, data in recorded["writes"]:
            self.write(Write(scope, key, mime_type, None if data is None else b64decode(data)))
