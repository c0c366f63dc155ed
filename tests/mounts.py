"""Programs that mount a small disk, each in a mount namespace of its own, so that nothing else sees it."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

__all__ = ["linux_only", "run_apart"]

ROOT = Path(__file__).parents[1]

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs in a namespace, which only Linux has")


@functools.cache
def namespace() -> tuple[str, ...]:
    """A command that runs another one where it may mount: as root, or as an ordinary user in a user namespace."""
    for command in (("unshare", "-m"), ("unshare", "-rm"), ("sudo", "-n", "unshare", "-m")):
        if shutil.which(command[0]) is None:
            continue
        trial = subprocess.run([*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
        if trial.returncode == 0:
            return command
    pytest.fail("these tests mount a small disk, and neither root, user namespaces nor sudo are allowed here")


def run_apart(*arguments: str, **environment: str) -> None:
    """Run Python with these arguments where it may mount; what it says when it fails is the test's failure."""
    done = subprocess.run(
        [*namespace(), sys.executable, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr
