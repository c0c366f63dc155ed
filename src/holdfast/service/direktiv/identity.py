"""The ids of variables: a variable is a record, which has a name only, and a client knows it by a UUID.

A UUID is given when a variable is first shown or made, and stays with it when it is renamed. Two marks tell of it, both
integers with tags. The mark by name, in ``direktiv:names`` beside the variables, has the id; the mark by id, in
``direktiv:ids`` of the namespace, has the place and the name. An id counts only while the mark by name has it too: a
mark by id that is out of date, as after a rename in Python, leads nowhere. Marks below a workflow move and go with it.
Those by name of an instance go when it ends; those by id, in ``direktiv:instances`` of the namespace, soon after.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice, takewhile
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

from ...address import Path, format_path, parse_path
from ...api import Scope, Store
from ...catalog.base import ABSENT, Change, Delete, Put
from ...errors import ConflictError, InvalidArgumentError, NotFoundError
from ...hashing import NONE
from ...model import Record
from ...options import tags_text
from ..base import Service

__all__ = ["Known", "batches", "find", "forget", "give", "identify", "remember", "repoint", "take", "tidy"]
__all__ += ["vacate"]

T = TypeVar("T")

_KIND = "direktiv"
_IDS, _INSTANCES = "ids", "instances"
_FEW = 2000  # variables whose marks are looked up one by one
_BATCH = 500  # ids that are given in one commit


class Known(NamedTuple):
    """What a mark by name says of a variable.

    Attributes:
        id: the variable's UUID.
        created: when the variable was made, in seconds since 1970, if it was renamed since; else None.
        marked: when the mark was written.
    """

    id: str
    created: float | None
    marked: float

    def since(self, record: Record) -> float:
        """When the variable was made, which is earlier than its record if it was renamed."""
        made = record.row.created
        return self.created if self.created is not None and made <= self.marked else made


def _names(scope: Any) -> Any:
    return scope.scope(_KIND, "names")


def _ids(scope: Any, path: Path) -> Any:
    of_instance = len(path) > 1 and path[1][0] == "instance"
    return scope._at(path[:1]).scope(_KIND, _INSTANCES if of_instance else _IDS)


def _mark(record: Record) -> Known:
    tags = record.tags
    created = tags.get("created")
    return Known(tags.get("id", ""), None if created is None else float(created), record.row.updated)


def _record(scope: Any, key: str) -> Record | None:
    try:
        found: Record = scope.record(key)
        return found
    except NotFoundError:
        return None


def _place(path: Path) -> str:
    """The path of a scope with variables, as text, below its namespace."""
    return format_path(path[1:])


# --- from an id to a variable -----------------------------------------------------------------------------------------


def find(namespace: Scope, id: str) -> tuple[Scope, str, Known] | None:
    """Scope, name and mark of the variable with this id; read in the transaction of ``namespace``, if it is in one."""
    hint = _record(namespace.scope(_KIND, _IDS), id) or _record(namespace.scope(_KIND, _INSTANCES), id)
    if hint is None:
        return None
    tags = hint.tags
    for place in (tags.get("at"), tags.get("was")):
        if place is not None:
            scope = namespace._at(namespace.path + parse_path(place))
            mark = _record(_names(scope), tags["name"])
            if mark is not None and _mark(mark).id == id:
                return scope, tags["name"], _mark(mark)
    return None


# --- from variables to their ids --------------------------------------------------------------------------------------


def identify(service: Service, scope: Scope, names: Sequence[str], *, near: bool = False) -> dict[str, Known]:
    """The ids of these variables of a scope; those that have none are given one, unless the scope is dropped.

    ``near`` says that the names follow each other in the scope, so that their marks are read as one range.
    """
    while True:
        known = _known(scope, names, near)
        lacking = [name for name in names if name not in known]
        if not lacking or not scope.present:
            return known
        try:
            for batch in batches(lacking):
                _assign(service, scope, batch)
        except ConflictError:
            continue  # another process gives them


def _known(scope: Scope, names: Sequence[str], near: bool) -> dict[str, Known]:
    if names and (near or len(names) > _FEW):
        last = max(map(str.encode, names))
        marks = _names(scope).list(start=min(names, key=str.encode))
        return {mark.key: _mark(mark) for mark in takewhile(lambda mark: mark.key.encode() <= last, marks)}
    records = ((name, _record(_names(scope), name)) for name in names)
    return {name: _mark(record) for name, record in records if record is not None}


def batches(items: Iterable[T]) -> Iterator[list[T]]:
    """Lists of as many items each as one commit takes."""
    left = iter(items)
    while batch := list(islice(left, _BATCH)):
        yield batch


def _assign(service: Service, scope: Scope, names: list[str]) -> None:
    catalog, integer = service.kernel.catalog, service.kernel.integer
    began = {scope.path: catalog.scope_id(scope.path)}
    if None in began.values():
        return  # dropped: a mark would make it again
    at, names_path, ids_path = _place(scope.path), _names(scope).path, _ids(scope, scope.path).path
    changes: list[Change] = []
    for name in names:
        id = str(uuid4())
        marks = (names_path, name, {"id": id}, ABSENT), (ids_path, id, {"at": at, "name": name}, None)
        changes += [
            Put(path, key, integer, NONE, None, 8, 1, tags=tags_text(tags), if_version=version)
            for path, key, tags, version in marks
        ]
    catalog.commit(changes, began=began)


# --- in a transaction -------------------------------------------------------------------------------------------------


def give(scope: Scope, name: str) -> str:
    """Give an id to a variable that is being made."""
    id = str(uuid4())
    remember(scope, name, id)
    return id


def remember(scope: Scope, name: str, id: str, created: float | None = None) -> None:
    """Write both marks of a variable; ``created`` is for one that is renamed, whose record begins anew."""
    stale = _record(_names(scope), name)
    if stale is not None and _mark(stale).id != id:
        _ids(scope, scope.path).delete(_mark(stale).id, missing_ok=True)
    tags = {"id": id} if created is None else {"id": id, "created": repr(created)}
    _names(scope).put(name, 1, tags=tags)
    _ids(scope, scope.path).put(id, 1, tags={"at": _place(scope.path), "name": name})


def take(scope: Scope, name: str, id: str) -> None:
    """Delete both marks of a variable that is deleted or renamed."""
    _names(scope).delete(name, missing_ok=True)
    _ids(scope, scope.path).delete(id, missing_ok=True)


# --- of all variables of a scope --------------------------------------------------------------------------------------


def repoint(service: Service, scope: Scope, name: str) -> None:
    """Before a scope is renamed: let the marks by id name both its new path and its present one."""
    path = (*scope.path[:-1], (scope.kind, name))
    where = {"at": _place(path), "was": _place(scope.path)}
    for batch in batches(_names(scope).keys()):
        marks = ((key, _record(_names(scope), key)) for key in batch)
        pairs = [(_mark(mark).id, {**where, "name": key}) for key, mark in marks if mark is not None]
        integer, ids = service.kernel.integer, _ids(scope, scope.path).path
        changes = [Put(ids, id, integer, NONE, None, 8, 1, tags=tags_text(tags)) for id, tags in pairs]
        service.kernel.catalog.commit(changes)


def forget(scope: Scope, before: float) -> None:
    """Before variables of a scope are removed: delete their marks by id, those that were given before this time."""
    old = (_mark(mark).id for mark in _names(scope).list() if mark.row.updated < before)
    for batch in batches(old):
        with suppress(ConflictError), scope.transaction() as inside:
            for id in batch:
                _ids(inside, scope.path).delete(id, missing_ok=True)


def vacate(scope: Scope) -> None:
    """Drop a scope in which there is nothing but marks of variables that are gone.

    Raises:
        ConflictError: it holds something else, or somebody puts something there at the same time.
    """
    if next(scope.keys(limit=1), None) is not None:
        raise ConflictError(f"there are variables in {scope}")
    names = _names(scope)
    with scope.transaction() as inside:
        for mark in names.list():
            if not inside.exists(mark.key):
                take(inside, mark.key, _mark(mark).id)
    for emptied in (names, scope):
        emptied.drop(missing_ok=True, only_empty=True)


def tidy(store: Store) -> None:
    """Delete the marks by id of variables of instances that have ended: those that lead nowhere."""
    for namespace in store.children("namespace"):
        ids = namespace.scope(_KIND, _INSTANCES)
        for batch in batches(mark for mark in ids.list() if not _leads(namespace, mark.key)):
            with suppress(ConflictError, NotFoundError):  # one of them was given again at this moment
                store._kernel.catalog.commit([Delete(ids.path, mark.key, None, mark.version) for mark in batch])


def _leads(namespace: Scope, id: str) -> bool:
    try:
        return find(namespace, id) is not None
    except (InvalidArgumentError, LookupError):  # a mark that is none
        return False
