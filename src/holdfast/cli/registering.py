"""Definitions from files: a flow, and the flows that it calls, checked and then registered."""

from __future__ import annotations

import os
from collections.abc import Callable
from posixpath import dirname
from typing import NamedTuple

from ..api import Scope
from ..errors import DefinitionError, InvalidArgumentError, NotFoundError
from ..flows.definition import Act, Call, Definition, Foreach, Parallel
from ..flows.reading import read
from ..flows.workflows import clean_path, register, text_of
from .printing import note
from .wording import shown

__all__ = ["Gathered", "gather"]

_Check = Callable[[str], str | None]  # tells of a function why it cannot be called, None if it can


class Gathered(NamedTuple):
    """A flow with its subflows.

    Attributes:
        path: of the flow in its namespace.
        files: by path in the namespace, file and text: of the flow, and of subflows whose files lie beside it.
        elsewhere: of subflows that have no file: path in the namespace, the file that calls it, and how it does.
    """

    path: str
    files: dict[str, tuple[str, str]]
    elsewhere: list[tuple[str, str, str]]

    def register(self, namespace: Scope, quiet: bool) -> None:
        """Make them the workflows of their paths; nothing if one is missing.

        Unless ``quiet``, tell which subflows there are now that were not, or were other ones.

        Raises:
            DefinitionError: the flow calls a workflow that is nowhere.
        """
        for target, file, name in self.elsewhere:
            try:
                text_of(namespace, target)
            except NotFoundError:
                beside = "" if name.startswith("/") else f", and no file {name} beside {file}"
                raise DefinitionError(
                    f"{file}: functions: it calls {name}, but there is no workflow {target} in {namespace}{beside}: "
                    f"register that one first, by holdfast run FILE --as {target}, or put its file there"
                ) from None
        for target, (file, text) in reversed(self.files.items()):
            told = quiet or target == self.path or _is(namespace, target, text)
            register(namespace, target, text, file)
            if not told:
                note(f"registered {shown(target)}, a subflow")


def gather(path: str, file: str, check: _Check) -> Gathered:
    """Read a flow, to be registered under this path, and those that it calls.

    Raises:
        NotFoundError: there is no such file.
        DefinitionError: one is not legal.
        InvalidArgumentError: the file is a folder; or it is no path of a workflow.
    """
    text = _text(file)
    path = clean_path(path)
    found = Gathered(path, {path: (file, text)}, [])
    waiting = [path]
    while waiting:
        here = waiting.pop()
        file, text = found.files[here]
        for name in sorted(_subflows(read(text, file, check))):
            target = clean_path(name, dirname(here))
            beside = os.path.join(os.path.dirname(file), name)
            if target in found.files:
                continue
            if name.startswith("/") or not os.path.isfile(beside):
                found.elsewhere.append((target, file, name))
            else:
                found.files[target] = beside, _text(beside)
                waiting.append(target)
    return found


def _is(namespace: Scope, path: str, text: str) -> bool:
    """Whether this is what is registered already."""
    try:
        return text_of(namespace, path) == text
    except NotFoundError:
        return False


def _text(file: str) -> str:
    try:
        with open(file, encoding="utf-8") as opened:
            return opened.read()
    except FileNotFoundError:
        raise NotFoundError(f"no file {file}; what is registered already is run by --as PATH alone") from None
    except IsADirectoryError:
        raise InvalidArgumentError(f"{file} is a folder: name the file of a flow in it") from None
    except UnicodeDecodeError as error:
        raise DefinitionError(f"{file}:1: (the whole): a definition is text in UTF-8: {error}") from None


def _subflows(definition: Definition) -> set[str]:
    """The paths of the workflows that a flow calls, as it names them."""
    calls: list[Call] = []
    for state in definition.states.values():
        if isinstance(state.logic, Act | Foreach):
            calls.append(state.logic.call)
        elif isinstance(state.logic, Parallel):
            calls += state.logic.calls
    return {call.function.name for call in calls if call.function.subflow}
