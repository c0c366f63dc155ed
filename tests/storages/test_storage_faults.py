"""The suite finds each planted fault, by the test that is there for it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .wrong_storages import FAULTS

ROOT = Path(__file__).parents[2]


pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def failures() -> dict[str, str]:
    """The first test that fails on each wrong storage, by the name of its class."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", "-p", "tests.storages.first_failure",
         "-rfE", "--tb=no", str(Path(__file__).with_name("wrong_storages.py"))],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, f"pytest ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return dict(re.findall(r"^(?:FAILED|ERROR) \S+::(\w+)::(\w+)", done.stdout, re.MULTILINE))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.removeprefix("Test"))
def test_the_suite_finds(fault: type, failures: dict[str, str]) -> None:
    assert failures.get(fault.__name__) == fault.caught_by  # type: ignore[attr-defined]


def test_there_are_enough() -> None:
    assert len(FAULTS) >= 20
