"""Tokens, hosts, pages of others, limits, and how the service ends."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

import holdfast
from holdfast.errors import AccessError, InvalidArgumentError, StoreError
from holdfast.service.base import Limits
from holdfast.service.guard import Guard
from holdfast.service.server import serve
from holdfast.tokens import Tokens

from .talk import Client, Served, process_of, served


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, dict[str, str]]]:
    """A service with tokens, and some of these."""
    with holdfast.open(tmp_path_factory.mktemp("guarded") / "store") as store:
        tokens, texts = Tokens(store), {}
        for name, scopes, allow in (
            ("all", ["/"], ["read", "write", "admin"]),
            ("prod", ["namespace:prod"], ["read", "write"]),
            ("reader", ["namespace:prod"], ["read"]),
            ("two", ["namespace:a", "namespace:b"], ["read", "write", "admin"]),
        ):
            texts[name], _ = tokens.create(scopes=scopes, allow=allow)
        with served(store) as found:
            yield found, texts


def test_without_a_token_nothing_is_said(guarded: tuple[Served, dict[str, str]]) -> None:
    service, texts = guarded
    for path in (
        "/v1",
        "/v1/values/namespace:prod/a",
        "/v1/scopes",
        "/metrics",
        "/v1/keys/namespace:prod",
        "/v1/leases/x",
    ):
        got = service.client.ask("POST" if "leases" in path else "GET", path)
        assert (got.status, got.code, got.headers["www-authenticate"][:6]) == (401, "unauthorized", "Bearer")
    for path in ("/v1/openapi.json", "/healthz", "/readyz"):
        assert service.client.get(path).status == 200
    good = texts["prod"]
    for wrong in ("", "x", good[:-1], good + "x", good[:-43] + "A" * 43, "hft_" + "0" * 16 + good[20:], "\xff" * 64):
        got = service.client.ask("GET", "/v1/values/namespace:prod/a", None, {"Authorization": f"Bearer {wrong}"})
        assert got.status == 401
    for wrong in (good, f"Basic {good}", f"Bearer {good} {good}", f"Bearer,{good}"):
        got = service.client.ask("GET", "/v1/values/namespace:prod/a", None, {"Authorization": wrong})
        assert (got.status, got.code) == (401, "unauthorized")
        assert "send it as Authorization: Bearer hft_..." in got.json["error"]["message"]
    assert service.client.ask("GET", "/v1", None, {"Authorization": f"bearer  {good}"}).status == 200


def test_who_is_refused_is_told_what_his_token_opens(guarded: tuple[Served, dict[str, str]]) -> None:
    service, texts = guarded
    opened = "this token opens namespace:prod to read, write: not "
    guest = service.another(texts["prod"])
    refused = guest.put("/v1/values/namespace:test/a", b"1")
    guest.close()
    assert refused.json["error"]["message"] == opened + "namespace:test to write"
    with holdfast.open(service.url, token=texts["prod"], cache="off") as store:
        with pytest.raises(AccessError, match=opened + "namespace:test to write"):
            store.namespace("test").put("a", 1)
        with pytest.raises(AccessError, match=opened + "namespace:prod to admin"):
            store.namespace("prod").drop()
        with pytest.raises(AccessError, match=opened + "to take the lease"):
            store.lease("namespace:test/x").acquire()


def test_the_journal_has_token_and_scope(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "store") as store:
        text, token = Tokens(store).create(scopes=["namespace:prod"], allow=["read", "write"])
        with served(store) as service:
            guest = service.another(text)
            guest.put("/v1/values/namespace:prod/a", b"1")
            guest.close()
            service.client.get("/v1/values/namespace:prod/b")
            with holdfast.open(service.url, token=text, cache="off") as client:
                client.namespace("prod").workflow('q"').put("c", 1)
                client.namespace("prod").get("a")
    assert text[21:] not in service.told.getvalue()
    lines = [json.loads(line) for line in service.told.getvalue().splitlines()]
    told = [(line["path"], line.get("token"), line.get("scope")) for line in lines if "path" in line]
    assert ("/v1/values/namespace:prod/a", token.id, "namespace:prod") in told
    assert ("/v1/values/namespace:prod/b", None, None) in told
    assert any(path.startswith("/v1/catalog/") and scope == 'namespace:prod/workflow:q"' for path, _, scope in told)
    assert ("/v1/catalog/find", token.id, "namespace:prod") in told


def test_a_quiet_service_tells_of_failures_only(tmp_path: Path) -> None:
    with process_of(str(tmp_path / "store"), "--quiet") as (process, client):
        assert client.put("/v1/values/n:a/b", b"1").status == 201
        client.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_a_token_opens_its_scopes_for_its_verbs(guarded: tuple[Served, dict[str, str]]) -> None:
    service, texts = guarded
    all_, prod, reader, two = (service.another(texts[name]) for name in ("all", "prod", "reader", "two"))
    assert prod.put("/v1/values/namespace:prod/x:y/a", b"1").status == 201
    assert reader.get("/v1/values/namespace:prod/x:y/a").body == b"1"
    refused = [
        (reader, "PUT", "/v1/values/namespace:prod/a"),
        (reader, "PATCH", "/v1/values/namespace:prod/a"),
        (reader, "DELETE", "/v1/values/namespace:prod/x:y/a"),
        (reader, "POST", "/v1/add/namespace:prod/n"),
        (reader, "PUT", "/v1/scopes/namespace:prod/new:x"),
        (prod, "DELETE", "/v1/scopes/namespace:prod/x:y"),
        (prod, "GET", "/v1/values/namespace:production/a"),
        (prod, "PUT", "/v1/values/namespace:other/a"),
        (prod, "GET", "/v1/scopes"),
        (prod, "GET", "/v1/children"),
        (prod, "GET", "/v1/keys/namespace:other"),
        (prod, "GET", "/v1/changes/namespace:other/a"),
        (prod, "GET", "/v1/changes/namespace:other"),
        (prod, "GET", "/v1/artifacts/namespace:other/artifact:a"),
        (prod, "GET", "/v1/records/namespace:other/a"),
        (reader, "POST", "/v1/leases/nightly"),
        (prod, "POST", "/v1/leases/namespace:other/x"),
        (prod, "GET", "/metrics"),
        (two, "GET", "/v1/values/namespace:c/a"),
        (two, "GET", "/metrics"),
        (all_, "GET", "/v1/keys/service:tokens"),
        (all_, "GET", "/v1/values/service:tokens/a"),
        (all_, "PUT", "/v1/values/service:x/a"),
        (all_, "DELETE", "/v1/scopes/service:tokens"),
        (all_, "GET", "/v1/scopes/service:tokens"),
        (all_, "GET", "/v1/changes/service:tokens"),
        (all_, "GET", "/v1/children/service:tokens"),
        (all_, "POST", "/v1/leases/service:tokens/x"),
        (prod, "POST", "/v1/leases/holdfast/gc"),
        (prod, "POST", "/v1/leases/holdfast/policy"),
    ]
    for client, method, path in refused:
        got = client.ask(method, path, {} if method in ("POST", "PATCH") else None)
        assert (got.status, got.code) == (403, "forbidden"), (method, path)
    for change in ({"name": "z"}, {"policy": {"history": 0}}):  # the second removes what is kept
        assert prod.ask("PATCH", "/v1/scopes/namespace:prod/x:y", change).code == "forbidden"
    assert prod.ask("PATCH", "/v1/scopes/namespace:prod/x:y", {"properties": {"a": 1}}).status == 200
    for name in ("namespace:prod/nightly", "nightly"):
        assert prod.ask("POST", f"/v1/leases/{name}", {}).status == 201
    operations = [
        {"op": "put", "address": "namespace:prod/b", "value": 1},
        {"op": "put", "address": "namespace:other/b", "value": 1},
        {"op": "get", "address": "service:tokens/b"},
    ]
    results = prod.ask("POST", "/v1/batch", {"operations": operations}).json["results"]
    assert [result["status"] for result in results] == [201, 403, 403]
    assert prod.ask("POST", "/v1/transactions", {"operations": operations}).json["operation"] == 1
    assert prod.ask("POST", "/v1/transactions", {"operations": [], "expect": {"namespace:other/b": 0}}).status == 403
    assert reader.ask("POST", "/v1/batch", {"operations": operations[:1]}).json["results"][0]["status"] == 403
    assert "service" not in [scope["kind"] for scope in all_.get("/v1/children").json["scopes"]]
    assert prod.get("/v1").json["access"] == {"scopes": ["namespace:prod"], "verbs": ["read", "write"]}
    assert all_.get("/metrics").status == 200
    for client in (all_, prod, reader, two):
        client.close()


def test_what_another_process_does_to_tokens_holds_within_five_seconds(
    guarded: tuple[Served, dict[str, str]], tmp_path: Path
) -> None:
    """A token that is revoked opens nothing any more, and the first one that is made closes the service."""
    old = guarded[0]
    text, token = Tokens(old.store).create(scopes=["namespace:prod"], allow=["read"])
    client = old.another(text)
    with holdfast.open(tmp_path / "store") as store, served(store) as new:
        assert (client.get("/v1").status, new.client.get("/v1").status) == (200, 200)
        Tokens(old.store).revoke(token.id)
        Tokens(store).create(scopes=["/"], allow=["read"])
        end = time.monotonic() + 5
        while (client.get("/v1").status, new.client.get("/v1").status) != (401, 401):
            assert time.monotonic() < end
            time.sleep(0.1)
    client.close()


def test_without_tokens_only_this_machine_is_served(service: Served, client: Client, tmp_path: Path) -> None:
    for host in (
        "evil.example",
        "192.0.2.1",
        "127.0.0.1.evil.example",
        "",
        "[::2]",
        "localhost.evil",
        "a@localhost:1@b",
        "[",
        "1127.0.0.1",
    ):
        got = client.ask("GET", "/v1", None, {"Host": host})
        assert (got.status, got.code) == (403, "forbidden"), host
    for host in ("localhost", "127.0.0.1", f"127.0.0.1:{client.port}", "[::1]:80", "LOCALHOST:8080", "127.1.2.3"):
        assert client.ask("GET", "/v1", None, {"Host": host}).status == 200, host
    here = f"127.0.0.1:{client.port}"
    for origin in (
        "https://evil.example",
        "null",
        "http://localhost:1",
        f"https://{here}",
        f"http://{here}.evil.example",
    ):
        assert client.ask("GET", "/v1", None, {"Host": here, "Origin": origin}).status == 403, origin
    assert client.ask("GET", "/v1", None, {"Host": here, "Origin": f"http://{here}"}).status == 200
    for host in ("0.0.0.0", "::", socket.gethostname()):
        with pytest.raises(InvalidArgumentError, match="holdfast token create"):
            serve(service.store, host=host, port=0)
    with pytest.raises(StoreError, match="cannot listen"):
        serve(service.store, port=client.port)
    with pytest.raises(InvalidArgumentError, match="port"):
        serve(service.store, port=70000)


def test_with_tokens_others_are_served(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "store") as store:
        text, _ = Tokens(store).create(scopes=["/"], allow=["read"])
        with served(store, host="0.0.0.0") as service:
            client = Client(service.url.replace("0.0.0.0", "127.0.0.1"), text)
            assert (
                client.ask("GET", "/v1", None, {"Host": "holdfast.example", "Origin": "https://a.example"}).status
                == 200
            )
            assert client.ask("GET", "/v1", None, {"Authorization": ""}).status == 401
            client.close()


# --- limits -----------------------------------------------------------------------------------------------------------


LIMITS = Limits(
    body=100_000,
    json=50_000,
    headers=2000,
    requests=4,
    connections=30,
    header_time=0.5,
    idle_time=1.0,
    request_time=1.5,
)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with holdfast.open(tmp_path_factory.mktemp("narrow") / "store") as store, served(store, LIMITS) as found:
        yield found


def test_bodies_have_a_limit(narrow: Served, at: str) -> None:
    where = f"/v1/values/{at}/a"
    assert narrow.client.put(where, bytes(100_000)).status == 201
    for _ in range(2):  # the service goes on after it, also when the body is much larger
        for size in (100_001, 3_000_000, 30_000_000):
            got = narrow.once("PUT", where, bytes(size))
            assert (got.status, got.code) == (413, "too_large")
        got = narrow.once("PUT", where, iter([bytes(60_000), bytes(60_000)]))
        assert (got.status, got.code) == (413, "too_large")
    got = narrow.client.ask("POST", "/v1/batch", {"operations": [], "x": "y" * 60_000})
    assert got.status == 413
    assert narrow.once("GET", where).headers["content-length"] == "100000"


def test_headers_have_a_limit(narrow: Served) -> None:
    for head in (
        b"GET /v1 HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 3000 + b"\r\n\r\n",
        b"GET /v1/" + b"y" * 3000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /v1 HTTP/1.1\r\nhost: localhost\r\n" + b"a: b\r\n" * 500 + b"\r\n",
        b"GET /v1 HTTP/1.1\r\nx: " + b"y" * 1_000_000,  # without an end
    ):
        got = narrow.client.raw(head)
        assert got.startswith(b"HTTP/1.1 431 "), got
        assert json.loads(got.partition(b"\r\n\r\n")[2])["error"]["code"] == "headers_too_large"


def test_silence_has_a_limit(narrow: Served, at: str) -> None:
    began = time.monotonic()
    head = b"PUT /v1/values/%s/a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nxxx" % at.encode()
    starts = (b"", b"GET /v1 HT", b"GET /v1 HTTP/1.1\r\nhost: localhost\r\nx: ", b"\r\n", head)
    with ThreadPoolExecutor(5) as pool:
        for start, got in zip(starts, pool.map(narrow.client.raw, starts), strict=True):
            assert got.startswith(b"HTTP/1.1 408 "), start
    assert time.monotonic() - began < 10
    assert narrow.client.get(f"/v1/values/{at}/a").status == 404


def test_a_request_has_its_time(narrow: Served, at: str) -> None:
    began = time.monotonic()
    got = narrow.client.get(f"/v1/changes/{at}/a?wait=60")
    assert (got.status, got.code, "retry-after" in got.headers) == (504, "timeout", False)
    assert 1 < time.monotonic() - began < 8


def test_who_does_not_read_his_answer_is_let_go(narrow: Served, at: str) -> None:
    narrow.store.scope(at).put_chunks("large", [bytes(1 << 20)] * 50)
    with socket.create_connection((narrow.client.host, narrow.client.port)) as link:
        link.sendall(f"GET /v1/values/{at}/large HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        time.sleep(0.3)
        assert b"\nholdfast_requests_active 1\n" in narrow.client.get("/metrics").body
        end = time.monotonic() + 5
        while b"\nholdfast_requests_active 0\n" not in narrow.client.get("/metrics").body:
            assert time.monotonic() < end
            time.sleep(0.1)


def test_requests_at_once_have_a_limit(narrow: Served, at: str) -> None:
    links = []
    for _ in range(4):
        link = socket.create_connection((narrow.client.host, narrow.client.port))
        link.sendall(f"GET /v1/changes/{at}/a?wait=2 HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        links.append(link)
    end = time.monotonic() + 2
    while (got := narrow.once("GET", "/v1")).status == 200 and time.monotonic() < end:
        pass
    assert (got.status, got.code, got.headers["retry-after"]) == (503, "busy", "1")
    assert narrow.client.get("/healthz").status == 200
    for link in links:
        link.close()
    time.sleep(0.2)
    assert narrow.client.get("/v1").status == 200  # those who went away wait no more


def test_slow_connections_do_not_stop_the_others(narrow: Served, at: str) -> None:
    links = []
    try:
        for _ in range(60):  # twice as many as may be open
            link = socket.create_connection((narrow.client.host, narrow.client.port))
            link.sendall(b"GET / HTTP/1.1\r\nx:")
            links.append(link)
        end = time.monotonic() + 5
        while True:  # until the first of them are closed
            try:
                if narrow.once("GET", "/healthz").status == 200:
                    break
            except OSError:
                pass
            assert time.monotonic() < end
    finally:
        for link in links:
            link.close()


# --- the process ------------------------------------------------------------------------------------------------------


def begin_put(client: Client) -> socket.socket:
    """The first half of a body."""
    link = socket.create_connection((client.host, client.port), timeout=20)
    link.sendall(b"PUT /v1/values/n:a/slow HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n12345")
    time.sleep(0.3)
    return link


def test_a_process_serves_and_ends_with_what_it_took_on(tmp_path: Path) -> None:
    with process_of(str(tmp_path / "store"), "--json") as (process, client):
        assert client.put("/v1/values/n:a/b", b"1", X_Request_ID="mine-1").headers["x-request-id"] == "mine-1"
        assert client.get("/v1/values/n:a/b", X_Request_ID="no id").headers["x-request-id"] != "no id"
        polled: list[int] = []

        def poll() -> None:
            waiting = Client(f"http://{client.host}:{client.port}")
            polled.append(waiting.get("/v1/changes/n:a/b?wait=100").status)
            waiting.close()

        poller = threading.Thread(target=poll)
        poller.start()
        with begin_put(client) as slow:
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            with pytest.raises(OSError):
                socket.create_connection((client.host, client.port), timeout=1)
            slow.sendall(b"67890")
            assert slow.recv(1000).startswith(b"HTTP/1.1 201 ")
        poller.join(5)
        assert polled == [204]
        assert process.wait(10) == 0
        assert process.stderr is not None
        lines = [json.loads(line) for line in process.stderr.read().splitlines()]
    told = {line["request_id"]: line for line in lines if "request_id" in line}
    assert told["mine-1"]["status"] == 201
    assert {"time", "level", "method", "path", "status", "ms", "in", "out", "client"} <= set(told["mine-1"])
    with holdfast.open(tmp_path / "store", create=False) as store:
        assert store.scope("n:a").get("slow") == b"1234567890"


@pytest.mark.long
def test_the_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with process_of(str(tmp_path / "store"), "--shutdown-time", "60") as (process, client), begin_put(client):
        process.send_signal(signal.SIGINT)
        time.sleep(0.4)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.wait(10)
    with holdfast.open(tmp_path / "store", create=False) as store:
        assert not store.scope("n:a").exists("slow")


def test_a_killed_service_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    done = 0
    with process_of(str(tmp_path / "store"), "--quiet") as (process, client):
        killer = threading.Timer(0.7, process.kill)
        killer.start()
        try:
            while True:
                client.put(f"/v1/values/n:a/{done}", bytes([done % 256]) * (10 if done % 3 else 50_000))
                done += 1
        except (OSError, http.client.HTTPException):
            pass  # it is dead
        killer.join()
    with holdfast.open(tmp_path / "store", create=False) as store:
        scope = store.scope("n:a")
        for number in range(done):
            assert scope.get(str(number)) == bytes([number % 256]) * (10 if number % 3 else 50_000)
        assert store.verify().problems == []
    assert done > 20


def test_a_carriage_return_in_a_field_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with holdfast.open(tmp_path / "store") as store, served(store) as service:
        monkeypatch.setattr(Guard, "request_id", lambda *_: "a\rset-cookie: b")
        assert b"set-cookie" not in service.client.raw(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")


def test_what_the_library_logs_is_told_to_the_journal_while_it_serves(tmp_path: Path) -> None:
    logger = logging.getLogger("holdfast")
    before = list(logger.handlers)
    with holdfast.open(tmp_path / "store") as store:
        with served(store) as service:
            logger.warning("a disk is slow")
        assert "a disk is slow" in service.told.getvalue()
        assert logger.handlers == before


@pytest.mark.parametrize("fate", ["removed", "moved"])
def test_a_store_that_is_no_longer_there_is_told_of(tmp_path: Path, fate: str) -> None:
    folder = tmp_path / "store"
    with holdfast.open(folder) as store, served(store) as service:
        client = service.client
        assert client.put("/v1/values/n:a/k", b"x").status == 201
        assert client.put("/v1/values/n:a/file", bytes(100_000)).status == 201
        if fate == "removed":
            shutil.rmtree(folder)
        else:
            folder.rename(tmp_path / "elsewhere")
        time.sleep(0.06)  # it is looked at every 50 ms
        for size in (1, 100_000):
            got = client.put("/v1/values/n:a/more", bytes(size))
            assert (got.status, got.code) == (404, "store_not_found"), size
        for path in ("values/n:a/k", "values/n:a/file", "records/n:a/k", "keys/n:a", "changes/n:a"):
            got = client.get(f"/v1/{path}")
            assert (got.status, got.code) == (404, "store_not_found"), path
            assert got.json["error"]["message"] == "the store of this service is gone: tell who runs it"
        asked, plain = {"operations": [{"op": "get", "address": "n:a/k"}]}, Client(service.url)
        for body in (
            plain.ask("POST", "/v1/batch", asked).body,
            plain.ask("POST", "/v1/transactions", asked).body,
            plain.ask("POST", "/v1/catalog/find", msgspec.msgpack.encode(([("n", "a")], "k"))).body,
            plain.ask("GET", "/api/v2/namespaces").body,
        ):
            assert str(tmp_path).encode() not in body
            assert b"is gone" in body
        plain.close()
        got = client.get("/readyz")
        assert str(tmp_path) not in got.json["error"]["message"]
        assert (got.status, got.code, "retry-after" in got.headers) == (503, "store_not_found", True)
        assert client.get("/healthz").status == 200
    assert not folder.exists()
    assert any(str(folder) in json.loads(line).get("error", "") for line in service.told.getvalue().splitlines())


def test_only_what_did_not_begin_in_its_time_is_told_as_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with holdfast.open(tmp_path / "store") as store, served(store, Limits(request_time=0.3)) as service:
        catalog, scope = store._kernel.catalog, store.namespace("a")
        commit = catalog.commit

        def commit_slowly(*changes: Any, **more: Any) -> Any:
            done = commit(*changes, **more)
            time.sleep(0.6)  # as on a disk that is slow
            return done

        async def sign_in_slowly(*_: Any) -> None:
            await asyncio.sleep(60)

        monkeypatch.setattr(catalog, "commit", commit_slowly)
        got = service.client.put("/v1/values/namespace:a/begun", bytes(100_000))
        assert (got.status, got.code, "retry-after" in got.headers) == (504, "timeout", False)
        assert "may or may not" in got.json["error"]["message"]
        assert "begun" in scope
        monkeypatch.setattr(Guard, "sign_in", sign_in_slowly)
        got = service.client.put("/v1/values/namespace:a/not-begun", b"x")
        assert (got.status, got.code, got.headers["retry-after"]) == (503, "timeout", "5")
        assert "not-begun" not in scope
