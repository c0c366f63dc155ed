"""An export as a place to take records from. Whoever made it may be hostile: nothing outside of its folder is read, and
nothing of it is believed that its digests, and the signatures, do not bear out."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from hashlib import file_digest
from io import BufferedReader, FileIO
from itertools import chain, count

from msgspec.structs import replace

from ..address import Path, check_key, format_address, parse_path
from ..catalog.base import HIGHEST, Policy
from ..errors import DecodeError, IntegrityError, InvalidArgumentError, NotFoundError, ValueLost
from ..hashing import check_digest, checked
from ..layout import packed_size, read_config
from ..model import STORABLE, ScopeInfo
from ..options import check_content_type
from ..signing import Signer
from .layout import (
    HEAD,
    LONGEST,
    RECORDS,
    SCOPES,
    ContentLine,
    Line,
    content_of,
    parsed,
    read_head,
    read_line,
    read_scope,
    reading,
)
from .source import Pieces, begun

__all__ = ["FolderSource"]

_PIECE = 1 << 20


class FolderSource:
    """A complete export; use it in a ``with`` block.

    Attributes:
        head: what it tells of itself.
        highest: as of :class:`StoreSource`; half of what a store can reach, so that no export takes it there.
        signer: checks the signatures of its records; None where the key is not known.
    """

    highest = HIGHEST >> 1

    def __init__(self, folder: str) -> None:
        """Open, and read the head.

        Raises:
            NotFoundError: no export is there.
            SchemaError: it is of a later format.
            DecodeError: it is not complete, or no head of an export.
        """
        self._folder = folder
        self._lines: Iterator[tuple[Path, Line]] | None = None
        self._next: tuple[Path, Line] | None = None
        self.signer: Signer | None = None
        try:
            self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise NotFoundError(f"no export in {folder}: {error.strerror}") from None
        try:
            with self._open(HEAD) as file:
                self.head = read_head(file.read(LONGEST), f"{folder}/{HEAD}")
            if not self.head.complete:
                raise DecodeError(f"{folder} is an export that was not finished: run holdfast export again")
        except BaseException:
            os.close(self._fd)
            raise

    def __enter__(self) -> FolderSource:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def check(self, key: bytes | None, own: Signer) -> None:
        """Look at both manifests from their beginning to their end, and take the key of the signatures: the one given,
        or else that of the importing store, if it is the same.

        Raises:
            DecodeError: something in them is not what an export can have.
            InvalidArgumentError: the key is not the one that was signed with.
        """
        if key is None and own.key_id.hex() == self.head.key_id:
            key = own.key
        if key is not None:
            self.signer = Signer(self.head.store, key)
            if self.signer.key_id.hex() != self.head.key_id:
                raise InvalidArgumentError(f"this is not the key of the store that {self._folder} was exported from")
        for name, expected in self.head.manifests.items():
            with self._open(name) as file:
                found = file_digest(file, "sha256").hexdigest()
            if found != expected:
                raise IntegrityError(f"{self._folder}/{name} is not the one that was exported: it was altered")
        for _ in chain(self.scopes(), self._records()):
            pass

    def scopes(self) -> Iterator[ScopeInfo]:
        """All scopes, each before those below it."""
        for text, where in self._read(SCOPES):
            with reading(where):
                found = read_scope(text)
                info = ScopeInfo(parse_path(found.scope), found.created, found.properties)
                self._policy = Policy(found.history, found.max_records, found.max_bytes)
                if not info.path:
                    raise ValueError("it names no scope")
            yield info

    def policy(self, path: Path) -> Policy:
        """What a scope asks for: of each in its turn."""
        return self._policy

    def heads(self, path: Path, past: bool = False) -> Iterator[Line]:
        """The records of a scope by key, by bytes: of each scope in its turn."""
        if self._lines is None:
            self._lines = self._records()
            self._next = next(self._lines, None)
        while self._next is not None and self._next[0] == path and self._next[1].past == past:
            (_, line), self._next = self._next, next(self._lines, None)
            yield line

    def past(self, path: Path) -> Iterator[Line]:
        """The versions that a scope keeps beside the newest ones, by key and version, behind these."""
        return self.heads(path, past=True)

    def fetch(self, path: Path, head: Line) -> tuple[Line, list[Pieces]] | None:
        """All of a record: bytes for each content, and none for a number. Those of an object are read one after the
        other.

        Raises:
            ValueLost, IntegrityError: its bytes are not there, or not what they should be.
        """
        if head.serializer == STORABLE:
            inner = ((content, f"{head.key} [{content.name}]") for content in head.contents)
            return head, [self._bytes(path, key, content) for content, key in inner]
        return head, [] if head.number is not None else [begun(self._bytes(path, head.key, head))]

    def _bytes(self, path: Path, key: str, line: Line | ContentLine) -> Pieces:
        where = f"{format_address(path, key)} in {self._folder}"
        if line.file is not None:
            yield from checked(*parsed(line.digest), self._pieces(line.file, line.size, where), where)
        else:
            data = line.text.encode() if line.text is not None else line.base64 or b""
            _check_size(len(data), line.size, where)
            check_digest(*parsed(line.digest), [data], where)
            yield data

    def _read(self, name: str) -> Iterator[tuple[bytes, str]]:
        """The lines of a document, each with its place."""
        with self._open(name) as file:
            for number in count(1):
                line, where = file.readline(LONGEST + 1), f"line {number} of {self._folder}/{name}"
                if not line:
                    return
                if len(line) > LONGEST:
                    raise DecodeError(f"{where} is longer than {LONGEST >> 20} MB")
                yield line, where

    def _records(self) -> Iterator[tuple[Path, Line]]:
        """The records, which stand by scope in the order of the scopes; in each by key, and past ones at the end."""
        scopes = self.scopes()
        path: Path = ()
        scope, last = "", (False, b"", 0)
        for text, where in self._read(RECORDS):
            with reading(where):
                line = read_line(text)
                if line.scope != scope:
                    scope, path, last = line.scope, parse_path(line.scope), (False, b"", 0)
                    if path not in (info.path for info in scopes):  # which goes on from where it was
                        raise ValueError("its scope is not in its turn")
                place = (line.past, check_key(line.key).encode(), line.version if line.past else 0)
                if place <= last:
                    raise ValueError("its key is not in its turn")
                last = place
                check_content_type(line.content_type)
                _check_bytes(line)
            yield path, line

    def _pieces(self, name: str, size: int, where: str) -> Pieces:
        with self._open(name) as file:
            _check_size(os.fstat(file.fileno()).st_size, size, where)
            left = size + 1  # it may grow meanwhile: what is beyond fails the digest
            while left and (piece := file.read(min(_PIECE, left))):
                left -= len(piece)
                yield piece

    def _open(self, name: str) -> BufferedReader:
        """A regular file of the export; no link on the way to it is followed.

        Raises:
            ValueLost: there is none, or it cannot be read.
        """
        fd, parts = os.dup(self._fd), name.split("/")
        try:
            for depth, part in enumerate(parts, 1):
                kind = os.O_DIRECTORY if depth < len(parts) else os.O_NONBLOCK  # a pipe would keep us waiting
                above, fd = fd, os.open(part, os.O_RDONLY | os.O_NOFOLLOW | kind, dir_fd=fd)
                os.close(above)
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "it is no regular file")
            return BufferedReader(FileIO(fd), _PIECE)
        except OSError as error:
            os.close(fd)
            raise ValueLost(f"{self._folder}/{name} cannot be read: {error.strerror}") from None


def _check_bytes(line: Line) -> None:
    """Raise unless a line says where its bytes are, once, and of an object what its config says."""
    given = [[line.number, line.text, line.base64, line.file]]
    configs: list[tuple[object, str]] = [(read_config(line.config, line.key), line.key)]
    if line.serializer == STORABLE:
        parts = line.object()[1]
        configs = [(part.config, part.name) for part in parts]
        told = [replace(one, text=None, base64=None, file=None) for one in line.contents]
        if told != [content_of(part) for part in parts] or line.size != sum(part.size for part in parts):
            raise ValueError("its contents are not those of its config")
        if given != [[None] * 4]:
            raise ValueError("it has bytes beside those of its contents")
        given = [[None, one.text, one.base64, one.file] for one in line.contents]
    elif line.contents:
        raise ValueError("it has contents, and is no object")
    if any(len(one) - one.count(None) != 1 for one in given) or (line.digest is None) == (line.number is None):
        raise ValueError("it needs a number, or a digest with one of text, base64 and file")
    if line.number and line.size != 8:
        raise ValueError("a number has 8 bytes")
    for config, name in configs:
        if isinstance(config, dict):
            packed_size(config, name)


def _check_size(found: int, expected: int, where: str) -> None:
    if found != expected:
        raise IntegrityError(f"{where} has {found} bytes, not the {expected} that it says")
