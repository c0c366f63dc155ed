"""Graphs of 1,000 trivial tasks: what storing the results adds, and how long it takes to find all of them stored.

The control is the same graph with nothing looked up and nothing kept, by the same executor, in turn.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import holdfast
from holdfast import executors

from .measure import Result

__all__ = ["run"]


@holdfast.task
def trivial(number: int, *before: int) -> int:
    """A node that does nothing."""
    return number


def _bare(number: int) -> int:
    return number


def _wide(numbers: range) -> list[Any]:
    """Nodes that do not depend on each other."""
    return [trivial(number) for number in numbers]


def _deep(numbers: range) -> list[Any]:
    """A chain of nodes."""
    node: Any = trivial(numbers[0])
    for number in numbers[1:]:
        node = trivial(number, node)
    return [node]


def _seconds(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def _submitted(executor: executors.Executor, numbers: range) -> object:
    return executor.gather([executor.submit(_bare, number) for number in numbers])


def _run(scope: holdfast.Scope, shape: Any, numbers: range, executor: executors.Executor, reuse: str | None) -> object:
    return scope.run(*shape(numbers), executor=executor, reuse=reuse)


def _shape(scope: holdfast.Scope, name: str, shape: Any, size: int, rounds: int, first: int) -> list[Result]:
    bare, unkept, kept, again = [], [], [], []
    for which in ("threads", "processes"):
        with executors.open(which) as executor:
            _submitted(executor, range(10))
            for _ in range(rounds):
                numbers = range(first, first + size)
                first += size
                bare.append(_seconds(partial(_submitted, executor, numbers)))
                unkept.append(_seconds(partial(_run, scope, shape, numbers, executor, None)))
                kept.append(_seconds(partial(_run, scope, shape, numbers, executor, "inputs")))
                again.append(_seconds(partial(_run, scope, shape, numbers, executor, "inputs")))
    results = []
    for at, which in enumerate(("threads", "processes")):
        part = slice(at * rounds, (at + 1) * rounds)
        plain, there = min(unkept[part]), min(kept[part])
        added = (there - plain) / size * 1e6
        detail = f"{there * 1e3:.0f} ms; {plain * 1e3:.0f} ms unkept; executor alone {min(bare[part]) * 1e3:.0f} ms"
        goal = 100.0 if which == "threads" else None
        results.append(Result(f"{size:,} nodes, {name}, {which}: stored adds", added, "µs a node", goal, True, detail))
    found = min(again) * 1e3
    detail = f"median {statistics.median(again) * 1e3:.0f} ms"
    return [*results, Result(f"{size:,} nodes, {name}: all found stored", found, "ms", 50.0, True, detail)]


def run(folder: Path, quick: bool) -> list[Result]:
    """All figures of this part."""
    size, rounds = (100, 2) if quick else (1000, 5)
    with holdfast.open(folder / "store") as store:
        scope = store.namespace("bench")
        return [
            *_shape(scope, "side by side", _wide, size, rounds, 0),
            *_shape(scope, "in a chain", _deep, size, rounds, 1_000_000),
        ]
