"""Where the tour's steps run: their lines are shown, run and checked."""

from __future__ import annotations

import ast
import contextlib
import io
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import HoldfastError
from .steps import Step, imports

__all__ = ["Shown", "Stage"]


class Shown(NamedTuple):
    """A step that was run.

    Attributes:
        name: of the step.
        ok: nothing was raised, and all its checks held.
        seconds: how long it took.
        output: its lines and what they gave.
        failures: what did not hold.
    """

    name: str
    ok: bool
    seconds: float
    output: str
    failures: list[str]


class Stage:
    """Runs steps one after the other, as an interactive interpreter would."""

    def __init__(self, folder: str, scratch: str, table: Path) -> None:
        self._environment = {**os.environ, "HOLDFAST_STORE": folder}
        self._names: dict[str, Any] = {
            "FOLDER": folder,
            "OUTPUT": os.path.join(scratch, "big.csv"),
            "TABLE": table,
            "python": self._python,
            "command": self._command,
        }
        exec(imports(), self._names)

    def run(self, step: Step) -> Shown:
        """Show and run a step's lines, then its checks."""
        began = time.monotonic()
        output, failures = io.StringIO(), []
        try:
            self._lines(step.code.strip("\n"), output)
            failures = [f"this does not hold: {check}" for check in step.checks if not eval(check, self._names)]
        except Exception:  # whatever it is, it is this step's failure, told with its place
            failures = [traceback.format_exc()]
        return Shown(step.name, not failures, time.monotonic() - began, output.getvalue(), failures)

    def _lines(self, code: str, output: io.StringIO) -> None:
        for statement in ast.parse(code).body:
            lines = ast.get_source_segment(code, statement) or ""
            output.write(">>> " + lines.replace("\n", "\n... ") + "\n")
            with contextlib.redirect_stdout(output):
                if isinstance(statement, ast.Expr):  # its value is shown, as a prompt does
                    exec(compile(ast.Interactive([statement]), "<tour>", "single"), self._names)
                else:
                    exec(compile(ast.Module([statement], []), "<tour>", "exec"), self._names)

    def _python(self, source: str, processes: int = 1) -> str:
        command = [sys.executable, "-P", "-c", source]
        started = [self._process(command) for _ in range(processes)]
        return "".join(self._answer(process) for process in started).strip()

    def _command(self, *words: str) -> str:
        return self._answer(self._process([sys.executable, "-P", "-m", "holdfast", *words])).rstrip()

    def _process(self, command: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self._environment,
        )  # fmt: skip

    def _answer(self, process: subprocess.Popen[str]) -> str:
        answer, complaint = process.communicate(timeout=60)
        if process.returncode:
            raise HoldfastError(f"the process ended with {process.returncode}: {complaint.strip()}")
        return answer
