"""An action: one call of a function by a state of an instance."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Any, NamedTuple, Protocol

from ..place import Place

__all__ = ["Action", "Caller", "File"]


class File(NamedTuple):
    """A variable that a function finds as a file, or as a directory where it is an archive.

    Attributes:
        key: of the variable.
        scope: ``namespace``, ``workflow``, ``instance`` or ``file``: then ``key`` is a path in the namespace's tree.
        target: where it lies below the temporary directory.
        type: ``plain``, ``base64``, ``tar`` or ``tar.gz``.
        permissions: octal digits, such as ``0644``; None for the usual ones.
    """

    key: str
    scope: str
    target: str
    type: str
    permissions: str | None


class Action(NamedTuple):
    """One try of one call.

    Attributes:
        function: the image, or the path of a service, that the flow names; configuration maps it.
        input: a JSON value.
        files: what it finds in its temporary directory; all of it is evaluated already, and nothing checked.
        iterator: which element of a ``foreach`` it is for, from 0; else 0.
        timeout: seconds that it may take; None for what its configuration says.
        place: the instance that calls.
        log: writes a line into the instance's log.
        cancelled: set when the instance is to end.
        left: seconds after which nobody waits for it, whatever it may take; None for never.
        guard: in a transaction, lets that fail if the instance is not run here any more.
    """

    function: str
    input: Any
    files: tuple[File, ...]
    iterator: int
    timeout: float | None
    place: Place
    log: Callable[[str], None]
    cancelled: Event
    left: float | None = None
    guard: Callable[[Any], None] = lambda inside: None


class Caller(Protocol):
    """What runs actions; any number of threads at a time."""

    def check(self, function: str) -> str | None:
        """Why no such function can be called, for a definition's check: None if it can."""

    def call(self, action: Action) -> Any:
        """Call the function and give what goes to ``.return``: the JSON that it answered, else its bytes as base64.

        What it left in ``out/`` is stored before this returns or raises.

        Raises:
            Failure: the function answered an error, with its code; or it could not be called, hung, crashed, or left
                what cannot be stored, with a code of this library.
        """

    def close(self) -> None:
        """Cancel what still runs, and end what was started for it."""
