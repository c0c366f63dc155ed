"""Storables through the labox face: taking apart, saving and loading many at once, and the records of it."""

from __future__ import annotations

import asyncio
import json
import pickle
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

import holdfast
from holdfast.compat.labox import (
    BaseRecord,
    ContentRecord,
    ManifestRecord,
    NotRegistered,
    Registry,
    Unpacker,
    load_one,
    new_loader,
    new_saver,
    save_one,
)
from holdfast.compat.labox.builtin import (
    FileStorage,
    JsonStreamSerializer,
    StorableDataclass,
    StorableStream,
    StorableValue,
    json_serializer,
    memory_storage,
)
from holdfast.compat.labox.core.database import SerializerTypeEnum
from holdfast.compat.labox.core.session import scope_of
from holdfast.compat.labox.core.storable import Storable
from holdfast.compat.labox.extra.numpy import NpySerializer, npy_serializer
from holdfast.compat.labox.extra.pandas import (
    ArrowDataFrameSerializer,
    ParquetDataFrameSerializer,
    ParquetDataFrameStreamSerializer,
)
from holdfast.compat.labox.extra.pydantic import StorableModel, StorableSpec

from .labox_places import PLACES, AuthorsBucket, AuthorsFiles, Place, errors_of, numbers, place_of, run

FRAMES = ["holdfast.compat.labox.extra.pandas", "holdfast.compat.labox.extra.numpy"]
FRAME = pd.DataFrame({"a": np.arange(20_000), "b": "x"})


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with place_of(request.param, request) as made:
        yield made


@dataclass
class Probe(StorableDataclass, class_id="9b1d3c57"):
    label: str
    weight: float = 1.0


@dataclass
class Run(StorableDataclass, class_id="9c1d3c57aa"):
    name: str
    probe: Probe
    table: pd.DataFrame = field(metadata={"serializer": ParquetDataFrameSerializer, "storage": AuthorsFiles})
    array: np.ndarray = field(metadata={"serializer": NpySerializer})
    probes: list[Probe] = field(default_factory=list)
    rows: Any = field(default=None, metadata={"stream_serializer": JsonStreamSerializer})
    found: dict[str, Any] = field(default_factory=dict)
    total: int = field(default=0, init=False)


class Model(StorableModel, class_id="9d1d3c57aabb"):
    title: str
    table: Annotated[pd.DataFrame, StorableSpec(serializer=ArrowDataFrameSerializer, storage=AuthorsFiles)]
    array: Annotated[np.ndarray, StorableSpec(serializer=NpySerializer)]
    day: datetime = datetime(2024, 1, 1)


@pytest.fixture
def registry(place: Place) -> Registry:
    named = AuthorsFiles(place.folder / "named")  # in a folder, whatever the default
    return place.registry(
        named, place.shipped("default"), modules=FRAMES, serializers=[npy_serializer], storables=[Probe, Run, Model]
    )


def contents_of(manifest: Any) -> dict[str, ContentRecord]:
    return {content.content_key.rpartition("/")[2].rpartition(".")[2]: content for content in manifest.contents}


# --- L11 --------------------------------------------------------------------------------------------------------------


def test_l11_dataclasses_come_back_field_by_field(place: Place, registry: Registry) -> None:
    obj = Run(
        name="n", probe=Probe(label="p", weight=2.0), table=FRAME, array=np.arange(9), found={"a": [1, {"b": None}]}
    )
    obj.probes = [Probe(label="q")]
    manifest = place.save(obj, registry)
    assert manifest.class_id == UUID(hex="9c1d3c57aa".ljust(32, "0"))
    (table,) = [content for content in manifest.contents if content.storage_name == AuthorsFiles.name]
    assert table.serializer_name == ParquetDataFrameSerializer.name
    assert len(list((place.folder / "named").iterdir())) == 1
    assert {content.storage_name for content in manifest.contents} == {
        AuthorsFiles.name, registry.get_default_storage().name,
    }  # fmt: skip
    loaded = place.load(manifest, Run, registry)
    pd.testing.assert_frame_equal(loaded.table, FRAME)
    assert np.array_equal(loaded.array, np.arange(9))
    assert (loaded.name, loaded.probe, loaded.probes, loaded.found) == (obj.name, obj.probe, obj.probes, obj.found)
    assert (loaded.rows, loaded.total) == (None, 0)


def test_l11_a_stream_in_a_field_is_given_item_by_item(place: Place, registry: Registry) -> None:
    obj = Run(name="n", probe=Probe(label="p"), table=FRAME[:2], array=np.arange(2), rows=numbers(300))
    manifest = place.save(obj, registry)
    assert [content.serializer_type.name for content in manifest.contents].count("StreamSerializer") == 1

    async def main() -> list[Any]:
        async with AsyncExitStack() as stack:
            loaded: Any = await load_one(manifest, Run, registry=registry, session=place.session, stack=stack)
            return [row["number"] async for row in loaded.rows]

    assert run(main()) == list(range(300))


def test_l11_pydantic_models_come_back_field_by_field(place: Place, registry: Registry) -> None:
    obj = Model(title="t", table=FRAME, array=np.arange(4))
    manifest = place.save(obj, registry)
    (table,) = [content for content in manifest.contents if content.storage_name == AuthorsFiles.name]
    assert table.serializer_name == ArrowDataFrameSerializer.name
    loaded = place.load(manifest, Model, registry)
    assert (loaded.title, loaded.day) == ("t", datetime(2024, 1, 1))
    pd.testing.assert_frame_equal(loaded.table, FRAME)
    assert np.array_equal(loaded.array, np.arange(4))


def test_l11_values_and_streams_with_components_of_their_own(place: Place, registry: Registry) -> None:
    value = place.save(StorableValue(FRAME, serializer=ParquetDataFrameSerializer, storage=AuthorsFiles), registry)
    (content,) = value.contents
    assert (content.serializer_name, content.storage_name) == (ParquetDataFrameSerializer.name, AuthorsFiles.name)
    loaded = place.load(value, StorableValue, registry)
    pd.testing.assert_frame_equal(loaded.value, FRAME)
    assert loaded.serializer is None

    async def frames() -> AsyncGenerator[pd.DataFrame]:
        for start in range(0, 9000, 3000):
            yield FRAME[start : start + 3000].reset_index(drop=True)

    stream = place.save(StorableStream(frames(), serializer=ParquetDataFrameStreamSerializer), registry)

    async def main() -> Any:
        async with AsyncExitStack() as stack:
            opened: Any = await load_one(stream, StorableStream, registry=registry, session=place.session, stack=stack)
            return pd.concat([frame async for frame in opened.value_stream], ignore_index=True)

    pd.testing.assert_frame_equal(run(main()), FRAME[:9000])


def test_l11_a_class_id_is_hex_of_8_to_32_digits_and_of_one_class() -> None:
    with pytest.warns(UserWarning, match=r"class_id="):
        draft: Any = type("Draft", (Storable,), {}, class_id="...")
    assert draft.storable_config(allow_none=True) is None
    with pytest.raises(ValueError, match="Draft"):
        Registry(storables=[draft])
    for bad in ("1234567", "0" * 33, "not hex at all"):
        with pytest.raises(ValueError, match="Bad"):
            type("Bad", (Storable,), {}, class_id=bad)
    longer: Any = type("Longer", (Storable,), {}, storable_class_id="9e1d3c57", storable_unpacker=Nonsense([]))
    assert str(longer.storable_config().class_id).replace("-", "") == "9e1d3c57".ljust(32, "0")
    with pytest.raises(ValueError, match=r"Probe.*Twin|Twin.*Probe"):
        type("Twin", (StorableDataclass,), {"__annotations__": {}}, class_id="9b1d3c57")


class Nonsense(Unpacker[Any, Any]):  # type: ignore[type-arg]
    name = "tests.nonsense-unpacker@v1"

    def __init__(self, given: Any) -> None:
        self.given = given

    def unpack_object(self, obj: Any, registry: Any, /) -> Any:
        return self.given

    def repack_object(self, cls: Any, contents: Any, registry: Any, /) -> Any:
        return contents


@pytest.mark.parametrize(
    "given", [None, [], {"a": 5}, {"a": {}}, {"a": {"value": 1, "value_stream": 2}}, {5: {"value": 1}}], ids=repr
)
def test_l11_an_unpacker_that_gives_nonsense_is_named(place: Place, given: Any) -> None:
    odd = type("Odd", (Storable,), {}, class_id="9f1d3c57", unpacker=Nonsense(given))
    with pytest.raises(ExceptionGroup) as caught:
        place.save(odd(), place.registry(place.shipped(), storables=[odd]))
    assert any("Odd" in str(error) or Nonsense.name in str(error) for error in errors_of(caught.value))


def test_l11_a_field_that_nobody_takes_is_named(place: Place, registry: Registry) -> None:
    obj = Run(name="n", probe=Probe(label="p"), table=FRAME[:2], array=np.arange(2), found={"deep": [object()]})
    with pytest.raises(ExceptionGroup) as caught:
        place.save(obj, registry)
    errors = errors_of(caught.value)
    assert any("object" in str(error) and "found" in str(error) for error in errors), errors


# --- L12 --------------------------------------------------------------------------------------------------------------


def test_l12_one_that_fails_does_not_lose_the_others(place: Place, registry: Registry) -> None:
    async def main() -> None:
        with pytest.raises(ExceptionGroup, match=r"1 .*5") as caught:  # noqa: PT012  it is raised at its end
            async with new_saver(registry, place.session) as saver:
                futures = [saver.save_soon(StorableValue({"n": n}), tags={"n": str(n)}) for n in range(4)]
                bad = saver.save_soon(StorableValue(object()))
        assert [type(error) for error in errors_of(caught.value)] == [holdfast.InvalidArgumentError]
        assert bad.exception is not None
        with pytest.raises((ValueError, ExceptionGroup)):
            _ = bad.value
        manifests = [future.value for future in futures]
        missing = ManifestRecord(
            id=UUID(int=5), tags={}, class_id=manifests[0].class_id, unpacker_name=manifests[0].unpacker_name
        )
        with pytest.raises(ExceptionGroup, match=r"1 .*5") as caught:
            async with new_loader(registry, place.session) as loader:
                loads = [loader.load_soon(manifest, StorableValue) for manifest in [*manifests, missing]]
        assert [future.value.value for future in loads[:4]] == [{"n": n} for n in range(4)]
        assert isinstance(loads[4].exception, BaseException)

    run(main())


def test_l12_saving_is_concurrent(place: Place) -> None:
    """Each write waits for all the others to have begun."""
    begun = 0

    class Together(type(place.authors())):  # type: ignore[misc]
        name = "tests.together@v1"

        async def write_data(self, *arguments: Any) -> Any:
            nonlocal begun
            begun += 1
            async with asyncio.timeout(30):
                while begun < 5:
                    await asyncio.sleep(0.01)
            return await super().write_data(*arguments)

    storage = place.authors()
    storage.__class__ = Together
    registry = place.registry(storage)

    async def main() -> None:
        async with new_saver(registry, place.session) as saver:
            for number in range(5):
                saver.save_soon(StorableValue(number))

    run(main())
    assert begun == 5


def test_l12_a_future_has_its_value_at_the_end_and_bad_calls_fail_at_once(place: Place, registry: Registry) -> None:
    async def main() -> None:
        async with new_saver(registry, place.session) as saver:
            future = saver.save_soon(StorableValue(1))
            with pytest.raises(RuntimeError):
                _ = future.value
            assert future.exception is None
            with pytest.raises(NotRegistered, match="Thing"):
                saver.save_soon(type("Thing", (Storable,), {}, class_id="a01d3c57", unpacker=Nonsense({}))())
            with pytest.raises(TypeError, match="int"):
                saver.save_soon(5)  # type: ignore[arg-type]
        assert future.value.tags == {}
        with pytest.raises(TypeError, match="Probe"):
            await load_one(future.value, Probe, registry=registry, session=place.session)
        assert (await load_one(future.value, None, registry=registry, session=place.session)).value == 1
        with pytest.raises(NotRegistered):
            await load_one(future.value, StorableValue, registry=Registry(), session=place.session)
        with pytest.raises(ZeroDivisionError):  # noqa: PT012  it is raised inside
            async with new_saver(registry, place.session) as saver:
                saver.save_soon(StorableValue(2))
                raise ZeroDivisionError

    run(main())


def test_l12_a_class_is_looked_up_once_and_its_error_comes_as_it_is_or_in_the_group(place: Place) -> None:
    asked = []

    class Asked(Registry):
        def get_storable(self, class_id: Any) -> Any:
            asked.append(class_id)
            return super().get_storable(class_id)

    plain = place.registry(place.shipped())
    registry = Asked(registries=[plain], default_storage=True)
    manifest = place.save(StorableValue(1), registry)

    async def soon(cls: Any) -> Any:
        async with new_loader(registry, place.session) as loader:
            future = loader.load_soon(manifest, cls)
        return future.value

    for loading in (lambda cls: load_one(manifest, cls, registry=registry, session=place.session), soon):
        asked.clear()
        assert run(loading(StorableValue)).value == 1
        assert asked == [manifest.class_id]
    with pytest.raises(TypeError, match="Probe"):
        place.load(manifest, Probe, registry)
    with pytest.raises(ExceptionGroup) as caught:
        run(soon(Probe))
    assert [type(error) for error in errors_of(caught.value)] == [TypeError]


def test_l12_a_stream_needs_a_stack(place: Place, registry: Registry) -> None:
    async def main() -> None:
        manifest = await save_one(StorableStream(numbers(3)), registry=registry, session=place.session)
        with pytest.raises(ExceptionGroup) as caught:
            await load_one(manifest, StorableStream, registry=registry, session=place.session)
        assert any(isinstance(error, ValueError) and "stack" in str(error) for error in errors_of(caught.value))
        async with AsyncExitStack() as stack:
            loaded: Any = await load_one(
                manifest, StorableStream, registry=registry, session=place.session, stack=stack
            )
            assert await anext(aiter(loaded.value_stream)) == {"number": 0}
        with pytest.raises((StopAsyncIteration, holdfast.ClosedError)):  # closed with the stack
            await anext(aiter(loaded.value_stream))

    run(main())


def test_l12_a_stream_that_fails_half_way_leaves_nothing(place: Place, registry: Registry) -> None:
    async def failing() -> AsyncGenerator[dict[str, int]]:
        async for item in numbers(1000):
            yield item
        raise LookupError("half-way")

    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            await save_one(StorableStream(failing()), registry=registry, session=place.session)
        assert any(isinstance(error, LookupError) for error in errors_of(caught.value))
        assert [manifest async for manifest in ManifestRecord.search(place.session)] == []

    run(main())


def test_l12_a_session_is_a_store_a_scope_or_the_current_store(tmp_path: Path) -> None:
    registry = Registry(
        serializers=[json_serializer], storables=[StorableValue], storages=[memory_storage], default_storage=True
    )

    async def main(session: Any) -> Any:
        manifest = await save_one(StorableValue(7), registry=registry, session=session)
        assert (await load_one(manifest, StorableValue, registry=registry, session=session)).value == 7
        return manifest

    with holdfast.open(tmp_path / "data") as store:
        for session in (store, store.namespace("prod"), store.aio, store.namespace("prod").aio, None):
            with store.context(namespace="current"):
                run(main(session))
        assert [scope.path[0][1] for scope in store.children() if scope.path[0][0] == "namespace"] == ["prod"]
        assert len(list(store.namespace("prod").list())) == 2
        for bad in (5, "data", tmp_path):
            with pytest.raises(ValueError, match="session"):
                run(main(bad))


def test_l12_create_all_opens_the_store_beside_the_loop_or_where_it_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def noted(engine: Any) -> Any:
        threads.append(threading.current_thread())
        return scope_of(engine)

    monkeypatch.setattr("holdfast.compat.labox.core.database.scope_of", noted)

    async def main(name: str) -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/{name}")
        making = BaseRecord.create_all(engine)
        assert not (tmp_path / f"{name}.holdfast").exists()
        await making if name == "awaited" else making.run()
        assert (tmp_path / f"{name}.holdfast" / "catalog.sqlite").exists()
        await engine.dispose()

    for name in ("awaited", "run"):
        run(main(name))
    assert [thread is threading.main_thread() for thread in threads] == [False, True]


@pytest.mark.parametrize("database", ["sqlite", "memory", "postgresql"])
def test_l12_a_session_of_sqlalchemy_names_the_database(database: str, tmp_path: Path, request: Any) -> None:
    url = {
        "sqlite": f"sqlite+aiosqlite:///{tmp_path}/app.sqlite",
        "memory": "sqlite+aiosqlite:///:memory:",
        "postgresql": "",
    }[database]
    if database == "postgresql":
        url = request.getfixturevalue("postgresql").url("labox_sessions").replace("postgresql:", "postgresql+psycopg:")
        import psycopg

        with psycopg.connect(request.getfixturevalue("postgresql").url(), autocommit=True) as link:
            link.execute("CREATE DATABASE labox_sessions")
    files = FileStorage(tmp_path / "bytes", mkdir=True)
    registry = Registry(
        serializers=[json_serializer], storables=[StorableValue], storages=[files], default_storage=True
    )

    async def main() -> None:
        engine = create_async_engine(url)
        await BaseRecord.create_all(engine)
        sessions = async_sessionmaker(engine, expire_on_commit=False)
        async with sessions() as session:
            manifest = await save_one(StorableValue([7]), tags={"a": "b"}, registry=registry, session=session)
        async with sessions() as session:
            assert (await load_one(manifest, StorableValue, registry=registry, session=session)).value == [7]
            (found,) = [each async for each in ManifestRecord.search(session, tags={"a": "b"})]
            assert found == manifest
        async with AsyncSession(engine) as session:
            assert await ManifestRecord.get(session, manifest.id) == manifest
        await engine.dispose()

    run(main())
    if database == "sqlite":
        assert not (tmp_path / "app.sqlite").exists() or (tmp_path / "app.sqlite").stat().st_size == 0
        with holdfast.open(tmp_path / "app.sqlite.holdfast", registry=registry) as store:
            assert store.verify().fine


# --- L13 --------------------------------------------------------------------------------------------------------------


def test_l13_manifests_and_contents(place: Place, registry: Registry) -> None:
    before = datetime.now(timezone.utc) - timedelta(minutes=5)
    manifest = place.save(
        Run(name="n", probe=Probe(label="p"), table=FRAME, array=np.arange(3)), registry, tags={"a": "b"}
    )
    assert isinstance(manifest, ManifestRecord)
    assert isinstance(manifest, BaseRecord)
    assert isinstance(manifest.id, UUID)
    assert (manifest.tags, manifest.class_id) == ({"a": "b"}, UUID(hex="9c1d3c57aa".ljust(32, "0")))
    assert manifest.unpacker_name == "labox.builtin.dataclass@v1"
    assert before < manifest.created_at < before + timedelta(minutes=10)
    assert len({content.content_key for content in manifest.contents}) == len(manifest.contents) == 3
    for content in manifest.contents:
        assert isinstance(content, ContentRecord)
        assert isinstance(content.id, UUID)
        assert content.manifest_id == manifest.id
        assert content.created_at == manifest.created_at
        assert content.serializer_type is SerializerTypeEnum.Serializer
        assert content.content_hash_algorithm in ("blake3", "sha256")
        assert len(bytes.fromhex(content.content_hash)) == 32
        assert content.content_size > 10
        assert content.content_encoding is None
        json.loads(content.serializer_config)
        json.loads(content.storage_config)
        assert str(content.id) in repr(content)
        assert str(content) == f"ContentRecord({content.id})"
    assert str(manifest) == f"ManifestRecord({manifest.id})"
    copy = pickle.loads(pickle.dumps(manifest))
    assert copy == manifest
    assert place.load(copy, Run, registry).name == "n"
    bare = ManifestRecord(id=manifest.id, tags=None, class_id=manifest.class_id, unpacker_name=manifest.unpacker_name)
    assert bare.contents == ()
    assert place.load(bare, Run, registry).name == "n"


def test_l13_a_search_passes_over_what_is_no_manifest_or_is_gone(place: Place, registry: Registry) -> None:
    manifests = [place.save(StorableValue(number), registry) for number in range(3)]
    others = place.session.scope("labox", "manifests")
    for key in ("mine", str(UUID(int=10**30)).upper()):
        others.copy(str(manifests[0].id), key)
    others.put("text", "of another")

    async def main() -> list[UUID]:
        left = []
        async for manifest in ManifestRecord.search(place.session):
            left.append(manifest.id)
            for other in manifests:
                if other.id != manifest.id:
                    await others.aio.delete(str(other.id), missing_ok=True)
        return left

    assert len(run(main())) == 1
    with pytest.raises(holdfast.NotFoundError):
        run(ManifestRecord.get(place.session, UUID(int=7)))


def test_l13_views_for_those_who_query_elsewhere(place: Place, registry: Registry) -> None:
    manifest = place.save(
        Run(name="n", probe=Probe(label="p"), table=FRAME, array=np.arange(3)), registry, tags={"a": "b"}
    )
    stream = place.save(StorableStream(numbers(3)), registry)
    manifests, contents = rows_of(place, "labox_manifests"), rows_of(place, "labox_contents")
    assert {UUID(str(row["id"])) for row in manifests} == {manifest.id, stream.id}
    (row,) = [row for row in manifests if UUID(str(row["id"])) == manifest.id]
    tags = row["tags"] if isinstance(row["tags"], dict) else json.loads(row["tags"])
    assert tags == {"a": "b"}
    assert UUID(str(row["class_id"])) == manifest.class_id
    assert row["unpacker_name"] == manifest.unpacker_name
    assert row["created_at"] is not None
    assert len(contents) == 4
    for content in (*manifest.contents, *stream.contents):
        (row,) = [
            row for row in contents
            if UUID(str(row["manifest_id"])) == content.manifest_id and row["content_key"] == content.content_key
        ]  # fmt: skip
        for name in ("content_type", "content_encoding", "content_hash", "content_hash_algorithm", "content_size"):
            assert row[name] == getattr(content, name), name
        assert row["serializer_name"] == content.serializer_name
        assert row["storage_name"] == content.storage_name
        assert row["serializer_type"] in (content.serializer_type.value, content.serializer_type.name)
        assert row.keys() >= {"serializer_config", "storage_config", "created_at"}


def rows_of(place: Place, view: str) -> list[dict[str, Any]]:
    """The rows of a view, as somebody sees them who knows nothing of Holdfast."""
    if place.kind.startswith("sqlite"):
        return json.loads(python_of_its_own(place.folder / "data" / "catalog.sqlite", view))
    import psycopg
    from psycopg.rows import dict_row

    url, _, schema = holdfast_url(place).partition("?schema=")
    with psycopg.connect(url, row_factory=dict_row, options=f"-c search_path={schema}") as link:
        return link.execute(f"SELECT * FROM {view}").fetchall()


def holdfast_url(place: Place) -> str:
    from holdfast.config import with_password

    return with_password(place.session.config.store)


QUERY = """
import json, sqlite3, sys
link = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
link.row_factory = sqlite3.Row
rows = [dict(row) for row in link.execute(f"SELECT * FROM {sys.argv[2]}")]
print(json.dumps([{k: v.hex() if isinstance(v, bytes) else v for k, v in row.items()} for row in rows]))
"""


def python_of_its_own(catalog: Path, view: str) -> str:
    from .jobs import python

    return python("-c", QUERY, catalog, view).stdout


def test_l13_content_configs_are_enough_to_read_by(place: Place) -> None:
    for storage in (place.authors(), place.shipped()):
        manifest = place.save(StorableValue({"a": 1}), place.registry(storage))
        (content,) = manifest.contents
        assert run(storage.read_data(storage.deserialize_config(content.storage_config))) == b'{"a":1}'


def test_an_authors_bucket_has_the_methods_of_an_authors_files() -> None:
    assert {name for name in vars(AuthorsFiles) if "data" in name} == {
        name for name in vars(AuthorsBucket) if "data" in name
    }
