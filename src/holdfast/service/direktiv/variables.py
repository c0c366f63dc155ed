"""Variables: those of a namespace, of a workflow, of an instance."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from math import inf
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from ...address import Path
from ...api import Scope
from ...errors import InvalidArgumentError, NotFoundError
from ...flows.place import is_name
from ...flows.record import FACTS, KIND, PENDING
from ...kernel import NATIVE_INTEGER
from ...model import STORABLE, Record
from ...options import check_content_type
from ...storages.base import OCTETS
from ..answer import Answer
from ..base import Exchange, Service
from ..v1.content import content_answer
from ..v1.values import look
from .answers import DONE, answer_with, base64, data_answer, stamp, too_large
from .bodies import NewVariable, VariableChange, clean, decode, number, parse_uuid, query, read
from .identity import Known, batches, find, give, identify, remember, take
from .namespaces import attempt, in_transaction, namespace_of
from .problems import Problem, invalid, missing

__all__ = ["create", "delete", "delete_several", "get", "listing", "mime_type", "update"]

_BAD_NAME = "field name has invalid string"
_BAD_ID = "variable id is invalid uuid string"
_BAD_PATH = "query param workflowPath invalid file path"


class _Variable(NamedTuple):
    """A variable: where it lies, its record and its mark."""

    scope: Scope
    record: Record
    known: Known


def mime_type(given: str) -> str:
    """Check a MIME type and give it back.

    Raises:
        Problem: it is no MIME type.
    """
    try:
        return check_content_type(given)
    except InvalidArgumentError:
        raise invalid("field mimeType has invalid string") from None


def _shown(variable: _Variable, data: bytes = b"") -> dict[str, Any]:
    scope, record, known = variable
    level = "namespace" if len(scope.path) == 1 else scope.kind
    found = {
        "id": known.id,
        "type": f"{level}-variable",
        "reference": scope.name,
        "name": record.key,
        "size": _size(scope, record),
        "mimeType": record.content_type,
        "createdAt": stamp(known.since(record)),
        "updatedAt": stamp(record.row.updated),
    }
    if data:
        found["data"] = base64(data)
    return found


def _size(scope: Scope, record: Record) -> int:
    """Bytes of the data that a client is given, which are the digits for an integer that the catalog keeps."""
    if record.serializer != NATIVE_INTEGER.serializer:
        return record.unpacked_size
    return len(str(scope.get(record.key, 0)))


# --- reading ----------------------------------------------------------------------------------------------------------


def _found(namespace: Scope, id: str) -> _Variable:
    """The variable with this id.

    Raises:
        Problem: there is none in this namespace.
    """
    found = find(namespace, id)
    if found is None:
        raise missing()
    scope, name, known = found
    return _Variable(scope, _record_of(scope, name), known)


def _record_of(scope: Scope, name: str) -> Record:
    """The record of a variable. Objects of several contents have no bytes of their own, and are no variables.

    Raises:
        Problem: no such variable.
    """
    try:
        record = scope.record(name)
    except NotFoundError:
        raise missing() from None
    if record.serializer == STORABLE:
        raise missing()
    return record


async def get(exchange: Exchange) -> Answer:
    """A variable with its data, or with ``raw=true`` its bytes."""
    namespace = await namespace_of(exchange, "read")
    id = parse_uuid(exchange.parameters["id"], _BAD_ID)
    if query(exchange, "raw") == "true":
        scope, record, _ = await exchange.service.driver.away(partial(_found, namespace, id))
        return await _raw(exchange, scope, record.key)
    return await answer_with(exchange, partial(_with_data, exchange.service, namespace, id))


def _with_data(service: Service, namespace: Scope, id: str) -> dict[str, Any]:
    variable = _found(namespace, id)
    if variable.record.unpacked_size > service.limits.json:
        raise too_large(service)
    return _shown(variable, variable.scope.get_bytes(variable.record.key))


async def _raw(exchange: Exchange, scope: Scope, name: str) -> Answer:
    exchange.path, exchange.key = scope.path, name
    return await content_answer(exchange, partial(look, exchange.service, scope.path, name, None))


async def listing(exchange: Exchange) -> Answer:
    """The variables of a namespace, workflow or instance, by creation, without data; with ``raw=true`` the bytes of the
    only one."""
    namespace = await namespace_of(exchange, "read")
    scope = _level(exchange, namespace)
    name, limit, after = query(exchange, "name"), _limit(exchange), query(exchange, "after")
    if after:
        after = parse_uuid(after, "query param after invalid uuid string")
    if query(exchange, "raw") == "true":
        found = await exchange.service.driver.away(partial(_only, scope, name))
        try:
            return await _raw(exchange, scope, found[0].key) if len(found) == 1 else Answer(404, [])
        except NotFoundError:
            return Answer(404, [])
    return await answer_with(exchange, partial(_listed, exchange.service, namespace, scope, name, limit, after))


def _level(exchange: Exchange, namespace: Scope) -> Scope:
    instance, workflow = query(exchange, "instanceId"), query(exchange, "workflowPath")
    if instance:
        instance = parse_uuid(instance, "query param instanceId invalid uuid string")
    if workflow and workflow != clean(workflow):
        raise invalid(_BAD_PATH)
    if instance:
        return namespace.instance(instance)
    try:
        return namespace.workflow(workflow) if workflow else namespace
    except InvalidArgumentError:
        raise invalid(_BAD_PATH) from None


def _limit(exchange: Exchange) -> int | None:
    found = number(exchange, "limit")
    if found == 0:
        raise invalid("query param limit invalid number")
    return found


def _records(scope: Scope, **options: Any) -> Iterable[Record]:
    return (record for record in scope.list(**options) if record.serializer != STORABLE)


def _only(scope: Scope, name: str) -> list[Record]:
    """The variable of this name, or without a name the first two: enough to tell whether there is only one."""
    if not name:
        return list(islice(_records(scope), 2))
    try:
        return [_record_of(scope, name)]
    except (Problem, InvalidArgumentError):
        return []


def _listed(service: Service, namespace: Scope, scope: Scope, name: str, limit: int | None, after: str) -> list[Any]:
    if not name and limit is None and not after:
        return _all(service, scope)
    if name:
        records = _only(scope, name)
    else:
        last = _after(namespace, scope, after) if after else None
        records = list(islice(_records(scope, order="created", after=last), limit))
    return [_shown(variable) for variable in _identified(service, scope, records)]


def _identified(service: Service, scope: Scope, records: list[Record], *, near: bool = False) -> list[_Variable]:
    known = identify(service, scope, [record.key for record in records], near=near)
    return [_Variable(scope, record, known[record.key]) for record in records if record.key in known]


def _all(service: Service, scope: Scope) -> list[Any]:
    """All variables, by creation, each as JSON already, which takes less memory than records do."""
    found = []
    for records in batches(_records(scope)):  # in the order of names, which costs no sorting of each page
        for variable in _identified(service, scope, records, near=True):
            shown = msgspec.Raw(msgspec.json.encode(_shown(variable)))
            found.append((variable.known.since(variable.record), variable.record.key, shown))
    found.sort(key=itemgetter(0, 1))
    return [shown for _, _, shown in found]


def _after(namespace: Scope, scope: Scope, id: str) -> Record:
    found = find(namespace, id)
    if found is not None and found[0].path == scope.path:
        return _record_of(scope, found[1])
    raise invalid("query param after is no variable of this list")


# --- writing ----------------------------------------------------------------------------------------------------------


async def create(exchange: Exchange) -> Answer:
    """Make a variable."""
    namespace = await namespace_of(exchange, "write")
    given = await read(exchange, NewVariable)
    data = await decode(exchange, given.data or "")
    path: Path = namespace.path
    if given.instance_id:
        path = (*path, ("instance", parse_uuid(given.instance_id, "field instanceId has invalid uuid string")))
    if given.workflow_path:
        path = (*namespace.path, ("workflow", clean("/" + given.workflow_path)))
    if given.name is None or not is_name(given.name):
        raise invalid(_BAD_NAME)
    mime = mime_type(given.mime_type or OCTETS)
    answer = await attempt(exchange, partial(_create, exchange.service, namespace, path, given.name, mime, data))
    exchange.service.wrote(path)
    return answer


def _may_have(inside: Scope, instance: str) -> bool:
    """Whether variables can be put into this instance: a flow that goes on, or can be gone on with, as its end removes
    them; or else what Python made. Asked in the transaction that puts them, so that they do not come after the end."""
    facts = inside.scope(KIND, instance).get(FACTS, None)
    if isinstance(facts, dict):
        return facts.get("status") == PENDING
    return inside.instance(instance).present


def _create(service: Service, namespace: Scope, path: Path, name: str, mime: str, data: bytes) -> Answer:
    with (block := in_transaction(service, namespace)) as inside:
        if path[-1][0] == "instance" and not _may_have(inside, path[-1][1]):
            raise missing()
        scope = inside._at(path)
        if scope.exists(name):
            raise _duplicate()
        scope.put_chunks(name, [data], content_type=mime)
        id = give(scope, name)
    return data_answer(_shown(_Variable(service.scope(path), block.records[0], Known(id, None, 0.0)), data))


def _duplicate() -> Problem:
    return Problem("resource_already_exists", "resource already exists")


async def update(exchange: Exchange) -> Answer:
    """Change name, MIME type or data of a variable."""
    namespace = await namespace_of(exchange, "write")
    id = parse_uuid(exchange.parameters["id"], _BAD_ID)
    given = await read(exchange, VariableChange)
    data = None if given.data is None else await decode(exchange, given.data)
    if given.name is not None and not is_name(given.name):
        raise invalid(_BAD_NAME)
    mime = None if given.mime_type is None else mime_type(given.mime_type)

    def work() -> tuple[Path, Answer]:
        variable = _update(exchange.service, namespace, id, given.name, mime, data)
        scope, record, _ = variable
        readable = exchange.access.allows(scope.path, "read")
        if data is not None:
            shown = data
        elif readable and record.unpacked_size <= exchange.service.limits.json:
            shown = scope.get_bytes(record.key)
        else:
            shown = b""
        return scope.path, data_answer(_shown(variable, shown))

    path, answer = await attempt(exchange, work)
    exchange.service.wrote(path)
    return answer


def _update(
    service: Service, namespace: Scope, id: str, new: str | None, mime: str | None, data: bytes | None
) -> _Variable:
    with (block := in_transaction(service, namespace)) as inside:
        scope, record, known = _found(inside, id)
        name, created = record.key, known.since(record)
        if new is not None and new != name:
            if scope.exists(new):
                raise _duplicate()
            scope.rename(name, new)
            take(scope, name, id)
            remember(scope, new, id, created)
            name = new
        if data is not None:
            mime = mime or record.content_type
            scope.put_chunks(name, [data], content_type=mime, tags=record.tags, expires=record.expires)
        elif mime is not None:
            scope.set_content_type(name, mime)
        elif name == record.key:
            scope.set_tags(name, record.tags)  # nothing else is another, but when it was written
    (last,) = [made for made in block.records if (made.path, made.key) == (scope.path, name)][-1:]
    return _Variable(service.scope(scope.path), last, Known(id, created, inf))


async def delete(exchange: Exchange) -> Answer:
    """Remove a variable."""
    return await _delete(exchange, lambda: [exchange.parameters["id"]])


async def delete_several(exchange: Exchange) -> Answer:
    """Remove those that ``ids`` names, all or none."""
    return await _delete(exchange, lambda: query(exchange, "ids").split(","))


async def _delete(exchange: Exchange, named: Callable[[], list[str]]) -> Answer:
    namespace = await namespace_of(exchange, "write")
    ids = {parse_uuid(id, _BAD_ID) for id in named()}
    for path in await attempt(exchange, partial(_remove, exchange.service, namespace, ids)):
        exchange.service.wrote(path)
    return DONE


def _remove(service: Service, namespace: Scope, ids: set[str]) -> set[Path]:
    with in_transaction(service, namespace) as inside:
        variables = [_found(inside, id) for id in ids]
        for scope, record, known in variables:
            scope.delete(record.key)
            take(scope, record.key, known.id)
    return {variable.scope.path for variable in variables}
