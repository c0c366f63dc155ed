"""``holdfast get``: bytes go from the store into a local file or folder."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from ..api import Scope
from ..errors import InvalidArgumentError
from .arguments import (
    AddressArgument,
    ContentOption,
    JsonOption,
    StoreOption,
    missing_below,
    open_store,
    parse,
    size_of,
)
from .printing import answer, json_line, note
from .progress import progress
from .wording import count_text, shown, size_text

__all__ = ["get"]


def get(
    address: AddressArgument,
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET", help="File or folder; by default the key's last part, here.", show_default=False
        ),
    ] = None,
    content: ContentOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All records whose keys begin so, or all of the scope, into a folder.")
    ] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a record's bytes to a file, or all under a prefix to a folder.

    A file appears whole or not at all, checked against its digest. An address that ends in / is a prefix, as with
    --all; scopes below are not included. An object with several contents becomes a folder of them there, and alone
    --content says which one is meant. Use cat to write to stdout, and cat --value for a value as text.

    \b
    Examples:
      holdfast get namespace:prod/report.pdf
      holdfast get namespace:prod/maps/ maps
      holdfast get namespace:prod/artifact:run-7 results --all
    """
    with open_store(store) as opened:
        scope, key = parse(opened, address)
        if not isinstance(scope, Scope) or (key is None and not everything):
            raise InvalidArgumentError(f"{address!r} names a scope: add a key, or --all for all its records")
        if everything or key is None or key.endswith("/"):
            if content is not None:
                raise InvalidArgumentError("--content is for one record: name it, and leave --all away")
            _get_folder(scope, key or "", target, as_json)
        else:
            _get_file(scope, key, content, target or ".", as_json)


def _get_file(scope: Scope, key: str, content: str | None, target: str, as_json: bool) -> None:
    with progress(key, size_of(scope.record(key), content)) as tell:
        path = scope.get_file(key, target, content=content, progress=tell)
    facts = _json(path)
    answer(as_json, facts, f"wrote {shown(path)}: {size_text(facts['size'])}")


def _get_folder(scope: Scope, prefix: str, target: str | None, as_json: bool) -> None:
    if next(scope.keys(prefix, limit=1), None) is None:
        raise missing_below(scope, prefix)
    folder = _folder(scope, prefix) if target is None else target
    with progress(folder) as tell:
        paths = scope.get_dir(prefix, folder, progress=tell)
    if as_json:
        for path in paths:
            json_line(_json(path))
        return
    for path in paths:
        print(f"wrote {shown(path)}")
    note(f"{count_text(len(paths), 'file')}, {size_text(sum(map(os.path.getsize, paths)))}")


def _folder(scope: Scope, prefix: str) -> str:
    """The folder that is meant when none is named: as the prefix's last part, or the scope."""
    name = prefix.rstrip("/").rpartition("/")[2] or scope.name
    if name in (".", "..") or "/" in name:
        raise InvalidArgumentError(f"{name!r} is no name for a folder: name a TARGET")
    return name


def _json(path: str) -> dict[str, Any]:
    return {"path": path, "size": os.path.getsize(path)}
