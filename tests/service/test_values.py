"""``/v1/values``, ``/v1/records`` and ``/v1/add``, over a real socket."""

from __future__ import annotations

from .talk import Client, Served


def test_bytes_come_back_as_they_were_put(client: Client, at: str) -> None:
    where = f"/v1/values/{at}/report.csv"
    made = client.put(where, b"a,b\n1,2\n", Content_Type="text/csv; charset=utf-8")
    assert made.status == 201
    assert made.json["size"] == 8
    got = client.get(where)
    assert (got.status, got.body) == (200, b"a,b\n1,2\n")
    assert got.headers["content-type"] == "text/csv; charset=utf-8"
    assert got.headers["etag"] == made.headers["etag"] == f'"{made.json["version"]}"'
    assert got.headers["holdfast-digest"] == made.json["digest"]
    assert client.put(where, b"").status == 200
    assert client.get(where).body == b""
    assert client.ask("DELETE", where).status == 204
    assert client.get(where).code == "not_found"


def test_python_sees_what_http_put(service: Served, client: Client, at: str) -> None:
    scope = service.store.scope(at)
    client.put(f"/v1/values/{at}/settings", {"a": [1, 2.5, None]})
    assert scope.get("settings") == {"a": [1, 2.5, None]}
    scope.put("text", "grüß")
    assert client.get(f"/v1/values/{at}/text").body == "grüß".encode()
