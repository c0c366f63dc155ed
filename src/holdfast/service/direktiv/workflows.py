"""The scopes of workflows, whose variables live as long as the workflow's file and move with it.

Scopes are renamed and dropped outside of transactions, so these are commits beside the file's own. Before a file moves
its variables do, and they come back when its commit fails. After the commit that deletes a file they go, see
:mod:`holdfast.flows.gone`. So an error loses no variable, and none comes back with another file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ...api import Scope
from ...errors import ConflictError, ExistsError, HoldfastError, NotFoundError
from ...flows.gone import clear, noted
from ...flows.place import TREE
from ...flows.workflows import alone
from ...writing import CERTAIN
from ..base import Service
from .identity import forget, repoint, vacate
from .problems import Problem

__all__ = ["finish", "moving", "workflows"]


def workflows(namespace: Scope, path: str, folder: bool) -> list[Scope]:
    """The scope of a workflow, if it exists, or those of all workflows below a directory."""
    if not folder:
        scope = namespace.workflow(path)
        return [scope] if scope.present else []
    return [scope for scope in namespace.children("workflow") if scope.name.startswith(f"{path}/")]


# --- moving -----------------------------------------------------------------------------------------------------------


@contextmanager
def moving(service: Service, namespace: Scope, path: str, new: str) -> Iterator[Callable[[Any, bool], None]]:
    """Around the transaction that moves a file or directory: gives a function to call in it, which moves the variables.

    When the transaction fails they are moved back.
    """
    for each in (path, new):
        finish(namespace, each)
    moved: list[tuple[Scope, str]] = []
    with alone(namespace) as lease:

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


def finish(namespace: Scope, path: str) -> None:
    """Remove what was noted for the workflow of this path, or those below it, when their files were deleted."""
    for each in noted(namespace, path):
        forget(namespace.workflow(f"/{each.key}"), each.row.updated)
        clear(namespace, each)
