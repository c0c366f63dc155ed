"""What the tests of this room do on several machines: in this process, in another client's, in tasks of workers."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

from holdfast.payload import Buffer, Payload
from holdfast.storages.dask import DaskMemory

SIZE = 300_000


def pattern(seed: int, size: int = SIZE) -> bytes:
    return hashlib.shake_128(b"%d" % seed).digest(size)


def put(memory: DaskMemory, *buffers: Buffer) -> str:
    return memory.write(Payload(buffers, "application/octet-stream"), lambda: (0, b""), {})


def viewed(memory: DaskMemory, config: str, size: int = SIZE) -> bytes:
    return b"".join(memory.view(config, size))


def put_here(seed: int) -> str:
    """A task: puts a pattern."""
    return put(DaskMemory("a-store"), pattern(seed))


def read_here(config: str) -> bytes:
    """A task: all bytes of a config."""
    return bytes(DaskMemory("a-store").read(config))


def delete_here(config: str) -> None:
    """A task."""
    DaskMemory("a-store").delete(config)


def session_here() -> str:
    """A task."""
    return DaskMemory("a-store").session()


def in_python(code: str, *arguments: str, **environment: str) -> str:
    """What a program prints, that runs in a new process without any client."""
    start = "from tests.storages.dask.pieces import *\n"
    done = subprocess.run(
        [sys.executable, "-c", start + code, *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)} | environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert not done.returncode, done.stderr
    return done.stdout.strip()
