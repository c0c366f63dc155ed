"""``holdfast ls``: scopes as a tree, records as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Annotated, TypeVar

import typer

from ..address import format_address, format_path
from ..api import Scope
from ..contents import object_of
from ..errors import InvalidArgumentError
from ..listing import ORDERS
from ..model import STORABLE, Record
from ..reading import missing
from ..upkeep.verifier import scopes_from
from .arguments import JsonOption, Place, PlaceArgument, StoreOption, open_store, parse
from .printing import json_line, note, paint, print_columns, record_json, time_json
from .wording import age_text, count_text, left_text, shown, size_text, tags_from

__all__ = ["ls"]

T = TypeVar("T")

_TYPES = {
    "holdfast.int@v1": "integer",
    "holdfast.text@v1": "text",
    "holdfast.bytes@v1": "bytes",
    "holdfast.json@v1": "JSON",
    "holdfast.value@v1": "Python value",
    "holdfast.pickle@v1": "Python object",
    "holdfast.numpy@v1": "NumPy array",
    "holdfast.pandas@v1": "pandas",
    "holdfast.polars@v1": "Polars",
    "holdfast.arrow@v1": "Arrow",
    "holdfast.pillow@v1": "image",
}
_PAGE = 1000  # rows that are aligned together
_LIMIT = 1000  # lines for a person, unless said otherwise
_FOLDED = 20  # scopes of one parent that the tree shows below its first level


def ls(
    prefix: PlaceArgument = "",
    long: Annotated[bool, typer.Option("--long", "-l", help="Exact times, content type, durability, digest.")] = False,
    recursive: Annotated[bool, typer.Option("--recursive", "-R", help="The records of all scopes below too.")] = False,
    tag: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Only records with this tag.")] = None,
    sort: Annotated[str, typer.Option(metavar="BY", help=f"One of {', '.join(ORDERS)}; -size: descending.")] = "key",
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=0, help=f"Most lines: {_LIMIT}; for --keys and --json all.")
    ] = None,
    keys: Annotated[bool, typer.Option("--keys", help="One key a line, for scripts; with -R one address.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List scopes and records.

    Scopes come as a tree with what they hold, then the scope's own records with size, age, type, version and tags. A
    key in the address stands for all keys that begin so. With --json one object a line.

    \b
    Examples:
      holdfast ls
      holdfast ls namespace:prod/workflow:forecast --sort -size --limit 10
      holdfast ls namespace:prod -R --tag stage=eval
      holdfast ls namespace:prod --keys | wc -l
    """
    if sort.removeprefix("-") not in ORDERS:
        raise InvalidArgumentError(f"--sort {sort}: there are {', '.join(ORDERS)}, with - in front for descending")
    with open_store(store) as opened:
        place, begun = parse(opened, prefix)
        if isinstance(place, Scope):
            place.info()
        most = limit if limit is not None else None if keys or as_json else _LIMIT
        listing = _Listing(begun or "", tags_from(tag), sort, most)
        if keys:
            listing.keys(place, recursive)
        elif as_json:
            listing.json(place, recursive)
        else:
            listing.people(place, recursive, long)
        if begun and not tag and not listing.found:
            raise missing(place.path, begun)
        if listing.more:
            note(f"... and more: narrow it with an address or --tag, or raise --limit (it was {most:,})")


class _Listing:
    """One call of ``ls``: what is listed, and how many lines may still be written."""

    def __init__(self, begun: str, tags: Mapping[str, str] | None, order: str, limit: int | None) -> None:
        self._begun = begun
        self._tags = tags
        self._order = order
        self._left = 1 << 62 if limit is None else limit
        self.more = self.found = False

    def _few(self, items: Iterable[T]) -> Iterator[T]:
        """As many as there may still be lines."""
        for item in items:
            if not self._left:
                self.more = True
                return
            self._left -= 1
            self.found = True
            yield item

    def _records(self, place: Place, recursive: bool = False) -> Iterator[Record]:
        for scope in scopes_from(place) if recursive else (place,):
            if isinstance(scope, Scope):
                most = self._left + 1  # one more tells that there are more
                yield from self._few(scope.list(self._begun, tags=self._tags, order=self._order, limit=most))

    def _scopes(self, place: Place, recursive: bool) -> Iterator[Scope]:
        """The scopes below, unless records are searched for."""
        if not self._begun and not self._tags:
            yield from islice(scopes_from(place), 1, None) if recursive else place.children()

    def keys(self, place: Place, recursive: bool) -> None:
        for record in self._records(place, recursive):
            print(record.address if recursive else _key_text(record))

    def json(self, place: Place, recursive: bool) -> None:
        for scope in self._few(self._scopes(place, recursive)):
            info, usage = scope.info(), scope.usage()
            facts = {"scope": str(scope), "created": time_json(info.created), "properties": info.properties}
            json_line({"is": "scope", **facts, "records": usage.records, "size": usage.size})
        for record in self._records(place, recursive):
            json_line({"is": "record", **record_json(record)})

    def people(self, place: Place, recursive: bool, long: bool) -> None:
        """A tree and a table, or a table for each scope."""
        if not recursive:
            self._tree(self._scopes(place, False))
        for scope in scopes_from(place) if recursive else (place,):
            heading = f"{shown(str(scope))}:" if recursive and isinstance(scope, Scope) else ""
            records = self._records(scope)
            while page := list(islice(records, _PAGE)):
                if heading:
                    print(paint(heading, "cyan"))
                heading = ""
                print_columns([_row(record, long) for record in page], right=(1,))
            if self.more:
                return

    def _tree(self, scopes: Iterator[Scope], indent: str = "", most: int | None = None) -> None:
        for count, (scope, last) in enumerate(self._few(_with_last(scopes))):
            if count == most:
                print(f"{indent}└── ...")
                return
            usage, name = scope.usage(), paint(shown(format_path(scope.path[-1:])), "cyan")
            text = f"{count_text(usage.records, 'record')}, {size_text(usage.size)}"
            print(f"{indent}{'└── ' if last else '├── '}{name}  {text}")
            self._tree(scope.children(), indent + ("    " if last else "│   "), _FOLDED)


def _with_last(items: Iterator[T]) -> Iterator[tuple[T, bool]]:
    """Each item, and whether it is the last one."""
    for item in items:
        for following in items:
            yield item, False
            item = following
        yield item, True


def _row(record: Record, long: bool) -> list[str]:
    row = [shown(_key_text(record)), size_text(record.size)]
    if long:
        row += [time_json(record.updated) or "", record.content_type, record.serializer or "-"]
        row += [f"v{record.version}", record.durability, record.digest or "-"]
        row += [f"until {time_json(record.expires)}" if record.expires else ""]
    else:
        where = ", in memory" if record.tier == "ephemeral" else ""
        row += [age_text(record.updated), _type_text(record) + where, f"v{record.version}"]
        row += [f"ends {left_text(record.expires)}" if record.expires else ""]
    return [*row, " ".join(shown(f"{name}={value}") for name, value in record.tags.items())]


def _type_text(record: Record) -> str:
    """What a record is: a Python type for values, the content type for files."""
    if record.serializer is None:
        return "file" if record.content_type == "application/octet-stream" else f"file, {record.content_type}"
    if record.serializer == STORABLE:
        return f"object, {object_of(record)[2].rpartition('.')[2]}"
    return _TYPES.get(record.serializer, record.serializer)


def _key_text(record: Record) -> str:
    """The key as it stands in an address."""
    return format_address((), record.key)
