"""Names, modules and the registry of the labox face."""

from __future__ import annotations

import importlib
import json
import sys
import types
import warnings
from collections.abc import AsyncGenerator, Iterator
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from plotly import graph_objects as go

import holdfast
from holdfast.compat import labox
from holdfast.compat.labox import NotRegistered, Registry, Serializer, StreamSerializer, Unpacker
from holdfast.compat.labox.builtin import (
    CsvSerializer,
    JsonSerializer,
    MemoryStorage,
    StorableStream,
    StorableValue,
    file_storage,
    iso8601_serializer,
    json_serializer,
    json_stream_serializer,
    memory_storage,
)
from holdfast.compat.labox.core.storable import Storable
from holdfast.compat.labox.extra import imageio, msgpack, numpy, pandas, plotly, polars, pyarrow
from holdfast.serializers.base import Serializer as NativeSerializer
from holdfast.serializers.base import StreamSerializer as NativeStreamSerializer

from .labox_names import NAMES
from .labox_places import PLACES, Place, errors_of, place_of, run

ROOT = "holdfast.compat.labox"


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with place_of(request.param, request) as made:
        yield made


@pytest.mark.parametrize("module", NAMES)
def test_l00_every_module_has_its_names(module: str) -> None:
    ours = importlib.import_module(f"{ROOT}.{module}")
    for name in NAMES[module]:
        assert getattr(ours, name) is not None
        if module in ("core", "builtin", "builtin.serializers", "builtin.storages", "builtin.storables"):
            assert name in ours.__all__


def test_l00_the_root_has_the_names_of_the_core_and_more() -> None:
    for name in [*NAMES["core"], "TagMap", "NoStorageData", "NotRegistered", "Storable"]:
        assert name in labox.__all__
        assert getattr(labox, name) is not None
    for module in ("core", "common.types", "common.exceptions", "core.storable"):
        ours = importlib.import_module(f"{ROOT}.{module}")
        for name in set(labox.__all__) & set(ours.__all__):
            assert getattr(labox, name) is getattr(ours, name)
    assert labox.__version__


def test_l00_nothing_large_is_imported_before_it_is_needed() -> None:
    from .jobs import python

    python(
        "-c",
        "import sys, holdfast.compat.labox, holdfast.compat.labox.builtin\n"
        "heavy = set('numpy pandas pyarrow polars plotly pydantic sqlalchemy boto3 anyio labox'.split())\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)",
    )


# --- L6 and L9 --------------------------------------------------------------------------------------------------------


class Word:
    """A value of the tests' own."""

    def __init__(self, text: str) -> None:
        self.text = text


class Long(Word):
    """A word that is one, too."""


class WordSerializer(Serializer[Word]):  # type: ignore[type-arg]
    name = "tests.word@v1"
    types = (Word,)
    content_types = ("text/x-word; charset=utf-8",)

    def __init__(self, tag: str = "") -> None:
        self.tag = tag

    def serialize_data(self, value: Word, /) -> Any:
        return {
            "data": value.text.encode("utf-16-le"), "content_type": "text/x-word", "content_encoding": "utf-16-le",
            "config": {"tag": self.tag, "kind": type(value).__name__},
        }  # fmt: skip

    def deserialize_data(self, content: Any, /) -> Word:
        kind = {"Word": Word, "Long": Long}[content["config"]["kind"]]
        return kind(content["data"].decode(content["content_encoding"]))


class WordStreamSerializer(StreamSerializer[Word]):  # type: ignore[type-arg]
    name = "tests.words@v1"
    types = (Word,)
    content_types = ("text/x-words",)

    def serialize_data_stream(self, stream: Any, /) -> Any:
        async def pieces() -> AsyncGenerator[bytes]:
            async for value in stream:
                yield value.text.encode() + b"\n"

        return {
            "data_stream": pieces(),
            "content_type": "text/x-words",
            "content_encoding": None,
            "config": {"by": "line"},
        }

    def deserialize_data_stream(self, content: Any, /) -> AsyncGenerator[Word]:
        async def words() -> AsyncGenerator[Word]:
            assert content["config"] == {"by": "line"}
            assert content["content_type"] == "text/x-words"
            rest = b""
            async for piece in content["data_stream"]:
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    yield Word(line.decode())

        return words()


def module(**names: Any) -> types.ModuleType:
    made = types.ModuleType("a_module_of_the_tests")
    vars(made).update(names, __all__=list(names))
    return made


def test_l06_the_last_one_of_a_name_wins() -> None:
    first, last = WordSerializer("first"), WordSerializer("last")
    registry = Registry(serializers=[first, last])
    assert registry.get_serializer("tests.word@v1") is last
    assert registry.get_serializer_by_type(Word) is last
    assert registry.get_serializer_by_content_type("text/x-word; charset=utf-8") is last


def test_l06_a_serializer_without_a_version_is_refused_at_its_class() -> None:
    for kind in (Serializer, StreamSerializer):
        for name in ("word", "word@1", ""):
            with pytest.raises(ValueError, match=r"@v"):
                type("Bad", (kind,), {"name": name})
        type("Base", (kind,), {})  # without a name it is one to build on


def test_l09_which_of_equal_names_counts() -> None:
    parts = {place: WordSerializer(place) for place in ("module", "registry", "argument")}
    read, other = module(part=parts["module"]), Registry(serializers=[parts["registry"]])

    def chosen(**more: Any) -> Any:
        return Registry(**more).get_serializer_by_type(Word).tag

    assert chosen(modules=[read]) == "module"
    assert chosen(modules=[read], registries=[other]) == "registry"
    assert chosen(modules=[read], registries=[other], serializers=[parts["argument"]]) == "argument"
    assert other.get_serializer("tests.word@v1") is parts["registry"]


def test_l09_modules_are_read_by_their_all(monkeypatch: pytest.MonkeyPatch) -> None:
    read = module(word=WordSerializer(), StorableValue=StorableValue, memory=memory_storage, number=5)
    vars(read)["hidden"] = WordStreamSerializer()
    monkeypatch.setitem(sys.modules, "a_module_of_the_tests", read)
    for named in (read, "a_module_of_the_tests"):
        registry = Registry(modules=[named])
        assert registry.get_serializer("tests.word@v1") is read.word
        assert registry.get_storage("labox.memory@v1") is memory_storage
        assert registry.has_storable(StorableValue)
        with pytest.raises(NotRegistered, match=r"tests\.words@v1"):
            registry.get_stream_serializer("tests.words@v1")
    with pytest.raises(ValueError, match="__all__"):
        Registry(modules=[types.ModuleType("bare")])
    for name in (f"{ROOT}.builtin", "labox.builtin"):
        assert Registry(modules=[name]).get_serializer_by_type(dict) is json_serializer


def test_l09_serializers_are_found_by_walking_the_mro() -> None:
    registry = Registry(serializers=[WordSerializer(), WordStreamSerializer(), json_serializer])
    assert registry.get_serializer_by_type(Long).name == "tests.word@v1"
    assert registry.get_stream_serializer_by_type(Long).name == "tests.words@v1"
    assert registry.get_serializer_by_type(bool) is json_serializer
    for find in (registry.get_serializer_by_type, registry.get_stream_serializer_by_type):
        with pytest.raises(ValueError, match=r"complex|builtins.complex"):
            find(complex)


def test_l09_what_is_missing_is_named() -> None:
    registry = Registry()
    for find, name in (
        (registry.get_serializer, "a.b@v1"),
        (registry.get_stream_serializer, "a.b@v1"),
        (registry.get_storage, "a.b@v1"),
        (registry.get_unpacker, "a.b@v1"),
        (registry.get_serializer_by_content_type, "application/json"),
        (registry.get_stream_serializer_by_content_type, "application/json"),
    ):
        with pytest.raises(NotRegistered) as caught:
            find(name)
        assert name in str(caught.value)
        assert isinstance(caught.value, KeyError)
    with pytest.raises(NotRegistered, match="abcdef"):
        registry.get_storable(UUID("abcdef" + 26 * "0"))
    assert not registry.has_storable(StorableValue)
    with pytest.raises(NotRegistered, match="StorableValue"):
        registry.has_storable(StorableValue, raise_if_missing=True)
    with pytest.raises(TypeError, match="int"):
        registry.has_storable(int)


def test_l09_content_types_and_streams() -> None:
    registry = Registry(serializers=[json_serializer, json_stream_serializer])
    assert registry.get_serializer_by_content_type("application/json") is json_serializer
    assert registry.get_stream_serializer_by_content_type("application/json") is json_stream_serializer
    assert registry.get_stream_serializer_by_type(dict) is json_stream_serializer
    assert registry.get_serializer("labox.json.value@v1") is json_serializer
    with pytest.raises(NotRegistered):
        registry.get_serializer("labox.json.stream@v1")


def test_l09_the_default_storage() -> None:
    memory = MemoryStorage()
    with pytest.raises(ValueError, match="default"):
        Registry(storages=[memory]).get_default_storage()
    with pytest.raises(ValueError, match="default"):
        Registry(storages=[memory], default_storage=False).get_default_storage()
    assert Registry(storages=[file_storage, memory], default_storage=True).get_default_storage() is memory
    given = Registry(default_storage=memory)
    assert given.get_default_storage() is memory is given.get_storage("labox.memory@v1")
    assert Registry(registries=[given], default_storage=True).get_default_storage() is memory
    with pytest.raises(ValueError, match="default"):
        Registry(default_storage=True).get_default_storage()
    with pytest.raises((TypeError, ValueError)):
        Registry(default_storage="labox.memory@v1")  # type: ignore[arg-type]


def test_l09_it_takes_its_own_arguments_and_kinds_only() -> None:
    with pytest.raises((KeyError, TypeError)):
        Registry(storage=[memory_storage])  # type: ignore[call-arg]
    for arguments in ({"serializers": [5]}, {"storages": [json_serializer]}, {"storables": [5]}, {"unpackers": [5]}):
        with pytest.raises((TypeError, ValueError)):
            Registry(**arguments)


def test_l09_a_registry_does_not_change() -> None:
    given: list[Any] = [json_serializer]
    registry = Registry(serializers=given)
    given.append(WordSerializer())
    assert Registry(registries=[registry], serializers=[WordSerializer()]) is not registry
    with pytest.raises(NotRegistered):
        registry.get_serializer("tests.word@v1")


# --- L10 --------------------------------------------------------------------------------------------------------------


def test_l10_an_authors_serializers_are_used_as_they_are(place: Place) -> None:
    storage = place.authors()
    registry = place.registry(storage, serializers=[WordSerializer("mine"), WordStreamSerializer()])
    manifest = place.save(StorableValue(Long("größer")), registry)
    (content,) = manifest.contents
    assert (content.content_type, content.content_encoding) == ("text/x-word", "utf-16-le")
    assert (content.serializer_name, content.serializer_type.name) == ("tests.word@v1", "Serializer")
    assert json.loads(content.serializer_config) == {"tag": "mine", "kind": "Long"}
    assert storage.calls[0][2]["content_encoding"] == "utf-16-le"
    loaded = place.load(manifest, StorableValue, registry).value
    assert (type(loaded), loaded.text) == (Long, "größer")

    async def words() -> AsyncGenerator[Word]:
        for number in range(1000):
            yield Word(str(number))

    stream = place.save(StorableStream(words()), registry)
    (content,) = stream.contents
    assert (content.content_type, content.serializer_type.name) == ("text/x-words", "StreamSerializer")
    assert json.loads(content.serializer_config) == {"by": "line"}
    assert run(texts(place, stream, registry)) == [str(number) for number in range(1000)]


async def texts(place: Place, manifest: Any, registry: Registry) -> list[str]:
    from contextlib import AsyncExitStack

    async with AsyncExitStack() as stack:
        opened: Any = await labox.load_one(
            manifest, StorableStream, registry=registry, session=place.session, stack=stack
        )
        return [word.text async for word in opened.value_stream]


def test_l10_a_config_in_words_of_its_own(place: Place) -> None:
    class Worded(WordSerializer):
        name = "tests.worded@v1"

        def serialize_config(self, config: Any) -> str:
            return json.dumps([config["kind"]])

        def deserialize_config(self, text: str) -> Any:
            return {"kind": json.loads(text)[0]}

    registry = place.registry(place.shipped(), serializers=[Worded()])
    manifest = place.save(StorableValue(Word("w")), registry)
    assert json.loads(manifest.contents[0].serializer_config) == ["Word"]
    assert place.load(manifest, StorableValue, registry).value.text == "w"


@pytest.mark.parametrize("given", [None, b"bytes", {}, {"data": "text"}, {"data": b"", "content_type": 5}], ids=repr)
def test_l10_a_serializer_that_gives_nonsense_is_named(place: Place, given: Any) -> None:
    class Nonsense(WordSerializer):
        name = "tests.nonsense@v1"

        def serialize_data(self, value: Any, /) -> Any:
            return given

    registry = place.registry(place.shipped(), serializers=[Nonsense()])
    with pytest.raises(ExceptionGroup) as caught:
        place.save(StorableValue(Word("w")), registry)
    assert any("tests.nonsense@v1" in str(error) for error in errors_of(caught.value))


def test_l10_its_errors_come_as_they_are(place: Place) -> None:
    class Failing(WordSerializer):
        name = "tests.failing@v1"

        def serialize_data(self, value: Any, /) -> Any:
            raise LookupError("no such word")

    registry = place.registry(place.shipped(), serializers=[Failing()])
    with pytest.raises(ExceptionGroup) as caught:
        place.save(StorableValue(Word("w")), registry)
    assert any(isinstance(error, LookupError) and "no such word" in str(error) for error in errors_of(caught.value))


# --- L14: serializers that ship ---------------------------------------------------------------------------------------

FRAME = pd.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"], "c": [1.5, 2.5, np.nan]})
TABLE = pa.table({"a": [1, 2], "b": ["x", "y"]})

WHOLE: dict[str, tuple[Any, Any, str | None]] = {
    "labox.json.value@v1": (json_serializer, {"a": [1, None, 2.5, "é"]}, "application/json"),
    "labox.csv@v1": (CsvSerializer(delimiter=";"), [["a", "b;"], ["1", '"']], "text/csv"),
    "labox.datetime.iso8601@v1": (
        iso8601_serializer, datetime(2024, 2, 3, 4, 5, 6, 7, timezone.utc), None,
    ),
    "labox.msgpack.value@v1": (msgpack.msgpack_serializer, {"a": [1, None, b"x"]}, "application/msgpack"),
    "labox.numpy.npy@v1": (numpy.npy_serializer, np.arange(30_000).reshape(3, -1), "application/x-npy.v3"),
    "labox.pandas.arrow.file@v1": (pandas.arrow_dataframe_serializer, FRAME, None),
    "labox.pandas.parquet.file@v1": (pandas.parquet_dataframe_serializer, FRAME, "application/vnd.apache.parquet"),
    "labox.polars.parquet.file@v1": (
        polars.parquet_dataframe_serializer, pl.DataFrame({"a": [1, 2]}), "application/vnd.apache.parquet",
    ),
    "labox.pyarrow.arrow.file@v1": (pyarrow.arrow_table_serializer, TABLE, None),
    "labox.pyarrow.parquet@v1": (pyarrow.parquet_table_serializer, TABLE, "application/vnd.apache.parquet"),
    "labox.plotly.value@v1": (
        plotly.figure_serializer, go.Figure(go.Scatter(x=[1, 2], y=[3, 4])), "application/vnd.plotly.v1+json",
    ),
    "labox.imageio@v1": (
        imageio.media_serializer, imageio.Media(data=np.arange(300, dtype="u1").reshape(10, 10, 3), extension=".png"),
        "image/png",
    ),
}  # fmt: skip


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, whatever they are."""
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other)
        return True
    if isinstance(one, pl.DataFrame):
        return one.equals(other)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, imageio.Media):
        return one.extension == other.extension and np.array_equal(one.data, other.data)
    return type(one) is type(other) and bool(one == other)


@pytest.mark.parametrize("name", WHOLE)
def test_l14_shipped_serializers_by_hand(name: str) -> None:
    serializer, value, content_type = WHOLE[name]
    assert serializer.name == type(serializer).name == name
    content = serializer.serialize_data(value)
    assert isinstance(content["data"], bytes)
    assert content_type in (None, content["content_type"])
    content["config"] = serializer.deserialize_config(serializer.serialize_config(content.get("config")))
    assert same(value, serializer.deserialize_data(content))


@pytest.mark.parametrize("name", WHOLE)
def test_l14_shipped_serializers_in_a_store(name: str, tmp_path: Any) -> None:
    serializer, value, content_type = WHOLE[name]
    registry = Registry(
        serializers=[serializer], storables=[StorableValue], storages=[memory_storage], default_storage=True
    )
    with holdfast.open(tmp_path / "data") as store:

        async def main() -> None:
            obj = StorableValue(value, serializer=type(serializer))
            manifest = await labox.save_one(obj, registry=registry, session=store)
            (content,) = manifest.contents
            assert (content.serializer_name, content.content_type) == (name, content_type or content.content_type)
            assert same(value, (await labox.load_one(manifest, StorableValue, registry=registry, session=store)).value)

        run(main())


async def of(*values: Any) -> AsyncGenerator[Any]:
    for value in values:
        yield value


BATCHES = [pa.record_batch({"a": [1, 2]}), pa.record_batch({"a": [3]})]
STREAMS: dict[str, tuple[Any, list[Any]]] = {
    "labox.json.stream@v1": (json_stream_serializer, [{"a": 1}, [2, "é"], {}]),
    "labox.msgpack.stream@v1": (msgpack.msgpack_stream_serializer, [{"a": 1}, [2], 3, None]),
    "labox.pandas.arrow.stream@v1": (pandas.arrow_dataframe_stream_serializer, [FRAME, FRAME[:2]]),
    "labox.pandas.parquet.stream@v1": (pandas.parquet_dataframe_stream_serializer, [FRAME, FRAME[:2]]),
    "labox.arrow.record_batch.stream@v1": (pyarrow.arrow_record_batch_stream_serializer, BATCHES),
    "labox.arrow.parquet.record_batch.stream@v1": (pyarrow.parquet_record_batch_stream_serializer, BATCHES),
}


@pytest.mark.parametrize("name", STREAMS)
def test_l14_shipped_stream_serializers_by_hand(name: str) -> None:
    serializer, values = STREAMS[name]
    assert serializer.name == type(serializer).name == name

    async def main() -> None:
        content = serializer.serialize_data_stream(of(*values))
        pieces = [piece async for piece in content["data_stream"]]
        again = {**content, "data_stream": of(*pieces)}
        got = [value async for value in serializer.deserialize_data_stream(again)]
        assert len(got) == len(values)
        assert all(map(same, values, got))

    run(main())


@pytest.mark.parametrize("name", STREAMS)
def test_l14_shipped_stream_serializers_in_a_store(name: str, tmp_path: Any) -> None:
    from contextlib import AsyncExitStack

    serializer, values = STREAMS[name]
    registry = Registry(
        serializers=[serializer], storables=[StorableStream], storages=[memory_storage], default_storage=True
    )
    with holdfast.open(tmp_path / "data") as store:

        async def main() -> None:
            manifest = await labox.save_one(StorableStream(of(*values)), registry=registry, session=store)
            (content,) = manifest.contents
            assert (content.serializer_name, content.serializer_type.name) == (name, "StreamSerializer")
            async with AsyncExitStack() as stack:
                loaded: Any = await labox.load_one(
                    manifest, StorableStream, registry=registry, session=store, stack=stack
                )
                got = [value async for value in loaded.value_stream]
            assert len(got) == len(values)
            assert all(map(same, values, got))

        run(main())


def test_l14_those_without_a_native_serializer_are_the_three_that_the_decision_names() -> None:
    serializers: list[Any] = [serializer for serializer, *_ in (*WHOLE.values(), *STREAMS.values())]
    assert {each.name for each in serializers if not hasattr(each, "native")} == {
        "labox.json.value@v1", "labox.json.stream@v1", "labox.numpy.npy@v1", "labox.imageio@v1",
    }  # fmt: skip
    assert all(
        isinstance(getattr(each, "native", None), NativeSerializer | NativeStreamSerializer | None)
        for each in serializers
    )


def test_l14_options_are_heeded() -> None:
    text = JsonSerializer(encoder=json.JSONEncoder(indent=1)).serialize_data({"a": 1})["data"]
    assert text == b'{\n "a": 1\n}'
    plain = pandas.ParquetDataFrameSerializer(write_options={"compression": "NONE"}).serialize_data(FRAME)
    assert same(FRAME, pandas.parquet_dataframe_serializer.deserialize_data(plain))
    with pytest.raises(ValueError, match="one or the other"):
        imageio.Media(data=np.zeros((2, 2)), extension=".png", plugin="pillow")


@pytest.mark.parametrize(
    "options",
    [
        {"dialect": "unix"},
        {"dialect": "excel-tab"},
        {"delimiter": "b", "quotechar": "'"},
        {"doublequote": False, "escapechar": "\\"},
        {"quoting": 1, "lineterminator": "\n", "strict": True},
    ],
    ids=repr,
)
def test_l14_rows_of_csv_come_back_as_text_by_options_that_go_with_them(options: Any) -> None:
    content = CsvSerializer(**options).serialize_data([["a", "b;\n'", '"', "\t,"], [1, None, 2.5, ""], []])
    rows = [["a", "b;\n'", '"', "\t,"], ["1", "", "2.5", ""], []]
    content["config"] = json.loads(json.dumps(content["config"]))
    assert CsvSerializer(delimiter="|").deserialize_data(content) == rows


# --- storables and unpackers as components ---------------------------------------------------------------------------


class Whole(Unpacker["Thing", Any]):  # type: ignore[type-arg]
    name = "tests.whole@v1"

    def unpack_object(self, obj: Any, registry: Any, /) -> Any:
        return {"all": {"value": vars(obj), "serializer": registry.get_serializer_by_content_type("application/json")}}

    def repack_object(self, cls: Any, contents: Any, registry: Any, /) -> Any:
        made = cls()
        vars(made).update(contents["all"]["value"])
        return made


class Thing(Storable, class_id="71ac11bb", unpacker=Whole()):
    """A storable by hand."""


THING: Any = Thing


def test_l09_storables_and_unpackers() -> None:
    registry = Registry(storables=[Thing])
    assert registry.has_storable(Thing, raise_if_missing=True)
    assert registry.get_storable(UUID(hex="71ac11bb".ljust(32, "0"))) is Thing
    assert registry.get_unpacker("tests.whole@v1") is THING.storable_config().unpacker
    assert registry.infer_unpacker(Thing).name == "tests.whole@v1"
    with pytest.raises(ValueError, match="Value"):
        registry.infer_unpacker(StorableValue)


def test_l11_an_authors_unpacker(place: Place) -> None:
    registry = place.registry(place.authors(), storables=[Thing])
    thing = Thing()
    thing.size = 5  # type: ignore[attr-defined]
    manifest = place.save(thing, registry)
    assert (manifest.unpacker_name, [content.content_key for content in manifest.contents]) == (
        "tests.whole@v1",
        ["all"],
    )
    assert vars(place.load(manifest, Thing, registry)) == {"size": 5}


def test_nothing_warns_about_class_ids_that_are_legal() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        type("Legal", (Storable,), {}, class_id="0a" * 16)
