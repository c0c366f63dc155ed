"""The variables that a function finds as files in its temporary directory."""

from __future__ import annotations

import os
import zlib
from base64 import b64decode
from collections.abc import Iterator
from io import BufferedReader
from typing import Any, BinaryIO, cast

from ...errors import HoldfastError
from ...scope import BaseScope
from ...stream import Forward
from ..failures import Failure
from ..place import Place, is_name
from .action import File
from .codes import FILES, PERMISSIONS, TYPE
from .room import Room
from .unpacking import for_folders, unpack, write
from .variables import read
from .watch import Watch

__all__ = ["lay"]

_TYPES = ("plain", "base64", "tar", "tar.gz")
_ARCHIVES = ("tar", "tar.gz")
_FILE, _TREE_SCOPE, _OUT = 0o644, "file", "out"
_WHITE = b" \t\r\n"
_PIECE = 1 << 20


def lay(files: tuple[File, ...], place: Place, folder: str, room: Room, watch: Watch) -> None:
    """Write the files of an action into its temporary directory. All of them are checked before the first is written.

    Raises:
        Failure: one of them is not legal, or cannot be written.
    """
    targets = [_target(file) for file in files]
    _check_apart(targets)
    scopes = [_scope(file, place) for file in files]
    modes = [_permissions(file) for file in files]
    for file, target, scope, mode in zip(files, targets, scopes, modes, strict=True):
        what = f"the file {file.target!r}, which is the variable {file.key!r} of scope {file.scope},"
        try:
            _lay(file, scope, os.path.join(folder, *target), mode, room, watch, what)
        except (HoldfastError, OSError, EOFError, zlib.error, UnicodeError) as error:
            raise Failure(FILES, f"{what} cannot be laid out: {error}") from error


# --- what is legal ----------------------------------------------------------------------------------------------------


def _target(file: File) -> tuple[str, ...]:
    """The parts of the path that a file is laid at."""
    name = file.target.lstrip("/") if file.scope == _TREE_SCOPE else file.target
    parts = tuple([part for part in name.split("/") if part not in ("", ".")])
    if not parts or name.startswith("/") or ".." in parts or "\0" in name:
        raise Failure(FILES, f"no file can be laid at {file.target!r}: that would leave the directory of the function")
    if parts[0] == _OUT:
        raise Failure(FILES, f"no file can be laid at {file.target!r}: out/ is for what the function gives back")
    return parts


def _check_apart(targets: list[tuple[str, ...]]) -> None:
    taken: set[tuple[str, ...]] = set()
    for target in sorted(targets):  # so that a directory comes before what is in it
        if any(target[:n] in taken for n in range(1, len(target) + 1)):
            raise Failure(FILES, f"two files would be laid at {'/'.join(target)!r}: give one another name by as")
        taken.add(target)


def _scope(file: File, place: Place) -> BaseScope[Any]:
    if file.type not in _TYPES:
        raise Failure(TYPE, f"{file.type!r} is no type of a file: use one of {', '.join(_TYPES)}")
    if file.scope == _TREE_SCOPE:
        return place.tree
    if not is_name(file.key):
        raise Failure("direktiv.var.invalidKey", f"{file.key!r} is no name of a variable")
    return place.scope(file.scope)


def _permissions(file: File) -> int | None:
    text = file.permissions
    if text is None or text == "":
        return None
    digits = text.removeprefix("0o")
    if digits.strip("01234567") or not digits or len(digits) > 8 or int(digits, 8) > 0o777:
        raise Failure(PERMISSIONS, f"permissions are octal digits from 0000 to 0777, not {text!r}")
    return int(digits, 8)


# --- writing ----------------------------------------------------------------------------------------------------------


def _lay(file: File, scope: BaseScope[Any], path: str, mode: int | None, room: Room, watch: Watch, what: str) -> None:
    watch.look()
    key = file.key.lstrip("/") if file.scope == _TREE_SCOPE else file.key
    found = read(scope, key) if key else None
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    if file.type in _ARCHIVES:
        os.mkdir(path)
        os.chmod(path, 0o755 if mode is None else for_folders(mode))
        if found is not None and found.size:
            with cast(BinaryIO, BufferedReader(Forward(b"", found.pieces), _PIECE)) as archive:
                unpack(archive if file.type == "tar" else _unpacked(archive), path, room, mode, what)
        return
    pieces = iter(()) if found is None else found.pieces
    with open(path, "xb", buffering=0) as target:
        for piece in _decoded(pieces, what) if file.type == "base64" else pieces:
            watch.look()
            write(target, piece)
        os.fchmod(target.fileno(), _FILE if mode is None else mode)


def _unpacked(archive: BinaryIO) -> BinaryIO:
    from gzip import GzipFile

    return cast(BinaryIO, GzipFile(fileobj=archive, mode="rb"))


def _decoded(pieces: Iterator[bytes], what: str) -> Iterator[bytes]:
    """Bytes in base64, with or without white space, decoded piece by piece."""
    held, ended = b"", False
    try:
        for piece in pieces:
            held += piece.translate(None, _WHITE)
            whole = len(held) & ~3
            ended = _ends(held[:whole], ended) or ended
            yield b64decode(held[:whole], validate=True)
            held = held[whole:]
        if held:
            raise ValueError("it ends early")
    except ValueError as error:  # binascii.Error is one
        raise Failure(FILES, f"{what} is no base64: {error}") from error


def _ends(text: bytes, ended: bool) -> bool:
    """Whether it has the padding that ends base64; what comes behind that is an error."""
    if ended and text:
        raise ValueError("it goes on after its end")
    return text.endswith(b"=")
