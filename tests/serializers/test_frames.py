"""Frames and tables: no copies where there need be none, what would change is refused, and hostile parts too."""

from __future__ import annotations

import datetime as dt
import resource
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import pandas as hpd

from holdfast.errors import DecodeError, UnsupportedValue
from holdfast.payload import Payload
from holdfast.registry import Registry

from .equality import identical

REGISTRY = Registry.default()
PANDAS = REGISTRY.serializer("holdfast.pandas@v1")
POLARS = REGISTRY.serializer("holdfast.polars@v1")
ARROW = REGISTRY.serializer("holdfast.arrow@v1")
VALUE = REGISTRY.serializer("holdfast.value@v1")


def mapped(payload: Payload) -> Payload:
    """The payload with out-of-band buffers as a store maps them."""
    buffers = [payload.buffers[0], *(memoryview(bytearray(buffer)) for buffer in payload.buffers[1:])]
    return Payload(buffers, payload.content_type, payload.encoding, payload.config)


def address(buffer: Any) -> int:
    return int(np.frombuffer(buffer, np.uint8).ctypes.data)


MEASURE = """
import resource, sys, time
import numpy as np, pandas as pd
from holdfast.registry import Registry
from holdfast.payload import Payload
pandas = Registry.default().serializer("holdfast.pandas@v1")
make = {
    "rows": lambda n: pd.DataFrame(np.ones((n, 8)), copy=False),
    "columns": lambda n: pd.DataFrame({name: np.ones(n) for name in "abcdefgh"}),
    "stamps": lambda n: pd.DataFrame(np.zeros((n, 8), "M8[us]"), index=pd.RangeIndex(n), copy=False),
}[sys.argv[1]]
small = make(20_000)
payload = pandas.serialize(small)
pandas.deserialize(payload)
frame = make(1_000_000)
def status(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key + ":"))
memory = lambda: status("VmRSS")
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak counts from here
before = memory()
payload = pandas.serialize(frame)
peak = status("VmHWM") - before
view = memoryview(bytearray(payload.buffers[1]))
stored = Payload([bytes(payload.buffers[0]), view], payload.content_type)
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before, times = memory(), []
for _ in range(20):
    start = time.perf_counter()
    back = pandas.deserialize(stored)
    times.append(time.perf_counter() - start)
print(peak, status("VmHWM") - before, sorted(times)[10], len(payload.buffers))
back.iloc[0, 0] = back.iloc[1, 1]
assert back.iloc[5:, 3:].equals(frame.iloc[5:, 3:])
"""


@pytest.mark.parametrize("layout", ["rows", "columns", "stamps"])
def test_a_numeric_frame_is_never_copied(layout):
    """64 MB are put and got in less than 5 MB, and got in well under a millisecond or so, whatever the layout."""
    done = subprocess.run([sys.executable, "-c", MEASURE, layout], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    put, got, seconds, buffers = map(float, done.stdout.split())
    assert buffers == 2
    assert put < 5_000, f"put took {put} KB"
    assert got < 5_000, f"get took {got} KB"
    assert seconds < 0.005, f"get took {seconds} s"  # the promise is 1 ms on a quiet machine


def test_columns_of_a_mixed_frame_are_not_copied():
    frame = pd.DataFrame({"a": np.arange(20_000), "b": np.arange(20_000.0), "c": pd.date_range("2020", periods=20_000)})
    payload = PANDAS.serialize(frame)
    assert {address(buffer) for buffer in payload.buffers[1:]} == {
        address(frame[name].to_numpy().view("i8")) for name in "abc"
    }
    stored = mapped(payload)
    back = PANDAS.deserialize(stored)
    assert {address(buffer) for buffer in stored.buffers[1:]} == {
        address(back[name].to_numpy().view("i8")) for name in "abc"
    }
    back.loc[0, "a"] = 5
    assert back.loc[0, "a"] == 5


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (pd.DataFrame({"a": [object()]}), "no plain data"),
        (pd.DataFrame({"a": pd.Series([pd.NA, 1], dtype=object)}), "no plain data"),
        (pd.Series(pd.arrays.SparseArray([0, 1])), "Sparse"),
        (pd.date_range("2020", periods=3, freq=pd.offsets.CustomBusinessDay(holidays=["2020-01-02"])), "frequency"),
        (pd.DataFrame({"a": [1]}, index=[object()]), "no plain data"),
        (type("Sub", (pd.DataFrame,), {})({"a": [1]}), "Sub"),
        (pd.Timestamp("2020"), "Timestamp"),
    ],
)
def test_pandas_objects_that_would_change_are_refused(value, says):
    with pytest.raises(UnsupportedValue, match=says):
        PANDAS.serialize(value)


frames = hpd.data_frames(
    [
        hpd.column("f", dtype=float),
        hpd.column("i", dtype=int),
        hpd.column("b", dtype=bool),
        hpd.column("t", elements=st.text(st.characters(exclude_categories=["Cs"]))),
        hpd.column("m", dtype="datetime64[ns]"),
    ]
)


@given(frames)
def test_any_frame_comes_back(whole):
    for value in (whole, whole[["f"]], whole.T if len(whole) < 5 else whole, whole["t"], whole.set_index("i")):
        try:
            payload = PANDAS.serialize(value)
        except UnsupportedValue:
            assert any(dtype.kind == "O" for dtype in getattr(value, "dtypes", [])), "only objects are refused"
            continue
        assert identical(value, PANDAS.deserialize(mapped(payload)))


def test_columns_keep_positions_and_not_names():
    """Equal names, and names of one another's positions, do not mix columns up."""
    frame = pd.DataFrame([[1, "a", 2.5, True]], columns=[1, 0, 1, "x"])
    assert identical(frame, PANDAS.deserialize(mapped(PANDAS.serialize(frame))))


NONE = ["range", 0, 0, 1, None]
ONE = ["range", 0, 1, 1, None]
TWO = ["range", 0, 2, 1, None]


def series(array: Any, index: Any = None, attrs: Any = None) -> list[Any]:
    return ["series", array, index or ONE, None, {} if attrs is None else attrs, True]


def frame(columns: Any, index: Any, block: Any, arrays: Any = None) -> list[Any]:
    return ["frame", columns, index, block, arrays, {}, True]


def index(array: Any, freq: Any = None) -> list[Any]:
    return ["index", array, None, freq]


STAMP = np.zeros(1, "i8")

PARTS: dict[str, Any] = {
    "no list": 5,
    "nothing": [],
    "unknown kind": ["panel", 1],
    "too few parts": ["frame", ONE],
    "objects as block": frame(ONE, ONE, [1]),
    "a block of another size": frame(TWO, ONE, np.zeros((3, 3))),
    "a block of three dimensions": frame(ONE, ONE, np.zeros((1, 1, 1))),
    "more columns than labels": frame(NONE, ONE, None, [["object", [1]]]),
    "labels without columns": frame(TWO, ONE, None, []),
    "a column of another length": frame(ONE, TWO, None, [["object", [1]]]),
    "an unknown array": series(["ghost", 1]),
    "an index without end": ["labels", ["range", 0, 10, 0, None]],
    "an index of texts": ["labels", ["range", "a", "b", "c", None]],
    "a name that cannot be": ["labels", ["range", 0, 1, 1, []]],
    "codes out of range": ["labels", ["multi", [index(["object", ["a"]])], [np.array([5], "i1")], [None]]],
    "codes without levels": ["labels", ["multi", [], [np.array([5], "i1")], [None]]],
    "categories out of range": series(["categorical", np.array([7], "i1"), ONE, False]),
    "equal categories": series(["categorical", np.array([0], "i1"), index(["object", [1, 1]]), False]),
    "a mask of another length": series(["masked", np.zeros(2, "i8"), np.zeros(1, "?")], TWO),
    "a mask of numbers": series(["masked", np.zeros(2, "i8"), np.zeros(2, "i8")], TWO),
    "masked stamps": series(["masked", np.zeros(2, "M8[s]"), np.zeros(2, "?")], TWO),
    "a unit that is none": ["labels", index(["datetime", STAMP, "parsec", dt.datetime(2000, 1, 1)])],
    "a zone that is a path": ["labels", index(["datetime", STAMP, "ns", "../../etc/passwd"])],
    "a frequency that is none": ["labels", index(["numpy", np.zeros(2, "M8[ns]")], "often")],
    "a frequency that does not fit": ["labels", index(["numpy", np.zeros(2, "M8[ns]")], "D")],
    "a period of nothing": ["labels", index(["period", STAMP, "__import__('os')"])],
    "numbers as text": series(["text", "python", "NA", [1]]),
    "text kept nowhere": series(["text", "cloud", "NA", ["a"]]),
    "a table of two columns": series(["arrow", pa.table({"a": [1], "b": [1]})]),
    "an interval upside down": ["labels", index(["interval", index(["object", [2]]), index(["object", [1]]), "right"])],
    "attributes that are none": series(["object", [1]], attrs=[1]),
    "a two-dimensional column": series(["numpy", np.zeros((1, 1))]),
    "no index": ["series", ["object", [1]], None, None, {}, True],
}


@pytest.mark.parametrize("case", PARTS)
def test_hostile_parts_are_refused(case):
    payload = VALUE.serialize(PARTS[case])
    with pytest.raises(DecodeError):
        PANDAS.deserialize(mapped(payload))


def test_frames_do_not_nest():
    """Bytes in which a frame holds a frame are refused, so that no chain of them can exhaust the stack."""
    payload = VALUE.serialize(series(["object", [pd.DataFrame()]]))
    with pytest.raises(DecodeError, match="may not be a part of a frame"):
        PANDAS.deserialize(mapped(payload))


def test_arrow_tables_are_read_without_a_copy():
    table = pa.table({"n": np.arange(100_000), "t": ["x"] * 100_000})
    stored = mapped(ARROW.serialize(table))
    back = ARROW.deserialize(stored)
    start, size = address(stored.buffers[1]), len(stored.buffers[1])
    for column in back.columns:
        for buffer in column.chunk(0).buffers():
            assert buffer is None or start <= buffer.address < start + size


def test_arrow_content_is_a_bare_stream():
    """Any Arrow library reads the stored file."""
    table = pa.table({"n": np.arange(100_000)})
    payload = ARROW.serialize(table)
    assert payload.buffers[0] == b""
    assert pa.ipc.open_stream(pa.py_buffer(payload.buffers[1])).read_all().equals(table)


def test_arrow_takes_the_memory_of_one_copy():
    table = pa.table({"n": np.arange(4_000_000)})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ARROW.serialize(table)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1.2 * table.nbytes / 1024


def test_arrow_offsets_are_checked():
    """A text column whose offsets point outside would be read as any memory."""
    table = pa.table({"t": ["hello", "world"]})
    stream = bytearray(ARROW.serialize(table).buffers[0])
    place = stream.index(b"\x05\0\0\0\x0a\0\0\0")
    stream[place + 4 : place + 8] = b"\xff\xff\xff\x7f"
    with pytest.raises(DecodeError):
        ARROW.deserialize(Payload([bytes(stream)], "x/y", config={"type": "table"}))


def test_arrow_batches_are_single():
    stream = ARROW.serialize(pa.concat_tables([pa.table({"a": [1]})] * 2)).buffers[0]
    with pytest.raises(DecodeError, match="more than one"):
        ARROW.deserialize(Payload([stream], "x/y", config={"type": "batch"}))


def test_polars_frames_are_read_without_a_copy():
    frame = pl.DataFrame({"n": np.arange(200_000), "t": ["a longer text that is not inlined"] * 200_000})
    stored = mapped(POLARS.serialize(frame))
    back = POLARS.deserialize(stored)
    start, size = address(stored.buffers[1]), len(stored.buffers[1])
    assert start <= address(back["n"].to_numpy()) < start + size
    assert back.equals(frame)


@pytest.mark.parametrize(
    "value",
    [
        pl.DataFrame({"o": pl.Series([object()], dtype=pl.Object)}),
        pl.DataFrame({"big": pl.Series([2**100], dtype=pl.Int128)}),
        pl.LazyFrame({"a": [1]}),
    ],
    ids=["objects", "128 bits", "lazy"],
)
def test_polars_values_that_would_change_are_refused(value):
    with pytest.raises(UnsupportedValue):
        POLARS.serialize(value)


@pytest.mark.long
def test_damaged_polars_streams_do_not_end_the_process():
    """Thousands of damaged streams, in a process of their own, as Polars' own reader aborts on some of these."""
    script = textwrap.dedent(
        """
        import random, sys
        from holdfast.errors import DecodeError
        from holdfast.payload import Payload
        from holdfast.registry import Registry
        from tests.serializers.values import POLARS_FRAME
        polars = Registry.default().serializer("holdfast.polars@v1")
        payload, chance, refused = polars.serialize(POLARS_FRAME), random.Random(5), 0
        for _ in range(3000):
            data = bytearray(payload.buffers[0])
            for _ in range(chance.choice((1, 1, 2, 5))):
                data[chance.randrange(len(data))] = chance.choice((0, 1, 127, 255, chance.randrange(256)))
            try:
                polars.deserialize(Payload([bytes(data)], payload.content_type, None, payload.config))
            except DecodeError:
                refused += 1
        print(refused)
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 500


@pytest.mark.long
def test_threads_may_put_the_same_polars_frame():
    """Polars holds a frame's own lock while it writes to a Python file, and once stood still here for ever."""
    script = textwrap.dedent(
        """
        import sys, threading
        from holdfast.registry import Registry
        from tests.serializers.values import POLARS_FRAME
        polars = Registry.default().serializer("holdfast.polars@v1")
        sys.setswitchinterval(1e-5)
        work = lambda: [polars.serialize(POLARS_FRAME) for _ in range(100)]
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        """
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
