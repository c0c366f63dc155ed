"""Variables of workflows whose files were deleted.

The commit that deletes a file notes in ``direktiv:gone`` of the namespace that its workflow's variables are to go. What
was there at that time goes afterwards: at the latest before a file of that path is made again.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from typing import Any

from ..catalog.base import Change, Delete
from ..errors import AccessError, ConflictError, NotFoundError
from ..model import Record
from ..scope import BaseScope

__all__ = ["clear", "note", "noted"]

_BATCH = 500  # records that are deleted in one commit


def note(inside: Any, scopes: Iterable[BaseScope[Any]]) -> None:
    """In the transaction that deletes files: note that what is in these scopes of workflows now is to be removed."""
    for scope in scopes:
        _notes(inside).put(scope.name[1:], 1)


def noted(namespace: BaseScope[Any], path: str) -> list[Record]:
    """What is noted for the workflow of this path, and those below it."""
    found = list(_notes(namespace).list(path[1:]))
    return [each for each in found if f"/{each.key}/".startswith(f"{path}/")]


def clear(namespace: BaseScope[Any], noted: Record) -> None:
    """Remove what was noted, and then the note."""
    _clear(namespace.workflow(f"/{noted.key}"), noted.row.updated)
    _delete(namespace, [Delete(_notes(namespace).path, noted.key, None, noted.version)])


def _notes(namespace: Any) -> Any:
    return namespace.scope("direktiv", "gone")


def _clear(scope: BaseScope[Any], before: float) -> None:
    """Remove what was written into a scope, and below it, before this time; what was written since stays."""
    for child in list(scope.children()):
        _clear(child, before)
    while old := list(islice((record for record in scope.list() if record.row.updated < before), _BATCH)):
        _delete(scope, [Delete(scope.path, record.key, None, record.version) for record in old])
    with suppress(ConflictError, AccessError):  # who may write here, and drops no scopes, leaves it empty
        scope.drop(missing_ok=True, only_empty=True)


def _delete(scope: BaseScope[Any], changes: list[Change]) -> None:
    with suppress(ConflictError, NotFoundError):  # others wrote or deleted one of them at this moment
        scope._kernel.catalog.commit(changes)
