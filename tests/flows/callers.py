"""Functions for tests of the engine: Python ones, by name."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Any

from holdfast.flows.failures import Failure
from holdfast.flows.functions.action import Action


class Calls:
    """Calls Python functions by the names that flows use, and remembers the calls."""

    def __init__(self) -> None:
        self.made: list[Action] = []
        self.closed = False
        self.known: dict[str, Callable[[Action], Any]] = {
            "echo": lambda action: action.input,
            "fail": _fail,
            "sleep": _sleep,
        }
        self._lock = Lock()

    def check(self, function: str) -> str | None:
        return (
            None if function in self.known else f"no function {function} is configured: name one of {list(self.known)}"
        )

    def call(self, action: Action) -> Any:
        with self._lock:
            self.made.append(action)
        return self.known[action.function](action)

    def close(self) -> None:
        self.closed = True


def _fail(action: Action) -> Any:
    raise Failure(action.input.get("code", "my.code"), action.input.get("message", "as it was told to"))


def _sleep(action: Action) -> Any:
    """Sleep for as long as is said, unless it is cancelled, or takes too long."""
    seconds = float(action.input["seconds"])
    waits = min(time for time in (seconds, action.timeout, action.left) if time is not None)
    if action.cancelled.wait(waits):
        raise Failure("", "the function was cancelled")
    if waits < seconds:
        raise Failure("", "the function took too long")
    return time.time()
