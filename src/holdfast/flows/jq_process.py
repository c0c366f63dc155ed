"""jq, the real one, in child processes: what hangs, crashes or grows there does no harm here.

A child is started when it is first needed, kept, and used by one thread at a time; one that does not answer in time, or
dies, is replaced.
"""

from __future__ import annotations

import atexit
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from struct import Struct
from typing import Any

from ..errors import MissingExtraError
from .failures import Codes, Failure
from .json_text import encode, parse

__all__ = ["SECONDS", "Results", "check", "close", "evaluate"]

SECONDS = 10.0
"""How long an evaluation may take."""

_MEMORY = 1 << 30  # bytes of address space of a child
_MOST = 2 * (os.cpu_count() or 1) + 2  # children of this process
_IDLE = 60.0  # seconds after which one that had nothing to do is ended
_LONGEST = 64 << 20  # bytes of an input, and of an answer
_GRACE = 0.5  # seconds after its own end of time until a child is ended from here
_LENGTH = Struct("<I")
_MESSAGE = 300  # characters of an error


class _Lost(Exception):
    """The child is of no more use."""


class _Child:
    used = 0.0

    def __init__(self) -> None:
        program = os.path.join(os.path.dirname(__file__), "jq_child.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", program, _folder(), str(_MEMORY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},  # which programs could ask for
            cwd="/",
            bufsize=0,
            start_new_session=True,  # what interrupts this program at its terminal is for this program to handle
        )
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)

    def ask(self, request: bytes, seconds: float) -> bytes:
        deadline = time.monotonic() + seconds
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        try:
            self._send(requests.fileno(), _LENGTH.pack(len(request)) + request, deadline)
            return self._take(answers.fileno(), deadline)
        except OSError:
            raise _Lost("jq ended while it was evaluated") from None

    @staticmethod
    def _send(file: int, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while True:
            with suppress(BlockingIOError):
                view = view[os.write(file, view) :]
            if not view:
                return
            if not select.select([], [file], [], max(0.0, deadline - time.monotonic()))[1]:
                raise _Lost("jq did not take its input in time")

    @staticmethod
    def _take(file: int, deadline: float) -> bytes:
        """The frame of an answer, and there is nothing behind it."""
        found, size = bytearray(), _LENGTH.size
        while len(found) < size:
            if not select.select([file], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise _Lost("it did not end in time")
            piece = os.read(file, 1 << 16 if size < 1 << 16 else 1 << 20)
            if not piece:
                raise _Lost("jq ended while it was evaluated: it took too long, or too much memory")
            found += piece
            if size == _LENGTH.size and len(found) >= size:
                size += _LENGTH.unpack_from(found)[0]
                if size > _LONGEST:
                    raise _Lost(f"its result has more than {_LONGEST:,} bytes")
        return bytes(memoryview(found)[_LENGTH.size :])

    def end(self) -> None:
        self._process.kill()
        self._let_go()
        self._process.wait()

    def abandon(self) -> None:
        """In a fork: leave it to the process that it belongs to, with whose end its input ends."""
        self._let_go()
        self._process.returncode = 0

    def _let_go(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def _folder() -> str:
    """Where the library is.

    Raises:
        MissingExtraError: it is not installed.
    """
    from importlib.util import find_spec  # slow to import, and needed once

    found = find_spec("jq")
    if found is None or found.origin is None:
        raise MissingExtraError('flows need jq, jsonschema and PyYAML: pip install "holdfast[flows]"')
    path = os.path.dirname(found.origin)
    return os.path.dirname(path) if found.submodule_search_locations else path


class _Children:
    def __init__(self) -> None:
        self._idle: list[_Child] = []
        self._busy = 0
        self._lock = threading.Lock()
        self._free = threading.Condition(self._lock)
        atexit.register(self.close)

    def ask(self, programs: Sequence[str], data: bytes, seconds: float, then: Sequence[str] = ()) -> Any:
        """The answer to a request.

        Raises:
            Failure: there was none.
        """
        if len(data) > _LONGEST:
            raise Failure(Codes.BAD_COMMAND, f"the data of the instance has more than {_LONGEST:,} bytes")
        request = b"\n".join((encode([seconds, list(programs), list(then)]), data))
        child = self._take()
        try:
            answer = child.ask(request, seconds + _GRACE)
        except BaseException as error:
            child.end()
            self._give(None)
            if not isinstance(error, _Lost):
                raise
            if then:
                return self.ask(programs, data, seconds)
            raise Failure(Codes.BAD_COMMAND, f"jq({_short(programs)}): {error}") from None
        self._give(child)
        try:
            return parse(answer)
        except ValueError as error:
            raise Failure(Codes.BAD_COMMAND, f"jq({_short(programs)}): the result cannot be read: {error}") from None

    def _take(self) -> _Child:
        with self._lock:
            while self._busy >= _MOST:
                self._free.wait()
            self._busy += 1
            if self._idle:
                return self._idle.pop()
        try:
            return _Child()
        except BaseException:
            self._give(None)
            raise

    def _give(self, child: _Child | None) -> None:
        old = None
        with self._lock:
            self._busy -= 1
            if child is not None:
                child.used = time.monotonic()
                self._idle.append(child)
                if child.used - self._idle[0].used > _IDLE:
                    old = self._idle.pop(0)
            self._free.notify()
        if old is not None:
            old.end()

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            child.end()

    def abandon(self) -> None:
        for child in self._idle:
            child.abandon()


def _short(programs: Sequence[str]) -> str:
    text = ", ".join(programs)
    return text if len(text) <= _MESSAGE else f"{text[:_MESSAGE]}..."


_children = _Children()


def _after_fork_in_child() -> None:
    global _children
    _children.abandon()
    _children = _Children()


os.register_at_fork(after_in_child=_after_fork_in_child)


def close() -> None:
    """End the children that have nothing to do."""
    _children.close()


def check(programs: Sequence[str]) -> dict[str, str]:
    """What is wrong with programs that cannot be compiled, by program.

    Raises:
        MissingExtraError: jq is not installed.
    """
    found = {}
    for program, answer in zip(programs, _children.ask(programs, b"", SECONDS), strict=True):
        if isinstance(answer, str):
            found[program] = _clear(answer)
    return found


Results = Mapping[str, list[Any] | str]
"""By program its results, none, one, or two if there are more; or why it failed."""


def evaluate(
    programs: Sequence[str], data: bytes, seconds: float = SECONDS, then: Sequence[str] = ()
) -> tuple[Results, Results]:
    """The results of programs with the same input; and of others with the result of the first, if that is an object.

    Args:
        data: the input, as JSON.
        seconds: how long all of them together may take.

    Raises:
        Failure: ``direktiv.jq.badCommand``: they took too long, or too much memory.
    """
    answers = [
        _clear(answer) if isinstance(answer, str) else answer for answer in _children.ask(programs, data, seconds, then)
    ]
    # What follows is left out where there was no such result.
    return dict(zip(programs, answers, strict=False)), dict(zip(then, answers[len(programs) :], strict=False))


def _clear(message: str) -> str:
    """The message of jq without where that is in the text that it was given."""
    first = message.partition("\n")[0].removeprefix("jq: error: ")
    return re.sub(r" at <top-level>.*", "", first)[:_MESSAGE]
