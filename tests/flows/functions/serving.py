"""HTTP services that are functions: well behaved ones, and others, on real sockets."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Request:
    """What a service was asked.

    Attributes:
        method, path: of HTTP.
        headers: of the request.
        body: its bytes.
    """

    def __init__(self, method: str, path: str, headers: Any, body: bytes) -> None:
        self.method, self.path, self.headers, self.body = method, path, headers, body

    @property
    def folder(self) -> str:
        found: str = self.headers["Direktiv-TempDir"]
        return found


Answer = tuple[int, dict[str, str], bytes]
Work = Callable[[Request], Answer]


def json_of(value: Any) -> Answer:
    return 200, {}, json.dumps(value).encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # with 5, as it is by itself, Linux resets some of those that come at the same time


class Service:
    """A running service.

    Attributes:
        url: of it.
        requests: all that it was asked.
    """

    def __init__(self, work: Work) -> None:
        self.requests: list[Request] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Request(self.command, self.path, self.headers, body)
                outer.requests.append(request)
                status, headers, content = work(request) if request.method == "POST" else (200, {}, b"")
                with suppress(OSError):
                    self.send_response(status)
                    for name, value in {"Content-Length": str(len(content)), **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(content)

            do_POST = do_DELETE = _serve  # noqa: N815

            def log_message(self, *message: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def serving(work: Work) -> Iterator[Service]:
    service = Service(work)
    try:
        yield service
    finally:
        service.close()


@contextmanager
def raw(talk: Callable[[socket.socket], Any], deletes: bool = False) -> Iterator[str]:
    """URL of a service that does with each connection what ``talk`` does; with ``deletes`` also at a DELETE."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.02)

        def one(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                connection.settimeout(10)
                if deletes or connection.recv(6, socket.MSG_PEEK) != b"DELETE":
                    talk(connection)

        def run() -> None:
            while not ended.is_set():
                with suppress(TimeoutError):
                    connection, _ = listening.accept()
                    threading.Thread(target=one, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            ended.set()
            thread.join()
