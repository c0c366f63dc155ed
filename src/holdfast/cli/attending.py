"""Waiting for an instance of a flow that this process runs, with its log on stderr."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from ..api import Scope
from ..errors import FlowFailed, HoldfastError
from ..flows.engine import Engine
from ..flows.record import CANCELLED
from .logs import LogReader, line_json, line_text
from .printing import note

__all__ = ["attend"]

_LOOK = 0.2  # seconds between two looks at the log
_PATIENCE = 10.0  # seconds for an instance that is cancelled to end


def attend(engine: Engine, namespace: Scope, id: str, seconds: float | None, as_json: bool, quiet: bool) -> Any:
    """Wait for the end of an instance that runs here, tell its log meanwhile, and give its output.

    Ctrl-C cancels it. SIGTERM does not: what it did is recorded, and it can be resumed.

    Raises:
        FlowFailed: it failed; or it took longer than so many seconds, and was cancelled.
    """
    tell = partial(_tell, LogReader(namespace, id), as_json, quiet)
    with _ending_at_sigterm(id):
        try:
            return _output(engine, namespace, id, seconds, tell)
        except KeyboardInterrupt:
            note(f"cancelling {id}: its end is waited for; Ctrl-C again does not wait")
            engine.cancel(namespace, id)
            with suppress(FlowFailed, TimeoutError):
                engine.wait(namespace, id, _PATIENCE)
            raise
        finally:
            tell()


def _output(engine: Engine, namespace: Scope, id: str, seconds: float | None, tell: Callable[[], None]) -> Any:
    end = None if seconds is None else time.monotonic() + seconds
    while end is None or time.monotonic() < end:
        try:
            return engine.wait(namespace, id, _LOOK if end is None else min(_LOOK, max(0, end - time.monotonic())))
        except TimeoutError:
            tell()
    engine.cancel(namespace, id)
    try:
        return engine.wait(namespace, id)
    except FlowFailed as failed:
        if failed.status == CANCELLED:
            failed.message += f": it took longer than --timeout, {seconds:g} s"
        raise


@contextmanager
def _ending_at_sigterm(id: str) -> Iterator[None]:
    """A block that SIGTERM ends as an exception does, so that what runs is stopped in good order."""

    def end(number: int, frame: object) -> None:
        note(f"stopped: holdfast runs resume {id} goes on with it")
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell(reader: LogReader, as_json: bool, quiet: bool) -> None:
    with suppress(HoldfastError):  # what cannot be read now is read the next time
        for line in reader.new():
            if not quiet:
                note(json.dumps(line_json(line)) if as_json else line_text(line))
