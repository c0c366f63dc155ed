"""How far a run is, for whoever watches it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..errors import InvalidArgumentError
from .plan import DONE, ELSEWHERE, FAILED, RUNNING, SKIPPED, STORED, UNNEEDED, Plan

__all__ = ["Status", "Teller", "Watcher"]

_PAUSE = 0.1  # seconds between two looks
_SHOWN = 3  # names of running nodes
_WIDTH = 100


class Status(NamedTuple):
    """A view of a graph while it runs.

    Attributes:
        run: which run.
        counts: how many nodes are in each state.
        states: the state of each node by its name.
        done: whether this is the last view.
    """

    run: str
    counts: Mapping[str, int]
    states: Mapping[str, str]
    done: bool

    def __str__(self) -> str:
        there = sum(self.counts.get(state, 0) for state in (STORED, DONE))
        total = sum(self.counts.values()) - self.counts.get(UNNEEDED, 0)
        words = [f"{there} of {total} nodes done"]
        running = [name for name, state in self.states.items() if state == RUNNING]
        if running:
            more = f" and {len(running) - _SHOWN} more" if len(running) > _SHOWN else ""
            words.append(f"running {', '.join(running[:_SHOWN])}{more}")
        words += [f"{self.counts[state]} {state}" for state in (ELSEWHERE, FAILED, SKIPPED) if self.counts.get(state)]
        return "; ".join(words)


Watcher = Callable[[Status], Any]
"""Is called with each new view."""


class Teller:
    """Tells whoever watches a run how far it is, a few times a second.

    Args:
        watcher: what to call; True for a line on stderr; None or False for nobody.

    Raises:
        InvalidArgumentError: it cannot be called.
    """

    def __init__(self, watcher: Watcher | bool | None) -> None:
        if not (watcher is None or isinstance(watcher, bool) or callable(watcher)):
            raise InvalidArgumentError(f"progress is True, or a function that is called with a Status, not {watcher!r}")
        self._watcher: Any = _line if watcher is True else watcher or None
        self._next = 0.0

    def tell(self, run: str, plan: Plan, done: bool = False) -> None:
        """Tell, if that is a while ago or this is the end."""
        if self._watcher is None or (time.monotonic() < self._next and not done):
            return
        self._next = time.monotonic() + _PAUSE
        states = {step.name: step.state for step in plan.steps}
        self._watcher(Status(run, plan.counts(), states, done))


def _line(status: Status) -> None:
    text = str(status)
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text[:_WIDTH]}", end="\n" if status.done else "", file=sys.stderr, flush=True)
    elif status.done:
        print(text, file=sys.stderr, flush=True)
