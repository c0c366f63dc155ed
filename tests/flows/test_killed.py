"""Kills at random moments: no variable is torn, no instance lost, and what is gone on with sets nothing twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kills", [15, pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_kills_at_random_moments(tmp_path: Path, kills: int) -> None:
    command = [sys.executable, "-m", "tests.flows.kills", str(tmp_path / "store"), str(kills), str(kills)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=880)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["instances"] >= kills / 3
    assert found["resumed"] >= kills / 4  # else it was never killed in the middle
