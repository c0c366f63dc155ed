"""The OpenAPI document, made of the table of routes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from ... import __version__
from ..answer import Answer, json_answer
from ..base import Exchange
from ..routing import OPEN, Parameter, Route, Verb

__all__ = ["document", "document_of", "statuses"]

_OPEN: Mapping[int, str] = {
    400: "the request is malformed",
    404: "no such path",
    405: "the method is not for this path",
    408: "the request did not go on",
    431: "the header is too large",
    503: "too many at once, or the store is busy: nothing was done, try again",
    504: "not done in time: it may or may not have been done",
}
_GUARDED: Mapping[int, str] = {
    401: "a token is needed",
    403: "the token does not allow it",
    409: "somebody else changed it meanwhile",
    500: "stored bytes are damaged, or the service failed",
}
_TAKING: Mapping[int, str] = {
    413: "the body is too large",
    507: "the store is full, or the scope's limit is reached",
}
_NAMES = {
    "address": "scope and key, as kind:name/kind:name/key, percent-encoded",
    "scope": "as kind:name/kind:name, percent-encoded; nothing for the root",
    "place": "a scope, or a scope and a key, percent-encoded",
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
        },
        "request_id": {"type": "string"},
    },
}


def statuses(verb: Verb) -> Mapping[int, str]:
    """What each status of a verb's answers means, those that any request may get included."""
    guarded = {} if verb.access is None else _GUARDED
    if verb.access == OPEN:
        guarded = {status: means for status, means in _GUARDED.items() if status != HTTPStatus.UNAUTHORIZED}
    return {**_OPEN, **guarded, **({} if verb.body is None else _TAKING), **verb.answers}


def _operation(route: Route, method: str, verb: Verb) -> dict[str, Any]:
    parts = [part[1:-1].removesuffix("*") for part in route.template.split("/") if part[:1] == "{"]
    text = {"in": "path", "required": True, "schema": {"type": "string"}}
    parameters = [{"name": name, **text, "description": _NAMES.get(name, name)} for name in parts]
    parameters += [_parameter(parameter) for parameter in verb.parameters or ()]
    found: dict[str, Any] = {
        "summary": verb.means,
        "operationId": f"{method.lower()} {route.template}",
        "parameters": parameters,
        "responses": {str(status): _response(verb, status, means) for status, means in sorted(statuses(verb).items())},
    }
    if verb.body is not None:
        found["requestBody"] = {"content": {verb.body: {}}}
    if verb.access not in (None, OPEN):
        found["security"] = [{"bearer": []}, {}]
    return found


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema = {"type": "array", "items": parameter.schema} if parameter.repeated else parameter.schema
    return {"name": parameter.name, "in": parameter.place, "description": parameter.means, "schema": schema}


def _response(verb: Verb, status: int, means: str) -> dict[str, Any]:
    if status >= 400:
        return {
            "description": means,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
    if status in (204, HTTPStatus.NOT_MODIFIED):
        return {"description": means}
    return {"description": means, "content": {verb.gives: {}}}


def document_of(routes: Iterable[Route]) -> dict[str, Any]:
    """The document of these routes. A parameter that takes all of the path that follows, slashes included, is marked by
    ``x-rest``, since OpenAPI has no word for it."""
    paths: dict[str, Any] = {}
    for route in routes:
        item = {method.lower(): _operation(route, method, verb) for method, verb in route.verbs.items()}
        paths[route.template.replace("*}", "}")] = {**item, **({"x-rest": True} if "*}" in route.template else {})}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Holdfast", "version": __version__, "description": "See docs/service.md."},
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


async def document(exchange: Exchange) -> Answer:
    """The document of this service."""
    return json_answer(200, document_of(exchange.service.routes))
