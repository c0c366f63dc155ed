"""Namespaces over Direktiv's interface: behaviour D27, and D2 for namespaces."""

from __future__ import annotations

from datetime import datetime

import pytest

from .direktiv import Api, base64, error
from .test_direktiv_errors import BAD_SCHEMA, MISSING, NO_NAMESPACE

MIRROR = {
    "url": "git@example.com:a.git",
    "gitRef": "main",
    "authType": "ssh",
    "insecure": True,
    "publicKey": "ssh-rsa AA",
}
SECRET = {"privateKey": "-----BEGIN", "privateKeyPassphrase": "word", "authToken": "token"}


def listed(api: Api) -> list[str]:
    return [namespace["name"] for namespace in api.data("GET", "/namespaces")]


def test_d27_a_namespace_has_these_fields(api: Api) -> None:
    found = api.data("GET", f"/namespaces/{api.namespace}")
    assert set(found) == {"name", "createdAt", "updatedAt", "mirror", "isSystemNamespace"}
    assert found["name"] == api.namespace
    assert datetime.fromisoformat(found["createdAt"]) == api.scope.info().created
    assert found["updatedAt"] >= found["createdAt"]
    assert found["mirror"] is None
    assert found["isSystemNamespace"] is False
    assert found in api.data("GET", "/namespaces")


def test_d27_post_gives_the_namespace(api: Api) -> None:
    name = f"{api.namespace}.x-1_b"
    made = api.data("POST", "/namespaces", {"name": name, "mirror": None})
    assert made == api.data("GET", f"/namespaces/{name}")
    assert api.service.store.namespace(name).present


def test_d27_a_missing_namespace(api: Api) -> None:
    for name in ("none", "A%20b", "%01", "x" * 600):
        assert error(api.ask("GET", f"/namespaces/{name}")) == MISSING
        assert error(api.ask("DELETE", f"/namespaces/{name}")) == MISSING


def test_d27_delete_removes_all_that_is_in_it(api: Api) -> None:
    made = [api.make("x"), api.make("x", workflowPath="/w.yaml")]
    api.file("/w.yaml", type="workflow")
    gone = api.ask("DELETE", f"/namespaces/{api.namespace}")
    assert (gone.status, gone.body, gone.headers["content-type"]) == (200, b"", "application/json")
    assert api.namespace not in listed(api)
    assert error(api.ask("GET", "variables")) == NO_NAMESPACE
    assert not api.scope.present
    api.data("POST", "/namespaces", {"name": api.namespace})
    assert api.names() == api.names(workflowPath="/w.yaml") == []
    assert api.data("GET", "files")["children"] == []
    for variable in made:
        assert error(api.ask("GET", f"variables/{variable['id']}")) == MISSING


def test_d27_system_exists_when_it_was_created_and_is_told_apart(api: Api) -> None:
    assert error(api.ask("GET", "/namespaces/system")) == MISSING
    assert error(api.ask("GET", "/namespaces/system/variables")) == NO_NAMESPACE
    assert api.data("POST", "/namespaces", {"name": "system"})["isSystemNamespace"] is True
    assert api.data("GET", "/namespaces/system")["isSystemNamespace"] is True
    assert api.ask("DELETE", "/namespaces/system").status == 200


def test_d27_nothing_but_creating_makes_a_namespace(api: Api) -> None:
    name = f"{api.namespace}-2"
    body = {"name": "x", "mimeType": "a/b", "data": base64("1")}
    assert error(api.ask("POST", f"/namespaces/{name}/variables", body)) == NO_NAMESPACE
    assert (
        error(api.ask("POST", f"/namespaces/{name}/files", {"name": "x", "type": "file", "data": ""})) == NO_NAMESPACE
    )
    assert name not in listed(api)
    api.service.store.namespace(name).create()
    assert name in listed(api)
    assert api.data("GET", f"/namespaces/{name}/variables") == []


def test_d27_namespaces_are_listed_by_creation(api: Api) -> None:
    names = [f"{end}-{api.namespace}" for end in ("m", "z", "a")]
    for name in names:
        api.data("POST", "/namespaces", {"name": name})
    assert listed(api)[-3:] == names


@pytest.mark.parametrize("name", ["", "A", "aB", "1", "a b", "a-", "-a", "a/b", "ä", "..", "a\n", "x" * 513, None])
def test_d27_names_that_are_not_legal(api: Api, name: str | None) -> None:
    before = listed(api)
    assert error(api.ask("POST", "/namespaces", {"name": name})) == (
        400,
        "request_data_invalid",
        "invalid namespace name",
    )
    assert listed(api) == before


def test_d27_a_duplicate(api: Api) -> None:
    used = (400, "request_data_invalid", "namespace name already used")
    api.make("x")
    assert error(api.ask("POST", "/namespaces", {"name": api.namespace, "mirror": MIRROR})) == used
    api.service.store.namespace(f"{api.namespace}-python").create()
    assert error(api.ask("POST", "/namespaces", {"name": f"{api.namespace}-python"})) == used
    assert api.names() == ["x"]
    assert api.data("GET", f"/namespaces/{api.namespace}")["mirror"] is None


def test_d27_a_mirror_is_kept_without_secrets(api: Api) -> None:
    name = f"{api.namespace}-mirror"
    made = api.data("POST", "/namespaces", {"name": name, "mirror": {**MIRROR, **SECRET}})
    mirror = made["mirror"]
    assert set(mirror) == {*MIRROR, "createdAt", "updatedAt"}
    assert {field: mirror[field] for field in MIRROR} == MIRROR
    assert datetime.fromisoformat(mirror["createdAt"]).tzinfo is not None
    assert mirror["updatedAt"] == mirror["createdAt"]
    assert api.data("GET", f"/namespaces/{name}") == made
    told = api.ask("GET", "/namespaces").body.decode() + str(api.service.store.namespace(name).info().properties)
    assert [secret for secret in SECRET.values() if secret in told] == []


def test_d27_a_mirror_with_the_least(api: Api) -> None:
    least = {"url": "https://example.com/a.git", "gitRef": "main", "authType": "public"}
    made = api.data("POST", "/namespaces", {"name": f"{api.namespace}-least", "mirror": least})
    assert set(made["mirror"]) == {*least, "insecure", "createdAt", "updatedAt"}
    assert made["mirror"]["insecure"] is False


@pytest.mark.parametrize("lacking", ["url", "gitRef", "authType"])
@pytest.mark.parametrize("value", [None, ""])
def test_d27_a_mirror_without_what_it_needs(api: Api, lacking: str, value: str | None) -> None:
    name = f"{api.namespace}-lacking"
    reply = api.ask("POST", "/namespaces", {"name": name, "mirror": {**MIRROR, lacking: value}})
    assert error(reply)[:2] == (400, "request_data_invalid")
    assert list(reply.json["error"]["validation"]) == [lacking]
    assert name not in listed(api)


def test_d27_a_mirror_of_another_type(api: Api) -> None:
    wrong: list[object] = ["url", [], {**MIRROR, "insecure": "yes"}, {**MIRROR, "url": 3}]
    for mirror in wrong:
        assert error(api.ask("POST", "/namespaces", {"name": "never", "mirror": mirror})) == BAD_SCHEMA


def test_the_same_namespaces_are_those_of_python(api: Api) -> None:
    """D31: also names that Direktiv would not take."""
    store = api.service.store
    store.namespace("Prod of Team/1").put("model", b"1", content_type="a/b")
    assert "Prod of Team/1" in listed(api)
    where = "/namespaces/Prod%20of%20Team%2F1"
    assert api.data("GET", where)["name"] == "Prod of Team/1"
    (variable,) = api.data("GET", f"{where}/variables")
    assert (variable["name"], variable["mimeType"]) == ("model", "a/b")
    assert set(listed(api)) == {scope.name for scope in store.children("namespace")}
