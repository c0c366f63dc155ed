"""The scopes of workflows, whose variables live as long as the workflow's file and move with it.

Scopes are renamed and dropped outside of transactions, so these are commits beside the file's own. Before a file moves
its variables do, and they come back when its commit fails. The commit that deletes a file notes in ``direktiv:gone`` of
the namespace that its variables are to go, and what was there at that time goes afterwards: if that is broken off, when
a file of that path is made again. So an error loses no variable, and none comes back with another file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any

from ...api import Scope
from ...catalog.base import Change, Delete
from ...errors import ConflictError, ExistsError, HoldfastError, NotFoundError
from ...flows.place import TREE
from ...lease import Lease
from ...writing import CERTAIN
from ..base import Service
from .identity import forget, repoint, vacate
from .problems import Problem

__all__ = ["alone", "finish", "moving", "note", "workflows"]

_LEASE_TIME = 10.0  # seconds; it is renewed
_BATCH = 500  # records that are deleted in one commit


def workflows(namespace: Scope, path: str, folder: bool) -> list[Scope]:
    """The scope of a workflow, if it exists, or those of all workflows below a directory."""
    if not folder:
        scope = namespace.workflow(path)
        return [scope] if scope.present else []
    return [scope for scope in namespace.children("workflow") if scope.name.startswith(f"{path}/")]


def alone(service: Service, namespace: Scope) -> Lease:
    """The lease of who moves or deletes files of a namespace: two at once could part a file from its variables."""
    name = str(namespace.scope(*TREE))[:512]
    return service.store.lease(name, seconds=_LEASE_TIME, wait=service.kernel.config.timeout, renew=True)


# --- moving -----------------------------------------------------------------------------------------------------------


@contextmanager
def moving(service: Service, namespace: Scope, path: str, new: str) -> Iterator[Callable[[Any, bool], None]]:
    """Around the transaction that moves a file or directory: gives a function to call in it, which moves the variables.

    When the transaction fails they are moved back.
    """
    for each in (path, new):
        finish(service, namespace, each)
    moved: list[tuple[Scope, str]] = []
    with alone(service, namespace) as lease:

        def go(inside: Any, folder: bool) -> None:
            inside._ledger.commit((), fence=lease.fence)
            _move(service, namespace, path, new, folder, moved)

        try:
            yield go
        except BaseException as error:
            with suppress(HoldfastError):  # what failed first is told
                tree = namespace.scope(*TREE)
                if isinstance(error, (*CERTAIN, Problem)) or not tree.exists(new[1:]):
                    _give_back(service, moved)
            raise


def _move(
    service: Service, namespace: Scope, path: str, new: str, folder: bool, moved: list[tuple[Scope, str]]
) -> None:
    for scope in workflows(namespace, path, folder):
        name = new + scope.name[len(path) :]
        try:
            vacate(namespace.workflow(name))
            repoint(service, scope, name)
            moved.append((scope.rename_scope(name), scope.name))
        except NotFoundError:
            continue  # dropped at this moment
        except ConflictError:
            raise Problem("resource_already_exists", f"there are variables of the workflow {name} already") from None


def _give_back(service: Service, moved: list[tuple[Scope, str]]) -> None:
    for scope, name in reversed(moved):
        with suppress(ExistsError, NotFoundError):  # what others put there since stays, and so does this
            repoint(service, scope, name)
            scope.rename_scope(name)


# --- deleting ---------------------------------------------------------------------------------------------------------


def note(inside: Any, scopes: Iterable[Scope]) -> None:
    """In the transaction that deletes files: note that what is in these scopes now is to be removed."""
    for scope in scopes:
        _notes(inside).put(scope.name[1:], 1)


def _notes(namespace: Any) -> Any:
    return namespace.scope("direktiv", "gone")


def finish(service: Service, namespace: Scope, path: str) -> None:
    """Remove what was noted for the workflow of this path, or those below it, when their files were deleted."""
    notes = _notes(namespace)
    for noted in list(notes.list(path[1:])):
        if f"/{noted.key}/".startswith(f"{path}/"):
            scope = namespace.workflow(f"/{noted.key}")
            forget(scope, noted.row.updated)
            _clear(service, scope, noted.row.updated)
            _delete(service, [Delete(notes.path, noted.key, None, noted.version)])


def _clear(service: Service, scope: Scope, before: float) -> None:
    """Remove what was written into a scope, and below it, before this time; what was written since stays."""
    for child in list(scope.children()):
        _clear(service, child, before)
    while old := list(islice((record for record in scope.list() if record.row.updated < before), _BATCH)):
        _delete(service, [Delete(scope.path, record.key, None, record.version) for record in old])
    with suppress(ConflictError):
        scope.drop(missing_ok=True, only_empty=True)


def _delete(service: Service, changes: list[Change]) -> None:
    with suppress(ConflictError, NotFoundError):  # others wrote or deleted one of them at this moment
        service.kernel.catalog.commit(changes)
