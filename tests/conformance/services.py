"""Services that the kit and the JavaScript client are held against: processes of the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import holdfast
from holdfast.tokens import Tokens

ROOT = Path(__file__).parents[2]
KIT = ROOT / "conformance"
JAVASCRIPT = ROOT / "clients" / "javascript"


class Served(NamedTuple):
    """Where a service is, and the tokens that it takes: of everything, and to read one namespace."""

    url: str
    main: str | None = None
    narrow: str | None = None

    def options(self) -> list[str]:
        """As the runners take them."""
        if self.main is None or self.narrow is None:
            return [self.url]
        return [self.url, "--token", self.main, "--narrow", self.narrow]


@contextmanager
def served(folder: Path, *options: str, tokens: bool) -> Iterator[Served]:
    """``holdfast serve`` with these options, on a port that is free; it ends well, or this raises."""
    main = narrow = None
    if tokens:
        with holdfast.open(folder) as store:
            made = Tokens(store)
            main, _ = made.create(scopes=["/"], allow=["read", "write", "admin"])
            narrow, _ = made.create(scopes=["namespace:conformance-narrow"], allow=["read"])
    command = [sys.executable, "-m", "holdfast", "serve", "--store", str(folder), "--port", "0", "--quiet", "--json"]
    command += options
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Served(json.loads(process.stdout.readline())["url"], main, narrow)
        finally:
            process.terminate()
            told = process.communicate(timeout=40)[1]
    assert process.returncode == 0, told
    for line in ('"level": "error"', '"level":"error"'):
        assert line not in told, told


def run(command: list[str | Path], **environment: str) -> subprocess.CompletedProcess[str]:
    """A command, with what it says."""
    import os

    return subprocess.run(
        command, capture_output=True, text=True, timeout=100, env={**os.environ, **environment}, check=False
    )
