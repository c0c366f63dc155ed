"""Which functions there are: names that flows use, and the URL or the command of each; and how much they may take."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec

from ...errors import InvalidArgumentError

__all__ = [
    "Command", "Limits", "Seconds", "Service", "Target", "Text", "Whole", "checked", "environment_of", "find",
    "read_toml", "targets_of", "trouble",
]  # fmt: skip


T = TypeVar("T")

_PASSED = ("PATH", "HOME", "LANG")  # of this process' environment, to each command
_PATH = "/usr/local/bin:/usr/bin:/bin"


Seconds = Annotated[float, msgspec.Meta(gt=0, lt=1e9)]
Whole = Annotated[int, msgspec.Meta(gt=0)]
Text = Annotated[str, msgspec.Meta(pattern="^[^\\x00]+$")]
"""What settings can be."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much an action may take; each can be configured.

    Attributes:
        timeout: seconds that a function has where neither flow nor configuration says it.
        answer: bytes of an answer.
        unpacked: bytes that all archives of one action may unpack to.
        entries: files and directories in the archives of one action; and in its ``out/``.
        output: bytes of all that is in its ``out/``.
        log: bytes of what it writes into the log.
    """

    timeout: Seconds = 900.0
    answer: Whole = 16_000_000
    unpacked: Whole = 4_000_000_000
    entries: Whole = 100_000
    output: Whole = 4_000_000_000
    log: Whole = 1_000_000


class Service(NamedTuple):
    """A function that is called by HTTP.

    Attributes:
        url: which is posted to.
        timeout: seconds, None for the usual ones.
    """

    url: str
    timeout: float | None


class Command(NamedTuple):
    """A function that is a command of this machine.

    Attributes:
        arguments: the program and its arguments; of a shell's command ``/bin/sh -c COMMAND``.
        environment: names of variables that it gets from the environment of this process, and ``NAME=value``.
        folder: where it is started.
        timeout: seconds, None for the usual ones.
    """

    arguments: tuple[str, ...]
    environment: tuple[str, ...]
    folder: str
    timeout: float | None


Target = Service | Command


# --- names ------------------------------------------------------------------------------------------------------------


def find(targets: Mapping[str, Target], name: str) -> Target | None:
    """What a name of a flow means: what is configured under just this name, else under it without its tag or digest.

    So ``acme/thumb`` is all of ``acme/thumb``, ``acme/thumb:v2`` and ``acme/thumb@sha256:…``, and ``acme/thumb:v1``
    is that one only.
    """
    found = targets.get(name)
    if found is not None:
        return found
    path, slash, last = name.rpartition("/")
    return targets.get(path + slash + re.split("[:@]", last, maxsplit=1)[0])


def trouble(targets: Mapping[str, Target], name: str) -> str | None:
    """Why no function of this name can be called; None if it can."""
    target = find(targets, name)
    if target is None:
        known = ", ".join(sorted(targets)[:20]) or "none yet"
        return (
            f'no function is configured for {name!r}: give [functions."{name}"] a url or a command, in holdfast.toml '
            f"or the file that --functions or HOLDFAST_FUNCTIONS names (there are {known})"
        )
    if isinstance(target, Command):
        program = target.arguments[0]
        place = os.path.join(target.folder, program) if os.sep in program else program
        if shutil.which(place, path=environment_of(target)["PATH"]) is None:
            return f"the command of {name!r} is not there, or may not be run: {program}"
    return None


def environment_of(command: Command) -> dict[str, str]:
    """The environment of a command, but for what is of one action."""
    found = {name: os.environ[name] for name in _PASSED if name in os.environ}
    found.setdefault("PATH", _PATH)
    for item in command.environment:
        name, equals, value = item.partition("=")
        if equals:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
    return found


# --- reading them -----------------------------------------------------------------------------------------------------


def read_toml(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any], str]:
    """The tables ``functions`` and ``actions`` of a TOML file, and its folder.

    Raises:
        InvalidArgumentError: it cannot be read, is no TOML, or has no functions.
    """
    from tomllib import load

    path = os.path.abspath(path)
    try:
        with open(path, "rb") as file:
            settings = load(file)
    except OSError as error:
        raise InvalidArgumentError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidArgumentError(f"{path} is not valid TOML: {error}") from error
    tables = [settings.get(name, {}) for name in ("functions", "actions")]
    if "functions" not in settings or not all(isinstance(table, dict) for table in tables):
        raise InvalidArgumentError(f'{path} needs tables such as [functions."acme/thumb"], and may have one [actions]')
    return tables[0], tables[1], os.path.dirname(path)


class _Given(msgspec.Struct, forbid_unknown_fields=True):
    url: Text | None = None
    command: Text | list[Text] | None = None
    shell: bool = False
    environment: list[Text] = []
    timeout: Seconds | None = None


def checked(kind: type[T], settings: Any, where: str) -> T:
    """Settings as what they are to be.

    Raises:
        InvalidArgumentError: they are not.
    """
    try:
        return msgspec.convert(settings, kind)
    except msgspec.ValidationError as error:
        raise InvalidArgumentError(f"{where}: {error}") from None


def targets_of(functions: Mapping[str, Any], folder: str) -> dict[str, Target]:
    """What is configured, checked; ``folder`` is the one that commands are started in.

    Raises:
        InvalidArgumentError: the message names the function and what is wrong with it.
    """
    named = checked(dict[Annotated[str, msgspec.Meta(pattern=r"^[^\s\x00]+$")], Any], functions, "functions")
    return {name: _target(f"function {name!r}", settings, folder) for name, settings in named.items()}


def _target(where: str, settings: Any, folder: str) -> Target:
    given = checked(_Given, settings, where)
    if (given.url is None) == (given.command is None) or (given.url and (given.shell or given.environment)):
        told = "command = [...], which may have shell and environment"
        raise InvalidArgumentError(f'{where}: give either url = "http://…" or {told}')
    if given.url is not None:
        return Service(_url(given.url, where), given.timeout)
    command = given.command
    if given.shell != isinstance(command, str) or not command:
        told = f'command is a list such as ["python3", "thumb.py"], or a line with shell = true, not {command!r}'
        raise InvalidArgumentError(f"{where}: {told}")
    for item in given.environment:
        name = item.partition("=")[0]
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) or name.startswith("DIREKTIV_"):
            raise InvalidArgumentError(f"{where}: environment has NAME or NAME=value, and none of ours, not {item!r}")
    arguments = ("/bin/sh", "-c", command) if isinstance(command, str) else tuple(command)
    return Command(arguments, tuple(given.environment), folder, given.timeout)


def _url(url: str, where: str) -> str:
    from urllib.parse import urlsplit

    with suppress(ValueError):
        parts = urlsplit(url)
        sound = parts.hostname and parts.port != 0 and "@" not in parts.netloc and not parts.fragment
        if sound and re.fullmatch(r"https?://[!-~]+", url):
            return url
    told = "url is http://host:port/path or https://…, without a user or a fragment"
    raise InvalidArgumentError(f"{where}: {told}, not {url!r}")
