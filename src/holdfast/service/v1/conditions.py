"""Conditions of requests: ``If-Match``, ``If-None-Match`` and ``If-Range``; and ``Range``. Versions are strong tags."""

from __future__ import annotations

import re
from functools import partial
from typing import NamedTuple

from ...catalog.base import ABSENT
from ...errors import InvalidArgumentError, NotFoundError
from ..base import Exchange
from ..problems import Refusal

__all__ = ["Range", "expected_version", "has_it", "tag", "wanted_range"]

_TAGS = re.compile(r'\s*(?:\*|(?:W/)?"[^"]*"(?:\s*,\s*(?:W/)?"[^"]*")*)\s*')
_TAG = re.compile(r'(W/)?"([^"]*)"')
_VERSION = re.compile("[1-9][0-9]{0,18}")
_RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", re.IGNORECASE)


class Range(NamedTuple):
    """A part of a content: its first byte, and how many."""

    begin: int
    size: int


def tag(version: int) -> bytes:
    """The entity tag of a version."""
    return b'"%d"' % version


def _tags(exchange: Exchange, name: bytes, *, weak: bool) -> list[str] | None:
    """The tags of a header field, ``["*"]`` for any; None where it is not there.

    Raises:
        InvalidArgumentError: it is malformed.
    """
    text = exchange.header(name)
    if text is None:
        return None
    if not _TAGS.fullmatch(text):
        raise InvalidArgumentError(f'{name.decode()} is * or quoted versions, as in "12", not {text!r:.100}')
    if text.strip() == "*":
        return ["*"]
    return [value for mark, value in _TAG.findall(text) if weak or not mark]


def _holds(wanted: list[str] | None, unwanted: list[str] | None, version: int) -> bool:
    """Whether the conditions of a write hold for what is there; :data:`ABSENT` for nothing."""
    there = set() if version == ABSENT else {"*", str(version)}
    return (wanted is None or not there.isdisjoint(wanted)) and (unwanted is None or there.isdisjoint(unwanted))


def has_it(exchange: Exchange, version: int) -> bool:
    """Whether the client has this version already, by ``If-None-Match``.

    Raises:
        Refusal: 412, ``If-Match`` names others.
    """
    if not exchange.conditional:
        return False
    if not _holds(_tags(exchange, b"if-match", weak=False), None, version):
        raise _changed(version)
    return not _holds(None, _tags(exchange, b"if-none-match", weak=True), version)


async def expected_version(exchange: Exchange, *, missing_ok: bool = True) -> int | None:
    """The version that a write expects of the record that the route names; None for any, :data:`ABSENT` for none.

    If the headers do not name exactly one version, the current one is looked up, checked against them and returned.
    Without ``missing_ok`` no record is an error, whatever is expected.

    Raises:
        Refusal: 412, it does not.
        NotFoundError: there is none.
    """
    if not exchange.conditional:
        return None
    wanted = _tags(exchange, b"if-match", weak=False)
    unwanted = _tags(exchange, b"if-none-match", weak=True)
    if wanted is None and unwanted == ["*"] and missing_ok:
        return ABSENT
    if wanted is not None and unwanted is None and len(wanted) == 1 and _VERSION.fullmatch(wanted[0]):
        return min(int(wanted[0]), (1 << 63) - 1)
    assert exchange.key is not None
    try:
        record = await exchange.service.driver.look(partial(exchange.scope.record, exchange.key))
        version = record.version
    except NotFoundError:
        if not missing_ok:
            raise
        version = ABSENT
    if not _holds(wanted, unwanted, version):
        raise _changed(version)
    return version


def _changed(version: int) -> Refusal:
    there = "there is none" if version == ABSENT else f"it is at version {version}"
    return Refusal(412, "conflict", f"the condition of this request does not hold: {there}")


def wanted_range(exchange: Exchange, version: int, size: int) -> Range | None:
    """The part of a content of that size that is asked for; None for all of it, and for what is no single range.

    Raises:
        Refusal: 416, there is no byte of it.
    """
    text = exchange.header(b"range") if exchange.method == "GET" else None
    match = None if text is None else _RANGE.fullmatch(text)
    condition = exchange.headers.get(b"if-range")
    if match is None or (condition is not None and condition.strip() != tag(version)):
        return None
    first, last = match[1], match[2]
    if not first and not last:
        return None
    if first and last and int(last) < int(first):
        return None
    begin = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if begin >= end:
        told = f"the range {text!r:.100} has no byte of the {size} that there are"
        raise Refusal(416, "range", told, [(b"content-range", b"bytes */%d" % size)])
    return Range(begin, end - begin)
