"""How things are measured: interleaved with their control, by median and mean, as ratios."""

from __future__ import annotations

import gc
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

__all__ = ["Result", "Timing", "against", "peak_growth", "ratios", "time_calls"]


class Timing(NamedTuple):
    """Microseconds a call."""

    median: float
    mean: float
    longest: float


class Result(NamedTuple):
    """One line of the table.

    Attributes:
        what: what was measured.
        value: the figure that the goal speaks of.
        unit: of the figure: ``x`` for a ratio to the control, else a unit.
        goal: the limit; None where it is only told.
        most: whether the limit is a most (else a least).
        detail: the figures behind it, with the control's.
    """

    what: str
    value: float
    unit: str
    goal: float | None
    most: bool
    detail: str

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        if self.goal is None:
            return True
        return self.value <= self.goal if self.most else self.value >= self.goal


def time_calls(call: Callable[[int], object], count: int, first: int = 0) -> Timing:
    """Time each of ``count`` calls, which are given their number."""
    clock = time.perf_counter_ns
    times = []
    gc.disable()
    try:
        for number in range(first, first + count):
            begin = clock()
            call(number)
            times.append(clock() - begin)
    finally:
        gc.enable()
    return Timing(statistics.median(times) / 1e3, statistics.fmean(times) / 1e3, max(times) / 1e3)


def against(
    ours: Callable[[int], object], control: Callable[[int], object], *, count: int, rounds: int = 5
) -> tuple[Timing, Timing]:
    """Rounds of ours and of the control in turn; of each the round with the lowest median, so that a neighbour's
    noise in one round is not taken for our speed or the control's."""
    mine, theirs = [], []
    for turn in range(rounds):
        mine.append(time_calls(ours, count, turn * count))
        theirs.append(time_calls(control, count, turn * count))
    return min(mine), min(theirs)


def ratios(what: str, goal: float | None, pair: tuple[Timing, Timing], control: str) -> list[Result]:
    """Two lines, by the medians and by the means of what :func:`against` gave."""
    results = []
    for index, kind in enumerate(("median", "mean")):
        ours, theirs = pair[0][index], pair[1][index]
        detail = f"{ours:.1f} µs, {control} {theirs:.1f} µs"
        results.append(Result(f"{what} ({kind})", ours / theirs, f"x {control}", goal, True, detail))
    return results


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def peak_growth(call: Callable[[], object]) -> tuple[object, int]:
    """What a call gives, and by how many bytes this process' resident memory peaked above its start meanwhile."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status("VmRSS")
    result = call()
    return result, _status("VmHWM") - before
