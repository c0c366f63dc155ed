"""The one table of routes. What is not in it is not answered; the OpenAPI document is made of it."""

from __future__ import annotations

from . import state
from .direktiv.routes import ROUTES as DIREKTIV
from .functions import ROUTES as FUNCTIONS
from .remote.routes import ROUTES as REMOTE
from .routing import ANY, Route, Verb
from .v1 import openapi
from .v1.routes import ROUTES as V1

__all__ = ["ROUTES"]

_HEALTH = Verb(state.health, "Whether the process answers.", None, {200: "it does"})
_READY = Verb(state.ready, "Whether it can serve.", None, {200: "it can", 503: "not now"})

ROUTES: tuple[Route, ...] = (
    Route("/v1", {"GET": Verb(state.about, "What this service is.", ANY, {200: "name, version, limits, access"})}),
    *V1,
    *REMOTE,
    *DIREKTIV,
    *FUNCTIONS,
    Route("/v1/openapi.json", {"GET": Verb(openapi.document, "This document.", None, {200: "OpenAPI 3.1"})}),
    Route("/healthz", {"GET": _HEALTH, "HEAD": _HEALTH}),
    Route("/readyz", {"GET": _READY, "HEAD": _READY}),
    Route("/metrics", {
        "GET": Verb(state.metrics, "What was counted, for Prometheus.", "admin", {200: "counts"}, gives="text/plain"),
    }),
)  # fmt: skip
"""All that the service answers."""
