"""The file storage on disks that are full or may not be written, mounted for the test alone."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs in a namespace, which only Linux has")


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


@pytest.mark.parametrize("scene", ["full", "no_names", "read_only", "places"])
def test_scene(scene: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [*namespace(), sys.executable, "-m", "tests.storages.small_disk", scene, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
