"""Memory that does not grow with what is moved: a file of 5 GB, and many records."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

import holdfast

CODE = """
import resource, sys, holdfast
from holdfast.exchange import copying, export, folder  # what is imported counts for nothing
one, two = holdfast.open(sys.argv[1] + "/one"), holdfast.open(sys.argv[1] + "/" + sys.argv[2])
one.namespace("warm").put("k", 1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if sys.argv[2] == "export": one.export_to(sys.argv[1] + "/out")
if sys.argv[2] == "import": two.import_from(sys.argv[1] + "/out")
if sys.argv[2] == "sync": one.sync_to(two)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def grown(folder: Path, verb: str) -> float:
    """Megabytes that a process takes more for that."""
    done = subprocess.run([sys.executable, "-c", CODE, str(folder), verb], capture_output=True, text=True)
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


def test_many_records_take_no_more_memory(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "one") as one:
        one.namespace("a").put_many({f"key {i}": "x" * 100 for i in range(5_000)})
    check(tmp_path)


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
