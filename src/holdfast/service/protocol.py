"""Connections: uvicorn's own, with limits on the size of headers, on their number, and on silence."""

from __future__ import annotations

import asyncio
import re
from time import monotonic
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from .answer import Headers, json_answer
from .base import Service
from .problems import problem

__all__ = ["Connection", "send_whole", "sweep"]

_REASONS = {
    400: b"Bad Request",
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}

_BEHIND = 100  # requests that may wait on one connection behind the one that is answered
_UPGRADE = re.compile(rb"\r\nupgrade(?=[ \t]*:)", re.IGNORECASE)
_LINGER = 2.0  # seconds that a client which was refused has to read why
_GRACE = 1  # seconds in which a request that was on its way when the service was told to end is still taken


class _Refused(Exception):
    """Raised out of the parser: the request is not even looked at."""


class Connection(HttpToolsProtocol):
    """One connection of a client.

    Attributes:
        service: set in the subclass that a server makes.
    """

    service: Service

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.in_header = True
        self.taken = 0  # bytes since a header was complete or a piece of a body came
        self.since = self.stalled = monotonic()
        self.running: RequestResponseCycle | None = None
        self.refused: tuple[int, str, str] | None = None
        self.ended: float | None = None  # when it was refused: what comes then is not looked at

    def connection_made(self, transport: Any) -> None:
        """Take a connection, unless there are too many."""
        super().connection_made(transport)
        most = self.service.limits.connections
        if len(self.connections) > most:
            self.refuse(503, "busy", f"more than {most} connections at once: try again")
            transport.close()

    def shutdown(self) -> None:
        """End, but not between an answer that did not say so and the request that its client sends after it: who lost
        an answer cannot know what was done."""
        self.timeout_keep_alive = _GRACE  # after the answer that is under way
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete:
            self.loop.call_later(_GRACE, super().shutdown)
        elif not cycle.response_started:
            super().shutdown()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.running = cycle
        if self.service.stopping and cycle is self.cycle:
            cycle.keep_alive = False  # its answer says that it is the last one
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being answered: where another one waits behind it, uvicorn tells only that."""
        if self.running is not None and not self.running.response_complete:
            self.running.disconnected = True
            self.running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
        if self.ended is not None:
            return
        self.taken += len(data)
        if self.in_header:
            data = _without_upgrade(data)
        super().data_received(data)
        if self.taken > self.service.limits.headers and self.ended is None:
            self._too_large()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Ignore trailers: fields after a chunked body are no request headers."""
        if self.in_header:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """A piece of a body has come."""
        self.taken = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of a request has come; what comes now is the header of the next one."""
        super().on_message_complete()
        self.in_header = True

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.in_header, self.since = True, monotonic()

    def on_headers_complete(self) -> None:
        """Its header is complete."""
        self.in_header, self.taken = False, 0
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.service.limits.headers:
            most = self.service.limits.headers
            self.refused = 431, "headers_too_large", f"the header has more than the {most} bytes that are taken"
            raise _Refused
        if self.parser.should_upgrade():  # the parser would take its body for something else
            self.refused = 400, "invalid_argument", "this service speaks HTTP/1.1 and nothing else: leave Upgrade away"
            raise _Refused
        super().on_headers_complete()
        if len(self.pipeline) > _BEHIND:
            self.ended = monotonic()
            self.transport.abort()
            raise _Refused

    def _too_large(self) -> None:
        most = self.service.limits.headers
        self.refuse(431, "headers_too_large", f"the header has more than the {most} bytes that are taken")

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or was refused in the middle of its header."""
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True  # the body of a request that is being answered is malformed
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.abort()
                return
        self.refuse(*(self.refused or (400, "invalid_argument", "this is no well-formed HTTP request")))

    def refuse(self, status: int, code: str, message: str) -> None:
        """Answer without asking the application, and end: to close at once could keep the client from reading it."""
        if self.ended is not None or self.transport.is_closing():
            return
        self.ended = monotonic()
        self.service.metrics.refuse(status)
        self._unset_keepalive_if_required()
        answer = json_answer(status, problem(code, message, ""))
        assert isinstance(answer.body, bytes)
        head = b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\nconnection: close\r\n" % (status, _REASONS[status])
        self.transport.write(head + b"content-length: %d\r\n\r\n" % len(answer.body) + answer.body)
        self.transport.write_eof()

    def pause_writing(self) -> None:
        """The client does not read as fast as it is written to."""
        self.stalled = monotonic()
        super().pause_writing()

    def check(self, now: float) -> None:
        """Close the connection if nothing has come for too long, or nothing was taken."""
        limits = self.service.limits
        if self.ended is not None and now - self.ended > _LINGER:
            self.transport.abort()
        if self.ended is not None or self.transport.is_closing():
            return
        if self.flow.write_paused:
            if now - self.stalled > limits.idle_time:
                self.transport.abort()
            return
        cycle: Any = self.cycle  # None before the first request
        busy = cycle is not None and not cycle.response_complete
        # Between two requests uvicorn's own timer runs, until something comes.
        if not busy and self.timeout_keep_alive_task is None and now - self.since > limits.header_time:
            self.refuse(408, "timeout", f"no request came in {limits.header_time:g} seconds")


def _without_upgrade(data: bytes) -> bytes:
    """The beginning of a request without its wish to go on with another protocol, which nobody has to grant: some
    clients have it in each request."""
    end = data.find(b"\r\n\r\n")
    return _UPGRADE.sub(b"\r\nx-pgrade", data[:end], 1) + data[end:] if _UPGRADE.search(data, 0, end) else data


def send_whole(send: Any, status: int, headers: Headers, body: bytes) -> bool:
    """Write head and body in one call, past uvicorn's per-field checks. False, with nothing sent, if ASGI's way must be
    used."""
    cycle = getattr(send, "__self__", None)
    if type(cycle) is not RequestResponseCycle or cycle.response_started or cycle.flow.write_paused:
        return False
    parts = [STATUS_LINE[status]]
    for name, value in (*cycle.default_headers, *headers):
        parts += name, b": ", value, b"\r\n"
    if not cycle.keep_alive:
        parts.append(b"connection: close\r\n")
    parts.append(b"\r\n")
    head = b"".join(parts)
    if head.count(b"\n") + head.count(b"\r") != 2 * (len(cycle.default_headers) + len(headers) + 3 - cycle.keep_alive):
        return False  # the end of a line in a value, which uvicorn refuses
    cycle.response_started = cycle.response_complete = True
    cycle.message_event.set()
    if not cycle.disconnected:
        cycle.transport.write(head if cycle.scope["method"] == "HEAD" else head + body)
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
    return True


async def sweep(service: Service, connections: set[Any]) -> None:
    """Look after connections and requests whose time is over, for ever."""
    pause = min(1.0, service.limits.header_time / 4, service.limits.idle_time / 4, service.limits.request_time / 4)
    while True:
        await asyncio.sleep(pause)
        now = monotonic()
        for connection in list(connections):
            connection.check(now)
        for exchange, task in list(service.active.items()):
            if exchange.late or exchange.silent or task is None:
                continue
            exchange.late = now - exchange.began > service.limits.request_time
            exchange.silent = exchange.waits is not None and now - exchange.waits > service.limits.idle_time
            if exchange.late or exchange.silent:
                task.cancel()
