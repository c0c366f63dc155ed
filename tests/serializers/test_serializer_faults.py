"""The suites find each planted fault, by the test that is there for it, and nothing in the right serializer."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from . import wrong_serializers, wrong_streams

ROOT = Path(__file__).parents[2]


pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def failures() -> dict[str, str]:
    """The first test that fails on each wrong serializer, by file and the name of its class."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
         "-p", "tests.storages.first_failure", "--tb=no", "-rfE", wrong_serializers.__file__, wrong_streams.__file__],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, f"pytest ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    first: dict[str, str] = {}
    for file, name, test in re.findall(r"^(?:FAILED|ERROR) \S+/(\w+)\.py::(\w+)::(\w+)", done.stdout, re.MULTILINE):
        first.setdefault(f"{file}.{name}", test)
    return first


FAULTS: list[Any] = [*wrong_serializers.FAULTS, *wrong_streams.FAULTS]


def _name(fault: type) -> str:
    return f"{fault.__module__.rpartition('.')[2]}.{fault.__name__}"


@pytest.mark.parametrize("fault", FAULTS, ids=_name)
def test_the_suite_finds(fault: Any, failures: dict[str, str]) -> None:
    assert failures.get(_name(fault)) == fault.caught_by


def test_the_right_ones_pass(failures: dict[str, str]) -> None:
    assert [name for name in failures if name.endswith(".TestRight")] == []


def test_there_are_enough() -> None:
    assert len(wrong_serializers.FAULTS) >= 10
    assert len(wrong_streams.FAULTS) >= 10
