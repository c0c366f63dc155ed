"""What a Labox program may do wrong: one error that names class, field and component, and nothing is saved."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from plotly import graph_objects as go

import holdfast
from holdfast.compat.labox import ManifestRecord, NotRegistered, Registry, Storage, Unpacker, load_one, save_one
from holdfast.compat.labox.builtin import (
    CsvSerializer,
    JsonStreamSerializer,
    StorableDataclass,
    StorableStream,
    StorableValue,
)
from holdfast.compat.labox.extra import aws, google, imageio, numpy, plotly, polars, pyarrow
from holdfast.compat.labox.extra.pandas import ParquetDataFrameSerializer
from holdfast.compat.labox.extra.pydantic import StorableModel
from holdfast.config import with_password
from holdfast.payload import Payload

from .jobs import python
from .labox_places import PLACES, AuthorsFiles, Place, errors_of, place_of, run

HERE = r"tests\.compat\.test_labox_bad_input\."


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with place_of(request.param, request) as made:
        yield made


def refused(place: Place, obj: Any, registry: Registry, kind: type[BaseException], *words: str) -> None:
    """Check that saving is one error, which says these words, and that nothing is there then."""
    with pytest.raises(ExceptionGroup) as caught:
        place.save(obj, registry)
    (error,) = errors_of(caught.value)
    assert isinstance(error, kind), error
    for word in words:
        assert word in str(error), error

    async def found() -> list[ManifestRecord]:
        return [manifest async for manifest in ManifestRecord.search(place.session)]

    assert run(found()) == []


@dataclass
class Report(StorableDataclass, class_id="4f1e2d3c"):
    """With a field of each kind."""

    name: str = "n"
    table: Any = field(default=None, metadata={"serializer": ParquetDataFrameSerializer})
    kept: Any = field(default=None, metadata={"storage": AuthorsFiles})
    odd: Any = None
    pickled: Any = field(default=None, metadata={"serializer": "holdfast.pickle@v1"})
    rows: Any = field(default=None, metadata={"stream_serializer": JsonStreamSerializer})


class Paper(StorableModel, class_id="5f1e2d3c"):
    """A model."""

    title: str
    data: Any = None


def test_a_class_without_an_id(place: Place) -> None:
    nameless = type("Nameless", (StorableDataclass,), {"__annotations__": {}})
    for kind in (nameless, type("NamelessModel", (StorableModel,), {"__module__": __name__})):
        with pytest.raises(
            holdfast.InvalidArgumentError, match=rf"{kind.__name__} cannot be stored: give it a class id"
        ):
            place.registry(place.shipped(), storables=[kind])
        with pytest.raises(NotRegistered, match=rf"{kind.__name__} is not registered"):
            place.save(kind(), place.registry(place.shipped()))


def test_a_class_with_the_id_of_another() -> None:
    for base in (StorableDataclass, StorableModel):
        with pytest.raises(
            holdfast.InvalidArgumentError, match=rf"{HERE}Report and .*Twin have the same class_id 4f1e"
        ):
            type("Twin", (base,), {"__annotations__": {}, "__module__": __name__}, class_id="4f1e2d3c")


def test_a_field_whose_serializer_is_not_registered(place: Place) -> None:
    registry = place.registry(place.shipped(), storables=[Report, Paper])
    obj = Report(table=pd.DataFrame({"a": [1]}))
    refused(place, obj, registry, NotRegistered, "Report.table", "'labox.pandas.parquet.file@v1'")
    refused(place, Report(odd=np.zeros(9000)), registry, ValueError, "Report.odd", "numpy.ndarray")
    refused(place, Paper(title="t", data={"x": np.zeros(9000)}), registry, ValueError, "Paper.data/x", "numpy.ndarray")


def test_a_field_whose_storage_is_not_registered(place: Place) -> None:
    registry = place.registry(place.shipped(), storables=[Report])
    refused(place, Report(kept=[1]), registry, NotRegistered, "Report.kept", "'temp-file-storage@v1'")


def test_no_default_storage(place: Place) -> None:
    registry = place.registry(place.shipped(), storables=[Report], default_storage=False)
    refused(place, Report(), registry, ValueError, "default storage")
    refused(place, StorableValue(1), registry, ValueError, "StorableValue.item", "default storage")


def test_a_value_that_its_serializer_does_not_take(place: Place) -> None:
    registry = place.registry(place.shipped(), modules=["labox.extra.pandas", "labox.extra.numpy"], storables=[Report])
    refused(place, Report(table=[1, 2]), registry, holdfast.EncodeError, "Report.table", "pandas.DataFrame")
    frame = pd.DataFrame({"a": [1, "x"]})
    refused(place, Report(table=frame), registry, holdfast.EncodeError, "Report.table", "'a'")
    refused(
        place, Report(odd=np.array([object()] * 9)), registry, holdfast.EncodeError, "Report.odd", "labox.numpy.npy@v1"
    )
    refused(place, StorableValue({"a": object()}), registry, holdfast.EncodeError, "StorableValue.item", "['a']")


def test_pixels_without_the_format_of_a_media(place: Place) -> None:
    registry = place.registry(place.shipped(), modules=["labox.extra.imageio"])
    pixels = StorableValue(np.zeros((4, 4), "u1"), serializer=imageio.MediaSerializer)
    refused(place, pixels, registry, holdfast.EncodeError, "StorableValue.item", "takes a Media, not ndarray")


async def mixed() -> AsyncGenerator[Any]:
    yield {"n": 0}
    yield {"n": 1}
    yield object()


async def frames() -> AsyncGenerator[Any]:
    yield pd.DataFrame({"a": [1]})
    yield pd.DataFrame({"b": ["x"]})


def test_a_stream_of_mixed_types(place: Place) -> None:
    registry = place.registry(place.shipped(), modules=["labox.extra.pandas"], storables=[Report])
    refused(place, StorableStream(mixed()), registry, holdfast.EncodeError, "StorableStream.item", "item 3", "object")
    refused(place, Report(rows=mixed()), registry, holdfast.EncodeError, "Report.rows", "item 3", "object")
    refused(place, StorableStream(frames()), registry, holdfast.EncodeError, "StorableStream.item", "item 2", "b: ")


async def counted() -> AsyncGenerator[Any]:
    for number in range(3):
        yield {"n": number}


def test_a_loaded_stream_of_which_something_was_read(place: Place) -> None:
    registry = place.registry(place.shipped(), storables=[Report])
    manifest = place.save(StorableStream(counted()), registry)

    async def save_the_rest() -> None:
        async with AsyncExitStack() as stack:
            loaded = await load_one(manifest, StorableStream, registry=registry, session=place.session, stack=stack)
            stream: Any = loaded.value_stream
            assert await anext(stream) == {"n": 0}
            with pytest.raises(ExceptionGroup) as caught:
                await save_one(StorableStream(stream), registry=registry, session=place.session)
            (error,) = errors_of(caught.value)
            assert "was read already" in str(error)

    run(save_the_rest())


def test_what_is_no_stream(place: Place) -> None:
    registry = place.registry(place.shipped(), storables=[Report])
    refused(place, Report(rows=5), registry, holdfast.EncodeError, "Report.rows", "int")
    refused(place, StorableStream(5), registry, holdfast.EncodeError, "StorableStream.item", "int")  # type: ignore[arg-type]


class Hasty(Storage):
    """It reads one piece of a stream, and goes."""

    name = "tests.hasty-files@v1"

    async def write_data(self, data: bytes, digest: Any, tags: Any) -> Any:
        return data.decode()

    async def read_data(self, config: str) -> bytes:
        return config.encode()

    async def write_data_stream(self, stream: Any, get_digest: Any, tags: Any) -> Any:
        return (await anext(stream)).decode()

    async def read_data_stream(self, config: str) -> AsyncGenerator[bytes]:
        yield config.encode()


async def many() -> AsyncGenerator[Any]:
    for n in range(20_000):
        yield {"n": n, "text": "x" * 20}


def test_a_storage_that_leaves_a_stream_unconsumed(place: Place) -> None:
    registry = place.registry(Hasty(), storables=[Report])
    refused(place, Report(rows=many()), registry, holdfast.StoreError, "Report.rows", Hasty.name)


class Careless(Unpacker[Any, Any]):  # type: ignore[type-arg]
    """It loses its contents."""

    name = "tests.careless@v1"

    def unpack_object(self, obj: Any, registry: Any, /) -> Any:
        return {"a": {"value": 1}}

    def repack_object(self, cls: Any, contents: Any, registry: Any, /) -> Any:
        return contents["b"]["value"]


def test_an_unpacker_that_does_not_find_its_contents(place: Place) -> None:
    from holdfast.compat.labox.core.storable import Storable

    kind = type("Lost", (Storable,), {"__module__": __name__}, class_id="6f1e2d3c", unpacker=Careless())
    registry = place.registry(place.shipped(), storables=[kind])
    manifest = place.save(kind(), registry)
    with pytest.raises(ExceptionGroup) as caught:
        place.load(manifest, kind, registry)
    (error,) = errors_of(caught.value)
    assert isinstance(error, holdfast.DecodeError)
    assert "Lost" in str(error)
    assert Careless.name in str(error)


UNSIGNED = "UPDATE records SET signature=NULL"


def unsigned(place: Place) -> None:
    """Take the signatures of all records away, as somebody does who reaches the catalog."""
    if place.kind.startswith("sqlite"):
        code = "import sqlite3, sys; link = sqlite3.connect(sys.argv[1]); link.execute(sys.argv[2]); link.commit()"
        python("-c", code, place.folder / "data" / "catalog.sqlite", UNSIGNED)
        return
    import psycopg

    url, _, schema = with_password(place.session.config.store).partition("?schema=")
    with psycopg.connect(url, options=f"-c search_path={schema}") as link:
        link.execute(UNSIGNED)


def test_a_pickled_field_without_trust(place: Place) -> None:
    registry = place.registry(place.shipped(), storables=[Report])
    manifest = place.save(Report(pickled={1, 2}), registry)
    assert place.load(manifest, Report, registry).pickled == {1, 2}
    unsigned(place)
    with pytest.raises(ExceptionGroup) as caught:
        place.load(manifest, Report, registry)
    (error,) = errors_of(caught.value)
    assert isinstance(error, holdfast.SignatureError)
    assert "Report.pickled" in str(error)
    assert "holdfast.pickle@v1" in str(error)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"lineterminator": ";"}, "lineterminator"),
        ({"lineterminator": "\r"}, "lineterminator"),
        ({"quoting": 2}, "quoting"),
        ({"dialect": "of-nobody"}, "dialect"),
        ({"delimiter": ";;"}, "delimiter"),
        ({"delimiter": "\n"}, "delimiter"),
        ({"colour": "red"}, "colour"),
    ],
    ids=repr,
)
def test_options_of_csv_by_which_rows_would_not_come_back(options: Any, words: str) -> None:
    with pytest.raises(holdfast.InvalidArgumentError, match=words):
        CsvSerializer(**options)


@pytest.mark.parametrize(
    "options, row",
    [
        ({}, ["a" * 131_073]),
        ({"delimiter": ";"}, ["a" * 131_073]),
        ({"skipinitialspace": True}, ["a", " b"]),
        ({"quoting": 3}, ["a,b"]),
        ({"quoting": 3}, [""]),
        ({"quoting": 3, "quotechar": None}, ["a\nb"]),
        ({}, ["\ud800"]),
    ],
    ids=["long", "long, by options", "space", "no quotes", "empty", "line", "surrogate"],
)
def test_a_row_that_csv_would_give_back_as_another(options: Any, row: list[str]) -> None:
    with pytest.raises(holdfast.UnsupportedValue, match="row 2"):
        CsvSerializer(**options).serialize([["fine"], row])


def test_what_is_no_rows() -> None:
    for value in (5, [5]):
        with pytest.raises(holdfast.UnsupportedValue, match="rows of cells"):
            CsvSerializer().serialize(value)  # type: ignore[arg-type]


def test_csv_whose_stored_options_are_none() -> None:
    for config in ([1], {"quoting": 2}, {"lineterminator": ";"}, 5, {"delimiter": None}):
        with pytest.raises(holdfast.DecodeError, match="options"):
            CsvSerializer().deserialize(Payload((b"a\r\n",), "text/csv", "utf-8", config))


@pytest.mark.parametrize(
    "make, word",
    [
        (lambda: plotly.FigureSerializer(dump_args={"remove_uids": True}), "remove_uids"),
        (lambda: plotly.FigureSerializer(load_args={"skip_invalid": True}), "skip_invalid"),
        (lambda: plotly.FigureSerializer(dump_args=cast(Any, {"prety": False})), "prety"),
        (lambda: numpy.NpySerializer(load_args=cast(Any, {"allow_pickle": False})), "allow_pickle"),
        (lambda: numpy.NpySerializer(dump_args=cast(Any, {"allow_pickle": False})), "allow_pickle"),
        (lambda: polars.ParquetDataFrameSerializer(load_args={"n_rows": 5}), "n_rows"),
        (lambda: pyarrow.ParquetTableSerializer(read_options={"read_dictionary": ["a"]}), "read_dictionary"),
        (lambda: aws.S3Storage(s3_client=None, s3_router=None, max_writer=4), "max_writer;"),
        (lambda: google.BlobStorage(storage_client=None, storage_router=None, chunk_size=4), "chunk_size;"),
    ],
)
def test_options_that_are_none_or_would_change_what_comes_back(make: Any, word: str) -> None:
    with pytest.raises(holdfast.InvalidArgumentError, match=f"does not take {word}"):
        make()


def test_options_that_change_nothing_are_taken() -> None:
    dump, load = {"engine": "json", "pretty": True, "validate": False, "remove_uids": False}, {"skip_invalid": False}
    figure = go.Figure(go.Scatter(x=[1], y=[2], uid="mine"))
    serializer = plotly.FigureSerializer(dump_args=cast(Any, dump), load_args=cast(Any, load))
    assert serializer.deserialize_data(serializer.serialize_data(figure)) == figure
    assert numpy.NpySerializer(load_args={"mmap_mode": "r"}).name == "labox.numpy.npy@v1"
