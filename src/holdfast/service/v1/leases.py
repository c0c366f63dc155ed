"""``/v1/leases``: being the only one, for programs of any language."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from ...address import check_name
from ...catalog.base import Fence, LeaseRow
from ...errors import InvalidArgumentError, InvalidScopeError
from ..answer import Answer, json_answer
from ..base import Exchange
from ..problems import problem
from ..remote.calls import LONGEST, REMOTE, check_lease
from .fields import only, time_text

__all__ = ["acquire", "release", "renew"]


def _name(exchange: Exchange) -> str:
    """The name of the lease, which this token may take."""
    name = exchange.parameters["name"]
    check_lease(exchange.access, name)
    return name


def _seconds(given: dict[str, Any]) -> float:
    seconds = given.get("seconds", 30)
    if type(seconds) in (int, float) and 0 < seconds <= LONGEST:
        return float(seconds)
    raise InvalidArgumentError(f"seconds must be a number above 0, at most {LONGEST:.0f}, not {seconds!r:.80}")


def _token(token: Any) -> int:
    if type(token) is int and 0 < token < 1 << 62:
        return token
    raise InvalidArgumentError(f"token must be the number that the lease was given with, not {token!r:.80}")


def _lease_json(row: LeaseRow) -> dict[str, Any]:
    return {"name": row.name, "owner": row.owner.removeprefix(REMOTE), "expires": time_text(row.expires)}


async def acquire(exchange: Exchange) -> Answer:
    """Take a lease. Who gives the same ``owner`` again gets the same lease again."""
    given = await exchange.json()
    only(given, "seconds", "owner")
    name, seconds = _name(exchange), _seconds(given)
    try:
        owner = check_name("owner", given.get("owner") or os.urandom(12).hex())[1]
    except InvalidScopeError:
        raise InvalidArgumentError("owner must be text of at most 512 characters, without control characters") from None
    service = exchange.service
    row = await service.driver.brief(partial(service.kernel.catalog.acquire, name, REMOTE + owner, seconds))
    if row.owner == REMOTE + owner:
        return json_answer(201, {**_lease_json(row), "token": row.token})
    # not by whom: who gives its owner is given the lease
    told = f"lease {name!r} is held by another until {time_text(row.expires)}"
    lease = {"name": name, "expires": time_text(row.expires)}
    return json_answer(409, {**problem("conflict", told, exchange.id), "lease": lease})


async def renew(exchange: Exchange) -> Answer:
    """Hold a lease for longer, from now on."""
    given = await exchange.json()
    only(given, "token", "seconds")
    fence, seconds = Fence(_name(exchange), _token(given.get("token"))), _seconds(given)
    row = await exchange.service.driver.brief(partial(exchange.service.kernel.catalog.renew, fence, seconds))
    return json_answer(200, {**_lease_json(row), "token": row.token})


async def release(exchange: Exchange) -> Answer:
    """Give a lease back; nothing happens when it is lost."""
    fence = Fence(_name(exchange), _token(exchange.whole_number("token", 0, (1 << 62) - 1)))
    await exchange.service.driver.brief(partial(exchange.service.kernel.catalog.release, fence))
    return Answer(204, [])
