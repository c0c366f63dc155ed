"""The files of a namespace: records of its scope ``file:tree``, their type a tag. A directory is a record, too.

A workflow's variables live as long as its file: :mod:`~holdfast.service.direktiv.workflows` sees to that.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from posixpath import dirname
from typing import Any

from ...address import check_key
from ...api import Scope
from ...errors import InvalidArgumentError, NotFoundError
from ...flows.gone import note
from ...flows.place import DIRECTORY_TYPE, TREE, WORKFLOW_TYPE
from ...flows.workflows import alone
from ...model import Record
from ...storages.base import OCTETS
from ...streams import guess_type
from ..answer import Answer
from ..base import Exchange, Service
from .answers import DONE, answer_with, base64, data_answer, stamp, too_large
from .bodies import FileChange, NewFile, clean, decode, read
from .namespaces import attempt, in_transaction, namespace_of
from .problems import Problem, invalid
from .variables import mime_type
from .workflows import finish, moving, workflows

__all__ = ["create", "delete", "get", "update"]

_DIRECTORY = "directory"
_TYPES = ("file", "workflow", _DIRECTORY, "service", "endpoint", "consumer")
_BAD_PATH = "filesystem path is invalid"
_BAD_DATA = "file data has invalid base64 string"


def _url_path(exchange: Exchange) -> str:
    return clean("/" + exchange.parameters.get("path", ""))


def _key(path: str) -> str:
    """The key of a path.

    Raises:
        Problem: no file can have this path.
    """
    try:
        if path == clean(path):
            return check_key(path[1:])
    except InvalidArgumentError:
        pass
    raise invalid(_BAD_PATH)


def _type(record: Record) -> str:
    return record.tags.get("type", "file")


def _created(record: Record) -> float:
    return float(record.tags.get("created", record.row.created))


def _shown(record: Record, data: bytes | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"path": f"/{record.key}", "type": _type(record)}
    if _type(record) != _DIRECTORY:
        found |= {"size": record.unpacked_size, "mimeType": record.content_type}
        if data is not None:
            found["data"] = base64(data)
    return found | {"createdAt": stamp(_created(record)), "updatedAt": stamp(record.row.updated)}


def _found(tree: Any, path: str) -> Record:
    try:
        record: Record = tree.record(_key(path))
        return record
    except NotFoundError:
        raise Problem("resource_not_found", "filesystem path is not found") from None


def _children(tree: Scope, prefix: str) -> Iterator[Record]:
    """The records directly in a directory; ``prefix`` is its key with a slash behind."""
    start: str | None = ""
    while start is not None:
        begin, start = start, None
        for record in tree.list(prefix, start=begin):
            name, slash, _ = record.key[len(prefix) :].partition("/")
            if slash:
                start = f"{prefix}{name}0"  # "0" is the character behind "/": all that is below it is passed over
                break
            yield record


# --- reading ----------------------------------------------------------------------------------------------------------


async def get(exchange: Exchange) -> Answer:
    """A file with its data, or a directory with what is in it."""
    namespace = await namespace_of(exchange, "read")
    return await answer_with(exchange, partial(_get, exchange.service, namespace, _url_path(exchange)))


def _get(service: Service, namespace: Scope, path: str) -> dict[str, Any]:
    tree = namespace.scope(*TREE)
    if path == "/":
        made = stamp(namespace.info().since)
        found = {"path": "/", "type": _DIRECTORY, "createdAt": made, "updatedAt": made}
        return {**found, "children": [_shown(child) for child in _children(tree, "")]}
    record = _found(tree, path)
    if _type(record) == _DIRECTORY:
        return {**_shown(record), "children": [_shown(child) for child in _children(tree, f"{record.key}/")]}
    if record.unpacked_size > service.limits.json:
        raise too_large(service)
    return _shown(record, tree.get_bytes(record.key))


# --- writing ----------------------------------------------------------------------------------------------------------


async def create(exchange: Exchange) -> Answer:
    """Make a file or a directory in the directory of the path."""
    namespace = await namespace_of(exchange, "write")
    given = await read(exchange, NewFile)
    kind = given.type or ""
    data = b"" if kind == _DIRECTORY else await decode(exchange, given.data or "", _BAD_DATA)
    if kind not in _TYPES:
        raise invalid("field type has invalid string")
    path = f"{_url_path(exchange).rstrip('/')}/{given.name or ''}"
    if kind == _DIRECTORY:
        mime = DIRECTORY_TYPE
    else:
        guessed = guess_type(path) if kind == "file" else WORKFLOW_TYPE
        mime = mime_type(given.mime_type or guessed or OCTETS)
    answer = await attempt(exchange, partial(_create, exchange.service, namespace, path, kind, mime, data))
    exchange.service.wrote((*namespace.path, TREE))
    return answer


def _create(service: Service, namespace: Scope, path: str, kind: str, mime: str, data: bytes) -> Answer:
    key = _key(path)
    finish(namespace, path)
    with (block := in_transaction(service, namespace)) as inside:
        tree = inside.scope(*TREE)
        _enter(tree, path)
        tree.put_chunks(key, [data], content_type=mime, tags={"type": kind})
    return data_answer(_shown(block.records[-1], data))


def _enter(tree: Scope, path: str) -> None:
    """Refuse a path that is taken, and touch its directory: removing or moving that at the same time conflicts."""
    if tree.exists(_key(path)):
        raise Problem("resource_already_exists", "filesystem path already exists")
    if dirname(path) == "/":
        return
    try:
        above = _found(tree, dirname(path))
    except Problem:
        above = None
    if above is None or _type(above) != _DIRECTORY:
        raise invalid("filesystem path has no parent directory")
    tree.set_tags(above.key, above.tags)


async def update(exchange: Exchange) -> Answer:
    """Change data or path of a file, or the path of a directory; a workflow's variables go along."""
    namespace = await namespace_of(exchange, "write")
    given = await read(exchange, FileChange)
    data = await decode(exchange, given.data, _BAD_DATA) if given.data else None
    path = _url_path(exchange)
    new = path if not given.path else given.path if given.path[0] == "/" else f"/{given.path}"
    readable = data is not None or exchange.access.allows((*namespace.path, TREE), "read")
    answer = await attempt(exchange, partial(_update, exchange.service, namespace, path, new, data, readable))
    exchange.service.wrote((*namespace.path, TREE))
    return answer


def _update(service: Service, namespace: Scope, path: str, new: str, data: bytes | None, readable: bool) -> Answer:
    _key(new)
    if new == path:
        with in_transaction(service, namespace) as inside:
            folder = _change(inside.scope(*TREE), path, new, data)
    else:
        with moving(service, namespace, path, new) as go, in_transaction(service, namespace) as inside:
            folder = _change(inside.scope(*TREE), path, new, data)
            go(inside, folder)
    tree = namespace.scope(*TREE)
    record = _found(tree, new)
    given = readable and not folder and record.unpacked_size <= service.limits.json
    return data_answer(_shown(record, tree.get_bytes(record.key) if given else None))


def _change(tree: Scope, path: str, new: str, data: bytes | None) -> bool:
    """Change data or path in the transaction of ``tree``; gives whether it is a directory."""
    record = _found(tree, path)
    folder = _type(record) == _DIRECTORY
    if folder and (data is not None or new.startswith(f"{path}/")):
        raise invalid(_BAD_PATH)
    if data is not None:
        tree.put_chunks(record.key, [data], content_type=record.content_type, tags=record.tags)
    if new != path:
        _enter(tree, new)
        below = list(tree.list(f"{record.key}/")) if folder else []
        for each in (record, *below):
            target = _key(new) + each.key[len(record.key) :]
            tree.rename(each.key, target)
            tree.set_tags(target, {**each.tags, "created": repr(_created(each))})
    return folder


async def delete(exchange: Exchange) -> Answer:
    """Remove a file, or a directory with all below it; a workflow's variables go with its file."""
    namespace = await namespace_of(exchange, "write")
    await attempt(exchange, partial(_delete, exchange.service, namespace, _url_path(exchange)))
    exchange.service.wrote((*namespace.path, TREE))
    return DONE


def _delete(service: Service, namespace: Scope, path: str) -> None:
    finish(namespace, path)  # an earlier request that was broken off
    with alone(namespace) as lease, in_transaction(service, namespace) as inside:
        tree = inside.scope(*TREE)
        record = _found(tree, path)
        folder = _type(record) == _DIRECTORY
        for key in [record.key, *(tree.keys(f"{record.key}/") if folder else ())]:
            tree.delete(key, lease=lease)
        note(inside, workflows(namespace, path, folder))
    finish(namespace, path)
