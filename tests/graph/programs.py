"""Programs that tests run beside themselves, and kill: ``python -m tests.graph.programs STORE LOG STEPS EXECUTOR
WIDTH``."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import Any

import holdfast
from holdfast import executors

from .samples import noted

__all__ = ["SCOPE", "graph", "main"]

SCOPE = "namespace:prod/workflow:pipeline"


@holdfast.task(ignore=["log"])
def source(number: int, width: int, log: str) -> Any:
    import numpy

    noted(Path(log), f"source {number}")
    time.sleep(random.uniform(0, 0.03))
    return numpy.full(width, float(number))


@holdfast.task(ignore=["log"])
def join(number: int, left: Any, right: Any, log: str) -> Any:
    noted(Path(log), f"join {number}")
    time.sleep(random.uniform(0, 0.03))
    return left + right


@holdfast.task(ignore=["log"])
def summed(number: int, array: Any, log: str) -> float:
    noted(Path(log), f"summed {number}")
    return float(array.sum())


def graph(steps: int, width: int, log: str) -> list[Any]:
    """Columns of arrays, each joined with its neighbour, and their sums; each node named as it is noted in the log."""
    sources = [source(number, width, log).set(name=f"source {number}") for number in range(steps)]
    joined = [
        join(number, sources[number], sources[(number + 1) % steps], log).set(name=f"join {number}")
        for number in range(steps)
    ]
    return [summed(number, array, log).set(name=f"summed {number}") for number, array in enumerate(joined)]


def main() -> None:
    """Run that graph to its end, and print the results."""
    store, log, steps, executor, width = sys.argv[1:]
    with holdfast.open(store) as opened:
        nodes = graph(int(steps), int(width), log)
        with executors.open(executor, workers=2) as working:
            print(*opened.scope(SCOPE).run(*nodes, executor=working))


if __name__ == "__main__":
    main()
