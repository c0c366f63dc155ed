"""``/var`` and ``/log`` (D20), over real sockets, as a function that runs asks them."""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from itertools import cycle
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

import holdfast
from holdfast.errors import ClosedError
from holdfast.flows.functions import Functions
from holdfast.flows.functions import listener as listening
from holdfast.flows.functions.door import Door, Grant, Reply
from holdfast.flows.functions.listener import Listener
from holdfast.flows.functions.log import Log

from .acting import World, failing, until
from .serving import Answer, Request, json_of, serving


class Asker:
    """What a function can ask.

    Attributes:
        id: of its action.
        address: host and port of the door.
    """

    def __init__(self, request: Request) -> None:
        self.id: str = request.headers["Direktiv-ActionID"]
        self.address = urlsplit(request.headers["Direktiv-Var-URL"]).netloc

    def ask(
        self, method: str, path: str = "/var", body: Any = None, headers: Mapping[str, str] | None = None, **query: str
    ) -> tuple[int, Any, bytes]:
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            connection.request(method, f"{path}?{urlencode({'aid': self.id, **query})}", body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def set(self, scope: str, key: str, body: Any, **headers: str) -> int:
        return self.ask("POST", body=body, headers=headers, scope=scope, key=key)[0]

    def get(self, scope: str, key: str) -> bytes:
        status, _, body = self.ask("GET", scope=scope, key=key)
        assert status == 200
        return body


def asking(world: World, talk: Callable[[Asker], Any], functions: Functions | None = None) -> Any:
    """Call a function that does this."""
    errors: list[BaseException] = []

    def work(request: Request) -> Answer:
        try:
            return json_of(talk(Asker(request)))
        except BaseException as error:
            errors.append(error)
            return 500, {}, b""

    with serving(work) as service:
        made = functions or world.functions({"f": {"url": service.url}})
        try:
            return made.call(world.action())
        finally:
            if errors:
                raise errors[0]


@pytest.mark.parametrize("scope", ["instance", "workflow", "namespace"])
def test_d20_a_body_is_stored_with_its_type(world: World, scope: str) -> None:
    def talk(asker: Asker) -> None:
        assert asker.set(scope, "x", b"words", **{"Content-Type": "text/plain; charset=utf-8"}) == 200
        assert world.get(scope, "x") == b"words"  # at once, not when the action ends
        status, headers, body = asker.ask("GET", scope=scope, key="x")
        assert (status, body) == (200, b"words")
        assert headers["Content-Type"] == "text/plain; charset=utf-8"
        assert headers["Content-Length"] == "5"

    asking(world, talk)
    assert world.place.scope(scope).record("x").content_type == "text/plain; charset=utf-8"


def test_d20_a_missing_variable_is_empty(world: World) -> None:
    assert asking(world, lambda asker: asker.get("instance", "none").decode()) == ""


def test_d20_zero_bytes_are_stored(world: World) -> None:
    asking(world, lambda asker: asker.set("instance", "x", b""))
    assert world.get("instance", "x") == b""
    assert world.place.scope("instance").record("x").content_type == "application/octet-stream"


def test_d20_values_of_python_are_their_bytes(world: World) -> None:
    world.place.scope("instance").add("n", 41)
    world.place.scope("instance").put("long", "words " * 100_000, compression="zstd")

    def talk(asker: Asker) -> None:
        assert asker.get("instance", "n") == b"41"
        assert asker.get("instance", "long") == world.place.scope("instance").get_bytes("long")

    asking(world, talk)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "get"])
def test_d20_other_methods_are_405(world: World, method: str) -> None:
    def talk(asker: Asker) -> None:
        status, headers, _ = asker.ask(method, scope="instance", key="x")
        assert (status, headers["Allow"]) == (405, "GET, POST")
        status, headers, _ = asker.ask("GET", "/log")
        assert (status, headers["Allow"]) == (405, "POST")

    asking(world, talk)


@pytest.mark.parametrize("query", [{}, {"scope": ""}, {"scope": "file"}, {"scope": "system"}, {"scope": "Instance"}])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_d20_a_missing_or_unknown_scope_is_400(world: World, query: dict[str, str], method: str) -> None:
    def talk(asker: Asker) -> None:
        status, _, body = asker.ask(method, "/var", None, None, key="x", **query)
        assert (status, json.loads(body)["error"]["code"]) == (400, "request_data_invalid")

    asking(world, talk)


@pytest.mark.parametrize("key", ["", "1x", "a/b", "../x", "x" * 600, "ä", "x\n"])
def test_a_key_that_is_no_name_is_400(world: World, key: str) -> None:
    def talk(asker: Asker) -> None:
        assert asker.set("instance", key, b"1") == 400
        assert asker.ask("GET", scope="instance", key=key)[0] == 400

    asking(world, talk)


def test_a_type_that_is_none_is_400(world: World) -> None:
    def talk(asker: Asker) -> None:
        assert asker.set("instance", "x", b"1", **{"Content-Type": "é".encode().decode("latin-1")}) == 400
        assert asker.set("instance", "x", b"1", **{"Content-Type": "x" * 1001}) == 400

    asking(world, talk)
    assert world.get("instance", "x") is None


def test_other_paths_are_404(world: World) -> None:
    def talk(asker: Asker) -> None:
        for path in ("/", "/vars", "/var/x", "/api/v2"):
            assert asker.ask("GET", path, scope="instance", key="x")[0] == 404
        assert asker.ask("GET", "/var/", scope="instance", key="x")[0] == 200

    asking(world, talk)


def test_d20_log_takes_bodies(world: World) -> None:
    def talk(asker: Asker) -> None:
        assert asker.ask("POST", "/log", "one\nzwü".encode())[0] == 200
        assert asker.ask("POST", "/log", b"")[0] == 200
        assert asker.ask("POST", "/log", b"x" * 2_000_000)[0] == 413

    asking(world, talk)
    assert world.lines[-2:] == ["one", "zwü"]


def test_d20_an_id_opens_only_its_own_action(world: World, store: Any, tmp_path: Any) -> None:
    other = World(tmp_path / "other", store)

    def talk(asker: Asker) -> None:
        def inner(another: Asker) -> None:
            assert another.id != asker.id
            assert another.set("instance", "x", b"other") == 200
            assert asker.set("instance", "x", b"own") == 200

        asking(other, inner)

    try:
        asking(world, talk)
    finally:
        other.close()
    assert (world.get("instance", "x"), other.get("instance", "x")) == (b"own", b"other")


@pytest.mark.parametrize("id", ["", "x", "0" * 64, "é", "\x00", "a" * 5000])
def test_d20_an_unknown_id_is_403(world: World, id: str) -> None:
    def talk(asker: Asker) -> None:
        own, asker.id = asker.id, id
        assert asker.set("instance", "x", b"1") == 403
        assert asker.ask("GET", scope="instance", key="x")[0] == 403
        assert asker.ask("POST", "/log", b"x")[0] == 403
        asker.id = own.upper()
        assert asker.set("instance", "x", b"1") == (200 if own.isdigit() else 403)

    asking(world, talk)


def test_d20_an_id_opens_nothing_when_its_action_has_ended(world: World) -> None:
    askers: list[Asker] = []
    functions = world.functions({"f": {"url": "http://127.0.0.1:1/"}})
    asking(world, askers.append)
    assert (
        functions.door.answer("/var", "GET", f"aid={askers[0].id}&scope=instance&key=x", {}, io.BytesIO()).status == 403
    )

    def talk(asker: Asker) -> None:
        askers[0].address = asker.address
        assert askers[0].set("instance", "x", b"1") == 403

    asking(world, talk)
    assert world.get("instance", "x") is None


class _Slow:
    """A body of which the last so many pieces come when they may."""

    def __init__(self, at: int) -> None:
        self._at = at
        self.asked, self.go = threading.Event(), threading.Event()
        self._pieces = [b"1", b"2", b""]

    def read(self, size: int, /) -> bytes:
        if len(self._pieces) == self._at:
            self.asked.set()
            assert self.go.wait(10)
        return self._pieces.pop(0)


def _posting(door: Door, grant: Grant, scope: str, body: _Slow) -> Callable[[], Reply]:
    """Post a body, up to the piece that does not come yet; what is given lets it come and gives the answer."""
    replies: list[Reply] = []
    query = f"aid={grant.id}&scope={scope}&key=x"
    thread = threading.Thread(target=lambda: replies.append(door.answer("/var", "POST", query, {}, body)))
    thread.start()
    assert body.asked.wait(10)

    def go_on() -> Reply:
        body.go.set()
        thread.join()
        return replies[0]

    return go_on


@pytest.mark.parametrize("at", [1, 2])
def test_d20_what_comes_after_the_end_of_its_action_is_not_stored(world: World, at: int) -> None:
    door = Door()
    with door.granting(world.place, Log(world.lines.append, 1000)) as grant:
        go_on = _posting(door, grant, "instance", _Slow(at))
    assert go_on().status == 403
    assert world.get("instance", "x") is None


def test_a_namespace_that_is_dropped_meanwhile_is_a_conflict(world: World) -> None:
    door = Door()
    with door.granting(world.place, Log(world.lines.append, 1000)) as grant:
        go_on = _posting(door, grant, "namespace", _Slow(1))
        world.place.namespace.drop()
        assert go_on().status == 409


def test_the_core_takes_and_gives_streams(world: World) -> None:
    door = Door()
    with door.granting(world.place, Log(world.lines.append, 1000)) as grant:
        query = f"aid={grant.id}&scope=instance&key=x"
        reply = door.answer("/var", "POST", query, {"content-type": "text/x"}, io.BytesIO(b"12" * 500_000))
        assert reply.status == 200
        status, headers, body = door.answer("/var", "GET", query, {}, io.BytesIO())
        assert (status, dict(headers)) == (200, {"Content-Type": "text/x", "Content-Length": "1000000"})
        assert b"".join(body) == b"12" * 500_000


def test_d20_a_variable_is_not_read_on_when_its_action_has_ended(world: World) -> None:
    door = Door()
    world.put("instance", "x", b"12" * 5_000_000)
    with door.granting(world.place, Log(world.lines.append, 1000)) as grant:
        reply = door.answer("/var", "GET", f"aid={grant.id}&scope=instance&key=x", {}, io.BytesIO())
        body = iter(reply.body)
        assert next(body)
    with pytest.raises(ClosedError, match="has ended"):
        next(body)


def test_a_variable_that_is_replaced_before_it_is_read_is_not_mixed(world: World, store: holdfast.Store) -> None:
    """Its old bytes are collected before the first of them was read."""
    door, scope = Door(), world.place.scope("instance")
    with door.granting(world.place, Log(world.lines.append, 1000)) as grant:
        for size in (99_000, 101_000):
            scope.put_chunks("x", [b"1" * 100_000])
            reply = door.answer("/var", "GET", f"aid={grant.id}&scope=instance&key=x", {}, io.BytesIO())
            scope.put_chunks("x", [b"2" * size])
            store.gc()
            length = int(dict(reply.headers)["Content-Length"])
            found = b""
            with suppress(holdfast.ConflictError):
                for piece in reply.body:
                    found += piece
            assert length == 100_000
            assert found in (b"1" * 100_000, b"2" * 99_000, b"")  # whole, or what no client takes for whole


def test_bodies_in_chunks(world: World) -> None:
    pieces = [os.urandom(n) for n in (1, 70_000, 5)]

    def talk(asker: Asker) -> None:
        assert asker.set("instance", "x", iter(pieces)) == 200

    asking(world, talk)
    assert world.get("instance", "x") == b"".join(pieces)


def test_bodies_of_curl(world: World) -> None:
    """Which waits for 100 Continue, and sends what it reads from a pipe in chunks."""
    data = os.urandom(2_000_000)

    def talk(asker: Asker) -> float:
        began = time.monotonic()
        url = f"http://{asker.address}/var?aid={asker.id}&scope=instance&key="
        subprocess.run(["curl", "-sf", "--data-binary", "@-", f"{url}x"], input=data, check=True)
        subprocess.run(["curl", "-sf", "-XPOST", "-T-", f"{url}y"], input=data, check=True)
        assert subprocess.run(["curl", "-sf", f"{url}x"], capture_output=True, check=True).stdout == data
        return time.monotonic() - began

    assert asking(world, talk) < 2  # curl waits a second for each 100 Continue that does not come
    assert world.get("instance", "x") == world.get("instance", "y") == data


BROKEN = {
    "cut short": b"Content-Length: 100\r\n\r\n12345",
    "a chunk cut short": b"Transfer-Encoding: chunked\r\n\r\n5\r\n123",
    "without the last chunk": b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
    "a chunk without a size": b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n12345\r\n0\r\n\r\n",
    "a chunk of a negative size": b"Transfer-Encoding: chunked\r\n\r\n-5\r\n12345\r\n0\r\n\r\n",
    "a chunk that is longer": b"Transfer-Encoding: chunked\r\n\r\n3\r\n12345\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 5\r\nContent-Length: 4\r\n\r\n12345",
    "a length and chunks": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\n12345\r\n0\r\n\r\n",
    "a negative length": b"Content-Length: -5\r\n\r\n12345",
    "no length": b"Content-Length: abc\r\n\r\n12345",
    "another coding": b"Transfer-Encoding: gzip\r\n\r\n12345",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_body_that_breaks_off_is_not_stored(world: World, name: str) -> None:
    world.put("instance", "x", b"before")

    def talk(asker: Asker) -> None:
        host, _, port = asker.address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            head = f"POST /var?aid={asker.id}&scope=instance&key=x HTTP/1.1\r\nHost: x\r\n"
            connection.sendall(head.encode() + BROKEN[name])
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
            assert b" 200 " not in answer
        assert asker.get("instance", "x") == b"before"  # it serves on

    asking(world, talk)


def test_a_refused_body_is_told_why(world: World) -> None:
    def talk(asker: Asker) -> None:
        def slowly() -> Iterator[bytes]:
            for _ in range(10):
                time.sleep(0.02)
                yield b"1" * 100_000

        asker.id = "x"
        assert asker.set("instance", "x", slowly()) == 403

    asking(world, talk)


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch, door: Door) -> Iterator[Listener]:
    """It listens for a door, and has little room and patience."""
    monkeypatch.setattr(listening, "_MOST", 8)
    monkeypatch.setattr(listening, "_HEAD", 0.3)
    monkeypatch.setattr(listening, "_LINGER", (0.3, 4 << 20))
    made = Listener(door, "127.0.0.1", 0, threading.RLock(), lambda: True)
    try:
        yield made
    finally:
        made.close()


def _connected(listener: Listener) -> socket.socket:
    return socket.create_connection(("127.0.0.1", urlsplit(listener.variables).port or 0), timeout=5)


def test_who_sends_no_request_does_not_keep_others(listener: Listener) -> None:
    beginnings = [
        b"",
        b"POST /var",
        b"GET /var HTTP/1.1\r\nX: ",
        b"\x00\xff" * 100 + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ]
    with ExitStack() as held:
        slow = [held.enter_context(_connected(listener)) for _ in range(8)]
        for connection, beginning in zip(slow, cycle(beginnings), strict=False):
            connection.sendall(beginning)
        with _connected(listener) as connection:
            connection.sendall(b"GET /var?aid=x HTTP/1.1\r\n\r\n")
            for _ in range(8):  # one of those is no more patient if it says something now and then
                time.sleep(0.05)
                with suppress(OSError):
                    slow[1].sendall(b"x")
            assert connection.recv(12) == b"HTTP/1.1 403"


def test_a_function_may_take_its_time(world: World, door: Door, listener: Listener) -> None:
    """To send what it is still computing, or to work on what it gets."""
    data = os.urandom(30_000_000)
    world.put("instance", "x", data)
    with door.granting(world.place, Log(world.lines.append, 1000)) as grant, ExitStack() as held:
        query = f"?aid={grant.id}&scope=instance&key="
        getting, setting = held.enter_context(_connected(listener)), held.enter_context(_connected(listener))
        getting.sendall(f"GET /var{query}x HTTP/1.1\r\n\r\n".encode())
        setting.sendall(f"POST /var{query}y HTTP/1.1\r\nContent-Length: 1\r\n\r\n".encode())
        time.sleep(0.5)
        setting.sendall(b"1")
        assert setting.recv(12) == b"HTTP/1.1 200"
        with getting.makefile("rb") as answer:
            assert answer.read().endswith(data)
    assert world.get("instance", "y") == b"1"


def test_a_request_ends_with_its_action(world: World, door: Door, listener: Listener) -> None:
    world.put("instance", "x", bytes(30_000_000))
    with ExitStack() as held:
        getting, setting = held.enter_context(_connected(listener)), held.enter_context(_connected(listener))
        with door.granting(world.place, Log(world.lines.append, 1000)) as grant:
            query = f"?aid={grant.id}&scope=instance&key="
            getting.sendall(f"GET /var{query}x HTTP/1.1\r\n\r\n".encode())
            setting.sendall(f"POST /var{query}y HTTP/1.1\r\nContent-Length: 2\r\n\r\n1".encode())
            assert getting.recv(12) == b"HTTP/1.1 200"
        with getting.makefile("rb") as got, setting.makefile("rb") as answer:
            assert b" 200 " not in answer.read()
            assert len(got.read()) < 30_000_000
    assert world.get("instance", "y") is None


@pytest.mark.parametrize("body", [b"1\r\nx\r\n", b"0\r\n", b"0\r\na: b\r\n"])
def test_who_is_refused_and_goes_on_is_not_listened_to_for_ever(listener: Listener, body: bytes) -> None:
    with _connected(listener) as connection:
        connection.sendall(b"POST /var?aid=x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 403"
        connection.sendall(body)
        until(lambda: _breaks(connection, b"a: b\r\n" if body[:1] == b"0" else body), 2)


def _breaks(connection: socket.socket, data: bytes) -> bool:
    """Whether the other side takes no more."""
    try:
        connection.sendall(data)
    except ConnectionError:
        return True
    return False


def test_what_the_store_refuses_is_told(world: World) -> None:
    namespace = world.place.namespace
    assert isinstance(namespace, holdfast.Scope)
    namespace.set_policy(max_bytes=1000)

    def talk(asker: Asker) -> None:
        status, _, body = asker.ask("POST", body=b"1" * 5000, scope="namespace", key="x")
        assert (status, json.loads(body)["error"]["code"]) == (507, "quota_exceeded")

    asking(world, talk)


# --- where it is ------------------------------------------------------------------------------------------------------


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


def test_d20_it_is_open_while_actions_run(world: World) -> None:
    port = _free()
    functions = world.functions({"f": {"command": ["printenv", "DIREKTIV_VAR_URL"]}}, door=f"127.0.0.1:{port}")
    assert not _listens(port)
    for _ in range(2):
        assert base64.b64decode(functions.call(world.action())).decode().strip() == f"http://127.0.0.1:{port}/var"
        until(lambda: not _listens(port))
    assert world.lines == []
    until(lambda: "holdfast-functions" not in [thread.name for thread in threading.enumerate()])


def test_d20_where_the_port_is_taken_it_is_another_and_said(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        functions = world.functions({"f": {"command": ["printenv", "DIREKTIV_VAR_URL"]}}, door=f"127.0.0.1:{port}")
        url = base64.b64decode(functions.call(world.action())).decode().strip()
        assert urlsplit(url).port != port
        assert any(str(port) in line and url in line for line in world.lines)


def test_the_usual_door_is_the_one_of_direktiv() -> None:
    assert (lambda made: (made._host, made._port))(Functions.from_settings({})) == ("127.0.0.1", 8889)


def test_a_host_that_is_not_here(world: World) -> None:
    functions = world.functions({"f": {"command": ["true"]}}, door="192.0.2.1:0")
    with failing("holdfast.function.unreachable", "192.0.2.1"):
        functions.call(world.action())


def test_it_is_there_for_each_of_many_actions_in_turn(world: World) -> None:
    """Actions that begin just when it closes find it open."""
    script = 'curl -sf -d "$(cat)" "$DIREKTIV_VAR_URL?aid=$DIREKTIV_ACTIONID&scope=instance&key=x"'
    functions = world.functions({"f": {"command": script, "shell": True}}, door=f"127.0.0.1:{_free()}")
    for pause in (0.0, 0.5, 0.49, 0.51):
        time.sleep(pause)
        functions.call(world.action(input=1))
    assert world.place.scope("instance").record("x").version >= 4


def test_listening_ends_at_once(world: World) -> None:
    listener = Listener(Door(), "127.0.0.1", 0, threading.RLock(), lambda: True)
    began = time.monotonic()
    listener.close()
    listener.close()
    assert time.monotonic() - began < 0.4
    assert not listener.open
