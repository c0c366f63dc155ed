"""Interrupts a memoized function at random moments, and prints what is left behind. Run as
``python interrupted.py <store> <seconds> <seed>``."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import holdfast
from holdfast import renewal
from holdfast.memoize import flights


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def open_locks(folder: Path) -> list[str]:
    """Names of lock files that this process has open."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            path = Path(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            continue
        if path.parent == folder / "locks":
            found.append(path.name)
    return found


def main(folder: Path, seconds: float, seed: int) -> None:
    store = holdfast.open(folder)

    @store.memoize(version=1)
    def inner(number: int) -> int:
        return number

    @store.memoize(version=1)
    def outer(number: int) -> int:
        return inner(number) + 1

    outer(-1)
    signal.signal(signal.SIGALRM, interrupt)
    chance, end = random.Random(seed), time.monotonic() + seconds
    number = interrupts = 0
    while time.monotonic() < end:
        number += 1
        try:
            signal.setitimer(signal.ITIMER_REAL, 1e-6 + chance.random() * 0.004)
            assert outer(number) == number + 1
            signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            interrupts += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        held = [lease.name for _, _, lease, *_ in list(renewal._renewer._due) if lease.held]
        left = [*flights._leading, *flights._waiting, *held, *open_locks(folder)]
        assert not left, (number, left)

    done: list[bool] = []

    def again() -> None:
        done.extend(outer(counted) == counted + 1 for counted in range(1, number + 1))

    thread = threading.Thread(target=again, daemon=True)  # whom a lock that was left behind would stop
    thread.start()
    thread.join(60)
    print(interrupts, len(done) == number and all(done), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), float(sys.argv[2]), int(sys.argv[3]))
