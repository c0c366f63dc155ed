"""``/v1/scopes``, ``/v1/children`` and ``/v1/keys``."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from .talk import Client, Served


def test_a_scope_is_made_changed_renamed_and_dropped(client: Client, at: str) -> None:
    where = f"/v1/scopes/{at}"
    assert client.get(where).code == "not_found"
    assert client.ask("PATCH", where, {"properties": {}}).status == 404
    made = client.ask("PUT", where, {"properties": {"owner": "Ada"}})
    assert (made.status, made.json["properties"]) == (201, {"owner": "Ada"})
    assert client.ask("PUT", where).status == 200
    assert client.get(where).json["properties"] == {"owner": "Ada"}
    assert client.ask("PUT", where, {"properties": {}}).json["properties"] == {}
    client.put(f"/v1/values/{at}/workflow:w/a", b"12345")
    assert client.get(f"{where}/workflow:w").json["usage"] == {"records": 1, "bytes": 5}
    assert client.ask("DELETE", f"{where}?only_empty=true").code == "conflict"
    renamed = client.ask("PATCH", where, {"name": f"{at[10:]}-2"})
    assert renamed.json["scope"] == f"{at}-2"
    assert client.get(where).status == 404
    assert client.get(f"/v1/values/{at}-2/workflow:w/a").body == b"12345"
    client.ask("PUT", where)
    assert client.ask("PATCH", where, {"name": f"{at[10:]}-2"}).code == "exists"
    assert client.ask("DELETE", f"{where}-2").status == 204
    assert client.get(f"/v1/values/{at}-2/workflow:w/a").status == 404
    assert client.ask("DELETE", f"{where}-2").status == 404
    wrong: list[object] = [{"name": ""}, {"name": 1}, {"name": "a", "properties": {}}, {}, {"policy": {"x": 1}}]
    for body in (*wrong, {"policy": {"history": -1}}):
        assert client.ask("PATCH", where, body).status == 400, body
    wrong = [{"properties": 1}, {"other": 1}, []]
    for body in wrong:
        assert client.ask("PUT", where, body).status == 400


def test_a_limit_of_a_scope_is_507(client: Client, at: str) -> None:
    client.ask("PUT", f"/v1/scopes/{at}")
    client.ask("PATCH", f"/v1/scopes/{at}", {"policy": {"max_bytes": 10}})
    assert client.put(f"/v1/values/{at}/a", b"123456789").status == 201
    assert client.put(f"/v1/values/{at}/b", b"123").code == "quota_exceeded"
    assert client.put(f"/v1/values/{at}/b", b"123").status == 507


def test_the_root(service: Served, client: Client, at: str) -> None:
    client.ask("PUT", f"/v1/scopes/{at}")
    for where in ("/v1/scopes", "/v1/scopes/"):
        assert client.get(where).json["scope"] == ""
    assert at in [scope["scope"] for scope in client.get("/v1/children").json["scopes"]]
    for method in ("DELETE", "PUT"):
        assert client.ask(method, "/v1/scopes/").status == 400
    assert client.get("/v1/keys/").status == 400


def test_children_page_by_page(client: Client, at: str) -> None:
    names = [f"workflow:w{n}" for n in range(7)] + ["session:s1", "workflow:ä b"]
    for name in names:
        client.ask("PUT", f"/v1/scopes/{at}/{quote(name)}")
    scopes = pages(client, f"/v1/children/{at}", "scopes", limit=2)
    assert [scope["scope"].removeprefix(f"{at}/") for scope in scopes] == sorted(names, key=str.encode)
    some = client.get(f"/v1/children/{at}?kind=session").json
    assert [scope["name"] for scope in some["scopes"]] == ["s1"]
    first = client.get(f"/v1/children/{at}?kind=session&limit=1").json["cursor"]
    assert client.get(f"/v1/children/{at}?kind=session&limit=1&cursor={first}").json == {"scopes": [], "cursor": None}
    assert client.get(f"/v1/children/{at}?kind=workflow&cursor={first}").status == 400


def pages(client: Client, where: str, what: str, **query: str | int) -> list:
    found, cursor = [], None
    while True:
        page = client.get(f"{where}?" + urlencode({**query, **({"cursor": cursor} if cursor else {})})).json
        found += page[what]
        cursor = page["cursor"]
        if cursor is None:
            return found


def test_keys_and_records_page_by_page(service: Served, client: Client, at: str) -> None:
    scope = service.store.scope(at)
    names = [f"a/{n:03}" for n in range(25)] + ["b", "ä", "😀", "c d"]
    for number, name in enumerate(names):
        scope.put(name, b"x" * (number % 5), tags={"odd": str(number % 2)})
    ordered = sorted(names, key=str.encode)
    where = f"/v1/keys/{at}"
    assert client.get(where).json == {"keys": ordered, "cursor": None}
    assert pages(client, where, "keys", limit=4) == ordered
    assert pages(client, where, "keys", limit=4, prefix="a/") == ordered[:25]
    assert pages(client, where, "keys", limit=4, start="a/020", end="b") == ordered[20:25]
    assert pages(client, where, "keys", limit=3, order="-key") == ordered[::-1]
    assert [r["key"] for r in pages(client, where, "records", limit=7, records="true")] == ordered
    odd = [name for number, name in enumerate(names) if number % 2]
    assert pages(client, where, "keys", limit=4, tag="odd=1") == sorted(odd, key=str.encode)
    for order in ("created", "-updated", "size", "-size", "version", "-version"):
        records = pages(client, where, "records", limit=4, records="true", order=order)
        assert [record["key"] for record in records] == [record.key for record in scope.list(order=order)], order
    assert client.get(f"{where}?limit=0").json == {"keys": [], "cursor": None}
    assert client.get("/v1/keys/namespace:none").json == {"keys": [], "cursor": None}


def test_a_cursor_is_of_its_listing(client: Client, at: str) -> None:
    for key in "abc":
        client.put(f"/v1/values/{at}/{key}", b"")
        client.put(f"/v1/values/{at}/w:w/{key}", b"")
    where = f"/v1/keys/{at}"
    cursor = client.get(f"{where}?limit=1").json["cursor"]
    assert client.get(f"{where}?cursor={cursor}").json["keys"] == ["b", "c"]
    for other in (
        f"{where}/w:w?cursor={cursor}",
        f"{where}?prefix=a&cursor={cursor}",
        f"{where}?order=size&cursor={cursor}",
        f"{where}?cursor={cursor[:-2]}",
        f"{where}?cursor=x",
        f"{where}?cursor=",
        f"{where}?cursor=%ff",
        f"{where}?cursor=W10",
        f"/v1/children/{at}?cursor={cursor}",
        f"/v1/artifacts/{at}/artifact:a?cursor={cursor}",
    ):
        assert client.get(other).code in ("invalid_argument", "not_found"), other


def test_wrong_parameters(client: Client, at: str) -> None:
    for query in (
        "limit=-1",
        "limit=x",
        "limit=1001",
        "limit=1.5",
        "limit=1&limit=2",
        "order=name",
        "records=yes",
        "tag=a",
        "what=1",
        "prefix=%zz",
        "prefix=%ff",
        "limit=" + "9" * 5000,
        "start=%ed%a0%80",
        "%00=1",
        "limit=%EF%BC%91",
    ):
        got = client.get(f"/v1/keys/{at}?{query}")
        assert (got.status, got.code) == (400, "invalid_argument"), query
