"""JSON bodies, query parameters and paths of requests, checked as Direktiv does and refused in its words."""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Callable
from functools import partial
from posixpath import normpath
from typing import TypeVar
from uuid import UUID

import msgspec

from ..base import Exchange
from ..budget import FREE
from .problems import Problem, invalid

__all__ = ["FileChange", "InstanceChange", "Mirror", "NewFile", "NewNamespace", "NewVariable", "VariableChange"]
__all__ += ["clean", "decode", "number", "parse_uuid", "query", "read"]

T = TypeVar("T")

_HEX = "[0-9a-fA-F]"
_PLAIN = f"{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}"
_UUID = re.compile(rf"(?:urn:uuid:)?{_PLAIN}|\{{{_PLAIN}\}}|{_HEX}{{32}}", re.IGNORECASE)
_PART = 1 << 19  # characters that are decoded at once: no other thread goes on meanwhile


class NewVariable(msgspec.Struct, rename="camel"):
    """The body of a request that makes a variable; ``data`` is base64."""

    name: str | None = None
    mime_type: str | None = None
    data: str | None = None
    instance_id: str | None = None
    workflow_path: str | None = None


class VariableChange(msgspec.Struct, rename="camel"):
    """The body of a request that changes a variable: a field that is None is left as it is."""

    name: str | None = None
    mime_type: str | None = None
    data: str | None = None


class NewFile(msgspec.Struct, rename="camel"):
    """The body of a request that makes a file or a directory."""

    name: str | None = None
    type: str | None = None
    mime_type: str | None = None
    data: str | None = None


class FileChange(msgspec.Struct, rename="camel"):
    """The body of a request that changes a file: a field that is None or empty is left as it is."""

    path: str | None = None
    data: str | None = None


class InstanceChange(msgspec.Struct, rename="camel"):
    """The body of a request that changes an instance of a flow: the status that it is to have."""

    status: str | None = None


class Mirror(msgspec.Struct, rename="camel"):
    """The repository that a namespace mirrors; other fields that a client sends, such as secrets, are ignored."""

    url: str | None = None
    git_ref: str | None = None
    auth_type: str | None = None
    public_key: str | None = None
    insecure: bool | None = None


class NewNamespace(msgspec.Struct, rename="camel"):
    """The body of a request that makes a namespace."""

    name: str | None = None
    mirror: Mirror | None = None


async def read(exchange: Exchange, kind: type[T]) -> T:
    """The JSON body of a request, whatever its Content-Type is.

    Raises:
        Problem: the body is no JSON, or a field has the wrong type.
    """
    body = await exchange.body()
    return await _aside(exchange, len(body), partial(_parse, body, kind))


async def _aside(exchange: Exchange, size: int, work: Callable[[], T]) -> T:
    """Call ``work`` in a thread when it has so many bytes to go through that other requests would wait, else here."""
    return await exchange.service.driver.away(work) if size > FREE else work()


def _parse(body: bytes, kind: type[T]) -> T:
    """Parse a body; ``null`` counts as an object without fields."""
    try:
        text = body.decode()
        return msgspec.json.decode(text, type=kind | None) or kind()
    except msgspec.ValidationError:
        wrong = Problem("request_body_bad_json_schema", "request payload has bad json schema")
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise _not_json() from None
    try:
        msgspec.json.decode(text)  # to its end: what is no JSON has not even a wrong type
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise _not_json() from None
    raise wrong


def _not_json() -> Problem:
    return Problem("request_body_not_json", "couldn't parse request payload in json format")


async def decode(exchange: Exchange, text: str, wrong: str | None = None) -> bytes:
    """Decode base64, ignoring line ends.

    Raises:
        Problem: it is no base64; its message is ``wrong``, by default that of a body that is no JSON.
    """
    return await _aside(exchange, len(text), partial(_decode, text, wrong))


def _decode(text: str, wrong: str | None) -> bytes:
    text = text.replace("\n", "").replace("\r", "")
    try:
        if len(text) % 4 == 0:  # strict mode takes one = too many
            parts = [a2b_base64(text[n : n + _PART], strict_mode=True) for n in range(0, len(text), _PART)]
            if all(len(part) == _PART // 4 * 3 for part in parts[:-1]):  # no = but in the last
                return b"".join(parts)
    except ValueError:
        pass
    raise _not_json() if wrong is None else invalid(wrong)


def parse_uuid(text: str, wrong: str) -> str:
    """A UUID in lower case with hyphens.

    Raises:
        Problem: it is no UUID; its message is ``wrong``.
    """
    if not _UUID.fullmatch(text):
        raise invalid(wrong)
    return str(UUID(text))


def clean(path: str) -> str:
    """A path with ``.``, ``..`` and doubled slashes resolved."""
    cleaned = normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def query(exchange: Exchange, name: str) -> str:
    """A query parameter: the first one if it is given several times, empty text if it is missing."""
    return exchange.query.get(name, [""])[0]


def number(exchange: Exchange, name: str) -> int | None:
    """A query parameter that is a whole number from 0 on; None if it is missing.

    Raises:
        Problem: it is no such number.
    """
    text = query(exchange, name)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise invalid(f"query param {name} invalid number")
    return int(text)
