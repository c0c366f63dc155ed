"""Direktiv's interface as its clients speak it."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any, NamedTuple
from urllib.parse import urlencode

import holdfast

from .talk import Client, Reply, Served

__all__ = ["UUID", "Api", "base64", "error", "of"]

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
"""What an id looks like."""


def base64(data: bytes | str) -> str:
    return b64encode(data.encode() if isinstance(data, str) else data).decode()


def of(text: str) -> bytes:
    return b64decode(text, validate=True)


def error(reply: Reply) -> tuple[int, str, str]:
    """Status, code and message; nothing else is told."""
    assert reply.headers["content-type"] == "application/json"
    assert list(reply.json) == ["error"]
    told = reply.json["error"]
    assert set(told) <= {"code", "message", "validation"}
    return reply.status, told["code"], told["message"]


class Api(NamedTuple):
    """One namespace, which was made by Direktiv's own call.

    Attributes:
        namespace: its name.
        client: which has asked for it.
        service: which has it.
    """

    namespace: str
    client: Client
    service: Served

    @property
    def scope(self) -> holdfast.Scope:
        """What Python calls it."""
        return self.service.store.namespace(self.namespace)

    def ask(self, method: str, path: str, body: Any = None, **more: str) -> Reply:
        """Ask for what is below ``/api/v2``; paths that do not begin with a slash are in the namespace."""
        where = path if path.startswith("/") else f"/namespaces/{self.namespace}/{path}"
        return self.client.ask(method, f"/api/v2{where}", body, more)

    def data(self, method: str, path: str, body: Any = None) -> Any:
        """What a request gives, which must succeed."""
        reply = self.ask(method, path, body)
        assert reply.status == 200, reply.body
        assert reply.headers["content-type"] == "application/json"
        assert list(reply.json) == ["data"]
        return reply.json["data"]

    def make(self, name: str, data: bytes | str = b"x", mime: str = "text/plain", **more: str) -> dict[str, Any]:
        """A new variable."""
        made: dict[str, Any] = self.data(
            "POST", "variables", {"name": name, "mimeType": mime, "data": base64(data), **more}
        )
        return made

    def names(self, **query: str) -> list[str]:
        """The names of the variables that a list has."""
        return [variable["name"] for variable in self.data("GET", f"variables?{urlencode(query)}")]

    def file(self, path: str, data: bytes | str = "", type: str = "file", mime: str = "text/plain") -> dict[str, Any]:
        """A new file, or directory."""
        folder, _, name = path.rpartition("/")
        body = {"name": name, "type": type, "mimeType": mime, "data": base64(data)}
        if type == "directory":
            body = {"name": name, "type": type}
        made: dict[str, Any] = self.data("POST", f"files{folder}", body)
        return made

    def text(self, body: Any) -> str:
        """A body that is sent as it is."""
        return json.dumps(body)
