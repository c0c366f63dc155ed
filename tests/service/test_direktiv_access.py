"""Who may come to Direktiv's interface: behaviour D30, tokens, and pages of others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import holdfast
from holdfast.tokens import Tokens

from .direktiv import Api, base64, error
from .talk import Client, Served, served
from .test_direktiv_errors import MISSING

VARIABLE = {"name": "x", "mimeType": "text/plain", "data": base64("secret")}


# --- D30: ids and namespaces ------------------------------------------------------------------------------------------


def test_d30_no_access_by_id_across_namespaces(api: Api, service: Served) -> None:
    other = api._replace(namespace=f"{api.namespace}-other")
    api.data("POST", "/namespaces", {"name": other.namespace})
    run = "0d6cbf0a-1e19-4f0f-8d3a-111111111111"
    api.scope.instance(run).create()
    for more in ({}, {"workflowPath": "/w.yaml"}, {"instanceId": run}):
        made = api.make("x", "secret", **more)
        for method, body in (("GET", None), ("PATCH", {"data": base64("theirs")}), ("DELETE", None)):
            assert error(other.ask(method, f"variables/{made['id']}", body)) == MISSING
        assert error(other.ask("GET", f"variables/{made['id']}?raw=true")) == MISSING
        assert error(other.ask("DELETE", f"variables?ids={made['id']}")) == MISSING
        assert api.data("GET", f"variables/{made['id']}") == made
    assert other.data("GET", f"variables?instanceId={run}") == []
    body = {**VARIABLE, "instanceId": run}
    assert error(other.ask("POST", "variables", body)) == MISSING


# --- D30: pages and hosts, while there are no tokens ------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost", ""])
def test_d30_a_foreign_origin_is_forbidden(api: Api, origin: str) -> None:
    for method, path, body in (
        ("GET", "variables", None),
        ("POST", "variables", VARIABLE),
        ("DELETE", "files/x", None),
    ):
        assert error(api.ask(method, path, body, Origin=origin))[:2] == (403, "access_denied")
    assert api.names() == []


def test_d30_the_services_own_pages_may_ask(api: Api, service: Served) -> None:
    assert api.ask("GET", "variables", Origin=service.url).status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "10.0.0.1", ""])
def test_d30_a_host_that_is_not_loopback_is_forbidden(api: Api, host: str) -> None:
    assert error(api.ask("GET", "variables", Host=host))[:2] == (403, "access_denied")
    assert error(api.ask("POST", "variables", VARIABLE, Host=host))[:2] == (403, "access_denied")
    assert api.names() == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]:8080", "127.1.2.3"])
def test_d30_loopback_hosts_are_served(api: Api, host: str) -> None:
    assert api.ask("GET", "variables", Host=host).status == 200


# --- tokens -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, dict[str, str]]]:
    """A service with two namespaces, and tokens by what they are for."""
    with holdfast.open(tmp_path_factory.mktemp("guarded") / "store") as store:
        for name in ("prod", "dev"):
            store.namespace(name).put("x", name.encode(), content_type="text/plain")
        tokens = Tokens(store)
        makes = {
            "read": (["namespace:prod"], ["read"]), "write": (["namespace:prod"], ["read", "write"]),
            "blind": (["namespace:prod"], ["write"]), "admin": (["namespace:prod"], ["admin"]),
            "all": (["/"], ["read", "write"]), "below": (["namespace:prod/workflow:w"], ["read", "write", "admin"]),
        }  # fmt: skip
        texts = {name: tokens.create(scopes=scopes, allow=allow)[0] for name, (scopes, allow) in makes.items()}
        with served(store) as service:
            yield service, texts


def ask(guarded: tuple[Served, dict[str, str]], token: str | None, method: str, path: str, body: object = None) -> int:
    service, texts = guarded
    client = service.another(None if token is None else texts[token])
    reply = client.ask(method, f"/api/v2/namespaces{path}", body)
    client.close()
    if reply.status >= 400:
        error(reply)
    return reply.status


def test_a_request_without_a_token_is_unauthorized(guarded: tuple[Served, dict[str, str]]) -> None:
    service, texts = guarded
    for wrong in (None, "hft_0123456789abcdef_" + "A" * 43, "x", texts["read"][:-1]):
        client = Client(service.url, wrong)
        reply = client.ask("GET", "/api/v2/namespaces/prod/variables")
        assert error(reply)[:2] == (401, "unauthorized")
        assert reply.headers["www-authenticate"].startswith("Bearer")
        client.close()


def test_a_token_comes_as_direktivs_clients_send_it(guarded: tuple[Served, dict[str, str]]) -> None:
    service, texts = guarded
    where = "/api/v2/namespaces/prod/variables"
    assert service.client.ask("GET", where, Direktiv_Token=texts["read"]).status == 200
    assert service.client.ask("GET", where, Authorization=f"Bearer {texts['read']}").status == 200
    assert service.client.ask("GET", where, Direktiv_Token="wrong").status == 401
    assert service.client.ask("GET", "/api/v2/namespaces/dev/variables", Direktiv_Token=texts["read"]).status == 403


@pytest.mark.parametrize(
    "token, reads, writes, drops",
    [
        ("read", 200, 403, 403), ("write", 200, 200, 403), ("blind", 403, 200, 403), ("admin", 403, 403, 200),
        ("all", 200, 200, 403), ("below", 403, 403, 403),
    ],
)  # fmt: skip
def test_a_request_needs_read_or_write_of_the_namespace(
    guarded: tuple[Served, dict[str, str]], token: str, reads: int, writes: int, drops: int
) -> None:
    for path in ("/prod/variables", "/prod/variables?raw=true&name=x", "/prod/files", "/prod"):
        assert ask(guarded, token, "GET", path) == reads, path
    for method, path, body in (
        ("POST", "/prod/variables", {**VARIABLE, "name": f"from-{token}"}),
        ("POST", "/prod/files", {"name": token, "type": "file", "data": ""}),
        ("PATCH", f"/prod/files/{token}", {"data": base64("1")}),
        ("DELETE", f"/prod/files/{token}", None),
    ):
        assert ask(guarded, token, method, path, body) == writes, (method, path)
    assert ask(guarded, token, "PATCH", f"/prod/variables/{'0' * 32}", {}) == (404 if writes == 200 else 403)
    if drops == 403:
        assert ask(guarded, token, "DELETE", "/prod") == drops


def test_a_token_of_one_namespace_opens_no_other(guarded: tuple[Served, dict[str, str]]) -> None:
    for method, path, body in (
        ("GET", "/dev", None), ("GET", "/dev/variables", None), ("GET", "/dev/files", None),
        ("GET", "/none/files", None), ("POST", "/dev/variables", VARIABLE), ("POST", "", {"name": "mine"}),
        ("DELETE", "/dev", None),
    ):  # fmt: skip
        assert ask(guarded, "write", method, path, body) == 403, (method, path)
    service, _ = guarded
    assert list(service.store.namespace("dev").keys()) == ["x"]
    assert not service.store.namespace("mine").present


def test_a_list_of_namespaces_has_those_that_the_token_may_read(guarded: tuple[Served, dict[str, str]]) -> None:
    service, texts = guarded
    for token, names in (("read", ["prod"]), ("all", ["prod", "dev"]), ("blind", []), ("below", [])):
        reply = service.client.ask("GET", "/api/v2/namespaces", Direktiv_Token=texts[token])
        assert [found["name"] for found in reply.json["data"]] == names


def test_who_may_write_to_a_namespace_may_make_it(guarded: tuple[Served, dict[str, str]]) -> None:
    assert ask(guarded, "all", "POST", "", {"name": "made"}) == 200
    assert ask(guarded, "admin", "DELETE", "/made") == 403
