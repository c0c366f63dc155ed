"""Tasks for the tests: each notes in a file that it ran, as workers are other processes."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import holdfast

__all__ = [
    "Speechless", "Tally", "add", "boom", "current_scope", "die", "die_once", "flaky", "forever", "guarded", "inner",
    "lock", "meet", "noted", "pair", "plain", "ran", "size", "sleepy", "speechless", "summed", "table", "total",
    "until",
]  # fmt: skip


def noted(log: Path, text: str) -> None:
    """Add a line to a file, whole whoever else does so."""
    with open(log, "ab", buffering=0) as file:
        file.write(f"{text}\n".encode())


def ran(log: Path) -> list[str]:
    """The lines of that file."""
    return log.read_text().splitlines() if log.exists() else []


@holdfast.task(ignore=["log"])
def add(a: Any, b: Any, log: Path) -> Any:
    noted(log, f"add {a} {b}")
    return a + b


@holdfast.task(ignore=["log"])
def total(values: Any, log: Path, *, scale: int = 1) -> Any:
    noted(log, "total")
    return sum(values["these"]) * scale


@holdfast.task
def plain(value: Any) -> Any:
    return value


@holdfast.task
def pair(value: int) -> tuple[int, dict[str, list[int]]]:
    return value, {"more": [value + 1, value + 2]}


@holdfast.task(ignore=["log"])
def boom(log: Path, value: Any = None) -> None:
    noted(log, "boom")
    raise ValueError("no such luck")


@holdfast.task(ignore=["log"])
def flaky(log: Path, times: int) -> str:
    noted(log, "flaky")
    if len(ran(log)) <= times:
        raise OSError("try again")
    return "at last"


class Speechless(Exception):
    """An error that has no text, and cannot leave its process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __str__(self) -> str:
        raise RuntimeError("no text")


@holdfast.task(ignore=["log"])
def speechless(log: Path, times: int = 1 << 30) -> str:
    noted(log, "speechless")
    if len(ran(log)) <= times:
        raise Speechless
    return "at last"


@holdfast.task(ignore=["log"])
def sleepy(seconds: float, log: Path, value: Any = None) -> float:
    noted(log, f"begin {time.time()}")
    time.sleep(seconds)
    noted(log, f"end {time.time()}")
    return seconds


@holdfast.task(ignore=["log"])
def meet(who: int, log: Path) -> bool:
    """Whether another one of these runs at the same time."""
    noted(log, f"met {who}")
    deadline = time.monotonic() + 30
    while len(ran(log)) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    return len(ran(log)) == 2


@holdfast.task
def until(value: Any, name: str) -> Any:
    """The value, somewhat later than there is a result of that name."""
    deadline = time.monotonic() + 30
    while name not in holdfast.current().results.names() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.4)
    return value


@holdfast.task(ignore=["log", "times"])
def guarded(value: Any, log: Path, times: int = 0) -> Any:
    """The value, when a file beside the log is there; fails so many times."""
    noted(log, "guarded")
    deadline = time.monotonic() + 30
    while not log.with_name("go").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    if ran(log).count("guarded") <= times:
        raise OSError("try again")
    return value


@holdfast.task
def forever() -> None:
    while True:
        time.sleep(0.05)


@holdfast.task
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@holdfast.task(ignore=["log"])
def die_once(log: Path) -> int:
    noted(log, "die_once")
    if len(ran(log)) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2


@holdfast.task
def lock() -> Any:
    return threading.Lock()


@holdfast.task(key={"values": len})
def summed(values: list[int]) -> int:
    """The sum of a list, of which the length counts."""
    return sum(values)


@holdfast.task
def current_scope() -> str:
    holdfast.put("seen", True)
    return str(holdfast.current())


@holdfast.task
def table(rows: int) -> Any:
    import numpy

    return numpy.arange(rows * 10, dtype="float64").reshape(rows, 10)


@holdfast.task
def size(array: Any) -> tuple[float, int]:
    return float(array.sum()), os.getpid()


@holdfast.task
def inner(count: int, executor: str = "threads") -> list[int]:
    """A node that runs a graph of its own, of which it is a part itself."""
    return holdfast.current().run(*[plain(number) for number in range(count)], executor=executor)


@holdfast.task(ignore=["log"])
class Tally:
    """A stateful node."""

    def __init__(self, log: Path, start: int = 0) -> None:
        noted(log, "Tally")
        self.value = start
        self.log = str(log)

    def add(self, amount: int) -> int:
        noted(Path(self.log), f"Tally.add {amount}")
        self.value += amount
        return self.value

    def set(self, value: int) -> None:
        self.value = value

    def stumble(self, times: int) -> int:
        noted(Path(self.log), "Tally.stumble")
        self.value += 1
        if ran(Path(self.log)).count("Tally.stumble") <= times:
            raise OSError("try again")
        return self.value

    @staticmethod
    def doubled(value: int) -> int:
        return value * 2

    @classmethod
    def named(cls, value: int) -> str:
        return f"{cls.__name__} {value}"
