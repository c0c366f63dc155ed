"""Arrays: no copy in either direction, and headers that lie are refused before memory is taken."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from holdfast.errors import DecodeError, UnsupportedValue
from holdfast.payload import OUT_OF_BAND, Buffer, Payload
from holdfast.serializers.numpy import NumpySerializer

from .equality import identical
from .values import STRUCTURE

NUMPY = NumpySerializer()


def there_and_back(value: Any) -> Any:
    payload = NUMPY.serialize(value)
    buffers: list[Buffer] = [
        bytes(payload.buffers[0]),
        *(memoryview(bytearray(buffer)) for buffer in payload.buffers[1:]),
    ]
    return NUMPY.deserialize(Payload(buffers, payload.content_type))


types = st.one_of(
    hnp.scalar_dtypes(), hnp.array_dtypes(hnp.scalar_dtypes(), max_size=3), hnp.nested_dtypes(max_leaves=4)
)


@given(st.data())
def test_any_array_comes_back(data):
    dtype = data.draw(types.filter(lambda dtype: dtype.subdtype is None))
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    raw = data.draw(st.binary(min_size=1, max_size=64))
    size = int(np.prod(shape)) * dtype.itemsize
    memory = (raw * (size // len(raw) + 1))[:size]
    if dtype.kind == "U" or dtype.fields:
        memory = bytes(size)  # any bytes make a number, not so a text
    array = np.ndarray(shape, dtype, memory) if size else np.zeros(shape, dtype)
    assert identical(array, there_and_back(array))
    turned = array.T
    assert identical(turned, there_and_back(turned))
    scattered = array[..., ::2] if array.ndim else array
    assert scattered.tobytes() == there_and_back(scattered).tobytes()


@pytest.mark.parametrize("order", ["C", "F"])
def test_large_memory_is_never_copied(order):
    array = np.zeros((4_000, 1_000), order=order)
    tracemalloc.start()
    try:
        payload = NUMPY.serialize(array)
        memory = payload.buffers[1]
        assert np.shares_memory(np.frombuffer(memory, np.uint8), array)
        mapped = memoryview(bytearray(memory))
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        back = NUMPY.deserialize(Payload([payload.buffers[0], mapped], payload.content_type))
        assert tracemalloc.get_traced_memory()[1] - before < 100_000
    finally:
        tracemalloc.stop()
    assert np.shares_memory(back, np.frombuffer(mapped, np.uint8))
    assert back.flags.writeable
    assert back.flags.aligned
    assert back.flags.f_contiguous == (order == "F")


def test_a_scattered_array_is_copied_once():
    array = np.zeros((4_000, 1_000))[:, ::2]
    tracemalloc.start()
    try:
        NUMPY.serialize(array)
        assert array.nbytes <= tracemalloc.get_traced_memory()[1] < 1.1 * array.nbytes
    finally:
        tracemalloc.stop()


def test_the_limit_of_in_band():
    assert len(NUMPY.serialize(np.zeros(OUT_OF_BAND - 1, "u1")).buffers) == 1
    assert len(NUMPY.serialize(np.zeros(OUT_OF_BAND, "u1")).buffers) == 2


@pytest.mark.parametrize("offset", [1, 4])
def test_results_are_aligned_and_writable_whatever_the_buffer(offset):
    """A buffer that is neither is copied rather than handed out."""
    payload = NUMPY.serialize(np.arange(10_000.0))
    whole = bytes(offset) + bytes(payload.buffers[1])
    back = NUMPY.deserialize(Payload([payload.buffers[0], memoryview(whole)[offset:]], payload.content_type))
    assert back.flags.aligned
    assert back.flags.writeable
    assert np.array_equal(back, np.arange(10_000.0))


def test_small_results_are_writable():
    back = there_and_back(np.arange(3))
    back[0] = 9
    assert back.tolist() == [9, 1, 2]


class Special(np.ndarray):
    pass


@pytest.mark.parametrize(
    "value",
    [
        np.array([None]),
        np.zeros(2, [("a", object)]),
        np.ma.array([1]),
        np.zeros(2).view(Special),
        np.rec.array([(1, 2)], dtype=[("a", "i4"), ("b", "i4")]),
        np.array(["a"], dtype=np.dtypes.StringDType()),
        np.zeros(3, np.dtype("f8", metadata={"unit": "m"})),
        np.zeros(2, [("a", np.dtype("f8", metadata={"unit": "m"}))]),
        np.zeros(2, np.dtype((np.record, [("a", "i4")]))),
        np.str_("ends in nul\0"),
        [1, 2],
        1.5,
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'dtype', '')}"[:40],
)
def test_what_would_change_is_refused(value):
    with pytest.raises(UnsupportedValue):
        NUMPY.serialize(value)


def header(*parts: Any) -> bytes:
    return bytes(msgpack.packb(list(parts)))


def structure(**changes: Any) -> dict[str, Any]:
    return {
        "names": ["a"],
        "formats": ["<i4"],
        "offsets": [0],
        "titles": [None],
        "itemsize": 4,
        "aligned": False,
        **changes,
    }


def nest(levels: int) -> Any:
    inner: Any = "<i4"
    for _ in range(levels):
        inner = structure(formats=[inner])
    return inner


HOSTILE = {
    "nothing": b"",
    "no msgpack": b"\xc1",
    "a number": b"\x01",
    "too few parts": header("array", "<f8"),
    "too many parts": header("array", "<f8", [0], "C", 1),
    "unknown thing": header("matrix", "<f8", [0], "C"),
    "unknown order": header("array", "<f8", [0], "A"),
    "objects": header("array", "|O", [1], "C") + bytes(8),
    "objects in a structure": header("array", structure(formats=["|O"], itemsize=8), [1], "C") + bytes(8),
    "a type by expression": header("array", "f8,(1000000,)f8", [0], "C"),
    "a type by name": header("array", "float64", [0], "C"),
    "a type that is a number": header("array", 5, [0], "C"),
    "a huge item": header("array", "|V9999999999", [1], "C") + bytes(8),
    "a huge shape": header("array", "<f8", [2**40, 2**40], "C") + bytes(8),
    "a huge shape with a zero": header("array", "<f8", [2**62, 0, 2**62], "C"),
    "a huge array of nothing": header("array", "<f8", [2**63], "C"),
    "a negative shape": header("array", "<f8", [-1, -1], "C") + bytes(8),
    "a shape of floats": header("array", "<f8", [1.0], "C") + bytes(8),
    "a shape of truths": header("array", "<f8", [True], "C") + bytes(8),
    "a shape of a hundred dimensions": header("array", "<f8", [1] * 100, "C") + bytes(8),
    "a scalar with a shape": header("scalar", "<f8", [1], "C") + bytes(8),
    "too little memory": header("array", "<f8", [2], "C") + bytes(15),
    "too much memory": header("array", "<f8", [2], "C") + bytes(17),
    "a field outside": header("array", structure(offsets=[4]), [1], "C") + bytes(4),
    "a field before": header("array", structure(offsets=[-4]), [1], "C") + bytes(4),
    "equal names": header(
        "array", structure(names=["a", "a"], formats=["<i4"] * 2, offsets=[0, 0], titles=[None] * 2), [1], "C"
    )
    + bytes(4),
    "names without formats": header("array", structure(names=["a", "b"]), [1], "C") + bytes(4),
    "a structure without size": header("array", structure(itemsize=None), [1], "C") + bytes(4),
    "a sub-array that is huge": header("array", ["<i4", [2**40]], [1], "C") + bytes(4),
    "structures in structures": header("array", nest(100), [1], "C") + bytes(4),
    "long doubles of another machine": header("array", ["<f16", "longdouble", 7], [1], "C") + bytes(16),
    "text that cannot be": header("array", "<U1", [1], "C") + b"\xff\xff\xff\xff",
    "text that cannot be, in big endian": header("array", ">U1", [1], "C") + b"\xff\x00\x00\x00",
    "a text scalar that cannot be": header("scalar", "<U1", [], "C") + b"\xff\xff\xff\x7f",
    "text that cannot be, in a structure": header("array", structure(formats=["<U1"]), [1], "C") + b"\xff\xff\xff\x7f",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_lying_headers_are_refused_in_little_memory(case):
    payload = Payload([HOSTILE[case]], "application/vnd.holdfast.numpy")
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            NUMPY.deserialize(payload)
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()


@given(
    st.recursive(
        st.none()
        | st.integers(-(2**63), 2**64 - 1)
        | st.sampled_from(["array", "scalar", "<f8", "|V1", "<U2", "C", "F", "longdouble", "names"]),
        lambda parts: st.lists(parts, max_size=5) | st.dictionaries(st.sampled_from(list(structure())), parts),
    ),
    st.binary(max_size=40),
)
def test_any_header_is_read_or_refused(parts, memory):
    data = msgpack.packb(parts)
    try:
        NUMPY.deserialize(Payload([data + memory], "application/vnd.holdfast.numpy"))
    except DecodeError:
        pass


def test_long_doubles_say_of_which_machine_they_are():
    what, dtype, _, _ = _header(np.zeros(2, np.longdouble))
    assert what == "array"
    assert dtype[1:] == ["longdouble", int(np.finfo(np.longdouble).nmant)]


def _header(value: Any) -> list[Any]:
    unpacker = msgpack.Unpacker()
    unpacker.feed(NUMPY.serialize(value).buffers[0])
    return list(unpacker.unpack())


def test_structures_keep_their_layout():
    array = np.zeros(3, STRUCTURE)
    array["name"] = ["a", "bc", "naïv"]
    back = there_and_back(array)
    assert back.dtype == STRUCTURE
    assert back.dtype.isalignedstruct
    assert back["name"].tolist() == ["a", "bc", "naïv"]
