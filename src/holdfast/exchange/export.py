"""export: a store as a folder of plain files, which is complete when its head says so."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from hashlib import file_digest
from itertools import chain

from msgspec.json import format as indented
from msgspec.structs import replace

from ..address import Path, format_path
from ..errors import DecodeError, ExistsError, HoldfastError, ValueLost
from ..files import Progress
from ..model import STORABLE
from ..storages.file.disk import explain, make_folders, open_file, sync_folder, sync_path
from .layout import (
    FORMAT,
    HEAD,
    LONGEST,
    NUMBER,
    RECORDS,
    SCOPES,
    ContentLine,
    Head,
    Line,
    ScopeLine,
    encode,
    read_head,
)
from .names import Names
from .running import Moved, Run
from .source import Pieces, Replaced, StoreSource

__all__ = ["export"]

_IN_LINE = 4096  # bytes of a value that stand in its line; a file is always a file
_MANY = 1000  # files from which on all of the machine's are put on disk together
_REMEMBERED = 1 << 16  # files whose bytes, should they come again, are not written again


def export(source: StoreSource, folder: str, progress: Progress = None) -> Moved:
    """Write all of a store.

    Raises:
        ExistsError: the folder holds a complete export, or other things.
        StoreError: it cannot be written.
    """
    run = _Export(source, folder, progress)
    try:
        with run.held():
            run.records()
            run.finish()
    except OSError as error:
        if isinstance(error, HoldfastError):
            raise
        raise explain(error, folder, writing=True) from error
    return run.moved()


class _Export(Run):
    """One export and how far it is."""

    def __init__(self, source: StoreSource, folder: str, progress: Progress) -> None:
        super().__init__(progress)
        self._source = source
        self._folder = folder
        self._names = Names()
        self._files: dict[str, str] = {}
        self._head = Head(
            format=FORMAT, number=1, store=source.kernel.catalog.store_id,
            key_id=source.kernel.signer.key_id.hex(), made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )  # fmt: skip

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, *name.split("/"))

    @contextmanager
    def held(self) -> Iterator[None]:
        """The folder, ours alone, and with nothing in it but a head that says that it is not complete."""
        make_folders(self._folder)
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until the descriptor is closed
            there = set(os.listdir(fd))
            if there and (there - {HEAD, f"{HEAD}.new", SCOPES, RECORDS, "files", "objects"} or self._is_complete()):
                raise ExistsError(f"{self._folder} holds a complete export, or other things: name a new folder")
            self._write_head(self._head)
            for name in there - {HEAD, f"{HEAD}.new"}:
                path = self._path(name)
                shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
            yield
        except BlockingIOError:
            raise ExistsError(f"another process is exporting to {self._folder} just now") from None
        finally:
            os.close(fd)

    def _is_complete(self) -> bool:
        try:
            with os.fdopen(open_file(self._path(HEAD)), "rb") as file:
                return read_head(file.read(LONGEST), HEAD).complete
        except (OSError, ValueError, ValueLost):
            return True  # for all that is known

    def _write_head(self, head: Head) -> None:
        """Replace the head, on disk before it is seen."""
        path = self._path(HEAD)
        with suppress(FileNotFoundError):
            os.unlink(f"{path}.new")
        with open(f"{path}.new", "xb") as file:  # through no link that somebody put there
            file.write(indented(encode(head), indent=2) + b"\n")
        sync_path(f"{path}.new")
        os.replace(f"{path}.new", path)
        sync_folder(self._folder)

    def records(self) -> None:
        """Write all but the head."""
        with open(self._path(SCOPES), "xb") as scopes, open(self._path(RECORDS), "xb") as records:
            for info in self._source.scopes():
                asked = self._source.policy(info.path)
                scope = ScopeLine(format_path(info.path), info.since, dict(info.properties), *asked)
                scopes.write(self._fits(encode(scope) + b"\n"))
                self.count["scopes"] += 1
                for head in chain(self._source.heads(info.path), self._source.past(info.path)):
                    with self.failing(info.path, head.key, head.version):
                        line = self._placed(info.path, head)
                        if line is not None:
                            records.write(self._fits(encode(line) + b"\n"))
                            self.count.update({"past" if head.past else "records": 1, "size": line.size})
                            self.count["objects"] += line.serializer == STORABLE

    @staticmethod
    def _fits(line: bytes) -> bytes:
        """A line, if an import takes it."""
        if len(line) > LONGEST:
            raise DecodeError(f"what is to be said of it takes more than {LONGEST >> 20} MB: make its tags fewer")
        return line

    def finish(self) -> None:
        """Put all on disk, then say that it is complete."""
        for name in (SCOPES, RECORDS):
            with open(self._path(name), "rb") as file:
                self._head.manifests[name] = file_digest(file, "sha256").hexdigest()
        if len(self._files) > _MANY:
            os.sync()  # one call; fsync of each would take longer than writing them
        else:
            for folder, _, names in os.walk(self._folder):
                for name in names:
                    sync_path(os.path.join(folder, name))
                sync_folder(folder)
        counts = {name: self.count[name] for name in ("scopes", "records", "past", "size", "refused")}
        number = NUMBER if self.count["objects"] else 1
        self._write_head(replace(self._head, complete=True, number=number, **counts))

    def _placed(self, path: Path, head: Line) -> Line | None:
        """The line of a record, its bytes being written; None when it is gone."""
        while found := self._source.fetch(path, head):
            line, pieces = found
            try:
                for content, its in zip(line.contents, pieces, strict=False):
                    self._place(path, f"{line.key}/{content.name}", content, its)
            except Replaced:
                continue
            if line.serializer != STORABLE and line.number is None:
                self._place(path, line.key, line, pieces[0])
            self.tell(0 if line.number is None else line.size)
            return line
        return None

    def _place(self, path: Path, key: str, line: Line | ContentLine, pieces: Pieces) -> None:
        """Tell in the line where the bytes are; write them to a file unless they are few, or there."""
        if line.serializer is not None and line.size <= _IN_LINE:
            data = b"".join(pieces)
            try:
                line.text = data.decode()
            except UnicodeDecodeError:
                line.base64 = data
            self.tell(line.size)
            return
        digest = line.digest or ""
        line.file = self._files.get(digest)
        if line.file is None:
            plain = digest.replace(":", "-")
            line.file = self._names.give(path, key, line.encoding) or f"objects/{plain[7:9]}/{plain}"
            if len(self._files) == _REMEMBERED:
                del self._files[next(iter(self._files))]
        if digest in self._files or os.path.exists(self._path(line.file)):
            self.tell(line.size)
        else:
            self._write(self._path(line.file), pieces)
        self._files[digest] = line.file

    def _write(self, path: str, pieces: Pieces) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            with open(path, "xb") as file:
                for piece in pieces:
                    file.write(piece)
                    self.tell(len(piece))
        except HoldfastError:  # the bytes are damaged
            os.unlink(path)
            raise
