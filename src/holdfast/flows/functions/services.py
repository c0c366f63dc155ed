"""Functions that are HTTP services: a POST with the input, and a DELETE to cancel it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from io import BufferedReader
from typing import TYPE_CHECKING, Any

from ..failures import Failure
from .answers import Answer, brief, error_of
from .codes import ANSWER, CANCELLED, FAILED, TIMEOUT, UNREACHABLE
from .patient import Patient
from .settings import Service
from .watch import Watch

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

__all__ = ["post"]

_CONNECT = 10.0  # seconds for a connection to be made
_CANCEL = 2.0  # seconds for a service to take the message that a call is cancelled
_PIECE = 1 << 16


def post(service: Service, headers: Mapping[str, str], body: bytes, watch: Watch, most: int) -> Answer:
    """Call a service. Where it was reached, and has not answered when the call is to end, it is told to cancel.

    Args:
        headers: of the action.
        body: the input, JSON.
        most: bytes of an answer.

    Raises:
        Failure: it cannot be reached, or what it answers is none or too large; or the call is to end.
    """
    from http.client import HTTPException

    watch.look()
    try:
        fields = {name: value.encode("latin-1") for name, value in headers.items()}
    except UnicodeEncodeError as error:
        told = f"{error.object} has characters that no header can have: name another folder in [actions]"
        raise Failure(UNREACHABLE, told) from None
    reached = False
    try:
        with _connected(service, watch) as (connection, target):
            reached = True
            return _exchange(connection, service.url, target, fields, body, most)
    except Failure as failure:
        if reached and failure.code in (CANCELLED, TIMEOUT):
            _cancel(service, fields)
        raise
    except (HTTPException, OSError, ValueError) as error:
        told = f"the answer of {service.url} broke off or is none: {type(error).__name__}: {error}"
        raise Failure(ANSWER, told) from error


@contextmanager
def _connected(service: Service, watch: Watch) -> Iterator[tuple[HTTPConnection, str]]:
    """A connection, whose waits end when the watch says so, and the target of requests."""
    from http.client import HTTPConnection, HTTPSConnection
    from urllib.parse import urlsplit

    parts = urlsplit(service.url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    with closing(kind(parts.hostname or "", parts.port, timeout=min(_CONNECT, watch.left()))) as connection:
        try:
            connection.connect()
        except (OSError, UnicodeError) as error:  # the latter for names that no host can have
            watch.look()
            raise Failure(UNREACHABLE, f"no function answers at {service.url}: {error}") from error
        with connection.sock as inner:
            connection.sock = _Connection(inner, watch)
            yield connection, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _exchange(
    connection: HTTPConnection, url: str, target: str, headers: Mapping[str, bytes], body: bytes, most: int
) -> Answer:
    with suppress(ConnectionError):  # it may have answered before it had read all
        connection.request("POST", target, body, {"Content-Type": "application/json", **headers})
    with connection.getresponse() as response:
        found = _read(response, url, most)
        code, message = (_text(response.headers.get(f"Direktiv-Error{name}")) for name in ("Code", "Message"))
        failure = error_of(code, message)
        if failure is None and not 200 <= response.status < 300:
            failure = Failure(FAILED, f"{url} answered {response.status}: {brief(found)}")
    return Answer(found, failure)


def _read(response: HTTPResponse, url: str, most: int) -> bytes:
    pieces, size = [], 0
    while piece := response.read(_PIECE):
        size += len(piece)
        if size > most:
            raise Failure(ANSWER, f"the answer of {url} has more than {most} bytes: raise answer in [actions]")
        pieces.append(piece)
    if response.length:
        raise Failure(ANSWER, f"the answer of {url} broke off after {size} bytes")
    return b"".join(pieces)


def _text(value: str | None) -> str:
    """The text of a header, which may be UTF-8."""
    try:
        return (value or "").encode("latin-1").decode()
    except UnicodeError:
        return value or ""


def _cancel(service: Service, headers: Mapping[str, bytes]) -> None:
    from http.client import HTTPException

    watch = Watch()
    watch.begin(_CANCEL)
    with suppress(OSError, HTTPException, ValueError, Failure), _connected(service, watch) as (connection, target):
        connection.request("DELETE", target, None, dict(headers))
        connection.getresponse().close()


class _Connection(Patient):
    """A connected socket, as :mod:`http.client` uses it."""

    def makefile(self, mode: str) -> BufferedReader:
        return _Bounded(self, _PIECE)

    def sendall(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        while view:
            view = view[self.write(view[:_PIECE]) :]

    def close(self) -> None:
        """Nothing: the answer may still be read."""


class _Bounded(BufferedReader):
    """A reader that does not read all that there is, as :mod:`http.client` asks it to for a chunk of the size -1."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            raise ValueError("it says a size below 0")
        return super().read(size)
