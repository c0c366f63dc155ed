"""export: a store as a folder of plain files, which is complete when its head says so."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from hashlib import sha256
from typing import BinaryIO

from ..address import format_address, format_path
from ..errors import DecodeError, ExistsError, HoldfastError, NotFoundError, NotRegisteredError
from ..files import Progress
from ..hashing import ALGORITHMS
from ..storages.file.disk import explain, make_folders, sync_folder, sync_path
from ..verifier import Problem
from .items import Item, StoreSource
from .layout import FORMAT, HEAD, NUMBER, RECORDS, SCOPES, Head, Manifest, RecordLine, ScopeLine, encode
from .names import Names, by_digest
from .results import KEPT, Exported

__all__ = ["export", "failures"]

_IN_LINE = 4096  # bytes of a value that stand in its line; a file is always a file
_REMEMBERED = 1 << 16  # files whose bytes, should they come again, are not written again
_BAD = (DecodeError, NotFoundError, NotRegisteredError)
"""What is wrong with one record and leaves the others as they are."""


def export(source: StoreSource, folder: str, progress: Progress = None) -> Exported:
    """Write all of a store.

    Raises:
        ExistsError: the folder holds a complete export, or other things.
        StoreError: it cannot be written.
    """
    run = _Run(source, folder, progress)
    try:
        with run.held():
            run.records()
            return run.finish()
    except OSError as error:
        if isinstance(error, HoldfastError):
            raise
        raise explain(error, folder, writing=True) from error


class _Document:
    """A manifest being written, hashed on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = sha256()
        self._lines = 0

    def add(self, line: ScopeLine | RecordLine) -> None:
        text = encode(line) + b"\n"
        self._file.write(text)
        self._hash.update(text)
        self._lines += 1

    def told(self) -> Manifest:
        return Manifest(self._lines, self._hash.hexdigest())


class _Run:
    """One export and how far it is."""

    def __init__(self, source: StoreSource, folder: str, progress: Progress) -> None:
        self._source = source
        self._folder = folder
        self._tell = progress or (lambda size: None)
        self._names = Names()
        self._files: dict[tuple[int, bytes | None], str] = {}
        self._problems: list[Problem] = []
        self._began = time.monotonic()
        key_id = source.kernel.signer.key_id.hex()
        began = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self._head = Head(FORMAT, NUMBER, source.kernel.catalog.store_id, key_id, began)

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
            if there:
                self._check_unfinished(there)
            self._write_head()
            for name in there - {HEAD}:
                path = self._path(name)
                shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
            yield
        except BlockingIOError:
            raise ExistsError(f"another process is exporting to {self._folder} just now") from None
        finally:
            os.close(fd)

    def _check_unfinished(self, there: set[str]) -> None:
        try:
            with open(self._path(HEAD), "rb") as file:
                head = json.loads(file.read(1 << 20))
            ours = head["format"] == FORMAT and not head.get("complete")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            ours = False
        if not ours or there - {HEAD, f"{HEAD}.new", SCOPES, RECORDS, "files", "objects"}:
            raise ExistsError(f"{self._folder} holds a complete export, or other things: name a new folder")

    def _write_head(self) -> None:
        """Replace the head, on disk before it is seen."""
        path = self._path(HEAD)
        with open(f"{path}.new", "wb") as file:
            file.write(json.dumps(json.loads(encode(self._head)), indent=2).encode() + b"\n")
        sync_path(f"{path}.new")
        os.replace(f"{path}.new", path)
        sync_folder(self._folder)

    def records(self) -> None:
        """Write all but the head."""
        with open(self._path(SCOPES), "wb") as scopes, open(self._path(RECORDS), "wb") as records:
            documents = {SCOPES: _Document(scopes), RECORDS: _Document(records)}
            self._records(documents[SCOPES], documents[RECORDS])
        self._head.manifests = {name: document.told() for name, document in documents.items()}

    def _records(self, scopes: _Document, records: _Document) -> None:
        head = self._head
        for info in self._source.scopes():
            scopes.add(ScopeLine(format_path(info.path), info.since, dict(info.properties)))
            head.scopes += 1
            for found in self._source.heads(info.path):
                with failures(self._problems, found) as failed:
                    item = self._source.fetch(found)
                    if item is not None:
                        records.add(self._line(item))
                        head.records += 1
                        head.size += item.size
                head.left_out += len(failed)

    def finish(self) -> Exported:
        head = self._head
        os.sync()  # one call for all files; fsync of each would take as long as writing them
        head.complete = True
        self._write_head()
        seconds = time.monotonic() - self._began
        return Exported(head.scopes, head.records, head.past, head.size, self._problems, head.left_out, seconds)

    def _line(self, item: Item) -> RecordLine:
        serializer, content_type, encoding = item.codec
        line = RecordLine(
            format_path(item.path), item.key, item.version, item.created, item.updated, item.size, content_type,
            expires=item.expires, tags=json.loads(item.tags) if item.tags else {}, flags=item.flags,
            serializer=serializer, encoding=encoding, config=item.config,
            signature=None if item.signature is None else item.signature.hex(),
        )  # fmt: skip
        data = item.data
        if isinstance(data, int):
            line.number = data
            return line
        assert item.digest is not None
        line.digest = f"{ALGORITHMS[item.algorithm]}:{item.digest.hex()}"
        if data is None or serializer is None or len(data) > _IN_LINE:
            line.file = self._file(item)
            return line
        self._tell(len(data))
        try:
            line.text = data.decode()
        except UnicodeDecodeError:
            line.base64 = b64encode(data).decode()
        return line

    def _file(self, item: Item) -> str:
        """The name of the file that holds the item's bytes, written now unless it is there."""
        content = (item.algorithm, item.digest)
        name = self._files.get(content)
        if name is None:
            name = self._names.give(item.path, item.key, item.codec.encoding)
            if name is None:
                assert item.digest is not None
                name = by_digest(str(ALGORITHMS[item.algorithm]), item.digest)
            if not (name.startswith("objects/") and os.path.exists(self._path(name))):
                self._write(name, item)
            if len(self._files) == _REMEMBERED:
                del self._files[next(iter(self._files))]
            self._files[content] = name
        return name

    def _write(self, name: str, item: Item) -> None:
        path = self._path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        pieces = item.pieces() if item.pieces is not None else iter((item.data,))
        try:
            with open(path, "xb", buffering=0) as file:
                for piece in pieces:
                    view = memoryview(piece)  # type: ignore[arg-type]
                    while view:
                        view = view[file.write(view) :]
                    self._tell(len(piece))  # type: ignore[arg-type]
        except HoldfastError:
            os.unlink(path)
            raise


@contextmanager
def failures(problems: list[Problem], item: Item) -> Iterator[list[HoldfastError]]:
    """What is wrong with one item is noted, and in what is given, and the others go on."""
    failed: list[HoldfastError] = []
    try:
        yield failed
    except _BAD as error:
        failed.append(error)
        if len(problems) < KEPT:
            address = format_address(item.path, item.key)
            problems.append(Problem(address, item.version, error.code, error.message))
