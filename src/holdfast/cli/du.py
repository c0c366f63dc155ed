"""``holdfast du``: what scopes hold, and what that is on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from ..address import Path, format_path
from ..api import Scope, Store
from ..errors import InvalidArgumentError
from ..kernel import CATALOG_FILE
from .arguments import JsonOption, StoreOption, complete_address, open_store, parse
from .printing import document, print_columns
from .wording import count_text, shown, size_text

__all__ = ["du"]

_BLOCK = 512  # the unit of st_blocks, whatever the file system's own


def du(
    address: Annotated[
        str,
        typer.Argument(
            metavar="SCOPE", help="By default the whole store.", autocompletion=complete_address, show_default=False
        ),
    ] = "",
    depth: Annotated[int, typer.Option("--depth", "-d", metavar="N", min=0, help="Levels of scopes to show.")] = 2,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how many bytes scopes hold, with all below them, and what the store takes on disk.

    Equal bytes above the inline limit are kept once, so that the disk may hold less than the records have together;
    what was removed stays on disk until gc.

    \b
    Examples:
      holdfast du
      holdfast du namespace:prod --depth 1 --json
    """
    with open_store(store) as opened:
        scope, key = parse(opened, address)
        if key is not None:
            raise InvalidArgumentError(f"{address!r} is no scope: du takes one, as in namespace:prod")
        if scope is not None:
            scope.info()
        sums = _sums(opened if scope is None else scope, depth)
        disk = _disk(opened.config.store)
    rows = [(format_path(path), *total) for path, total in sums.items()]
    _, records, size = rows[0]
    if as_json:
        scopes = [{"scope": text, "records": count, "size": size_} for text, count, size_ in rows if text]
        document({"records": records, "size": size, "scopes": scopes, "disk": disk})
        return
    print_columns(
        [(size_text(size_), count_text(count, "record"), shown(text) or "all scopes") for text, count, size_ in rows],
        right=(0, 1),
    )
    if disk:
        print(
            f"on disk: {size_text(disk['catalog'])} catalog, {size_text(disk['files'])} files, "
            f"{size_text(disk['catalog'] + disk['files'])} together (the whole store)"
        )


def _sums(place: Store | Scope, depth: int) -> dict[Path, list[int]]:
    """Records and bytes with all below, of the scopes down to a depth; the place itself first."""
    top = len(place.path)
    sums: dict[Path, list[int]] = {place.path: [0, 0]}
    stack: list[Iterator[Scope]] = [iter((place,)) if isinstance(place, Scope) else place.children()]
    while stack:
        scope = next(stack[-1], None)
        if scope is None:
            stack.pop()
            continue
        usage = scope.usage()
        for length in range(top, min(len(scope.path), top + depth) + 1):
            total = sums.setdefault(scope.path[:length], [0, 0])
            total[0] += usage.records
            total[1] += usage.inline + usage.stored
        stack.append(scope.children())
    return sums


def _disk(folder: str) -> dict[str, Any]:
    """Bytes that the store takes on disk; empty for one in memory."""
    disk = {"catalog": 0, "files": 0}
    for above, _, names in os.walk(folder):
        for name in names:
            try:
                taken = os.lstat(os.path.join(above, name)).st_blocks * _BLOCK
            except FileNotFoundError:
                continue  # collected since it was listed
            disk["catalog" if above == folder and name.startswith(CATALOG_FILE) else "files"] += taken
    return disk if os.path.isdir(folder) else {}
