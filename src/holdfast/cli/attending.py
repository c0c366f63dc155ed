"""Instances of flows that this process runs: their log on stderr meanwhile, and signals that end them."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..api import Scope
from ..errors import FlowFailed, HoldfastError
from ..flows.engine import Engine
from ..flows.functions import Functions
from ..flows.record import CANCELLED
from .logs import LogReader, tell
from .printing import note

__all__ = ["attend"]

_LOOK = 0.2  # seconds between two looks at the log
_PATIENCE = 10.0  # seconds for an instance that is cancelled to end
_STOPPING = (signal.SIGTERM, signal.SIGHUP)


def attend(
    namespace: Scope,
    caller: Functions,
    begin: Callable[[Engine], str],
    seconds: float | None,
    as_json: bool,
    quiet: bool,
) -> tuple[str, Any]:
    """Run an instance in this process to its end, telling its log meanwhile; gives its id and its output.

    Ctrl-C cancels it. SIGTERM, and the SIGHUP of a terminal that is closed, do not: what it did is recorded, and it can
    be resumed. Either way the functions that it calls have ended before this does.

    Args:
        caller: calls functions, and is closed.
        begin: starts the instance or goes on with it, and gives its id.
        seconds: for how long it may run; None for as long as it takes.

    Raises:
        FlowFailed: it failed; or it took longer, and was cancelled.
    """
    with _stopped_by_signals(), Engine(namespace, caller) as engine:
        id = begin(engine)
        log = LogReader(namespace, id)

        def look() -> None:
            with suppress(HoldfastError):  # what cannot be read now is read the next time
                for line in log.new():
                    if not quiet:
                        tell(line, as_json)

        try:
            return id, _output(engine, namespace, id, seconds, look)
        except KeyboardInterrupt:
            note(f"cancelling {id}: its end is waited for; Ctrl-C again does not wait")
            engine.cancel(namespace, id)
            with suppress(FlowFailed, TimeoutError):
                engine.wait(namespace, id, _PATIENCE)
            raise
        except SystemExit:
            with suppress(OSError):  # the terminal may be what is gone
                note(f"stopped: holdfast runs resume {id} goes on with it")
            raise
        finally:
            look()


def _output(engine: Engine, namespace: Scope, id: str, seconds: float | None, look: Callable[[], None]) -> Any:
    end = None if seconds is None else time.monotonic() + seconds
    while end is None or time.monotonic() < end:
        try:
            return engine.wait(namespace, id, _LOOK if end is None else min(_LOOK, max(0, end - time.monotonic())))
        except TimeoutError:
            look()
    engine.cancel(namespace, id)
    try:
        return engine.wait(namespace, id)
    except FlowFailed as failed:
        if failed.status == CANCELLED:
            failed.message += f": it took longer than --timeout, {seconds:g} s"
        raise


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """A block that SIGTERM and SIGHUP end as an exception does, so that what runs is stopped in good order.

    Those that follow the first one change nothing: a shell that is closed sends several. One that is ignored, as by
    nohup, stays so.
    """
    came: list[int] = []

    def stop(number: int, frame: object) -> None:
        came.append(number)
        if len(came) == 1:
            raise SystemExit(128 + number)

    taken = [number for number in _STOPPING if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
