"""Definitions as files of a namespace: registered there, and read from there when they are run."""

from __future__ import annotations

from posixpath import dirname, normpath
from threading import Lock
from typing import Any

from ..address import check_key
from ..errors import ConflictError, DefinitionError, ExistsError, InvalidArgumentError, NotFoundError
from ..lease import Lease, name_in
from ..scope import BaseScope
from .definition import Definition
from .failures import Failure
from .functions.action import Caller
from .gone import clear, note, noted
from .place import DIRECTORY_TYPE, TREE, WORKFLOW_TYPE
from .reading import read
from .variables import find

__all__ = ["Definitions", "alone", "clean_path", "not_there", "register", "text_of", "unregister"]

_KEPT = 128  # definitions
_LEASE_TIME = 10.0  # seconds; it is renewed
_TRIES = 100


def clean_path(path: str, folder: str = "/") -> str:
    """The path of a workflow from the root of its namespace; one that does not begin there is below ``folder``.

    Raises:
        InvalidArgumentError: it is no path of a file.
    """
    given: object = path
    if not isinstance(given, str) or given.rpartition("/")[2] in ("", ".", ".."):
        raise InvalidArgumentError(f"a workflow is named by the path of its file, such as /a/b.yaml, not {path!r:.200}")
    cleaned = "/" + normpath(path if path.startswith("/") else f"{folder}/{path}").lstrip("/")
    check_key(cleaned[1:])
    return cleaned


def not_there(namespace: BaseScope[Any], path: str) -> NotFoundError:
    """The error for a workflow that has no file."""
    return NotFoundError(f"there is no workflow {path} in {namespace}: register its file first")


def text_of(namespace: BaseScope[Any], path: str) -> str:
    """The text of a workflow's file.

    Raises:
        NotFoundError: there is no such file.
        DefinitionError: it is too large, or no text.
    """
    tree: BaseScope[Any] = namespace.scope(*TREE)
    try:
        found = find(tree, path[1:])
    except Failure as failure:
        raise DefinitionError(f"{path}:1: this is no definition: {failure.message}") from None
    if not found.version or (not found.data and tree.record(path[1:]).tags.get("type") == "directory"):
        raise not_there(namespace, path)
    try:
        return found.data.decode()
    except UnicodeDecodeError as error:
        line = found.data.count(b"\n", 0, error.start) + 1
        raise DefinitionError(f"{path}:{line}: a definition is text in UTF-8: {error.reason}") from None


class Definitions:
    """Definitions that were read, so that each text is read once.

    Args:
        caller: tells which functions can be called.
    """

    def __init__(self, caller: Caller | None) -> None:
        self._check = None if caller is None else caller.check
        self._known: dict[tuple[str, str], Definition] = {}
        self._lock = Lock()

    def get(self, text: str, path: str) -> Definition:
        """What a text says.

        Raises:
            DefinitionError: it is not legal, or names a function that cannot be called.
        """
        with self._lock:
            known = self._known.pop((path, text), None)
        if known is None:
            known = read(text, path.rpartition("/")[2], self._check)
        with self._lock:
            while len(self._known) >= _KEPT:
                del self._known[next(iter(self._known))]
            self._known[path, text] = known
        return known


def register(namespace: BaseScope[Any], path: str, text: str, name: str | None = None) -> str:
    """Make a text the workflow of a path, after checking it, and give the clean path. Folders above it are made.

    The variables of the workflow stay, whatever its text was before; those of a deleted one do not. What is the same
    already is left as it is.

    Args:
        name: of the file, in messages; that of the path by default.

    Raises:
        DefinitionError: the text is not legal.
        InvalidArgumentError: it is no path of a file.
        ExistsError: there is a directory of that path, or a file in the place of a folder above it.
    """
    path = clean_path(path)
    read(text, name or path.rpartition("/")[2])
    for attempt in range(_TRIES):
        for each in noted(namespace, path):  # an earlier file's deletion that was broken off
            clear(namespace, each)
        try:
            _register(namespace, path, text.encode())
            break
        except _InTheWay as error:
            raise ExistsError(str(error)) from None
        except ConflictError:  # others, too, registered it, or what is above it
            if attempt == _TRIES - 1:
                raise
    return path


def unregister(namespace: BaseScope[Any], path: str) -> None:
    """Remove the workflow of a path: its definition, and its variables with it.

    What is recorded of its instances stays; one that runs goes on by the text that it began with.

    Raises:
        InvalidArgumentError: it is no path of a file.
        NotFoundError: there is no such workflow.
        BusyError: somebody else moves or deletes files of this namespace, for longer than the store's time-out.
    """
    path = clean_path(path)
    with alone(namespace) as lease, namespace.transaction() as inside:
        tree = inside.scope(*TREE)
        if _type(tree, path) in (None, "directory"):
            raise not_there(namespace, path)
        tree.delete(path[1:], lease=lease)
        scope = namespace.workflow(path)
        note(inside, [scope] if scope.present else [])
    for each in noted(namespace, path):
        clear(namespace, each)


def alone(namespace: BaseScope[Any]) -> Lease:
    """The lease of who moves or deletes files of a namespace: two at once could part a file from its variables."""
    kernel = namespace._kernel
    return Lease(kernel, name_in(namespace.path, "files"), _LEASE_TIME, kernel.config.timeout, renew=True)


class _InTheWay(Exception):
    """Something else is where a workflow, or a folder above it, is to be."""


def _register(namespace: BaseScope[Any], path: str, data: bytes) -> None:
    with namespace.transaction() as inside:
        tree = inside.scope(*TREE)
        folder = dirname(path)
        while folder != "/":
            kind = _type(tree, folder)
            if kind not in (None, "directory"):
                raise _InTheWay(f"{folder} is a file: there can be no {path} below it")
            if kind is None:
                tree.put_chunks(folder[1:], [b""], content_type=DIRECTORY_TYPE, tags={"type": "directory"})
            folder = dirname(folder)
        kind = _type(tree, path)
        if kind == "directory":
            raise _InTheWay(f"{path} is a directory: name a file in it, as in {path}/flow.yaml")
        if kind != "workflow" or tree.get_bytes(path[1:]) != data:
            tree.put_chunks(path[1:], [data], content_type=WORKFLOW_TYPE, tags={"type": "workflow"})


def _type(tree: Any, path: str) -> str | None:
    try:
        return str(tree.record(path[1:]).tags.get("type", "file"))
    except NotFoundError:
        return None
