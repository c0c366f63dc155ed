"""What a function left in ``out/``: variables of three scopes, all of them in one commit, or none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from ...errors import HoldfastError
from ...storages.base import OCTETS
from ...streams import guess_type
from ..failures import Failure
from ..place import Place, is_name
from .codes import OUTPUT
from .folders import SCOPES_OUT
from .packing import Skip, entries, file_pieces, opened_file, opened_folder, pack
from .room import Room

__all__ = ["store"]

_PACKED = "application/gzip"


def store(place: Place, folder: str, room: Room, skip: Skip, guard: Callable[[Any], None]) -> None:
    """Store what is in ``out/`` of a temporary directory.

    Links and devices are not followed, and told to ``skip``. ``guard`` is that of the action.

    Raises:
        Failure: a name that is not legal, too much, or what the store says; nothing is stored.
    """
    with ExitStack() as opened:
        try:
            found = list(_found(folder, room, skip, opened))
            if not found:
                return
            with place.namespace.transaction() as inside:
                guard(inside)
                within = place._replace(namespace=inside)
                for scope, name, packed, inner in found:
                    kind = _PACKED if packed else guess_type(name) or OCTETS
                    pieces = _pieces(scope, name, packed, inner, room, skip)
                    within.scope(scope).put_chunks(name, pieces, content_type=kind)
        except (HoldfastError, OSError) as error:
            raise Failure(OUTPUT, f"what the function left in out/ cannot be stored: {error}") from error


def _found(folder: str, room: Room, skip: Skip, opened: ExitStack) -> Iterator[tuple[str, str, bool, int]]:
    """Scope and name of each variable, whether it is a directory, and the descriptor of the directory that it is in."""
    for scope in SCOPES_OUT:
        try:
            out = opened.enter_context(opened_folder(os.path.join(folder, "out")))
            inner = opened.enter_context(opened_folder(scope, out))
        except FileNotFoundError:  # the function took it away
            continue
        for name, packed in entries(inner, f"out/{scope}", room, skip):
            if not is_name(name):
                told = "is no name of a variable (a letter, then letters, digits, _, -, .): nothing of out/ is stored"
                raise Failure(OUTPUT, f"out/{scope}/{name!a} {told}")
            yield scope, name, packed, inner


def _pieces(scope: str, name: str, packed: bool, folder: int, room: Room, skip: Skip) -> Iterator[bytes]:
    what = f"out/{scope}/{name}"
    if packed:
        with opened_folder(name, folder) as inner:
            yield from pack(inner, what, room, skip)
        return
    with opened_file(name, folder, what, room) as (file, found):
        yield from file_pieces(file, found, what, room)
