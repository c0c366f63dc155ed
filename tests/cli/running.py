"""Running the command line: in this process for most tests, as a real process where that is the point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from typer.testing import CliRunner

from holdfast.cli import app

__all__ = ["COMMAND", "Ended", "environment", "process", "run"]

COMMAND = [sys.executable, "-m", "holdfast"]


class Ended(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str
    raw: bytes = b""

    @property
    def json(self) -> Any:
        """Its one JSON document."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Its JSON objects, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


def environment(**more: str) -> dict[str, str]:
    """This environment without settings of Holdfast's own, and with those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    return {**kept, "NO_COLOR": "1", **more}


def run(*words: str | Path, input: str | bytes | None = None, env: dict[str, str] | None = None) -> Ended:
    """Run a command in this process."""
    clean = {name: None for name in os.environ if name.startswith("HOLDFAST_")}
    result = CliRunner().invoke(app, [str(word) for word in words], input=input, env={**clean, **(env or {})})
    return Ended(result.exit_code, result.stdout, result.stderr, result.stdout_bytes)


def process(
    *words: str | Path, input: bytes = b"", folder: Path | None = None, env: dict[str, str] | None = None
) -> Ended:
    """Run a command as a process of its own."""
    ended = subprocess.run(
        [*COMMAND, *map(str, words)], input=input, capture_output=True, cwd=folder,
        env=environment(**(env or {})), timeout=100, check=False,
    )  # fmt: skip
    return Ended(ended.returncode, ended.stdout.decode("utf-8", "replace"), ended.stderr.decode(), ended.stdout)
