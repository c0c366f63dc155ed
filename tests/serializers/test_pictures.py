"""Figures, pixels and frames of videos: what others read of them, what is refused, and what hostile bytes come to."""

from __future__ import annotations

import base64
import io
import json
import struct
import sys
from typing import Any

import av
import numpy as np
import plotly.graph_objects as go
import plotly.io
import pytest
from PIL import Image

import holdfast
from holdfast.errors import DecodeError, InvalidArgumentError, MissingExtraError, UnsupportedValue
from holdfast.payload import Payload
from holdfast.registry import Registry
from holdfast.serializers.video import VideoSerializer

from .equality import identical, same_figure
from .test_pillow import HOSTILE, png
from .values import FRAMES_OF_VIDEO, PIXELS, figures

DEFAULT = Registry.default()
FIGURE, PNG, VIDEO = (
    DEFAULT.serializer("holdfast.plotly@v1"),
    DEFAULT.serializer("holdfast.png@v1"),
    DEFAULT.stream_serializer("holdfast.video@v1"),
)


def text(figure: Any) -> bytes:
    return bytes(FIGURE.serialize(figure).buffers[0])


def film(frames: Any, serializer: Any = VIDEO) -> bytes:
    return b"".join(map(bytes, serializer.serialize_stream(iter(frames))))


def test_plotly_itself_reads_a_stored_figure() -> None:
    for figure in figures():
        shown = plotly.io.from_json(text(figure).decode())
        assert type(shown) is go.Figure
        assert [trace.type for trace in shown.data] == [trace.type for trace in figure.data]
    numbers = go.Figure(go.Scatter(y=np.arange(3) / 7))
    assert json.loads(text(numbers))["data"][0]["y"] == json.loads(numbers.to_json())["data"][0]["y"]


def test_a_figure_from_elsewhere_is_read() -> None:
    figure = go.Figure(go.Scatter(y=[1, 2]))
    assert same_figure(FIGURE.deserialize(Payload([figure.to_json().encode()], "application/json")), figure)


def test_a_figure_is_used_on(tmp_path: Any) -> None:
    """Its arrays compute, its grid takes traces, and it stands inside plain data."""
    _, arrays, bare, grid, *_ = figures()
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("a")
        assert scope.put("k", [grid, {"arrays": arrays}]).serializer == "holdfast.value@v1"
        got, others = scope.get("k")
        got.add_trace(go.Scatter(y=[3]), row=2, col=1)
        assert got.data[1].xaxis == "x2"
        assert others["arrays"].data[1].y.dtype == np.dtype("i8")
        assert scope.put("bare", bare).content_type == "application/vnd.plotly.v1+json"
        assert scope.get("bare").layout.template.to_plotly_json() == {}
        with_template = plotly.io.templates.default
        plotly.io.templates.default = "plotly_dark"
        try:
            assert same_figure(scope.get("bare"), bare)
        finally:
            plotly.io.templates.default = with_template


class Odd:
    pass


@pytest.mark.parametrize(
    ("figure", "message"),
    [
        (go.Figure(go.Scatter(meta=Odd())), r"JSON would not give back the Odd at value\['data'\]\[0\]\['meta'\]"),
        (go.Figure(go.Scatter(meta={1: 2})), "a key of type int"),
        (go.Figure(go.Scatter(y=[1], meta="\ud800")), "lone surrogate"),
        ({"data": []}, "takes plotly.graph_objects.Figure, not builtins.dict"),
        (go.Scatter(y=[1]), "not plotly.graph_objs._scatter.Scatter"),
    ],
)
def test_figures_that_would_come_back_changed_are_refused(figure: Any, message: str) -> None:
    with pytest.raises(UnsupportedValue, match=message):
        FIGURE.serialize(figure)


def test_figures_that_were_not_validated_are_refused() -> None:
    wrong = go.Figure(data=[{"type": "scatter", "y": [1]}])
    wrong.data[0]._props["mode"] = 7
    with pytest.raises(UnsupportedValue, match=r"would not be read again.*'mode'"):
        FIGURE.serialize(wrong)


def marked(value: Any, mark: Any) -> bytes:
    figure = {"data": [{"type": "scatter", "y": value}], "layout": {}}
    return json.dumps({**figure, "holdfast": {"exact": {"data": {"0": {"y": mark}}}}}).encode()


HUGE = base64.b64encode(bytes(8)).decode()

HOSTILE_FIGURES = {
    "no figure": b"{}",
    "a list": b"[]",
    "another key": b'{"data": [], "layout": {}, "x": 1}',
    "another trace": b'{"data": [{"type": "os.system"}], "layout": {}}',
    "another property": b'{"data": [{"type": "scatter", "evil": 1}], "layout": {}}',
    "a layout that is none": b'{"data": [], "layout": [1]}',
    "no UTF-8": b"\xff",
    "deep": b"[" * 100_000,
    "deep marks": b'{"data": [], "layout": {}, "holdfast": {"exact": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_002,
    "a mark that nobody writes": marked([1], "os.system"),
    "a mark of another place": marked([1], {"7": "nan"}),
    "nan of a text": marked("x", "nan"),
    "an array of objects of numpy's": marked([1], "|V8 1"),
    "an array of many dimensions": marked([1], "<i8 " + ",".join(["1"] * 70)),
    "an array of a negative shape": marked([1], "<i8 -1"),
    "an array of another shape": marked([1, 2], "|O 1"),
    "an array of 2**60 numbers": marked({"dtype": "f8", "bdata": HUGE}, f"<f8 {2**60}"),
    "an array of no base64": marked({"dtype": "f8", "bdata": "é"}, "<f8 1"),
    "an array of a cut number": marked({"dtype": "f8", "bdata": "AAAA"}, "<f8 1"),
    "an array of pickled objects": marked({"dtype": "O", "bdata": HUGE}, "|O 1"),
    "an array of a text": marked("12", "<i8 2"),
    "a moment that is none": marked(["x"], {"0": "datetime"}),
    "a moment that is a number": marked([1], {"0": "Timestamp ns"}),
    "moments of texts": marked(["x"], "<M8[ns] 1"),
    "a tuple of a text": marked(["x"], {"0": "tuple"}),
    "a grid of numbers": b'{"data": [], "layout": {}, "holdfast": {"grid": ["x", [[[[1, 2, 3]]]]]}}',
    "a grid of a number": b'{"data": [], "layout": {}, "holdfast": {"grid": [1, null]}}',
}


@pytest.mark.parametrize("case", HOSTILE_FIGURES)
def test_hostile_figures_are_refused(case: str) -> None:
    with pytest.raises(DecodeError):
        FIGURE.deserialize(Payload([HOSTILE_FIGURES[case]], "application/json"))


def test_pixels_are_a_png_that_anyone_opens() -> None:
    for pixels in PIXELS:
        with Image.open(io.BytesIO(PNG.serialize(pixels).buffers[-1])) as opened:
            assert opened.format == "PNG"
            assert identical(np.array(opened), pixels)


@pytest.mark.parametrize(
    "value",
    [
        *(np.zeros(shape, "u1") for shape in ((2, 2, 1), (2, 2, 5), (0, 2), 3)),
        *(np.zeros((2, 2), kind) for kind in ("f8", "?", ">u2", object)),
        np.zeros((2, 2, 3), "u2"),
        b"",
        [[1]],
    ],
)
def test_pixels_that_no_png_holds_are_refused(value: Any) -> None:
    with pytest.raises(UnsupportedValue):
        PNG.serialize(value)


def palette() -> bytes:
    file = io.BytesIO()
    Image.new("P", (2, 2)).save(file, "PNG")
    return file.getvalue()


def moving() -> bytes:
    file = io.BytesIO()
    Image.new("L", (2, 2)).save(file, "PNG", save_all=True, append_images=[Image.new("L", (2, 2), 9)])
    return file.getvalue()


NO_PIXELS = {key: data for key, data in HOSTILE.items() if "info" not in key}


@pytest.mark.parametrize("data", [*NO_PIXELS.values(), palette(), moving(), png(9000, 9000, data=bytes(100))])
def test_hostile_pixels_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        PNG.deserialize(Payload([data], "image/png"))


def test_others_play_a_stored_video() -> None:
    frames = FRAMES_OF_VIDEO[0]
    with av.open(io.BytesIO(film(frames, VideoSerializer(rate=10))), "r") as container:
        (stream,) = container.streams.video
        assert (stream.codec_context.name, float(stream.average_rate or 0)) == ("ffv1", 10.0)
        played = [picture.to_ndarray(format="rgb24") for picture in container.decode(stream)]
    assert identical(played, frames)


def test_frames_are_arrays_of_their_own() -> None:
    for frames in FRAMES_OF_VIDEO:
        for frame in VIDEO.deserialize_stream(io.BytesIO(film(frames))):
            assert frame.flags.c_contiguous
            assert frame.flags.owndata
            frame[:] = 0


def test_a_video_has_a_rate() -> None:
    for rate in (0, -1, 2.5, "25", True):
        with pytest.raises(InvalidArgumentError, match="frames a second"):
            VideoSerializer(rate=rate)  # type: ignore[arg-type]


GREY = np.zeros((8, 8), "u1")


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([np.zeros((8, 8))], "item 1 .* an array of float64"),
        ([np.zeros((8, 8, 2), "u1")], "has no form as a frame"),
        ([np.zeros((8, 8, 1), "u1")], "has no form as a frame"),
        ([np.zeros((0, 8), "u1")], "has no form as a frame"),
        ([GREY, np.zeros((8, 9), "u1")], r"item 2 .*\(8, 9\) is not like the first frame, uint8 of \(8, 8\)"),
        ([GREY, GREY.astype("u2")], "item 2 .* is not like the first"),
        ([GREY, "text"], "item 2 .* a str is no array"),
    ],
)
def test_frames_that_no_video_holds_are_refused(frames: Any, message: str) -> None:
    with pytest.raises(UnsupportedValue, match=message):
        film(frames)


def container(codec: str, form: str, kind: str = "matroska", **options: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as opened:
        stream: Any = opened.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 16, 16, form
        opened.mux(
            stream.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16), "u1"), format="gray").reformat(format=form))
        )
        opened.mux(stream.encode(None))
    return file.getvalue()


END = film([])[:-8]


def test_videos_of_others_are_refused() -> None:
    one = END + (1).to_bytes(8, "big")
    for data in (
        container("mpeg4", "yuv420p") + one,
        container("ffv1", "yuv420p") + one,
        container("ffv1", "gray", "nut") + one,
        container("ffv1", "gray"),
        container("ffv1", "gray") + END + (2).to_bytes(8, "big"),
        b"ffconcat version 1.0\nfile /etc/passwd\n" + one,
        b"#EXTM3U\nhttp://localhost/x\n" + one,
        b"",
        one,
    ):
        with pytest.raises(DecodeError):
            list(VIDEO.deserialize_stream(io.BytesIO(data)))
    assert len(list(VIDEO.deserialize_stream(io.BytesIO(container("ffv1", "gray") + one)))) == 1


def test_a_size_that_is_only_claimed_takes_no_memory() -> None:
    data = film([GREY])
    at = data.index(b"\xb0\x81\x08\xba\x81\x08")  # width and height of the track
    large = data[:at] + b"\xb0\x84" + struct.pack(">I", 1 << 30) + b"\xba\x81\x08" + data[at + 6 :]
    with pytest.raises(DecodeError):
        list(VIDEO.deserialize_stream(io.BytesIO(large)))


@pytest.mark.parametrize(
    ("module", "act", "extra"),
    [
        ("plotly.graph_objs", lambda: FIGURE.deserialize(Payload([b"{}"], "")), "plotly"),
        ("PIL.Image", lambda: PNG.serialize(GREY), "pillow"),
        ("av", lambda: film([GREY]), "video"),
        ("av", lambda: list(VIDEO.deserialize_stream(io.BytesIO(bytes(100)))), "video"),
    ],
)
def test_missing_libraries_are_named(module: str, act: Any, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf'pip install "holdfast\[{extra}\]"'):
        act()
