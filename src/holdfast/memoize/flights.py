"""One computation for many callers within a process: who comes later waits for the one who began.

A call that waits for itself would do so for ever. So it is known which calls wait for which: those that one caller is
computing, one inside the other, wait for the one that he waits for.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from contextlib import suppress
from contextvars import ContextVar, Token

from ..errors import RecursiveCallError

__all__ = ["Flight", "computing", "leave"]

_lock = threading.RLock()  # a coroutine that is collected as garbage may end here, whatever this thread was about
_leading: dict[str, Flight] = {}  # by call
_waiting: dict[Flight, Flight] = {}
_inherited: set[Flight] = set()  # of the process that this one was forked from


class Flight:
    """One caller of one call, which ``name`` tells of in an error.

    Attributes:
        call: the call.
        ended: done when the caller has ended.
        around: the calls whose computation this caller is part of.
    """

    def __init__(self, call: str, name: str) -> None:
        self.call = call
        self.ended: Future[None] = Future()
        self._name = name
        # Without those of which an interrupt kept this context from being told that they ended.
        self.around = frozenset(flight for flight in computing.get() if not flight.ended.done())

    def begin(self) -> Future[None] | None:
        """None when this caller is to compute the call; else what to wait for, before he begins again.

        Raises:
            RecursiveCallError: what he would wait for waits for him.
        """
        with _lock:
            leader = _leading.setdefault(self.call, self)
            if leader is self:
                is_recursive = any(outer.call == self.call for outer in self.around & _inherited)
                _waiting.pop(self, None)
            else:
                is_recursive = bool(self.around) and not self.around.isdisjoint(_awaited(leader))
                _waiting[self] = leader
        if is_recursive:
            problem = f"{self._name} was called with these arguments by the very call that computes them"
            raise RecursiveCallError(problem)
        return None if leader is self else leader.ended

    def end(self) -> None:
        """Let those go on who wait for this one: they look whether the result is there. To be called whatever became
        of :meth:`begin`, and again where it may have been interrupted."""
        with _lock:
            _waiting.pop(self, None)
            if _leading.get(self.call) is self:
                del _leading[self.call]
            if not self.ended.done():
                self.ended.set_result(None)


computing: ContextVar[frozenset[Flight]] = ContextVar("holdfast_computing", default=frozenset())
"""The calls that are being computed here, one inside the other."""


def leave(token: Token[frozenset[Flight]]) -> None:
    """Undo a change of :data:`computing`."""
    with suppress(ValueError):  # a coroutine that is not awaited any more ends in whatever context
        computing.reset(token)


def _awaited(leader: Flight) -> set[Flight]:
    """This one, the ones that he waits for, those that they wait for, and so on."""
    found, new = set[Flight](), {leader}
    while new:
        found |= new
        new = {leader for flight, leader in _waiting.copy().items() if not flight.around.isdisjoint(new)} - found
    return found


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()
    _inherited.update(_leading.values())
    _leading.clear()  # those who compute, and those who wait for them, stayed with the parent
    _waiting.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)
