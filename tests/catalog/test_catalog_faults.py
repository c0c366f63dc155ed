"""The suite finds each planted fault, by the test that is there for it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from . import wrong_bundles, wrong_catalogs
from .wrong_catalogs import Wrong

ROOT = Path(__file__).parents[2]
FAULTS: list[type[Wrong]] = [*wrong_catalogs.FAULTS, *wrong_bundles.FAULTS]


@pytest.fixture(scope="module")
def failed() -> set[tuple[str, str]]:
    """Class and test of those that failed, of the tests that the wrong catalogs name, in one run of pytest."""
    files = {kind: Path(__file__).with_name(f"{kind.__module__.rpartition('.')[2]}.py") for kind in FAULTS}
    tests = [f"{files[fault]}::{fault.__name__}::{fault.caught_by}" for fault in FAULTS]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "-rfE", "--tb=no", *tests],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, f"pytest ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    assert "ERROR" not in done.stdout, done.stdout
    return set(re.findall(r"^FAILED \S+::(\w+)::(\w+)", done.stdout, re.MULTILINE))


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.removeprefix("Test"))
def test_the_suite_finds(fault: type[Wrong], failed: set[tuple[str, str]]) -> None:
    assert (fault.__name__, fault.caught_by) in failed


def test_there_are_enough() -> None:
    assert len(FAULTS) >= 20
    assert len({fault.kind for fault in FAULTS}) == len(FAULTS)
