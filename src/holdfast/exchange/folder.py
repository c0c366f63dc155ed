"""An export as a source of items. Whoever made it may be hostile: nothing outside of its folder is read, and nothing of
it is believed that its digests, and the signatures, do not bear out."""

from __future__ import annotations

import errno
import json
import os
import stat
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from typing import BinaryIO

from msgspec import MsgspecError

from ..address import Path, check_key, format_address, parse_path
from ..errors import (
    DecodeError,
    IntegrityError,
    InvalidArgumentError,
    NotFoundError,
    SchemaError,
    StoreError,
    ValueLost,
)
from ..hashing import ALGORITHMS, NONE, check_digest, checked
from ..model import POWER, Codec, ScopeInfo, from_epoch
from ..options import check_content_type, tags_text
from ..signing import Signer
from .items import Item
from .layout import (
    FORMAT,
    HEAD,
    LONGEST,
    NUMBER,
    RECORDS,
    SCOPES,
    Head,
    Manifest,
    RecordLine,
    read_head,
    read_record,
    read_scope,
)
from .names import is_inside

__all__ = ["FolderSource"]

_PIECE = 1 << 20
_ALGORITHMS = {name: number for number, name in ALGORITHMS.items()}


class FolderSource:
    """A complete export; use it in a ``with`` block."""

    def __init__(self, folder: str, key: bytes | None = None) -> None:
        """Open, and check the head and both manifests from their beginning to their end.

        Raises:
            NotFoundError: no export is there.
            SchemaError: it is of a later format.
            DecodeError: it is not complete, or is not what an export can be.
            InvalidArgumentError: the key is not the one that it was signed with.
        """
        self._folder = folder
        try:
            self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFoundError(f"no folder {folder}") from None
        except OSError as error:
            raise StoreError(f"{folder} cannot be read: {error.strerror}") from error
        try:
            self.head = self._read_head()
            self.signer = None if key is None else Signer(self.head.store, key)
            if self.signer is not None and self.signer.key_id.hex() != self.head.key_id:
                raise InvalidArgumentError(f"this is not the key of the store that {folder} was exported from")
            for name, read in ((SCOPES, self.scopes), (RECORDS, self._items)):
                self._check(name)
                for _ in read():
                    pass
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let the folder go."""
        os.close(self._fd)

    def __enter__(self) -> FolderSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def scopes(self) -> Iterator[ScopeInfo]:
        """See :class:`~holdfast.exchange.items.Source`."""
        for line, where in self._lines(SCOPES):
            with _reading(where):
                found = read_scope(line)
                info = ScopeInfo(parse_path(found.scope), _time(found.created), found.properties)
                if not info.path:
                    raise ValueError("it names no scope")
            yield info

    def heads(self, path: Path) -> Iterator[Item]:
        """See :class:`~holdfast.exchange.items.Source`: here, all of each record."""
        if not hasattr(self, "_rest"):
            self._rest = self._items()
            self._next = next(self._rest, None)
        while self._next is not None and self._next.path == path:
            item, self._next = self._next, next(self._rest, None)
            yield item

    def fetch(self, head: Item) -> Item | None:
        """See :class:`~holdfast.exchange.items.Source`."""
        if isinstance(head.data, bytes):
            where = self._where(head)
            if len(head.data) != head.size:
                raise IntegrityError(f"{where} has {len(head.data)} bytes, not the {head.size} that it says")
            check_digest(head.algorithm, head.digest, [head.data], where)
        return head

    # --- documents ----------------------------------------------------------------------------------------------------

    def _read_head(self) -> Head:
        where = f"{self._folder}/{HEAD}"
        with self._open(HEAD) as file:
            text = file.read(1 << 20)
        with _reading(where):
            found = json.loads(text)
            if found["format"] != FORMAT or type(found["number"]) is not int:
                raise ValueError("it names another format")
        if found["number"] > NUMBER:
            raise SchemaError(
                f"{self._folder} is an export of format {found['number']}, this version of Holdfast knows up to "
                f"{NUMBER}: upgrade holdfast to import it"
            )
        with _reading(where):
            head = read_head(text)
            if head.complete and ({*head.manifests} != {SCOPES, RECORDS} or len(bytes.fromhex(head.store)) != 16):
                raise ValueError("it lacks the store or a manifest")
        if not head.complete:
            raise DecodeError(f"{self._folder} is an export that was not finished: run holdfast export again")
        return head

    def _check(self, name: str) -> None:
        """Hash a manifest."""
        state, lines = sha256(), 0
        with self._open(name) as file:
            while piece := file.read(_PIECE):
                state.update(piece)
                lines += piece.count(b"\n")
        if self.head.manifests[name] != Manifest(lines, state.hexdigest()):
            raise IntegrityError(f"{self._folder}/{name} is not the one that was exported: it was altered or cut off")

    def _lines(self, name: str) -> Iterator[tuple[bytes, str]]:
        number = 0
        with self._open(name) as file:
            while line := file.readline(LONGEST + 1):
                number += 1
                where = f"line {number} of {self._folder}/{name}"
                if len(line) > LONGEST:
                    raise DecodeError(f"{where} is longer than {LONGEST >> 20} MB")
                yield line, where

    def _items(self) -> Iterator[Item]:
        """The records, which stand by scope in the order of the scopes, and in each by key."""
        scopes = self.scopes()
        path: Path = ()
        scope, last = "", b""
        for line, where in self._lines(RECORDS):
            with _reading(where):
                found = read_record(line)
                if found.scope != scope:
                    scope, path, last = found.scope, parse_path(found.scope), b""
                    if path not in (info.path for info in scopes):  # which goes on from where it was
                        raise ValueError("its scope is not in its turn")
                key = check_key(found.key).encode()
                if key <= last:
                    raise ValueError("its key is not in its turn")
                last = key
                item = self._item(found, path)
            yield item

    def _item(self, line: RecordLine, path: Path) -> Item:
        algorithm, digest = NONE, None
        if line.digest is not None:
            name, _, text = line.digest.partition(":")
            algorithm, digest = _ALGORITHMS[name], bytes.fromhex(text)
        data: int | bytes | None = line.number
        if line.text is not None:
            data = line.text.encode()
        elif line.base64 is not None:
            data = b64decode(line.base64, validate=True)
        given = [value for value in (line.number, line.text, line.base64, line.file) if value is not None]
        if len(given) != 1 or (digest is None) != (line.number is not None) or (digest is None and line.size != 8):
            raise ValueError("it needs a number, or a digest with one of text, base64 and file")
        item = Item(
            path, line.key, line.version, line.flags & POWER, _time(line.created), _time(line.updated),
            None if line.expires is None else _time(line.expires), tags_text(line.tags), algorithm, digest, line.size,
            Codec(line.serializer, check_content_type(line.content_type), line.encoding), line.config,
            None if line.signature is None else bytes.fromhex(line.signature), data,
        )  # fmt: skip
        if line.file is None:
            return item
        if not is_inside(line.file):
            raise ValueError(f"{line.file!r} is no file of an export")
        return item._replace(pieces=partial(self._pieces, item, line.file))

    # --- bytes --------------------------------------------------------------------------------------------------------

    def _pieces(self, item: Item, name: str) -> Iterator[bytes]:
        return checked(item.algorithm, item.digest, self._read(name, item.size + 1), self._where(item))

    def _where(self, item: Item) -> str:
        return f"{format_address(item.path, item.key)} in {self._folder}"

    def _read(self, name: str, limit: int) -> Iterator[bytes]:
        with self._open(name) as file:  # one byte more than there should be tells that there are too many
            while limit and (piece := file.read(min(_PIECE, limit))):
                limit -= len(piece)
                yield piece

    def _open(self, name: str) -> BinaryIO:
        """A regular file of the export; no link on the way to it is followed.

        Raises:
            ValueLost, StoreError: there is none, or it cannot be read.
        """
        fd = os.dup(self._fd)
        *folders, last = name.split("/")
        try:
            for part, kind in [*((folder, os.O_DIRECTORY) for folder in folders), (last, os.O_NONBLOCK)]:
                above, fd = fd, os.open(part, os.O_RDONLY | os.O_NOFOLLOW | kind, dir_fd=fd)
                os.close(above)
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "it is no regular file")
            return open(fd, "rb", buffering=_PIECE)
        except OSError as error:
            os.close(fd)
            if name == HEAD and isinstance(error, FileNotFoundError):
                raise NotFoundError(f"no export in {self._folder}: it has no {HEAD}") from None
            raise ValueLost(f"{self._folder}/{name} is no file that can be read: {error.strerror}") from None


@contextmanager
def _reading(where: str) -> Iterator[None]:
    """What is wrong with a line, or the head, is told with its place."""
    try:
        yield
    except (MsgspecError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise DecodeError(f"{where} is not what an export has: {error}") from None


def _time(seconds: float) -> float:
    from_epoch(seconds)  # ValueError or OverflowError beyond the years 1 to 9999
    return seconds
