"""Functions of flows, by their configuration."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from threading import Event
from typing import Any, Self
from weakref import WeakSet

from ...errors import ClosedError, HoldfastError, InvalidArgumentError
from ..failures import Failure
from ..json_text import encode, from_bytes
from .action import Action
from .answers import Answer
from .codes import FILES, OUTPUT, UNKNOWN, UNREACHABLE
from .commands import run
from .door import Door
from .folders import Folders
from .laying import lay
from .log import Log
from .outputs import store
from .room import Room
from .services import post
from .settings import Command, Limits, Target, Text, checked, find, read_toml, targets_of, trouble
from .watch import Watch

__all__ = ["DOOR", "Functions"]

DOOR = "127.0.0.1:8889"
"""Where functions expect ``/var`` and ``/log``."""

_PATIENCE = 10.0  # seconds that closing waits for calls to end


class Functions:
    """The functions that flows may call: a :class:`~holdfast.flows.functions.action.Caller`.

    ::

        functions = Functions.from_settings({
            "acme/thumb": {"url": "http://127.0.0.1:9000/"},
            "acme/count": {"command": ["sh", "count.sh"], "environment": ["MODE=fast"]},
        })

    For any number of threads at a time. One for each process is enough; in a fork it begins anew.

    Attributes:
        door: what answers ``/var`` and ``/log``, for servers that have these paths, too.
    """

    def __init__(self, targets: Mapping[str, Target], limits: Limits, door: str, folder: str | None) -> None:
        self._targets, self._limits, self._folder = dict(targets), limits, folder
        self._host, self._port = _host(door)
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        """Run nothing yet, as after a fork, where what runs is the parent's."""
        self._lock = threading.Condition()
        self._ended = Event()
        self._running = 0
        self._folders = Folders(self._folder)
        self._listener: Any = None
        self.door = Door()

    @classmethod
    def from_settings(
        cls, functions: Mapping[str, Any], actions: Mapping[str, Any] | None = None, *, folder: str = "."
    ) -> Self:
        """Functions as they are configured.

        Args:
            functions: by the names that flows use, see :func:`~holdfast.flows.functions.settings.find`: each a mapping
                with ``url``, or with ``command`` (a list; or with ``shell = true`` a line) and ``environment`` (names
                of variables that it gets, or ``NAME=value``); each may have ``timeout``, in seconds.
            actions: ``door``, host and port of ``/var`` and ``/log``; ``folder``, where temporary directories are made;
                and what :class:`~holdfast.flows.functions.settings.Limits` has.
            folder: which commands are started in.

        Raises:
            InvalidArgumentError: a setting that is not legal.
        """
        settings = dict(actions or {})
        door, place = settings.pop("door", DOOR), settings.pop("folder", None)
        checked(Text | None, place, "actions: folder")  # type: ignore[arg-type]
        folder = os.path.abspath(folder)
        place = None if place is None else os.path.join(folder, place)
        return cls(targets_of(functions, folder), checked(Limits, settings, "actions"), door, place)

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> Self:
        """Functions of the tables ``functions`` and ``actions`` of a TOML file; commands are started in its folder.

        Raises:
            InvalidArgumentError: it cannot be read, or has a setting that is not legal; the message names the file.
        """
        functions, actions, folder = read_toml(path)
        try:
            return cls.from_settings(functions, actions, folder=folder)
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"{os.path.abspath(path)}: {error}") from None

    def check(self, function: str) -> str | None:
        """Why no such function can be called; None if it can. Whether a service answers is not looked at."""
        return trouble(self._targets, function)

    # --- calls --------------------------------------------------------------------------------------------------------

    def call(self, action: Action) -> Any:
        """Call the function; see :class:`~holdfast.flows.functions.action.Caller`.

        What it left in ``out/`` is stored when it returned, a result or an error; and not when it hung, crashed or was
        cancelled.
        """
        target = find(self._targets, action.function)
        if target is None:
            raise Failure(UNKNOWN, trouble(self._targets, action.function) or "")
        body = _encoded(action.input)
        watch, log = Watch(action.cancelled, self._ended), Log(action.log, self._limits.log)
        with self._counted():
            try:
                with self._folders.folder() as folder:
                    return self._call(action, target, body, folder, watch, log)
            except HoldfastError as error:
                raise Failure(FILES, str(error)) from error

    def _call(self, action: Action, target: Target, body: bytes, folder: str, watch: Watch, log: Log) -> Any:
        limits, place = self._limits, action.place
        room = Room(FILES, "what archives unpack to", limits.unpacked, limits.entries, "unpacked", watch)
        lay(action.files, place, folder, room, watch)
        with self.door.granting(place, log) as grant:
            variables, logs = self._listen(log)
            facts = {"ActionID": grant.id, "TempDir": folder, "Iterator": str(action.iterator)}
            facts |= {"Var-URL": variables, "Log-URL": logs}
            seconds = next(time for time in (action.timeout, target.timeout, limits.timeout) if time is not None)
            watch.begin(seconds if action.left is None else min(seconds, action.left))
            answer = self._ask(target, facts, folder, body, watch, log)
        watch.rest()
        return self._take(answer, action, folder, watch, log)

    def _ask(
        self, target: Target, facts: Mapping[str, str], folder: str, body: bytes, watch: Watch, log: Log
    ) -> Answer:
        most = self._limits.answer
        if not isinstance(target, Command):
            return post(target, {f"Direktiv-{name}": value for name, value in facts.items()}, body, watch, most)
        facts = {**facts, "Error-File": f"{folder}.error"}
        environment = {f"DIREKTIV_{name.upper().replace('-', '_')}": value for name, value in facts.items()}
        return run(target, environment, facts["Error-File"], body, watch, log, most)

    def _take(self, answer: Answer, action: Action, folder: str, watch: Watch, log: Log) -> Any:
        limits = self._limits
        room = Room(OUTPUT, "what the function left in out/", limits.output, limits.entries, "output", watch)
        try:
            store(action.place, folder, room, partial(_left_out, log), action.guard)
        except Failure as failure:
            if answer.failure is None:
                raise
            told = f"{answer.failure.message} (and {failure.message})"
            raise Failure(answer.failure.code, told) from failure
        if answer.failure is not None:
            raise answer.failure
        return from_bytes(answer.body)

    # --- what is open while actions run -------------------------------------------------------------------------------

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            if self._ended.is_set():
                raise ClosedError("these functions were closed: make others")
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                self._lock.notify_all()

    def _listen(self, log: Log) -> tuple[str, str]:
        """The URLs of ``/var`` and ``/log``, which are open from here on."""
        from .listener import Listener

        with self._lock:
            if self._listener is None or not self._listener.open:
                try:
                    self._listener = Listener(self.door, self._host, self._port, self._lock, self._needed)
                except OSError as error:
                    raise Failure(UNREACHABLE, f"/var and /log cannot be opened at {self._host}: {error}") from error
            listener = self._listener
        if listener.taken:
            log.add(f"port {self._port} is not free: /var is at {listener.variables}, /log at {listener.log}")
        return listener.variables, listener.log

    def _needed(self) -> bool:
        return self._running > 0

    def close(self) -> None:
        """Cancel what still runs, wait for it, and remove all temporary directories."""
        self._ended.set()
        with self._lock:
            self._lock.wait_for(lambda: not self._running, _PATIENCE)
            listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        self._folders.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *how: object) -> None:
        self.close()


_all: WeakSet[Functions] = WeakSet()


def _after_fork_in_child() -> None:
    for functions in list(_all):
        functions._begin()


os.register_at_fork(after_in_child=_after_fork_in_child)


def _left_out(log: Log, what: str, why: str) -> None:
    log.add(f"{what} is {why}: it is left out")


def _encoded(value: Any) -> bytes:
    try:
        return encode(value)
    except ValueError as error:
        raise Failure(UNKNOWN, f"the input of the function has no form as JSON: {error}") from error


def _host(door: Any) -> tuple[str, int]:
    found = re.fullmatch("([^:/]+):([0-9]{1,5})", door) if isinstance(door, str) else None
    if found is None or int(found[2]) > 65535:
        raise InvalidArgumentError(f"actions: door is a host and a port such as {DOOR!r}, not {door!r}")
    return found[1], int(found[2])
