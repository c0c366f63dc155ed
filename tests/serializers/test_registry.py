"""Names and types to serializers; nothing is imported before it is needed."""

from __future__ import annotations

import collections
import os
import pickle
import subprocess
import sys
import textwrap
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from holdfast.errors import InvalidArgumentError, MissingExtraError, NotRegisteredError
from holdfast.payload import Payload
from holdfast.registry import BUILT_IN, BUILT_IN_STORAGES, BUILT_IN_STREAMS, Registry
from holdfast.serializers.base import Serializer, StreamSerializer
from holdfast.storages.base import Storage
from holdfast.storages.memory import MemoryStorage

from .values import ARRAYS, ARROW, FRAMES, IMAGES, INDEXES, POLARS
from .wrong_serializers import Track, TrackSerializer

DEFAULT = Registry.default()


class OtherTracks(TrackSerializer):
    name = "tests.other-track@v2"
    content_types: ClassVar[tuple[str, ...]] = ("application/x-track", "text/x-track; charset=utf-8")


class Memory(MemoryStorage):
    name = "tests.memory@v1"


@pytest.mark.parametrize("name", [*BUILT_IN, *BUILT_IN_STREAMS])
def test_the_table_says_what_the_classes_say(name):
    entry = {**BUILT_IN, **BUILT_IN_STREAMS}[name]
    module, _, class_name = entry.target.partition(":")
    kind = getattr(import_module("holdfast.serializers." + module), class_name)
    assert kind.name == name
    assert set(kind.types) == set(entry.types)
    assert kind.content_types == entry.content_types
    assert issubclass(kind, Serializer if name in BUILT_IN else StreamSerializer)
    assert type(DEFAULT.reader(name)) is kind
    assert kind.executable == (name == "holdfast.pickle@v1")


@pytest.mark.parametrize("name", BUILT_IN_STORAGES)
def test_the_storages_are_there(name):
    kind = DEFAULT.storage(name)
    assert isinstance(kind, type)
    assert issubclass(kind, Storage)
    assert kind.name == name


def test_importing_it_imports_little():
    script = """
    import sys, types
    package = types.ModuleType("holdfast")  # without what the package's own __init__ imports
    package.__path__ = [sys.argv[1]]
    sys.modules["holdfast"] = package
    import holdfast.registry
    holdfast.registry.Registry.default()
    large = set("numpy pandas polars pyarrow PIL cloudpickle asyncio dataclasses inspect".split())
    print(*(sys.modules.keys() & (large | {"msgpack", "difflib", "importlib.metadata"})))
    registry = holdfast.registry.Registry.default()
    registry.for_value({}).serialize({"a": (1, b"c")})
    registry.for_value("text"), registry.for_value(1), registry.for_value(b"")
    print(*(sys.modules.keys() & large - {"inspect"}))  # which msgspec imports, at the first plain value
    """
    folder = os.path.dirname(import_module("holdfast").__file__ or "")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "\n\n", "something large was imported"


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ([b""], "holdfast.bytes@v1"),
        (["", "\ud800"], "holdfast.text@v1"),
        ([1, 2**100], "holdfast.int@v1"),
        ([None, True, 1.5, {}, [], (), set(), bytearray()], "holdfast.value@v1"),
        ([*ARRAYS, np.array([None])], "holdfast.numpy@v1"),
        ([*FRAMES, *INDEXES], "holdfast.pandas@v1"),
        (POLARS, "holdfast.polars@v1"),
        (ARROW, "holdfast.arrow@v1"),
        (IMAGES, "holdfast.pillow@v1"),
        (
            [object(), collections.OrderedDict(), type("S", (str,), {})(), np.ma.array([1]), len, Track],
            "holdfast.pickle@v1",
        ),
    ],
)
def test_values_find_their_serializer_by_exact_type(values, name):
    for value in values:
        assert DEFAULT.for_value(value).name == name, repr(value)[:80]


def test_types_met_are_remembered_and_others_are_not():
    registry = Registry()
    assert registry.by_type == {}
    assert registry.for_value({}) is registry.by_type[dict]

    class Passing:
        pass

    registry.for_value(Passing())
    assert Passing not in registry.by_type, "a class made in a function would never be freed"


def test_a_type_that_claims_another_name_gains_nothing():
    impostor = type("dict", (), {"__module__": "builtins", "__qualname__": "dict"})
    serializer = DEFAULT.for_value(impostor())
    with pytest.raises(TypeError):
        serializer.serialize(impostor())


def test_added_serializers_win():
    registry = DEFAULT.extend(serializers=[TrackSerializer])
    assert registry.for_value(Track("a", [])).name == "tests.track@v1"
    assert registry.serializer("tests.track@v1") is registry.for_value(Track("", []))
    later = registry.extend(serializers=[OtherTracks()])
    assert later.for_value(Track("a", [])).name == "tests.other-track@v2"
    assert later.serializer("tests.track@v1").name == "tests.track@v1", "what was put before is still read"
    assert registry.for_value(Track("a", [])).name == "tests.track@v1", "a registry never changes"
    assert DEFAULT.for_value(Track("a", [])).name == "holdfast.pickle@v1"


def test_added_serializers_stand_inside_values():
    registry = DEFAULT.extend(serializers=[TrackSerializer()])
    value = {"tracks": [Track("a", [1]), Track("b", list(range(20_000)))]}
    serializer = registry.for_value(value)
    payload = serializer.serialize(value)
    assert len(payload.buffers) == 2
    assert serializer.deserialize(payload) == value


class TrackStream(StreamSerializer):
    name = "tests.track-stream@v1"
    types = TrackSerializer.types
    content_types: ClassVar[tuple[str, ...]] = ("application/x-tracks",)

    def serialize_stream(self, values):
        for value in values:
            yield TrackSerializer().serialize(value).buffers[0]

    def deserialize_stream(self, file):
        yield TrackSerializer().deserialize(Payload((file.read(),), "application/x-track"))


def test_stream_serializers_are_found_by_the_type_of_an_item_and_by_name():
    registry = DEFAULT.extend(serializers=[TrackSerializer, TrackStream()])
    assert registry.for_items(Track("a", [])).name == "tests.track-stream@v1"
    assert registry.for_value(Track("a", [])).name == "tests.track@v1", "the two kinds do not get into each other's way"
    assert registry.stream_serializer("tests.track-stream@v1") is registry.reader("tests.track-stream@v1")
    assert registry.reader("tests.track@v1") is registry.serializer("tests.track@v1")
    assert DEFAULT.for_items(Track("a", [])).name == "holdfast.value-stream@v1"
    assert pickle.loads(pickle.dumps(registry)).for_items(Track("a", [])).name == "tests.track-stream@v1"
    with pytest.raises(NotRegisteredError, match=r"'tests\.track-stream@v1' is of streams: use put_stream"):
        registry.serializer("tests.track-stream@v1")
    with pytest.raises(NotRegisteredError, match=r"'tests\.track@v1' is of whole values: use put"):
        registry.stream_serializer("tests.track@v1")
    with pytest.raises(NotRegisteredError, match=r"did you mean holdfast\.json-lines@v1"):
        registry.stream_serializer("holdfast.json-line@v1")


def test_added_serializers_may_replace_the_shipped():
    class MyText(TrackSerializer):
        name = "holdfast.text@v1"
        types = ("builtins.str",)

    registry = Registry([MyText()])
    assert type(registry.for_value("a")) is MyText
    assert type(registry.serializer("holdfast.text@v1")) is MyText


def test_content_types():
    assert DEFAULT.for_content_type("application/json").name == "holdfast.json@v1"
    assert DEFAULT.for_content_type("Text/Plain;charset=UTF-8").name == "holdfast.text@v1"
    assert DEFAULT.for_content_type("image/png").name == "holdfast.pillow@v1"
    assert DEFAULT.for_content_type("application/json; indent=2").name == "holdfast.json@v1"
    registry = DEFAULT.extend(serializers=[OtherTracks])
    assert registry.for_content_type("text/x-track; charset=utf-8").name == "tests.other-track@v2"
    with pytest.raises(NotRegisteredError, match="did you mean image/png"):
        DEFAULT.for_content_type("image/pong")


def test_unknown_names_get_near_ones():
    with pytest.raises(NotRegisteredError, match=r"'holdfast\.panda@v1'; did you mean holdfast\.pandas@v1"):
        DEFAULT.serializer("holdfast.panda@v1")
    with pytest.raises(NotRegisteredError, match=r"'holdfast\.files@v1'; did you mean holdfast\.file@v1"):
        DEFAULT.storage("holdfast.files@v1")
    with pytest.raises(NotRegisteredError, match=r"^no serializer is named '@@@'$"):
        DEFAULT.serializer("@@@")


@pytest.mark.parametrize(
    "name", ["", "track", "Track@v1", "my track@v1", "track@1", "track@v", "träck@v1", "a@v1\n", None, 5]
)
def test_bad_names_are_refused(name):
    bad: Any = type("Bad", (TrackSerializer,), {"name": name})
    with pytest.raises(InvalidArgumentError, match=r"my\.table@v1"):
        DEFAULT.extend(serializers=[bad])
    with pytest.raises(InvalidArgumentError, match=r"my\.table@v1"):
        DEFAULT.extend(storages=[type("Bad", (MemoryStorage,), {"name": name})])


@pytest.mark.parametrize("thing", [5, "holdfast.text@v1", object, MemoryStorage])
def test_other_things_are_refused(thing):
    with pytest.raises(InvalidArgumentError, match="is no serializer"):
        DEFAULT.extend(serializers=[thing])


def test_things_that_are_no_storages_are_refused():
    with pytest.raises(InvalidArgumentError, match="is no storage"):
        DEFAULT.extend(storages=[TrackSerializer])


def test_added_storages():
    registry = DEFAULT.extend(storages=[Memory])
    assert registry.storage("tests.memory@v1") is Memory
    one = Memory()
    assert registry.extend(storages=[one]).storage("tests.memory@v1") is one
    with pytest.raises(NotRegisteredError):
        DEFAULT.storage("tests.memory@v1")


def test_it_is_picklable():
    assert pickle.loads(pickle.dumps(DEFAULT)) is DEFAULT
    registry = DEFAULT.extend(serializers=[TrackSerializer, OtherTracks()], storages=[Memory])
    copy = pickle.loads(pickle.dumps(registry))
    assert copy.for_value(Track("a", [])).name == "tests.other-track@v2"
    assert copy.storage("tests.memory@v1") is Memory
    assert "tests.track@v1" in repr(copy)


PLUGIN = """
from holdfast.errors import DecodeError, UnsupportedValue
from holdfast.payload import Payload
from holdfast.serializers.base import Serializer

class Thing:
    pass

class ThingSerializer(Serializer):
    name = "plugin.thing@v1"
    types = ("holdfast_plugin_of_tests.Thing",)
    content_types = ("application/x-thing",)
    def serialize(self, value):
        if type(value) is not Thing:
            raise UnsupportedValue("no thing")
        return Payload((b"thing",), "application/x-thing")
    def deserialize(self, payload):
        if payload.buffers != [b"thing"]:
            raise DecodeError("no thing")
        return Thing()
"""

USE_PLUGIN = """
import sys, warnings
from holdfast.errors import NotRegisteredError
from holdfast.registry import Registry
registry = Registry.default()
registry.for_value({"a": 1}).serialize({"a": 1})
assert "holdfast_plugin_of_tests" not in sys.modules, "plug-ins are loaded before they are needed"
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert registry.serializer("plugin.thing@v1").name == "plugin.thing@v1"
assert ["broken" in str(warning.message) for warning in caught] == [True], caught
from holdfast_plugin_of_tests import Thing
assert registry.for_value(Thing()).name == "plugin.thing@v1"
assert registry.for_content_type("application/x-thing").name == "plugin.thing@v1"
value = [Thing()]
assert type(registry.for_value(value).deserialize(registry.for_value(value).serialize(value))[0]) is Thing
try:
    registry.serializer("plugin.broken@v1")
except NotRegisteredError as error:
    assert "broken = no_such_module:Nothing failed" in str(error), error
else:
    raise AssertionError("not raised")
"""


def test_installed_packages_announce_serializers(tmp_path):
    """A distribution as pip leaves it: a module, and metadata with entry points, one of which is broken."""
    (tmp_path / "holdfast_plugin_of_tests.py").write_text(PLUGIN)
    metadata = tmp_path / "holdfast_plugin_of_tests-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: holdfast-plugin-of-tests\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[holdfast.serializers]\nthing = holdfast_plugin_of_tests:ThingSerializer\nbroken = no_such_module:Nothing\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", USE_PLUGIN], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("value", "modules", "extra"),
    [
        (np.zeros(2), ["numpy"], "numpy"),
        (pd.DataFrame({"a": [1]}), ["pandas"], "pandas"),
        (POLARS[0], ["polars"], "polars"),
        (POLARS[0], ["pyarrow", "pyarrow.ipc"], "polars,arrow"),
        (ARROW[0], ["pyarrow", "pyarrow.ipc"], "arrow"),
        (Image.new("L", (1, 1)), ["PIL", "PIL.Image"], "pillow"),
        ({"nested": [np.zeros(2)]}, ["numpy"], "numpy"),
        (
            pd.DataFrame({"a": pd.array(["x" * 100] * 1000, dtype="string[pyarrow]")}),
            ["pyarrow", "pyarrow.ipc"],
            "arrow",
        ),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_missing_libraries_are_named(value, modules, extra, monkeypatch):
    """Reading a value whose library is not installed says how to install it."""
    serializer = DEFAULT.for_value(value)
    payload = serializer.serialize(value)
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)  # how Python itself marks a module that cannot be imported
    with pytest.raises(MissingExtraError, match=rf'pip install "holdfast\[{extra}\]"'):
        serializer.deserialize(Payload(payload.buffers, payload.content_type, payload.encoding, payload.config))
