"""A client that does what comes to its mind, and a dict that says what must come of it.

Every answer is held against the OpenAPI document, none may be a 5xx, and what is stored must be what the dict says.
"""

from __future__ import annotations

import json
import os
import socket
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlencode

import pytest

import holdfast
from holdfast.tokens import Tokens

from .talk import Client, Reply, Served, served, url_of

SCOPES = ("n:a", "n:a/w:b", "n:ä b")
KEYS = ("a", "b/c", "k ey", "ü/€", "50%25", "x:y/z", "..")
TYPES = ("text/plain", "application/json", "application/octet-stream", "text/csv; charset=utf-8", "x/y")
VALUES: tuple[Any, ...] = (
    None,
    True,
    1,
    -7,
    2.5,
    "x",
    "grüß\n",
    [1, [2]],
    {"a": {"b": None}},
    2**63 - 1,
    2**64,
    [],
    "x" * 20_000,
)


class Item(NamedTuple):
    """What must be there."""

    body: bytes
    type: str
    version: int
    tags: dict[str, str]


class Program:
    """Random requests, and the dict."""

    def __init__(self, service: Served, seed: int) -> None:
        tokens = Tokens(service.store)
        self.random = Random(seed)
        self.service, self.counts = service, Counter[str]()
        texts = [
            tokens.create(scopes=["/"], allow=["read", "write", "admin"])[0],
            tokens.create(scopes=["n:a/w:b"], allow=["read"])[0],
        ]
        self.client, self.reader = (service.another(text) for text in texts)
        self.strangers = [
            service.another(text)
            for text in (None, "x", texts[0][:-1] + ("E" if texts[0][-1] == "A" else "A"), "hft_" + "0" * 60)
        ]
        self.items: dict[tuple[str, str], Item] = {}
        self.newest = 0
        self.leases: dict[str, int] = {}
        self.verbs: list[Callable[[], None]] = [
            *[self.put] * 6,
            *[self.get] * 6,
            self.head,
            self.delete,
            self.patch,
            self.add,
            self.batch,
            self.transaction,
            self.keys,
            self.scopes,
            self.drop,
            self.lease,
            self.changes,
            self.events,
            self.artifact,
            self.cut_off,
            self.stream,
            self.stranger,
            self.reads_only,
            self.nonsense,
            self.others,
        ]

    def run(self, requests: int) -> None:
        while sum(self.counts.values()) < requests:
            self.random.choice(self.verbs)()
        for (scope, key), item in self.items.items():
            got = self.client.get(f"/v1/values/{url_of(f'{scope}/{text(key)}')}")
            assert (got.body, got.headers["content-type"]) == (item.body, item.type)

    def close(self) -> None:
        for client in (self.client, self.reader, *self.strangers):
            client.close()

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        client: Client | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        self.counts[f"{method} {path.split('/')[2] if path.startswith('/v1/') else '-'}"] += 1
        reply = (client or self.client).ask(method, path, body, headers)
        assert reply.status < 500, (method, path, headers, reply)
        self.counts[str(reply.status)] += 0
        return reply

    # --- what is chosen ---------------------------------------------------------------------------------------------

    def place(self) -> tuple[tuple[str, str], str]:
        where = self.random.choice(SCOPES), self.random.choice(KEYS)
        return where, url_of(f"{where[0]}/{text(where[1])}")

    def data(self, most: int = 400_000) -> bytes:
        return self.random.randbytes(self.random.choice((0, 1, 100, 1000, 16_384, 16_385, 32_769, most)))

    def condition(self, item: Item | None) -> tuple[dict[str, str], bool]:
        """Header fields, and whether they hold for a write."""
        version, other = (item.version if item else 0), self.random.randrange(1, 10_000_000)
        return self.random.choice(
            [
                ({}, True),
                ({}, True),
                ({}, True),
                ({"If-Match": f'"{version}"'}, item is not None),
                ({"If-Match": f'"{other}"'}, other == version),
                ({"If-Match": "*"}, item is not None),
                ({"If-None-Match": "*"}, item is None),
                ({"If-None-Match": f'"{version}"'}, item is None),
                ({"If-Match": f'"{other}", "{version}"'}, item is not None),
            ]
        )

    def wrote(self, where: tuple[str, str], body: bytes, kind: str, record: Any, tags: dict[str, str]) -> None:
        assert record["version"] > self.newest or record["version"] > 0
        before = self.items.get(where)
        assert before is None or record["version"] > before.version
        self.items[where] = Item(body, kind, record["version"], tags)

    # --- values -----------------------------------------------------------------------------------------------------

    def put(self) -> None:
        where, path = self.place()
        kind, item = self.random.choice(TYPES), self.items.get(where)
        body = json.dumps(self.random.choice(VALUES)).encode() if kind == "application/json" else self.data()
        headers, holds = self.condition(item)
        tags = self.random.choice(({}, {"a": "b"}, {"ä": "ö%", "n": ""}))
        if tags:
            headers["Holdfast-Tags"] = quote(json.dumps(tags))
        pieces = iter([body[:1000], body[1000:]]) if self.random.random() < 0.2 and len(body) > 1000 else body
        got = self.ask("PUT", f"/v1/values/{path}", pieces, headers={**headers, "Content-Type": kind})
        if not holds:
            assert got.status == 412
            return
        assert got.status == (200 if item else 201)
        self.wrote(where, body, kind, got.json, tags)

    def get(self) -> None:
        where, path = self.place()
        item, size = self.items.get(where), self.random.randrange(1, 20_000)
        begin = self.random.randrange(0, 20_000)
        part = {"Range": f"bytes={begin}-{begin + size}"}
        got = self.ask("GET", f"/v1/values/{path}", headers=part if size % 3 == 0 else {})
        if item is None:
            assert got.status == 404
        elif size % 3 == 0:
            expected = item.body[begin : begin + size + 1]
            assert (got.status, got.body if got.status == 206 else b"") == (206 if expected else 416, expected)
        else:
            assert (got.status, got.body, got.headers["content-type"]) == (200, item.body, item.type)
            assert got.headers["etag"] == f'"{item.version}"'
            assert json.loads(unquote(got.headers.get("holdfast-tags", "{}"))) == item.tags
            assert self.ask("GET", f"/v1/values/{path}", headers={"If-None-Match": got.headers["etag"]}).status == 304
            shown = self.ask("GET", f"/v1/values/{path}?as=json")
            assert shown.status == (200 if item.type == "application/json" else 406)

    def head(self) -> None:
        where, path = self.place()
        item, got = self.items.get(where), self.ask("HEAD", f"/v1/values/{path}")
        assert (got.status, got.body) == (404 if item is None else 200, b"")
        assert item is None or got.headers["content-length"] == str(len(item.body))
        assert self.ask("GET", f"/v1/records/{path}").status == got.status

    def delete(self) -> None:
        where, path = self.place()
        item = self.items.get(where)
        headers, holds = self.condition(item)
        got = self.ask("DELETE", f"/v1/values/{path}", headers=headers)
        assert got.status == (404 if item is None else 204 if holds else 412)
        if got.status == 204:
            del self.items[where]

    def patch(self) -> None:
        where, path = self.place()
        item, tags = self.items.get(where), self.random.choice(({"a": "c"}, {}, None))
        headers, holds = self.condition(item)
        got = self.ask("PATCH", f"/v1/values/{path}", {"tags": tags, "expires": None}, headers=headers)
        assert got.status == (404 if item is None else 200 if holds else 412)
        if item is not None and holds:
            self.wrote(where, item.body, item.type, got.json, tags or {})

    def add(self) -> None:
        where, path = self.place()
        item, amount = self.items.get(where), self.random.choice((1, -5, 2**62))
        got = self.ask("POST", f"/v1/add/{path}", {"amount": amount})
        number = integer(item)
        if number is None or not -(1 << 63) <= number + amount < 1 << 63:
            assert got.status == 400
        else:
            assert (got.status, got.json["value"]) == (200, number + amount)
            self.wrote(
                where, str(number + amount).encode(), "application/json", got.json["record"], item.tags if item else {}
            )

    def cut_off(self) -> None:
        """A body that ends in the middle."""
        _, path = self.place()
        self.counts["PUT cut off"] += 1
        head = f"PUT /v1/values/{path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {self.client.token}\r\n"
        body = self.random.choice(("content-length: 90000\r\n\r\n", "transfer-encoding: chunked\r\n\r\n15f90\r\n"))
        with socket.create_connection((self.client.host, self.client.port)) as link:
            link.sendall((head + body).encode() + self.data(80_000)[:80_000])

    def stream(self) -> None:
        """Some megabytes, up and down."""
        where, path = self.place()
        piece = self.random.randbytes(100_000)
        item = self.items.get(where)
        body = piece * self.random.randrange(5, 30)
        got = self.ask(
            "PUT", f"/v1/values/{path}", iter([piece] * (len(body) // len(piece))), headers={"Content-Type": "x/y"}
        )
        assert got.status == (200 if item else 201)
        self.wrote(where, body, "x/y", got.json, {})
        assert self.ask("GET", f"/v1/values/{path}").body == body

    # --- many -------------------------------------------------------------------------------------------------------

    def operations(self) -> list[tuple[tuple[str, str], dict[str, Any]]]:
        found = []
        for _ in range(self.random.randrange(1, 6)):
            where, _ = self.place()
            operation: dict[str, Any] = {"op": self.random.choice(("get", "put", "put", "delete", "record", "add"))}
            operation["address"] = f"{where[0]}/{text(where[1])}"
            if operation["op"] == "put":
                operation |= self.random.choice(
                    (
                        {"value": self.random.choice(VALUES)},
                        {
                            "data": b64encode(self.data(50_000)).decode(),
                            "content_type": self.random.choice(("x/y", "text/plain")),
                        },
                    )
                )
            found.append((where, operation))
        return found

    def done(self, where: tuple[str, str], operation: dict[str, Any], result: dict[str, Any], write: bool) -> None:
        """Hold one result against the dict, and note what it wrote."""
        item, op, status = self.items.get(where), operation["op"], result["status"]
        if op == "put":
            assert status in (200, 201), result
            if "value" in operation:
                value = operation["value"]
                body, kind = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(), "application/json"
            else:
                body, kind = b64decode(operation["data"]), operation["content_type"]
            self.wrote(where, body, kind, result["record"], {})
        elif op == "add":
            number = integer(item)
            if number is None or number >= (1 << 63) - 1:
                assert status == 400
            else:
                assert result["value"] == number + 1
                body, tags = str(number + 1).encode(), item.tags if item else {}
                self.wrote(where, body, "application/json", result["record"], tags)
        elif item is None:
            assert status == 404
        elif op == "delete":
            assert status == 204
            del self.items[where]
        elif op == "get":
            assert status == 200
            if "data" in result:
                assert b64decode(result["data"]) == item.body
            else:
                assert result["value"] == json.loads(item.body)

    def batch(self) -> None:
        operations = self.operations()
        results = self.ask("POST", "/v1/batch", {"operations": [operation for _, operation in operations]}).json[
            "results"
        ]
        for (where, operation), result in zip(operations, results, strict=True):
            self.done(where, operation, result, True)

    def transaction(self) -> None:
        operations, before = self.operations(), dict(self.items)
        got = self.ask("POST", "/v1/transactions", {"operations": [operation for _, operation in operations]})
        if got.status != 200:
            assert got.status in (400, 404)
            where, operation = operations[got.json["operation"]]
            assert operation["op"] != "put"
            assert self.items == before
            return
        for (where, operation), result in zip(operations, got.json["results"], strict=True):
            self.done(where, operation, result, True)

    def keys(self) -> None:
        scope = self.random.choice(SCOPES)
        expected = sorted((text for place, text in self.items if place == scope), key=str.encode)
        found, cursor = [], None
        while True:
            query = urlencode({"limit": 3, **({"cursor": cursor} if cursor else {})})
            page = self.ask("GET", f"/v1/keys/{url_of(scope)}?{query}").json
            found += page["keys"]
            cursor = page["cursor"]
            if cursor is None:
                break
        assert found == expected
        records = self.ask("GET", f"/v1/keys/{url_of(scope)}?records=true&order=-version").json["records"]
        assert sorted(record["version"] for record in records) == [record["version"] for record in records][::-1]
        assert {r["key"]: r["tags"] for r in records} == {k: i.tags for (s, k), i in self.items.items() if s == scope}

    def scopes(self) -> None:
        scope = self.random.choice(SCOPES)
        got = self.ask("PUT", f"/v1/scopes/{url_of(scope)}", {"properties": {"n": self.random.random()}})
        assert got.status in (200, 201)
        assert self.ask("GET", f"/v1/scopes/{url_of(scope)}").json["usage"]["records"] == sum(
            s == scope for s, _ in self.items
        )
        assert self.ask("GET", "/v1/children?kind=n").status == 200
        name = f"t{self.random.randrange(1000)}"
        self.ask("PUT", f"/v1/scopes/n:{name}")
        assert self.ask("PATCH", f"/v1/scopes/n:{name}", {"name": f"{name}x"}).status in (200, 409)
        assert self.ask("DELETE", f"/v1/scopes/n:{name}x?only_empty=true").status in (204, 404)

    def drop(self) -> None:
        if self.random.random() < 0.7:
            return
        scope = self.random.choice(SCOPES)
        got = self.ask("DELETE", f"/v1/scopes/{url_of(scope)}")
        below = [where for where in self.items if f"{where[0]}/".startswith(f"{scope}/")]
        assert got.status == 204 if below else got.status in (204, 404)
        for where in below:
            del self.items[where]

    # --- the rest ---------------------------------------------------------------------------------------------------

    def lease(self) -> None:
        name = self.random.choice(("nightly", "n:a/x"))
        token = self.leases.get(name)
        path = f"/v1/leases/{name}"
        if token is None:
            got = self.ask("POST", path, {"seconds": 600})
            assert got.status == 201
            self.leases[name] = got.json["token"]
        else:
            assert self.ask("POST", path, {}).status == 409
            assert self.ask("PATCH", path, {"token": token, "seconds": 600}).status == 200
            assert self.ask("PATCH", path, {"token": token + 1}).status == 409
            if self.random.random() < 0.5:
                assert self.ask("DELETE", f"{path}?token={self.leases.pop(name)}").status == 204

    def changes(self) -> None:
        where, path = self.place()
        item = self.items.get(where)
        got = self.ask("GET", f"/v1/changes/{path}?after=0")
        assert got.status == (204 if item is None else 200)
        assert item is None or got.json["version"] == item.version
        assert self.ask("GET", f"/v1/changes/{url_of(where[0])}?after=t99999999999.5&wait=0.01").status == 204

    def events(self) -> None:
        where, path = self.place()
        item = self.items.get(where)
        if item is None:
            return
        self.counts["GET events"] += 1
        head = f"GET /v1/changes/{path}?after=0 HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n"
        with socket.create_connection((self.client.host, self.client.port), timeout=20) as link:
            link.sendall(f"{head}authorization: Bearer {self.client.token}\r\n\r\n".encode())
            data = b""
            while b"data: " not in data:
                data += link.recv(10_000)
        assert f"id: {item.version}\n".encode() in data

    def artifact(self) -> None:
        path = f"/v1/artifacts/n:x/artifact:r{self.random.randrange(3)}"
        self.ask("PUT", path, {"n": self.random.random()})
        data = self.data(50_000)
        assert self.ask("PUT", f"{path}/a/b.txt", data).status in (200, 201)
        assert self.ask("GET", f"{path}/a/b.txt").body == data
        assert [file["key"] for file in self.ask("GET", path).json["files"]] == ["a/b.txt"]
        assert self.ask("DELETE", self.random.choice((path, f"{path}/a/b.txt"))).status == 204

    def stranger(self) -> None:
        _, path = self.place()
        for method in ("GET", "PUT", "DELETE"):
            assert self.ask(method, f"/v1/values/{path}", None, self.random.choice(self.strangers)).status == 401

    def reads_only(self) -> None:
        where, path = self.place()
        inside = where[0] == "n:a/w:b"
        got = self.ask("GET", f"/v1/values/{path}", None, self.reader)
        assert got.status == (403 if not inside else 200 if where in self.items else 404)
        assert self.ask("PUT", f"/v1/values/{path}", b"x", self.reader).status == 403
        assert self.ask("DELETE", f"/v1/scopes/{url_of(where[0])}", None, self.reader).status == 403

    def nonsense(self) -> None:
        noise = "".join(self.random.choice("abc:/%?=&.~;'é€\n\0 \"<{") for _ in range(self.random.randrange(12)))
        room = self.random.choice(("values", "keys", "scopes", "changes", "leases", ""))
        path = f"/v1/{room}/{quote(noise, safe=':/%?=&.~;')}"
        method = self.random.choice(("GET", "HEAD", "DELETE", "POST", "PATCH", "PUT"))
        headers = self.random.choice(
            (
                {},
                {"Range": "bytes=x"},
                {"If-Match": quote(noise)},
                {"Holdfast-Expires": "never"},
                {"Content-Type": "application/json"},
            )
        )
        body = self.random.choice((None, b"", b"{", b"[]", b'{"a": 1}', self.random.randbytes(100)))
        before = set(self.service.store.scope("n:a"))
        got = self.ask(method, path, body, headers=headers)
        if got.status < 300 and method in ("DELETE", "PUT", "POST", "PATCH"):
            self.counts["nonsense that was taken"] += 1
        assert set(self.service.store.scope("n:a")) == before or got.status < 300

    def others(self) -> None:
        path = self.random.choice(
            ("/healthz", "/readyz", "/metrics", "/v1", "/v1/openapi.json", "/x", "/v1/openapi.json?x=1")
        )
        got = self.ask(self.random.choice(("GET", "GET", "POST", "OPTIONS")), path)
        assert got.status in (200, 400, 404, 405)


def text(key: str) -> str:
    """A key as an address has it."""
    first, slash, rest = key.partition("/")
    return first.replace("%", "%25").replace(":", "%3A") + slash + rest


def integer(item: Item | None) -> int | None:
    """The native integer that an item is."""
    if item is None:
        return 0
    try:
        value = json.loads(item.body) if item.type == "application/json" else None
    except ValueError:
        return None
    sound = type(value) is int and -(1 << 63) <= value < 1 << 63 and str(value).encode() == item.body
    return value if sound else None


def run(folder: Path, seed: int, requests: int) -> Program:
    with holdfast.open(folder / "store") as store, served(store) as service:
        program = Program(service, seed)
        program.run(requests)
        program.close()
    return program


def test_some_requests(tmp_path: Path) -> None:
    program = run(tmp_path, 0, 500)
    assert {"PUT values", "GET keys", "POST transactions"} <= set(program.counts)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_ten_thousand_requests(tmp_path: Path) -> None:
    seed = int(os.environ.get("HOLDFAST_SEED", "0")) or int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")
    program = run(tmp_path, seed, 10_000)
    for name, number in sorted(program.counts.items()):
        if number:
            print(f"{number:6} {name}")
    assert sum(program.counts.values()) >= 10_000
