"""What the tour shows: each step is real Python, shown as it is run, and what must be true afterwards."""

from __future__ import annotations

from importlib import resources
from importlib.util import find_spec
from typing import NamedTuple

__all__ = ["IMPORTS", "Step", "steps"]

IMPORTS = """
import csv, os, statistics
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
import blake3, holdfast
with suppress(ImportError):
    import numpy
"""
"""What the steps below need, beside FOLDER, OUTPUT, TABLE, python() and command() of the stage."""


class Step(NamedTuple):
    """One step of the tour.

    Attributes:
        name: a word or two for the summary.
        says: what it is about.
        code: the lines that are shown and run.
        checks: expressions that must be true afterwards.
    """

    name: str
    says: str
    code: str
    checks: tuple[str, ...]


def _step(block: str) -> Step:
    """A block of the script: its name and what it is about, its lines, and after #= the checks."""
    title, *lines = block.splitlines()
    name, _, says = title.removeprefix("# ").partition(": ")
    code = "\n".join(line for line in lines if not line.startswith("#= "))
    return Step(name, says, code, tuple(line[3:] for line in lines if line.startswith("#= ")))


def steps() -> list[Step]:
    """The steps that can be shown here: the one with an array needs NumPy."""
    script = resources.files("holdfast").joinpath("data", "tour.txt").read_text(encoding="utf-8")
    found = map(_step, script.strip().split("\n\n"))
    return [step for step in found if step.name != "arrays" or find_spec("numpy") is not None]
