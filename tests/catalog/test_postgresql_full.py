"""A full disk under the database: puts say so, nothing is half done, and deleting goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("postgresql_full.py")
MOUNT = 'mount -t tmpfs -o size=40m tmpfs "$1" && exec "$2" "$3" "$1"'


@pytest.mark.long
def test_on_a_full_disk() -> None:
    # In a name space of its own it may mount, and the mount goes when it ends. The server must not be root's, so others
    # than root keep their number there.
    own = [] if os.geteuid() == 0 else ["--map-current-user", "--keep-caps"]
    with tempfile.TemporaryDirectory(prefix="holdfast-disk-") as disk:
        done = subprocess.run(
            ["unshare", "--mount", *own, "sh", "-c", MOUNT, "sh", disk, sys.executable, str(PROGRAM)],
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
