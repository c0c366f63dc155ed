"""Functions that are commands: input on standard input, result on standard output, log on standard error."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from typing import Any

from ..failures import Failure
from .answers import Answer, brief, error_of
from .codes import ANSWER, FAILED, UNREACHABLE
from .log import Log
from .orphans import end_commands
from .packing import regular
from .settings import Command, environment_of
from .watch import Watch

__all__ = ["run"]

_PIECE = 1 << 16
_GRACE = 2.0  # seconds for what was told to end
_LEFT = 1.0  # seconds for output to come that is on its way when the command has ended
_ERROR = 1 << 14  # bytes of an error that are read
_SHORT, _LONG = 0.0001, 0.02  # seconds between two looks at whether it has ended


def run(
    command: Command, environment: Mapping[str, str], error: str, body: bytes, watch: Watch, log: Log, most: int
) -> Answer:
    """Run a command to its end. What it started in its process group ends with it.

    Args:
        environment: variables of the action.
        error: path of the file that it says its error code in: the first line, and a message below.
        body: the input, JSON.
        log: gets its standard error.
        most: bytes of standard output.

    Raises:
        Failure: it cannot be started, was ended by a signal, or writes too much; or the call is to end.
    """
    watch.look()
    inherited = {"TMPDIR": environment["DIREKTIV_TEMPDIR"], **environment_of(command)}
    with _start(command, {**inherited, **environment}) as process:
        try:
            talk = _Talk(process, body, watch, log, most)
            found = talk.hold()
            status = process.wait()
        except BaseException:
            _stop(process)
            raise
    if status < 0:
        raise Failure(ANSWER, f"the command {command.arguments[0]} was ended by signal {-status}")
    failure = _told(error)
    if failure is None and status:
        failure = Failure(FAILED, f"{command.arguments[0]} ended with status {status}: {brief(talk.last)}".rstrip(": "))
    return Answer(found, failure)


def _start(command: Command, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(
            command.arguments, bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe, cwd=command.folder, env=environment,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise Failure(UNREACHABLE, f"the command {command.arguments[0]} cannot be started: {error}") from error
    except BaseException:  # an interrupt, at a moment when it may be there already and nobody has it
        end_commands(environment["DIREKTIV_TEMPDIR"])
        raise


def _told(path: str) -> Failure | None:
    """The error that a command wrote into its file."""
    with suppress(OSError), regular(path) or nullcontext() as file:
        if file is not None:
            code, _, message = file.read(_ERROR).decode(errors="replace").strip().partition("\n")
            return error_of(code, message)
    return None


class _Talk:
    """The three streams of a running command.

    Attributes:
        last: the end of what it wrote to standard error.
    """

    def __init__(self, process: subprocess.Popen[bytes], body: bytes, watch: Watch, log: Log, most: int) -> None:
        self._process, self._watch, self._log, self._most = process, watch, log, most
        self._body = memoryview(body)
        self._pieces: list[bytes] = []
        self._size = 0
        self._streams = selectors.DefaultSelector()
        self.last = b""
        for stream, event, act in (
            (process.stdin, selectors.EVENT_WRITE, self._write),
            (process.stdout, selectors.EVENT_READ, self._result),
            (process.stderr, selectors.EVENT_READ, self._logged),
        ):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
            self._streams.register(stream, event, act)

    def hold(self) -> bytes:
        """Talk until the command has ended, and what is left of its group with it; gives its standard output."""
        with self._streams:
            pause = _SHORT
            while not _has_ended(self._process):
                self._watch.look()
                if self._listens():
                    self._turn(self._watch.pause())
                else:
                    time.sleep(pause)
                    pause = min(2 * pause, _LONG)
            _kill(self._process, signal.SIGKILL)  # what it left; itself is not waited for yet, so its number is its own
            deadline = time.monotonic() + _LEFT
            while self._listens() and time.monotonic() < deadline:
                self._watch.look()
                self._turn(_LONG)
        self._log.finish()
        return b"".join(self._pieces)

    def _listens(self) -> bool:
        """Whether there is more to come from it."""
        return any(key.events & selectors.EVENT_READ for key in self._streams.get_map().values())

    def _turn(self, seconds: float) -> None:
        for key, _ in self._streams.select(seconds):
            with suppress(BlockingIOError):
                if not key.data(key.fileobj):
                    self._streams.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]

    def _write(self, stream: Any) -> bool:
        try:
            self._body = self._body[os.write(stream.fileno(), self._body[:_PIECE]) :]
        except BrokenPipeError:  # it does not want its input
            return False
        return bool(self._body)

    def _result(self, stream: Any) -> bool:
        piece = os.read(stream.fileno(), _PIECE)
        self._size += len(piece)
        if self._size > self._most:
            raise Failure(ANSWER, f"the command wrote more than {self._most} bytes: raise answer in [actions]")
        self._pieces.append(piece)
        return bool(piece)

    def _logged(self, stream: Any) -> bool:
        piece = os.read(stream.fileno(), _PIECE)
        self._log.feed(piece)
        self.last = (self.last + piece)[-500:]
        return bool(piece)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended; where that can be known so, without taking note, which would give its number away."""
    if hasattr(os, "waitid") and process.returncode is None:
        with suppress(ChildProcessError):
            return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return process.poll() is not None


def _kill(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a command with all of its group: it is told to, and made to."""
    try:
        if not _has_ended(process):
            _kill(process, signal.SIGTERM)
            deadline = time.monotonic() + _GRACE
            while not _has_ended(process) and time.monotonic() < deadline:
                time.sleep(_LONG)
    finally:  # also when somebody interrupts this again
        _kill(process, signal.SIGKILL)
        process.wait()
