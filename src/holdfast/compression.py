"""Content encodings: bytes made fewer by zstd or lz4, all at once or as they pass, and made whole again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from io import BytesIO
from typing import Any

from .errors import DecodeError, HoldfastError, InvalidArgumentError, MissingExtraError
from .payload import Buffer
from .stopping import go_on

__all__ = ["ENCODINGS", "UNPACKED", "Packer", "check_compression", "shrink", "unpack", "unpacked"]

ENCODINGS = {"zstd": "zstandard", "lz4": "lz4.frame"}
"""The encodings that there are, by their names in records, each with its library: one zstd frame, one LZ4 frame."""

UNPACKED = "none"
"""What asks for no encoding where a handle or a serializer has one."""

_PIECE = 1 << 20
_WINDOW = 1 << 23  # what zstd may look back; writers that follow RFC 9659 stay within it
_MOST = 1 << 16  # no frame grows by more


def check_compression(name: Any) -> str | None:
    """Give an encoding back when it is one, or "none", or None for what the serializer says.

    Raises:
        InvalidArgumentError: another one.
    """
    if name is None or name in (*ENCODINGS, UNPACKED):
        return name  # type: ignore[no-any-return]
    raise InvalidArgumentError(f"compression must be {', '.join(map(repr, ENCODINGS))} or {UNPACKED!r}, not {name!r}")


def _library(encoding: str) -> Any:
    try:
        return import_module(ENCODINGS[encoding])
    except ImportError as error:
        raise MissingExtraError(
            f'{encoding} needs a library of its own: pip install "holdfast[compression]"'
        ) from error


class Packer:
    """Makes one stream of bytes fewer, by an encoding; ``size`` of them, where that is known.

    Raises:
        MissingExtraError: the encoding's library is not installed.
    """

    def __init__(self, encoding: str, size: int | None = None) -> None:
        self.encoding = encoding
        library, self._head = _library(encoding), b""
        if encoding == "zstd":
            self._state = library.ZstdCompressor().compressobj(size=-1 if size is None else size)
        else:
            self._state = library.LZ4FrameCompressor()
            self._head = self._state.begin()

    def pack(self, data: Buffer) -> Iterator[bytes]:
        """What the next bytes come to, as far as it is known by now."""
        view = memoryview(data)
        for start in range(0, len(view), _PIECE):
            go_on()
            head, self._head = self._head, b""
            yield head + self._state.compress(view[start : start + _PIECE])

    def flush(self) -> bytes:
        """The rest, when all were given."""
        return self._head + self._state.flush()  # type: ignore[no-any-return]


def shrink(encoding: str, buffers: Iterable[Buffer], size: int) -> tuple[list[bytes], int] | None:
    """Buffers of ``size`` bytes together in fewer bytes, and how many; None where that saves less than a tenth."""
    packed, total = [], 0
    for piece in _packed(Packer(encoding, size), buffers):
        packed.append(piece)
        total += len(piece)
        if total > size - size // 10:
            return None
    return packed, total


def _packed(packer: Packer, buffers: Iterable[Buffer]) -> Iterator[bytes]:
    for buffer in buffers:
        yield from packer.pack(buffer)
    yield packer.flush()


class _Source:
    """Pieces of bytes as a file to read."""

    def __init__(self, pieces: Iterable[Buffer]) -> None:
        self._pieces = (memoryview(piece) for piece in pieces if piece)
        self._rest = memoryview(b"")

    def read(self, size: int) -> memoryview:
        if not self._rest:
            self._rest = next(self._pieces, self._rest)
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    def drain(self) -> int:
        """Read the rest, so that whoever gives the pieces sees their end; gives its bytes."""
        return len(self._rest) + sum(map(len, self._pieces))


def unpacked(encoding: str | None, pieces: Iterable[Buffer], size: int, where: str) -> Iterator[bytes]:
    """The ``size`` bytes that were packed, in pieces of at most 1 MB, however few they were made.

    Raises:
        DecodeError: an encoding that is not known here, or bytes that no packing of ``size`` bytes gives.
        MissingExtraError: the encoding's library is not installed.
        HoldfastError: what ``pieces`` raises, which is read to its end in any case.
    """
    if encoding not in ENCODINGS:
        raise DecodeError(
            f"{where} has the content encoding {encoding!r}, and this version reads {', '.join(ENCODINGS)}"
        )
    library, source, left = _library(encoding), _Source(pieces), size
    problem: Exception | None = None
    try:
        if encoding == "zstd":
            reader = library.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(source)
        else:
            reader = library.LZ4FrameFile(source, mode="rb")
        while left >= 0 and (piece := reader.read(_PIECE)):
            left -= len(piece)
            if left >= 0:
                yield piece
    except HoldfastError:
        raise
    except (EOFError, RuntimeError, getattr(library, "ZstdError", EOFError)) as error:
        problem = error
    if source.drain() or left or problem:
        raise DecodeError(f"the stored bytes of {where} are not {size} bytes in {encoding}") from problem


def unpack(encoding: str | None, packed: Buffer, size: int, where: str) -> BytesIO:
    """The same from memory to memory; no more than ``size`` bytes are taken.

    Raises:
        DecodeError, MissingExtraError: as :func:`unpacked`.
    """
    if size > len(packed) * _MOST:
        raise DecodeError(f"the {len(packed)} stored bytes of {where} cannot come to {size} bytes")
    whole = BytesIO()  # grows as they come, and gives them away without a copy
    for piece in unpacked(encoding, (packed,), size, where):
        go_on()
        whole.write(piece)
    return whole
