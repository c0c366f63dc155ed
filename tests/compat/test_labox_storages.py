"""Storages through the labox face, behaviour by behaviour: an author's own, and those that labox ships with."""

from __future__ import annotations

import json
import os
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

import holdfast
from holdfast.compat.labox import NoStorageData, NotRegistered, Registry, Storage, load_one, save_one
from holdfast.compat.labox.builtin import (
    DatabaseStorage,
    FileStorage,
    MemoryStorage,
    StorableStream,
    StorableValue,
    database_storage,
    file_storage,
    json_serializer,
    memory_storage,
)
from holdfast.compat.labox.extra import aws, azure, google

from ..storages.remote.servers import AZURE_ACCOUNT, AZURE_KEY
from .jobs import python
from .labox_places import (
    PLACES,
    AuthorsFiles,
    Noted,
    Place,
    client,
    errors_of,
    keys_in,
    numbers,
    place_of,
    run,
)

LARGE = {"text": "of many bytes " * 10_000}


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with place_of(request.param, request) as made:
        yield made


async def read_stream(place: Place, manifest: Any, registry: Registry) -> list[Any]:
    from contextlib import AsyncExitStack

    async with AsyncExitStack() as stack:
        opened: Any = await load_one(manifest, StorableStream, registry=registry, session=place.session, stack=stack)
        return [item async for item in opened.value_stream]


def test_l01_four_methods_are_called_by_position(place: Place) -> None:
    storage = place.authors()
    registry = place.registry(storage)
    tags = {"stage": "eval"}
    small, large = (place.save(StorableValue(value), registry, tags=tags) for value in ({"a": 1}, LARGE))
    stream = place.save(StorableStream(numbers(5)), registry, tags=tags)
    assert place.load(small, StorableValue, registry).value == {"a": 1}
    assert place.load(large, StorableValue, registry).value == LARGE
    assert run(read_stream(place, stream, registry)) == [{"number": number} for number in range(5)]
    assert [call[0] for call in storage.calls] == [
        "write_data", "write_data", "write_data_stream", "read_data", "read_data", "read_data_stream",
    ]  # fmt: skip
    _, data, digest, given = storage.calls[0]
    assert (type(data), json.loads(data), given) == (bytes, {"a": 1}, tags)
    assert {content.storage_name for m in (small, large, stream) for content in m.contents} == {storage.name}
    assert isinstance(digest, dict)


def test_l01_the_published_sample_runs_inside_the_store(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data") as store:
        registry = Registry(
            modules=["holdfast.compat.labox.builtin.serializers"], storables=[StorableValue, StorableStream],
            storages=[AuthorsFiles(tmp_path / "bytes")], default_storage=True,
        )  # fmt: skip

        async def main() -> None:
            value = await save_one(StorableValue([1, 2]), registry=registry, session=store)
            assert (await load_one(value, StorableValue, registry=registry, session=store)).value == [1, 2]
            stream = await save_one(StorableStream(numbers(2000)), registry=registry, session=store)
            (content,) = stream.contents
            path = Path(json.loads(content.storage_config))
            assert path == tmp_path / "bytes" / content.content_hash
            assert len(json.loads(path.read_bytes())) == 2000

        run(main())
        assert store.verify().fine
        assert (
            sorted(path.name for path in (tmp_path / "bytes").iterdir() if not re.fullmatch("[0-9a-f]{64}", path.name))
            == []
        )


def test_l02_digests_say_what_the_bytes_are(place: Place) -> None:
    storage = place.authors()
    registry = place.registry(storage)
    value = place.save(StorableValue({"a": 1}), registry).contents[0]
    stream = place.save(StorableStream(numbers(3)), registry).contents[0]
    digest = storage.calls[0][2]
    assert digest.keys() == {
        "content_type", "content_encoding", "content_hash", "content_hash_algorithm", "content_size",
    }  # fmt: skip
    at_end = storage.calls[1][2]()
    assert at_end.pop("is_complete") is True
    for known, content in ((digest, value), (at_end, stream)):
        assert known["content_type"] == content.content_type == "application/json"
        assert known["content_encoding"] is content.content_encoding is None
        assert known["content_hash"] == content.content_hash
        assert known["content_hash_algorithm"] == content.content_hash_algorithm
        assert known["content_size"] == content.content_size > 5


def test_l03_the_digest_of_a_stream_is_known_at_its_end(place: Place) -> None:
    told: list[Any] = []

    class Asking(type(place.authors())):  # type: ignore[misc]
        async def write_data_stream(self, stream: Any, get_digest: Any, tags: Any) -> Any:
            with pytest.raises(ValueError):
                get_digest()
            told.append(get_digest(allow_incomplete=True))
            config = await super().write_data_stream(stream, get_digest, tags)
            told.append(get_digest())
            return config

    storage = place.authors()
    storage.__class__ = Asking
    manifest = place.save(StorableStream(numbers(3)), place.registry(storage))
    assert [(digest["is_complete"], digest["content_size"]) for digest in told] == [
        (False, 0), (True, manifest.contents[0].content_size),
    ]  # fmt: skip


def test_l03_a_storage_that_leaves_a_stream_unread_is_named(place: Place) -> None:
    class Hasty(type(place.authors())):  # type: ignore[misc]
        name = "tests.hasty@v1"

        async def write_data_stream(self, stream: Any, get_digest: Any, tags: Any) -> Any:
            return await super().write_data(await anext(stream), get_digest(allow_incomplete=True), tags)

    storage = place.authors()
    storage.__class__ = Hasty
    with pytest.raises(ExceptionGroup) as caught:
        place.save(StorableStream(numbers(20_000)), place.registry(storage))
    assert any("tests.hasty@v1" in str(error) and "end" in str(error) for error in errors_of(caught.value))
    assert run(found(place.session)) == []


async def found(session: Any, **which: Any) -> list[Any]:
    from holdfast.compat.labox import ManifestRecord

    return [manifest async for manifest in ManifestRecord.search(session, **which)]


@pytest.mark.parametrize("config", [None, 7, "text", ["a", 1], {"deep": {"er": [None, 1.5, "é"]}}], ids=repr)
def test_l04_any_json_is_a_config(place: Place, config: Any) -> None:
    pieces: dict[str, bytes] = {}

    class Any_(Storage):  # noqa: N801
        name = "tests.any@v1"

        async def write_data(self, data: bytes, digest: Any, tags: Any) -> Any:
            pieces[json.dumps(config)] = data
            return config

        async def read_data(self, config: Any) -> bytes:
            return pieces[json.dumps(config)]

        async def write_data_stream(self, stream: Any, get_digest: Any, tags: Any) -> Any: ...

        async def read_data_stream(self, config: Any) -> Any:
            yield b""

    registry = place.registry(Any_())
    manifest = place.save(StorableValue("x"), registry)
    assert json.loads(manifest.contents[0].storage_config) == config
    assert place.load(manifest, StorableValue, registry).value == "x"


def test_l04_configs_in_words_of_their_own(place: Place) -> None:
    class Worded(type(place.authors())):  # type: ignore[misc]
        name = "tests.worded@v1"

        def serialize_config(self, config: Any) -> str:
            return json.dumps({"version": 1, "is": config})

        def deserialize_config(self, text: str) -> Any:
            return json.loads(text)["is"]

    storage = place.authors()
    storage.__class__ = Worded
    registry = place.registry(storage)
    manifest = place.save(StorableValue("x"), registry)
    text = manifest.contents[0].storage_config
    assert json.loads(text).keys() == {"version", "is"}
    assert place.load(manifest, StorableValue, registry).value == "x"
    assert run(storage.read_data(storage.deserialize_config(text))) == b'"x"'


@pytest.mark.parametrize("whose", ["authors", "shipped"])
def test_l04_a_config_is_read_after_the_prefix_changed(place: Place, whose: str) -> None:
    old, new = (place.registry(getattr(place, whose)(name)) for name in ("old", "new"))
    before = [place.save(obj, old) for obj in (StorableValue(LARGE), StorableStream(numbers(9)))]
    after = place.save(StorableValue([1]), new)
    assert place.load(before[0], StorableValue, new).value == LARGE
    assert len(run(read_stream(place, before[1], new))) == 9
    assert place.load(after, StorableValue, new).value == [1]


def test_l05_tags_reach_every_write_and_are_found_again(place: Place) -> None:
    storage = place.authors()
    registry = place.registry(storage)
    tags = {"stage": "eval", "größe": "∞"}
    saved = [place.save(obj, registry, tags=tags) for obj in (StorableValue(LARGE), StorableStream(numbers(3)))]
    other = place.save(StorableValue(1), registry, tags={"stage": "raw"})
    none = place.save(StorableValue(1), registry)
    assert [call[3] for call in storage.calls] == [tags, tags, {"stage": "raw"}, {}]
    assert [manifest.tags for manifest in saved] == [tags, tags]
    assert {m.id for m in run(found(place.session, tags={"stage": "eval"}))} == {m.id for m in saved}
    assert {m.id for m in run(found(place.session))} == {m.id for m in [*saved, other, none]}
    (again,) = run(found(place.session, tags={"stage": "raw"}))
    assert again == other
    assert place.load(again, StorableValue, registry).value == 1


def test_l05_shipped_storages_take_tags_as_well(place: Place) -> None:
    registry = place.registry(place.shipped())
    manifest = place.save(StorableValue(LARGE), registry, tags={"a": "b"})
    assert place.load(manifest, StorableValue, registry).value == LARGE
    assert [m.id for m in run(found(place.session, tags={"a": "b"}))] == [manifest.id]


def test_l06_what_another_storage_wrote_stays_readable(place: Place) -> None:
    old, new = place.authors("old"), place.shipped("new")
    before = place.save(StorableValue(LARGE), place.registry(old))
    both = place.registry(old, new)
    after = place.save(StorableValue(LARGE), both)
    assert (before.contents[0].storage_name, after.contents[0].storage_name) == (old.name, new.name)
    assert [place.load(m, StorableValue, both).value for m in (before, after)] == [LARGE, LARGE]
    with pytest.raises(ExceptionGroup) as caught:
        place.load(before, StorableValue, place.registry(new))
    (error,) = errors_of(caught.value)
    assert isinstance(error, NotRegistered)
    assert old.name in str(error)


@pytest.mark.parametrize("name", ["plain", "with@version", "dotted.v1"])
def test_l06_a_name_has_a_version(name: str) -> None:
    with pytest.raises(ValueError, match="@v"):
        type("Nameless", (AuthorsFiles,), {"name": name})


def test_l06_the_shipped_ones_keep_their_names() -> None:
    assert (FileStorage.name, MemoryStorage.name) == ("labox.file@v1", "labox.memory@v1")
    assert DatabaseStorage.name == "labox.json_storage_data@v1"
    assert (aws.S3Storage.name, azure.BlobStorage.name, google.BlobStorage.name) == (
        "labox.aws.s3@v1", "labox.azure.blob@v1", "labox.google.blob@v1",
    )  # fmt: skip


# --- routers ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def s3_place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with place_of("sqlite+s3", request) as made:
        yield made


@pytest.mark.parametrize("takes_temp", [True, False])
@pytest.mark.parametrize("catalog", ["sqlite", "postgresql"])
def test_l07_a_router_says_where(catalog: str, takes_temp: bool, request: pytest.FixtureRequest) -> None:
    with place_of(f"{catalog}+s3", request) as place:
        place.s3.create_bucket(Bucket="another")
        asked: list[Any] = []

        def where(digest: Any, tags: Any) -> dict[str, str]:
            asked.append((digest, tags))
            return {"bucket": tags["bucket"], "key": f"{place.prefix}/{tags['team']}/{digest['content_hash']}"}

        def with_temp(digest: Any, tags: Any, *, temp: bool) -> dict[str, str]:
            name = where(digest, tags)
            return name | {"key": f"{place.prefix}/waiting-{os.urandom(8).hex()}"} if temp else name

        router: Any = with_temp if takes_temp else where
        registry = place.registry(aws.S3Storage(s3_client=place.s3, s3_router=router))
        for bucket in ("bucket", "another"):
            tags = {"bucket": bucket, "team": "blue"}
            value = place.save(StorableValue(LARGE), registry, tags=tags)
            stream = place.save(StorableStream(numbers(9)), registry, tags=tags)
            for content in (*value.contents, *stream.contents):
                pointer = {"bucket": bucket, "key": f"{place.prefix}/blue/{content.content_hash}"}
                assert json.loads(content.storage_config) == pointer
                body = place.s3.get_object(Bucket=pointer["bucket"], Key=pointer["key"])["Body"].read()
                assert len(body) == content.content_size
            assert place.load(value, StorableValue, registry).value == LARGE
            assert len(run(read_stream(place, stream, registry))) == 9
            listed = place.s3.list_objects_v2(Bucket=bucket, Prefix=place.prefix)["Contents"]
            assert [item["Key"] for item in listed if "waiting" in item["Key"]] == []
        assert {tags["team"] for _, tags in asked} == {"blue"}
        assert {digest["content_type"] for digest, _ in asked} == {"application/json"}


def test_l07_the_simple_routers(s3_place: Place) -> None:
    digest = {
        "content_type": "application/json", "content_encoding": None, "content_hash": "ab12",
        "content_hash_algorithm": "sha256", "content_size": 3,
    }  # fmt: skip
    pointer = aws.simple_s3_router("b", "some/prefix")(digest, {}, temp=False)
    assert pointer["bucket"] == "b"
    assert pointer["key"].startswith("some/prefix/")
    assert "ab12" in pointer["key"]
    one, two = (aws.simple_s3_router("b")(digest, {}, temp=True)["key"] for _ in range(2))
    assert one != two
    assert azure.simple_blob_router("c", "p")(digest, {}, temp=False).keys() == {"container", "blob"}
    placed = google.simple_blob_router("b", "p")(digest, {}, temp=False)
    assert (placed["bucket"], placed["user_project"]) == ("b", None)
    assert "ab12" in placed["blob"]


def test_l07_without_a_router_it_reads_only(s3_place: Place) -> None:
    place = s3_place
    manifest = place.save(StorableValue(LARGE), place.registry(place.shipped()))
    reading = place.registry(aws.S3Storage(s3_client=place.s3, s3_router=None))
    assert place.load(manifest, StorableValue, reading).value == LARGE
    with pytest.raises(ExceptionGroup) as caught:
        place.save(StorableValue(LARGE), reading)
    assert any("read" in str(error) and "router" in str(error) for error in errors_of(caught.value))


def test_l07_the_client_gives_its_keys_and_endpoint(s3_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    place = s3_place
    registry = place.registry(place.shipped())
    manifest = place.save(StorableValue(LARGE), registry)
    assert place.load(manifest, StorableValue, registry).value == LARGE
    assert len(keys_in(place.s3, place.prefix)) == 1


def test_l07_a_router_that_fails_is_told(s3_place: Place) -> None:
    for router, words in (
        (lambda digest, tags: {"bucket": tags["none"]}, "none"),
        (lambda digest, tags: "bucket/key", "bucket"),
        (lambda digest, tags: {"bucket": "bucket"}, "key"),
    ):
        registry = s3_place.registry(aws.S3Storage(s3_client=s3_place.s3, s3_router=cast(Any, router)))
        with pytest.raises(ExceptionGroup) as caught:
            s3_place.save(StorableValue(LARGE), registry)
        assert any(isinstance(error, ValueError) and words in str(error) for error in errors_of(caught.value))
    assert run(found(s3_place.session)) == []


# --- those that ship --------------------------------------------------------------------------------------------------


def digest_of(data: bytes) -> Any:
    from hashlib import sha256

    return {
        "content_type": "application/json", "content_encoding": None, "content_hash": sha256(data).hexdigest(),
        "content_hash_algorithm": "sha256", "content_size": len(data),
    }  # fmt: skip


async def cross(storage: Any, size: int) -> None:
    """What each half wrote, both halves read."""
    data = json.dumps("x" * size).encode()

    async def stream() -> Any:
        for start in range(0, len(data), 70_000):
            yield data[start : start + 70_000]

    written = [
        await storage.write_data(data, digest_of(data), {"a": "b"}),
        await storage.write_data_stream(stream(), lambda allow_incomplete=False: digest_of(data), {}),
    ]
    for config in written:
        config = storage.deserialize_config(storage.serialize_config(config))
        assert await storage.read_data(config) == data
        assert b"".join([piece async for piece in storage.read_data_stream(config)]) == data


@pytest.mark.parametrize("size", [0, 100, 3_000_000])
@pytest.mark.parametrize("whose", ["authors", "shipped"])
def test_l08_each_half_reads_what_the_other_wrote(place: Place, whose: str, size: int) -> None:
    run(cross(getattr(place, whose)(), size))


def test_l14_files_lie_below_a_folder_that_is_there_or_is_made(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "made", mkdir=True)
    run(cross(storage, 1000))
    with pytest.raises(holdfast.StoreError, match="not made"):
        FileStorage(tmp_path / "not made")
    config = run(storage.write_data(b"{}", digest_of(b"{}"), {}))
    Path(config).unlink()
    with pytest.raises(NoStorageData, match=r"gone|no bytes|no file"):
        run(storage.read_data(config))
    assert FileStorage(str(tmp_path / "made")).path == tmp_path / "made"
    run(cross(file_storage, 10))


def test_l14_files_are_the_same_in_another_process(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "made", mkdir=True, chunk_size=7)
    in_store = storage.of("0123")
    (tmp_path / "made").rmdir()
    for one, path in ((storage, tmp_path / "made"), (in_store, tmp_path / "made" / "0123")):
        copy = pickle.loads(pickle.dumps(one))
        assert (copy.path, copy.url, copy.mkdir, copy.chunk_size) == (path, str(path), True, 7)
        config = run(copy.write_data(b"{}", digest_of(b"{}"), {}))
        assert run(one.read_data(config)) == b"{}"


PASSING = """
import asyncio, os, pickle, sys, tempfile
from hashlib import sha256

from holdfast.compat.labox.builtin import file_storage

path = file_storage.path
assert os.listdir(tempfile.gettempdir()) == []
data = b"{}"
digest = {"content_type": "application/json", "content_encoding": None, "content_hash": sha256(data).hexdigest(),
          "content_hash_algorithm": "sha256", "content_size": 2}
first = asyncio.run(file_storage.write_data(data, digest, {}))
assert path.stat().st_mode & 0o077 == 0
child = os.fork()
if not child:
    asyncio.run(pickle.loads(pickle.dumps(file_storage)).write_data(data, digest, {}))
    sys.exit()
assert os.waitpid(child, 0)[1] == 0
assert asyncio.run(file_storage.read_data(first)) == data
"""


def test_l14_files_of_a_process_are_made_late_outlast_its_children_and_end_with_it(tmp_path: Path) -> None:
    python("-W", "ignore::DeprecationWarning", "-c", PASSING, TMPDIR=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_l14_one_storage_serves_several_stores(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "bytes", mkdir=True)
    registry = Registry(
        serializers=[json_serializer],
        storables=[StorableValue],
        storages=[memory_storage, storage],
        default_storage=True,
    )
    in_memory = Registry(registries=[registry], storages=[memory_storage], default_storage=True)
    with holdfast.open(tmp_path / "one") as one, holdfast.open(tmp_path / "two") as two:

        async def main() -> None:
            manifests = [
                (session, reg, await save_one(StorableValue(LARGE), registry=reg, session=session))
                for session in (one, two)
                for reg in (registry, in_memory)
            ]
            for session in (one, two):
                session.gc()
            for session, reg, manifest in manifests:
                assert (await load_one(manifest, StorableValue, registry=reg, session=session)).value == LARGE

        run(main())
        for store in (one, two):
            assert store.verify().fine


def test_l14_memory_gives_back_values_and_streams(place: Place) -> None:
    run(cross(MemoryStorage(), 1000))
    storage = MemoryStorage()
    registry = place.registry(storage)
    manifest = place.save(StorableValue(LARGE), registry)
    assert manifest.contents[0].storage_name == "labox.memory@v1"
    assert place.load(manifest, StorableValue, registry).value == LARGE
    stream = place.save(StorableStream(numbers(4)), registry)
    assert len(run(read_stream(place, stream, registry))) == 4


def test_l14_the_database_takes_little_json_and_says_what_it_refuses(place: Place) -> None:
    registry = place.registry(DatabaseStorage(warn_size=100, error_size=1000))
    manifest = place.save(StorableValue({"a": [1]}), registry)
    (content,) = manifest.contents
    assert (content.storage_name, json.loads(content.storage_config)) == (database_storage.name, {"a": [1]})
    assert place.load(manifest, StorableValue, registry).value == {"a": [1]}
    with pytest.warns(UserWarning, match="100"):
        place.save(StorableValue("x" * 200), registry)
    for obj, words in ((StorableValue("x" * 2000), "1000"), (StorableStream(numbers(3)), "stream")):
        with pytest.raises(ExceptionGroup) as caught:
            place.save(obj, registry)
        assert any(
            words in str(error) and "labox.json_storage_data@v1" in str(error) for error in errors_of(caught.value)
        )
    with pytest.raises(ExceptionGroup) as caught:
        place.save(StorableValue("x" * 2_000_000), place.registry(DatabaseStorage(error_size=1 << 30)))
    assert any("nor more than 1 MB" in str(error) for error in errors_of(caught.value))
    storage = DatabaseStorage()
    with pytest.raises(ValueError, match="JSON"):
        run(storage.write_data(b"x", digest_of(b"x") | {"content_type": "text/csv"}, {}))


def test_l14_s3_reads_what_either_half_wrote_and_names_bad_parts(request: pytest.FixtureRequest) -> None:
    endpoint = request.getfixturevalue("s3_endpoint")
    storage = aws.S3Storage(s3_client=client(endpoint), s3_router=aws.simple_s3_router("bucket", "l14"))
    run(cross(storage, 9_000_000))
    with pytest.raises(NoStorageData):
        run(storage.read_data({"bucket": "bucket", "key": "l14/nothing"}))
    with pytest.raises(ValueError, match="5"):
        aws.S3Storage(s3_client=client(endpoint), s3_router=None, stream_writer_min_part_size=1)


def test_l14_azure_reads_what_either_half_wrote(azure_endpoint: str) -> None:
    from azure.storage.blob.aio import BlobServiceClient

    async def main() -> None:
        async with BlobServiceClient(azure_endpoint, credential=AZURE_KEY) as service:
            storage = azure.BlobStorage(
                service_client=service, blob_router=azure.simple_blob_router("container", "l14")
            )
            await cross(storage, 100_000)
            with pytest.raises(NoStorageData):
                await storage.read_data({"container": "container", "blob": "l14/nothing"})

    assert AZURE_ACCOUNT in azure_endpoint
    run(main())


def test_l14_google_reads_what_either_half_wrote(s3_endpoint: str) -> None:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.storage import Client

    options = {"api_endpoint": s3_endpoint}
    storage = google.BlobStorage(
        storage_client=Client("project", AnonymousCredentials(), client_options=options),
        storage_router=google.simple_blob_router("bucket", "google"),
    )
    run(cross(storage, 100_000))
    with pytest.raises(NoStorageData):
        run(storage.read_data({"bucket": "bucket", "blob": "google/nothing", "user_project": None}))


def test_a_noted_storage_notes_each_method() -> None:
    assert {name for name in vars(Noted) if not name.startswith("_")} >= {"write_data", "read_data_stream"}
