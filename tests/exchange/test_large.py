"""Memory that does not grow with what is moved: a file of 5 GB, and many records."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import holdfast

from .hostile import Edited

CODE = """
import sys, holdfast
sys.path.insert(0, sys.argv[3])
from bench.measure import peak_growth
from holdfast.exchange import copying, export, folder  # what is imported counts for nothing
one, two = holdfast.open(sys.argv[1] + "/one"), holdfast.open(sys.argv[1] + "/" + sys.argv[2])
one.namespace("warm").put("k", 1)
work = {
    "export": lambda: one.export_to(sys.argv[1] + "/out"),
    "import": lambda: two.import_from(sys.argv[1] + "/out"),
    "sync": lambda: one.sync_to(two),
}
print(peak_growth(work[sys.argv[2]])[1] / (1 << 20))
"""


def grown(folder: Path, verb: str) -> float:
    """Megabytes that a process takes more for that."""
    arguments = [str(folder), verb, str(Path(__file__).parents[2])]
    done = subprocess.run([sys.executable, "-c", CODE, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def check(folder: Path) -> None:
    with holdfast.open(folder / "one") as one:
        wanted = {(scope.path, record.key, record.digest) for scope in one.children() for record in scope.list()}
    for verb in ("export", "import", "sync"):
        assert grown(folder, verb) < 64
        if verb != "export":
            with holdfast.open(folder / verb) as other:
                found = {(s.path, record.key, record.digest) for s in other.children() for record in s.list()}
                assert found >= wanted


@pytest.mark.long
def test_many_records_take_no_more_memory(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "one") as one:
        one.namespace("a").put_many({f"key {i}": "x" * 100 for i in range(5_000)})
    check(tmp_path)


@pytest.mark.long
def test_what_is_told_of_records_counts_too(tmp_path: Path) -> None:
    """Tags, and bytes that stand in lines though they are too many for the catalog."""
    with holdfast.open(tmp_path / "one") as one:
        for i in range(40):
            one.namespace("a").put(f"{i:02}", f"text {i}")
        one.export_to(tmp_path / "out")
    more = {"tags": {"t": "x" * (3 << 20)}}
    Edited(tmp_path / "out").records(lambda lines: [json.dumps(json.loads(line) | more).encode() for line in lines])
    assert grown(tmp_path, "import") < 64


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_a_million_records(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "one") as one:
        for begin in range(0, 1_000_000, 10_000):
            one.namespace("a").put_many({f"key {i}": i for i in range(begin, begin + 10_000)})
    for verb in ("export", "import", "sync"):
        assert grown(tmp_path, verb) < 64


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_a_file_of_5_gb(tmp_path: Path) -> None:
    piece = bytes(range(256)) * (1 << 12)
    with holdfast.open(tmp_path / "one") as one:
        one.namespace("a").put_chunks("large", (piece for _ in range(5 << 10)))
    check(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 1 << 20
