"""The bodies of answers, in the form that Direktiv gives them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, Final

from ...model import from_epoch
from ..answer import JSON, Answer, as_json, json_answer
from ..base import Exchange, Service
from .problems import Problem

__all__ = ["DONE", "answer_with", "base64", "data_answer", "page_answer", "stamp", "too_large"]

_PART = 3 << 17  # bytes that are encoded at once: no other thread goes on meanwhile
_PIECE = 1 << 18  # bytes of a page that are made at once

DONE: Final = Answer(200, [JSON])
"""200 with an empty body."""


def data_answer(data: Any) -> Answer:
    """The answer with this as its ``data``."""
    return json_answer(200, {"data": data})


async def answer_with(exchange: Exchange, work: Callable[[], Any]) -> Answer:
    """The answer with what ``work`` gives; a thread does the work and makes the JSON, which may be long."""
    return await exchange.service.driver.away(lambda: data_answer(work()))


async def page_answer(exchange: Exchange, begin: Callable[[], tuple[Mapping[str, Any], Iterator[Any]]]) -> Answer:
    """The answer with the ``meta`` and the items of a page, which ``begin`` gives.

    A thread makes it, piece by piece while it is sent where it is long: a page may be larger than memory.
    """
    service = exchange.service

    def make() -> tuple[bytes, bytes | None, Iterator[bytes]]:
        pieces = _pieces(*begin())
        return next(pieces), next(pieces, None), pieces

    first, second, more = await service.driver.away(make)
    return Answer(200, [JSON], first if second is None else service.streamed(chain((first, second), more)))


def _pieces(meta: Mapping[str, Any], items: Iterator[Any]) -> Iterator[bytes]:
    made = bytearray(b'{"meta":%s,"data":[' % as_json(meta))
    for number, item in enumerate(items):
        made += b"," if number else b""
        made += as_json(item)
        if len(made) >= _PIECE:
            yield bytes(made)
            made.clear()
    yield bytes(made + b"]}")


def base64(data: bytes) -> str:
    """Bytes in base64, as JSON has them."""
    return "".join(b64encode(data[n : n + _PART]).decode() for n in range(0, len(data), _PART))


def stamp(seconds: float) -> str:
    """Seconds since 1970 as text: RFC 3339 in UTC."""
    when = from_epoch(seconds)
    assert when is not None
    return f"{when.isoformat(timespec='microseconds')[:-6]}Z"


def too_large(service: Service) -> Problem:
    """The error of a value with more bytes than are put into JSON."""
    told = f"data of more than {service.limits.json} bytes is not given as json: read its bytes"
    return Problem("resource_too_large", told)
