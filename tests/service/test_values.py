"""``/v1/values``, ``/v1/records`` and ``/v1/add``, over a real socket."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
import pytest

import holdfast
from holdfast import StorableDataclass
from holdfast.service.base import Limits

from .talk import Client, Served, served, url_of


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
    assert client.get(where).code == client.ask("DELETE", where).code == "not_found"


@pytest.mark.parametrize("size", [0, 1, 1000, 16384, 16385, 32768, 32769, 300_000, 5_000_000])
def test_every_size_comes_back(service: Served, client: Client, at: str, size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    assert client.put(f"/v1/values/{at}/data", data).json["size"] == size
    assert client.get(f"/v1/values/{at}/data").body == data
    assert service.store.scope(at).get_bytes("data") == data

    def chunked() -> list[bytes]:
        return [data[i : i + 70_000] for i in range(0, size, 70_000)]

    assert client.put(f"/v1/values/{at}/chunked", iter(chunked())).json["size"] == size
    assert client.get(f"/v1/values/{at}/chunked").body == data
    head = client.ask("HEAD", f"/v1/values/{at}/data")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(size))


def test_python_sees_what_http_put_and_the_other_way_round(service: Served, client: Client, at: str) -> None:
    scope = service.store.scope(at)
    client.put(f"/v1/values/{at}/settings", {"a": [1, 2.5, None]})
    assert scope.get("settings") == {"a": [1, 2.5, None]}
    assert client.get(f"/v1/values/{at}/settings").body == b'{"a": [1, 2.5, null]}'  # the very bytes
    large = {"text": "x" * 100_000}
    client.put(f"/v1/values/{at}/large", large)
    assert scope.get("large") == large
    scope.put("text", "grüß")
    assert client.get(f"/v1/values/{at}/text").body == "grüß".encode()
    scope.put("number", -7)
    assert client.get(f"/v1/values/{at}/number").body == b"-7"
    scope.put("packed", b"ab" * 100_000, compression="zstd")
    assert client.get(f"/v1/values/{at}/packed").body == b"ab" * 100_000
    assert client.get(f"/v1/values/{at}/packed", Range="bytes=1-3").body == b"bab"


def test_json_is_a_value_only_when_it_is_json(client: Client, at: str) -> None:
    where = f"/v1/values/{at}/a"
    for wrong in (b"{", b"", b"NaN", b'{"a":1,"a":2}', b"\xff", b"[" * 5000):
        assert client.put(where, wrong, Content_Type="application/json").code == "invalid_argument"
    assert client.put(where, b"[" * 300 + b"]" * 300, Content_Type="application/json").status == 422
    assert client.get(where).status == 404
    for told in ("application/json; charset=utf-16", "application/json; version=1", "application/jsonl"):
        assert client.put(where, b"{", Content_Type=told).json["serializer"] is None


@pytest.mark.parametrize("told", ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'])
def test_json_that_says_its_charset_is_a_value(service: Served, client: Client, at: str, told: str) -> None:
    where = f"/v1/values/{at}/a"
    assert client.put(where, b"{", Content_Type=told).code == "invalid_argument"
    assert client.put(where, b'{"speed": 3}', Content_Type=told).json["serializer"] == "holdfast.json@v1"
    assert service.store.scope(at).get("a") == {"speed": 3}
    assert client.get(where).headers["content-type"] == told
    client.put(where, b"4", Content_Type=told)
    assert service.store.scope(at).add("a").value == 5
    assert client.put(f"/v1/artifacts/{at}/artifact:a", b'{"x": 1}', Content_Type=told).status == 201
    assert service.store.scope(at).artifact("a").metadata["x"] == 1


def test_long_json_is_a_file_from_a_length_that_is_told(tmp_path: Path) -> None:
    text = b'"' + b"x" * 998 + b'"'
    with holdfast.open(tmp_path / "store") as store, served(store, Limits(json=1000)) as narrow:
        put = partial(narrow.client.put, Content_Type="application/json")
        assert put("/v1/values/n:a/b", text).json["serializer"] == "holdfast.json@v1"
        assert put("/v1/values/n:a/b", text + b" ").json["serializer"] is None
        assert put("/v1/artifacts/n:a/artifact:b", b'{"a": ' + text + b"}").status == 413


def test_values_are_shown_as_json(service: Served, client: Client, at: str) -> None:
    scope = service.store.scope(at)
    value: object
    for value in (None, True, 7, 2.5, "grüß", [1, [2]], {"a": None}):
        scope.put("value", value)
        shown = client.get(f"/v1/values/{at}/value?as=json")
        assert shown.json == value
        assert shown.headers["content-type"] == "application/json"
    for other in (b"bytes", (1, 2), np.arange(3), {1: 2}, float("nan"), datetime.now(timezone.utc)):
        scope.put("value", other)
        assert client.get(f"/v1/values/{at}/value?as=json").code == "not_acceptable"
    assert client.get(f"/v1/values/{at}/value?as=xml").status == 400


def test_long_values_of_python_are_shown_as_json(service: Served, client: Client, at: str) -> None:
    """Wherever their bytes lie, also by a batch; not what JSON does not have."""
    scope = service.store.scope(at)
    long = {"names": ["grüß@v1.example"] * 10_000, "more": [None, 0.5]}
    shown: dict[str, object] = {"long": long, "packed": long, "short": {"mail": "a@v1.example"}, "text": "x" * 100_000}
    for key, value in shown.items():
        scope.put(key, value, compression="zstd" if key == "packed" else None)
    hidden = {"array": {"a": np.arange(20_000)}, "bytes": [bytes(200_000)], "tuple": [(1,)] * 50_000, "pickle": Trap()}
    hidden["larger"] = ["x" * 1000] * 4500
    for key, value in hidden.items():
        scope.put(key, value)
    asked = [{"op": "get", "address": f"{at}/{key}"} for key in (*shown, *hidden)]
    results = dict(zip((*shown, *hidden), client.ask("POST", "/v1/batch", {"operations": asked}).json["results"]))
    for key, value in shown.items():
        assert client.get(f"/v1/values/{at}/{key}?as=json").json == value
        assert results[key]["value"] == value
    for key in hidden:
        refused = client.get(f"/v1/values/{at}/{key}?as=json")
        assert (refused.status, refused.code) == (406, "not_acceptable")
        assert ("value" in results[key]) == (key == "larger")


def test_what_is_shown_as_json_is_asked_for_under_conditions(service: Served, client: Client, at: str) -> None:
    version, where = service.store.scope(at).put("value", "grüß").version, f"/v1/values/{at}/value?as=json"
    assert client.get(where, If_Match='"77"').status == 412
    assert client.get(where, If_None_Match=f'"{version}"').status == 304
    for more in ({"If-Match": f'"{version}"'}, {"If-None-Match": '"77"'}, {"Range": "bytes=0-1"}):
        shown = client.ask("GET", where, None, more)
        assert (shown.status, shown.json, shown.headers["etag"]) == (200, "grüß", f'"{version}"')
        assert shown.headers.keys().isdisjoint({"accept-ranges", "holdfast-digest"}), "they are of other bytes"


class Trap:
    """Leaves a mark where it is unpickled."""

    loaded = 0

    def __setstate__(self, state: object) -> None:
        type(self).loaded += 1

    def __getstate__(self) -> object:
        return "state"


def test_nothing_is_unpickled(service: Served, client: Client, at: str) -> None:
    scope = service.store.scope(at)
    scope.put("pickle", Trap())
    scope.put("nested", {"inside": [Trap()]})
    scope.artifact("a").scope.put(".artifact.json", Trap())
    for key in ("pickle", "nested"):
        assert client.get(f"/v1/values/{at}/{key}?as=json").status == 406
        assert client.get(f"/v1/values/{at}/{key}").status == 200
        client.ask("POST", "/v1/batch", {"operations": [{"op": "get", "address": f"{at}/{key}"}]})
    assert client.get(f"/v1/artifacts/{at}/artifact:a").json["metadata"] is None
    assert Trap.loaded == 0
    assert scope.get("pickle") is not None
    assert Trap.loaded == 1


def test_ranges(client: Client, at: str) -> None:
    small, large = bytes(range(100)), np.random.default_rng(0).bytes(1_000_000)
    for data in (small, large):
        where, size = f"/v1/values/{at}/data", len(data)
        version = client.put(where, data).json["version"]
        for text, begin, end in (
            ("bytes=0-0", 0, 1),
            ("bytes=5-", 5, size),
            ("bytes=-7", size - 7, size),
            ("bytes=90-9999999", 90, size),
            (f"bytes=-{size * 2}", 0, size),
            (f"bytes={size - 1}-", size - 1, size),
            ("Bytes = 3 - 4", 3, 5),
        ):
            got = client.get(where, Range=text)
            assert (got.status, got.body) == (206, data[begin:end]), text
            assert got.headers["content-range"] == f"bytes {begin}-{end - 1}/{size}"
        for text in ("bytes=0-1,3-4", "bytes=5-2", "bytes=", "bytes=-", "items=0-1", "bytes=a-b"):
            assert client.get(where, Range=text).status == 200, text
        for text in (f"bytes={size}-", "bytes=-0", f"bytes={size + 5}-{size + 6}"):
            got = client.get(where, Range=text)
            assert (got.status, got.headers["content-range"]) == (416, f"bytes */{size}")
        assert client.get(where, Range="bytes=0-0", If_Range=f'"{version}"').status == 206
        assert client.get(where, Range="bytes=0-0", If_Range=f'"{version + 1}"').status == 200
        assert client.ask("HEAD", where, None, Range="bytes=0-0").status == 200


def test_conditions(client: Client, at: str) -> None:
    where = f"/v1/values/{at}/a"
    assert client.put(where, b"0", If_Match='"1"').status == 412
    assert client.put(where, b"0", If_Match="*").status == 412
    first = client.put(where, b"1", If_None_Match="*")
    assert first.status == 201
    tag = first.headers["etag"]
    assert client.put(where, b"2", If_None_Match="*").status == 412
    assert client.get(where, If_None_Match=tag).status == 304
    assert client.get(where, If_None_Match=f'"0", W/{tag}').headers["etag"] == tag
    assert client.get(where, If_Match='"999999"').status == 412
    second = client.put(where, b"2", If_Match=tag)
    assert second.status == 200
    assert client.put(where, b"3", If_Match=tag).code == "conflict"
    assert client.put(where, b"3", If_Match=f"W/{second.headers['etag']}").status == 412  # a weak tag is never the same
    assert client.put(where, b"3", If_Match=f'"77", {second.headers["etag"]}').status == 200
    assert client.put(where, b"4", If_Match="*").status == 200
    assert client.put(where, b"5", If_None_Match=client.get(where).headers["etag"]).status == 412
    assert client.get(where).body == b"4"
    for wrong in ("7", "", '"', '"a', "W/*"):
        assert client.put(where, b"6", If_Match=wrong).code == "invalid_argument"
    assert client.ask("PATCH", where, {"tags": {"a": "b"}}, If_Match=tag).status == 412
    assert client.ask("DELETE", where, None, If_Match=tag).status == 412
    assert client.ask("DELETE", where, None, If_Match=client.get(where).headers["etag"]).status == 204
    assert client.ask("DELETE", where, None, If_Match="*").status == 404


def test_tags_and_expiry(service: Served, client: Client, at: str) -> None:
    where = f"/v1/values/{at}/a"
    tags = {"stage": "eval", "größe": "ä%b", "q": ""}
    put = client.put(
        where, b"1", Holdfast_Tags=quote(json.dumps(tags)), Holdfast_Tag_more="x%20y", Holdfast_Expires="60"
    )
    assert put.json["tags"] == {**tags, "more": "x y"}
    got = client.get(where)
    assert json.loads(unquote(got.headers["holdfast-tags"])) == put.json["tags"]
    assert got.headers["holdfast-tag-stage"] == "eval"
    assert got.headers["holdfast-expires"] == put.json["expires"]
    left = datetime.fromisoformat(put.json["expires"]) - datetime.now(timezone.utc)
    assert timedelta(seconds=50) < left < timedelta(seconds=61)
    changed = client.ask("PATCH", where, {"tags": {"a": "b"}, "expires": None}).json
    assert (changed["tags"], changed["expires"], changed["version"] > put.json["version"]) == ({"a": "b"}, None, True)
    assert client.ask("PATCH", where, {"tags": None, "expires": "2031-01-31T12:00:00Z"}).json["tags"] == {}
    assert service.store.scope(at).record("a").expires == datetime(2031, 1, 31, 12, tzinfo=timezone.utc)
    client.ask("PATCH", where, {"expires": 0})
    assert client.get(where).status == 404
    for name, wrong in (
        ("Holdfast-Tags", "{"),
        ("Holdfast-Tags", "%5B%5D"),
        ("Holdfast-Tags", quote('{"a":1}')),
        ("Holdfast-Tag-a", "%zz"),
        ("Holdfast-Tag-a", "%ff"),
        ("Holdfast-Expires", "soon"),
        ("Holdfast-Expires", "2031-01-31T12:00:00"),
        ("Holdfast-Expires", "-5"),
        ("Holdfast-Durability", "none"),
        ("Holdfast-Lease", "x"),
        ("Holdfast-Nothing", "x"),
        ("Holdfast-Expires", "999999999999"),
        ("Content-Type", "a\xe4"),
        ("Content-Type", "x" * 1001),
    ):
        assert client.ask("PUT", where, b"1", {name: wrong}).status == 400, (name, wrong)
    for body in ({}, {"a": 1}, {"tags": 1}, {"tags": {"a": 1}}, {"expires": "x"}, {"expires": [1]}, [1]):
        assert client.ask("PATCH", where, body).status == 400
    assert client.ask("PATCH", where, {"expires": None}).status == 404
    assert client.get(where).status == 404


def test_durability(client: Client, at: str) -> None:
    for size in (10, 100_000):
        assert client.put(f"/v1/values/{at}/a", bytes(size), Holdfast_Durability="power").status in (200, 201)


def test_names_of_all_kinds(service: Served, client: Client) -> None:
    for scope, key in (
        ("namespace:a b/workflow:ä€😀", "k ey"),
        ("n:%25/m:x%2Fy", "50%25"),
        ("n:q?#&+", "a?b#c&d+e"),
        ("n:x", "a/b/../c//d"),
        ("n:x", "first%3Asegment/second:segment"),
        ("n:.", ".."),
        ("n:x", "\\\"'<>"),
    ):
        address = f"{scope}/{key}"
        made = client.put(f"/v1/values/{url_of(address)}", address.encode())
        assert made.status == 201, address
        assert made.json["address"] == address
        path, name = service.store.find(address)
        assert path.get_bytes(name) == address.encode()
        assert client.get(f"/v1/values/{url_of(address)}").body == address.encode()
        assert client.get(f"/v1/records/{url_of(address)}").json == made.json


def test_history(service: Served, client: Client, at: str) -> None:
    assert client.ask("PUT", f"/v1/scopes/{at}", {}).status == 201
    assert client.ask("PATCH", f"/v1/scopes/{at}", {"policy": {"history": 5}}).json["policy"]["history"] == 5
    where = f"/v1/values/{at}/a"
    versions = [client.put(where, str(n).encode()).json["version"] for n in range(3)]
    kept = client.get(f"/v1/records/{at}/a?history=true").json["records"]
    assert [record["version"] for record in kept] == versions[1::-1]
    assert client.get(f"{where}?version={versions[0]}").body == b"0"
    assert client.get(f"{where}?version={versions[2]}").body == b"2"
    assert client.get(f"{where}?version=12345678").status == 404
    assert client.get(f"{where}?version=x").status == 400
    assert service.store.scope(at).get("a", version=versions[1]) == b"1"


def test_counters(service: Served, client: Client, at: str) -> None:
    where = f"/v1/add/{at}/n"
    assert client.ask("POST", where).json["value"] == 1
    assert client.ask("POST", where, {"amount": 41}).json["record"]["key"] == "n"
    assert service.store.scope(at).get("n") == 42
    client.put(f"/v1/values/{at}/begun", b"7", Content_Type="application/json")
    assert client.ask("POST", f"/v1/add/{at}/begun", {"amount": -8}).json["value"] == -1
    for body in ({"amount": "1"}, {"amount": 1.5}, {"amount": 2**64}, {"more": 1}, {"amount": None}):
        assert client.ask("POST", where, body).status == 400
    client.put(f"/v1/values/{at}/text", b"7")
    assert client.ask("POST", f"/v1/add/{at}/text").status == 400


@dataclass
class Run(StorableDataclass, class_id="5e41c0de77"):
    """An object of several contents."""

    text: str
    rows: np.ndarray


def test_objects_of_several_contents_are_got_one_by_one(service: Served, client: Client, at: str) -> None:
    scope = service.store.scope(at)
    scope.put("run", Run(text="x", rows=np.arange(100_000)))
    got = client.get(f"/v1/values/{at}/run")
    assert (got.status, "rows" in got.json["error"]["message"]) == (400, True)
    got = client.get(f"/v1/values/{at}/run?content=rows")
    assert got.body == scope.get_bytes("run", content="rows")
    assert got.headers["content-type"] == scope.record("run").contents["rows"].content_type
    assert client.get(f"/v1/values/{at}/run?content=rows", Range="bytes=2-3").body == got.body[2:4]
    assert client.get(f"/v1/values/{at}/run?content=other").status == 404
    assert client.get(f"/v1/values/{at}/run?as=json").status == 406
    assert set(client.get(f"/v1/records/{at}/run").json["contents"]) == {"body", "rows"}
    scope.put("text", "x")
    assert client.get(f"/v1/values/{at}/text?content=value").body == b"x"


def test_lost_and_damaged_bytes_are_told(service: Served, client: Client, at: str) -> None:
    data = bytes(1_234_567)
    client.put(f"/v1/values/{at}/a", data)
    service.store.sync()
    folder = Path(service.store.config.store) / "files"
    files = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size == len(data)]
    assert len(files) == 1
    files[0].chmod(0o600)
    files[0].write_bytes(b"x" * len(data))
    got = client.get(f"/v1/values/{at}/a")
    assert (got.status, got.code) == (500, "integrity")
    files[0].unlink()
    got = client.get(f"/v1/values/{at}/a")
    assert (got.status, got.code) == (404, "value_lost")
