"""``/v1/changes``: what was written to a record or a scope since a version, by long-poll or as server-sent events.

Nothing is kept for those who wait: they look, at once when this process wrote there, and else now and then. So several
writes of a key may be seen as one, and of a scope a deletion is seen only by who looked before it and after it.

Versions are of one key: those of a scope's keys say nothing of what came after what. So a scope is followed by the
times of its writes, and a write is told when it is old enough that no earlier one can still come.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, NamedTuple

from ...address import format_address
from ...errors import InvalidArgumentError
from ...model import RecordRow
from ...reading import visible_record
from ..answer import Answer, json_answer
from ..base import Exchange
from ..problems import Refusal

__all__ = ["changes"]

_RECORD = re.compile("([0-9]{1,18})(-?)")
_SCOPE = re.compile(r"0|t([0-9]{1,12}\.[0-9]{1,9})")
_SETTLED = 0.1  # seconds after which a write can be told, unless the commit of an earlier one is still open
_LONGEST = 300.0  # seconds of one long-poll
_SOON, _LATE = 0.02, 0.5  # seconds between two looks
_COST = 20  # times what a look takes, at least, pass until the next one
_BEAT = 15.0  # seconds after which a stream says that it lives
_CHECKED = 0.9  # seconds after which the token is looked at again, which is remembered for 4 of the 5 that are promised
_MOST = 1000  # changes that are told at once
_KEYS = 10_000  # of a scope whose deletions are seen
_LAST = chr(0x10FFFF)


class _State(NamedTuple):
    """What a client knows.

    Attributes:
        version: of a record, the highest one.
        gone: of a record, whether that was deleted then.
        since: of a scope, the time of its last write that was told.
        keys: of a scope, those that were there when it was last looked at; None for not known.
    """

    version: int = 0
    gone: bool = False
    since: float | None = None
    keys: frozenset[str] | None = None

    @property
    def cursor(self) -> str:
        """As the client has it."""
        if self.since is not None:
            return f"t{self.since:.9f}" if self.since else "0"
        return f"{self.version}-" if self.gone else str(self.version)


_Seen = tuple[_State, list[dict[str, Any]]]


class _Watch:
    """Looks at a record or a scope again and again."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._catalog, self._path = exchange.service.kernel.catalog, exchange.path
        self.state = _State()
        self.early = False  # whether there are writes that are too new to be told

    async def begin(self, after: str | None) -> None:
        """Begin behind a cursor, or None for what happens from now on."""
        if after is None:
            self.state = await self._exchange.service.driver.away(self._now)
            return
        match = (_SCOPE if self._exchange.key is None else _RECORD).fullmatch(after)
        if match is None:
            told = "0 for all that is there, or the cursor of an earlier answer"
            raise InvalidArgumentError(f"after is {told}, of one key a version too; not {after!r:.80}")
        if self._exchange.key is None:
            self.state = _State(since=float(match[1] or 0))
        else:
            self.state = _State(int(match[1]), bool(match[2]))

    def _now(self) -> _State:
        if self._exchange.key is not None:
            return self._record(_State(), self._exchange.key)[0]
        newest = self._catalog.search(self._path, order="-updated", limit=1)
        return _State(since=RecordRow._make(newest[0]).updated if newest else 0.0, keys=self._keys())

    async def look(self) -> list[dict[str, Any]]:
        """What changed since the last look."""
        driver, key = self._exchange.service.driver, self._exchange.key
        if key is not None:
            self.state, found = await driver.look(partial(self._record, self.state, key))
        else:
            self.state, found = await driver.away(partial(self._scope, self.state))
        return found

    def _record(self, state: _State, key: str) -> _Seen:
        row = visible_record(self._exchange.service.kernel, self._catalog.record(self._path, key))
        if row is not None:
            return (_State(row[2]), [self._told(key, row[2])]) if row[2] > state.version else (state, [])
        if state.gone or not state.version:
            return state, []
        return _State(state.version, True), [self._told(key, state.version, deleted=True)]

    def _scope(self, state: _State) -> _Seen:
        settled = self._catalog.settled()  # before the look
        rows, all_of_them = self._written(state.since or 0.0)
        ripe = [row for row in rows if row.updated <= settled]
        self.early = len(ripe) < len(rows)
        told = [self._told(row.key, row.version) for row in ripe]
        state = state._replace(since=ripe[-1].updated) if ripe else state
        if not all_of_them:
            return state, told  # more are to be told first
        keys = self._keys()
        if keys is not None and state.keys is not None:
            told += [self._told(key, 0, deleted=True) for key in sorted(state.keys - keys)]
        return state._replace(keys=keys), told

    def _written(self, since: float) -> tuple[list[RecordRow], bool]:
        """Records by the time of their last write, after this one; and whether there are no more."""
        behind = RecordRow(_LAST, 0, 0, 0, 0.0, since, *(None,) * 3, 0, None, 0, 0, *(None,) * 4)
        most = _MOST
        while True:
            found = self._catalog.search(self._path, order="updated", after=behind, limit=most)
            rows = [RecordRow._make(row) for row in found]
            if len(rows) < most:
                return rows, True
            whole = [row for row in rows if row.updated < rows[-1].updated]  # those of one commit stay together
            if whole:
                return whole, False
            most *= 2

    def _keys(self) -> frozenset[str] | None:
        page = self._catalog.keys(self._path, "", None, _KEYS + 1)
        return frozenset(page) if len(page) <= _KEYS else None

    def _told(self, key: str, version: int, *, deleted: bool = False) -> dict[str, Any]:
        return {"address": format_address(self._path, key), "version": version, "deleted": deleted}

    async def wait(self, subscription: _Subscription, until: float) -> list[dict[str, Any]]:
        """What changed, as soon as something did; nothing when the time is over, or nobody waits any more."""
        pause = _SOON
        until_ripe = max(until, monotonic() + 2 * _SETTLED)  # what was acknowledged before the request is told by it
        while True:
            subscription.event.clear()
            await subscription.check()
            began = monotonic()
            found = await self.look()
            now = monotonic()
            end, at_end = (until_ripe, began) if self.early else (until, now)  # a look may take longer than there is
            if found or at_end >= end or subscription.over:
                return found
            pause = _SETTLED if self.early else max(min(pause * 1.5, _LATE), _COST * (now - began))
            await subscription.rest(min(pause, end - now))


class _Subscription:
    """A subscriber to changes of a path, in an ``async with`` block.

    Attributes:
        event: set when it is time to look.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.event = asyncio.Event()

    @property
    def over(self) -> bool:
        """True once the client has disconnected or the service is stopping."""
        return self._exchange.leaving.done() or self._exchange.service.stopping

    async def check(self) -> None:
        """Refuse to go on when the token opens this no longer.

        Raises:
            Refusal: 401 or 403.
        """
        exchange = self._exchange
        exchange.access = await exchange.service.sign_in(exchange)
        exchange.need("read", exchange.path)

    async def rest(self, seconds: float) -> None:
        """Wait for so long, or until it is time to look; see :meth:`check`."""
        end = monotonic() + seconds
        while not self.event.is_set() and (left := end - monotonic()) > 0:
            await self.check()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, _CHECKED)):
                    await self.event.wait()

    async def __aenter__(self) -> _Subscription:
        self._exchange.service.watchers[self._exchange.path].add(self.event)
        self._exchange.leaving.add_done_callback(lambda _: self.event.set())
        return self

    async def __aexit__(self, *how: object) -> None:
        self._exchange.leaving.cancel()
        watchers, path = self._exchange.service.watchers, self._exchange.path
        watchers[path].discard(self.event)
        if not watchers[path]:
            del watchers[path]


async def changes(exchange: Exchange) -> Answer:
    """What changed after a version: at once, or when it happens in the time that is waited; or, asked for
    ``text/event-stream``, again and again."""
    stream = "text/event-stream" in (exchange.header(b"accept") or "")
    wait = exchange.number("wait", 0.0, _LONGEST) or 0.0
    last = exchange.header(b"last-event-id") if stream else None
    watch = _Watch(exchange)
    await watch.begin(last or exchange.argument("after"))
    if stream:
        fields = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
        return Answer(200, fields, _events(exchange, watch))
    async with _Subscription(exchange) as subscription:
        found = await watch.wait(subscription, monotonic() + wait)
    cursor = watch.state.cursor
    if not found:
        return Answer(204, [(b"holdfast-cursor", cursor.encode())])
    version = max(change["version"] for change in found)
    return json_answer(200, {"version": version, "cursor": cursor, "changes": found})


async def _events(exchange: Exchange, watch: _Watch) -> AsyncIterator[bytes]:
    async with _Subscription(exchange) as subscription:
        yield f"id: {watch.state.cursor}\n\n".encode()
        while not subscription.over:
            try:
                found = await watch.wait(subscription, monotonic() + _BEAT)
            except Refusal:
                return
            for change in found:
                id = f"id: {watch.state.cursor}\n" if change is found[-1] else ""  # what came before would come again
                yield f"{id}data: {json.dumps(change)}\n\n".encode()
            if not found:
                yield b": no change\n\n"
