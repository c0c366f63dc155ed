"""``aio`` beside the synchronous verbs, and how long a loop is kept from other work."""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import holdfast
from tests.aio.watch import Watchdog

from .measure import Result, Timing, ratios, time_calls
from .small import sample

__all__ = ["run"]

_KEYS = 100

# Holds the store's write lock for 0.2 seconds at each line.
_HOLDER = """
import sys, time, apsw
connection = apsw.Connection(sys.argv[1] + "/catalog.sqlite")
connection.set_busy_timeout(10_000)
print("ready", flush=True)
for line in sys.stdin:
    connection.execute("BEGIN IMMEDIATE").fetchall()
    print("held", flush=True)
    time.sleep(0.2)
    connection.execute("COMMIT").fetchall()
    print("free", flush=True)
"""


async def _time_awaits(call: Callable[[int], Awaitable[Any]], count: int, first: int) -> Timing:
    clock = time.perf_counter_ns
    times = []
    gc.disable()
    try:
        for number in range(first, first + count):
            begin = clock()
            await call(number)
            times.append(clock() - begin)
    finally:
        gc.enable()
    return Timing(statistics.median(times) / 1e3, statistics.fmean(times) / 1e3, max(times) / 1e3)


def _against(
    ours: Callable[[int], Awaitable[Any]], control: Callable[[int], object], count: int
) -> tuple[Timing, Timing]:
    """As :func:`bench.measure.against`, of awaits and of calls in the same loop."""

    async def main() -> tuple[Timing, Timing]:
        mine, theirs = [], []
        for turn in range(5):
            mine.append(await _time_awaits(ours, count, turn * count))
            theirs.append(time_calls(control, count, turn * count))
        return min(mine), min(theirs)

    return asyncio.run(main())


async def _crowd(scope: Any, large: list[bytes]) -> None:
    small = sample(1)
    gets = [scope.get(f"dict-{number % _KEYS}") for number in range(1000)]
    puts = [scope.put(f"put-{number}", small) for number in range(1000)]
    files = [scope.put(f"large-{number}", value) for number, value in enumerate(large)]
    await asyncio.gather(*gets, *puts, *files, *(scope.get(f"large-{number}") for number in range(len(large))))


async def _idle(rounds: int) -> list[tuple[float, float]]:
    """The gaps of as many coroutines that do nothing: what asyncio itself takes to begin them."""
    gaps = []
    for _ in range(rounds):
        async with Watchdog() as dog:
            await asyncio.gather(*(asyncio.sleep(0) for _ in range(2000)))
        gaps.append((dog.longest, dog.wall))
    return gaps


def _gap(what: str, gaps: list[tuple[float, float]], seconds: float) -> Result:
    longest, median = max(gap for gap, _ in gaps) * 1e3, statistics.median(gap for gap, _ in gaps) * 1e3
    detail = f"of {len(gaps)} rounds, median {median:.1f}, by the wall clock {max(wall for _, wall in gaps) * 1e3:.1f}"
    return Result(what, longest, "ms, longest gap", 20, True, f"{detail}; a round {seconds:.2f} s; collector off")


async def _gaps(scope: Any, large: list[bytes], rounds: int, hold: Any = None) -> tuple[list[Any], float]:
    for number, value in enumerate(large):
        await scope.put(f"large-{number}", value)
    await _crowd(scope, large)  # whatever is done only once
    gaps, began = [], time.perf_counter()
    for _ in range(rounds):
        if hold is not None:
            hold.stdin.write("\n")
            hold.stdin.flush()
            hold.stdout.readline()
        async with Watchdog() as dog:
            await _crowd(scope, large)
        gaps.append((dog.longest, dog.wall))
        if hold is not None:
            hold.stdout.readline()
    return gaps, (time.perf_counter() - began) / rounds


def run(folder: Path, quick: bool) -> list[Result]:
    """Gets and puts by ``await`` against calls; the largest gap in a loop with two thousand of them at once."""
    count, rounds = (300, 2) if quick else (3000, 7)
    with holdfast.open(folder / "holdfast") as store:
        scope = store.namespace("bench")
        aio = scope.aio
        values = [sample(number) for number in range(_KEYS)]
        blobs = [os.urandom(1024) for _ in range(_KEYS)]
        large = [os.urandom(1 << 20) for _ in range(20)]
        for number in range(_KEYS):
            scope.put(f"dict-{number}", values[number])
            scope.put(f"bytes-{number}", blobs[number])

        def pair(
            what: str, goal: float | None, name: Callable[[int], str], some: list[Any] | None, calls: int = count
        ) -> list[Result]:
            if some is None:
                timed = _against(lambda n: aio.get(name(n)), lambda n: scope.get(name(n)), calls)
            else:
                items = some
                timed = _against(
                    lambda n: aio.put(name(n), items[n % len(items)]),
                    lambda n: scope.put(name(n), items[n % len(items)]),
                    calls,
                )
            return ratios(what, goal, timed, "sync")

        results = pair("aio get of a 1 KB dict", 3, lambda n: f"dict-{n % _KEYS}", None)
        results += pair("aio get of 1 KB bytes", 3, lambda n: f"bytes-{n % _KEYS}", None)
        results += pair("aio put of a 1 KB dict", None, lambda n: f"dict-{n % _KEYS}", values)
        results += pair("aio put of 1 KB bytes", None, lambda n: f"bytes-{n % _KEYS}", blobs)
        results += pair("aio put of 1 MB", None, lambda n: f"large-{n % 20}", large, count // 10)
        results += pair("aio get of 1 MB", None, lambda n: f"large-{n % 20}", None, count // 10)
        idle = sorted(gap for gap, _ in asyncio.run(_idle(rounds)))
        detail = f"the longest {idle[-1] * 1e3:.1f}; no store in it"
        results.append(
            Result("2,000 coroutines of nothing", idle[rounds // 2] * 1e3, "ms, median gap", None, True, detail)
        )
        results.append(_gap("1,000 gets and 1,000 puts at once", *asyncio.run(_gaps(aio, [], rounds))))
        results.append(_gap("and 20 puts and gets of 1 MB", *asyncio.run(_gaps(aio, large, rounds))))
        with subprocess.Popen(
            [sys.executable, "-c", _HOLDER, str(folder / "holdfast")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as holder:  # fmt: skip
            assert holder.stdin is not None
            assert holder.stdout is not None
            holder.stdout.readline()
            held = asyncio.run(_gaps(aio, large, rounds, holder))
            holder.stdin.close()
        results.append(_gap("the same, the write lock held for 200 ms", *held))
    return results
