"""``holdfast ls``: scopes as a tree, records as a table."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any

import typer

from ..address import format_path
from ..api import Scope, Store
from ..errors import InvalidArgumentError
from ..listing import ORDERS
from ..model import Record
from .arguments import JsonOption, StoreOption, complete_address, open_store, parse
from .printing import json_line, note, paint, print_columns, record_json, time_json
from .wording import age_text, count_text, key_text, left_text, shown, size_text, tags_from, tags_shown, type_text

__all__ = ["ls"]

_PAGE = 1000  # rows that are aligned together
_LIMIT = 1000  # lines for a person, unless said otherwise
_FOLDED = 20  # scopes of one parent that the tree shows below its first level

Place = Store | Scope


def ls(
    prefix: Annotated[
        str,
        typer.Argument(
            metavar="ADDRESS",
            help="A scope, or one and how keys begin; by default the whole store.",
            autocompletion=complete_address,
            show_default=False,
        ),
    ] = "",
    long: Annotated[bool, typer.Option("--long", "-l", help="Exact times, content type, durability, digest.")] = False,
    recursive: Annotated[bool, typer.Option("--recursive", "-R", help="The records of all scopes below too.")] = False,
    tag: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Only records with this tag.")] = None,
    sort: Annotated[str, typer.Option(metavar="BY", help=f"One of {', '.join(ORDERS)}; -size: descending.")] = "key",
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help=f"Most lines; by default {_LIMIT}, for --keys and --json all."),
    ] = None,
    keys: Annotated[bool, typer.Option("--keys", help="One key a line, for scripts; with -R one address.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List scopes and records.

    Scopes come as a tree with what they hold, then the scope's own records with size, age, type, version and tags.
    With --json one object a line.

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
        scope, begun = parse(opened, prefix)
        if scope is not None:
            scope.info()
        budget = _Budget(limit if limit is not None else None if keys or as_json else _LIMIT)
        listing = _Listing(begun or "", {"tags": tags_from(tag), "order": sort}, budget, long)
        place: Place = opened if scope is None else scope
        if keys:
            listing.keys(place, recursive)
        elif as_json:
            listing.json(place, recursive)
        elif recursive:
            listing.recursive(place)
        else:
            listing.one(place)
        if budget.exceeded:
            note(f"... and more: narrow it with an address or --tag, or raise --limit (it was {budget.limit:,})")


class _Budget:
    """How many lines may still be written."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.left = limit
        self.exceeded = False

    def take(self) -> bool:
        """Whether one more line may be written."""
        if self.left is None:
            return True
        if not self.left:
            self.exceeded = True
            return False
        self.left -= 1
        return True


class _Listing:
    """One call of ``ls``: what to list and how."""

    def __init__(self, begun: str, options: dict[str, Any], budget: _Budget, long: bool) -> None:
        self._begun = begun
        self._options = options
        self._budget = budget
        self._long = long
        self._filtered = bool(begun or options["tags"])

    def _records(self, place: Place) -> Iterator[Record]:
        """The records of one scope that were asked for, as many as may still be written."""
        if not isinstance(place, Scope):
            return
        left = self._budget.left
        most = None if left is None else left + 1  # one more tells that there are more
        for record in place.list(self._begun, limit=most, **self._options):
            if not self._budget.take():
                return
            yield record

    # --- for scripts --------------------------------------------------------------------------------------------------

    def keys(self, place: Place, recursive: bool) -> None:
        for scope in _below(place) if recursive else (place,):
            for record in self._records(scope):
                print(record.address if recursive else key_text(record))

    def json(self, place: Place, recursive: bool) -> None:
        if not self._filtered:
            for scope in _below(place) if recursive else place.children():
                if scope.path != place.path and self._budget.take():
                    info = scope.info()
                    created = info.created
                    json_line(
                        {
                            "is": "scope",
                            "scope": format_path(info.path),
                            "created": created,
                            "properties": dict(info.properties),
                            **_usage_json(scope),
                        }
                    )
        for scope in _below(place) if recursive else (place,):
            for record in self._records(scope):
                json_line({"is": "record", **record_json(record)})

    # --- for people ---------------------------------------------------------------------------------------------------

    def one(self, place: Place) -> None:
        """The tree of scopes below, unless records are searched for, and the scope's own records."""
        if not self._filtered:
            self._tree(place)
        if self._table(place) == 0 and isinstance(place, Scope) and not self._budget.exceeded:
            note("no records" if self._filtered else f"no records in {shown(str(place))} itself")

    def recursive(self, place: Place) -> None:
        """Each scope with its records."""
        for scope in _below(place):
            if isinstance(scope, Scope) and not self._table(scope, heading=f"{shown(str(scope))}:"):
                if self._budget.exceeded:
                    return
                if not self._filtered and self._budget.take():
                    print(paint(f"{shown(str(scope))}: no records", "dim"))

    def _table(self, place: Place, heading: str = "") -> int:
        count = 0
        records = self._records(place)
        while page := list(islice(records, _PAGE)):
            if heading and not count:
                print(paint(heading, "cyan"))
            print_columns([self._row(record) for record in page], right=(1,))
            count += len(page)
        return count

    def _row(self, record: Record) -> list[str]:
        row = [shown(key_text(record)), size_text(record.size)]
        if self._long:
            row += [time_json(record.updated) or "", record.content_type, record.serializer or "-"]
            row += [f"v{record.version}", record.durability, record.digest or "-"]
            row += [f"until {time_json(record.expires)}" if record.expires else ""]
        else:
            row += [age_text(record.updated), type_text(record), f"v{record.version}"]
            row += [f"ends {left_text(record.expires)}" if record.expires else ""]
        return [*row, tags_shown(record)]

    def _tree(self, place: Place, indent: str = "", top: bool = True) -> None:
        children = place.children()
        shown_here = 0
        child = next(children, None)
        while child is not None:
            following = next(children, None)
            folded = not top and shown_here == _FOLDED
            if folded or not self._budget.take():
                print(f"{indent}└── ... (holdfast ls {shown(str(place)) or '/'})" if folded else f"{indent}...")
                return
            name = shown(format_path(child.path[-1:]))
            last = following is None
            print(f"{indent}{'└── ' if last else '├── '}{paint(name, 'cyan')}  {_usage_text(child)}")
            self._tree(child, indent + ("    " if last else "│   "), top=False)
            child = following
            shown_here += 1


def _below(place: Place) -> Iterator[Place]:
    """A scope and all below it, each before those below it."""
    stack: list[Iterator[Place]] = [iter((place,))]
    while stack:
        scope = next(stack[-1], None)
        if scope is None:
            stack.pop()
            continue
        yield scope
        stack.append(scope.children())


def _usage_text(scope: Scope) -> str:
    usage = scope.usage()
    return f"{count_text(usage.records, 'record')}, {size_text(usage.inline + usage.stored)}"


def _usage_json(scope: Scope) -> dict[str, int]:
    usage = scope.usage()
    return {"records": usage.records, "size": usage.inline + usage.stored}
