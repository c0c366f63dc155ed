"""What a hostile client, page, or holder of a small token tries, and does not get."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard

import holdfast
from holdfast.catalog import wire
from holdfast.hashing import SHA256
from holdfast.service.base import Limits
from holdfast.tokens import Tokens

from .talk import Client, Served, served

HEAD = b"PUT /v1/values/%s/up HTTP/1.1\r\nhost: localhost\r\n"
PROD = (("namespace", "prod"),)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Client]]:
    """Clients of a service, by what their tokens allow."""
    with holdfast.open(tmp_path_factory.mktemp("hostile") / "store") as store:
        texts = {
            name: Tokens(store).create(scopes=scopes, allow=allow)[0]
            for name, scopes, allow in (
                ("all", ["/"], ["read", "write", "admin"]),
                ("prod", ["namespace:prod"], ["read", "write"]),
                ("writer", ["namespace:prod"], ["write"]),
                ("other", ["namespace:other"], ["read", "write"]),
                ("below", ["namespace:prod/x:y"], ["read", "write", "admin"]),
            )
        }
        with served(store) as found:
            clients = {name: found.another(text) for name, text in texts.items()}
            yield clients
            for client in clients.values():
                client.close()


def call(client: Client, name: str, *arguments: Any) -> tuple[int, Any]:
    """A call of the Python client's: its status and what it gives, or the class of the error."""
    client.contract = None  # its errors are told as MessagePack
    reply = client.ask("POST", f"/v1/catalog/{name}", wire.encode(arguments), {"Content-Type": wire.MIME})
    found = msgspec.msgpack.decode(reply.body)
    return reply.status, found if reply.status == 200 else found[0]


# --- what may not be read ---------------------------------------------------------------------------------------------


def test_who_may_only_write_is_not_told_what_is_there(guarded: dict[str, Client]) -> None:
    owner, writer = guarded["all"], guarded["writer"]
    where = "/v1/values/namespace:prod/secret"
    owner.put(where, b"topsecret", Holdfast_Tag_mood="dark")
    assert writer.get(where).status == 403
    patched = writer.ask("PATCH", where, {"expires": None}).json
    assert set(patched) == {"key", "scope", "address", "version"}
    assert set(writer.ask("PUT", "/v1/scopes/namespace:prod", {}).json) == {"scope"}
    owner.put("/v1/values/namespace:prod/n", b"1", Content_Type="application/json", Holdfast_Tag_mood="dark")
    operations = [{"op": "add", "address": "namespace:prod/n"}]
    for path in ("/v1/batch", "/v1/transactions"):
        assert b"dark" not in writer.ask("POST", path, {"operations": operations}).body
    assert b"dark" not in writer.ask("POST", "/v1/add/namespace:prod/n", {}).body
    owner.put(where, b"topsecret", Holdfast_Tag_mood="dark", Holdfast_Expires="1000", Content_Type="text/css")
    said = {"key", "tier", "version", "created", "updated", "codec"}  # the codec is one of all that there are
    for change, tags in (
        (["edit", [PROD, "secret", True, '{"a":"b"}', True, None]], '{"a":"b"}'),
        (["delete", [PROD, "secret", None, None]], None),
    ):
        status, ((row, *_),) = call(writer, "commit", [change], [[PROD, None]], None, False)
        assert status == 200
        told = dict(zip(holdfast.model.RecordRow._fields, row, strict=True))
        assert told["tags"] == tags
        assert call(owner, "codec", told["codec"])[1][1] != "text/css"
        assert not any(value for name, value in told.items() if name not in {*said, "tags"})


def test_an_empty_change_over_direktivs_interface_reads_nothing(guarded: dict[str, Client]) -> None:
    owner, writer = guarded["all"], guarded["writer"]
    owner.ask("PUT", "/v1/scopes/namespace:prod", {})
    hidden = base64.b64encode(b"topsecret").decode()
    owner.ask("POST", "/api/v2/namespaces/prod/files", {"name": "f.txt", "type": "file", "data": hidden})
    made = owner.ask("POST", "/api/v2/namespaces/prod/variables", {"name": "v", "data": hidden}).json["data"]
    for path in ("files/f.txt", f"variables/{made['id']}"):
        got = writer.ask("PATCH", f"/api/v2/namespaces/prod/{path}", {})
        assert got.status == 200
        assert "data" not in got.json["data"]
        assert owner.ask("PATCH", f"/api/v2/namespaces/prod/{path}", {}).json["data"]["data"] == hidden


def test_a_rename_does_not_leave_what_a_token_opens(guarded: dict[str, Client]) -> None:
    below = guarded["below"]
    below.put("/v1/values/namespace:prod/x:y/k", b"1")
    assert below.ask("PATCH", "/v1/scopes/namespace:prod/x:y", {"name": "z"}).status == 403
    assert below.get("/v1/values/namespace:prod/x:y/k").body == b"1"


def test_leases_of_others_are_not_given_back(guarded: dict[str, Client]) -> None:
    owner, other = guarded["all"], guarded["other"]
    for name in ("holdfast/gc", "namespace:prod/nightly"):
        assert call(other, "acquire", name, "me", 30.0, "") == (403, "AccessError")
        status, lease = call(owner, "acquire", name, "me", 30.0, "")
        assert status == 200
        for verb, more in (("release", ()), ("renew", (1.0,))):
            assert call(other, verb, (name, lease[2]), *more) == (403, "AccessError")
        assert call(owner, "acquire", name, "you", 30.0, "")[1][1] == "me"
        assert call(owner, "holder", name)[1][1:3] == ["me", lease[2]]
        assert call(other, "holder", name) == (403, "AccessError")


def test_who_looks_at_a_lease_is_not_told_what_its_holder_knows(guarded: dict[str, Client]) -> None:
    call(guarded["all"], "acquire", "nightly", "me", 30.0, "")
    assert call(guarded["other"], "holder", "nightly")[1][:3] == ["nightly", "another", 0]
    assert call(guarded["other"], "holder", "daily") == (200, None)


# --- what would be in everybody's way ---------------------------------------------------------------------------------


def row(**changed: Any) -> tuple[Any, ...]:
    data = b"x"
    fields = {
        "expires": None, "tags": None, "algorithm": SHA256, "digest": hashlib.sha256(data).digest(), "size": 1,
        "codec": 1, "config": None, "signature": None, "data": data,
    }  # fmt: skip
    return tuple({**fields, **changed}.values())


@pytest.mark.parametrize(
    "changed",
    [
        {"tags": "no json"},
        {"tags": "[1]"},
        {"tags": '{"a":1}'},
        {"tags": '{"a":"b","a":"c"}'},
        {"expires": 1e300},
        {"expires": math.inf},
        {"expires": math.nan},
        {"codec": 999_999},
        {"codec": -1},
        {"config": "nonsense"},
        {"config": '{"size":-1}'},
        {"algorithm": 77},
    ],
)
def test_a_row_that_nobody_could_read_is_not_taken(guarded: dict[str, Client], changed: dict[str, Any]) -> None:
    client = guarded["prod"]
    assert call(client, "put", PROD, "bad", row(**changed), False, None) == (400, "InvalidArgumentError")
    expires, tags, algorithm, digest, size, codec, config, signature, data = row(**changed)
    content = (codec, algorithm, digest, size, data, None, config, signature, tags, expires, 0, None, None, None, ())
    put = ["put", [PROD, "bad", *content]]
    assert call(client, "commit", [put], [[PROD, None]], None, False) == (400, "InvalidArgumentError")
    assert client.get("/v1/keys/namespace:prod?records=true").status == 200
    assert client.get("/v1/records/namespace:prod/bad").status == 404


def test_names_and_times_that_nobody_could_tell_are_not_taken(guarded: dict[str, Client]) -> None:
    client = guarded["prod"]
    for key in ("", "a\nb", "a\0", "x" * 513):
        assert call(client, "put", PROD, key, row(), False, None) == (400, "InvalidKeyError")
        assert call(client, "add", PROD, key, 1, 1, False) == (400, "InvalidKeyError")
        assert call(client, "commit", [["delete", [PROD, key, None, None]]], [], None, False)[0] == 400
    for part in (("", "a"), ("a", ""), ("a\0", "b"), ("a", "x" * 513)):
        assert call(client, "put", (*PROD, part), "k", row(), False, None) == (400, "InvalidScopeError")
        assert call(client, "create_scope", (*PROD, part), None, True, None) == (400, "InvalidScopeError")
    for created in (math.nan, 1e300, -math.inf):
        assert call(client, "create_scope", (*PROD, ("bad", "x")), None, True, created)[0] == 400
    for properties in ("[]", '{"a":NaN}', '{"a":1,"a":2}', "[" * 100_000):
        assert call(client, "create_scope", (*PROD, ("bad", "x")), properties, True, None)[0] == 400
    assert call(client, "codec_id", (None, "text/html\r\nx-evil: 1", None))[0] == 400
    assert guarded["all"].get("/v1/children/namespace:prod").status == 200


def test_a_storage_that_there_is_not_is_no_damage(guarded: dict[str, Client]) -> None:
    client = guarded["prod"]
    client.contract = None
    reply = client.ask("POST", "/v1/bytes/99/read", '["a","b"]', {"Content-Type": "application/json"})
    assert (reply.status, msgspec.msgpack.decode(reply.body)[0]) == (400, "InvalidArgumentError")
    *content, _ = row()
    put = ["put", [PROD, "a", 1, SHA256, content[3], 1, None, [99, "{}", False], *(None,) * 4, 0, None, None, None, ()]]
    assert call(client, "commit", [put], [[PROD, None]], None, False)[0] in (400, 403)


def test_few_bytes_that_come_to_many_are_not_shown_as_json(guarded: dict[str, Client]) -> None:
    client = guarded["prod"]
    packed = zstandard.ZstdCompressor().compress(b'"' + bytes(5 << 20) + b'"')
    codec = call(client, "codec_id", ("holdfast.json@v1", "application/json", "zstd"))[1]
    bomb = row(
        digest=hashlib.sha256(packed).digest(), size=len(packed), codec=codec, config='{"size":5242882}', data=packed
    )
    assert call(client, "put", PROD, "bomb", bomb, False, None)[0] == 200
    got = client.get("/v1/values/namespace:prod/bomb?as=json")
    assert (got.status, got.code) == (406, "not_acceptable")


def test_a_cursor_that_was_made_up(client: Client, at: str) -> None:
    for text in ("[" * 5000, "[]", "{}", "5", '"x"', '["x"]', "[" + "9" * 5000 + "]"):
        made_up = base64.urlsafe_b64encode(text.encode()).decode()
        for path in (f"keys/{at}", f"children/{at}", f"artifacts/{at}/artifact:a"):
            assert client.get(f"/v1/{path}?cursor={made_up}").status == 400


# --- the wire ---------------------------------------------------------------------------------------------------------


def test_a_wish_for_another_protocol_costs_nobody_his_body(client: Client, at: str) -> None:
    head = HEAD % at.encode() + b"Connection: Upgrade, HTTP2-Settings\r\n"
    get = b"GET /v1/values/%s/up HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n" % at.encode()
    answer = client.raw(head + b"Upgrade: h2c\r\ncontent-length: 5\r\n\r\n12345" + get)
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert answer.endswith(b"12345")
    with socket.create_connection((client.host, client.port), timeout=10) as link:
        for part in (head + b"Upg", b"rade: h2c\r\ncontent-length: 3\r\n\r\nabc"):
            link.sendall(part)
            with suppress(TimeoutError):
                link.settimeout(0.2)
                answer = link.recv(1000)
    assert answer.startswith(b"HTTP/1.1 400 ")  # rather than an empty value
    assert client.get(f"/v1/values/{at}/up").body == b"12345"


def test_what_comes_behind_a_body_is_no_header_and_has_a_limit(client: Client, at: str) -> None:
    chunked = HEAD % at.encode() + b"transfer-encoding: chunked\r\n"
    body = b"1\r\nx\r\n0\r\n"
    answer = client.raw(chunked + b"connection: close\r\n\r\n" + body + b"holdfast-tag-a: b\r\nif-match: *\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert client.get(f"/v1/records/{at}/up").json["tags"] == {}
    for behind in (b"a: b\r\n" * 100_000, b"a: " + b"b" * 600_000):
        with suppress(ConnectionError):
            assert client.raw(chunked + b"\r\n" + body + behind).startswith(b"HTTP/1.1 431 ")
    with suppress(ConnectionError):
        assert client.raw(chunked + b"\r\n1;" + b"x" * 600_000).startswith(b"HTTP/1.1 431 ")


def test_a_connection_has_no_thousand_requests_waiting(service: Served, client: Client, at: str) -> None:
    slow = f"GET /v1/changes/{at}/up?wait=60 HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
    with suppress(ConnectionError):
        assert client.raw(slow + b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n" * 1000) == b""
    assert client.get("/healthz").status == 200


def test_a_client_that_left_with_requests_waiting_holds_no_place(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "store") as store, served(store, Limits(requests=3)) as service:
        client = service.client
        head = b"GET /v1/changes/n:a%s HTTP/1.1\r\nhost: localhost\r\naccept: %s\r\n\r\n"
        behind = b"GET /v1 HTTP/1.1\r\nhost: localhost\r\n\r\n"
        for asked in (head % (b"", b"text/event-stream"), head % (b"?wait=60", b"*/*")):
            for _ in range(20):  # one may be refused, where another request has its place for a moment longer
                with ExitStack() as links:
                    for _ in range(3):
                        link = links.enter_context(socket.create_connection((client.host, client.port)))
                        link.sendall(asked + behind)
                    time.sleep(0.3)
                    is_full = client.get("/v1").status == 503
                end = time.monotonic() + 5
                while client.get("/v1").status == 503:
                    assert time.monotonic() < end
                if is_full:
                    break
            assert is_full


def test_a_page_of_another_site_cannot_take_a_value_as_its_own_script(client: Client, at: str) -> None:
    where = f"/v1/values/{at}/data.js"
    client.put(where, b"secret = 1", Content_Type="text/javascript")
    for site in ("cross-site", "same-site"):
        assert client.get(where, Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors").status == 403
    assert client.get(where, Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="cors").status == 200
    shown = client.get(where, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")  # a link
    assert (shown.status, shown.headers["content-security-policy"]) == (200, "sandbox")
    assert shown.headers["x-content-type-options"] == "nosniff"


def test_an_artifact_is_not_removed_under_a_condition_that_nobody_checks(client: Client, at: str) -> None:
    where = f"/v1/artifacts/{at}/artifact:a"
    client.put(where, json.dumps({}), Content_Type="application/json")
    assert client.ask("DELETE", where, None, {"If-Match": '"77"'}).status == 400
    assert client.ask("DELETE", where, None, {"Holdfast-Lease": "nightly;7"}).status == 400
    assert client.get(where).status == 200


# --- memory -----------------------------------------------------------------------------------------------------------


def test_what_requests_hold_together_has_a_limit(tmp_path: Path) -> None:
    batch = b"POST /v1/batch HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4000000\r\n\r\n" + bytes(900_000)
    with holdfast.open(tmp_path / "store") as store, served(store, Limits(memory=1_000_000)) as service:
        client = service.client
        operations = [{"op": "put", "address": "n:a/long", "value": "x" * 600_000}]
        assert client.ask("POST", "/v1/batch", {"operations": operations}).status == 200  # it is the only one
        with socket.create_connection((client.host, client.port)) as link:
            link.sendall(batch)
            end = time.monotonic() + 5
            while (got := service.once("POST", "/v1/batch", {"operations": operations})).status == 200:
                assert time.monotonic() < end
            assert (got.status, got.code, got.headers["retry-after"]) == (503, "busy", "1")
            assert client.get("/v1/values/n:a/long?as=json").status == 503
            assert client.put("/v1/values/n:a/file", bytes(3_000_000)).status == 201  # as it is not held
            for asked in ([], [{"op": "get", "address": "n:a/file"}]):
                answer = service.once("POST", "/v1/batch", {"operations": asked}).json
                assert [result["status"] for result in answer["results"]] == [503] * len(asked)
        end = time.monotonic() + 5
        while client.get("/v1/values/n:a/long?as=json").status == 503:  # until it is seen that he went away
            assert time.monotonic() < end
        client.put("/v1/values/n:a/long-file", bytes(11_000_000))
        asked_for = json.dumps({"operations": [{"op": "get", "address": "n:a/long-file"}]}).encode()
        with socket.create_connection((client.host, client.port)) as link:  # who does not read his answer
            link.sendall(b"POST /v1/batch HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(asked_for))
            link.sendall(asked_for)
            assert link.recv(15, socket.MSG_PEEK | socket.MSG_WAITALL) == b"HTTP/1.1 200 OK"
            assert client.get("/v1/values/n:a/long?as=json").status == 503
        end = time.monotonic() + 5
        while client.get("/v1/values/n:a/long?as=json").status == 503:
            assert time.monotonic() < end
        parts = b'{"operations": [' + b"[]," * 100_000 + b"[]]}"
        assert client.ask("POST", "/v1/batch", parts).status == 400  # of many parts, but alone


def test_few_bytes_that_come_to_many_parts_are_not_taken(client: Client, at: str) -> None:
    path = (tuple(at.split(":")),)
    arguments: Any
    for arguments in (
        ([["delete", b""]] * 100_001, [], None, False),
        (
            [["put", [path, "a", *row()[5:6], 0, None, 0, None, *[None] * 6, None, None, [b""] * 100_001]]],
            [],
            None,
            False,
        ),
        ([["delete", [path * 60_000, "k", None, None]]] * 20, [], None, False),
    ):
        assert call(client, "commit", *arguments) == (400, "InvalidArgumentError")
    for parts in (b"[]," * 150_000, b"1," * 600_000):
        got = client.ask("POST", "/v1/batch", b'{"operations": [' + parts + b"1]}")
        assert (got.status, json.loads(got.body)["error"]["code"]) == (413, "too_large")


def test_changes_are_counted_as_what_they_are_in_memory(tmp_path: Path) -> None:
    deletes = [["delete", [PROD, f"k{number}", None, None]] for number in range(3000)]
    arguments = wire.encode((deletes, [[PROD, None]], None, False))
    slow = HEAD % b"n:a" + b"content-type: application/json\r\ncontent-length: 200000\r\n\r\n" + bytes(100_000)
    with holdfast.open(tmp_path / "store") as store, served(store, Limits(memory=2_000_000)) as service:
        address = service.client.host, service.client.port
        with socket.create_connection(address) as link:
            link.sendall(slow)
            end = time.monotonic() + 5
            while (reply := service.once("POST", "/v1/catalog/commit", arguments)).status == 200:
                assert time.monotonic() < end  # until the other one is there
            assert (reply.status, reply.code) == (503, "busy")


def test_what_takes_long_is_not_done_in_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []

    def noted(verb: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            threads.append(threading.current_thread().name)
            return verb(*arguments, **options)

        return run

    with holdfast.open(tmp_path / "store") as store, served(store) as service:
        catalog = store._kernel.catalog
        store.scope("namespace:prod").put("k", 1)
        for name in ("search", "commit"):
            monkeypatch.setattr(catalog, name, noted(getattr(catalog, name)))
        change = ["delete", [PROD, "k", None, None]]
        calls = (
            ("search", PROD, "", None, None, "key", None, 10_000),
            ("commit", [change] * 100, [[PROD, None]], None, False),
        )
        for name, *arguments in calls:
            call(service.client, name, *arguments)
    assert len(threads) == 2
    assert "served" not in threads  # the thread of the loop


def test_bytes_that_lie_in_the_catalog_are_counted_too(tmp_path: Path) -> None:
    in_catalog = holdfast.open(tmp_path / "store", storage="inline")
    with in_catalog as store, served(store, Limits(memory=3_000_000)) as service:
        address = service.client.host, service.client.port
        data = random.Random(1).randbytes(2_000_000)
        store.scope("n:a").put("packed", data.hex().encode(), compression="zstd")
        assert service.client.put("/v1/values/n:a/file", data).status == 201
        with socket.create_connection(address) as link:
            link.sendall(HEAD % b"n:a" + b"content-length: 4000000\r\n\r\n" + data)
            end = time.monotonic() + 5
            while (got := service.once("PUT", "/v1/values/n:a/file", data)).status == 200:
                assert time.monotonic() < end
            assert (got.status, got.code) == (503, "busy")
            assert service.once("GET", "/v1/values/n:a/file").code == "busy"
            assert service.once("GET", "/v1/values/n:a/packed").code == "busy"


def test_a_transaction_that_is_done_again_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with holdfast.open(tmp_path / "store") as store, served(store, Limits(memory=3_000_000)) as service:
        store.scope("n:a").put("text", "x" * 1_000_000)
        catalog, tried = store._kernel.catalog, []
        commit = catalog.commit

        def commit_later(*changes: Any, **more: Any) -> Any:
            tried.append(changes)
            if len(tried) < 6:
                raise holdfast.ConflictError("another writer was first")
            return commit(*changes, **more)

        monkeypatch.setattr(catalog, "commit", commit_later)
        operations = [{"op": "get", "address": "n:a/text"}, {"op": "put", "address": "n:a/k", "value": 1}]
        asked = {"operations": operations}
        slow = HEAD % b"n:a" + b"content-type: application/json\r\ncontent-length: 200000\r\n\r\n" + bytes(100_000)
        with socket.create_connection((service.client.host, service.client.port)) as link:
            link.sendall(slow)
            time.sleep(0.1)
            assert service.client.ask("POST", "/v1/transactions", asked).status == 200


def test_what_is_only_announced_takes_no_disk(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "store") as store, served(store, Limits(body=1 << 30)) as service:
        where = f"/v1/bytes/{store._kernel.storage_id}"
        head = f"PUT {where} HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n"
        too_long = (head % (2 << 30)).encode()[:-2] + b"expect: 100-continue\r\n\r\n"
        assert service.client.raw(too_long).startswith(b"HTTP/1.1 413 ")
        files = set(tmp_path.rglob("*"))
        with socket.create_connection((service.client.host, service.client.port)) as link:
            link.sendall((head % (256 << 20)).encode() + bytes(2 << 20))
            end = time.monotonic() + 5
            while not (found := [file for file in set(tmp_path.rglob("*")) - files if file.stat().st_size]):
                assert time.monotonic() < end
            assert sum(file.stat().st_blocks for file in found) * 512 < 128 << 20


def test_tags_and_properties_are_short_enough_to_be_listed(client: Client, at: str) -> None:
    long = "x" * 70_000
    client.put(f"/v1/values/{at}/a", b"1")
    assert client.ask("PATCH", f"/v1/values/{at}/a", {"tags": {"a": long}}).status == 400
    put = {"op": "put", "address": f"{at}/a", "value": 1, "tags": {"a": long}}
    assert client.ask("POST", "/v1/batch", {"operations": [put]}).json["results"][0]["status"] == 400
    assert client.ask("PUT", f"/v1/scopes/{at}", {"properties": {"a": long}}).status == 400
    path = (tuple(at.split(":")),)
    assert call(client, "put", path, "a", row(tags=json.dumps({"a": long})), False, None) == (
        400,
        "InvalidArgumentError",
    )
    assert call(client, "create_scope", path, json.dumps({"a": long}), True, None)[0] == 400
