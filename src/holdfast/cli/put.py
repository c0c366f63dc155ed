"""``holdfast put``: a file, a folder, a stream or a value goes into the store."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BufferedReader
from typing import Annotated, Any, BinaryIO, NoReturn, cast

import typer

from ..address import parse_address
from ..api import Scope
from ..errors import InvalidArgumentError, NotFoundError
from ..model import Record
from ..options import PutOptions
from .arguments import AddressArgument, JsonOption, StorageOption, StoreOption, open_store, parse
from .printing import answer, document, json_line, note, record_json
from .progress import progress
from .wording import count_text, duration, shown, size_text, tags_from

__all__ = ["put"]

_PIECE = 1 << 20


def put(
    address: AddressArgument,
    source: Annotated[
        str | None, typer.Argument(metavar="FILE", help="File or folder; - or none to read stdin.", show_default=False)
    ] = None,
    value: Annotated[str | None, typer.Option(metavar="JSON", help="A Python value, written as JSON.")] = None,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="A str.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A tag; may be repeated.")] = None,
    expires: Annotated[str | None, typer.Option(metavar="TIME", help="Ends after 30d, 12h, 15m or 90s.")] = None,
    content_type: Annotated[str | None, typer.Option(metavar="MIME", help="Instead of the one of its ending.")] = None,
    if_version: Annotated[int | None, typer.Option(metavar="N", help="Only while this is its version.")] = None,
    if_absent: Annotated[bool, typer.Option("--if-absent", help="Only if there is none yet.")] = False,
    compression: Annotated[str | None, typer.Option(metavar="NAME", help="zstd or lz4; none by default.")] = None,
    durability: Annotated[str | None, typer.Option(metavar="LEVEL", help="process or power.")] = None,
    store: StoreOption = None,
    storage: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Store a file, a folder, a stream or a value, and show its record.

    A file put to a scope, or to a key that ends in /, keeps its name; a folder's files get the key as their prefix. Any
    size is streamed. The store is made if need be.

    \b
    Examples:
      holdfast put namespace:prod/report.pdf report.pdf --expires 30d
      pg_dump shop | holdfast put namespace:prod/dump.sql
      holdfast put namespace:prod/limits --value '{"speed": 3, "load": 4}'
    """
    given = {
        "tags": tags_from(tag),
        "expires": None if expires is None else duration(expires, "--expires"),
        "content_type": content_type,
        "compression": compression,
        "durability": durability,
        "if_version": if_version,
        "if_absent": if_absent or None,
    }
    options: Any = {name: option for name, option in given.items() if option is not None}  # each has its own default
    if sum(what is not None for what in (source, value, text)) > 1:
        raise InvalidArgumentError("give one of FILE, --value and --text")
    content = text if value is None else _loads(value)
    if value is None and text is None:
        source = _check_source(source)
    key = parse_address(address)[1] or ""
    folder = source is not None and os.path.isdir(source)
    if not folder and (not key or key.endswith("/")):
        if source is None or source == "-":
            raise InvalidArgumentError(f"{address!r} names no key: add one, as in namespace:prod/model")
        key += os.path.basename(os.path.abspath(source))
    with open_store(store, create=True, storage=storage) as opened:
        scope, _ = parse(opened, address)
        assert isinstance(scope, Scope)  # the root is no address
        if source is None:
            records = [scope.put(key, content, **options)]
        elif folder:
            records = _put_folder(scope, key, source, options)
        else:
            records = [_put_bytes(scope, key, source, options)]
    _show(records, folder, as_json)


def _show(records: list[Record], folder: bool, as_json: bool) -> None:
    for record in records:
        digest = f", {record.digest}" if record.digest else ""
        text = f"stored {shown(record.address)}: version {record.version}, {size_text(record.size)}{digest}"
        answer(as_json, record_json(record), text, json_line if folder else document)
    if folder and not as_json:
        note(f"{count_text(len(records), 'file')}, {size_text(sum(record.size for record in records))}")


def _loads(text: str) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"--value takes JSON, a text in double quotes: {error}") from None


def _check_source(source: str | None) -> str:
    """The file to read, ``-`` for stdin; not one that waits for a person, or the nothing of a null device."""
    if source not in (None, "-"):
        if not os.path.exists(source):
            raise NotFoundError(f"no file {source}")
        return source
    silent = sys.stdin is None or sys.stdin.isatty()
    with suppress(OSError):  # a stream that is no file of the system's has no descriptor, and is as good as a pipe
        silent = silent or stat.S_ISCHR(os.fstat(sys.stdin.fileno()).st_mode)
    if silent:
        raise InvalidArgumentError("nothing to store: name a FILE, give --value or --text, or pipe bytes in")
    return "-"


def _put_folder(scope: Scope, key: str, source: str, options: PutOptions) -> list[Record]:
    if "if_version" in options:
        raise InvalidArgumentError("--if-version is for one record, and this is a folder")
    with progress(os.path.basename(os.path.abspath(source))) as tell:
        return scope.put_dir(source, f"{key.rstrip('/')}/" if key else "", progress=tell, **options)


def _put_bytes(scope: Scope, key: str, source: str, options: PutOptions) -> Record:
    if os.path.isfile(source) and source != "-":
        with progress(key, os.path.getsize(source)) as tell:
            return scope.put_file(source, key, progress=tell, **options)
    with progress(key) as tell:  # stdin, a pipe or a device: read as it comes
        if source == "-":
            return scope.put_chunks(key, _pieces(sys.stdin.buffer, tell), **options)
        with open(source, "rb") as file:
            return scope.put_chunks(key, _pieces(file, tell), **options)


def _pieces(file: BinaryIO, tell: Callable[[int], object]) -> Iterator[bytes]:
    # One read at a time: Ctrl-C is looked for between two, and a slow pipe is taken as it comes.
    while piece := cast(BufferedReader, file).read1(_PIECE):
        yield piece
        tell(len(piece))
