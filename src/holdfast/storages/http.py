"""The storages of a store that a service keeps: bytes go through the service, in constant memory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPResponse, IncompleteRead
from typing import Any, ClassVar
from urllib.parse import quote

from ..catalog.channel import LOST, Channel, Connection
from ..catalog.wire import BEYOND
from ..errors import ClosedError, HoldfastError, InvalidArgumentError, StoreError
from ..payload import Buffer, Payload
from .base import OCTETS, GetDigest, Storage, Writer, check_size, check_span

__all__ = ["HTTPStorage"]

_PIECE = 1 << 20  # bytes of a stream that are given at once
_HELD = 1 << 18  # bytes of a stream that are sent at once
_SYNC = (("Holdfast-Sync", "1"),)


class HTTPStorage(Storage):
    """A storage of the store that a service keeps.

    The config is what the service gave: the place, under a seal by which the service knows that it gave it. Bytes
    that it takes are hashed there, and only their own digest can be committed with them.

    Args:
        url: of the service, then ``#`` and the number of the storage.
        timeout: seconds to wait for a service that does not answer.
    """

    name: ClassVar[str] = "holdfast.http@v1"
    remote = True

    def __init__(self, url: str, timeout: float = 30.0) -> None:
        base, _, number = url.rpartition("#")
        if not number.isdecimal():
            raise InvalidArgumentError(f"a service's storage is named by its number, as in https://host#1, not {url!r}")
        self.url = url
        self._path = f"/bytes/{int(number)}"
        self._timeout = timeout
        self._channel = Channel(base)

    def __repr__(self) -> str:
        return f"<HTTPStorage at {self._channel.shown}>"

    # --- writing ----------------------------------------------------------------------------------------------------

    def write(self, payload: Payload, get_digest: GetDigest, tags: Mapping[str, str], *, sync: bool = False) -> Any:
        """Send a payload's buffers. It may be sent again when the connection breaks: what came of that is deleted by
        the service when nobody commits it."""
        headers = _headers(tags, payload.content_type, payload.encoding, sync)
        return _send(self._channel, self._path, headers, payload.buffers, self._timeout)

    def writer(
        self,
        tags: Mapping[str, str],
        *,
        size: int | None = None,
        content_type: str = OCTETS,
        encoding: str | None = None,
    ) -> Writer:
        """Begin to send a stream, over a connection of its own; ``size`` is a hint."""
        check_size(size)
        return _HTTPWriter(self._channel, self._path, _headers(tags, content_type, encoding, False), self._timeout)

    # --- reading ----------------------------------------------------------------------------------------------------

    def read(self, config: Any) -> Buffer:
        """All bytes of a config."""
        return self._whole(config, None)

    def read_sized(self, config: Any, size: int) -> Buffer:
        """All bytes of a config that should have ``size``; of a larger one a byte more."""
        return self._whole(config, size + 1)

    def _whole(self, config: Any, most: int | None) -> Buffer:
        pieces = list(self.read_stream(config, 0, most))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read_stream(self, config: Any, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes in pieces of 1 MB; where a connection breaks they go on over another one."""
        check_span(offset, length)
        return iter(()) if length == 0 else self._pieces(config, offset, length)

    def _pieces(self, config: Any, offset: int, length: int | None) -> Iterator[bytes]:
        end = None if length is None else offset + length
        failed = -1
        while end is None or offset < end:
            connection, response = self._open(config, offset, end)
            whole = False
            try:
                if response.status == BEYOND:
                    response.read()
                    self._channel.give(connection, response)
                    whole = True
                    return
                while piece := response.read(_PIECE):
                    offset += len(piece)
                    yield piece
                if response.length:  # Python takes the end of a connection for the end of the bytes
                    raise IncompleteRead(b"", response.length)
                self._channel.give(connection, response)
                whole = True
                return
            except LOST as error:
                if offset == failed:  # it was tried again, and nothing came
                    raise StoreError(f"bytes could not be read from {self._channel.shown}: {error!r}") from error
                failed = offset
            finally:
                if not whole:
                    response.close()
                    connection.close()

    def _open(self, config: Any, offset: int, end: int | None) -> tuple[Connection, HTTPResponse]:
        """The answer that has the bytes of a span."""
        body = _text(config)
        span = f"bytes={offset}-{'' if end is None else end - 1}"
        headers = (("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Range", span))

        def read(connection: Connection, response: HTTPResponse) -> tuple[Connection, HTTPResponse]:
            return connection, response

        opened: tuple[Connection, HTTPResponse] = self._channel.attempt(
            "POST", f"{self._path}/read", headers, (body,), read, self._timeout, True
        )
        return opened

    # --- keeping and removing ---------------------------------------------------------------------------------------

    def delete(self, config: Any) -> None:
        """Have bytes removed that are in no commit, or, with all rights, any."""
        self.delete_many([config])

    def delete_many(self, configs: Sequence[Any]) -> None:
        """:meth:`delete` for each, in one request."""
        self._ask("delete", configs)

    def sync(self, configs: Sequence[Any]) -> list[bool]:
        """Have bytes put on the service's disk."""
        found: list[bool] = self._ask("sync", configs) if configs else []
        return found

    def _ask(self, verb: str, configs: Sequence[Any]) -> Any:
        return _ask(self._channel, f"{self._path}/{verb}", configs, self._timeout)

    def close(self) -> None:
        """Close the connections that are not in use; reading goes on working."""
        self._channel.rest()


class _HTTPWriter(Writer):
    """Bytes on their way over a connection of their own; the service keeps nothing unless it gets their end."""

    def __init__(self, channel: Channel, path: str, headers: list[tuple[str, str]], timeout: float) -> None:
        self._channel, self._path = channel, path
        self._headers, self._timeout = headers, timeout
        self._connection: Connection | None = None
        self._held: list[bytes] = []
        self._size = 0
        self._open = True
        self._process = os.getpid()

    def _check_open(self) -> None:
        if not self._open:
            raise ClosedError("this writer was committed or aborted before: begin another")
        if self._process != os.getpid():
            raise ClosedError("this writer belongs to the process that began it: begin another one in the fork")

    def write(self, data: Buffer) -> None:
        self._check_open()
        self._held.append(bytes(data) if len(data) < _HELD else data)  # type: ignore[arg-type]
        self._size += len(data)
        if self._size >= _HELD:
            self._flush(False)

    def commit(self, get_digest: GetDigest, *, sync: bool = False) -> Any:
        self._check_open()
        try:
            if self._connection is None:  # all of it is here
                headers = [*self._headers, *_SYNC] if sync else self._headers
                return _send(self._channel, self._path, headers, self._held, self._timeout)
            config = self._flush(True)
            if sync:
                _ask(self._channel, f"{self._path}/sync", [config], self._timeout)
            return config
        finally:
            self.abort()

    def _flush(self, last: bool) -> Any:
        """Send what is held, as one chunk of the body; at the ``last`` give the config."""
        if self._connection is None:
            lines = (*self._headers, ("Transfer-Encoding", "chunked"))
            self._connection = self._channel.attempt("PUT", self._path, lines, (), None, self._timeout, True)
        connection = self._connection
        try:
            if self._size:
                connection.send(b"%x\r\n" % self._size)
                for data in self._held:
                    connection.send(data)
                connection.send(b"\r\n")
            self._held, self._size = [], 0
            if last:
                connection.send(b"0\r\n\r\n")
                return self._answer(connection)
        except LOST as error:
            if isinstance(error, HoldfastError):
                raise
            raise self._why(error) from error
        return None

    def _answer(self, connection: Connection) -> Any:
        response = connection.response("PUT")
        self._connection = None
        if response.status >= 400:
            raise self._channel.error_of(connection, response)
        return _result(self._channel, connection, response)

    def _why(self, error: BaseException) -> HoldfastError:
        """What the service said before it took no more, if it said something."""
        connection = self._connection
        try:
            if connection is not None and not connection.is_alive():
                self._answer(connection)
        except LOST as lost:
            if isinstance(lost, HoldfastError):
                return lost
        return StoreError(
            f"the connection to {self._channel.shown} broke ({error!r}): nothing of this stream was stored"
        )

    def abort(self) -> None:
        """Let go of the connection, and so of what was sent; in a fork it is left to who began it."""
        self._open = False
        if self._process == os.getpid() and self._connection is not None:
            self._connection.close()
            self._connection = None


def _headers(tags: Mapping[str, str], content_type: str, encoding: str | None, sync: bool) -> list[tuple[str, str]]:
    """What the service is told of bytes."""
    headers = [("Content-Type", content_type)]
    if encoding is not None:
        headers.append(("Holdfast-Encoding", encoding))
    if tags:
        headers.append(("Holdfast-Tags", quote(json.dumps(dict(tags)), safe="")))
    return [*headers, *_SYNC] if sync else headers


def _text(config: Any) -> bytes:
    try:
        return json.dumps(config).encode()
    except (TypeError, ValueError, RecursionError):
        raise InvalidArgumentError(f"no service gave the config {config!r:.200}") from None


def _ask(channel: Channel, path: str, configs: Sequence[Any], timeout: float) -> Any:
    """What the service answers about bytes."""
    body = _text(list(configs))
    answer = channel.ask("POST", path, body, timeout=timeout, again=True, mime="application/json")
    return json.loads(answer.data) if answer.data else None


def _send(
    channel: Channel, path: str, headers: list[tuple[str, str]], buffers: Sequence[Buffer], timeout: float
) -> Any:
    """Send bytes that are in memory, again where the connection breaks, and give their config."""

    def read(connection: Connection, response: HTTPResponse) -> Any:
        return _result(channel, connection, response)

    lines = (*headers, ("Content-Length", str(sum(len(buffer) for buffer in buffers))))
    return channel.attempt("PUT", path, lines, buffers, read, timeout, True)


def _result(channel: Channel, connection: Connection, response: HTTPResponse) -> Any:
    try:
        config = json.loads(response.read())
    except (ValueError, RecursionError):
        raise StoreError(f"{channel.shown} gave no place for the bytes that it was sent") from None
    channel.give(connection, response)
    return config
