"""What the tasks of these tests do; workers import it by name."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import holdfast
from holdfast import executors
from holdfast.memory import in_force


def add(a: int, b: int = 1) -> int:
    return a + b


def where() -> tuple[str, str | None]:
    return str(holdfast.current()), in_force.get()


def keep(key: str, value: Any) -> int:
    return holdfast.put(key, value).version


def process() -> int:
    return os.getpid()


def touch(path: Path) -> None:
    path.touch()


def touch_and_wait(path: Path, seconds: float = 0.0) -> None:
    path.touch()
    wait_for(path.with_suffix(".go"), seconds)


def wait_for(path: Path, seconds: float = 0.0) -> None:
    """Until somebody makes that file, or for as long."""
    end = time.monotonic() + (seconds or 60)
    while path.parent.exists() and not path.exists() and time.monotonic() < end:
        time.sleep(0.02)


def fail(error: BaseException) -> None:
    raise error


class Stubborn(Exception):
    """Cannot be loaded from its pickle."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


def fail_stubbornly() -> None:
    raise Stubborn("this", "that")


def fail_with_lock() -> None:
    error = ValueError("with a lock")
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    raise error


def give_lock() -> Any:
    return {"outer": threading.Lock()}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def tree(executor: executors.Executor, depth: int) -> int:
    """As many leaves as a tree has whose every task waits for two others."""
    if not depth:
        return 1
    return sum(executor.gather([executor.submit(tree, executor, depth - 1) for _ in range(2)]))


def total(array: Any) -> float:
    return float(array.sum())


def doubled(array: Any) -> Any:
    return array * 2
