"""A service with functions, and the functions: small HTTP services of this process, each known by a name."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import holdfast
from holdfast.flows.functions import Functions
from holdfast.service.base import Limits

from .direktiv import Api, base64
from .talk import Client, Reply, Served, served

__all__ = ["Called", "Flowing", "called", "flowing", "functions_of", "until"]

DELAY = "states:\n- {id: a, type: delay, duration: PT%sS, transform: {done: true}}\n"
"""A flow that takes so many seconds."""


def until(true: Callable[[], Any], seconds: float = 20) -> Any:
    """Wait until something is true, and give it."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.01)
    return found


class Called:
    """Functions that are services.

    Attributes:
        port: of all of them; each has its name as its path.
        asked: the headers of each call.
        cancelled: ids of actions whose call was cancelled.
        let: what ``hang`` waits for.
        service: URL of the service that runs flows.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.asked: list[dict[str, str]] = []
        self.cancelled: list[str] = []
        self.let = threading.Event()
        self.service = ""

    def ask(self, method: str, path: str, aid: str, body: Any = None, **query: str) -> Reply:
        """Ask the service for ``/var`` or ``/log``, as a function does."""
        client = Client(self.service)
        try:
            where = f"{path}?{urlencode({'aid': aid, **query})}"
            return client.ask(method, where, body, {"Content-Type": "text/x-mine"})
        finally:
            client.close()

    def echo(self, given: Any, aid: str) -> bytes:
        return json.dumps(given).encode()

    def hang(self, given: Any, aid: str) -> bytes:
        self.let.wait(30)
        return b"{}"

    def crash(self, given: Any, aid: str) -> bytes:
        raise ConnectionAbortedError

    def nonsense(self, given: Any, aid: str) -> bytes:
        return b"\xff\x00 this is {no json"

    def setting(self, given: Any, aid: str) -> bytes:
        """Sets a variable, reads it back and logs, all over the service's own paths."""
        put = self.ask("POST", "/var", aid, given["data"].encode(), scope=given["scope"], key=given["key"])
        got = self.ask("GET", "/var", aid, scope=given["scope"], key=given["key"])
        said = self.ask("POST", "/log", aid, b"one\ntwo")
        kind = got.headers.get("content-type")
        return json.dumps([put.status, said.status, got.status, kind, got.body.decode()]).encode()


@contextmanager
def called() -> Iterator[Called]:
    """Functions, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            functions.asked.append(dict(self.headers))
            try:
                answer = getattr(functions, self.path[1:])(body, self.headers["Direktiv-ActionID"])
            except ConnectionAbortedError:
                self.close_connection = True
                return
            with suppress(OSError):
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        def do_DELETE(self) -> None:
            functions.cancelled.append(self.headers["Direktiv-ActionID"])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    functions = Called(server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield functions
    finally:
        functions.let.set()
        server.shutdown()
        thread.join(20)
        server.server_close()


def functions_of(port: int, folder: Path) -> dict[str, Any]:
    """The configuration of these functions, as tables."""
    names = ("echo", "hang", "crash", "nonsense", "setting")
    return {
        "functions": {name: {"url": f"http://127.0.0.1:{port}/{name}", "timeout": 30.0} for name in names},
        "actions": {"door": "127.0.0.1:0", "folder": str(folder)},
    }


class Flowing(Api):
    """One namespace, in which flows are run."""

    def flow(self, text: str, path: str = "/flow.yaml") -> str:
        """A workflow, as HTTP makes it."""
        if self.ask("PATCH", f"files{path}", {"data": base64(text)}).status != 200:
            self.file(path, text, "workflow", "application/yaml")
        return path

    def start(self, path: str = "/flow.yaml", body: Any = None) -> str:
        """Start an instance, and give its id."""
        made = self.data("POST", f"instances?path={path}", body)
        return str(made["id"])

    def run(self, path: str = "/flow.yaml", body: Any = None) -> Reply:
        """Run an instance, and give the answer."""
        return self.ask("POST", f"instances?path={path}&wait=true", body)

    def output(self, text: str, body: Any = None) -> Any:
        """The output of a flow that completes."""
        reply = self.run(self.flow(text), body)
        assert reply.status == 200, reply.body
        return reply.json

    def info(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.data("GET", f"instances/{id}")
        return found

    def status(self, id: str) -> str:
        return str(self.info(id)["status"])

    def ended(self, id: str) -> dict[str, Any]:
        """An instance, when it has ended."""
        until(lambda: self.status(id) != "pending")
        return self.info(id)

    def log(self, id: str) -> list[str]:
        return [line["msg"] for line in self.ask("GET", f"logs?instance={id}").json["data"]]


@contextmanager
def flowing(
    folder: Path,
    functions: Called,
    limits: Limits | None = None,
    prepare: Callable[[holdfast.Store], object] = lambda store: None,
    **more: Any,
) -> Iterator[tuple[Served, Callable[..., Flowing]]]:
    """A service of a new store whose flows may call these functions, and what makes namespaces in it, by name and
    token; ``prepare`` is called with the store before."""
    tables = functions_of(functions.port, folder / "actions")
    with holdfast.open(folder / "store") as store:
        prepare(store)
        caller = Functions.from_settings(tables["functions"], tables["actions"])
        with served(store, limits, functions=caller, **more) as service:
            before, functions.service = functions.service, service.url

            def make(name: str, token: str | None = None) -> Flowing:
                found = Flowing(name, service.another(token), service)
                found.data("POST", "/namespaces", {"name": name})
                return found

            try:
                yield service, make
            finally:
                functions.service = before
