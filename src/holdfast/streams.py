"""Files and streams of values in a scope: written piece by piece, and visible when closed, whole or not at all."""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import AsyncIterable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from types import TracebackType
from typing import Any, ClassVar, NamedTuple

from .address import Path, format_address
from .catalog.base import Ledger, Since
from .compression import UNPACKED, Packer
from .errors import ClosedError, EncodeError, InvalidArgumentError, UnsupportedValue
from .hashing import BLAKE3, hasher
from .kernel import Kernel
from .layout import Layout, pack, size_config
from .model import Record
from .options import Plan
from .payload import Buffer
from .registry import VALUE_STREAM, Registry
from .serializers.base import StreamSerializer
from .steps import Steps, Transfer, run
from .stopping import go_on
from .storages.base import OCTETS, Storage, Writer
from .stream import Stream
from .writing import Encoded, commit_bytes, put_inline, since_now

__all__ = [
    "Block",
    "Draft",
    "FileWriter",
    "Finished",
    "TextFileWriter",
    "Whole",
    "check_text",
    "check_values",
    "check_whole",
    "flat",
    "guess_type",
    "parse_mode",
    "put_chunks",
    "put_values",
    "write_values",
]

_BUFFER = 1 << 20
_NONE: Any = object()
_SEVERAL = (list, tuple, set, frozenset)
_GATHERED = 1 << 18  # bytes of a stream of values that are written at once, where items are small


def guess_type(name: str, charset: str | None = None) -> str | None:
    """The MIME type of a file name's ending, None for no known one; with ``charset`` it is text, in any case."""
    import mimetypes  # reads the system's tables at its first use

    kind, encoding = mimetypes.guess_type(name.rpartition("/")[2])
    if encoding is not None:
        kind = None
    if charset is None:
        return kind
    kind = kind or "text/plain"
    return f"{kind}; charset={charset}" if kind.startswith("text/") else kind


class Finished(NamedTuple):
    """Bytes that were written: where, with what digest, and what the catalog said before."""

    place: Any
    digest: tuple[int, bytes]
    since: Since | None


class Draft:
    """A file, or a stream of values, being written: its bytes go to the storage, or wait here while they may still fit
    into the catalog.

    Attributes:
        size: bytes written so far, as they were given.
        alone: its transfers wait for whoever gives the values, and so are made where nobody waits for them.
    """

    alone: ClassVar[bool] = True

    def __init__(
        self,
        kernel: Kernel,
        ledger: Ledger,
        path: Path,
        key: str,
        plan: Plan,
        size: int | None = None,
        storage: Storage | None = None,
    ) -> None:
        """``storage`` is where all of it goes, and None for the store's own, unless it fits into the catalog.

        Raises:
            InvalidArgumentError: it is to go into a memory.
        """
        if plan.tier is not None:
            raise InvalidArgumentError("files and streams are durable: tier= is for values that are put whole")
        self._kernel = kernel
        self._ledger = ledger
        self._plan = plan
        self._began = {path: ledger.scope_id(path)}
        self._storage = storage or kernel.storage
        self._most = kernel.inline if storage is None else -1
        self._since = since_now(kernel, self._storage)
        self._expected = size
        self._waiting: list[Buffer] = []
        self._writer: Writer | None = None
        self._hash = hasher(BLAKE3)
        self._stored = 0
        self._packer: Packer | None = None
        if plan.compression not in (None, UNPACKED):
            Packer(plan.compression)  # tells of a missing library now
        self._serializer: StreamSerializer | None = None
        self._process = os.getpid()
        self.path = path
        self.key = key
        self.size = 0

    def find_serializer(self, values: Iterator[Any]) -> tuple[StreamSerializer, Iterator[Any]]:
        """Make it a stream of values: by the serializer that the plan names, or by the type of the first one, which the
        others then have, too. Gives the serializer, and the values anew.

        Raises:
            NotRegisteredError: there is no stream serializer of that name.
        """
        registry, plan = self._kernel.registry, self._plan
        if plan.serializer is not None:
            serializer = registry.stream_serializer(plan.serializer)
        else:
            first = next(values, _NONE)
            serializer = registry.stream_serializer(VALUE_STREAM) if first is _NONE else registry.for_items(first)
            values = iter(()) if first is _NONE else _of_one_type(first, values)
        self._serializer = serializer
        self._plan = plan._replace(
            content_type=plan.content_type or serializer.content_types[0],
            compression=plan.compression or serializer.compression,
        )
        return serializer, values

    def take(self, values: Iterable[Any] | AsyncIterable[Any]) -> None:
        """:func:`write_values`, as a transfer."""
        write_values(self, values)

    def write(self, data: Buffer) -> Steps[None]:
        """Append bytes; they are taken when the steps are done."""
        self.size += len(data)
        pieces: list[Buffer] = [data]
        if self._writer is None:
            self._waiting.append(bytes(data))
            if self.size <= self._most:
                return
            pieces, self._waiting = [b"".join(self._waiting)], []
            encoding = self._pack(memoryview(pieces[0])[:_BUFFER]).encoding
            if encoding is not None:  # what does not shrink at its beginning is stored as it is
                self._packer = Packer(encoding)
            tags = json.loads(self._plan.tags) if self._plan.tags else {}
            size = self._expected if encoding is None else None
            options = {"size": size, "content_type": self._content_type(), "encoding": encoding}
            self._writer = yield Transfer(self._storage, "writer", (tags,), options)
        for piece in pieces:
            for part in (piece,) if self._packer is None else self._packer.pack(piece):
                yield from self._store(part)

    def _store(self, piece: Buffer) -> Steps[None]:
        if piece:
            self._stored += len(piece)
            self._hash.update(piece)
            yield Transfer(self._writer, "write", (piece,), {})

    def _content_type(self) -> str:
        return self._plan.content_type or guess_type(self.key) or OCTETS

    def _pack(self, piece: Buffer) -> Layout:
        return pack(Layout((piece,), len(piece), None), self._plan.compression)

    def _digest(self) -> tuple[int, bytes]:
        return BLAKE3, self._hash.digest()

    def finish(self) -> Steps[tuple[Encoded, Finished | None]]:
        """End it: its bytes and, where they did not stay here, their place; nothing is visible yet."""
        if self._process != os.getpid():
            raise ClosedError("this file is written by the process that opened it: open another one in the fork")
        if self._writer is None:
            layout = self._pack(b"".join(self._waiting))
        elif self._packer is None:
            layout = Layout((), self._stored, None)
        else:
            yield from self._store(self._packer.flush())
            layout = Layout((), self._stored, size_config(self.size), self._packer.encoding)
        buffers, size, config, encoding = layout
        name = None if self._serializer is None else self._serializer.name
        codec = self._kernel.codec_ids[name, self._content_type(), encoding]
        signer = name if self._serializer is not None and self._serializer.executable else None
        encoded = Encoded(codec, buffers, size, config, signer)
        if self._writer is None:
            return encoded, None
        self._ledger.scope_id(self.path)  # raises in a transaction that has ended, before the bytes are finished
        place = yield Transfer(self._writer, "commit", (self._digest,), {"sync": self._plan.power})
        return encoded, Finished(place, self._digest(), self._since)

    def commit(self) -> Steps[Record]:
        """Make it visible, whole, under its key."""
        encoded, done = yield from self.finish()
        where = (self._kernel, self._ledger, self.path, self.key)
        if done is None:
            return put_inline(*where, encoded, None, self._plan, self._began)
        return commit_bytes(*where, encoded, done.place, done.digest, self._plan, self._began, done.since)

    def abort(self) -> None:
        """Discard what was written; nothing becomes visible."""
        self._waiting = []
        if self._writer is not None:
            self._writer.abort()


def put_chunks(draft: Draft, chunks: Iterable[Buffer]) -> Record:
    """Write all chunks and commit; an error from the iterable leaves nothing behind.

    Raises:
        InvalidArgumentError: no iterable, or a chunk that is not bytes-like.
    """
    if not isinstance(chunks, Iterable):
        raise InvalidArgumentError(f"a stream is an iterable of bytes, not {type(chunks).__name__}")
    try:
        for chunk in chunks:
            run(draft.write(flat(chunk)))
        return run(draft.commit())
    except BaseException:
        draft.abort()
        raise


def put_values(draft: Draft, values: Iterable[Any] | AsyncIterable[Any]) -> Record:
    """Write all values and commit; an error leaves nothing behind.

    Raises:
        NotRegisteredError, EncodeError: by the serializer, which says of which item; and what ``values`` raises.
    """
    try:
        write_values(draft, values)
        return run(draft.commit())
    except BaseException:
        draft.abort()
        raise


def write_values(draft: Draft, values: Iterable[Any] | AsyncIterable[Any]) -> None:
    """Write a stream of values, one at a time. Where it fails, a generator of them is closed."""
    with _drawn(values) as items:
        serializer, items = draft.find_serializer(items)
        with closing(_gathered(serializer.serialize_stream(items))) as pieces:
            for piece in pieces:
                run(draft.write(piece))
        if next(items, _NONE) is not _NONE:
            raise EncodeError(f"the serializer {serializer.name} left items of the stream behind: nothing is stored")


def check_values(registry: Registry, values: Any) -> None:
    """Refuse what is no stream: not iterable, or a value of its own that happens to be.

    Raises:
        InvalidArgumentError: it is such a thing.
    """
    kind = type(values)
    if isinstance(values, (Iterable, AsyncIterable)):
        if kind in _SEVERAL or isinstance(values, Stream) or registry.for_type(kind) is None:
            return
        raise InvalidArgumentError(f"a {kind.__qualname__} is one value: put it by put, or give an iterable of several")
    raise InvalidArgumentError(f"a stream is an iterable of values, or an asynchronous one, not {kind.__qualname__}")


def check_whole(values: Any) -> None:
    """Refuse a stream that was got, asynchronous or not, if items of it were read already.

    Raises:
        EncodeError: they were, and would not be put.
    """
    check = getattr(type(values), "check_whole", None)
    if check is not None:
        check(values)


def _drawn(values: Any) -> AbstractContextManager[Iterator[Any]]:
    check_whole(values)
    if isinstance(values, AsyncIterable):
        from .storages.loops import drawn  # with asyncio behind it

        return drawn(values)
    return closing(values) if isinstance(values, Generator) else nullcontext(iter(values))


def _gathered(pieces: Iterator[Buffer]) -> Generator[Buffer]:
    """Pieces that are small joined to larger ones."""
    held = bytearray()
    try:
        for piece in pieces:
            go_on()
            if len(held) + len(piece) < _GATHERED:
                held += flat(piece)
                continue
            if held:
                yield held
                held = bytearray()
            yield flat(piece)
        yield held
    finally:
        if hasattr(pieces, "close"):  # else it would end when the error that ended this is forgotten
            pieces.close()


def _of_one_type(first: Any, others: Iterator[Any]) -> Iterator[Any]:
    kind = type(first)
    yield first
    del first
    for number, item in enumerate(others, 2):
        if type(item) is not kind:
            raise UnsupportedValue(
                f"item {number} of the stream is a {type(item).__qualname__}, the first one a {kind.__qualname__}: "
                f"name a serializer that takes both, as in serializer={VALUE_STREAM!r}"
            )
        yield item
        del item


def flat(chunk: Any) -> Buffer:
    """One piece of a stream as bytes that have a length.

    Raises:
        InvalidArgumentError: it is not bytes-like.
    """
    if isinstance(chunk, bytes):
        return chunk
    try:
        view = memoryview(chunk)
        if "O" in view.format:
            raise TypeError("references to objects")
        return view.cast("B") if view.c_contiguous and view.nbytes else view.tobytes()
    except (BufferError, NotImplementedError, TypeError, ValueError):
        raise InvalidArgumentError(f"a stream of bytes gave {type(chunk).__name__}: give it as bytes") from None


class _Sink(io.RawIOBase):
    """The unbuffered end of a :class:`FileWriter`."""

    def __init__(self, draft: Draft) -> None:
        super().__init__()
        self.draft = draft
        self.discard = False

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.draft.size

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        if not self.discard:
            run(self.draft.write(view))
        return len(view)


class Block:
    """How a ``with`` block of a file being put ends: whole by ``close()``, or not at all by an exception."""

    def __exit__(
        self: Any, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


class Whole(Block):
    """The same, and not at all when it is forgotten."""

    def __del__(self: Any) -> None:
        if not self.closed:
            self.abort()  # before the warning, which may be an error
            warnings.warn(f"{self.name} was never closed and is discarded", ResourceWarning, stacklevel=2)


class FileWriter(Whole, io.BufferedWriter):
    """A binary file being put: ``close()`` makes it visible, leaving its ``with`` block by an exception discards it.

    Attributes:
        record: after a successful ``close()``, what was written.
    """

    def __init__(self, draft: Draft) -> None:
        self._sink = _Sink(draft)
        self._draft = draft
        self.record: Record | None = None
        super().__init__(self._sink, _BUFFER)

    @property
    def name(self) -> str:
        """The address being written."""
        return format_address(self._draft.path, self._draft.key)

    def close(self) -> None:
        """Commit.

        Raises:
            HoldfastError: what a put would raise; then nothing is visible and nothing stays.
        """
        if self.closed:
            return
        try:
            super().close()
            if not self._sink.discard:
                self.record = run(self._draft.commit())
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Discard; does nothing after a ``close()``."""
        if self.record is None:
            self._sink.discard = True
            self._draft.abort()
            super().close()


class TextFileWriter(Whole, io.TextIOWrapper):
    """A text file being put; see :class:`FileWriter`."""

    def __init__(self, file: FileWriter, encoding: str | None, newline: str | None, errors: str | None = None) -> None:
        self._file = file
        super().__init__(file, encoding or "utf-8", errors, newline)

    @property
    def record(self) -> Record | None:
        """After a successful ``close()``, what was written."""
        return self._file.record

    def abort(self) -> None:
        """Discard; does nothing after a ``close()``."""
        self._file.abort()  # what is still to be encoded goes with the file below, which is closed now


def parse_mode(mode: str) -> tuple[str, bool]:
    """``(r, w or x; text or not)`` of a mode of :func:`open`.

    Raises:
        InvalidArgumentError: another mode.
    """
    if not isinstance(mode, str):
        raise InvalidArgumentError(f"mode must be a str such as 'rb', not {mode!r}")
    kind = mode.replace("b", "", 1).replace("t", "", 1)
    if kind not in ("r", "w", "x") or ("b" in mode and "t" in mode):
        raise InvalidArgumentError(
            f"mode {mode!r}: there are r, w and x, with b or t (a record is written anew as a whole)"
        )
    return kind, "b" not in mode


def check_text(encoding: str, newline: str | None) -> None:
    """Refuse an encoding or a newline that no text file has, before anything is opened.

    Raises:
        InvalidArgumentError: it is unknown.
    """
    try:
        io.TextIOWrapper(io.BytesIO(), encoding, newline=newline)
    except (LookupError, TypeError, ValueError) as error:
        raise InvalidArgumentError(f"encoding {encoding!r} and newline {newline!r}: {error}") from None
