"""Tasks in processes of this machine: interpreters of their own, started anew and not forked."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, ClassVar

from ..context import current_context
from ..errors import StoreError, TaskLost
from ..memory.putting import hold_memory
from . import frames
from .futures import Future
from .pool import Job, Pool, PoolExecutor, Runner
from .tasks import Packed, open_result, pack_call

__all__ = ["ProcessExecutor"]

_GRACE = 10.0  # seconds for a worker without work to end by itself
_LOOK = 1.0  # seconds between looks at whether a worker that says nothing is alive

# Not by multiprocessing, which would import the main module again: functions of that travel by value.
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3]); "
    "from holdfast.executors.worker import main; main(int(sys.argv[1]), int(sys.argv[2]))"
)


class _Worker:
    """A worker process, ready for calls.

    Attributes:
        condemned: it was killed, whether or not that shows yet.
    """

    condemned = False

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        reading, self._lifeline = os.pipe()
        self.channel = ours
        try:
            arguments = [str(theirs.fileno()), str(reading), json.dumps(sys.path)]
            flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
            self.process = subprocess.Popen(
                [sys.executable, *flags, "-c", _PROGRAM, *arguments],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), reading),
            )
        except BaseException:
            os.close(self._lifeline)
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(reading)
        ours.settimeout(_LOOK)
        try:
            frames.receive(ours, self.alive)
        except frames.Gone:
            how = self.end(kill=True)
            raise StoreError(f"a worker process could not be started: it {how}; what it says is above") from None

    def alive(self) -> bool:
        return self.process.poll() is None

    def give(self, call: Packed) -> None:
        """Have it begin with a call.

        Raises:
            Gone: it has not begun.
        """
        frames.send(self.channel, call.parts)
        frames.receive(self.channel, self.alive)

    def end(self, *, kill: bool) -> str:
        """End it and wait for that; gives how it ended."""
        self.channel.close()
        try:
            if not kill:
                self.process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            kill = True
        if kill and self.alive():
            self.process.kill()
        code = self.process.wait()
        os.close(self._lifeline)
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"


class _Process(Runner):
    """Has its jobs done by a worker process, which is started for the first of them, and anew when it died."""

    def __init__(self, pool: Pool) -> None:
        self._worker: _Worker | None = None
        self._lock = threading.Lock()
        self._current: Job | None = None

    def do(self, job: Job) -> None:
        future = job.future
        try:
            outcome = self._ask(job)
        except frames.Gone:
            how = self._dismissed().end(kill=False)
            future._fail(
                TaskLost(
                    f"the worker process that ran {future.name} {how}: part of its work may be done; look at the "
                    "machine's memory, and submit it again"
                )
            )
        except Exception as error:  # a worker cannot be started: no memory, no file descriptors, no interpreter
            future._fail(error)
        else:
            _settle(future, outcome)

    def _ask(self, job: Job) -> Packed:
        again = self._worker is not None
        worker = self._present()
        with self._lock:
            self._current = job
        try:
            job.future._recall = lambda: self._recall(job)
            if not job.future._begin():
                return Packed()
            try:
                worker.give(job.work)
            except frames.Gone:
                if not again or job.future.done():
                    raise
                # It died while it had nothing to do, or soon after, and has not begun with this.
                self._dismissed().end(kill=True)
                worker = self._present()
                worker.give(job.work)
            return Packed(*frames.receive(worker.channel, worker.alive))
        finally:
            with self._lock:
                self._current = None

    def _present(self) -> _Worker:
        """A worker that is alive, as far as is known."""
        with self._lock:
            worker = self._worker
        if worker is not None and (worker.condemned or not worker.alive()):
            self._dismissed().end(kill=True)
            worker = None
        if worker is None:
            worker = _Worker()
            with self._lock:
                self._worker = worker
        return worker

    def _dismissed(self) -> _Worker:
        """The worker, which from here on is nobody's to kill but the caller's."""
        with self._lock:
            worker, self._worker = self._worker, None
        assert worker is not None
        return worker

    def _recall(self, job: Job) -> None:
        with self._lock:
            if self._current is job and self._worker is not None:
                self._worker.condemned = True
                self._worker.process.kill()

    def leave(self) -> None:
        if self._worker is not None:
            self._dismissed().end(kill=False)


def _settle(future: Future[Any], outcome: Packed) -> None:
    if future.done():
        return
    try:
        value = open_result(outcome)
    except BaseException as error:
        future._fail(error)
    else:
        future._finish(value)


class ProcessExecutor(PoolExecutor):
    """Runs tasks in processes of this machine, each with an interpreter of its own.

    The processes are started when there is work for them, and know nothing of this one but what tasks bring along, the
    working directory, the environment and where modules are found. A task whose process dies fails with
    :class:`~holdfast.errors.TaskLost`; the others go on. When this process dies, all of them end.

    A task cannot submit others to the executor that it runs in.
    """

    name: ClassVar[str] = "processes"
    runner: ClassVar[Callable[[Pool], Runner]] = _Process

    def _work(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Packed:
        call = pack_call(function, args, kwargs, self.memory, self.name)
        context = current_context()
        if context is not None:
            with suppress(StoreError):  # tasks will tell, if they use it
                hold_memory(context.store._kernel, self.memory)
        return call
