"""A full disk: puts say so, and all that makes room goes on. On a real file system of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone

PROGRAM = Path(__file__).with_name("full_disk.py")
MOUNT = 'mount -t tmpfs -o size="$5" tmpfs "$1" && exec "$2" "$3" "$4" "$1"'


@pytest.mark.parametrize("what, size", [("own", "120m"), ("other", "24m"), ("opening", "24m")])
def test_on_a_full_disk(what: str, size: str, tmp_path: Path) -> None:
    # In name spaces of its own it may mount, whoever it is, and the mount goes when it ends.
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", MOUNT, "sh", str(tmp_path), sys.executable, str(PROGRAM), what, size],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
