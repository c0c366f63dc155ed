"""How the service itself does: what it is, whether it lives, whether it can serve, and what it counted."""

from __future__ import annotations

from functools import partial

from .. import __version__
from ..address import format_path
from ..errors import HoldfastError
from ..tokens import TOKENS
from .answer import Answer, json_answer
from .base import Exchange
from .problems import Refusal

__all__ = ["about", "health", "metrics", "ready"]

_LATER = [(b"retry-after", b"5")]


async def about(exchange: Exchange) -> Answer:
    """Name, version, store and limits of the service, and what this token allows."""
    scopes = [format_path(path) for path in exchange.access.scopes]
    return json_answer(200, {
        "name": "holdfast",
        "version": __version__,
        "store": exchange.service.store.id,
        "limits": exchange.service.limits._asdict(),
        "access": {"scopes": scopes, "verbs": sorted(exchange.access.verbs)},
    })  # fmt: skip


async def health(exchange: Exchange) -> Answer:
    """That this process answers."""
    return json_answer(200, {"status": "ok"})


async def ready(exchange: Exchange) -> Answer:
    """That it can serve: its catalog answers, and it is not about to end."""
    service = exchange.service
    if service.stopping:
        raise Refusal(503, "closed", "the service is ending", _LATER)
    try:
        await service.driver.away(partial(service.kernel.catalog.scope, TOKENS))
    except HoldfastError as error:
        raise Refusal(503, error.code, "the catalog does not answer: see the journal", _LATER) from error
    return json_answer(200, {"status": "ready"})


async def metrics(exchange: Exchange) -> Answer:
    """What was counted, for Prometheus."""
    service = exchange.service
    text = service.metrics.text(len(service.active) - 1, service.flows.active, dict(service.flows.ended))
    return Answer(200, [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")], text.encode())
