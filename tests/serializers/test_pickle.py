"""Pickles: buffers out of band, errors that name the part, and nothing run without trust."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from holdfast.errors import DecodeError, EncodeError, SignatureError
from holdfast.payload import OUT_OF_BAND, Buffer, Payload
from holdfast.serializers.pickle import PickleSerializer

PICKLE = PickleSerializer()


@dataclass
class Model:
    weights: Any
    extra: Any = None


def trusted(payload: Payload) -> Payload:
    buffers: list[Buffer] = [
        bytes(payload.buffers[0]),
        *(memoryview(bytearray(buffer)) for buffer in payload.buffers[1:]),
    ]
    return Payload(buffers, payload.content_type, trusted=True)


@pytest.mark.parametrize("order", ["C", "F"])
def test_large_arrays_inside_objects_are_not_copied(order):
    model = Model(np.zeros((300, 400), order=order), np.zeros(10))
    payload = PICKLE.serialize(model)
    assert len(payload.buffers) == 2, "the large one is out of band, the small one is not"
    assert np.shares_memory(np.frombuffer(payload.buffers[1], np.uint8), model.weights)
    stored = trusted(payload)
    back = PICKLE.deserialize(stored)
    assert np.shares_memory(np.frombuffer(stored.buffers[1], np.uint8), back.weights)
    assert back.weights.flags.f_contiguous == (order == "F")
    back.weights[0, 0] = back.extra[0] = 5


def test_the_limit_of_in_band():
    assert len(PICKLE.serialize(Model(np.zeros(OUT_OF_BAND - 1, "u1"))).buffers) == 1
    assert len(PICKLE.serialize(Model(np.zeros(OUT_OF_BAND, "u1"))).buffers) == 2


def test_scattered_memory():
    model = Model(np.arange(200_000)[::2])
    assert np.array_equal(PICKLE.deserialize(trusted(PICKLE.serialize(model))).weights, model.weights)


def test_nothing_is_loaded_without_trust():
    payload = PICKLE.serialize(Model(1))
    with pytest.raises(SignatureError, match="trust=True"):
        PICKLE.deserialize(payload)
    with pytest.raises(SignatureError):
        PICKLE.deserialize(Payload([b"junk"], payload.content_type))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (threading.Lock(), r"cannot pickle value, a _thread\.lock"),
        ({"a": [1, Model(threading.Lock())]}, r"cannot pickle value\['a'\]\[1\]\.weights, a _thread\.lock"),
        ([{"gen": (n for n in [1])}], r"cannot pickle value\[0\]\['gen'\], a builtins\.generator"),
    ],
)
def test_what_cannot_be_pickled_is_named(value, says):
    with pytest.raises(EncodeError, match=says):
        PICKLE.serialize(value)


def test_a_cycle_around_the_culprit():
    cycle: list[Any] = [1]
    cycle += [cycle, threading.Lock()]
    with pytest.raises(EncodeError, match=r"value\[2\], a _thread\.lock"):
        PICKLE.serialize(cycle)


def test_too_deep():
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(EncodeError, match="nested too deeply"):
        PICKLE.serialize(deep)


class Broken:
    def __reduce__(self) -> Any:
        return int, ("no number",)


class Failing:
    def __reduce__(self) -> Any:
        raise OSError("the device is gone")


def test_errors_of_the_objects_are_told():
    with pytest.raises(EncodeError, match=r"value\['x'\].*Failing: the device is gone"):
        PICKLE.serialize({"x": Failing()})
    with pytest.raises(DecodeError, match="ValueError: invalid literal"):
        PICKLE.deserialize(trusted(PICKLE.serialize(Broken())))


def test_missing_modules_and_names_are_told():
    gone = b"cno_such_module_here\nThing\n."
    with pytest.raises(DecodeError, match="needs the module no_such_module_here"):
        PICKLE.deserialize(Payload([gone], "x/y", trusted=True))
    with pytest.raises(DecodeError, match="NoSuchName"):
        PICKLE.deserialize(Payload([b"cio\nNoSuchName\n."], "x/y", trusted=True))


def test_broken_pickles():
    payload = PICKLE.serialize(Model(np.zeros(OUT_OF_BAND)))
    for buffers in ([], [b""], [b"\x80"], [b"."], payload.buffers[:1]):
        with pytest.raises(DecodeError):
            PICKLE.deserialize(Payload(buffers, "x/y", trusted=True))


def test_classes_of_main_travel_by_value(tmp_path):
    """A script's own class is read by a process that has never seen the script."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            from holdfast.serializers.pickle import PickleSerializer

            class Own:
                def double(self, n):
                    return 2 * n

            sys.stdout.buffer.write(PickleSerializer().serialize(Own()).buffers[0])
            """
        )
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, check=True)
    own = PICKLE.deserialize(Payload([done.stdout], "x/y", trusted=True))
    assert own.double(4) == 8
