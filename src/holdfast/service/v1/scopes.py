"""``/v1/scopes``: what a scope is and holds; making, changing, renaming and dropping it."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from ...address import Path, check_name, format_path
from ...catalog.base import Policy
from ...errors import ExistsError, InvalidArgumentError
from ...model import ScopeInfo
from ..answer import Answer, json_answer
from ..base import Exchange
from ..validation import check_length
from .fields import only, time_text

__all__ = ["drop", "get", "patch", "put", "scope_json"]


def scope_json(info: ScopeInfo) -> dict[str, Any]:
    """A scope as JSON."""
    return {
        "scope": format_path(info.path),
        "kind": info.kind,
        "name": info.name,
        "created": time_text(info.since),
        "properties": dict(info.properties),
    }


def _told(exchange: Exchange, path: Path) -> dict[str, Any]:
    """All of a scope, or to who may not read it its name alone."""
    service = exchange.service
    if not exchange.access.allows(path, "read"):
        return {"scope": format_path(path)}
    if not path:
        return {"scope": "", "kind": None, "name": None, "created": None, "properties": {}}
    scope = service.scope(path)
    info, usage = scope.info(), scope.usage()
    return {
        **scope_json(info),
        "usage": {"records": usage.records, "bytes": usage.size},
        "policy": scope.policy()._asdict(),
    }


async def get(exchange: Exchange) -> Answer:
    """What a scope is and holds; of the root, that it is there."""
    return json_answer(200, await exchange.service.driver.away(partial(_told, exchange, exchange.path)))


async def put(exchange: Exchange) -> Answer:
    """Make a scope, or replace the properties of one that is there."""
    given = await exchange.json()
    only(given, "properties")
    scope, driver = exchange.scope, exchange.service.driver
    properties = _properties(given)
    try:
        await driver.brief(partial(scope.create, properties, exist_ok=False))
        status = 201
    except ExistsError:
        if properties is not None:
            await driver.brief(partial(scope.create, properties))
        status = 200
    exchange.service.wrote(exchange.path[:-1])
    return json_answer(status, await driver.away(partial(_told, exchange, exchange.path)))


async def patch(exchange: Exchange) -> Answer:
    """Rename a scope, or change its properties or what it asks for; one of these."""
    given = await exchange.json()
    only(given, "name", "properties", "policy")
    if len(given) != 1:
        raise InvalidArgumentError("a scope is changed by one of name, properties and policy")
    exchange.need("write" if "properties" in given else "admin", exchange.path)
    if "name" in given and exchange.path:  # nor does it leave what the token opens
        exchange.need("admin", (*exchange.path[:-1], check_name(exchange.path[-1][0], given["name"])))
    service, path, scope = exchange.service, exchange.path, exchange.scope
    await service.driver.look(scope.info)  # what is not there is not changed
    if "name" in given:
        path = (await service.driver.away(partial(scope.rename_scope, given["name"]))).path
    elif "properties" in given:
        await service.driver.brief(partial(scope.create, _properties(given)))
    else:
        policy = given["policy"]
        if not isinstance(policy, dict):
            raise InvalidArgumentError(f"a policy is an object of {', '.join(Policy._fields)}")
        only(policy, *Policy._fields)
        await service.driver.away(partial(scope.set_policy, **policy))
    return json_answer(200, await service.driver.away(partial(_told, exchange, path)))


async def drop(exchange: Exchange) -> Answer:
    """Remove a scope with all below it, in one commit; with ``only_empty`` only when there is nothing."""
    only_empty = exchange.flag("only_empty")
    await exchange.service.driver.away(partial(exchange.scope.drop, only_empty=only_empty))
    exchange.service.wrote(exchange.path)
    return Answer(204, [])


def _properties(given: dict[str, Any]) -> dict[str, Any] | None:
    properties = given.get("properties")
    if properties is None or isinstance(properties, dict):
        check_length(json.dumps(properties), "properties")
        return properties
    raise InvalidArgumentError("properties must be a JSON object")
