"""Pillow images, as PNG where PNG keeps every bit, else as raw pixels; and arrays of pixels as PNG."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import Any, ClassVar

import msgpack

from ..errors import DecodeError, HoldfastError, MissingExtraError, UnsupportedValue
from ..payload import OUT_OF_BAND, Buffer, Payload
from .base import Serializer

__all__ = ["PillowSerializer", "PngSerializer"]

_PNG = "image/png"
_RAW = "application/vnd.holdfast.image"
_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})
_RAW_MODES = _PNG_MODES | {"I", "F", "PA", "RGBX", "RGBa", "La", "CMYK", "YCbCr", "LAB", "HSV", "I;16B", "I;16L"}
_MAX_PIXELS = 1 << 26  # a PNG of a few KB can stand for any number of pixels; larger images go raw
_PNG_START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_CHUNK = b"hfIn"  # private, and safe to ignore for others: the image's info
_ARRAYS = {  # modes of PNGs to the arrays that they are: type, and channels where these are an axis
    "L": ("|u1", None),
    "LA": ("|u1", 2),
    "RGB": ("|u1", 3),
    "RGBA": ("|u1", 4),
    "I;16": ("<u2", None),
}
_MODES = {kind: mode for mode, kind in _ARRAYS.items()}
_PLAIN = (type(None), bool, int, float, str, bytes)


class PillowSerializer(Serializer):
    """``PIL.Image.Image`` and the images that Pillow's plug-ins open, which come back as plain ``PIL.Image.Image``.

    Mode, size, pixels, palette, transparency and the ``info`` entries of plain types (numbers, text, bytes, and tuples
    of them) are kept. Of a file with several frames the current one is kept, so such files are
    :class:`~holdfast.errors.UnsupportedValue`: put the file itself.
    """

    name: ClassVar[str] = "holdfast.pillow@v1"
    types: ClassVar[tuple[str, ...]] = (
        "PIL.Image.Image",
        "PIL.BmpImagePlugin.BmpImageFile",
        "PIL.GifImagePlugin.GifImageFile",
        "PIL.Jpeg2KImagePlugin.Jpeg2KImageFile",
        "PIL.JpegImagePlugin.JpegImageFile",
        "PIL.PngImagePlugin.PngImageFile",
        "PIL.PpmImagePlugin.PpmImageFile",
        "PIL.TiffImagePlugin.TiffImageFile",
        "PIL.WebPImagePlugin.WebPImageFile",
    )
    content_types: ClassVar[tuple[str, ...]] = (_PNG, _RAW)

    def serialize(self, value: Any) -> Payload:
        """Give a PNG file, or a header and the pixels."""
        pil = _pil()
        kind = type(value)
        if not isinstance(value, pil.Image) or not kind.__module__.startswith("PIL."):
            raise UnsupportedValue(f"{self.name} takes PIL.Image.Image, not {kind.__module__}.{kind.__qualname__}")
        if getattr(value, "n_frames", 1) != 1:
            raise UnsupportedValue(f"the image has {value.n_frames} frames, of which only one would be kept")
        if value.mode not in _RAW_MODES:
            raise UnsupportedValue(f"images of mode {value.mode} have no exact form")
        value.load()
        info = _plain_info(value)
        if value.mode in _PNG_MODES and 0 < value.width * value.height <= _MAX_PIXELS:
            data = _write_png(value, info)
            if data is not None and _same(_read_png(pil, data), value):
                buffers: tuple[Buffer, ...] = (data,) if len(data) < OUT_OF_BAND else (b"", data)
                return Payload(buffers, _PNG)
        header = msgpack.packb([value.mode, list(value.size), _palette(value), info])
        pixels = value.tobytes()
        return Payload((header + pixels,) if len(pixels) < OUT_OF_BAND else (header, pixels), _RAW)

    def deserialize(self, payload: Payload) -> Any:
        """Give the image, loaded."""
        pil = _pil()
        buffers = payload.buffers
        try:
            if not 1 <= len(buffers) <= 2:
                raise ValueError(f"{len(buffers)} buffers")
            # Told from the bytes, as the content type of a record may be the caller's own.
            if len(buffers[0]) and buffers[0][0] != _PNG_START[0]:
                return _read_raw(pil, buffers)
            if len(buffers) == 2 and len(buffers[0]):
                raise ValueError("bytes before the PNG")
            return _read_png(pil, buffers[-1])
        except (HoldfastError, MemoryError):
            raise
        except Exception as error:
            raise DecodeError(f"these bytes are no {self.name}: {str(error) or type(error).__name__}") from error


class PngSerializer(Serializer):
    """NumPy arrays of pixels as PNG files for viewers; by name only.

    ``(height, width)`` of ``uint8`` or ``uint16``, and ``uint8`` with 2 to 4 channels behind: grey and alpha,
    RGB, RGBA.
    """

    name: ClassVar[str] = "holdfast.png@v1"
    content_types: ClassVar[tuple[str, ...]] = (_PNG,)

    def serialize(self, value: Any) -> Payload:
        """Give a PNG file."""
        pil = _pil()
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        if kind != "numpy.ndarray":
            raise UnsupportedValue(f"{self.name} takes numpy.ndarray, not {kind}")
        channels = (None, *value.shape[2:])[-1] if value.ndim in (2, 3) else 0
        mode = _MODES.get((value.dtype.str, channels))
        if mode is None or not 0 < value.shape[0] * value.shape[1] <= _MAX_PIXELS:
            raise UnsupportedValue(f"an array of {value.dtype} of {value.shape} has no form as a PNG")
        target = io.BytesIO()
        pil.fromarray(value).save(target, "PNG", compress_level=1)
        data = target.getvalue()
        return Payload((data,) if len(data) < OUT_OF_BAND else (b"", data), _PNG)

    def deserialize(self, payload: Payload) -> Any:
        """Give the array, of memory of its own."""
        pil = _pil()
        try:
            data, *more = [buffer for buffer in payload.buffers if len(buffer)]
            if more or len(payload.buffers) > 2:
                raise ValueError(f"{len(payload.buffers)} buffers")
            with _opened_png(pil, data) as opened:
                opened.load()
                return _pixels(opened)
        except (HoldfastError, MemoryError):
            raise
        except Exception as error:
            raise DecodeError(f"these bytes are no {self.name}: {str(error) or type(error).__name__}") from error


def _pixels(image: Any) -> Any:
    import numpy as np

    dtype, channels = _ARRAYS[image.mode]
    shape = (image.height, image.width) if channels is None else (image.height, image.width, channels)
    array = np.array(image)
    if (array.dtype.str, array.shape) != (dtype, shape) or getattr(image, "n_frames", 1) != 1:
        raise ValueError("another kind of image")
    return array


def _pil() -> Any:
    try:
        import PIL.Image
    except ImportError as error:
        raise MissingExtraError('this value needs Pillow: pip install "holdfast[pillow]"') from error
    return PIL.Image


def _plain_info(image: Any) -> list[list[Any]]:
    """The info as ``[name, is it a tuple, value]``, without entries of types that only Pillow's plug-ins know."""
    entries = []
    for name, value in image.info.items():
        items = value if type(value) is tuple else (value,)
        if type(name) is str and all(type(item) in _PLAIN for item in items):
            entries.append([name, type(value) is tuple, list(items) if type(value) is tuple else value])
    return entries


def _read_info(entries: Any) -> dict[Any, Any]:
    if type(entries) is not list:
        raise ValueError("no list of info entries")
    info = {}
    for name, is_tuple, value in entries:
        items = value if is_tuple is True and type(value) is list else [value]
        if type(name) is not str or not all(type(item) in _PLAIN for item in items):
            raise ValueError("an info entry that is not plain")
        info[name] = tuple(value) if is_tuple is True else value
    return info


def _palette(image: Any) -> list[Any] | None:
    if image.palette is None or image.mode not in ("P", "PA", "L", "LA"):
        return None
    mode = "RGBA" if image.palette.mode == "RGBA" else "RGB"
    return [mode, bytes(image.getpalette(mode) or b"")]


def _same(one: Any, other: Any) -> bool:
    return (
        (one.mode, one.size, one.info.get("transparency")) == (other.mode, other.size, other.info.get("transparency"))
        and _palette(one) == _palette(other)
        and one.tobytes() == other.tobytes()
    )


def _write_png(image: Any, info: list[list[Any]]) -> bytes | None:
    from PIL.PngImagePlugin import PngInfo

    # A copy: Pillow keeps the options of a save in the image, where another thread's save would change them.
    extra = PngInfo()
    try:
        extra.add(_CHUNK, msgpack.packb(info))
        target = io.BytesIO()
        # Level 1: the higher ones take several times as long for a few per cent. None: no profile beside the info's.
        image.copy().save(target, "PNG", pnginfo=extra, compress_level=1, icc_profile=None)
    except (OSError, ValueError, TypeError, struct.error, OverflowError):  # odd transparency or palette: it goes raw
        return None
    return target.getvalue()


def _opened_png(pil: Any, data: Buffer) -> Any:
    if bytes(data[: len(_PNG_START)]) != _PNG_START or bytes(data[-len(_PNG_END) :]) != _PNG_END:
        raise ValueError("not a whole PNG file")
    width, height = struct.unpack_from(">II", data, len(_PNG_START))
    if width * height > _MAX_PIXELS:  # asked before Pillow sees it, whose own limit is the program's to set
        raise ValueError(f"a PNG of {width} x {height} pixels, more than were ever written as one")
    return pil.open(io.BytesIO(data), formats=("PNG",))


def _read_png(pil: Any, data: Buffer) -> Any:
    with _opened_png(pil, data) as opened:
        opened.load()
        chunks = [chunk[1] for chunk in getattr(opened, "private_chunks", ()) if chunk[0] == _CHUNK]
        image = opened.copy()
    if len(chunks) != 1:
        raise ValueError("a PNG that was not written by a store: get it as a file")
    kept = {"transparency": image.info["transparency"]} if "transparency" in image.info else {}
    image.info = {**_read_info(msgpack.unpackb(chunks[0])), **kept}
    return image


def _read_raw(pil: Any, buffers: Sequence[Buffer]) -> Any:
    unpacker = msgpack.Unpacker(max_buffer_size=max(len(buffers[0]), 1))
    unpacker.feed(buffers[0])
    mode, (width, height), palette, info = unpacker.unpack()
    rest = memoryview(buffers[0])[unpacker.tell() :]
    if len(buffers) == 2 and len(rest):
        raise ValueError("bytes after the header")
    if mode not in _RAW_MODES or type(width) is not int or type(height) is not int or width < 0 or height < 0:
        raise ValueError("impossible mode or size")
    pixels = buffers[1] if len(buffers) == 2 else rest
    if (width + 7) // 8 * height > len(pixels):  # at least a bit for each, asked before memory for them is taken
        raise ValueError(f"{len(pixels)} bytes are too few for {width} x {height} pixels")
    if width and height:
        if len(pil.new(mode, (width, 1)).tobytes()) * height != len(pixels):
            raise ValueError(f"{len(pixels)} bytes are not {width} x {height} pixels")
        image = pil.frombytes(mode, (width, height), bytes(pixels))
    elif len(pixels):
        raise ValueError("pixels of an empty image")
    else:
        image = pil.new(mode, (width, height))
    if palette is not None:
        kind, colours = palette
        if kind not in ("RGB", "RGBA") or type(colours) is not bytes or mode not in ("P", "PA", "L", "LA"):
            raise ValueError("impossible palette")
        if len(colours) > 256 * len(kind) or len(colours) % len(kind):
            raise ValueError("a palette of too many or broken colours")
        image.putpalette(colours, kind)
        if image.mode != mode:
            raise ValueError("a palette for a mode that has none")
    image.info = _read_info(info)
    return image
