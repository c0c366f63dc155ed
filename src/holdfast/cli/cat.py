"""``holdfast cat``: bytes, or a value as text, to stdout."""

from __future__ import annotations

import base64
import codecs
import json
import math
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from ..api import Scope
from ..errors import InvalidArgumentError
from .arguments import AddressArgument, ContentOption, JsonOption, StoreOption, open_store, parse_record, size_of
from .printing import document, record_json
from .progress import progress
from .wording import shown

__all__ = ["cat"]

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def cat(
    address: AddressArgument,
    value: Annotated[bool, typer.Option("--value", help="The value as text: a str as it is, data as JSON.")] = False,
    as_repr: Annotated[bool, typer.Option("--repr", help="The value as Python shows it.")] = False,
    content: ContentOption = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Write binary data to a terminal.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a record's bytes to stdout, raw, or its value as text.

    A pickled value is only loaded when it was signed by this store. Of an object with several contents, --content says
    which one's bytes.

    \b
    Examples:
      holdfast cat namespace:prod/dump.sql | head -1
      holdfast cat namespace:prod/run --content notes
      holdfast cat --value namespace:prod/limits
    """
    with open_store(store) as opened:
        scope, key = parse_record(opened, address)
        if content is not None and (as_json or as_repr or value):
            raise InvalidArgumentError("--content is for bytes: leave --json, --repr and --value away")
        if as_json:
            entry = scope.entry(key)
            shown_value = _file_json(entry.value) if entry.record.serializer is None else {"value": _plain(entry.value)}
            document({**record_json(entry.record), **shown_value})
        elif as_repr:
            print(_fit(repr(scope.get(key))))
        elif value:
            print(_fit(_text(scope.get(key))))
        else:
            _copy(scope, key, content, force)


def _copy(scope: Scope, key: str, content: str | None, force: bool) -> None:
    terminal = sys.stdout.isatty()
    size = size_of(scope.record(key), content)
    sys.stdout.flush()
    with progress(key, 0 if terminal else size) as tell:
        pieces = scope.get_chunks(key, content=content)
        for piece in _only_text(pieces, f"{scope}/{key}") if terminal and not force else pieces:
            sys.stdout.buffer.write(piece)
            tell(len(piece))
        sys.stdout.buffer.flush()


def _only_text(pieces: Iterator[bytes], where: str) -> Iterator[bytes]:
    """The pieces, up to one that may do something else to a terminal than show text."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for piece in pieces:
        try:
            binary = _CONTROL.search(decoder.decode(piece)) is not None
        except UnicodeDecodeError:
            binary = True
        if binary:
            raise InvalidArgumentError(
                f"{where} is binary: use get, redirect the output, --value for a value, or --force"
            )
        yield piece


def _fit(text: str) -> str:
    """Text for stdout: as it is into a file or pipe, without control characters on a terminal."""
    return _CONTROL.sub(lambda found: shown(found.group()), text) if sys.stdout.isatty() else text


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return repr(value)
    if value is None or isinstance(value, bool | int | float | list | dict | tuple | set | frozenset):
        return json.dumps(_plain(value), indent=2, ensure_ascii=False)
    return str(value)


def _plain(value: Any) -> Any:
    """The nearest thing that JSON can hold."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, bytes | bytearray):
        return _file_json(bytes(value))
    return str(value)


def _file_json(content: bytes) -> dict[str, str]:
    try:
        return {"text": content.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}
