"""What is malformed gets the documented answer, leaves nothing in part, and the service goes on."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from .talk import Client, Served

PUT = b"PUT /v1/values/n:a/b HTTP/1.1\r\nhost: localhost\r\n"


def statuses(answer: bytes) -> list[int]:
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/values/n:a/%",
        "/v1/values/n:a/%4",
        "/v1/values/n:a/%zz",
        "/v1/values/n:a/%ff",
        "/v1/values/n:a/%c3",
        "/v1/values/n:a/%ed%a0%80",
        "/v1/values/n:a/%00",
        "/v1/values/n:a/a%0ab",
        "/v1/values/n:a/%c2%80",
        "/v1/values/",
        "/v1/values/a",
        "/v1/values/n:a",
        "/v1/values/n:a/",
        "/v1/values/:a/b",
        "/v1/values/n:/b",
        "/v1/values/n:a:b/c",
        "/v1/values//n:a/b",
        "/v1/values/n:a/" + "x" * 513,
        "/v1/values/n:" + "x" * 513 + "/a",
        "/v1/values/n:a/b?%zz",
        "/v1/values/n:a/b?as=json&as=json",
        "/v1/values/n:a/b?unknown=1",
        "/v1/scopes/a",
        "/v1/scopes/n:a/b",
        "/v1/keys/n",
        "/v1/changes/x",
        "/v1/records/n:a",
        "/v1/scopes/n:a//",
        "/v1/values/%2525/a",
    ],
)
def test_malformed_names(client: Client, path: str) -> None:
    got = client.get(path)
    assert got.status == 400
    assert got.code in ("invalid_argument", "invalid_key", "invalid_scope")
    if path.startswith("/v1/values") and "?" not in path:
        assert client.put(path, b"x").status == 400
        assert client.put(path, bytes(100_000)).status == 400
        assert client.ask("DELETE", path).status == 400
        assert client.ask("HEAD", path).status == 400


def test_other_paths_and_methods(client: Client) -> None:
    for path in (
        "/",
        "/v1/",
        "/v2",
        "/v1/value/n:a/b",
        "/v1/%76alues/n:a/b",
        "//v1",
        "/v1//values/n:a/b",
        "/etc/passwd",
        "/v1/../../etc/passwd",
        "/v1/values",
        "/static/../v1",
        "/V1",
    ):
        assert client.get(path).status == 404, path
    got = client.ask("POST", "/v1/values/n:a/b", b"x")
    assert (got.status, got.code, got.headers["allow"]) == (405, "method_not_allowed", "GET, HEAD, PUT, PATCH, DELETE")
    for method in ("OPTIONS", "TRACE", "PROPFIND", "POST"):
        assert client.ask(method, "/v1/keys/n:a").status == 405


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"BREW / HTTP/1.1\r\n\r\n",
        b"GET /v1 HTTP/9.9\r\n\r\n",
        b"GET /v1/\xff HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /v1 HTTP/1.1\r\nno colon\r\n\r\n",
        PUT + b"content-length: x\r\n\r\n",
        PUT + b"content-length: -1\r\n\r\n",
        PUT + b"content-length: 1\r\ncontent-length: 2\r\n\r\n12",
        PUT + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        PUT + b"content-length: 99999999999999999999999\r\n\r\n1",
        b"GET http:// HTTP/1.1\r\nhost: localhost\r\n\r\n",
        PUT + b'if-match: "1"\r\nif-match: "2"\r\ncontent-length: 0\r\n\r\n',
        b"GET /v1 HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n",
        b"GET /v1 HTTP/1.1\r\nx: \0\r\n\r\n",
    ],
)
def test_what_is_no_http(client: Client, data: bytes) -> None:
    answer = client.raw(data, shut=True)
    assert statuses(answer) == [400], answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_argument"
    assert client.get("/v1/values/n:a/b").status == 404
    assert client.get("/healthz").status == 200


@pytest.mark.parametrize("size", [0, 3, 20_000, 400_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_cut_off_stores_nothing(
    service: Served, client: Client, at: str, size: int, chunked: bool
) -> None:
    where = f"/v1/values/{at}/a"
    length = b"transfer-encoding: chunked" if chunked else b"content-length: 500000"
    head = b"PUT %s HTTP/1.1\r\nhost: localhost\r\n%s\r\n\r\n" % (where.encode(), length)
    begun = head + (b"%x\r\n%s" % (500_000, bytes(size)) if chunked else bytes(size))
    for shut in (True, False):
        with socket.create_connection((client.host, client.port)) as link:
            link.sendall(begun)
            if shut:
                link.shutdown(socket.SHUT_WR)
                link.settimeout(0.3)
                with suppress(TimeoutError):
                    assert not link.recv(100).startswith(b"HTTP/1.1 2")
    if chunked:
        malformed = head + b"3\r\nabcX"
        assert 201 not in statuses(client.raw(malformed, shut=True))
    time.sleep(0.1)
    assert client.get(where).status == 404
    before = client.put(where, b"before").json["version"]
    with socket.create_connection((client.host, client.port)) as link:
        link.sendall(begun)
    time.sleep(0.1)
    assert (client.get(where).body, client.get(where).headers["holdfast-version"]) == (b"before", str(before))
    assert service.store.gc().orphans == 0


def test_expect_continue(client: Client, at: str) -> None:
    with socket.create_connection((client.host, client.port), timeout=10) as link:
        head = "PUT /v1/values/%s/a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\nexpect: 100-continue\r\n%s\r\n"
        link.sendall((head % (at, "")).encode())
        assert link.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        link.sendall(b"abc")
        assert link.recv(2000).startswith(b"HTTP/1.1 201 ")
        link.sendall((head % (at, 'if-match: "5"x\r\n')).encode())
        assert link.recv(2000).startswith(b"HTTP/1.1 400 ")  # before the body was asked for


def test_requests_one_behind_the_other_on_one_connection(client: Client, at: str) -> None:
    put = b"PUT /v1/values/%s/a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\n\r\nabc" % at.encode()
    get = b"GET /v1/values/%s/a HTTP/1.1\r\nhost: localhost\r\n%s\r\n"
    answer = client.raw(put + get % (at.encode(), b"") + put + get % (at.encode(), b"connection: close\r\n"))
    assert statuses(answer) == [201, 200, 200, 200]
    assert answer.endswith(b"abc")


def test_two_writers_of_one_key(service: Served, at: str) -> None:
    where = f"/v1/values/{at}/n"
    service.client.put(where, b"0")

    def count(_: int) -> int:
        client, done = service.another(), 0
        for _ in range(40):
            got = client.get(where)
            put = client.put(where, str(int(got.body) + 1).encode(), If_Match=got.headers["etag"])
            assert put.status in (200, 412)
            done += put.status == 200
        client.close()
        return done

    with ThreadPoolExecutor(4) as pool:
        done = sum(pool.map(count, range(4)))
    assert int(service.client.get(where).body) == done
    large = [bytes([n]) * 200_000 for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert {reply.status for reply in pool.map(lambda data: service.once("PUT", f"{where}2", data), large)} <= {
            200,
            201,
        }
    assert service.client.get(f"{where}2").body in large


def test_a_client_that_goes_away_in_the_middle_of_an_answer(service: Served, client: Client, at: str) -> None:
    client.put(f"/v1/values/{at}/large", bytes(20 << 20))
    for _ in range(5):
        with socket.create_connection((client.host, client.port)) as link:
            link.sendall(f"GET /v1/values/{at}/large HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
            link.recv(1000)
    assert client.get(f"/v1/values/{at}/large", Range="bytes=5-9").body == bytes(5)


@pytest.mark.long
def test_a_thousand_slow_connections(service: Served, client: Client, at: str) -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    links = [socket.create_connection((client.host, client.port)) for _ in range(1000)]
    for number, link in enumerate(links):
        link.sendall(
            [
                b"",
                b"G",
                b"GET /v1 HTTP/1.1\r\nhost: loc",
                b"PUT /v1/values/n:a/%d HTTP/1.1\r\nhost: localhost\r\n" % number,
            ][number % 4]
        )
    began, times = time.monotonic(), []
    while time.monotonic() - began < 3:
        start = time.monotonic()
        assert client.put(f"/v1/values/{at}/a", b"1").status in (200, 201)
        times.append(time.monotonic() - start)
    assert sorted(times)[len(times) // 2] < 0.05
    for link in links:
        link.close()


def test_nonsense_in_the_middle_of_an_answer_breaks_it_off(service: Served, client: Client, at: str) -> None:
    service.store.scope(at).put_chunks("large", [bytes(1 << 20)] * 30)
    with socket.create_connection((client.host, client.port), timeout=10) as link:
        link.sendall(f"GET /v1/values/{at}/large HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        head = link.recv(1000)
        link.sendall(b"nonsense\r\n\r\n")
        got = b""
        with suppress(ConnectionResetError):
            while piece := link.recv(1 << 20):
                got += piece
    assert head.count(b"HTTP/1.1") == 1
    assert b"HTTP/1.1" not in got
    assert len(got) < 30 << 20
