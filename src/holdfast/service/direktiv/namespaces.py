"""Namespaces, and what all handlers of requests in a namespace use."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

from ...address import Path, check_name
from ...api import Scope
from ...errors import ConflictError, ExistsError, InvalidScopeError, NotFoundError
from ...flows.place import is_name
from ...model import ScopeInfo
from ...transaction import Atomic
from ..answer import Answer
from ..base import Exchange, Service
from .answers import DONE, answer_with, data_answer, stamp
from .bodies import Mirror, NewNamespace, read
from .problems import Problem, invalid, missing

__all__ = ["attempt", "create", "delete", "get", "in_transaction", "listing", "namespace_of"]

T = TypeVar("T")

_KIND = "namespace"
_PROPERTY = "direktiv"
_PAGE = 1000


def _path(exchange: Exchange) -> Path | None:
    try:
        return (check_name(_KIND, exchange.parameters["namespace"]),)
    except InvalidScopeError:
        return None  # no such name, so no such namespace


async def namespace_of(exchange: Exchange, verb: str) -> Scope:
    """The namespace that a request names.

    Raises:
        Refusal: the token does not allow the verb on it.
        Problem: no such namespace.
    """
    path = _path(exchange)
    if path is None:
        raise missing("(namespace)")
    scope = exchange.service.scope(exchange.need(verb, path))
    if not await exchange.service.driver.look(lambda: scope.present):
        raise missing("(namespace)")
    return scope


def in_transaction(service: Service, namespace: Scope) -> Atomic[Scope]:
    """A transaction in a namespace, which it gives; it fails if the namespace is dropped before the commit."""

    def begin(ledger: Any) -> Scope:
        if ledger.scope_id(namespace.path) is None:
            raise missing("(namespace)")
        return namespace._inside(ledger)

    return Atomic(service.kernel, begin, None)


async def attempt(exchange: Exchange, work: Callable[[], T]) -> T:
    """Call ``work`` in a thread, and again as long as it fails because others changed what it has read."""
    end = time.monotonic() + exchange.service.kernel.config.timeout

    def again() -> T:
        while True:
            try:
                return work()
            except ConflictError:
                if time.monotonic() >= end:
                    raise
            time.sleep(random.random() * 0.01)

    return await exchange.service.driver.away(again)


def _shown(info: ScopeInfo) -> dict[str, Any]:
    made = stamp(info.since)
    own = info.properties.get(_PROPERTY)
    mirror = own.get("mirror") if isinstance(own, Mapping) else None
    return {
        "name": info.name,
        "createdAt": made,
        "updatedAt": made,
        "mirror": mirror,
        "isSystemNamespace": info.name == "system",
    }


async def listing(exchange: Exchange) -> Answer:
    """All namespaces that the token may read, by creation."""
    return await answer_with(exchange, partial(_listed, exchange))


def _listed(exchange: Exchange) -> list[dict[str, Any]]:
    seen = [info for info in _all(exchange.service) if exchange.access.allows(info.path, "read")]
    seen.sort(key=lambda info: (info.since, info.name))
    return [_shown(info) for info in seen]


def _all(service: Service) -> Iterator[ScopeInfo]:
    after = (_KIND, "")
    while True:
        page = service.kernel.catalog.children((), after, _PAGE)
        yield from (info for info in page if info.kind == _KIND)
        if len(page) < _PAGE or page[-1].kind != _KIND:
            return
        after = (_KIND, page[-1].name)


async def get(exchange: Exchange) -> Answer:
    """One namespace."""
    path = _path(exchange)
    if path is None:
        raise missing()
    scope = exchange.service.scope(exchange.need("read", path))
    return data_answer(_shown(await exchange.service.driver.look(scope.info)))


async def create(exchange: Exchange) -> Answer:
    """Make a namespace."""
    given = await read(exchange, NewNamespace)
    name = given.name
    if name is None or not is_name(name) or name != name.lower():
        raise invalid("invalid namespace name")
    scope = exchange.service.scope(exchange.need("write", ((_KIND, name),)))
    properties = None
    if given.mirror is not None:
        properties = {_PROPERTY: {"mirror": _mirror(given.mirror, exchange.service.kernel.catalog.now())}}
    try:
        await exchange.service.driver.away(partial(scope.create, properties, exist_ok=False))
    except ExistsError:
        raise invalid("namespace name already used") from None
    return data_answer(_shown(await exchange.service.driver.look(scope.info)))


def _mirror(given: Mirror, now: float) -> dict[str, Any]:
    needed = {"url": given.url, "gitRef": given.git_ref, "authType": given.auth_type}
    lacking = {name: "field is required" for name, value in needed.items() if not value}
    if lacking:
        raise Problem("request_data_invalid", "request data has invalid fields", lacking)
    public = {} if given.public_key is None else {"publicKey": given.public_key}
    times = {"createdAt": stamp(now), "updatedAt": stamp(now)}
    return {**needed, **public, "insecure": bool(given.insecure), **times}


async def delete(exchange: Exchange) -> Answer:
    """Remove a namespace with all that is in it."""
    path = _path(exchange)
    if path is None:
        raise missing()
    scope = exchange.service.scope(exchange.need("admin", path))
    try:
        await exchange.service.driver.away(scope.drop)
    except NotFoundError:
        raise missing() from None
    exchange.service.wrote(path)
    return DONE
