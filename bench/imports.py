"""How long ``import holdfast`` takes in a new process, above an empty one."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from .measure import Result

__all__ = ["run"]


def run(folder: Path, quick: bool) -> list[Result]:
    """Median over processes."""

    # With compiled modules kept, as they are wherever a package is installed.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def seconds(code: str) -> float:
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, cwd=folder, env=environment)
        return time.perf_counter() - begin

    seconds("import holdfast")
    ours, empty = [], []
    for _ in range(5 if quick else 20):
        empty.append(seconds("pass"))
        ours.append(seconds("import holdfast"))
    took = (statistics.median(ours) - statistics.median(empty)) * 1e3
    detail = f"process with it {statistics.median(ours) * 1e3:.0f} ms, without {statistics.median(empty) * 1e3:.0f} ms"
    return [Result("import holdfast", took, "ms", 60, True, detail)]
