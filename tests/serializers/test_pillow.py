"""Images: PNG where it is exact, nothing else is opened, and small files cannot take much memory."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from holdfast.errors import DecodeError, UnsupportedValue
from holdfast.payload import Payload
from holdfast.serializers.pillow import PillowSerializer

from .equality import same_image

PILLOW = PillowSerializer()


def there_and_back(image: Any) -> Any:
    payload = PILLOW.serialize(image)
    return PILLOW.deserialize(Payload([bytes(buffer) for buffer in payload.buffers], payload.content_type))


def test_a_photograph_is_a_png_that_anyone_opens():
    image = Image.fromarray(np.random.default_rng(1).integers(0, 255, (300, 200, 3), "u1"))
    payload = PILLOW.serialize(image)
    assert payload.content_type == "image/png"
    assert payload.buffers[0] == b""
    with Image.open(io.BytesIO(payload.buffers[1])) as opened:
        assert opened.format == "PNG"
        assert opened.tobytes() == image.tobytes()


@pytest.mark.parametrize("transparency", [3, b"\x00\x01\x02"])
def test_palettes_and_transparency(transparency):
    image = Image.frombytes("P", (30, 20), bytes(n % 5 for n in range(600)))
    image.putpalette(bytes(range(15)))
    image.info["transparency"] = transparency
    assert same_image(image, there_and_back(image))


def test_a_transparent_colour():
    image = Image.new("RGB", (9, 9))
    image.info["transparency"] = (1, 2, 3)
    assert same_image(image, there_and_back(image))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "PPM", "GIF"])
def test_opened_files_come_back_as_plain_images(kind):
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (250, 3, 7)).save(file, kind)
    with Image.open(file) as opened:
        back = there_and_back(opened)
        assert type(back) is Image.Image
        assert (back.mode, back.size, back.tobytes()) == (opened.mode, opened.size, opened.tobytes())


def test_files_of_several_frames_are_refused():
    file = io.BytesIO()
    frames = [Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    with Image.open(file) as opened, pytest.raises(UnsupportedValue, match="2 frames"):
        PILLOW.serialize(opened)


def test_info_of_odd_types_is_left_out():
    image = Image.new("L", (2, 2))
    odd: Any = {"plain": 1, "odd": object(), 5: "no text as name"}
    image.info.update(odd)
    assert there_and_back(image).info == {"plain": 1}


class Own(Image.Image):
    pass


def test_other_classes_are_refused():
    for value in (Own(), b"png", np.zeros((2, 2))):
        with pytest.raises(UnsupportedValue):
            PILLOW.serialize(value)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *, info: bytes | None = b"\x90", data: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    extra = chunk(b"hfIn", info) if info is not None else b""
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def of(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, kind)
    return file.getvalue()


HOSTILE = {
    "a decompression bomb": png(30_000, 30_000, data=bytes(1000)),
    "the largest size": png(2**31 - 1, 2**31 - 1),
    "no rows": png(1, 0),
    "too few pixels": png(20, 20, data=bytes(10)),
    "no info": png(1, 1, info=None, data=bytes(4)),
    "info that is no list": png(1, 1, info=b"\xc0", data=bytes(4)),
    "info that is no msgpack": png(1, 1, info=b"\xc1", data=bytes(4)),
    "info with a nested value": png(1, 1, info=b"\x91\x93\xa1a\xc2\x91\x90", data=bytes(4)),
    "a JPEG": of("JPEG"),
    "a GIF": of("GIF"),
    "a TIFF": of("TIFF"),
    "a PNG without end": of("PNG")[:-4],
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "raw of no mode": b"\x94\xa1Z\x92\x01\x01\xc0\x90" + bytes(1),
    "raw of a size of 2**40": b"\x94\xa1L\x92\xcf\0\0\1\0\0\0\0\0\xcf\0\0\1\0\0\0\0\0\xc0\x90" + bytes(8),
    "raw of a negative size": b"\x94\xa1L\x92\xff\xff\xc0\x90" + bytes(8),
    "raw of too few bytes": b"\x94\xa1F\x92\x02\x02\xc0\x90" + bytes(15),
    "raw of too many bytes": b"\x94\xa1F\x92\x02\x02\xc0\x90" + bytes(17),
    "raw of nothing with pixels": b"\x94\xa1L\x92\x00\x00\xc0\x90" + bytes(1),
    "a palette for colours": b"\x94\xa3RGB\x92\x01\x01\x92\xa3RGB\xc4\x03abc\x90" + bytes(3),
    "a palette of text": b"\x94\xa1P\x92\x01\x01\x92\xa3RGB\xa3abc\x90" + bytes(1),
    "a palette too long": b"\x94\xa1P\x92\x01\x01\x92\xa3RGB\xc5\x04\x00" + bytes(1024) + b"\x90" + bytes(1),
    "nothing": b"",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_images_are_refused(case):
    with pytest.raises(DecodeError):
        PILLOW.deserialize(Payload([HOSTILE[case]], "image/png"))


def test_large_images_go_raw():
    """Beyond what a reader would unpack from a PNG."""
    image = Image.new("1", (8_200, 8_200))
    payload = PILLOW.serialize(image)
    assert payload.content_type == "application/vnd.holdfast.image"
    assert same_image(image, there_and_back(image))


def test_the_callers_content_type_does_not_matter():
    payload = PILLOW.serialize(Image.new("F", (3, 3), 1.5))
    assert same_image(PILLOW.deserialize(Payload(payload.buffers, "image/x-mine")), Image.new("F", (3, 3), 1.5))
