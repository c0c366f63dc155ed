"""``holdfast du``: what scopes hold, and what that is on disk."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from ..address import Path, format_path
from ..api import Scope
from ..kernel import CATALOG_FILE
from ..upkeep.verifier import scopes_from
from .arguments import JsonOption, Place, PlaceArgument, StoreOption, open_store, parse_scope
from .printing import document, print_columns
from .wording import count_text, shown, size_text

__all__ = ["du"]

_BLOCK = 512  # the unit of st_blocks, whatever the file system's own


def du(
    address: PlaceArgument = "",
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
        place = parse_scope(opened, address)
        sums = _sums(place, depth)
        disk = _disk(opened.config.store)
    if as_json:
        scopes = [
            {"scope": format_path(path), "records": count, "size": size} for path, (count, size) in sums.items() if path
        ]
        count, size = sums[place.path]
        document({"records": count, "size": size, "scopes": scopes, "disk": disk})
        return
    rows = [
        (size_text(size), count_text(count, "record"), shown(format_path(path)) or "all scopes")
        for path, (count, size) in sums.items()
    ]
    print_columns(rows, right=(0, 1))
    if disk:
        print(
            f"on disk: {size_text(disk['catalog'])} catalog, {size_text(disk['files'])} files, "
            f"{size_text(disk['catalog'] + disk['files'])} together (the whole store)"
        )


def _sums(place: Place, depth: int) -> dict[Path, tuple[int, int]]:
    """Records and bytes with all below, of the scopes down to a depth; the place itself first."""
    top = len(place.path)
    sums: dict[Path, tuple[int, int]] = {place.path: (0, 0)}
    for scope in scopes_from(place):
        if isinstance(scope, Scope):
            usage = scope.usage()
            for length in range(top, min(len(scope.path), top + depth) + 1):
                records, size = sums.get(scope.path[:length], (0, 0))
                sums[scope.path[:length]] = (records + usage.records, size + usage.size)
    return sums


def _disk(folder: str) -> dict[str, int]:
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
