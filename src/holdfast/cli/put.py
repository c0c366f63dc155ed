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

from ..api import Scope
from ..errors import InvalidArgumentError, NotFoundError, StoreError
from ..model import Record
from ..options import PutOptions
from .arguments import AddressArgument, JsonOption, StoreOption, open_store, parse
from .printing import document, json_line, note, print_records, record_json
from .progress import progress
from .wording import count_text, duration, size_text, tags_from

__all__ = ["put"]

_PIECE = 1 << 20

Tell = Callable[[int], object] | None


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
    durability: Annotated[str | None, typer.Option(metavar="LEVEL", help="process or power.")] = None,
    store: StoreOption = None,
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
    options = _options(tag, expires, content_type, durability, if_version, if_absent)
    if sum(given is not None for given in (source, value, text)) > 1:
        raise InvalidArgumentError("give one of FILE, --value and --text")
    loaded = text if value is None else _loads(value)
    with_value = value is not None or text is not None
    if not with_value and source in (None, "-"):
        source = "-"
        _check_stdin()
    elif source is not None and not os.path.exists(source):
        raise NotFoundError(f"no file {source}")
    with open_store(store, create=True) as opened:
        scope, key = parse(opened, address)
        if not isinstance(scope, Scope):
            raise InvalidArgumentError("name a scope and a key, as in namespace:prod/model")
        if source is not None and os.path.isdir(source):
            _show_folder(_put_folder(scope, key, source, options), as_json)
            return
        if key is None or key.endswith("/"):
            if source in (None, "-"):
                raise InvalidArgumentError(f"{address!r} names no key: add one, as in namespace:prod/model")
            key = (key or "") + os.path.basename(os.path.abspath(str(source)))
        if source is None:
            record = scope.put(key, loaded, **options)
        else:
            record = _put_bytes(scope, key, source, options)
    if as_json:
        document(record_json(record))
    else:
        print_records([record], "stored")


def _options(
    tag: list[str] | None,
    expires: str | None,
    content_type: str | None,
    durability: str | None,
    if_version: int | None,
    if_absent: bool,
) -> PutOptions:
    """The options that were given; those that were not must be missing, as each has its own default."""
    given = {
        "tags": tags_from(tag),
        "expires": None if expires is None else duration(expires),
        "content_type": content_type,
        "durability": durability,
        "if_version": if_version,
        "if_absent": if_absent or None,
    }
    options: Any = {name: value for name, value in given.items() if value is not None}
    return options  # type: ignore[no-any-return]


def _loads(text: str) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"--value takes JSON, a text in double quotes: {error}") from None


def _check_stdin() -> None:
    """Refuse to wait for a person to type a file, or to store the nothing of a null device."""
    silent = sys.stdin is None or sys.stdin.isatty()
    with suppress(OSError):  # a stream that is no file of the system's has no descriptor, and is as good as a pipe
        silent = silent or stat.S_ISCHR(os.fstat(sys.stdin.fileno()).st_mode)
    if silent:
        raise InvalidArgumentError("nothing to store: name a FILE, give --value or --text, or pipe bytes in")


def _put_bytes(scope: Scope, key: str, source: str, options: PutOptions) -> Record:
    name = "stdin" if source == "-" else os.path.basename(source)
    if source != "-" and os.path.isfile(source):
        with progress(name, os.path.getsize(source)) as tell:
            return scope.put_file(source, key, progress=tell, **options)
    if source == "-":
        with progress(name) as tell:
            return scope.put_chunks(key, _pieces(sys.stdin.buffer, name, tell), **options)
    try:  # a pipe or a device: read as it comes
        with open(source, "rb") as file, progress(name) as tell:
            return scope.put_chunks(key, _pieces(file, name, tell), **options)
    except OSError as error:
        if error.errno is None:
            raise
        raise StoreError(f"{source} cannot be read: {error.strerror}") from error


def _pieces(file: BinaryIO, name: str, tell: Tell) -> Iterator[bytes]:
    # One read at a time: Ctrl-C is looked for between two, and a slow pipe is taken as it comes.
    while piece := cast(BufferedReader, file).read1(_PIECE):
        yield piece
        if tell is not None:
            tell(len(piece))


def _put_folder(scope: Scope, key: str | None, source: str, options: PutOptions) -> list[Record]:
    if "if_version" in options:
        raise InvalidArgumentError("--if-version is for one record, and this is a folder")
    prefix = "" if key is None else key if key.endswith("/") else f"{key}/"
    with progress(os.path.basename(os.path.abspath(source)), _size_below(source)) as tell:
        return scope.put_dir(source, prefix, progress=tell, **options)


def _size_below(folder: str) -> int:
    total = 0
    for above, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.path.getsize(os.path.join(above, name))
            except OSError:
                continue  # only a bar depends on it: put_dir tells of what it cannot read
    return total


def _show_folder(records: list[Record], as_json: bool) -> None:
    if as_json:
        for record in records:
            json_line(record_json(record))
        return
    print_records(records, "stored")
    note(f"{count_text(len(records), 'file')}, {size_text(sum(record.size for record in records))}")
