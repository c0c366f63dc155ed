"""``/v1/catalog`` and ``/v1/bytes``: what the Python client asks, under which it runs the unchanged kernel.

Nothing here unpickles, and the store's signing key is not among the calls.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from ...catalog import wire
from ...errors import AccessError, HoldfastError, InvalidArgumentError
from ...storages.base import OCTETS, MappedStorage
from ...tokens import Access
from ..answer import JSON, Answer
from ..base import Exchange, Service
from ..problems import Refusal, status_of
from ..problems import answer_of as service_answer
from ..routing import ANY, Parameter, Route, Verb
from .calls import SharedState, TokenCatalog, is_whole, parsed
from .seals import Fresh
from .uploads import Upload

__all__ = ["PREFIXES", "ROUTES", "Download", "Remote", "answer_of", "catalog_call", "delete", "read", "sync", "take"]

PREFIXES = (b"/v1/catalog/", b"/v1/bytes/")
"""How the paths of these routes begin."""

_BRIEF = 1 << 16  # bytes of a call that is made in the loop
_FEW, _ROWS = 20, 200  # changes of a commit that is, and rows of a page
_PAGES, _UNBOUND = ("keys", "search", "children", "past_keys"), ("members", "past")
_CHANGE = 1000  # bytes that a change takes in memory besides those that came
_PIECE = 1 << 20  # bytes of an upload that are written at once
_CALL, _ROW = 1 << 20, 300 << 20  # bytes of a call at most, and of one that has values
_WITH_VALUES = ("put", "replace", "commit")
_SETTLED = ("commit", "add", "drop_scope")  # changes that depend on which records there are, besides all that reads
_MESSAGE = (b"content-type", wire.MIME.encode())
_SPAN = re.compile(r"bytes=(\d{1,18})-(\d{0,18})", re.ASCII)


class Download(NamedTuple):
    """Bytes on their way out; their size and that of all, where they are known before."""

    pieces: AsyncIterator[bytes]
    size: int | None
    whole: int | None


class Remote:
    """The service's half of the client, over one store."""

    def __init__(self, service: Service) -> None:
        self.kernel, self.driver = service.kernel, service.driver
        self.shared = SharedState(service.kernel)
        self._wrote = service.wrote

    # --- calls ------------------------------------------------------------------------------------------------------

    async def call(self, exchange: Exchange, name: str, body: bytes) -> tuple[bytes, float]:
        """Make one call, and give its result as it crosses, with the catalog's time after it. The request is told the
        scope, where there is one.

        Raises:
            HoldfastError: what the catalog raises; AccessError where the token does not allow it.
        """
        call = wire.CALLS.get(name)
        if call is None:
            raise InvalidArgumentError(f"there is no call {name[:40]!r}")

        def read() -> tuple[Any, ...]:
            found: tuple[Any, ...] = wire.decode(name, body)
            if name == "commit":
                exchange.hold(_CHANGE * len(found[0]))
            return found

        arguments = await self.driver.away(read) if len(body) > _BRIEF else read()
        catalog = TokenCatalog(self.shared, exchange.access)
        if call.needs not in ("any", "store"):
            exchange.path = arguments[0]
        elif name == "commit" and len(arguments[1]) == 1:
            exchange.path = arguments[1][0][0]
        catalog.check(call, arguments)
        work = getattr(catalog, name, None)

        def verb() -> tuple[bytes, float]:
            if call.needs == "read" or name in _SETTLED:
                self.kernel.sessions.settle()
            found = work(*arguments) if work else getattr(self.kernel.catalog, name)(*arguments)
            return wire.encode(found), self.kernel.catalog.now()

        if len(body) > _BRIEF or call.needs == "store" or _is_long(name, arguments) or not self.kernel.catalog.prompt:
            result = await self.driver.away(verb)
        else:
            result = await (self.driver.look(verb) if call.again else self.driver.brief(verb))
        for path in catalog.wrote:
            self._wrote(path)
        return result

    # --- bytes ------------------------------------------------------------------------------------------------------

    def _storage(self, access: Access, number: int, verb: str) -> None:
        if verb not in access.verbs:
            raise AccessError(f"{access.opens}: not to {verb}")
        if not self.shared.serves(number):
            raise InvalidArgumentError(f"the service does not serve storage {number}")

    async def upload(
        self, access: Access, number: int, chunks: AsyncIterator[bytes], headers: Mapping[str, str], size: int | None
    ) -> bytes:
        """Take bytes into a storage, and give the config with which they can be committed, as JSON. What ends early
        leaves nothing."""
        self._storage(access, number, "write")
        self.shared.uploads.check_room(access)
        sync = headers.get("holdfast-sync") == "1"
        told = (headers.get("content-type", OCTETS), headers.get("holdfast-encoding"))
        tags = _tags(headers.get("holdfast-tags"))
        away = self.driver.away
        upload = await away(lambda: Upload(self.shared.uploads, number, tags, size, *told))
        try:
            held: list[bytes] = []
            waiting = 0
            async for chunk in chunks:
                held.append(chunk)
                waiting += len(chunk)
                if waiting >= _PIECE:
                    data, held, waiting = b"".join(held), [], 0
                    await away(lambda data=data: upload.write(data))  # type: ignore[misc]

            def finish() -> Any:
                upload.write(b"".join(held))
                return upload.commit(sync, access)

            return json.dumps(await away(finish)).encode()
        finally:
            upload.abort()

    async def download(self, access: Access, number: int, body: bytes, offset: int, end: int | None) -> Download:
        """The bytes of a config that the service gave, from ``offset`` to before ``end``.

        Raises:
            ValueLost: they are gone.
        """
        self._storage(access, number, "read")
        place = self._place(number, parsed(body))
        storage = self.kernel.storage_of(number)
        length = None if end is None else max(0, end - offset)

        def begin() -> tuple[Iterator[bytes], bytes, int | None]:
            found = storage.identity(place) if isinstance(storage, MappedStorage) else None
            pieces = iter(storage.read_stream(place, offset, length))
            return pieces, next(pieces, b""), None if found is None else found.size

        pieces, first, whole = await self.driver.away(begin)
        size = None if whole is None else max(0, min(whole, whole if end is None else end) - offset)
        return Download(self._pieces(pieces, first), size, whole)

    async def _pieces(self, pieces: Iterator[bytes], piece: bytes) -> AsyncIterator[bytes]:
        try:
            while piece:
                yield piece
                piece = await self.driver.away(lambda: next(pieces, b""))
        finally:
            if hasattr(pieces, "close"):
                pieces.close()

    def _place(self, number: int, config: Any) -> Any:
        found = self.shared.seals.open(number, config)
        return json.loads(found.place if isinstance(found, Fresh) else found)

    async def delete(self, access: Access, number: int, body: bytes) -> None:
        """Delete uploads that are not to be committed; whose token opens all may delete any bytes."""
        self._storage(access, number, "write")
        found = [self.shared.seals.open(number, config) for config in _configs(body)]
        if any(isinstance(one, str) for one in found) and not is_whole(access):
            raise AccessError("bytes of records are deleted by gc, whose token opens the whole store")

        def work() -> None:
            for one in found:
                if isinstance(one, Fresh):
                    self.shared.uploads.delete(number, one)
            others = [json.loads(one) for one in found if isinstance(one, str)]
            self.kernel.storage_of(number).delete_many(others)

        await self.driver.away(work)

    async def sync(self, access: Access, number: int, body: bytes) -> bytes:
        """Put bytes on disk; for each config, whether they are there, as JSON."""
        self._storage(access, number, "write")
        found = [self.shared.seals.open(number, config) for config in _configs(body)]

        def work() -> list[bool]:
            storage = self.kernel.storage_of(number)
            there = storage.sync([json.loads(one.place if isinstance(one, Fresh) else one) for one in found])
            for one, is_there in zip(found, there, strict=True):
                if isinstance(one, Fresh) and is_there:
                    self.shared.uploads.synced(number, one)
            return there

        return json.dumps(await self.driver.away(work)).encode()

    def close(self) -> None:
        """Called when the store is closed: what nobody committed is left to the collector."""


def _is_long(name: str, arguments: tuple[Any, ...]) -> bool:
    """Whether a call of few bytes would keep the loop for long."""
    if name in _UNBOUND or (name in _PAGES and arguments[-1] > _ROWS):
        return True
    power = not wire.CALLS[name].again and arguments[-1] is True  # of those that have it, it comes last
    return power or (name == "commit" and len(arguments[0]) > _FEW)


def _configs(body: bytes) -> list[Any]:
    configs = parsed(body)
    if not isinstance(configs, list):
        raise InvalidArgumentError("places come as a JSON array")
    return configs


def _tags(text: str | None) -> dict[str, str]:
    tags = {} if text is None else parsed(unquote(text))
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise InvalidArgumentError("tags are a JSON object of strings, percent-encoded")
    return tags


# --- handlers ---------------------------------------------------------------------------------------------------------


def _remote(exchange: Exchange) -> Remote:
    """The one of a service."""
    companions = exchange.service.kernel.companions
    found: Remote | None = companions.get(Remote)
    return found or companions.setdefault(Remote, Remote(exchange.service))


def answer_of(error: Exception, request_id: str, *, conditional: bool = False) -> Answer:
    """The answer that tells of an error, in MessagePack where it is the store's."""
    if isinstance(error, HoldfastError):
        return Answer(status_of(error), [_MESSAGE], wire.encode_error(error))
    return service_answer(error, request_id, conditional=conditional)


async def catalog_call(exchange: Exchange) -> Answer:
    """One call of the catalog."""
    name = exchange.parameters["call"]
    most = min(_ROW if name in _WITH_VALUES else _CALL, exchange.service.limits.body)
    result, now = await _remote(exchange).call(exchange, name, await exchange.body(most))
    if wire.CALLS[name].again:  # what was written is told in any case
        exchange.hold(len(result))
    return Answer(200, [_MESSAGE, (b"holdfast-now", repr(now).encode())], result)


def _number(exchange: Exchange) -> int:
    text = exchange.parameters["storage"]
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise InvalidArgumentError(f"a storage is named by its number, not {text[:40]!r}")
    return int(text)


async def take(exchange: Exchange) -> Answer:
    """Take bytes into a storage."""
    most = exchange.service.limits.body
    size = exchange.length(most)
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in exchange.headers.items()}
    made = await _remote(exchange).upload(exchange.access, _number(exchange), exchange.pieces(most), headers, size)
    return Answer(201, [JSON], made)


async def read(exchange: Exchange) -> Answer:
    """The bytes of a place that the service gave, or a span of them."""
    text = exchange.header(b"range")
    match = _SPAN.fullmatch("bytes=0-" if text is None else text)
    if match is None:
        raise InvalidArgumentError(f"a range is as in bytes=0-99, not {text!r:.80}")
    begin, end = int(match[1]), int(match[2]) + 1 if match[2] else None
    body = await exchange.body(_CALL)
    found = await _remote(exchange).download(exchange.access, _number(exchange), body, begin, end)
    headers = [(b"content-type", OCTETS.encode())]
    whole = "*" if found.whole is None else str(found.whole)
    if found.size is not None:
        if begin >= (found.whole or 0) and text is not None:
            raise Refusal(416, "range", f"there are {whole} bytes", [(b"content-range", f"bytes */{whole}".encode())])
        headers.append((b"content-length", b"%d" % found.size))
        if text is not None:
            headers.append((b"content-range", f"bytes {begin}-{begin + found.size - 1}/{whole}".encode()))
    return Answer(200 if text is None else 206, headers, found.pieces)


async def delete(exchange: Exchange) -> Answer:
    """Delete bytes."""
    await _remote(exchange).delete(exchange.access, _number(exchange), await exchange.body(_CALL))
    return Answer(204, [])


async def sync(exchange: Exchange) -> Answer:
    """Put bytes on disk."""
    made = await _remote(exchange).sync(exchange.access, _number(exchange), await exchange.body(_CALL))
    return Answer(200, [JSON], made)


# --- routes -----------------------------------------------------------------------------------------------------------

_MSGPACK, _JSON = wire.MIME, "application/json"
_CALLED = {200: "the result", 404: "not there", 409: "a conflict", 422: "not registered", 507: "no space is left"}
_RANGE = Parameter("Range", "one range of bytes", place="header")
_TOLD = (
    Parameter("Holdfast-Tags", "tags as a JSON object of strings, percent-encoded", place="header"),
    Parameter("Holdfast-Encoding", "the content encoding", place="header"),
    Parameter("Holdfast-Sync", "1: on disk at once", place="header"),
)

ROUTES: tuple[Route, ...] = (
    Route("/v1/catalog/{call}", {
        "POST": Verb(
            catalog_call, "One call of the Python client, of its own version alone.", ANY, _CALLED, body=_MSGPACK,
            gives=_MSGPACK,
        ),
    }),
    Route("/v1/bytes/{storage}", {
        "PUT": Verb(
            take, "Bytes that the Python client is to commit.", ANY, {**_CALLED, 201: "their place, sealed"}, _TOLD,
            "*/*",
        ),
    }),
    Route("/v1/bytes/{storage}/read", {
        "POST": Verb(
            read, "The bytes of a sealed place, for the Python client.", ANY,
            {**_CALLED, 206: "the part that was asked for", 416: "no byte in this range"}, (_RANGE,), _JSON, OCTETS,
        ),
    }),
    Route("/v1/bytes/{storage}/delete", {
        "POST": Verb(delete, "Delete what is not to be committed.", ANY, {**_CALLED, 204: "done"}, body=_JSON),
    }),
    Route("/v1/bytes/{storage}/sync", {"POST": Verb(sync, "Put sealed places on disk.", ANY, _CALLED, body=_JSON)}),
)  # fmt: skip
"""The routes of the Python client, which :mod:`holdfast.service.routes` has among its own."""
