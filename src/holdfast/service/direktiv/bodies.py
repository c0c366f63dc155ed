"""What requests say: their JSON bodies, query parameters and paths, each checked and told of as Direktiv does."""

from __future__ import annotations

import re
from binascii import a2b_base64
from posixpath import normpath
from typing import TypeVar
from uuid import UUID

import msgspec

from ..base import Exchange
from .problems import Problem, invalid

__all__ = ["FileChange", "Mirror", "NewFile", "NewNamespace", "NewVariable", "VariableChange"]
__all__ += ["clean", "decoded_data", "is_name", "parse", "parse_uuid", "query", "read"]

T = TypeVar("T")

_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_.-]*[a-zA-Z0-9]|[a-zA-Z]")
_HEX = "[0-9a-fA-F]"
_PLAIN = f"{_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}"
_UUID = re.compile(rf"(?:urn:uuid:)?{_PLAIN}|\{{{_PLAIN}\}}|{_HEX}{{32}}", re.IGNORECASE)
_LONGEST = 512


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
    return parse(await exchange.body(), kind)


def parse(body: bytes, kind: type[T]) -> T:
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


def decoded_data(text: str, wrong: str | None = None) -> bytes:
    """Bytes that came as base64, in which line ends do not count.

    Raises:
        Problem: it is none; told as ``wrong`` data, by default as a body that is no JSON.
    """
    text = text.translate({10: None, 13: None})
    try:
        if len(text) % 4 == 0:  # strict mode takes one = too many
            return a2b_base64(text, strict_mode=True)
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
