"""A service on a real socket, and a client that sends what it is told to, byte by byte if need be."""

from __future__ import annotations

import http.client
import json
import socket
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

__all__ = ["Client", "Reply", "Served", "served", "url_of"]


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


def url_of(address: str) -> str:
    """An address as it stands in a URL."""
    return quote(address, safe="/:")


class Client:
    """One connection, opened again when the service closed it."""

    def __init__(self, url: str, token: str | None = None) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 0
        self.token = token
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
        return Reply(answer.status, found, data)

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

    def another(self, token: str | None = None) -> Client:
        return Client(self.url, token)


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
        client = Client(urls[0])
        yield Served(urls[0], store, told, client)
        client.close()
    finally:
        server.stop()
        thread.join(60)
        journal.close()
        assert not thread.is_alive()
