"""Frames of a video as one: lossless (FFV1 in Matroska), for players and other programs. Chosen by name only."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, ClassVar

from ..errors import DecodeError, HoldfastError, InvalidArgumentError, MissingExtraError, UnsupportedValue
from ..payload import Buffer
from .base import StreamSerializer
from .items import each

__all__ = ["VideoSerializer"]

_CODEC = "ffv1"
_MOST = 1 << 28  # pixels of a frame
_FORMATS = {  # (bytes of a number, channels) to the forms of pixels in memory and in the stream
    (1, 1): ("gray", "gray"),
    (1, 3): ("rgb24", "bgr0"),
    (1, 4): ("rgba", "bgra"),
    (2, 1): ("gray16le", "gray16le"),
    (2, 3): ("rgb48le", "gbrp16le"),
    (2, 4): ("rgba64le", "gbrap16le"),
}
_MEMORY = {stored: memory for memory, stored in _FORMATS.values()}
# At once to the file, with no more of a stream in memory than a frame; and checksums in every frame.
_CONTAINER = {"flush_packets": "1", "cluster_time_limit": "0"}
_ENCODER = {"level": "3", "slicecrc": "1"}
_DECODER = {"err_detect": "crccheck+explode"}
_END = b"\xec\x90holdfast"  # an element that Matroska lets players pass over; the number of frames follows in 8 bytes


class VideoSerializer(StreamSerializer):
    """A stream of NumPy arrays of one shape: ``(height, width)``, or with 3 (RGB) or 4 (RGBA) channels behind, of
    ``uint8`` or ``uint16``. Every value comes back as it was.

    Args:
        rate: frames a second, for players.
    """

    name: ClassVar[str] = "holdfast.video@v1"
    content_types: ClassVar[tuple[str, ...]] = ("video/matroska",)

    def __init__(self, rate: int = 25) -> None:
        if type(rate) is not int or rate < 1:
            raise InvalidArgumentError(f"the rate is a number of frames a second from 1 on, not {rate!r}")
        self._rate = rate

    def serialize_stream(self, values: Iterator[Any]) -> Iterator[Buffer]:
        """Give the video as it is encoded; a few frames behind."""
        writer = _Writer(self._rate)
        try:
            for pieces in each(values, writer.add):
                yield from pieces
            yield from writer.end()
        finally:
            writer.close()

    def deserialize_stream(self, file: BinaryIO) -> Iterator[Any]:
        """Give each frame, an array of its own."""
        source, count = _Source(file), 0
        if source.begin() != _END:
            with _damage(self.name, source):
                frames = _frames(source)
            while True:
                with _damage(self.name, source):
                    frame = next(frames, None)
                if frame is None:
                    break
                yield frame
                count += 1
        while source.read(1 << 16):
            pass
        if source.tail != _END + count.to_bytes(8, "big"):
            raise DecodeError(f"these bytes are no {self.name}: they do not end behind {count} frames")


def _av() -> Any:
    try:
        import av
        import numpy  # noqa: F401  for whom frames are
    except ImportError as error:
        raise MissingExtraError('video needs PyAV: pip install "holdfast[video]"') from error
    return av


class _Writer:
    """One video being written."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._sink = _Sink()
        self._container: Any = None
        self._count = 0

    def add(self, frame: Any) -> list[bytes]:
        """Encode a frame, and give what bytes there are by now."""
        import numpy as np

        av = _av()
        if type(frame) is not np.ndarray or frame.dtype.str not in ("|u1", "<u2") or frame.ndim not in (2, 3):
            raise UnsupportedValue(f"{_told(frame)} is no array of two or three dimensions of uint8 or uint16")
        form = _FORMATS.get((frame.dtype.itemsize, 1 if frame.ndim == 2 else frame.shape[2]))
        if form is None or not frame.size or frame.shape[0] * frame.shape[1] > _MOST or (frame.shape[2:] == (1,)):
            raise UnsupportedValue(f"{_told(frame)} has no form as a frame of a video")
        if self._container is None:
            self._begin(av, frame, form)
        if (frame.shape, frame.dtype) != self._kind:
            raise UnsupportedValue(f"{_told(frame)} is not like the first frame, {self._kind[1]} of {self._kind[0]}")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=form[0])
        picture = picture.reformat(format=self._stream.pix_fmt)
        picture.pts = self._count
        self._container.mux(self._stream.encode(picture))
        self._count += 1
        return self._sink.taken()

    def _begin(self, av: Any, frame: Any, form: tuple[str, str]) -> None:
        self._kind = frame.shape, frame.dtype
        self._container = av.open(self._sink, "w", format="matroska", container_options=_CONTAINER)
        self._stream = self._container.add_stream(_CODEC, rate=self._rate, options=_ENCODER)
        self._stream.height, self._stream.width = frame.shape[:2]
        self._stream.pix_fmt = form[1]

    def end(self) -> list[bytes]:
        """Give the rest of the bytes."""
        if self._container is not None:
            self._container.mux(self._stream.encode(None))
        self.close()
        return [*self._sink.taken(), _END + self._count.to_bytes(8, "big")]

    def close(self) -> None:
        """Let go of the encoder."""
        if self._container is not None:
            self._container.close()


def _told(frame: Any) -> str:
    shape = getattr(frame, "shape", None)
    return f"a {type(frame).__name__}" if shape is None else f"an array of {getattr(frame, 'dtype', '?')} of {shape}"


def _frames(source: _Source) -> Iterator[Any]:
    """The frames of a file of ours."""
    container = _av().open(source, "r", format="matroska")
    (stream,) = container.streams
    kind = stream.codec_context
    if kind.name != _CODEC or kind.pix_fmt not in _MEMORY or not 0 < kind.width * kind.height <= _MOST:
        raise ValueError(f"a stream of {kind.name}, {kind.width} x {kind.height} pixels of {kind.pix_fmt}")
    shape = kind.width, kind.height, kind.pix_fmt
    kind.options = _DECODER
    return _decoded(container, stream, shape)


def _decoded(container: Any, stream: Any, shape: tuple[int, int, str]) -> Iterator[Any]:
    with container:
        for picture in container.decode(stream):
            if (picture.width, picture.height, picture.format.name) != shape or picture.is_corrupt:
                raise ValueError("a frame that is not like the first, or damaged")
            array = picture.reformat(format=_MEMORY[shape[2]]).to_ndarray()
            yield (
                array if array.flags.owndata and array.flags.c_contiguous else array.copy()
            )  # else it is the decoder's


class _Sink(io.RawIOBase):
    """A file that the encoder writes to, whose pieces are taken out."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def taken(self) -> list[bytes]:
        pieces, self._pieces = self._pieces, []
        return pieces


class _Source(io.RawIOBase):
    """A file that the decoder reads forward; it remembers the last bytes, and what the file below raised."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._first = b""
        self.trouble: BaseException | None = None
        self.tail = b""

    def begin(self) -> bytes:
        """The first bytes, which are read again."""
        self._first = self._file.read(len(_END) + 8)
        self.tail = self._first[-len(_END) - 8 :]
        return self._first[: len(_END)]

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if self._first:
            data, self._first = self._first[:size], self._first[size:] if 0 <= size < len(self._first) else b""
            return data
        try:
            data = self._file.read(size)
        except BaseException as error:
            self.trouble = error
            raise
        self.tail = (self.tail + data)[-len(_END) - 8 :]
        return data


@contextmanager
def _damage(name: str, source: _Source) -> Iterator[None]:
    """What hostile bytes bring PyAV to raise, as a DecodeError; what their file raised as it was."""
    try:
        yield
    except HoldfastError:
        raise
    except Exception as error:
        if source.trouble is not None:
            raise source.trouble from None
        raise DecodeError(f"these bytes are no {name}: {str(error) or type(error).__name__}") from error
