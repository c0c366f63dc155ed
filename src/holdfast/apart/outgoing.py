"""The files of one record while they are written: each goes to the storage at once, all become visible with it."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from ..address import Path
from ..catalog.base import Ledger, Member, NewBlob, Put, ValueRow
from ..contents import Part, config_text
from ..errors import EncodeError, HoldfastError, InvalidArgumentError, NotFoundError
from ..hashing import ALGORITHMS, digest_buffers
from ..kernel import Kernel
from ..model import DURABLE, STORABLE, Record
from ..options import Plan
from ..payload import Buffer
from ..registry import PICKLE
from ..steps import run
from ..storages.base import OCTETS
from ..storages.file.scratch import Scratch
from ..streams import Block, Draft, Finished, guess_type
from ..writing import Encoded, commit_put, encode, let_go, new_blob, transfer
from .stored import Stored

__all__ = ["BYTES", "VALUE", "Direct", "Outgoing", "Staged", "writable"]

BYTES = "holdfast.bytes@v1"
"""Serializer of the contents that are files."""

VALUE = "value"
"""Name of the content that is the value itself."""

_ROOM = 1 << 20  # bytes of all small contents of a record together that lie in the catalog
_MOST = 1 << 22  # characters that say which contents there are
_CONTENT_TYPE = "application/vnd.holdfast.apart"
_PIECE = 1 << 22


class _Written(NamedTuple):
    """A content that was written: as a member of the bundle, or its bytes, which are to lie in the record."""

    encoded: Encoded
    member: Member | None


class Outgoing:
    """Writes the files of a record, from any threads, and then the record itself."""

    def __init__(self, kernel: Kernel, ledger: Ledger, path: Path, key: str, plan: Plan) -> None:
        kernel.signer.check()  # before bytes are written
        self._where = (kernel, ledger, path, key)
        self._kernel, self._plan = kernel, plan._replace(if_version=None, fence=None, content_type=None, tier=None)
        self._commit_plan = plan
        self._began = {path: ledger.scope_id(path)}
        self._written: dict[str, _Written] = {}
        self._drafts: set[Draft] = set()
        self._open: set[Any] = set()
        self._room = _ROOM
        self._lock = threading.RLock()

    # --- files ------------------------------------------------------------------------------------------------------

    def draft(self, name: str) -> Draft:
        """What takes the bytes of a file."""
        given: object = name
        if not isinstance(given, str) or name in ("", VALUE):
            raise InvalidArgumentError(f"a file in a record has a name of its own, and not {name!r}")
        plan = self._plan._replace(content_type=guess_type(name) or OCTETS)
        with self._lock:
            draft = Draft(*self._where, plan)
            self._drafts.add(draft)
        return draft

    def take(self, name: str, pieces: Iterable[Buffer]) -> None:
        """Write a file, in place of one of that name."""
        draft = self.draft(name)
        try:
            for piece in pieces:
                run(draft.write(piece))
            self.finish(name, draft)
        except BaseException:
            self.abort(draft)
            raise

    def finish(self, name: str, draft: Draft) -> None:
        """A file is whole."""
        with self._lock:
            encoded, done = run(draft.finish())
            self._drafts.discard(draft)
            codec = self._kernel.catalog.codec(encoded.codec)
            number = self._kernel.codec_ids[BYTES, codec.content_type, codec.encoding]
            self._keep(name, encoded._replace(codec=number), done)

    def abort(self, draft: Draft) -> None:
        """Discard what was written of a file."""
        with self._lock:
            if draft in self._drafts:
                self._drafts.discard(draft)
                draft.abort()

    def remove(self, name: str) -> None:
        """Take a file back."""
        with self._lock:
            if name not in self._written:
                raise NotFoundError(f"no file {name} was written")
            self._let_go([self._written.pop(name)])

    def names(self) -> list[str]:
        """The files that are whole by now."""
        with self._lock:
            return list(self._written)

    def stored(self, name: str) -> Stored:
        """A file that was written, to be read again."""
        with self._lock:
            found = self._written.get(name)
        if found is None:
            raise NotFoundError(f"no file {name} was written")
        encoded, member = found
        place: tuple[Any, ...] = (None,) * 9
        data = algorithm = digest = None
        if member is None:
            data = b"".join(encoded.buffers)
            algorithm, digest = digest_buffers((data,), encoded.size)
        else:
            algorithm, digest, blob = member.algorithm, member.digest, member.blob
            assert isinstance(blob, NewBlob)
            place = (None, *blob)
        head = (DURABLE, 0, None, algorithm, digest, encoded.size, encoded.codec, encoded.config, None)
        return Stored(self._kernel, self.place(name), ValueRow(*head, data, *place))

    def _keep(self, name: str, encoded: Encoded, done: Finished | None) -> None:
        member = None
        if done is None and encoded.size > self._room:
            done = Finished(*run(transfer(self._kernel, self._kernel.storage, encoded, self._plan)))
        if done is None:
            self._room -= encoded.size
        else:
            blob = new_blob(self._kernel, done.place, self._plan.power)
            member = Member(blob, *done.digest, encoded.size, done.since)
        before = self._written.pop(name, None)
        self._written[name] = _Written(encoded, member)
        if before is not None:
            self._let_go([before])

    def place(self, name: str) -> tuple[Path, str]:
        """Of a file, for messages."""
        _, _, path, key = self._where
        return path, f"{key} [{name}]"

    # --- files that programs write ----------------------------------------------------------------------------------

    def staged(self, name: str, *, fresh: bool = True) -> Staged:
        """A file to write, to seek in and to read, as a copy without a name beside the store's files."""
        file = Staged(self, name, self._kernel.folder)
        if not fresh:
            with self.stored(name)() as there:
                for piece in iter(lambda: there.read(_PIECE), b""):
                    file.write(piece)
        with self._lock:
            self._open.add(file)
        return file

    def direct(self, name: str) -> Direct:
        """A file to write from its beginning to its end, which goes to the storage as it comes."""
        file = Direct(self, name)
        with self._lock:
            self._open.add(file)
        return file

    def closed(self, file: Any) -> None:
        """A file was closed."""
        with self._lock:
            self._open.discard(file)

    def close_files(self) -> None:
        """Close what a serializer has left open."""
        for file in list(self._open):
            file.close()

    # --- the record -------------------------------------------------------------------------------------------------

    def commit(self, value: Any, thing: tuple[str, str, str]) -> Record:
        """Make the record, of a value that can be pickled, and of the files; ``thing`` is as of an object.

        Raises:
            EncodeError: there are more files than a record can name.
        """
        kernel, ledger, path, key = self._where
        self.close_files()
        encoded = encode(kernel, value, self._plan._replace(serializer=PICKLE, content_type=None))
        done = None
        if encoded.size > min(self._room, kernel.inline):
            done = Finished(*run(transfer(kernel, kernel.storage, encoded, self._plan)))
        self._keep(VALUE, encoded, done)
        joined, members = self._joined(thing)
        data = b"".join(joined.buffers)
        algorithm, digest = digest_buffers([data], len(data))
        plan, signature = self._commit_plan, joined.sign(kernel, algorithm, digest)
        change = Put(
            path, key, joined.codec, algorithm, digest, joined.size, data, config=joined.config, signature=signature,
            tags=plan.tags, expires=plan.expires, if_version=plan.if_version, members=members,
        )  # fmt: skip
        self._written = {}  # whoever commits sees to them
        return commit_put(kernel, ledger, change, plan, self._began)

    def _joined(self, thing: tuple[str, str, str]) -> tuple[Encoded, tuple[Member, ...]]:
        """The record's own data and config, and the contents in the storage."""
        kernel = self._kernel
        parts: list[Part] = []
        buffers: list[Buffer] = []
        members: list[Member] = []
        at = size = 0
        storage, ends = kernel.whereabouts(kernel.storage_id)
        for name, (encoded, member) in self._written.items():
            codec = kernel.catalog.codec(encoded.codec)
            layout = None if encoded.config is None else json.loads(encoded.config)
            algorithm, digest = member[1:3] if member else digest_buffers(encoded.buffers, encoded.size)
            part = Part(
                name, str(codec.serializer), codec.content_type, codec.encoding, layout, encoded.size,
                ALGORITHMS[algorithm], None if digest is None else digest.hex(), False,
            )  # fmt: skip
            if member is None:
                parts.append(part._replace(at=at))
                buffers += encoded.buffers
                at += encoded.size
            else:
                parts.append(part._replace(member=len(members), storage=storage, ephemeral=ends or None))
                members.append(member)
            size += encoded.size
        config = config_text(thing, parts)
        if len(config) > _MOST:
            raise EncodeError(
                f"this value has {len(parts)} files beside it, more than a record can name: use larger chunks"
            )
        own = kernel.codec_ids[STORABLE, self._commit_plan.content_type or _CONTENT_TYPE, None]
        return Encoded(own, buffers, size, config, STORABLE), tuple(members)

    def discard(self) -> None:
        """Delete all that was written and has no record."""
        for file in list(self._open):
            file.abort()
        with self._lock:
            for draft in list(self._drafts):
                self.abort(draft)
            written, self._written = list(self._written.values()), {}
        self._let_go(written)

    def _let_go(self, written: Iterable[_Written]) -> None:
        kernel, _, path, key = self._where
        members = tuple(one.member for one in written if one.member is not None)
        let_go(kernel, Put(path, key, 0, 0, None, 0, members=members)) if members else None


def writable(files: Any, filename: str) -> Outgoing:
    """The files of a record that is being written.

    Raises:
        InvalidArgumentError: it is whole.
    """
    if not isinstance(files, Outgoing):
        raise InvalidArgumentError(f"{filename} is in a record that is whole: put the value anew to change it")
    return files


class Staged(Block, io.BufferedRandom):
    """A file that is written in any order, and taken when it is closed."""

    def __init__(self, outgoing: Outgoing, name: str, folder: str | None) -> None:
        self._outgoing, self._name, self._done = outgoing, name, False
        super().__init__(Scratch(folder), 1 << 17)

    @property
    def name(self) -> str:
        """As it was opened."""
        return self._name

    def close(self) -> None:
        """Take it."""
        if self.closed or self._done:
            return
        self._done = True
        try:
            self.seek(0)
            self._outgoing.take(self._name, self._pieces())
        finally:
            self._outgoing.closed(self)
            self._end()

    def _pieces(self) -> Iterator[bytes]:
        return iter(lambda: self.read(_PIECE), b"")

    def abort(self) -> None:
        """Forget it; does nothing after a ``close()``."""
        self._done = True
        self._outgoing.closed(self)
        self._end()

    def _end(self) -> None:
        with suppress(OSError):  # of what is left to be written, which nobody wants
            super().close()

    def __del__(self) -> None:
        if not self.closed:
            self.abort()


class _Sink(io.RawIOBase):
    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        super().__init__()

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._draft.size

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        run(self._draft.write(view))
        return len(view)


class Direct(Block, io.BufferedWriter):
    """A file that goes to the storage while it is written, and is taken when it is closed."""

    def __init__(self, outgoing: Outgoing, name: str) -> None:
        self._outgoing, self._name = outgoing, name
        self._draft = outgoing.draft(name)
        super().__init__(_Sink(self._draft), 1 << 20)

    @property
    def name(self) -> str:
        """As it was opened."""
        return self._name

    def close(self) -> None:
        """Take it."""
        if self.closed:
            return
        try:
            super().close()
            self._outgoing.finish(self._name, self._draft)
        except BaseException:
            self._outgoing.abort(self._draft)
            raise
        finally:
            self._outgoing.closed(self)

    def abort(self) -> None:
        """Forget it; does nothing after a ``close()``."""
        if not self.closed:
            self._outgoing.abort(self._draft)
            self._outgoing.closed(self)
            with suppress(HoldfastError):  # of what is left to be written, which nobody wants
                super().close()

    def __del__(self) -> None:
        if not self.closed:
            self.abort()
