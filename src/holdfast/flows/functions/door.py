"""``/var`` and ``/log``: how a function that runs reads and writes variables, and writes into the log of its instance.

What it may do there, the id of its action says: whoever has it may read and write the variables of that action's
instance, workflow and namespace, as long as the action runs. It is told to nobody but the function.

This is the part that knows no server: :mod:`~holdfast.flows.functions.listener` is one, and others may ask it, too.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from threading import Event, Lock
from typing import Any, NamedTuple, Protocol

from ...errors import ClosedError, ConflictError, HoldfastError, InvalidArgumentError, StorageFullError
from ...scope import BaseScope
from ...storages.base import OCTETS
from ..place import SCOPES, Place, is_name
from .log import Log
from .variables import Variable, read

__all__ = ["LOG", "VAR", "Door", "Grant", "Readable", "Reply"]

VAR, LOG = "/var", "/log"
"""The paths that are answered."""

_ENDED = "the action with this aid has ended"
_PIECE = 1 << 18
_LOG_MOST = 1 << 20  # bytes of one message for the log
_STATUS = {InvalidArgumentError: 400, ConflictError: 409, StorageFullError: 507}
_METHODS = {VAR: ("GET", "POST"), LOG: ("POST",)}


class Readable(Protocol):
    """The body of a request. It raises an error where the body ends before its end."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes more; none at the end."""


class Reply(NamedTuple):
    """An answer.

    Attributes:
        status: of HTTP.
        headers: names and values; the length of the body is among them.
        body: in pieces. Where the rest must not be told, as the action has ended or the variable was replaced, the next
            one raises a HoldfastError.
    """

    status: int
    headers: list[tuple[str, str]]
    body: Iterable[bytes]


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str, *headers: tuple[str, str]) -> None:
        self.reply = _reply(status, {"error": {"code": code, "message": message}}, *headers)


class Grant:
    """What the id of an action opens, while it runs.

    Attributes:
        id: 256 random bits, in hex.
        place: whose variables those are.
        log: what it may write into.
        ended: set when it opens nothing any more.
    """

    def __init__(self, place: Place, log: Log) -> None:
        self.id = secrets.token_hex(32)
        self.place, self.log = place, log
        self.ended = Event()
        self._lock = Lock()

    def look(self) -> None:
        """Asked between the pieces of what is long."""
        if self.ended.is_set():
            raise _Refused(403, "access_denied", _ENDED)

    @contextmanager
    def holding(self) -> Iterator[None]:
        """A block that the end of the action waits for."""
        with self._lock:
            self.look()
            yield

    def end(self) -> None:
        """It opens nothing any more; what is being written is not stored."""
        with self._lock:
            self.ended.set()


class Door:
    """The actions that run, and what their functions ask."""

    def __init__(self) -> None:
        self._grants: dict[bytes, Grant] = {}  # by digests of their ids, so that looking one up tells nothing of it

    @contextmanager
    def granting(self, place: Place, log: Log) -> Iterator[Grant]:
        """A block that is an action, which may ask."""
        grant = Grant(place, log)
        digest = _digest(grant.id)
        self._grants[digest] = grant
        try:
            yield grant
        finally:
            del self._grants[digest]
            grant.end()

    def end_of(self, query: str) -> Event | None:
        """What is set when the action ends that a request with this query is of; None for a request that is of none."""
        grant = self._grant(_query(query))
        return None if grant is None else grant.ended

    def answer(self, path: str, method: str, query: str, headers: Mapping[str, str], body: Readable) -> Reply:
        """Answer a request.

        Args:
            path: one of :data:`VAR` and :data:`LOG`.
            method: of HTTP.
            query: what stands behind the question mark.
            headers: by names in lower case; ``content-type`` is looked at.
            body: is read piece by piece, and not to its end where the request is refused.
        """
        try:
            return self._answer(path, method, query, headers, body)
        except _Refused as refused:
            return refused.reply
        except HoldfastError as error:
            status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)
            return _reply(status, {"error": {"code": error.code, "message": str(error)}})

    def _answer(self, path: str, method: str, query: str, headers: Mapping[str, str], body: Readable) -> Reply:
        methods = _METHODS.get(path.rstrip("/"))
        if methods is None:
            raise _Refused(404, "request_path_not_found", "there are /var and /log")
        if method not in methods:
            allow = ", ".join(methods)
            raise _Refused(405, "request_method_not_allowed", f"{path} takes {allow}", ("Allow", allow))
        asked = _query(query)
        grant = self._grant(asked)
        if grant is None:
            raise _Refused(403, "access_denied", "no action that runs has this aid")
        if path.rstrip("/") == LOG:
            return _log(grant, body)
        scope = _scope(grant.place, asked.get("scope", ""))
        key = asked.get("key", "")
        if not is_name(key):
            raise _Refused(400, "request_data_invalid", f"key is the name of a variable, not {key[:100]!r}")
        if method == "GET":
            return _get(grant, scope, key)
        return _set(grant, scope, key, headers.get("content-type") or OCTETS, body)

    def _grant(self, asked: Mapping[str, str]) -> Grant | None:
        id = asked.get("aid", "")
        grant = self._grants.get(_digest(id))
        same = grant is not None and hmac.compare_digest(grant.id.encode(), id.encode(errors="replace"))
        return grant if same else None


def _digest(id: str) -> bytes:
    return sha256(id.encode(errors="replace")).digest()


def _query(query: str) -> dict[str, str]:
    from urllib.parse import parse_qsl

    return dict(reversed(parse_qsl(query, keep_blank_values=True)))  # the first of a name counts


def _scope(place: Place, name: str) -> BaseScope[Any]:
    if name not in SCOPES:
        raise _Refused(400, "request_data_invalid", f"scope is one of {', '.join(SCOPES)}, not {name[:100]!r}")
    return place.scope(name)


def _get(grant: Grant, scope: BaseScope[Any], key: str) -> Reply:
    found = read(scope, key)
    if found is None:
        return Reply(200, [("Content-Type", OCTETS), ("Content-Length", "0")], ())
    headers = [("Content-Type", found.content_type), ("Content-Length", str(found.size))]
    return Reply(200, headers, _sent(grant, found))


def _sent(grant: Grant, variable: Variable) -> Iterator[bytes]:
    left = variable.size
    for piece in variable.pieces:
        if grant.ended.is_set():
            raise ClosedError(_ENDED)
        left -= len(piece)
        if left < 0:  # it was replaced, and collected, since its size was told
            raise ConflictError("the variable was replaced while it was read: read it again")
        yield piece


def _set(grant: Grant, scope: BaseScope[Any], key: str, content_type: str, body: Readable) -> Reply:
    file = scope.open(key, "wb", content_type=content_type)
    try:
        while piece := body.read(_PIECE):
            grant.look()
            file.write(piece)
        with grant.holding():
            file.close()
    except BaseException:
        file.abort()
        raise
    return _reply(200, {"data": None})


def _log(grant: Grant, body: Readable) -> Reply:
    text = bytearray()
    while len(text) <= _LOG_MOST and (piece := body.read(_PIECE)):
        text += piece
    if len(text) > _LOG_MOST:
        raise _Refused(413, "too_large", f"a message has at most {_LOG_MOST} bytes")
    with grant.holding():
        grant.log.add(text.decode(errors="replace"))
    return _reply(200, {"data": None})


def _reply(status: int, content: Any, *headers: tuple[str, str]) -> Reply:
    body = json.dumps(content).encode()
    return Reply(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers], [body])
