"""What requests say: their JSON bodies, query parameters and paths, each checked and told of as Direktiv does."""

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
from ..room import FREE
from .problems import Problem, invalid

__all__ = ["FileChange", "Mirror", "NewFile", "NewNamespace", "NewVariable", "VariableChange"]
__all__ += ["clean", "decode", "is_name", "parse_uuid", "query", "read"]

T = TypeVar("T")

_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_.-]*[a-zA-Z0-9]|[a-zA-Z]")
_HEX = "[0-9a-fA-F]"
_PLAIN = f"{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}"
_UUID = re.compile(rf"(?:urn:uuid:)?{_PLAIN}|\{{{_PLAIN}\}}|{_HEX}{{32}}", re.IGNORECASE)
_LONGEST = 512
_PART = 1 << 19  # characters that are decoded at once: no other thread goes on meanwhile


class NewVariable(msgspec.Struct, rename="camel"):
    """A variable to be made; ``data`` is base64."""

    name: str | None = None
    mime_type: str | None = None
    data: str | None = None
    instance_id: str | None = None
    workflow_path: str | None = None


class VariableChange(msgspec.Struct, rename="camel"):
    """What of a variable is to be another; None stays."""

    name: str | None = None
    mime_type: str | None = None
    data: str | None = None


class NewFile(msgspec.Struct, rename="camel"):
    """A file or a directory to be made."""

    name: str | None = None
    type: str | None = None
    mime_type: str | None = None
    data: str | None = None


class FileChange(msgspec.Struct, rename="camel"):
    """What of a file is to be another; nothing and empty text stay."""

    path: str | None = None
    data: str | None = None


class Mirror(msgspec.Struct, rename="camel"):
    """Where a namespace is mirrored from; what else is sent, such as secrets, is not even read."""

    url: str | None = None
    git_ref: str | None = None
    auth_type: str | None = None
    public_key: str | None = None
    insecure: bool | None = None


class NewNamespace(msgspec.Struct, rename="camel"):
    """A namespace to be made."""

    name: str | None = None
    mirror: Mirror | None = None


async def read(exchange: Exchange, kind: type[T]) -> T:
    """The body of a request, whatever type it says it has.

    Raises:
        Problem: it is no JSON, or a field has another type.
    """
    body = await exchange.body()
    return await _aside(exchange, len(body), partial(_parse, body, kind))


async def _aside(exchange: Exchange, size: int, work: Callable[[], T]) -> T:
    """Do it here with few bytes, and with many in a thread, as others would wait."""
    return await exchange.service.driver.away(work) if size > FREE else work()


def _parse(body: bytes, kind: type[T]) -> T:
    """A body as what it should be; ``null`` is one without fields."""
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
    """Bytes that came as base64, in which line ends do not count.

    Raises:
        Problem: it is none; told as ``wrong`` data, by default as a body that is no JSON.
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


def is_name(text: str | None) -> bool:
    """Whether this can be the name of a variable."""
    return text is not None and len(text) <= _LONGEST and _NAME.fullmatch(text) is not None


def parse_uuid(text: str, wrong: str) -> str:
    """A UUID in its usual form.

    Raises:
        Problem: it is none; told as ``wrong``.
    """
    if not _UUID.fullmatch(text):
        raise invalid(wrong)
    return str(UUID(text))


def clean(path: str) -> str:
    """A path without ``.``, ``..``, and slashes that mean nothing."""
    cleaned = normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def query(exchange: Exchange, name: str) -> str:
    """A parameter of the query, the first of several, empty for none."""
    return exchange.query.get(name, [""])[0]
