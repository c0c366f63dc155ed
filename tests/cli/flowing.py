"""Flows that tests of the command line run, and commands that go on while a test looks."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import holdfast

from ..flows import samples
from .running import COMMAND, environment

__all__ = ["CALLING", "COUNTER", "FUNCTIONS", "begun", "until", "write"]

COUNTER = samples.COUNTER.replace("  type: getter\n", "  type: getter\n  log: 'it is jq(.by // \"nobody\")'\n")
"""Direktiv's published one, with a log."""

CALLING = """\
functions:
- {id: f, image: wait}
states:
- id: count
  type: setter
  variables: [{key: once, scope: workflow, value: 1}]
  transition: call
- id: call
  type: action
  log: calling
  action: {function: f}
  transform: 'jq({said: .return})'
"""
"""Writes a variable, and calls a command that waits until there is a file ``go`` beside ``functions.toml``."""

FUNCTIONS = """\
[actions]
door = "127.0.0.1:0"

[functions.wait]
shell = true
command = 'echo $$ > pid; echo waiting >&2; while [ ! -e go ]; do sleep 0.05; done; echo \\"gone\\"'
"""


def write(folder: Path, **texts: str) -> None:
    """Files: the name of each with ``_`` for a dot."""
    for name, text in texts.items():
        path = folder / name.replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def until(true: Callable[[], object], seconds: float = 20) -> None:
    """Wait for something."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


@contextmanager
def begun(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A command in a process of its own, which ends with the block."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*COMMAND, *words], stdout=pipe, stderr=pipe, text=True, cwd=folder, env=environment()
    ) as process:
        try:
            yield process
        finally:
            process.kill()
            with suppress(OSError, ValueError):  # the command of a function, where the test left it
                os.killpg(int((folder / "pid").read_text()), signal.SIGKILL)


def instances(store: holdfast.Store, namespace: str = "default") -> list[str]:
    """The status of each, the newest first."""
    return [info.status for info in store.namespace(namespace).flows.list()]
