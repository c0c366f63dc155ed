"""What the tour shows: each step is real Python, shown as it is run, and what must be true afterwards."""

from __future__ import annotations

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


# A block is a step: its name and what it is about, its lines, and after #= the checks.
_SCRIPT = '''
# scopes: A store is a folder; nothing has to be started. Scopes are its tree, and come into being when written to.
store = holdfast.open(FOLDER)
flow = store.namespace("tour").workflow("co2")
str(flow)
#= str(flow) == "namespace:tour/workflow:co2"
#= list(flow) == []

# values: Values are kept as they are: here the carbon dioxide in the air (NOAA, ppm) by year, and a line through it.
rows = list(csv.DictReader(TABLE.read_text().splitlines()))
annual = {int(row["year"]): float(row["ppm"]) for row in rows}
slope, intercept = statistics.linear_regression(list(annual), list(annual.values()))
record = flow.put("annual", annual, tags={"unit": "ppm", "source": "NOAA"})
trend = flow.put("trend", {"slope": round(slope, 3), "until": max(annual)})
flow.get("annual")[1990], flow.get("trend")
#= flow.get("annual") == annual and len(annual) == 49
#= flow.get("annual")[1990] == 354.45
#= 1.5 < flow["trend"]["slope"] < 2.5
#= dict(flow.record("annual").tags) == {"unit": "ppm", "source": "NOAA"}

# processes: Another process reads it by name. (python() starts one, which finds the store by HOLDFAST_STORE.)
answer = python("""
import holdfast, os
flow = holdfast.open().namespace("tour").workflow("co2")
print(os.getpid(), len(flow.get("annual")), flow.get("trend")["slope"])
""")
answer
#= int(answer.split()[0]) != os.getpid()
#= answer.split()[1:] == ["49", str(flow.get("trend")["slope"])]

# versions: Every write has a version. Who says which one it read is told when somebody else was faster.
seen = flow.entry("trend")
better = flow.put("trend", {**seen.value, "per": "year"})
try:
    flow.put("trend", {"slope": 0.0}, if_version=seen.version)
except holdfast.ConflictError as error:
    conflict = error
conflict
#= better.version > seen.version
#= isinstance(conflict, holdfast.ConflictError)
#= flow.get("trend") == {**seen.value, "per": "year"}

# counters: update() and add() are atomic: two processes count at the same time, and no count is lost.
answers = python("""
import holdfast
flow = holdfast.open().namespace("tour").workflow("co2")
for _ in range(300):
    flow.add("steps")
    flow.update("runs", lambda runs: {"done": runs["done"] + 1}, default={"done": 0})
""", processes=2)
flow.get("steps"), flow.get("runs")
#= flow.get("steps") == 600
#= flow.get("runs") == {"done": 600}
#= flow.record("steps").version >= 600

# transactions: Several writes are one commit: all of them, or, if the block raises, none.
with store.transaction() as tx:
    there = tx.namespace("tour").workflow("co2")
    there.put("lowest", min(annual.values()))
    there.put("highest", max(annual.values()))
try:
    with flow.transaction() as inside:
        inside.put("lowest", 0.0)
        raise ValueError("on second thoughts")
except ValueError:
    pass
flow.get("lowest"), flow.get("highest")
#= (flow.get("lowest"), flow.get("highest")) == (331.13, 421.08)
#= flow.record("lowest").version == flow.record("highest").version

# files: Files are streamed in and out, of any size in little memory, and checked against their digest.
table = flow.put_file(TABLE)
with flow.open("big.csv", "wb") as file:
    for _ in range(8000):
        file.write(TABLE.read_bytes())
path = flow.get_file("big.csv", OUTPUT)
big = flow.record("big.csv")
big.size, big.digest
#= flow.get_bytes(table.key) == TABLE.read_bytes()
#= os.path.getsize(path) == big.size == 8000 * len(TABLE.read_bytes())
#= big.digest == "blake3:" + blake3.blake3(Path(path).read_bytes()).hexdigest()

# arrays: Large arrays are not copied: they are read as a private map of the file, writable, with the store unchanged.
array = numpy.tile(numpy.array(list(annual.values())), 20_000)
flow.put("array", array)
view = flow.get("array")
view[0] = 0
view.nbytes, bool((flow.get("array") == array).all())
#= bool((flow.get("array") == array).all())
#= view[0] == 0

# artifacts: An artifact is a set of files with metadata, made or changed in one go; here it ends after 30 days.
with flow.artifact("run-1").transaction() as artifact:
    artifact.write("summary.txt", f"{slope:.2f} ppm a year", tags={"stage": "final"}, expires=timedelta(days=30))
    artifact.add_file(TABLE, "inputs/co2.csv")
    artifact.metadata["years"] = [min(annual), max(annual)]
run = flow.artifact("run-1")
list(run), dict(run.metadata), [record.expires for record in run.scope.list(tags={"stage": "final"})]
#= list(run) == ["inputs/co2.csv", "summary.txt"]
#= run.read_text("summary.txt") == f"{slope:.2f} ppm a year"
#= run.metadata["years"] == [1975, 2023]
#= timedelta(days=29) < run.scope.record("summary.txt").expires - datetime.now(timezone.utc)

# listing: All of it is found again, on the command line too.
answer = command("ls", str(flow))
print(answer)
#= all(name in answer for name in ("artifact:run-1", "annual", "big.csv", "unit=ppm"))
#= command("ls", str(flow), "--keys").split() == list(flow)

# care: Deleted bytes leave the disk when they are collected; verify hashes what is there.
flow.delete("big.csv")
collected = store.gc(wait=10)
collected
store.verify()
#= collected.blobs >= 1 and collected.size >= big.size
#= store.verify().fine
#= "big.csv" not in flow
'''


def _step(block: str) -> Step:
    title, *lines = block.splitlines()
    name, _, says = title.removeprefix("# ").partition(": ")
    code = "\n".join(line for line in lines if not line.startswith("#= "))
    return Step(name, says, code, tuple(line[3:] for line in lines if line.startswith("#= ")))


def steps() -> list[Step]:
    """The steps that can be shown here: the one with an array needs NumPy."""
    found = map(_step, _SCRIPT.strip().split("\n\n"))
    return [step for step in found if step.name != "arrays" or find_spec("numpy") is not None]
