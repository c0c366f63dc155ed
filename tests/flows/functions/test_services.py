"""Functions that are HTTP services (D17, D22)."""

from __future__ import annotations

import base64
import json
import socket
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from holdfast.flows.json_text import from_bytes

from .acting import World, failing, file, until
from .serving import Answer, Request, json_of, raw, serving

ANSWER = "holdfast.function.answer"


def call(world: World, url: str, *files: Any, input: Any = None, timeout: float | None = 20, **actions: Any) -> Any:
    functions = world.functions({"f": {"url": url}}, **actions)
    return functions.call(world.action("f", *files, input=input, timeout=timeout))


def test_d17_a_call_is_a_post_with_the_input_and_headers(world: World) -> None:
    with serving(lambda request: json_of({"got": json.loads(request.body)})) as service:
        functions = world.functions({"f": {"url": service.url + "path?x=1"}})
        value = {"a": [1, None, "ü"]}
        assert functions.call(world.action(input=value)._replace(iterator=7)) == {"got": value}
        assert functions.call(world.action(input=value)) == {"got": value}
        first, second = service.requests
    assert (first.method, first.path) == ("POST", "/path?x=1")
    assert first.headers["Content-Type"] == "application/json"
    assert (first.headers["Direktiv-Iterator"], second.headers["Direktiv-Iterator"]) == ("7", "0")
    assert first.headers["Direktiv-ActionID"] != second.headers["Direktiv-ActionID"]
    assert len(bytes.fromhex(first.headers["Direktiv-ActionID"])) * 8 >= 128
    assert first.folder != second.folder
    assert not Path(first.folder).exists()
    assert first.headers["Direktiv-Var-URL"].endswith("/var")


def test_files_and_output_of_a_service(world: World) -> None:
    def work(request: Request) -> Answer:
        folder = Path(request.folder)
        (folder / "out" / "workflow" / "copy").write_bytes((folder / "x").read_bytes())
        return 500, {"Direktiv-ErrorCode": "my.code"}, b""

    world.put("instance", "x", b"words")
    with serving(work) as service, failing("my.code"):
        call(world, service.url, file("x"))
    assert world.get("workflow", "copy") == b"words"


@pytest.mark.parametrize("value", [None, True, 0, 1.5, "text", [], {"a": {"b": [1]}}, "", 10**18, 10**30, "\ud800x"])
def test_d22_a_result_that_is_json(world: World, value: Any) -> None:
    with serving(lambda request: (201, {"Content-Type": "text/plain"}, json.dumps(value).encode())) as service:
        assert call(world, service.url) == value


def test_d22_a_number_without_end_is_the_largest_one_as_for_a_getter(world: World) -> None:
    with serving(lambda request: (200, {}, b"[1e999]")) as service:
        assert call(world, service.url) == from_bytes(b"[1e999]") == [sys.float_info.max]


@pytest.mark.parametrize("body", [b"", b"text", b"{", b"\xff\x00", b"NaN", b"1 2", b"\xef\xbb\xbf1", b"[" * 50_000])
def test_d22_any_other_result_is_base64(world: World, body: bytes) -> None:
    with serving(lambda request: (200, {"Content-Type": "application/json"}, body)) as service:
        assert call(world, service.url) == base64.b64encode(body).decode()


@pytest.mark.parametrize("status", [200, 404, 500])
def test_d22_an_error_has_code_and_message(world: World, status: int) -> None:
    headers = {"Direktiv-ErrorCode": "my.code.1", "Direktiv-ErrorMessage": "wé".encode().decode("latin-1")}
    with serving(lambda request: (status, headers, b"{}")) as service, failing("my.code.1", "wé"):
        call(world, service.url)


def test_d22_a_code_is_one_line(world: World) -> None:
    with raw(_heads(b"HTTP/1.1 200 OK\r\nDirektiv-ErrorCode: my\r\n\t code\r\n\r\n")) as url, failing("my code"):
        call(world, url)


def test_d22_an_empty_code_is_none(world: World) -> None:
    with serving(lambda request: (200, {"Direktiv-ErrorCode": ""}, b"1")) as service:
        assert call(world, service.url) == 1


@pytest.mark.parametrize("status", [301, 400, 404, 500, 503])
def test_d22_a_status_that_is_not_2xx_is_container_failed(world: World, status: int) -> None:
    answer = (status, {"Location": "http://127.0.0.1:1/"}, b"<h1>what\nhappened</h1>")
    with serving(lambda request: answer) as service, failing("container failed", str(status), "what happened"):
        call(world, service.url)


def test_nobody_answers(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with failing("holdfast.function.unreachable", str(port)):
        call(world, f"http://127.0.0.1:{port}/")
    with failing("holdfast.function.unreachable", "nowhere.invalid"):
        call(world, "http://nowhere.invalid/")
    with failing("holdfast.function.unreachable", "idna"):
        call(world, f"http://{'a' * 64}.com/")


def test_a_service_that_takes_no_connections_has_a_time_out(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening, ExitStack() as held:
        for _ in range(3):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        began = time.monotonic()
        with failing("holdfast.function.timeout", "0.2 seconds"):
            call(world, f"http://127.0.0.1:{listening.getsockname()[1]}/", timeout=0.2)
        assert time.monotonic() - began < 1.5


def test_a_folder_that_no_header_can_say(world: World) -> None:
    folder = str(world.path / "日本")
    with serving(lambda request: json_of(1)) as service:
        with failing("holdfast.function.unreachable", "日本", "[actions]"):
            call(world, service.url, folder=folder)
        assert service.requests == []
    assert world.shell('printf 1 > "$DIREKTIV_TEMPDIR/x" && echo 1', folder=folder) == 1


def _heads(text: bytes) -> Any:
    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(text)

    return talk


NONSENSE = {
    "nothing": b"",
    "text": b"hello\r\n\r\n",
    "binary": bytes(range(256)) * 10,
    "half a status": b"HTTP/1.1 2",
    "half the headers": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
    "half the body": b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}",
    "half a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{}",
    "no chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n",
    "a long header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 1000 + b"\r\n",
    "a large status": b"HTTP/1.1 99999 OK\r\n\r\n",
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_an_error(world: World, name: str) -> None:
    with raw(_heads(NONSENSE[name])) as url, failing(ANSWER, url):
        call(world, url, timeout=5)
    assert world.left() == []


def test_nothing_of_a_call_that_broke_off_is_stored(world: World) -> None:
    def talk(connection: socket.socket) -> None:
        head = connection.recv(65536).decode()
        folder = head.partition("Direktiv-TempDir: ")[2].partition("\r\n")[0]
        (Path(folder) / "out" / "workflow" / "x").write_text("torn")

    with raw(talk) as url, failing(ANSWER):
        call(world, url)
    assert world.get("workflow", "x") is None


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (b"\r\n", "more than 1000000 bytes: raise answer"),
        (b"Transfer-Encoding: chunked\r\n\r\nffffffffff\r\n", "more than 1000000 bytes: raise answer"),
        (b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", "a size below 0"),
    ],
)
def test_an_endless_answer_is_bounded(world: World, head: bytes, told: str) -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + head)
        while True:
            connection.sendall(bytes(65536))

    with raw(talk) as url, failing(ANSWER, told):
        call(world, url, answer=1_000_000, timeout=1)


def _endless_headers(connection: socket.socket) -> None:
    connection.recv(65536)
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


def _slowly(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.02)


def _never(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


@pytest.mark.parametrize("talk", [_never, _slowly, _endless_headers])
def test_a_service_that_hangs_has_a_time_out(world: World, talk: Any) -> None:
    began = time.monotonic()
    with raw(talk) as url, failing("holdfast.function.timeout", "0.5 seconds", "timeout"):
        call(world, url, timeout=0.5)
    assert time.monotonic() - began < 4
    assert world.left() == []


def test_a_service_that_hangs_when_it_is_cancelled_too(world: World) -> None:
    began = time.monotonic()
    with raw(_endless_headers, deletes=True) as url, failing("holdfast.function.timeout"):
        call(world, url, timeout=0.2)
    assert time.monotonic() - began < 4


def test_a_service_that_does_not_read_has_a_time_out(world: World) -> None:
    ended = threading.Event()
    with raw(lambda connection: ended.wait(10)) as url, failing("holdfast.function.timeout"):
        call(world, url, input="x" * 20_000_000, timeout=0.5)
    ended.set()


def test_a_service_may_answer_without_reading(world: World) -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    with raw(talk) as url, failing("container failed", "413"):
        call(world, url, input="x" * 5_000_000)


def test_time_outs_of_flow_and_configuration(world: World) -> None:
    with raw(_never) as url:
        functions = world.functions({"f": {"url": url, "timeout": 0.2}}, timeout=0.1)
        with failing("holdfast.function.timeout", "0.2 seconds"):
            functions.call(world.action(timeout=None))
        with failing("holdfast.function.timeout", "0.3 seconds"):
            functions.call(world.action(timeout=0.3))
        functions = world.functions({"f": {"url": url}}, timeout=0.1)
        with failing("holdfast.function.timeout", "0.1 seconds"):
            functions.call(world.action(timeout=None))
        with failing("holdfast.function.timeout", "0 seconds"):  # what is left of a state's time may be nothing
            functions.call(world.action(timeout=0.0))


def _cancelled(world: World, end: Any) -> None:
    began, ended = threading.Event(), threading.Event()

    def work(request: Request) -> Answer:
        (Path(request.folder) / "out" / "workflow" / "x").write_text("1")
        began.set()
        ended.wait(10)
        return json_of(1)

    with serving(work) as service:
        functions = world.functions({"f": {"url": service.url + "a/b"}})
        ender = threading.Thread(target=lambda: (began.wait(10), end(functions)))
        ender.start()
        with failing("holdfast.function.cancelled"):
            functions.call(world.action())
        ender.join()
        post, delete = service.requests
        ended.set()
    assert (delete.method, delete.path) == ("DELETE", "/a/b")
    assert delete.headers["Direktiv-ActionID"] == post.headers["Direktiv-ActionID"]
    assert world.get("workflow", "x") is None
    assert world.left() == []


def test_d17_cancelling_is_a_delete(world: World) -> None:
    _cancelled(world, lambda functions: world.cancelled.set())


def test_closing_cancels(world: World) -> None:
    _cancelled(world, lambda functions: functions.close())


def test_d17_a_time_out_cancels_too(world: World) -> None:
    ended = threading.Event()

    def work(request: Request) -> Answer:
        ended.wait(10)
        return json_of(1)

    with serving(work) as service:
        with failing("holdfast.function.timeout"):
            call(world, service.url, timeout=0.2)
        until(lambda: [request.method for request in service.requests] == ["POST", "DELETE"])
        ended.set()


def test_an_instance_that_ends_already_calls_nothing(world: World) -> None:
    world.cancelled.set()
    with serving(lambda request: json_of(1)) as service:
        with failing("holdfast.function.cancelled"):
            call(world, service.url)
        assert service.requests == []


def test_many_calls_at_a_time(world: World) -> None:
    def work(request: Request) -> Answer:
        number = json.loads(request.body)
        (Path(request.folder) / "out" / "instance" / f"v{number}").write_text(str(number))
        return json_of(number)

    found = []
    with serving(work) as service:
        functions = world.functions({"f": {"url": service.url}})
        threads = [
            threading.Thread(target=lambda n=n: found.append(functions.call(world.action(input=n)))) for n in range(24)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == list(range(24))
    assert [world.get("instance", f"v{n}") for n in range(24)] == [str(n).encode() for n in range(24)]


def test_an_input_that_is_no_json(world: World) -> None:
    with failing("holdfast.function.unknown", "no form as JSON"):
        call(world, "http://127.0.0.1:1/", input=object())


def test_a_service_over_tls_that_is_not_trusted(world: World) -> None:
    with raw(_heads(b"HTTP/1.1 200 OK\r\n\r\n")) as url, failing("holdfast.function.unreachable"):
        call(world, url.replace("http:", "https:"), timeout=5)
