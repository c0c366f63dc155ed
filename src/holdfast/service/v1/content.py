"""The bytes of a record as the body of an answer: found, checked, and sent in pieces by constant memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

from ...address import Path, format_address
from ...catalog.base import HEAD, EntryRow, ValueRow
from ...contents import one_of
from ...errors import IntegrityError, ValueLost
from ...hashing import SHA256, check_digest
from ...kernel import Kernel
from ...layout import packed_size, read_config
from ...model import STORABLE, Codec
from ...reading import chunks, locate, open_bytes
from ...storages.base import MappedStorage
from ..answer import Answer
from ..base import Exchange, Service
from .conditions import Range, has_it, wanted_range
from .fields import record_fields

__all__ = ["Found", "content_answer"]

_PIECE = 1 << 18  # bytes of a file that are read at once: at most three such pieces are in memory
_BRIEF = 1 << 16  # bytes that are hashed in the loop


class Found(NamedTuple):
    """A record that was asked for."""

    row: EntryRow
    codec: Codec


_Look = Callable[[], Found]


async def content_answer(exchange: Exchange, look: _Look, content: str | None = None) -> Answer:
    """The bytes of the record that ``look`` finds, or of this content of an object, as GET and HEAD give them.

    Raises:
        NotFoundError: there is none.
        Refusal: 412 or 416.
        InvalidArgumentError: it is an object, and no content is named.
    """
    service = exchange.service
    found = await service.driver.look(look)
    while True:
        row, codec = found
        version, data = row[2], row[HEAD + 9]
        fields = record_fields(row, codec)
        if has_it(exchange, version):
            return Answer(304, [field for field in fields if field[0] != b"content-type"])
        if data is not None and codec.encoding is None and codec.serializer != STORABLE and content is None:
            if isinstance(data, int):
                data = str(data).encode()
            elif len(data) > _BRIEF:
                await service.driver.away(partial(_check, exchange.path, row))
            else:
                _check(exchange.path, row)
            part = wanted_range(exchange, version, len(data))
            if part is None:
                return Answer(200, fields, data)
            body = data[part.begin : part.begin + part.size]
            return Answer(206, [*fields, _content_range(part, len(data))], body)
        try:
            return await _streamed(exchange, found, content, fields)
        except ValueLost:  # replaced or deleted, and collected, between the row and its bytes?
            again = await service.driver.look(look)
            if again == found:
                raise
            found = again


def _check(path: Path, row: EntryRow) -> None:
    """Refuse bytes in the catalog that are not those that were put."""
    algorithm, digest, data = row[HEAD + 3], row[HEAD + 4], row[HEAD + 9]
    if algorithm != SHA256 or sha256(data).digest() != digest:
        check_digest(algorithm, digest, [data], format_address(path, row[0]))


async def _streamed(exchange: Exchange, found: Found, content: str | None, fields: list[tuple[bytes, bytes]]) -> Answer:
    service, row = exchange.service, found.row
    place = (service.kernel, exchange.path, row[0])
    value, size, codec = await service.driver.away(partial(_content, *place, row[HEAD:], content))
    part = wanted_range(exchange, row[2], size)
    if content is not None:
        kept = [
            field for field in fields if field[0] not in (b"content-type", b"holdfast-digest", b"holdfast-serializer")
        ]
        fields = [(b"content-type", codec.content_type.encode()), *kept]
    length = size if part is None else part.size
    fields = [*fields, (b"content-length", b"%d" % length)]
    if exchange.method == "HEAD":
        return Answer(200, fields, None)
    if isinstance(value.data, bytes):
        exchange.hold(len(value.data))
    read, close = await service.driver.away(partial(_reader, *place, value, part))
    body = _pieces(service, read, close, length)
    if part is None:
        return Answer(200, fields, body)
    return Answer(206, [*fields, _content_range(part, size)], body)


def _content_range(part: Range, size: int) -> tuple[bytes, bytes]:
    return b"content-range", b"bytes %d-%d/%d" % (part.begin, part.begin + part.size - 1, size)


def _content(
    kernel: Kernel, path: Path, key: str, row: tuple[Any, ...], content: str | None
) -> tuple[ValueRow, int, Codec]:
    """The row of a content, how many bytes it gives, and what they are."""
    value = ValueRow._make(one_of(kernel, kernel.catalog, path, key, row, content))
    where, size = format_address(path, key), value.size
    if isinstance(value.data, int):
        size = len(str(value.data))
    unpacked = packed_size(read_config(value.config, where), where)
    return value, size if unpacked is None else unpacked, kernel.catalog.codec(value.codec)


def _reader(
    kernel: Kernel, path: Path, key: str, value: ValueRow, part: Range | None
) -> tuple[Callable[[], bytes], Callable[[], object]]:
    """What gives the next piece of the bytes, empty at the end, and what to call then.

    A local file that is known to be the one that was written is read as it is. All else is hashed on the way, and at
    the end raises what is wrong with it.
    """
    where = format_address(path, key)
    packed = packed_size(read_config(value.config, where), where) is not None
    local = value.data is None and not packed and isinstance(locate(kernel, where, value)[0], MappedStorage)
    if not local and part is None:
        pieces = chunks(kernel, path, key, value)
        first = [next(pieces, b"")]  # it is open now: it can be read to its end, deleted or not
        return lambda: first.pop() if first else next(pieces, b""), getattr(pieces, "close", lambda: None)
    file = open_bytes(kernel, path, key, value)
    left = value.size if part is None else part.size
    if part is not None:
        file.seek(part.begin)

    def read() -> bytes:
        nonlocal left
        piece: bytes = file.read(min(left, _PIECE)) or b""
        left -= len(piece)
        if not piece and left:
            raise IntegrityError(f"the file of {where} ended {left} bytes too early")
        return piece

    return read, file.close


async def _pieces(
    service: Service, read: Callable[[], bytes], close: Callable[[], object], length: int
) -> AsyncIterator[bytes]:
    """Yield one piece behind the reader, so that the last is sent only after the digest was checked."""
    driver = service.driver
    following = asyncio.ensure_future(driver.away(read))
    try:
        held = await following
        while held:
            following = asyncio.ensure_future(driver.away(read))
            piece = held
            if length > len(piece):
                yield piece
                held = await following
            else:
                held = await following
                yield piece
            length -= len(piece)
    finally:
        following.cancel()
        await asyncio.wait([following])
        await driver.away(close, must=True)
