"""What the kernel's tests share: values of each size, a look at all that a store holds, and other processes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import holdfast

ROOT = Path(__file__).parents[2]

SMALL = {"a": [1, 2.5, None], "b": ("x", b"y")}
"""A value that lies in the catalog."""


def pattern(size: int, seed: int = 0) -> bytes:
    """Bytes of which no two pieces are alike."""
    return hashlib.shake_128(b"%d" % seed).digest(size)


LARGE = pattern(100_000)
"""Bytes above the inline limit: they lie in a file."""


def scopes_below(store: Any) -> list[Any]:
    """All scopes of a store, each before those below it."""
    found: list[Any] = []
    waiting = [store]
    while waiting:
        for scope in waiting.pop().children():
            found.append(scope)
            waiting.append(scope)
    return found


def facts(record: holdfast.Record) -> tuple[Any, ...]:
    """All of a record but whether its bytes are on disk already, which changes in the background."""
    return (record.path, *record.row[:-1])


def everything(store: Any) -> list[Any]:
    """All that a store shows and all its files: equal before and after means that nothing was changed."""
    shown: list[Any] = []
    for scope in scopes_below(store):
        shown.append((str(scope), scope.info().properties))
        shown += [(facts(record), scope.get_bytes(record.key)) for record in scope.list()]
    folder = store.config.store
    return shown if folder == "memory:" else [*shown, *map(str, blob_files(store))]


def blob_files(store: Any) -> list[Path]:
    """The files that hold values, oldest first."""
    found = [path for path in Path(store.config.store, "files").glob("*/*") if path.name.isdecimal()]
    return sorted(found, key=lambda path: (path.parent.name, int(path.name)))


def file_of(store: Any, record: holdfast.Record) -> Path:
    """Where the bytes of a file-sized record are."""
    content = record.contents["value"]
    assert content.storage == "holdfast.file@v1"
    return Path(store.config.store, "files", content.storage_config)


def python(code: str, *arguments: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program text in a new process."""
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **options)
    assert not check or done.returncode == 0, done.stderr
    return done


def start_python(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Begin a program text in a new process; it can be talked to by lines."""
    command = [sys.executable, "-u", "-c", textwrap.dedent(code), *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str], line: str) -> None:
    """Wait for a line of a process."""
    assert process.stdout is not None
    heard = process.stdout.readline().strip()
    assert heard == line, f"heard {heard!r}"


def tell(process: subprocess.Popen[str], line: str = "go") -> None:
    """Give a process a line."""
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def wait_for(what: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Ask until the answer is true, and give it."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)
    return answer


def in_fork(work: Callable[[], None]) -> int:
    """Call ``work`` in a forked child; its exit status, 0 when nothing was raised."""
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
