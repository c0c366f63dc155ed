"""The application: each request is guarded, sent to its handler, answered, counted and told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from time import monotonic
from typing import Any

from ..api import Store
from ..errors import HoldfastError, InvalidArgumentError
from ..flows.functions import Functions
from .answer import Answer
from .base import ClientDisconnected, Exchange, Limits, Service
from .direktiv.problems import Problem
from .direktiv.problems import answer_of as direktiv_answer
from .direktiv.routes import PREFIX as DIREKTIV
from .guard import Guard
from .journal import Journal
from .problems import Refusal, public
from .problems import answer_of as service_answer
from .remote.routes import PREFIXES as REMOTE
from .remote.routes import answer_of as remote_answer
from .routes import ROUTES
from .routing import OPEN, Route, Router, Verb

__all__ = ["App", "make_app"]


class App:
    """An ASGI application that serves one open store.

    Attributes:
        service: the store, its limits, and what was counted.
        journal: where requests are told.
    """

    def __init__(self, service: Service, journal: Journal, guard: Guard) -> None:
        self.service, self.journal = service, journal
        self._guard = guard
        self._router = Router(ROUTES)
        service.routes = ROUTES

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Answer one request; see the ASGI specification."""
        exchange = Exchange(self.service, scope, receive, send)
        answer_of = _answers_of(exchange.raw_path)
        active = self.service.active
        active[exchange] = asyncio.current_task()
        route: Route | None = None
        unexpected: Exception | None = None
        try:
            exchange.id = self._guard.request_id(exchange)
            found = self._router.find(exchange.raw_path)
            route = None if found is None else found[0]
            try:
                answer = await self._handle(exchange, found)
                if exchange.method == "GET" and isinstance(answer.body, bytes):
                    exchange.hold(len(answer.body))
            except (HoldfastError, Refusal, Problem) as error:
                told = public(error, self.service.kernel.folder)
                answer = answer_of(told, exchange.id, conditional=exchange.conditional)
                hidden = error.__cause__ if isinstance(error, Refusal) else told is not error
                unexpected = error if answer.status == 500 or hidden else None
            await exchange.answer(answer)
        except ClientDisconnected:
            exchange.status = 499  # in the journal: the client went away
        except asyncio.CancelledError:
            if not exchange.late or exchange.status:
                raise
            await exchange.answer(answer_of(_late(exchange), exchange.id))
        except Exception as error:
            unexpected = error
            if exchange.status:
                raise  # in the middle of an answer: all that can be done is to break off
            await exchange.answer(answer_of(error, exchange.id))
        finally:
            del active[exchange]
            if exchange.held:
                exchange.release()
            seconds = monotonic() - exchange.began
            self.service.metrics.count(exchange, route, seconds)
            self.journal.request(exchange, seconds, unexpected)

    async def _handle(self, exchange: Exchange, found: tuple[Route, list[bytes]] | None) -> Answer:
        self._guard.check_origin(exchange)
        if found is None:
            raise Refusal(404, "not_found", "no such path: /v1/openapi.json lists those that there are")
        route, raw = found
        verb = route.verbs.get(exchange.method)
        if verb is None:
            allow = ", ".join(route.verbs)
            told = f"{exchange.method} is not for this path, but {allow}"
            raise Refusal(405, "method_not_allowed", told, [(b"allow", allow.encode())])
        if verb.access is not None:
            self._guard.check_room()
        if verb.access not in (None, OPEN):
            exchange.access = await self._guard.sign_in(exchange)
        route.place(exchange, raw)
        if verb.access in ("read", "write", "admin"):
            exchange.need(verb.access, exchange.path)
        if verb.parameters is not None and not verb.lenient and exchange.query:
            _check_query(exchange, verb)
        exchange.begun = True
        return await verb.run(exchange)


def _answers_of(path: bytes) -> Callable[..., Answer]:
    """What makes errors to answers, for the clients that ask for such paths."""
    if path.startswith(REMOTE):
        return remote_answer
    return direktiv_answer if (path + b"/").startswith(DIREKTIV) else service_answer


def _late(exchange: Exchange) -> Refusal:
    told = f"the request was not done in {exchange.service.limits.request_time:g} seconds"
    if exchange.begun:  # what runs in a thread may have been past the point where it could be stopped
        return Refusal(504, "timeout", f"{told}, and may or may not have been done since: look before you repeat it")
    return Refusal(503, "timeout", f"{told}: nothing was done", [(b"retry-after", b"5")])


def _check_query(exchange: Exchange, verb: Verb) -> None:
    known = [parameter.name for parameter in verb.parameters or () if parameter.place == "query"]
    for name in exchange.query:
        if name not in known:
            told = ", ".join(known) or "none"
            raise InvalidArgumentError(f"there is no parameter {name!r:.80} here: those that there are: {told}")


def make_app(
    store: Store,
    limits: Limits = Limits(),  # noqa: B008  immutable
    *,
    journal: Journal | None = None,
    loopback: bool = True,
    functions: Functions | None = None,
) -> App:
    """The ASGI application that serves a store.

    Args:
        store: open, and left open.
        limits: what it takes on.
        journal: where requests are told; by default nowhere.
        loopback: whether only this machine can reach it. Else every request needs a token, even while none was made.
        functions: that flows may call.
    """
    service = Service(store, limits, functions)
    return App(service, journal or Journal(None), Guard(service, loopback))
