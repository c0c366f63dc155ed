"""Direktiv's answers and errors, word for word: behaviours D23 and D26, each line of their tables."""

from __future__ import annotations

import json
from typing import Any

import pytest

from holdfast.service.direktiv.problems import Problem

from .direktiv import Api, base64, error
from .test_direktiv_variables import NOTHING

NOT_JSON = (400, "request_body_not_json", "couldn't parse request payload in json format")
BAD_SCHEMA = (400, "request_body_bad_json_schema", "request payload has bad json schema")
MISSING = (404, "resource_not_found", "requested resource is not found")
NO_NAMESPACE = (404, "resource_not_found", "requested resource(namespace) is not found")
NO_PATH = (404, "request_path_not_found", "request http path is not found")
WRONG_METHOD = (405, "request_method_not_allowed", "request http method is not allowed for this path")


def takes_bodies(api: Api) -> list[tuple[str, str]]:
    """All requests that have a body in JSON."""
    id = api.make("taken")["id"]
    api.file("/taken.txt")
    return [
        ("POST", "/namespaces"), ("POST", "variables"), ("PATCH", f"variables/{id}"),
        ("POST", "files"), ("PATCH", "files/taken.txt"),
    ]  # fmt: skip


# --- D23 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code, status",
    [
        ("resource_not_found", 404), ("request_path_not_found", 404), ("x_not_found_x", 404),
        ("request_method_not_allowed", 405), ("access_denied", 403), ("access", 403), ("request_data_invalid", 400),
        ("resource_already_exists", 400), ("internal", 500), ("not_resource", 500),
    ],
)  # fmt: skip
def test_d23_the_status_follows_from_the_code(code: str, status: int) -> None:
    assert Problem(code, "").status == status


def test_d23_what_succeeds_gives_data_and_what_fails_an_error(api: Api) -> None:
    assert list(api.ask("GET", "variables").json) == ["data"]
    assert list(api.ask("GET", f"variables/{NOTHING}").json) == ["error"]


def test_d23_trailing_slashes_are_accepted(api: Api) -> None:
    made = api.data("POST", "variables/", {"name": "x", "mimeType": "a/b", "data": base64("1")})
    assert api.data("GET", "variables/") == api.data("GET", "variables")
    assert api.data("GET", f"variables/{made['id']}/") == made
    assert api.data("PATCH", f"variables/{made['id']}/", {"name": "y"})["name"] == "y"
    assert api.data("GET", "/namespaces/") == api.data("GET", "/namespaces")
    assert api.data("GET", f"/namespaces/{api.namespace}/")["name"] == api.namespace
    assert api.data("GET", "files/") == api.data("GET", "files")
    assert api.ask("DELETE", f"variables/{made['id']}/").status == 200
    assert api.names() == []


def test_d23_unknown_fields_of_a_body_are_ignored(api: Api) -> None:
    more = {"unknown": {"deep": [1, None]}, "id": 7}
    made = api.data("POST", "variables", {"name": "x", "mimeType": "a/b", "data": base64("1"), **more})
    assert api.data("PATCH", f"variables/{made['id']}", {"mimeType": "c/d", **more})["mimeType"] == "c/d"
    assert api.data("POST", "files", {"name": "f", "type": "file", "data": "", **more})["path"] == "/f"


def test_d23_unknown_parameters_of_a_query_are_ignored(api: Api) -> None:
    assert api.data("GET", "variables?unknown=1&name=x&name=y") == []


def test_d23_a_get_with_a_body_is_accepted(api: Api) -> None:
    made = api.make("x")
    for body in (b"{}", b"no json", b"x" * 100_000):
        reply = api.ask("GET", f"variables/{made['id']}", body)
        assert reply.json["data"] == made
        assert api.ask("GET", "variables", body).status == 200


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded", "nonsense"])
def test_d23_a_body_is_read_whatever_its_type(api: Api, kind: str) -> None:
    body = json.dumps({"name": "x", "mimeType": "a/b", "data": base64("1")})
    reply = api.ask("POST", "variables", body, Content_Type=kind)
    assert reply.status == 200
    assert reply.json["data"]["mimeType"] == "a/b"


# --- D26 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"{]", b"name=x", b"\xff", b'{"name": "x"} more', b"{'name': 'x'}", b'{"name": "\xff"}',
        b'{"name": "\\ud800"}', b'{"name": 3, ', b"[" * 100_000, b'{"name": NaN}',
    ],
)  # fmt: skip
def test_d26_bad_json(api: Api, body: bytes) -> None:
    for method, path in takes_bodies(api):
        assert error(api.ask(method, path, body)) == NOT_JSON, (method, path)


@pytest.mark.parametrize("data", ["!", "A", "AA", "AAA", "AA=A", "AAAA=", "Zm9v\0", "Zm9v ", "_-AA", "ä"])
def test_d26_bad_base64(api: Api, data: str) -> None:
    made = api.make("there", "bytes")
    assert error(api.ask("POST", "variables", {"name": "x", "mimeType": "a/b", "data": data})) == NOT_JSON
    assert error(api.ask("PATCH", f"variables/{made['id']}", {"data": data})) == NOT_JSON
    assert api.names() == ["there"]
    assert api.data("GET", f"variables/{made['id']}") == made


def test_d26_base64_may_have_line_ends(api: Api) -> None:
    made = api.data("POST", "variables", {"name": "x", "mimeType": "a/b", "data": "Zm9v\r\nYmFy\n"})
    assert made["size"] == 6


@pytest.mark.parametrize("body", [[], "text", 3, True, {"name": 3}, {"name": []}, {"data": 1, "path": 1, "name": True}])
def test_d26_wrong_json_type(api: Api, body: Any) -> None:
    for method, path in takes_bodies(api):
        sent = {**body, "data": 1, "mirror": 1} if isinstance(body, dict) else body
        assert error(api.ask(method, path, json.dumps(sent))) == BAD_SCHEMA, (method, path)
    assert api.names() == ["taken"]


def test_d26_bad_name(api: Api) -> None:
    for body in ({"name": "$"}, {"name": ""}, {"name": None}, {}, None):
        reply = api.ask("POST", "variables", json.dumps(body))
        assert error(reply) == (400, "request_data_invalid", "field name has invalid string")


@pytest.mark.parametrize("id", ["x", "1", "00000000-0000-4000-8000-00000000000", f"{NOTHING}0", "0-0", "%20", "a%2Fb"])
def test_d26_bad_id(api: Api, id: str) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        reply = api.ask(method, f"variables/{id}", {} if method == "PATCH" else None)
        assert error(reply) == (400, "request_data_invalid", "variable id is invalid uuid string")


@pytest.mark.parametrize("id", ["x", "0000", f"{NOTHING}-", "{" + NOTHING])
def test_d26_bad_instance_id(api: Api, id: str) -> None:
    for more in ({}, {"workflowPath": "/w.yaml"}):
        body = {"name": "x", "mimeType": "a/b", "data": "", "instanceId": id, **more}
        wrong = (400, "request_data_invalid", "field instanceId has invalid uuid string")
        assert error(api.ask("POST", "variables", body)) == wrong
    for raw in ("", "&raw=true"):
        wrong = (400, "request_data_invalid", "query param instanceId invalid uuid string")
        assert error(api.ask("GET", f"variables?instanceId={id.replace('{', '%7B')}{raw}")) == wrong
    assert api.data("GET", "variables?workflowPath=/w.yaml") == []


@pytest.mark.parametrize("path", ["//a", "/a/", "/a//b", "/./a", "/a/../b", "./a", "/a/.", "%01", "/" + "x" * 600])
def test_d26_unclean_workflow_path(api: Api, path: str) -> None:
    for raw in ("", "&raw=true"):
        wrong = (400, "request_data_invalid", "query param workflowPath invalid file path")
        assert error(api.ask("GET", f"variables?workflowPath={path}{raw}")) == wrong


def test_d26_duplicate(api: Api) -> None:
    made = api.make("x", "first")
    body = {"name": "x", "mimeType": "a/b", "data": base64("second")}
    assert error(api.ask("POST", "variables", body)) == (400, "resource_already_exists", "resource already exists")
    assert api.data("GET", f"variables/{made['id']}") == made
    api.scope.put("python", 1)
    reply = api.ask("POST", "variables", {**body, "name": "python"})
    assert error(reply) == (400, "resource_already_exists", "resource already exists")
    assert api.scope.get("python") == 1


def test_d26_missing_variable(api: Api) -> None:
    for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
        assert error(api.ask(method, f"variables/{NOTHING}", body)) == MISSING
    assert error(api.ask("GET", f"variables/{NOTHING}?raw=true")) == MISSING
    assert error(api.ask("DELETE", f"variables?ids={NOTHING}")) == MISSING


def test_d26_missing_namespace_above_a_variable(api: Api) -> None:
    for name in ("none", "No%20Name", "%01", "a%2Fb"):
        where = f"/namespaces/{name}"
        for method, path, body in (
            ("GET", "/variables", None), ("POST", "/variables", {"name": "x"}), ("DELETE", "/variables?ids=x", None),
            ("GET", f"/variables/{NOTHING}", None), ("PATCH", "/variables/x", b"{"), ("DELETE", "/variables/x", None),
            ("GET", "/files", None), ("POST", "/files", b""), ("PATCH", "/files/a", {}), ("DELETE", "/files/a", None),
        ):  # fmt: skip
            assert error(api.ask(method, where + path, body)) == NO_NAMESPACE, (method, path)
    assert not api.service.store.namespace("none").present


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/namespace", "/namespacesx", "/namespaces//", "/namespaces//variables", "/namespaces/{}/vars",
        "/namespaces/{}/variables/x/y", "/namespaces/{}/variables//", "/namespaces/{}/filesx",
    ],
)  # fmt: skip
def test_d26_unknown_path(api: Api, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        assert error(api.client.ask(method, "/api/v2" + path.format(api.namespace))) == NO_PATH


@pytest.mark.parametrize(
    "path, methods",
    [
        ("/namespaces", "GET POST"), ("/namespaces/{}", "GET DELETE"), ("/namespaces/{}/variables", "GET POST DELETE"),
        ("/namespaces/{}/variables/x", "GET PATCH DELETE"), ("/namespaces/{}/files", "GET POST PATCH DELETE"),
        ("/namespaces/{}/files/a/b", "GET POST PATCH DELETE"),
    ],
)  # fmt: skip
def test_d26_wrong_method(api: Api, path: str, methods: str) -> None:
    for method in {"GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"} - set(methods.split()):
        reply = api.ask(method, path.format(api.namespace))
        assert error(reply) == WRONG_METHOD, method


def test_a_type_that_is_no_header_field_is_refused(api: Api) -> None:
    made = api.make("there")
    for mime in ("a/b\r\nX-Evil: 1", "ü", "\t", "x" * 1001):
        wrong = (400, "request_data_invalid", "field mimeType has invalid string")
        assert error(api.ask("POST", "variables", {"name": "x", "mimeType": mime, "data": ""})) == wrong
        assert error(api.ask("PATCH", f"variables/{made['id']}", {"mimeType": mime})) == wrong
    assert api.names() == ["there"]


def test_malformed_escapes_are_told_as_an_invalid_request(api: Api) -> None:
    for path in ("variables/%zz", "variables?name=%zz", "variables?name=%ff", "files/%e4"):
        assert error(api.ask("GET", path))[:2] == (400, "request_data_invalid")
