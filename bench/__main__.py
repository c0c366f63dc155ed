"""``python -m bench``: the table of goals, each against its control in the same run; exit status 1 for a miss."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from . import (
    aio,
    counter,
    flows,
    graph,
    growth,
    imports,
    large,
    memoize,
    memory,
    postgresql,
    s3,
    service,
    small,
    storables,
)
from .measure import Result

PARTS: dict[str, Callable[[Path, bool], list[Result]]] = {
    "import": imports.run,
    "small": small.run,
    "large": large.run,
    "counter": counter.run,
    "aio": aio.run,
    "memoize": memoize.run,
    "memory": memory.run,
    "graph": graph.run,
    "flows": flows.run,
    "storables": storables.run,
    "service": service.run,
    "s3": s3.run,
    "postgresql": postgresql.run,
    "growth": growth.run,
}


def _machine() -> str:
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":")[1].strip()
            break
    cores = Path("/proc/cpuinfo").read_text().count("processor\t")
    return f"{model}, {cores} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def _line(result: Result) -> str:
    mark = "      " if result.goal is None else "ok    " if result.met else "MISSED"
    sign = "≤" if result.most else "≥"
    goal = "" if result.goal is None else f"{sign} {result.goal:g}"
    return f"{mark} {result.what:48} {result.value:9.2f} {result.unit:18} {goal:8} {result.detail}"


def main() -> int:
    """Run the parts asked for and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all when none is named")
    parser.add_argument("--quick", action="store_true", help="small sizes: to see that it runs, not to quote")
    parser.add_argument("--huge", action="store_true", help="growth up to 10,000,000 records (an hour, 15 GB of disk)")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument("--folder", type=Path, help="where to measure (default: a temporary folder of the working one)")
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {min(unknown)!r}; there are {', '.join(PARTS)}")
    if options.huge:
        PARTS["growth"] = partial(growth.run, sizes=(1000, 10_000, 100_000, 1_000_000, 10_000_000))
    print(f"{time.strftime('%Y-%m-%d')}  {_machine()}\n", flush=True)
    results: list[Result] = []
    for name in options.parts or PARTS:
        folder = Path(tempfile.mkdtemp(prefix=f"bench-{name}-", dir=options.folder or Path.cwd()))
        try:
            found = PARTS[name](folder, options.quick)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        for result in found:
            print(_line(result), flush=True)
        results += found
    if options.json:
        options.json.write_text(json.dumps([result._asdict() | {"met": result.met} for result in results], indent=1))
    missed = sum(not result.met for result in results)
    met = sum(result.goal is not None for result in results) - missed
    print(f"\n{met} goals met, {missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
