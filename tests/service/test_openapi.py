"""The OpenAPI document says what is answered: no more, no less. Every answer to a test's client is held against it."""

from __future__ import annotations

import re

import pytest

from holdfast.service.routes import ROUTES
from holdfast.service.routing import Router
from holdfast.service.v1.openapi import document_of, statuses

from .talk import Client, Contract, Reply

VERBS = [(route, method) for route in ROUTES for method in route.verbs]


def test_all_routes_are_in_it_and_nothing_else(client: Client) -> None:
    document = client.get("/v1/openapi.json").json
    assert document["openapi"] == "3.1.0"
    there = {
        (path, method.upper())
        for path, item in document["paths"].items()
        for method in item
        if not method.startswith("x-")
    }
    assert there == {(route.template.replace("*}", "}"), method) for route, method in VERBS}
    identities = [
        item[method]["operationId"] for item in document["paths"].values() for method in item if method[:2] != "x-"
    ]
    assert len(set(identities)) == len(identities)


@pytest.mark.parametrize(("route", "method"), VERBS, ids=[f"{method} {route.template}" for route, method in VERBS])
def test_each_says_what_it_means(route, method: str) -> None:
    verb = route.verbs[method]
    assert verb.means.endswith(".")
    assert any(status < 400 for status in verb.answers)
    assert all(statuses(verb).values())
    names = [parameter.name for parameter in verb.parameters or ()]
    assert len(set(names)) == len(names)
    assert all(parameter.means for parameter in verb.parameters or ())


def test_each_template_leads_to_its_route() -> None:
    router = Router(ROUTES)
    for route in ROUTES:
        parts = [
            b"" if part.endswith("*}") else re.sub(r"\{.*\}", "x", part).encode() for part in route.template.split("/")
        ]
        found = router.find(b"/".join(parts))
        assert found is not None
        assert found[0] is route


def test_no_other_parameter_is_taken(client: Client) -> None:
    for route, method in VERBS:
        if method == "GET" and not route.verbs[method].lenient and route.verbs[method].parameters is not None:
            path = (
                route.template.replace("{address*}", "n:a/b")
                .replace("{scope*}", "n:a")
                .replace("{place*}", "n:a/artifact:b")
            )
            got = client.get(f"{path}?nothing=1")
            assert (got.status, "nothing" in got.json["error"]["message"]) == (400, True), path


@pytest.mark.parametrize(
    ("method", "path", "reply"),
    [
        ("GET", "/v1/values/n:a/b", Reply(418, {"content-type": "application/json"}, b"{}")),
        ("GET", "/v1/keys/n:a", Reply(200, {"content-type": "text/plain"}, b"x")),
        ("GET", "/v1/keys/n:a", Reply(404, {"content-type": "text/plain"}, b"x")),
        ("GET", "/v1/keys/n:a", Reply(400, {"content-type": "application/json"}, b'{"error": "x"}')),
        ("DELETE", "/v1/values/n:a/b", Reply(204, {}, b"x")),
        ("POST", "/v1/values/n:a/b", Reply(200, {}, b"")),
        ("GET", "/v1/other", Reply(200, {}, b"")),
    ],
)
def test_an_answer_that_is_not_in_it_is_caught(method: str, path: str, reply: Reply) -> None:
    with pytest.raises((AssertionError, TypeError, AttributeError)):
        Contract(document_of(ROUTES)).check(method, path, reply)
