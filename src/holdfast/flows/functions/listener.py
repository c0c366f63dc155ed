"""The door as a small HTTP server of this machine, for as long as actions run."""

from __future__ import annotations

import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedReader, BufferedWriter
from socketserver import TCPServer
from typing import Any

from ..failures import Failure
from .door import LOG, VAR, Door
from .patient import Patient
from .watch import Watch

__all__ = ["Listener"]

_MOST = 256  # connections at a time: several for each action, as one may send what it gets
_HEAD = 5.0  # seconds to say which action a request is of; then it has as long as that runs
_LOOK = 0.5  # seconds between two looks at whether anybody still needs the door
_LINGER = 1.0, 4 << 20  # seconds and bytes of a refused body that are read, so that its sender comes to read why
_PIECE, _LINE = 1 << 16, 1000  # bytes of a body that are read at once, and of a line in it

_logger = logging.getLogger("holdfast.flows")


class Listener:
    """Where functions reach the door.

    Attributes:
        taken: the port that was asked for is another process', so that it is another one.
        variables, log: URLs of ``/var`` and ``/log``.
    """

    def __init__(
        self, door: Door, host: str, port: int, lock: AbstractContextManager[Any], needed: Callable[[], bool]
    ) -> None:
        """Listen at a port, or at any where that one is taken; until ``needed``, asked under the lock, gives False.

        Raises:
            OSError: it cannot be listened at this host.
        """
        self.taken = False
        try:
            self._server = _Server((host, port), door)
        except OSError:
            if not port:
                raise
            self._server = _Server((host, 0), door)
            self.taken = True
        self.variables, self.log = (f"http://{host}:{self._server.server_port}{path}" for path in (VAR, LOG))
        self._lock, self._needed = lock, needed
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="holdfast-functions", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            self._server.handle_request()
            with self._lock:  # so that nobody counts on it who looks now
                if self._ended.is_set() or not self._needed():
                    self._ended.set()
                    self._server.server_close()
                    return

    @property
    def open(self) -> bool:
        """Whether it listens."""
        return not self._ended.is_set()

    def close(self) -> None:
        """Listen no more."""
        if not self._ended.is_set():
            self._ended.set()
            with suppress(OSError):  # so that it looks at once
                socket.create_connection(("127.0.0.1", self._server.server_port), timeout=1).close()
        self._thread.join(_LOOK)


class _Server(ThreadingHTTPServer):
    timeout = _LOOK
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], door: Door) -> None:
        self.door = door
        self._places = threading.BoundedSemaphore(_MOST)
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # which does not look at what the host is called: that may take seconds
        self.server_name, self.server_port = "localhost", self.server_address[1]

    def verify_request(self, request: Any, client_address: Any) -> bool:
        self._places.acquire()  # others wait in the queue of the socket
        return True

    def shutdown_request(self, request: Any) -> None:
        self._places.release()
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        _logger.debug("a function's request broke off", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "holdfast", ""
    server: _Server

    def setup(self) -> None:
        self.connection = self.request
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self._watch = Watch()
        self._watch.begin(_HEAD)
        self.rfile = BufferedReader(Patient(self.connection, self._watch), _PIECE)
        self.wfile = BufferedWriter(Patient(self.connection, self._watch), _PIECE)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # the door says which methods there are
            return self._serve
        raise AttributeError(name)

    def _serve(self) -> None:
        self.close_connection = True
        body = _body(self)
        if body is None:
            self.send_error(400)
            return
        path, _, query = self.path.partition("?")
        end = self.server.door.end_of(query)
        if end is not None:
            self._watch.until(end)
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.door.answer(path, self.command, query, headers, _Body(body))
        self.send_response(reply.status)
        for name, value in (*reply.headers, ("Connection", "close")):
            self.send_header(name, value)
        self.end_headers()
        for piece in reply.body if self.command != "HEAD" else ():
            self.wfile.write(piece)
        self.wfile.flush()
        seconds, left = _LINGER
        self._watch.begin(seconds)
        with suppress(OSError, ValueError, Failure):  # to end now would take the answer from who still sends
            self.connection.shutdown(socket.SHUT_WR)
            while left > 0 and (piece := next(body, b"")):
                left -= len(piece)

    def handle_expect_100(self) -> bool:
        going = super().handle_expect_100()
        self.wfile.flush()  # else it waits with what comes behind it, and the sender waits for it
        return going

    def finish(self) -> None:
        with suppress(OSError, Failure):
            self.wfile.close()
        self.rfile.close()

    def log_message(self, format: str, *args: Any) -> None:
        _logger.debug(format, *args)


def _body(handler: BaseHTTPRequestHandler) -> Iterator[bytes] | None:
    """The pieces of the body of a request; None where it cannot be told how long it is."""
    coding, length = (", ".join(handler.headers.get_all(name, ())) for name in ("Transfer-Encoding", "Content-Length"))
    if coding:
        return _chunks(handler.rfile) if coding.strip().lower() == "chunked" and not length else None
    return _sized(handler.rfile, int(length or 0)) if re.fullmatch("[0-9]{0,15}", length) else None


class _Body:
    """Pieces that are read one at a time."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, size: int, /) -> bytes:
        return next(self._pieces, b"")


def _sized(file: Any, size: int) -> Iterator[bytes]:
    while size:
        piece: bytes = file.read1(min(size, _PIECE))
        if not piece:
            raise ConnectionResetError("the body of a request broke off")
        size -= len(piece)
        yield piece


def _chunks(file: Any) -> Iterator[bytes]:
    while digits := _line(file).partition(b";")[0].strip():
        if not re.fullmatch(b"[0-9a-fA-F]{1,15}", digits):
            break
        size = int(digits, 16)
        yield from _sized(file, size)
        if not size:
            while _line(file):  # trailers
                pass
            return
        if _line(file):
            break
    raise ValueError("the body of a request is not in chunks as it says")


def _line(file: Any) -> bytes:
    line: bytes = file.readline(_LINE)
    if not line.endswith(b"\n"):
        raise ConnectionResetError("the body of a request broke off")
    return line.strip()
