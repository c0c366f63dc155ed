"""Files of any size pass through the command line within little memory."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import holdfast

from .running import environment

LIMIT = 64 << 20

# The peak of a process that a fork made may be its parent's: this is the high-water mark of the new program alone.
MEASURED = """
import json, sys

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))

from holdfast.cli import main

before = peak()
try:
    main()
finally:
    with open(sys.argv.pop(), "w") as file:
        json.dump([before, peak()], file)
"""


def extra(tmp_path: Path, *words: str | Path, stdin: Path | None = None, stdout: Path | None = None) -> int:
    """Bytes above its start that a command needed at its peak."""
    report = tmp_path / "report"
    source = MEASURED.replace("sys.argv.pop()", repr(str(report)))
    with open(stdin or os.devnull, "rb") as taken, open(stdout or os.devnull, "wb") as given:
        subprocess.run(
            [sys.executable, "-c", source, *words],
            stdin=taken,
            stdout=given,
            env=environment(),
            timeout=600,
            check=True,
        )
    before, after = json.loads(report.read_text())
    return int(after - before)


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def in_and_out(tmp_path: Path, size: int) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    block = os.urandom(1 << 20)
    with open(source, "wb") as file:
        for number in range(size >> 20):
            file.write(number.to_bytes(8, "big"))
            file.write(block[8:])
    at = ["--store", str(tmp_path / "store")]
    peaks = {"put": extra(tmp_path, "put", "namespace:a/file", source, *at)}
    peaks["get"] = extra(tmp_path, "get", "namespace:a/file", target, *at)
    assert digest(target) == digest(source)
    target.unlink()
    peaks["cat"] = extra(tmp_path, "cat", "namespace:a/file", *at, stdout=target)
    assert digest(target) == digest(source)
    target.unlink()
    peaks["put of stdin"] = extra(tmp_path, "put", "namespace:a/file", *at, stdin=source)
    peaks["verify"] = extra(tmp_path, "verify", *at)
    with holdfast.open(tmp_path / "store") as store:
        assert store.namespace("a").record("file").size == size
        assert store.namespace("a").record("file").version == 2
    assert {name: peak >> 20 for name, peak in peaks.items() if peak > LIMIT} == {}


def test_200_megabytes(tmp_path: Path) -> None:
    in_and_out(tmp_path, 200 << 20)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_5_gigabytes(tmp_path: Path) -> None:
    in_and_out(tmp_path, 5 << 30)
