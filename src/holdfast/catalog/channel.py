"""HTTP client for one service: connection pool, authentication, retries.

Connections are kept open and used by one thread at a time. One that the service may have ended is not used again, so
that a request is seldom lost on one. Nothing here asks for more than Python's own ``http.client``: a worker needs no
further package to reach a store.
"""

from __future__ import annotations

import json
import math
import os
import re
import select
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from http.client import BadStatusLine, HTTPException, HTTPResponse, IncompleteRead
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from ..errors import AccessError, BusyError, ClosedError, HoldfastError, InvalidArgumentError, StoreError
from ..payload import Buffer
from .wire import BEYOND, LONGER, MIME, PREFIX, named_error, raised

__all__ = ["LOST", "Answer", "Channel", "Connection", "remember"]

_IDLE = 4.0  # seconds: servers end connections that nobody uses, often after five
_FIRST_PAUSE, _PAUSE = 0.02, 0.5  # seconds between two attempts
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")
_OWN_CA = "; name the certificate of a CA of your own in SSL_CERT_FILE"
_UNKNOWN = (429, 502, 503, 504)  # a proxy answers so too, whether or not it asked the service
_TOLD = 1 << 16  # bytes of an answer that may tell an error
_ONE_SEND = 1 << 16  # bytes of a body that go with its head

LOST = (OSError, HTTPException)
"""Exceptions that mean the connection broke."""


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class Connection:
    """One connection, used by one thread at a time.

    Attributes:
        used: when it was last given back, by the monotonic clock.
    """

    __slots__ = ("_head", "_socket", "used")

    def __init__(self, channel: Channel, timeout: float) -> None:
        """Connect. OSError as it comes."""
        self._socket: socket.socket = socket.create_connection((channel.host, channel.port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if channel.tls is not None:
            try:
                self._socket = channel.tls.wrap_socket(self._socket, server_hostname=channel.host)
            except BaseException:
                self._socket.close()
                raise
        self._head = channel.head
        self.used = time.monotonic()

    def begin(
        self, method: str, path: str, headers: Iterable[tuple[str, str]], body: Sequence[Buffer], timeout: float
    ) -> None:
        """Send the head of a request, with a body or the beginning of one that :meth:`send` goes on with."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        head = f"{method} {path} HTTP/1.1\r\n{self._head}{lines}\r\n".encode("latin-1")
        self._socket.settimeout(timeout)
        if body and len(body[0]) <= _ONE_SEND:
            head, body = head + body[0], body[1:]
        try:
            for data in (head, *body):
                self._socket.sendall(data)
        except OSError:
            if self.is_alive():
                raise  # else it may have said why it takes no more

    def send(self, data: Buffer) -> None:
        """Send more of a body."""
        self._socket.sendall(data)

    def response(self, method: str) -> HTTPResponse:
        """What is answered, its body still to be read."""
        response = HTTPResponse(self._socket, method=method)
        try:
            response.begin()
            if response.length is None and not response.chunked:
                raise IncompleteRead(b"")  # its header was cut, which Python takes for its end
        except BaseException:
            response.close()
            raise
        return response

    def is_alive(self) -> bool:
        """Whether the other end has, as far as is known here, neither ended it nor said what nobody asked for."""
        if self._socket.fileno() < 0:
            return False  # closed by who had given it back
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Close it, whatever is under way."""
        self._socket.close()


class Channel:
    """All that one process has to do with one service as one client. Thread-safe and fork-safe.

    Without a ``token`` it is the one that was given for this URL before in this process, or ``HOLDFAST_TOKEN``.

    Attributes:
        url: of the service, with who asks in front of its host; the token itself is in no text.
        shown: the same without who asks, for messages.
        patience: seconds after which it is not tried again to reach what does not answer at all.
        host: where it is; ``port`` and ``path`` likewise.
        head: the lines that begin each request.
        tls: how it is encrypted, None where it is not.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise InvalidArgumentError(f"a service is at a URL such as https://host:8080, not at {url!r}")
        self.url = url.rstrip("/")
        self.shown = re.sub("//[^/]*@", "//", self.url)
        self.patience = math.inf
        self.host = parts.hostname
        self.port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        self.path = parts.path.rstrip("/")
        self.tls: Any = None
        if parts.scheme == "https":
            import ssl  # 10 ms that only encrypted ones need

            self.tls = ssl.create_default_context()
        if token:
            remember(self.url, token)
        token = (token or _tokens.get(self.url) or os.environ.get("HOLDFAST_TOKEN", "")).strip()
        lines = [("Host", parts.netloc.rpartition("@")[2]), ("User-Agent", "holdfast")]
        if token:
            if not token.isascii() or not token.isprintable() or " " in token:
                raise InvalidArgumentError(
                    "a token is printable ASCII without spaces, as holdfast token create gives it"
                )
            lines.append(("Authorization", f"Bearer {token}"))
        self.head = "".join(f"{name}: {value}\r\n" for name, value in lines)
        self._begin()
        _channels.add(self)

    def _begin(self) -> None:
        self._free: list[Connection] = []
        self._end = weakref.finalize(self, _close_all, self._free)
        self._lock = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return f"<Channel to {self.shown}>"

    def __reduce__(self) -> Any:
        raise InvalidArgumentError("a connection cannot be given to another process: open the store there")

    # --- connections ------------------------------------------------------------------------------------------------

    def take(self, timeout: float) -> Connection:
        """A connection for the caller alone, until it is given back or closed. OSError as it comes, and then nothing
        was sent."""
        while True:
            self.check_open()
            try:
                connection = self._free.pop()
            except IndexError:
                return Connection(self, timeout)
            if time.monotonic() - connection.used < _IDLE and connection.is_alive():
                return connection
            connection.close()

    def give(self, connection: Connection, response: HTTPResponse) -> None:
        """Give a connection back after a whole answer, for another request."""
        free = self._free
        if response.will_close or not response.isclosed():
            connection.close()
            return
        connection.used = time.monotonic()
        free.append(connection)
        if self._closed:
            _close_all(free)
        elif len(free) > 1 and connection.used - free[0].used > _IDLE:
            with suppress(IndexError):
                free.pop(0).close()

    def check_open(self) -> None:
        """Raise ClosedError after :meth:`close`."""
        if self._closed:
            raise ClosedError(f"the store at {self.shown} is closed: open it again")

    def rest(self) -> None:
        """Close the connections that are not in use."""
        _close_all(self._free)

    def close(self) -> None:
        """:meth:`rest`, and later requests raise ClosedError."""
        self._closed = True
        self.rest()

    # --- requests -----------------------------------------------------------------------------------------------------

    def ask(
        self,
        method: str,
        path: str,
        body: Buffer = b"",
        *,
        timeout: float,
        again: bool,
        mime: str = MIME,
        headers: Iterable[tuple[str, str]] = (),
    ) -> Answer:
        """Send a request and give its whole answer, when it is a good one.

        ``again``: it may be made twice, and so is tried again where its answer is lost, for ``timeout`` seconds. What
        was not sent is tried again in any case.

        Raises:
            HoldfastError: what the service answers.
            StoreError: no service answers in time; or the answer was lost, and it may or may not have been made.
        """

        def read(connection: Connection, response: HTTPResponse) -> Answer:
            data = response.read()
            self.give(connection, response)
            return Answer(response.status, response.headers, data)  # type: ignore[arg-type]

        lines = (("Content-Type", mime), ("Content-Length", str(len(body))), *headers)
        answer: Answer = self.attempt(method, path, lines, (body,), read, timeout, again)
        return answer

    def attempt(
        self,
        method: str,
        path: str,
        headers: Iterable[tuple[str, str]],
        body: Sequence[Buffer],
        read: Callable[[Connection, HTTPResponse], Any] | None,
        timeout: float,
        again: bool,
    ) -> Any:
        """Send a request, and give what ``read`` makes of a good answer; see :meth:`ask`. Without ``read`` the
        connection is given, over which the caller goes on with the body."""
        began, pause = time.monotonic(), _FIRST_PAUSE
        while True:
            sent = False
            try:
                connection = self.take(max(min(timeout, 2 * self.patience), 1.0))
                sent = True
                try:
                    connection.begin(method, self.path + PREFIX + path, headers, body, timeout + LONGER)
                    if read is None:
                        return connection
                    response = connection.response(method)
                    if response.status < 400 or response.status == BEYOND:
                        return read(connection, response)
                    error, waited = self.error_of(connection, response), _PAUSE
                except BaseException:
                    connection.close()
                    raise
                crowded = isinstance(error, BusyError) and response.headers.get("Content-Type") != MIME
                if not crowded or time.monotonic() + waited >= began + timeout:
                    raise error  # one in MessagePack is the store's, which waited itself
            except LOST as lost:
                if isinstance(lost, HoldfastError):
                    raise
                open_end, waited = sent and not again, pause
                proxied = type(lost) is HTTPException  # by error_of
                late = began + (timeout if proxied else min(timeout, self.patience))
                if open_end or _is_for_good(lost) or time.monotonic() + waited >= late:
                    raise self._lost(lost, open_end) from lost
            time.sleep(waited)
            pause = min(2 * pause, _PAUSE)

    def _lost(self, error: BaseException, open_end: bool) -> StoreError:
        told = str(error) or type(error).__name__
        if open_end:
            return StoreError(
                f"the answer of {self.shown} is lost ({told}): what was asked for may or may not have been made; read "
                "before you write it again"
            )
        return StoreError(f"no service answers at {self.shown}: {told}{self._advice(error)}")

    def _advice(self, error: BaseException) -> str:
        """What may be wrong with the URL, as far as the error tells it."""
        other = f"{'http' if self.tls else 'https'}:{self.shown.partition(':')[2]}"
        if isinstance(error, ConnectionRefusedError):
            return "; is holdfast serve running there, and on this port?"
        if isinstance(error, socket.gaierror):
            return f"; is {self.host!r} the right name?"
        if self.tls is not None and _is_for_good(error):
            return _OWN_CA if _is_untrusted(error) else f"; try {other}"
        if isinstance(error, IncompleteRead):
            return "; is that a Holdfast service?"
        if self.tls is None and isinstance(error, (ConnectionError, BadStatusLine)):
            return f"; if it speaks TLS, try {other}"
        return ""

    def error_of(self, connection: Connection, response: HTTPResponse) -> Exception:
        """The error that an answer tells, which is read to its end: one of :data:`LOST`, where it does not tell what
        the service did."""
        data = response.read(_TOLD)
        if not response.isclosed() and response.read(1):
            connection.close()  # more than an error: it is not read to its end
        else:
            self.give(connection, response)
        return _failure(response, data, self.shown)


def remember(url: str, token: str) -> None:
    """Use this token for that URL, which says whose it is, in this process."""
    _tokens[url] = token


def _is_untrusted(error: BaseException) -> bool:
    return isinstance(error, OSError) and isinstance(error, ValueError)  # as an error of certificates is


def _is_for_good(error: BaseException) -> bool:
    """Whether no time mends it: a certificate that is not trusted, or an answer that is not TLS."""
    return _is_untrusted(error) or getattr(error, "reason", None) in _NO_TLS


def _failure(response: HTTPResponse, data: bytes, url: str) -> Exception:
    """The error that an answer of a service, or of what stands before it, tells."""
    status, kind = response.status, response.headers.get("Content-Type", "")
    if kind == MIME:
        return raised(data, url)
    try:
        told = json.loads(data)["error"]
        code, message = str(told["code"]), str(told["message"])
    except (KeyError, TypeError, ValueError, RecursionError):
        code, message = "", f"{url} answered {status} {response.reason}"
    if status in _UNKNOWN and code != BusyError.code:
        return HTTPException(message if code else f"{status} {response.reason}")
    if status == 401:
        return AccessError(f"{message}: give the store a token, as in holdfast.open({url!r}, token=...)")
    if status == 403:
        return AccessError(message)
    if status == 413:
        return InvalidArgumentError(message)
    if not code:
        return StoreError(f"no Holdfast service answers at {url}: it answered {status} {response.reason}")
    return named_error(code, message)


def _close_all(free: list[Connection]) -> None:
    while free:
        with suppress(IndexError):
            free.pop().close()


_tokens: dict[str, str] = {}  # by URL, which says whose it is: they come into no message and no pickle
_channels: Final[weakref.WeakSet[Channel]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """The connections are the parent's: this process closes its copies, which says nothing to the service."""
    for channel in list(_channels):
        free, closed = channel._free, channel._closed
        channel._end.detach()
        channel._begin()
        channel._closed = closed
        _close_all(free)


os.register_at_fork(after_in_child=_after_fork_in_child)
