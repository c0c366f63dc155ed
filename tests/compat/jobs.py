"""Jobs: programs of their own on one store, as the platform starts them."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import holdfast

__all__ = ["environment", "job", "python"]


def environment(**more: str) -> dict[str, str]:
    """This environment without settings of Holdfast's own, and with those given."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")} | more


def python(*words: Any, check: bool = True, seconds: float = 100, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments, in the working directory, to its end."""
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds, check=False, env=environment(**more)
    )
    assert not check or done.returncode == 0, done.stderr
    return done


IMPORTS = """
import holdfast
from holdfast.compat.viktor import Entity, File, Storage, memoize
"""


def job(store: holdfast.Store | Path, code: str, **more: Any) -> str:
    """Run a job on a store, with the face's names at hand, and give what it printed."""
    folder = store if isinstance(store, Path) else store.config.store
    return python("-c", IMPORTS + textwrap.dedent(code), HOLDFAST_STORE=str(folder), **more).stdout
