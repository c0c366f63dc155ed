"""The one table of routes. What is not in it is not answered; the OpenAPI document is made of it."""

from __future__ import annotations

from . import openapi, state, values
from .direktiv.routes import ROUTES as DIREKTIV
from .remote import ROUTES as REMOTE
from .routing import ADDRESS, ANY, Parameter, Route, Verb

__all__ = ["ROUTES"]

_NUMBER = {"type": "integer", "minimum": 0}
_TRUTH = {"type": "string", "enum": ["true", "false"]}


def _header(name: str, means: str) -> Parameter:
    return Parameter(name, means, place="header")


_LEASE = _header("Holdfast-Lease", "name;token of a lease that must be held still when it is written")
_MATCH = _header("If-Match", "quoted versions, or * for any: of these the record must be")
_NONE_MATCH = _header("If-None-Match", "quoted versions, or * for any: of these it must not be")
_CONTENT = Parameter("content", "the name of one content, of an object that has several")
_READ = (
    Parameter("version", "a kept version, instead of the newest", _NUMBER),
    _CONTENT, _MATCH, _NONE_MATCH,
)  # fmt: skip
_RANGE = (_header("Range", "one range of bytes"), _header("If-Range", "the version that the range is of"))
_PUT = (
    _header("Content-Type", "kept as it is; application/octet-stream by default"),
    _header("Holdfast-Tags", "tags as a JSON object of strings, percent-encoded"),
    _header("Holdfast-Tag-{name}", "one tag, its value percent-encoded"),
    _header("Holdfast-Expires", "a time of RFC 3339, or seconds from now"),
    _header("Holdfast-Durability", "process or power"),
    _LEASE, _MATCH, _NONE_MATCH,
)  # fmt: skip

_GOT = {
    200: "the bytes", 206: "the part that was asked for", 304: "the version is the one that is known already",
    404: "no such record, version or content", 406: "the value has no form as JSON",
    412: "another version than If-Match names", 416: "no byte in this range",
}  # fmt: skip
_WROTE = {
    200: "replaced", 201: "made", 409: "a lease that is not held, or a scope that was dropped meanwhile",
    412: "the condition does not hold", 422: "it cannot be stored this way",
}  # fmt: skip
_BYTES = "*/*"
_JSON = "application/json"

VALUES = {
    "GET": Verb(
        values.get, "The bytes of a record.", "read", _GOT,
        (*_READ, *_RANGE, Parameter("as", "json: the value as JSON", {"type": "string", "enum": ["json"]})),
        gives=_BYTES,
    ),
    "HEAD": Verb(values.get, "What GET would say.", "read", {**_GOT}, (*_READ, Parameter("as", "as of GET"))),
    "PUT": Verb(values.put, "Store the body.", "write", _WROTE, _PUT, _BYTES),
    "PATCH": Verb(
        values.patch, "Change tags, expiry or both.", "write",
        {200: "the record", 404: "no such record", 409: _WROTE[409], 412: _WROTE[412]},
        (_LEASE, _MATCH, _NONE_MATCH), _JSON,
    ),
    "DELETE": Verb(
        values.delete, "Remove a record.", "write",
        {204: "removed", 404: "no such record", 409: _WROTE[409], 412: _WROTE[412]},
        (_LEASE, _MATCH, _NONE_MATCH),
    ),
}  # fmt: skip

ROUTES: tuple[Route, ...] = (
    *DIREKTIV,
    *REMOTE,
    Route("/v1", {"GET": Verb(state.about, "What this service is.", ANY, {200: "name, version, limits, access"})}),
    Route("/v1/values/{address*}", VALUES, ADDRESS),
    Route("/v1/records/{address*}", {
        "GET": Verb(
            values.record, "What is known of a record.", "read", {200: "the record", 404: "no such record"},
            (Parameter("history", "true: the versions that are kept beside it", _TRUTH),),
        ),
    }, ADDRESS),
    Route("/v1/add/{address*}", {
        "POST": Verb(
            values.add, "Add to an integer.", "write", {200: "the sum, and the record", 409: _WROTE[409]}, body=_JSON
        ),
    }, ADDRESS),
    Route("/v1/openapi.json", {"GET": Verb(openapi.document, "This document.", None, {200: "OpenAPI 3.1"})}),
    Route("/healthz", {"GET": Verb(state.health, "Whether the process answers.", None, {200: "it does"})}),
    Route("/readyz", {"GET": Verb(state.ready, "Whether it can serve.", None, {200: "it can", 503: "not now"})}),
    Route("/metrics", {
        "GET": Verb(state.metrics, "What was counted, for Prometheus.", "admin", {200: "counts"}, gives="text/plain"),
    }),
)  # fmt: skip
