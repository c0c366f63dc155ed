"""What the tour shows: each step is real Python, shown as it is run, and what must be true afterwards."""

from __future__ import annotations

from importlib import resources
from importlib.util import find_spec
from typing import NamedTuple

__all__ = ["Step", "imports", "steps"]


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


def _script() -> list[Step]:
    text = resources.files("holdfast").joinpath("data", "tour.txt").read_text(encoding="utf-8")
    return [_step(block) for block in text.strip().split("\n\n")]


def imports() -> str:
    """What the steps need, beside FOLDER, OUTPUT, TABLE, python() and command() of the stage."""
    return _script()[0].code


def steps() -> list[Step]:
    """The steps that can be shown here: the one with an array needs NumPy."""
    return [step for step in _script()[1:] if step.name != "arrays" or find_spec("numpy") is not None]
