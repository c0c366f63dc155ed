"""Child processes that work on data as definitions say: what hangs, crashes or grows there does no harm here.

A child is started when it is first needed, kept, and used by one thread at a time; one that does not answer in time, or
dies, is replaced. What it does says :mod:`holdfast.flows.evaluation.child`.
"""

from __future__ import annotations

import atexit
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from struct import Struct
from typing import Any
from weakref import WeakSet

from ...errors import MissingExtraError
from ..json_text import encode, parse

__all__ = ["SECONDS", "Children", "Lost"]

SECONDS = 10.0
"""How long an answer may take, unless said otherwise."""

_MEMORY = 1 << 30  # bytes of address space of a child
_MOST = 2 * (os.cpu_count() or 1) + 2  # children of a kind
_IDLE = 60.0  # seconds after which one that had nothing to do is ended
_LONGEST = 64 << 20  # bytes of an input, and of an answer
_GRACE = 0.5  # seconds after its own end of time until a child is ended from here
_LENGTH = Struct("<I")


class Lost(Exception):
    """There was no answer; the message says why."""


class _Child:
    used = 0.0

    def __init__(self, kind: str, folders: Sequence[str]) -> None:
        program = os.path.join(os.path.dirname(__file__), "child.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", program, kind, str(_MEMORY), *folders],
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
            raise Lost("its process ended") from None

    @staticmethod
    def _send(file: int, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while True:
            with suppress(BlockingIOError):
                view = view[os.write(file, view) :]
            if not view:
                return
            if not _ready(file, select.POLLOUT, deadline):
                raise Lost("it did not take its input in time")

    @staticmethod
    def _take(file: int, deadline: float) -> bytes:
        """The frame of an answer, and there is nothing behind it."""
        found, size = bytearray(), _LENGTH.size
        while len(found) < size:
            if not _ready(file, select.POLLIN, deadline):
                raise Lost("it did not end in time")
            piece = os.read(file, 1 << 16 if size < 1 << 16 else 1 << 20)
            if not piece:
                raise Lost("its process ended: it took too long, or too much memory")
            found += piece
            if size == _LENGTH.size and len(found) >= size:
                size += _LENGTH.unpack_from(found)[0]
                if size > _LONGEST:
                    raise Lost(f"its result has more than {_LONGEST:,} bytes")
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


def _ready(file: int, event: int, deadline: float) -> bool:
    poll = select.poll()  # whose files may have any number
    poll.register(file, event)
    return bool(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))


def _folders(library: str, *needs: str) -> list[str]:
    """Where a library is, and what it needs.

    Raises:
        MissingExtraError: it is not installed.
    """
    from importlib.util import find_spec  # slow to import, and needed once

    found = {}
    for name in (library, *needs):
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            path = os.path.dirname(spec.origin)
            found[name] = os.path.dirname(path) if spec.submodule_search_locations else path
    if library not in found:
        raise MissingExtraError('flows need jq, jsonschema and PyYAML: pip install "holdfast[flows]"')
    return list(dict.fromkeys(found.values()))


class Children:
    """The children of one kind, for all threads of this process.

    Args:
        kind: what they do.
        libraries: the one that does it, and those that it needs.
    """

    def __init__(self, kind: str, *libraries: str) -> None:
        self._kind = kind
        self._libraries = libraries
        self._begin()
        atexit.register(self.close)
        _all.add(self)

    def _begin(self) -> None:
        self._idle: list[_Child] = []
        self._busy = 0
        self._lock = threading.Lock()
        self._free = threading.Condition(self._lock)

    def ask(self, programs: Sequence[str], data: bytes, seconds: float, then: Sequence[str] = ()) -> list[Any]:
        """For each program the list of its results, or the message of an error.

        Args:
            data: the input, as JSON; empty to make the programs ready only.
            seconds: how long all of them together may take.
            then: programs for the only result of the first one, if that is an object; else they are left out.

        Raises:
            Lost: there was no answer.
            MissingExtraError: the library is not installed.
        """
        if len(data) > _LONGEST:
            raise Lost(f"the data has more than {_LONGEST:,} bytes")
        request = b"\n".join((encode([seconds, list(programs), list(then)]), data))
        child = self._take()
        try:
            answer = child.ask(request, seconds + _GRACE)
        except BaseException:
            child.end()
            self._give(None)
            raise
        self._give(child)
        try:
            return list(parse(answer))
        except ValueError as error:
            raise Lost(f"its result cannot be read: {error}") from None

    def _take(self) -> _Child:
        with self._lock:
            while self._busy >= _MOST:
                self._free.wait()
            self._busy += 1
            if self._idle:
                return self._idle.pop()
        try:
            return _Child(self._kind, _folders(*self._libraries))
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
        """End the children that have nothing to do."""
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            child.end()

    def abandon(self) -> None:
        """In a fork: leave the children to the process that they belong to."""
        for child in self._idle:
            child.abandon()
        self._begin()


_all: WeakSet[Children] = WeakSet()


def _after_fork_in_child() -> None:
    for children in list(_all):
        children.abandon()


os.register_at_fork(after_in_child=_after_fork_in_child)
