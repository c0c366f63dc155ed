"""What the handlers of requests stand on: the service, one request in it, and the answer."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, MutableMapping
from functools import cached_property, partial
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote_to_bytes

from ..address import Path, format_path
from ..aio.driver import driver_of
from ..api import Scope, Store
from ..errors import InvalidArgumentError
from ..flows.functions import Functions
from ..serializers.exact_json import load as load_json
from ..tokens import SERVICE, Access, Tokens
from .answer import Answer, Headers
from .budget import FREE, MemoryBudget
from .flows import Flows
from .metrics import Metrics
from .problems import Refusal

__all__ = ["ClientDisconnected", "Exchange", "Handler", "Limits", "Service", "decoded"]

_MALFORMED = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_DRAINED = 64 << 20  # bytes of a refused body that are read, so that the client sees why
_DRAIN_TIME = 2.0
_CUT = 1 << 18  # bytes of a long answer that are sent at once
_PART = 80  # bytes that each part of JSON may come to
_PARTS = 600_000  # parts of JSON that are decoded in some 50 ms, in which nothing else can run; a list counts fourfold


class Limits(NamedTuple):
    """What one service takes on; each is an option of ``holdfast serve``.

    Attributes:
        body: bytes of one body that is stored.
        json: bytes of one that is read as JSON.
        headers: bytes of a request's line and header fields.
        requests: requests at once; one more is answered 503.
        connections: open connections at once; one more is closed.
        header_time: seconds in which the header of a request must have come.
        idle_time: seconds in which a body must go on, and the reader of an answer too; and a connection without a
            request is kept.
        request_time: seconds of one request in all.
        shutdown_time: seconds that requests are given to end when the service is told to.
        memory: bytes that large bodies and answers may take together where they are in memory as a whole.
        instances: of flows that run at once; one more is answered 503.
        instance_time: seconds that one may run; None for as long as it takes.
    """

    body: int = 1 << 40
    json: int = 16 << 20
    headers: int = 32 << 10
    requests: int = 1000
    connections: int = 8000
    header_time: float = 20.0
    idle_time: float = 60.0
    request_time: float = 7200.0
    shutdown_time: float = 30.0
    memory: int = 1 << 30
    instances: int = 200
    instance_time: float | None = None


class ClientDisconnected(Exception):
    """The client has gone: nobody waits for an answer."""


Handler = Callable[["Exchange"], Awaitable[Answer]]


class Service:
    """An open store that is served.

    Attributes:
        store, kernel, driver: the store, what it is made of, and what runs its verbs in or beside the loop.
        tokens: who may do what.
        limits: see :class:`Limits`.
        stopping: whether the service was told to end; who waits for changes stops then.
        watchers: events to set when a path is written to here, by path.
        active: the requests that are being answered, with their tasks.
        metrics: what was counted.
        budget: what requests hold in memory.
        flows: what runs instances of flows.
        routes: all there are.
        sign_in: what the token of a request allows, now.
        send_whole: sends an answer by a way that is shorter than ASGI's, where there is one; see
            :func:`~holdfast.service.protocol.send_whole`.
    """

    def __init__(
        self,
        store: Store,
        limits: Limits = Limits(),  # noqa: B008  immutable
        functions: Functions | None = None,
    ) -> None:
        """``functions`` are those that flows may call."""
        self.store = store
        self.kernel = store._kernel
        self.driver = driver_of(self.kernel)
        self.tokens = Tokens(store)
        self.limits = limits
        self.stopping = False
        self.active: dict[Exchange, asyncio.Task[Any] | None] = {}
        self.metrics = Metrics()
        self.budget = MemoryBudget(limits.memory)
        self.flows = Flows(store, self.driver, functions, limits.instances, limits.instance_time)
        self.routes: tuple[Any, ...] = ()
        self.sign_in: Callable[[Exchange], Awaitable[Access]]
        self.send_whole: Callable[[Any, int, Headers, bytes], bool] = _no_shorter_way
        self.watchers: defaultdict[Path, set[asyncio.Event]] = defaultdict(set)

    def scope(self, path: Path) -> Scope:
        """The scope of a path."""
        return self.store._at(path)

    async def streamed(self, made: Iterator[bytes]) -> AsyncIterator[bytes]:
        """The body of an answer whose pieces are made in a thread, each when the one before has been sent."""
        away = self.driver.away
        try:
            while (piece := await away(partial(next, made, None))) is not None:
                yield piece
        finally:
            close = getattr(made, "close", None)
            if close is not None:
                await away(close, must=True)

    def stop(self) -> None:
        """Let those who wait for changes go, as the service is about to end."""
        self.stopping = True
        for path in list(self.watchers):
            self.wrote(path)

    def wrote(self, path: Path) -> None:
        """Let those who wait for changes of a scope look at once."""
        for event in self.watchers.get(path, ()):
            event.set()


def _no_shorter_way(send: Any, status: int, headers: Headers, body: bytes) -> bool:
    return False


class Exchange:
    """One request and the way to answer it.

    Attributes:
        service: see :class:`Service`.
        method, raw_path: as they came; the path is still percent-encoded.
        id: of the request, in the answer and in the log.
        access: what the token allows.
        token: its id, empty for none.
        parameters: of the route's template, decoded.
        path, key: what the route names, where it names a scope or an address; the key is None for a scope.
        whole: whether the body has come to its end.
        received, sent: bytes of bodies so far.
        held: of the service's room.
        status: of the answer, once it has begun.
        began: when, by the clock that only goes on.
        begun: whether its handler began: from then on something may have been done.
        late: set with the cancellation of its task, when its time is over.
        waits: since when it waits for more of its body, None while it does not.
        silent: set with the cancellation of its task, when none came.
    """

    def __init__(self, service: Service, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        self.service = service
        self.method: str = scope["method"]
        self.raw_path: bytes = scope["raw_path"]
        self._scope, self._receive, self._send = scope, receive, send
        self.headers: Mapping[bytes, bytes] = dict(scope["headers"])
        self.id = self.token = ""
        self.access: Access
        self.parameters: Mapping[str, str] = {}
        self.path: Path = ()
        self.key: str | None = None
        self.whole = False
        self.status = 0
        self.sent = 0
        self.received = 0
        self.held = 0
        self.begun = self.late = self.silent = False
        self.waits: float | None = None
        self.began = monotonic()

    # --- what was asked -----------------------------------------------------------------------------------------------

    @cached_property
    def query(self) -> Mapping[str, list[str]]:
        """The parameters behind the question mark, decoded; each may be there several times.

        Raises:
            InvalidArgumentError: a malformed escape, or no UTF-8.
        """
        raw: bytes = self._scope["query_string"]
        found: dict[str, list[str]] = {}
        if not raw:
            return found
        try:
            if _MALFORMED.search(raw):
                raise ValueError("malformed escape")
            for name, value in parse_qsl(raw.decode("ascii"), True, errors="strict", max_num_fields=1000):
                found.setdefault(name, []).append(value)
        except ValueError as error:
            raise InvalidArgumentError(f"the query is not percent-encoded UTF-8: {error}") from None
        return found

    def argument(self, name: str, default: str | None = None) -> str | None:
        """A query parameter that may be there once.

        Raises:
            InvalidArgumentError: it is there several times.
        """
        values = self.query.get(name)
        if values is None:
            return default
        if len(values) > 1:
            raise InvalidArgumentError(f"the parameter {name} is given {len(values)} times: give it once")
        return values[0]

    def number(self, name: str, default: float | None = None, most: float = 1 << 62) -> float | None:
        """A query parameter that is a number from 0 on, at most ``most``.

        Raises:
            InvalidArgumentError: it is none.
        """
        text = self.argument(name)
        if text is None:
            return default
        try:
            value = float(text) if "." in text else int(text) if text.isdecimal() and text.isascii() else -1
        except ValueError:
            value = -1
        if not 0 <= value <= most:
            raise InvalidArgumentError(f"{name} must be a number from 0 to {most:g}, not {text!r:.80}")
        return value

    def whole_number(self, name: str, default: int, most: int) -> int:
        """The same of a whole one."""
        value = self.number(name, default, most)
        assert value is not None
        if value != int(value):
            raise InvalidArgumentError(f"{name} must be a whole number, not {value}")
        return int(value)

    def flag(self, name: str) -> bool:
        """A query parameter that is ``true`` or ``false``; false when it is not there."""
        text = self.argument(name, "false")
        if text not in ("true", "false"):
            raise InvalidArgumentError(f"{name} must be true or false, not {text!r:.80}")
        return text == "true"

    @property
    def raw_query(self) -> str:
        """What stands behind the question mark, as it came."""
        text: bytes = self._scope["query_string"]
        return text.decode("latin-1")

    def header(self, name: bytes) -> str | None:
        """A header field as text (Latin-1, as HTTP has it), None for none."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def conditional(self) -> bool:
        """Whether it depends on the version that is there."""
        return b"if-match" in self.headers or b"if-none-match" in self.headers

    @property
    def client(self) -> str:
        """The address that it came from."""
        client = self._scope.get("client")
        return client[0] if client else ""

    def fields(self) -> Headers:
        """All header fields, in their order."""
        found: Headers = self._scope["headers"]
        return found

    def need(self, verb: str, path: Path) -> Path:
        """Give the path back if the token may ``read``, ``write`` or ``admin`` there.

        Raises:
            Refusal: 403.
        """
        if path and path[0][0] == SERVICE:
            raise Refusal(403, "forbidden", f"scopes of the kind {SERVICE!r} are the service's own: use another kind")
        if not self.access.allows(path, verb):
            where = format_path(path) or "the whole store"
            raise Refusal(403, "forbidden", f"{self.access.opens}: not {where:.500} to {verb}")
        return path

    @property
    def scope(self) -> Scope:
        """The scope that the route names."""
        return self.service.scope(self.path)

    def hold(self, size: int) -> None:
        """Take room for so many bytes more of its body or its answer, until it has ended.

        Raises:
            Refusal: 503, there is too little.
        """
        if max(size, self.received) > FREE:
            self.service.budget.take(size, self.held)
            self.held += size

    def release(self, held: int = 0) -> None:
        """Give room back, down to what it ``held`` before."""
        self.service.budget.give(self.held - held)
        self.held = held

    # --- its body -----------------------------------------------------------------------------------------------------

    def length(self, most: int) -> int | None:
        """How many bytes of its body are announced, if it says so.

        Raises:
            Refusal: 413, more than ``most``.
        """
        length = self.headers.get(b"content-length")
        if length is None:
            return None
        if int(length) > most:
            raise self._too_large(most)
        return int(length)

    async def pieces(self, most: int) -> AsyncIterator[bytes]:
        """The body, or what is left of it, piece by piece; see :meth:`next_piece`."""
        while not self.whole:
            piece = await self.next_piece(most)
            if piece:
                yield piece

    async def next_piece(self, most: int) -> bytes:
        """The next bytes of a body of at most ``most`` bytes, perhaps none; ``whole`` tells whether these were all.

        Raises:
            ClientDisconnected: the client went away in the middle.
            Refusal: 413 for a larger body, 408 for silence in the middle.
        """
        if not self.received:
            self.length(most)
        piece = await self._next()
        if self.received > most:
            raise self._too_large(most)
        return piece

    def _too_large(self, most: int) -> Refusal:
        return Refusal(413, "too_large", f"the body has more than the {most} bytes that this service takes")

    async def _next(self) -> bytes:
        self.waits = monotonic()
        try:
            message = await self._receive()
        except asyncio.CancelledError:
            if not self.silent:
                raise
            seconds = self.service.limits.idle_time
            raise Refusal(408, "timeout", f"the body did not go on for {seconds:g} seconds") from None
        finally:
            self.waits = None
        if message["type"] != "http.request":
            raise ClientDisconnected
        self.whole = not message["more_body"]
        body: bytes = message["body"]
        self.received += len(body)
        return body

    async def body(self, most: int | None = None) -> bytes:
        """All of the body, at most ``most`` bytes of it; by default the limit for JSON."""
        parts = []
        async for piece in self.pieces(self.service.limits.json if most is None else most):
            parts.append(piece)
            self.hold(len(piece))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def json(self) -> dict[str, Any]:
        """The body as a JSON object; an empty one for no body.

        Raises:
            InvalidArgumentError: it is something else.
            Refusal: 413 for more parts than can be decoded while others wait.
        """
        data = await self.body()
        try:
            if len(data) > FREE:
                lists = data.count(b"[")
                parts = lists + data.count(b"{") + data.count(b",")
                if parts + 3 * lists > _PARTS:
                    raise Refusal(413, "too_large", f"the body has more than {_PARTS} parts, lists fourfold: send less")
                self.hold(_PART * parts)
                found = await self.service.driver.away(partial(load_json, data, ""))
            else:
                found = load_json(data or b"{}", "")
        except ValueError as error:
            raise InvalidArgumentError(f"the body is not JSON{error}") from None
        if not isinstance(found, dict):
            raise InvalidArgumentError(f"the body must be a JSON object, not {type(found).__name__}")
        return found

    @cached_property
    def leaving(self) -> asyncio.Future[None]:
        """Done when the client has gone away. What is left of the body then is not read any more."""

        async def watch() -> None:
            while (await self._receive())["type"] == "http.request":
                pass

        return asyncio.ensure_future(watch())

    # --- the answer ---------------------------------------------------------------------------------------------------

    async def answer(self, answer: Answer) -> None:
        """Send it. A body that nobody has read yet is read for a while, so that the client sees the answer."""
        status, headers, body = answer
        self.status = status
        headers = [*headers, (b"x-request-id", self.id.encode())]
        if isinstance(body, bytes):
            if status not in (204, 304):
                headers.append((b"content-length", b"%d" % len(body)))
            length = self.headers.get(b"content-length", b"0")
            unread = not self.whole and (length != b"0" or b"transfer-encoding" in self.headers)
            if len(body) > FREE and not unread and self.method != "HEAD":
                return await self._send_streamed(status, headers, _cut(body))  # it is held until it was taken
            if unread:
                headers.append((b"connection", b"close"))
            elif self.service.send_whole(self._send, status, headers, body):
                self.sent += len(body)
                return
            await self._send({"type": "http.response.start", "status": status, "headers": headers})
            if unread:
                await self._send({"type": "http.response.body", "body": body, "more_body": True})
                await self._drain()
                body = b""
            await self._send({"type": "http.response.body", "body": body})
            self.sent += len(body)
            return
        await self._send_streamed(status, headers, body)

    async def _send_streamed(self, status: int, headers: Headers, body: AsyncIterator[bytes] | None) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        if body is not None:
            await self._stream(body)
        await self._send({"type": "http.response.body", "body": b""})

    async def _stream(self, body: AsyncIterator[bytes]) -> None:
        leaving = self.leaving
        try:
            async for piece in body:
                if leaving.done():
                    raise ClientDisconnected  # sending would go on to nobody
                self.sent += len(piece)
                await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        finally:
            leaving.cancel()
            close = getattr(body, "aclose", None)
            if close is not None:
                await close()

    async def _drain(self) -> None:
        if self.headers.get(b"expect", b"").lower() == b"100-continue" and not self.received:
            return  # it was not sent
        try:
            async with asyncio.timeout(_DRAIN_TIME):
                end = self.received + _DRAINED
                while not self.whole and self.received < end:
                    await self._next()
        except (TimeoutError, Refusal, ClientDisconnected):
            return


async def _cut(body: bytes) -> AsyncIterator[bytes]:
    for begin in range(0, len(body), _CUT):
        yield body[begin : begin + _CUT]


def decoded(raw: bytes) -> str:
    """Text of a part of a path as it came, percent-decoded once.

    Raises:
        InvalidArgumentError: a malformed escape, or no UTF-8.
    """
    if b"%" in raw:
        if _MALFORMED.search(raw):
            raise InvalidArgumentError(f"a malformed percent-escape in the path {raw!r:.200}: % itself is %25")
        raw = unquote_to_bytes(raw)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise InvalidArgumentError(f"the path {raw!r:.200} is no percent-encoded UTF-8") from None
