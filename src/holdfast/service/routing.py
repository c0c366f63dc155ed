"""What a route is, and how the one of a path is found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from ..address import Path, parse_address, parse_path
from ..errors import InvalidArgumentError
from .base import Exchange, Handler, decoded

__all__ = ["ADDRESS", "ANY", "EITHER", "NONE", "OPEN", "SCOPE", "Parameter", "Route", "Router", "Verb"]

NONE, ADDRESS, SCOPE, EITHER = "none", "address", "scope", "either"
"""What the last parameter of a template names: nothing of the store, a record, a scope, or one of these."""

ANY, OPEN = "any", "open"
"""As ``access`` of a verb: a token is needed, and its handler sees to the rest; or none is, as something else in the
request says what it may do."""


class Parameter(NamedTuple):
    """A parameter of the query, or a header field, of a request.

    Attributes:
        name: of it.
        means: what it means.
        schema: JSON Schema of its text; a string by default.
        place: ``query`` or ``header``.
        repeated: whether it may be there several times.
    """

    name: str
    means: str
    schema: Mapping[str, Any] = {"type": "string"}
    place: str = "query"
    repeated: bool = False


class Verb(NamedTuple):
    """What a method does on a route.

    Attributes:
        run: the handler.
        means: one line.
        access: what the token must allow on what the route names: ``read``, ``write``, ``admin``; :data:`ANY` where the
            handler asks for it; :data:`OPEN` where it asks for something else than a token; None for nothing, not even
            room among the requests.
        answers: what each status means, those aside that any request may get.
        parameters: all there are; of the query no others are taken. None for a verb that looks at them itself.
        body: media type of the body that it takes, None for none.
        gives: media type of the answer's body.
        lenient: whether parameters of the query that it does not know are passed over.
    """

    run: Handler
    means: str
    access: str | None
    answers: Mapping[int, str]
    parameters: tuple[Parameter, ...] | None = ()
    body: str | None = None
    gives: str = "application/json"
    lenient: bool = False


class Route(NamedTuple):
    """One path of the service, or many of one form.

    Attributes:
        template: such as ``/v1/values/{address*}``: ``{name}`` stands for one segment, ``{name*}`` for all that follow.
        verbs: what can be done there, by method.
        names: what the last parameter names.
    """

    template: str
    verbs: Mapping[str, Verb]
    names: str = NONE

    def place(self, exchange: Exchange, raw: Iterable[bytes]) -> None:
        """Put what the template's parameters are into the request.

        Raises:
            InvalidArgumentError: they are malformed, or do not name what they must.
        """
        exchange.parameters, exchange.path, exchange.key = _placed(self.template, self.names, tuple(raw))


@lru_cache(4096)
def _placed(template: str, names: str, raw: tuple[bytes, ...]) -> tuple[Mapping[str, str], Path, str | None]:
    values = list(map(decoded, raw))
    found = [part[1:-1].removesuffix("*") for part in template.split("/") if part[:1] == "{"]
    parameters = MappingProxyType(dict(zip(found, values, strict=True)))
    path: Path = ()
    key: str | None = None
    if names == SCOPE:
        path = parse_path(values[-1].removesuffix("/")) if values else ()
    elif names != NONE:
        path, key = parse_address(values[-1])
        if key is None and names == ADDRESS:
            raise InvalidArgumentError(
                f"{values[-1]!r:.200} names a scope and no key: add one, as in namespace:prod/model"
            )
    return parameters, path, key


class _Node:
    """A place in the tree of templates."""

    def __init__(self) -> None:
        self.below: dict[bytes, _Node] = {}
        self.one: _Node | None = None
        self.route: Route | None = None
        self.rest: Route | None = None


class Router:
    """All routes, to be found by the path of a request as it came."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        self.routes = tuple(routes)
        for route in self.routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node = self._root
        for part in route.template[1:].split("/"):
            if part.endswith("*}"):
                node.rest = route
                return
            if part[:1] == "{":
                node.one = node.one or _Node()
                node = node.one
            else:
                node = node.below.setdefault(part.encode(), _Node())
        node.route = route

    def find(self, raw: bytes) -> tuple[Route, list[bytes]] | None:
        """The route of a path and what stands for its parameters, still encoded; None for no such route."""
        node, left = self._root, raw[1:]
        values: list[bytes] = []
        while True:
            segment, slash, behind = left.partition(b"/")
            below = node.below.get(segment)
            if below is None:
                if node.rest is not None:
                    return node.rest, [*values, left]
                if node.one is None or not segment:
                    return None
                values.append(segment)
                below = node.one
            node, left = below, behind
            if not slash:
                return None if node.route is None else (node.route, values)
