"""What a definition says, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .expressions import Template

__all__ = [
    "Act", "Call", "Catch", "Choice", "Definition", "Delay", "FileEntry", "Foreach", "Function", "Get", "Getter",
    "Logic", "Noop", "Parallel", "Raise", "Retries", "Set", "Setter", "State", "Switch", "Validate",
]  # fmt: skip


class FileEntry(NamedTuple):
    """A variable that a function finds as a file; see :class:`~holdfast.flows.functions.action.File`."""

    key: Template
    scope: Template | None
    target: Template | None
    type: Template | None
    permissions: Template | None


class Function(NamedTuple):
    """What actions call by its id.

    Attributes:
        name: the image or service; of a subflow its path, which may be relative.
        subflow: whether it is another workflow.
    """

    id: str
    name: str
    subflow: bool
    files: tuple[FileEntry, ...]


class Retries(NamedTuple):
    """How an action is tried again: ``most`` times more, after ``delay`` seconds, which is multiplied each time."""

    most: int
    delay: float
    multiplier: float
    codes: tuple[str, ...]


class Call(NamedTuple):
    """One call of a function."""

    function: Function
    input: Template
    files: tuple[FileEntry, ...]
    retries: Retries | None


class Get(NamedTuple):
    """A variable to read; ``name`` is what it is called in ``.var``, None for its key."""

    key: Template
    scope: str
    name: str | None


class Set(NamedTuple):
    """A variable to write."""

    key: Template
    scope: str
    mime_type: Template | None
    value: Template


class Getter(NamedTuple):
    """Reads variables into ``.var``."""

    variables: tuple[Get, ...]


class Setter(NamedTuple):
    """Writes variables, all or none."""

    variables: tuple[Set, ...]


class Act(NamedTuple):
    """Calls a function, whose result is ``.return``; or ``apart`` from the states that come, without one."""

    call: Call
    apart: bool
    timeout: float | None


class Foreach(NamedTuple):
    """Calls a function for each element of an array, which is what its fields are evaluated with."""

    array: Template
    call: Call
    timeout: float | None


class Parallel(NamedTuple):
    """Calls several functions at once; ``.return`` is the list of their results: of all (``and``), or the first one
    (``or``)."""

    calls: tuple[Call, ...]
    mode: str
    timeout: float | None


class Noop(NamedTuple):
    """Does nothing."""


class Choice(NamedTuple):
    """One way on from a switch."""

    condition: Template
    transform: Template | None
    transition: str | None


class Switch(NamedTuple):
    """Goes the way of the first condition that is true."""

    choices: tuple[Choice, ...]
    transform: Template | None
    transition: str | None


class Validate(NamedTuple):
    """Checks data by a JSON Schema, which is a text; None is all data of the instance."""

    subject: Template | None
    schema: str


class Delay(NamedTuple):
    """Waits so many seconds."""

    seconds: float


class Raise(NamedTuple):
    """Fails the run with a code, and goes on."""

    code: str
    message: Template
    arguments: tuple[Template, ...]


Logic = Act | Delay | Foreach | Getter | Noop | Parallel | Raise | Setter | Switch | Validate


class Catch(NamedTuple):
    """Where an error of a state leads whose code matches."""

    pattern: str
    transition: str | None


class State(NamedTuple):
    """A state.

    Attributes:
        transition: None where the run ends.
        programs: those of jq that are evaluated with the data that it begins with.
    """

    id: str
    logic: Logic
    log: Template | None
    metadata: Template | None
    transform: Template | None
    transition: str | None
    catch: tuple[Catch, ...]
    programs: tuple[str, ...]


class Definition(NamedTuple):
    """A flow.

    Attributes:
        states: by their ids.
        start: id of the first one.
        interrupt: seconds until an error is raised that can be caught, None for never.
        kill: seconds until the run is ended, None for never.
        atomic: scope and key of the variables that an instance reads and writes as one unit.
    """

    states: Mapping[str, State]
    start: str
    interrupt: float | None
    kill: float | None
    atomic: tuple[tuple[str, str], ...]
