"""A store on a small disk that fills up, mounted for the test alone."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .tools import ROOT

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


@pytest.mark.parametrize("size", ["12", pytest.param("24", marks=pytest.mark.long)])
def test_a_disk_that_is_full(tmp_path: Path, size: str) -> None:
    done = subprocess.run(
        [*namespace(), sys.executable, "-m", "tests.kernel.small_disk", str(tmp_path), size],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_disk_that_may_not_be_written(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, holdfast\n"
        "folder = sys.argv[1]\n"
        "with holdfast.open(folder + '/data') as store: store.namespace('a').put('k', bytes(100_000))\n"
        "subprocess.run(['mount', '--bind', folder, folder], check=True)\n"
        "subprocess.run(['mount', '-o', 'remount,ro,bind', folder], check=True)\n"
        "for place in ('/data', '/new'):\n"
        "    try:\n"
        "        holdfast.open(folder + place)\n"
        "    except holdfast.ReadOnlyError:\n"
        "        continue\n"
        "    raise AssertionError(place)\n"
    )
    done = subprocess.run(
        [*namespace(), sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
