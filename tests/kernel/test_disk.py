"""A store on a small disk that fills up, mounted for the test alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..mounts import linux_only, run_apart

pytestmark = linux_only


@pytest.mark.parametrize("size", ["12", pytest.param("24", marks=pytest.mark.long)])
def test_a_disk_that_is_full(tmp_path: Path, size: str) -> None:
    run_apart("-m", "tests.kernel.small_disk", str(tmp_path), size)


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
    run_apart("-c", code, str(tmp_path))
