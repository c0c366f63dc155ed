"""Killed at any moment, an export, an import and a sync leave nothing that could be taken for whole, and go on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest

import holdfast
from holdfast.exchange.layout import HEAD, read_head

from .stores import Odd, Sample, compare

WORK = {
    "export": "holdfast.open(one).export_to(out)",
    "import": "holdfast.open(two).import_from(out, key_file=key)",
    "sync": "holdfast.open(one).sync_to(holdfast.open(two))",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    with holdfast.open(folder / "one") as store:
        for name in "abc":
            scope = store.namespace(name)
            scope.put_many({f"value {i}": [i] * 100 for i in range(1500)})
            scope.put("object", Odd("x"))
            scope.put_many(
                {f"sample {i}": Sample(name=name, array=np.arange(5_000) * i, odd=Odd(name)) for i in range(20)}
            )
            for i in range(60):
                scope.put_chunks(f"file {i}", [os.urandom(100_000)])
        store.export_to(folder / "out", key_file=folder / "key")
    return folder


def run(kind: str, source: Path, folder: Path, kill: float | None) -> int:
    """Do it in a process of its own, which is killed after so many seconds; gives the exit code."""
    out = folder / "out" if kind == "export" else source / "out"
    places = {"one": source / "one", "two": folder / "two", "out": out, "key": source / "key"}
    code = "import holdfast, sys\n" + "\n".join(f"{name} = {str(path)!r}" for name, path in places.items())
    code += f"\nprint('begin', flush=True)\n{WORK[kind]}\n"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    if kill is not None:
        time.sleep(kill)
        process.send_signal(signal.SIGKILL)
    _, errors = process.communicate(timeout=100)
    assert process.returncode in (0, -signal.SIGKILL), errors.decode()
    return process.returncode


def whole(folder: Path) -> bool:
    try:
        return read_head((folder / HEAD).read_bytes(), HEAD).complete
    except FileNotFoundError:
        return False


def check_export(source: Path, folder: Path, ended: bool) -> None:
    assert whole(folder / "out") or not ended
    if whole(folder / "out"):
        with holdfast.open(folder / "two") as two, holdfast.open(source / "one") as one:
            two.import_from(folder / "out", key_file=source / "key")
            compare(one, two)
    else:
        with holdfast.open(folder / "other") as other, pytest.raises((holdfast.DecodeError, holdfast.NotFoundError)):
            other.import_from(folder / "out")


def check_store(source: Path, folder: Path, ended: bool) -> None:
    with holdfast.open(folder / "two") as two, holdfast.open(source / "one") as one:
        assert two.verify().fine  # each record that is there is whole
        for scope in two.children():
            theirs = one.scope(str(scope))
            for record in scope.list():
                twin = theirs.record(record.key)
                assert (record.version, record.digest, record.updated) == (twin.version, twin.digest, twin.updated)
        if ended:
            compare(one, two)
            assert two.namespace("c").get("object") == Odd("x")
            two.gc()
            blobs = [path for path in (folder / "two/files").rglob("*") if path.is_file() and path.stat().st_size > 9]
            assert len(blobs) == 200  # equal ones once


CHECKS: dict[str, Callable[[Path, Path, bool], None]] = {
    "export": check_export, "import": check_store, "sync": check_store,
}  # fmt: skip


@pytest.mark.parametrize(
    "kind", ["export", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("import", "sync"))]
)
def test_killed_and_run_again(source: Path, tmp_path: Path, kind: str) -> None:
    random = Random(kind)
    began = time.monotonic()
    run(kind, source, tmp_path / "whole", None)
    takes = time.monotonic() - began
    kills = 1 if kind == "export" else 4
    while kills:
        code = run(kind, source, tmp_path, random.uniform(0.05, 0.8) * takes)
        CHECKS[kind](source, tmp_path, False)
        if code == 0 or (kind == "export" and whole(tmp_path / "out")):  # it was too late: from the beginning, sooner
            takes *= 0.8
            for name in ("out", "two"):
                shutil.rmtree(tmp_path / name, ignore_errors=True)
        else:
            kills -= 1
    assert run(kind, source, tmp_path, None) == 0
    CHECKS[kind](source, tmp_path, True)
