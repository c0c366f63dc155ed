"""The table of what goes wrong: the same on every kind of place, one class of error for one cause, and nothing left."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import holdfast
from holdfast.errors import (
    HoldfastError,
    InvalidArgumentError,
    StoreError,
    StoreNotFoundError,
    ValueLost,
)
from holdfast.storages.fsspec import FsspecStorage
from holdfast.storages.objectstore import ObjectStorage, RoutedStorage, simple_s3_router
from holdfast.storages.remote import RemoteStorage
from holdfast.testing.ports import free_port

from .conftest import AZURE_KEYS, FTP_KEYS, S3_KEYS
from .helpers import names_in, no_digest, pattern, put
from .servers import AZURE_ACCOUNT, CuttingProxy, azurite_on, make_container
from .test_errors import guarded  # noqa: F401  a fixture

pytestmark = pytest.mark.timeout(400)  # npm may have to install azurite first

MB = 1 << 20
NOWHERE = "0" * 18 + "/1"


class Far:
    """A place behind a proxy that can be cut off."""

    def __init__(self, kind: str, request: pytest.FixtureRequest) -> None:
        self.kind, self._request = kind, request
        if kind == "ftp":
            self.url = request.getfixturevalue("ftp_url")
            port = request.getfixturevalue("ftp_port")
        else:
            name = "azure" if kind == "az" else "s3"
            self.url = request.getfixturevalue(f"{name}_url")
            port = int(request.getfixturevalue(f"{name}_endpoint").split(":")[2].partition("/")[0])
        self._port = port
        self.proxy = CuttingProxy(port)

    def make(self, url: str, keys: dict[str, str] | None = None, **options: Any) -> RemoteStorage:
        if self.kind == "ftp":
            return FsspecStorage(url, options=keys or FTP_KEYS, **options)
        if self.kind == "routed":
            prefix = url.partition("?")[0].partition("bucket/")[2]
            return RoutedStorage(url, simple_s3_router("bucket", prefix), credentials=keys or S3_KEYS, **options)
        return ObjectStorage(url, credentials=keys or (AZURE_KEYS if self.kind == "az" else S3_KEYS), **options)

    def storage(self, **options: Any) -> RemoteStorage:
        """Through the proxy."""
        return self.make(self.url.replace(f":{self._port}", f":{self.proxy.port}"), **{"timeout": 5, **options})

    def cut(self) -> None:
        """As if the server were killed: connections end at their next byte, and no new ones are taken."""
        self.proxy.refuse, self.proxy.left, self.proxy.cuts = True, 0, 1_000_000
        self.proxy.drop()

    def mend(self) -> None:
        self.proxy.refuse, self.proxy.left, self.proxy.cuts = False, None, 0

    def nowhere(self, storage: RemoteStorage) -> Any:
        return {"bucket": "bucket", "key": "not/there"} if self.kind == "routed" else NOWHERE

    def leftovers(self) -> list[str]:
        """What a listing shows after the writers ended and a collector that knows no record came by."""
        storage = self.make(self.url)
        for left in storage.abandoned():
            for batch in left.configs():
                storage.delete_many(batch)
            left.release()
        assert list(storage.abandoned()) == []
        marks = names_in(storage, "writers") + (names_in(storage, "") if self.kind != "ftp" else [])
        if self.kind == "routed":
            place = self.url.partition("?")[0].partition("bucket/")[2]
            marks = names_in(storage, place)
        storage.close()
        return marks


SLOW = [*("s3", "ftp"), *(pytest.param(name, marks=pytest.mark.long) for name in ("az", "routed"))]
"""For what takes long: each way of reaching a server once."""


@pytest.fixture(params=["s3", "az", "ftp", "routed"])
def far(request: pytest.FixtureRequest) -> Iterator[Far]:
    far = Far(request.param, request)
    yield far
    far.proxy.close()


def refused(kind: type[HoldfastError], work: Any, *words: str) -> str:
    with pytest.raises(kind) as caught:
        work()
    assert caught.type is kind
    told = str(caught.value)
    assert all(word in told for word in words), told
    return told


def verbs(far: Far, storage: RemoteStorage) -> dict[str, Any]:
    nowhere = far.nowhere(storage)
    return {
        "write": lambda: put(storage, b"x"),
        "a large one": lambda: put(storage, bytes(9 * MB)),
        "stream": lambda: stream(storage, b"x"),
        "read": lambda: storage.read(nowhere),
        "read_stream": lambda: b"".join(storage.read_stream(nowhere)),
        "sync": lambda: storage.sync([nowhere]),
        "delete": lambda: storage.delete(nowhere),
        "abandoned": lambda: list(storage.abandoned()),
    }


def stream(storage: RemoteStorage, data: bytes) -> Any:
    with storage.writer({}) as writer:
        for start in range(0, len(data), MB):
            writer.write(data[start : start + MB])
        return writer.commit(no_digest)


def test_wrong_credentials(far, request):
    url, keys = far.url, dict(AZURE_KEYS, account_key="c2VjcmV0" * 10)
    if far.kind == "ftp":
        keys = {"password": "very-secret"}
    elif far.kind in ("s3", "routed"):
        endpoint, users = request.getfixturevalue("guarded")
        url, keys = f"s3://bucket/p?endpoint={endpoint}", users["writer"] | {"secret_access_key": "very-secret"}
    storage = far.make(url, keys)
    for work in verbs(far, storage).values():
        told = refused(StoreError, work, "refused the credentials")
        assert not any(secret in told for secret in ("very-secret", "c2VjcmV0c2VjcmV0"))


def test_no_such_place(far):
    url = far.url.replace("//bucket/", "//not-there/").replace("//container/", "//not-there/")
    storage = far.make(url + "-not-there" if far.kind == "ftp" else url)
    nowhere = {"bucket": "not-there", "key": "x"} if far.kind == "routed" else NOWHERE
    reads = [storage.read, lambda config: list(storage.read_stream(config)), lambda config: storage.sync([config])]
    for work in reads:
        refused(StoreNotFoundError, lambda work=work: work(nowhere), "mend the URL")


@pytest.mark.parametrize("far", SLOW, indirect=True)
def test_a_server_that_is_away_for_the_whole_timeout(far):
    storage = far.storage(timeout=0.3)
    far.cut()
    for name, work in verbs(far, storage).items():
        began = time.monotonic()
        refused(StoreError, work, "could not be reached")
        assert time.monotonic() - began < 15, name
    storage.close()


@pytest.mark.parametrize("far", SLOW, indirect=True)
def test_a_server_that_comes_back_within_the_timeout(far):
    storage = far.storage(timeout=20)
    config = put(storage, b"before")
    for work in (lambda: bytes(storage.read(config)), lambda: bytes(storage.read(put(storage, b"before")))):
        far.cut()
        timer = threading.Timer(1, far.mend)
        timer.start()
        assert work() == b"before"
        timer.join()
    storage.close()


@pytest.mark.parametrize("far", SLOW, indirect=True)
def test_a_cut_in_the_middle_of_an_upload(far):
    """Told, nothing of it is there, and the storage goes on without being opened again."""
    storage = far.storage()
    data = pattern(30 * MB)
    writer = storage.writer({})
    for start in range(0, 16 * MB, MB):
        writer.write(data[start : start + MB])
    far.cut()

    def finish() -> None:
        for start in range(16 * MB, 30 * MB, MB):
            writer.write(data[start : start + MB])
        writer.commit(no_digest)

    refused(StoreError, finish, "could not be reached")
    far.mend()
    config = stream(storage, data)
    assert storage.read(config) == data
    storage.close()
    storage = far.storage()
    storage.delete(config)
    storage.close()
    assert far.leftovers() == []


@pytest.mark.long
@pytest.mark.parametrize("far", SLOW, indirect=True)
def test_a_cut_in_the_middle_of_a_large_write(far):
    if far.kind == "ftp":
        pytest.skip("its bytes go past the proxy: the stream above cuts between two of them")
    storage = far.storage()
    put(storage, b"warm")
    far.proxy.left, far.proxy.cuts = 10 * MB, 1_000_000
    refused(StoreError, lambda: put(storage, bytes(30 * MB)), "could not be reached")
    far.mend()
    storage.close()
    assert far.leftovers() == []


@pytest.mark.parametrize("far", SLOW, indirect=True)
def test_a_cut_in_the_middle_of_a_download(far):
    storage = far.storage()
    data = pattern(30 * MB)
    config = put(storage, data)
    pieces = storage.read_stream(config)
    first = next(pieces)
    far.cut()
    if far.kind == "ftp":  # it was fetched as a whole, since its protocol could not go on if it were deleted
        assert first + b"".join(pieces) == data
    else:
        refused(StoreError, lambda: b"".join(pieces), "could not be reached")
    refused(StoreError, lambda: storage.read(config), "could not be reached")
    far.mend()
    assert storage.read(config) == data
    storage.close()


def test_a_config_of_another_storage(far):
    storage = far.storage()
    others: list[Any] = [{"bucket": "other", "key": "x"}, {"container": "c", "blob": "b", "x": 1}, "x", ["a"], None, 7]
    for config in [*others, NOWHERE if far.kind == "routed" else {"bucket": "bucket", "key": "x"}]:
        for work in (storage.read, storage.delete, lambda config: list(storage.read_stream(config))):
            refused(InvalidArgumentError, lambda work=work, config=config: work(config))
    refused(ValueLost, lambda: storage.read(far.nowhere(storage)) if put(storage, b"x") else None)


def test_keywords_are_the_same(far):
    import pickle

    storage = far.make(far.url, owner="one", patience=90, timeout=7)
    assert (storage.owner, storage.patience, storage.timeout) == ("one", 90, 7)
    image = pickle.dumps(storage) if far.kind != "routed" else b""
    for keys in (S3_KEYS, AZURE_KEYS, FTP_KEYS):
        for value in keys.values():
            if value not in (AZURE_ACCOUNT, "tester"):
                assert value.encode() not in image
                assert value not in repr(storage)
    for timeout in (0, -1, 1e9, float("nan")):
        refused(InvalidArgumentError, lambda timeout=timeout: far.make(far.url, timeout=timeout), "timeout")


def test_an_object_with_keys_as_the_storage_of_a_store(far, tmp_path):
    """The catalog keeps its URL, and nothing secret."""
    storage = far.make(far.url)
    with holdfast.open(tmp_path / "data", storage=storage, cache="off") as store:
        store.namespace("a").put("large", bytes(100_000))
        assert store.namespace("a").get("large") == bytes(100_000)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file())
    assert far.url.encode() in kept
    for secret in (S3_KEYS["secret_access_key"], AZURE_KEYS["account_key"], FTP_KEYS["password"]):
        assert secret.encode() not in kept


# --- a server that is killed -----------------------------------------------------------------------------------------


@pytest.mark.long
def test_azurite_is_killed_in_the_middle_of_a_large_put(tmp_path, monkeypatch):
    """An error, and no record without bytes; after a restart the store goes on without being opened again.

    azurite itself forgets what it took in the five seconds before it was killed, so only what is older is looked for.
    """
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", AZURE_ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEYS["account_key"])
    port, place = free_port(), tmp_path / "azurite"
    place.mkdir()
    endpoint, value = f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}", pattern(100 * MB)
    url = f"az://container/p?endpoint={endpoint}"
    with holdfast.open(tmp_path / "data", storage=url, cache="off", timeout=3) as store:
        scope = store.namespace("a")
        with azurite_on(port, place) as server:
            make_container(endpoint)
            scope.put("before", value[:MB])
            time.sleep(8)
            timer = threading.Timer(0.3, server.kill)
            timer.start()
            refused(StoreError, lambda: put_again_and_again(scope, value), "could not be reached")
        with azurite_on(port, place):
            assert not scope.exists("large")
            assert scope.get("before", verify=True) == value[:MB]
            scope.put("large", value)
            assert scope.get("large", verify=True) == value
            assert store.verify("namespace:a/before").problems == []
            store.gc()


def put_again_and_again(scope: Any, value: bytes) -> None:
    """So that one is under way whenever the server ends; those that were done before do not count."""
    while True:
        scope.put("large", value)
        scope.delete("large")
