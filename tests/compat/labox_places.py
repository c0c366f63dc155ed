"""Where what is saved through the labox face can lie, and a laboratory's own components, as authors write them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NamedTuple, TypeVar

import boto3
import pytest

import holdfast
from holdfast.compat.labox import Digest, GetStreamDigest, Registry, Storage, TagMap, load_one, save_one
from holdfast.compat.labox.builtin import FileStorage, StorableStream, StorableValue
from holdfast.compat.labox.extra.aws import S3Storage, simple_s3_router

from ..kernel.places import set_keys

__all__ = [
    "KINDS", "PLACES", "AuthorsBucket", "AuthorsFiles", "Noted", "Place", "client", "errors_of", "keys_in", "numbers",
    "place_of", "run",
]  # fmt: skip

T = TypeVar("T")

KINDS = ["sqlite+files", "sqlite+s3", "postgresql+files", "postgresql+s3"]
PLACES = [kind if kind in (KINDS[0], KINDS[3]) else pytest.param(kind, marks=pytest.mark.long) for kind in KINDS]

_places = itertools.count()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine comes to, in a loop of its own."""
    return asyncio.run(coroutine)


async def numbers(count: int) -> AsyncGenerator[dict[str, int]]:
    """A stream of plain values."""
    for number in range(count):
        yield {"number": number}


def errors_of(error: BaseException) -> list[BaseException]:
    """The errors in a group, those of groups in it included."""
    return (
        [leaf for part in error.exceptions for leaf in errors_of(part)]
        if isinstance(error, BaseExceptionGroup)
        else [error]
    )


# --- an author's storages ---------------------------------------------------------------------------------------------


class AuthorsFiles(Storage):
    """Files named by their hash: the published sample, its slips mended.

    The folder is always set, both halves give whole paths, and the temporary file is not removed twice.
    """

    name = "temp-file-storage@v1"

    def __init__(self, prefix: Path, *, read_chunk_size: int = 1024):
        self._prefix = prefix
        self._read_chunk_size = read_chunk_size
        prefix.mkdir(parents=True, exist_ok=True)

    async def write_data(self, data: bytes, digest: Digest, tags: TagMap) -> str:
        path = self._prefix / digest["content_hash"]
        with path.open("wb") as f:
            f.write(data)
        return str(path)

    async def read_data(self, path: str) -> bytes:
        with Path(path).open("rb") as f:
            return f.read()

    async def write_data_stream(self, stream: AsyncIterable[bytes], get_digest: GetStreamDigest, tags: TagMap) -> str:
        with NamedTemporaryFile(dir=self._prefix, delete=False) as temp_file:
            async for chunk in stream:
                temp_file.write(chunk)
            temp_file.flush()
            path = self._prefix / get_digest()["content_hash"]
            Path(temp_file.name).rename(path)
        return str(path)

    async def read_data_stream(self, path: str) -> AsyncGenerator[bytes]:
        with Path(path).open("rb") as f:
            while chunk := f.read(self._read_chunk_size):
                yield chunk


def client(endpoint: str) -> Any:
    """A boto3 client for the tests' S3 server, whose keys are its own."""
    keys = {"aws_access_key_id": "of-the-client", "aws_secret_access_key": "its-secret"}
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys)


def keys_in(s3: Any, prefix: str) -> list[str]:
    """The names of what lies below a prefix, bookkeeping aside."""
    pages = s3.list_objects_v2(Bucket="bucket", Prefix=prefix).get("Contents", [])
    return [item["Key"] for item in pages if ".holdfast" not in item["Key"]]


class AuthorsBucket(Storage):
    """Objects of a bucket, by an author who knows boto3."""

    name = "authors.bucket@v1"

    def __init__(self, s3: Any, prefix: str) -> None:
        self.s3, self.prefix = s3, prefix

    async def write_data(self, data: bytes, digest: Digest, tags: TagMap) -> dict[str, str]:
        return await self._put(data, digest)

    async def _put(self, data: bytes, digest: Digest) -> dict[str, str]:
        pointer = {"Bucket": "bucket", "Key": f"{self.prefix}/{digest['content_hash']}"}
        await asyncio.to_thread(self.s3.put_object, **pointer, Body=data)
        return pointer

    async def read_data(self, pointer: dict[str, str]) -> bytes:
        return await self._get(pointer)

    async def _get(self, pointer: dict[str, str]) -> bytes:
        answer = await asyncio.to_thread(self.s3.get_object, **pointer)
        data: bytes = await asyncio.to_thread(answer["Body"].read)
        return data

    async def write_data_stream(
        self, stream: AsyncIterable[bytes], get_digest: GetStreamDigest, tags: TagMap
    ) -> dict[str, str]:
        return await self._put(b"".join([piece async for piece in stream]), get_digest())

    async def read_data_stream(self, pointer: dict[str, str]) -> AsyncGenerator[bytes]:
        data = await self._get(pointer)
        for start in range(0, len(data), 1000):
            yield data[start : start + 1000]


class Noted:
    """Mixed into a storage: notes the calls of its methods."""

    calls: list[tuple[Any, ...]]

    async def write_data(self, *arguments: Any) -> Any:
        self._note("write_data", *arguments)
        return await super().write_data(*arguments)  # type: ignore[misc]

    async def read_data(self, *arguments: Any) -> Any:
        self._note("read_data", *arguments)
        return await super().read_data(*arguments)  # type: ignore[misc]

    async def write_data_stream(self, *arguments: Any) -> Any:
        self._note("write_data_stream", *arguments)
        return await super().write_data_stream(*arguments)  # type: ignore[misc]

    async def read_data_stream(self, *arguments: Any) -> Any:
        self._note("read_data_stream", *arguments)
        async for piece in super().read_data_stream(*arguments):  # type: ignore[misc]
            yield piece

    def _note(self, *call: Any) -> None:
        self.__dict__.setdefault("calls", []).append(call)


class _NotedFiles(Noted, AuthorsFiles):
    pass


class _NotedBucket(Noted, AuthorsBucket):
    pass


# --- places -----------------------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """A store, and where the storages of a test put their bytes.

    Attributes:
        kind: one of :data:`KINDS`.
        session: the store.
        folder: of the test.
        s3: a client of the S3 server.
        prefix: in its bucket.
    """

    kind: str
    session: holdfast.Store
    folder: Path
    s3: Any
    prefix: str

    @property
    def in_bucket(self) -> bool:
        return self.kind.endswith("s3")

    def shipped(self, name: str = "bytes") -> Any:
        """A storage that labox ships with."""
        if self.in_bucket:
            return S3Storage(s3_client=self.s3, s3_router=simple_s3_router("bucket", f"{self.prefix}/{name}"))
        return FileStorage(self.folder / name, mkdir=True)

    def authors(self, name: str = "bytes") -> Any:
        """An author's storage that notes its calls."""
        if self.in_bucket:
            return _NotedBucket(self.s3, f"{self.prefix}/{name}")
        return _NotedFiles(self.folder / name)

    def registry(self, *storages: Any, **more: Any) -> Registry:
        """The shipped serializers with these storages, the last one the default."""
        more = {"default_storage": True, **more}
        modules = ["holdfast.compat.labox.builtin.serializers", *more.pop("modules", ())]
        storables = [StorableValue, StorableStream, *more.pop("storables", ())]
        return Registry(modules=modules, storages=storages, storables=storables, **more)

    def save(self, obj: Any, registry: Registry, **more: Any) -> Any:
        """save_one, to its end."""
        return run(save_one(obj, registry=registry, session=self.session, **more))

    def load(self, manifest: Any, cls: Any, registry: Registry) -> Any:
        """load_one, to its end."""
        return run(load_one(manifest, cls, registry=registry, session=self.session))


@contextmanager
def place_of(kind: str, request: pytest.FixtureRequest) -> Iterator[Place]:
    """A place of a test's own."""
    folder: Path = request.getfixturevalue("tmp_path")
    set_keys(request.getfixturevalue("monkeypatch"))
    mark = f"labox{next(_places)}_{folder.parent.parent.name}".replace("-", "_")
    catalog, _, storage = kind.partition("+")
    url = f"{request.getfixturevalue('postgresql').url()}?schema={mark}" if catalog == "postgresql" else folder / "data"
    s3 = client(request.getfixturevalue("s3_endpoint")) if storage == "s3" else None
    with holdfast.open(url, cache=folder / "copies") as store:
        yield Place(kind, store, folder, s3, mark)
