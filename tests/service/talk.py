"""A service on a real socket, and a client that sends what it is told to, byte by byte if need be."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import holdfast
from holdfast.service.base import Limits
from holdfast.service.journal import Journal
from holdfast.service.server import serve

from ..cli.running import COMMAND, environment

__all__ = ["Client", "Contract", "Reply", "Served", "process_of", "served", "url_of"]


class Reply(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error."""
        code: str = self.json["error"]["code"]
        return code


class Contract:
    """What the OpenAPI document of a service says of its answers; answers to a :class:`Client` are held against it."""

    def __init__(self, document: Any) -> None:
        self._paths = []
        for template, item in document["paths"].items():
            pattern = re.sub(r"\\{[a-z]+\\}", "[^/]+", re.escape(template))
            if item.get("x-rest"):
                pattern = pattern.removesuffix("[^/]+") + ".*"
            self._paths.append((re.compile(pattern), item))

    def check(self, method: str, path: str, reply: Reply) -> None:
        """Raise if this answer is not documented."""
        path = path.partition("?")[0]
        item = next((item for pattern, item in self._paths if pattern.fullmatch(path)), None)
        if item is None:
            assert reply.status in (400, 403, 404), f"{method} {path} is not documented and gives {reply.status}"
            return
        operation = item.get(method.lower())
        if operation is None:
            assert reply.status in (400, 403, 405), f"{method} {path} is not documented and gives {reply.status}"
            return
        answer = operation["responses"].get(str(reply.status))
        assert answer is not None, (
            f"{method} {path} gives {reply.status}, which is not documented: {reply.body[:300]!r}"
        )
        kind = reply.headers.get("content-type", "").partition(";")[0]
        kinds = answer.get("content", {})
        if reply.status >= 400:
            if method != "HEAD" and path.startswith("/v1"):  # Direktiv's have no body in places
                assert kind == "application/json"
                assert set(reply.json["error"]) == {"code", "message"}
                assert reply.json["request_id"] == reply.headers.get("x-request-id", "")
        elif not kinds:
            assert not reply.body
        else:
            assert "*/*" in kinds or kind in kinds or kind == "text/event-stream", (method, path, kind)


def url_of(address: str) -> str:
    """An address as it stands in a URL."""
    return quote(address, safe="/:")


class Client:
    """One connection, opened again when the service closed it."""

    def __init__(self, url: str, token: str | None = None) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 0
        self.token = token
        self.contract: Contract | None = None
        self.connection = http.client.HTTPConnection(self.host, self.port, timeout=30)

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, **more: str
    ) -> Reply:
        """Send a request, a body that is no bytes as JSON, and read its answer. ``more`` are header fields, _ for -
        in their names."""
        sent = {name.replace("_", "-"): value for name, value in {**(headers or {}), **more}.items()}
        if self.token is not None:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        if isinstance(body, dict | list):
            body = json.dumps(body)
            sent.setdefault("Content-Type", "application/json")
        self.connection.request(method, path, body, sent)
        answer = self.connection.getresponse()
        data = answer.read()
        found = {name.lower(): value for name, value in answer.getheaders()}
        reply = Reply(answer.status, found, data)
        if self.contract is not None:
            self.contract.check(method, path, reply)
        return reply

    def checked(self) -> Client:
        """Hold every answer from now on against the OpenAPI document."""
        self.contract = Contract(self.ask("GET", "/v1/openapi.json").json)
        return self

    def get(self, path: str, **more: str) -> Reply:
        return self.ask("GET", path, None, more)

    def put(self, path: str, body: Any, **more: str) -> Reply:
        return self.ask("PUT", path, body, more)

    def raw(self, data: bytes, *, shut: bool = False, timeout: float = 30) -> bytes:
        """Send bytes over a connection of their own and read all that comes until it is closed."""
        with socket.create_connection((self.host, self.port), timeout=timeout) as link:
            link.sendall(data)
            if shut:
                link.shutdown(socket.SHUT_WR)
            parts = []
            while piece := link.recv(1 << 16):
                parts.append(piece)
            return b"".join(parts)

    def close(self) -> None:
        self.connection.close()


class Served(NamedTuple):
    """A service that runs in a thread of this process."""

    url: str
    store: holdfast.Store
    told: StringIO
    client: Client

    def once(self, method: str, path: str, body: Any = None) -> Reply:
        """A request over a connection of its own."""
        client = self.another()
        try:
            return client.ask(method, path, body)
        finally:
            client.close()

    def another(self, token: str | None = None) -> Client:
        client = Client(self.url, token)
        client.contract = self.client.contract
        return client


@contextmanager
def served(store: holdfast.Store, limits: Limits | None = None, **more: Any) -> Iterator[Served]:
    """Serve a store on a port that is free until the block ends; then everything it took on is finished."""
    told, ready, urls = StringIO(), threading.Event(), []

    def listening(url: str) -> None:
        urls.append(url)
        ready.set()

    journal = Journal(told)
    server = serve(store, port=0, limits=limits or Limits(), journal=journal, listening=listening, **more)
    thread = threading.Thread(target=server.run, name="served")
    thread.start()
    try:
        assert ready.wait(20)
        client = Client(urls[0]).checked()
        yield Served(urls[0], store, told, client)
        client.close()
    finally:
        server.stop()
        thread.join(60)
        journal.close()
        assert not thread.is_alive()


@contextmanager
def process_of(store: str, *words: str) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    """A process that serves, and a client of it; in the end it is killed, if it did not end."""
    with subprocess.Popen(
        [*COMMAND, "serve", "--store", store, "--port", "0", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://[^\s\"]+", process.stdout.readline())
            assert found
            client = Client(found[0])
            yield process, client
            client.close()
        finally:
            process.kill()
