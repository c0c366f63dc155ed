"""The two ways by which ``run.py`` sends a request: Python's own ``http.client``, and the command ``curl``."""

from __future__ import annotations

import http.client
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

__all__ = ["Curl", "Direct", "Reply", "Request", "Unreachable"]

_PIECE = 1 << 16


class Request(NamedTuple):
    """What is sent.

    Attributes:
        method, path: the path is sent as it is.
        headers: by name.
        body: None for none, which is another thing than an empty one.
        chunked: whether the body is sent in chunks, so without its length.
        cut: after how many bytes of the body the connection is closed, without waiting for an answer.
        until: bytes after which the rest of the answer's body is not waited for.
        timeout: seconds for all of it.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None
    chunked: bool
    cut: int | None
    until: bytes | None
    timeout: float


class Reply(NamedTuple):
    """What came back; the names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


NOTHING = Reply(0, {}, b"")
"""What is known of the answer to a request that was cut."""


class Unreachable(Exception):
    """No whole answer came."""


class Direct:
    """Sends by ``http.client``, over a new connection each time."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connect: Any = lambda timeout: kind(parts.hostname or "", parts.port, timeout=timeout)
        self._above = parts.path.rstrip("/")

    def __call__(self, request: Request) -> Reply:
        connection = self._connect(request.timeout)
        late = threading.Event()
        timer = threading.Timer(request.timeout, self._break_off, (connection, late))
        try:
            connection.connect()
            timer.start()
            self._send(connection, request)
            if request.cut is not None:
                return NOTHING
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            body = _read(answer.read1, request)
            if late.is_set():
                raise TimeoutError(f"after {len(body)} bytes of it: {body[-200:]!r}")
            return Reply(answer.status, headers, body)
        except (OSError, http.client.HTTPException) as error:
            told = f"in {request.timeout:g} seconds" if late.is_set() else ""
            raise Unreachable(f"no whole answer {told} {error!r}") from error
        finally:
            timer.cancel()
            connection.close()

    def _break_off(self, connection: http.client.HTTPConnection, late: threading.Event) -> None:
        late.set()
        with suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)

    def _send(self, connection: http.client.HTTPConnection, request: Request) -> None:
        names = {name.lower() for name in request.headers}
        connection.putrequest(
            request.method, self._above + request.path, skip_host="host" in names, skip_accept_encoding=True
        )
        for name, value in request.headers.items():
            connection.putheader(name, value)
        body = request.body
        if request.chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        elif body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        try:
            for piece in _pieces(body or b"", request.cut):
                connection.send(b"%x\r\n%b\r\n" % (len(piece), piece) if request.chunked else piece)
            if request.chunked and request.cut is None:
                connection.send(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused in the middle: the answer says why


class Curl:
    """Sends by a process of ``curl`` for each request."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def __call__(self, request: Request) -> Reply:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if request.cut is not None:
                return self._cut(request)
            process = subprocess.Popen(
                [*self._command(request), *self._body(request, folder), "--dump-header", str(folder / "headers")],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            assert process.stdout is not None
            assert process.stderr is not None
            with process:
                body = _read(process.stdout.read1, request)  # type: ignore[attr-defined]
                if request.until is not None:
                    process.kill()
                told = process.stderr.read().decode(errors="replace")
            if process.returncode and request.until is None:
                raise Unreachable(f"curl ended with {process.returncode}: {told.strip()}")
            shown = body if request.method != "HEAD" else b""  # curl shows the headers in its place
            return Reply(*_head((folder / "headers").read_bytes()), shown)

    def _command(self, request: Request) -> list[str]:
        command = ["curl", "--disable", "--silent", "--show-error", "--globoff", "--path-as-is", "--http1.1"]
        command += ["--no-buffer", "--noproxy", "*", "--max-time", str(request.timeout)]
        command += ["--head"] if request.method == "HEAD" else ["--request", request.method]
        headers = {"Expect": "", "Content-Type": "", **request.headers}
        for field, value in headers.items():
            command += ["--header", f"{field}: {value}" if value or field not in request.headers else f"{field};"]
        if request.chunked:
            command += ["--header", "Transfer-Encoding: chunked"]
        return [*command, self._url + request.path]

    def _body(self, request: Request, folder: Path) -> list[str]:
        if request.body is None:
            return []
        file = folder / "body"
        file.write_bytes(request.body)
        return ["--data-binary", f"@{file}"]

    def _cut(self, request: Request) -> Reply:
        process = subprocess.Popen(
            [*self._command(request), "--upload-file", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        assert process.stdin is not None
        for piece in _pieces(request.body or b"", request.cut):
            process.stdin.write(piece)
        process.stdin.flush()
        time.sleep(0.2)  # for curl to send it
        process.kill()
        process.communicate()
        return NOTHING


def _pieces(body: bytes, cut: int | None) -> Iterator[bytes]:
    body = body[:cut]
    for begin in range(0, len(body), _PIECE):
        yield body[begin : begin + _PIECE]


def _read(read: Any, request: Request) -> bytes:
    body = b""
    while piece := read(_PIECE):
        body += piece
        if request.until is not None and request.until in body:
            break
    return body


def _head(data: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers of the last of the heads that came: one of 100 may be before it."""
    head = data.decode("latin-1").strip().split("\r\n\r\n")[-1]
    line, *fields = head.split("\r\n")
    pairs = [field.partition(":") for field in fields]
    return int(line.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}
