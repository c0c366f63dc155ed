"""Classes whose objects the tests put."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from holdfast import StorableDataclass

from .conftest import ARCHIVE

__all__ = ["ROWS", "Leaf", "Odd", "Plot", "Run", "alike", "run"]

ROWS = 20_000


@dataclass
class Leaf(StorableDataclass, class_id="a0000001"):
    """One of many in a run."""

    name: str
    array: Any = None


@dataclass(frozen=True, slots=True)
class Plot(StorableDataclass, class_id="a0000002"):
    """A class with slots that cannot be changed."""

    title: str
    points: np.ndarray | None = None


class Odd:
    """What no serializer but that of pickles takes."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Odd) and self.number == other.number

    __hash__ = None  # type: ignore[assignment]


@dataclass
class Run(StorableDataclass, class_id="a0000003"):
    """A run of a simulation, with all that comes of it."""

    speed: float
    begun: date = date(2024, 2, 29)
    frame: Any = None
    table: Any = field(default=None, metadata={"storage": ARCHIVE})
    notes: dict[Any, Any] = field(default_factory=dict)
    leaves: list[Leaf] = field(default_factory=list)
    by_name: dict[str, Leaf] = field(default_factory=dict)
    plot: Plot | None = None
    odd: Odd | None = None
    lines: Any = field(default=None, metadata={"stream_serializer": "holdfast.json-lines@v1"})
    calls: int = field(default=0, init=False)


def run(**more: Any) -> Run:
    """A run that has all kinds of fields."""
    return Run(**{
        "speed": 2.5,
        "begun": date(2025, 1, 31),
        "frame": pd.DataFrame({"x": np.arange(ROWS), "y": np.arange(ROWS) / 3}),
        "table": pd.DataFrame({"few": [1, 2, 3]}),
        "notes": {"holdfast": ("a", {1, 2}), 5: b"five", "small": np.arange(3)},
        "leaves": [Leaf(name="first", array=np.arange(ROWS)), Leaf(name="second")],
        "by_name": {"only": Leaf(name="third", array=np.ones((9, 3)))},
        "plot": Plot(title="speed", points=np.zeros((ROWS, 2))),
        "odd": Odd(7),
        "lines": iter([{"n": n} for n in range(5)]),
        **more,
    })  # fmt: skip


def alike(one: Run, other: Run) -> bool:
    """Whether two runs are equal, streams aside."""
    frames = [(one.frame, other.frame), (one.table, other.table)]
    same = all((a is None and b is None) or a.equals(b) for a, b in frames)
    plain = [(run.speed, run.begun, run.odd, run.calls, run.notes.keys()) for run in (one, other)]
    leaves = [[*run.leaves, *run.by_name.values(), *([run.plot] if run.plot else [])] for run in (one, other)]
    arrays = [[getattr(leaf, "array", getattr(leaf, "points", None)) for leaf in some] for some in leaves]
    return (
        same
        and plain[0] == plain[1]
        and [getattr(leaf, "name", "") for leaf in leaves[0]] == [getattr(leaf, "name", "") for leaf in leaves[1]]
        and all(np.array_equal(a, b) and type(a) is type(b) for a, b in zip(*arrays, strict=True))
    )
