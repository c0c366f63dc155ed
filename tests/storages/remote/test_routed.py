"""Objects that lie where a router says: pointers, streams, equal bytes, and what is never overwritten or removed."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3

import holdfast
from holdfast.catalog.base import NewBlob, Put
from holdfast.errors import ConflictError, HoldfastError, InvalidArgumentError, NotFoundError, ReadOnlyError
from holdfast.payload import Payload
from holdfast.registry import Registry
from holdfast.storages.objectstore import ObjectStorage, RoutedStorage, simple_blob_router, simple_s3_router
from holdfast.storages.objectstore.connection import parse
from holdfast.testing.processes import killed_child
from holdfast.writing import place_text

from .conftest import AZURE_KEYS, S3_KEYS
from .helpers import no_digest, pattern
from .servers import moto

pytestmark = pytest.mark.timeout(400)  # npm may have to install azurite first

MB = 1 << 20


class Spot:
    """One bucket and prefix, and the storages that are made on it."""

    def __init__(self, url: str, keys: dict[str, str]) -> None:
        self.url, self.keys, self.place = url, keys, parse(url)
        self.whole = ObjectStorage(url, credentials=keys).medium

    def pointer(self, name: str, *, below: bool = True) -> dict[str, str]:
        bucket, key = ("bucket", "key") if self.place.scheme == "s3" else ("container", "blob")
        return {bucket: self.place.bucket, key: f"{self.place.prefix}/{name}" if below else name}

    def by_content(self) -> Any:
        simple = simple_s3_router if self.place.scheme == "s3" else simple_blob_router
        return simple(self.place.bucket, self.place.prefix)

    def storage(self, router: Any = None, **options: Any) -> RoutedStorage:
        return RoutedStorage(self.url, router, credentials=self.keys, **options)

    def store(self, folder: Any, router: Any = None) -> holdfast.Store:
        storage = self.storage(router or self.by_content())
        return holdfast.open(
            folder, storage=storage, cache="off", registry=Registry.default().extend(storages=[storage])
        )

    def there(self, name: str) -> bytes:
        return bytes(self.whole.get(name))

    def names(self, folder: str) -> list[str]:
        return [entry.name for batch in self.whole.list(folder) for entry in batch]


@pytest.fixture(params=["s3", "az"])
def spot(request: pytest.FixtureRequest) -> Iterator[Spot]:
    """At the end of each test nothing waits for its place."""
    if request.param == "s3":
        spot = Spot(request.getfixturevalue("s3_url"), S3_KEYS)
    else:
        spot = Spot(request.getfixturevalue("azure_url"), AZURE_KEYS)
    yield spot
    assert spot.names("temporary") == spot.names("waiting") == []


def hashed(data: bytes) -> Callable[[], tuple[int, bytes]]:
    return lambda: (2, blake3(data).digest())


def put(storage: RoutedStorage, *buffers: bytes, **tags: str) -> Any:
    return storage.write(Payload(buffers, "text/plain"), hashed(b"".join(buffers)), tags)


def stream(storage: RoutedStorage, data: bytes, **tags: str) -> Any:
    with storage.writer(tags, content_type="text/csv") as writer:
        for start in range(0, len(data), MB):
            writer.write(data[start : start + MB])
        return writer.commit(hashed(data))


def refused(work: Callable[[], Any], *words: str, kind: type[HoldfastError] = InvalidArgumentError) -> str:
    with pytest.raises(kind) as caught:
        work()
    assert caught.type is kind
    told = str(caught.value)
    assert all(word in told for word in words), told
    return told


# --- where things lie ------------------------------------------------------------------------------------------------


def test_the_router_decides(spot):
    asked: list[Any] = []

    def router(digest: Any, tags: Any) -> Any:
        asked.append((dict(digest), tags))
        return spot.pointer(f"{tags['run']}/ü b+c%20d/{digest['content_hash'][:8]}")

    storage = spot.storage(router)
    data = pattern(20 * MB)
    for config, kind, size in (
        (put(storage, b"ab", b"c", run="one"), "text/plain", 3),
        (put(storage, data[:5], data[5:], run="two"), "text/plain", len(data)),
        (stream(storage, b"abc", run="three"), "text/csv", 3),
        (stream(storage, data, run="four"), "text/csv", len(data)),
    ):
        body = b"abc" if size == 3 else data
        digest, tags = asked.pop(0)
        assert digest == {
            "content_type": kind, "content_encoding": None, "content_hash": blake3(body).hexdigest(),
            "content_hash_algorithm": "blake3", "content_size": size, "is_complete": True,
        }  # fmt: skip
        name = f"{tags['run']}/ü b+c%20d/{blake3(body).hexdigest()[:8]}"
        assert config == spot.pointer(name)
        assert spot.there(name) == body, "other programs find it by that name"
        assert bytes(storage.read(config)) == body
        assert b"".join(storage.read_stream(config, 1, 2)) == body[1:3]
    assert asked == []


def test_a_pointer_is_all_that_is_needed(spot):
    """Whoever has the bucket reads it, with another prefix and no router, the fields in any order."""
    config = put(spot.storage(spot.by_content()), b"abc")
    place = spot.place._replace(prefix="elsewhere")
    other = RoutedStorage(f"{place.shown}?{spot.url.partition('?')[2]}", credentials=spot.keys)
    assert bytes(other.read(dict(reversed(config.items())))) == b"abc"
    refused(lambda: put(other, b"x"), "no router", "router=", kind=ReadOnlyError)
    refused(lambda: other.writer({}), "no router", kind=ReadOnlyError)
    other.delete(config)
    assert other.sync([config]) == [False]


def test_the_simple_routers():
    digest = {"content_hash": "ab12", "content_hash_algorithm": "blake3"}
    assert simple_s3_router("b", "/p/q/")(digest, {}) == {"bucket": "b", "key": "p/q/blake3/ab12"}
    assert simple_s3_router("b")(digest, {}) == {"bucket": "b", "key": "blake3/ab12"}
    assert simple_blob_router("c", "p")(digest, {}) == {"container": "c", "blob": "p/blake3/ab12"}
    assert simple_blob_router("b", field="bucket")(digest, {}) == {"bucket": "b", "blob": "blake3/ab12"}
    router = simple_s3_router("b")
    assert router(digest, {}, temp=True) != router(digest, {}, temp=True)
    assert router({**digest, "content_hash": ""}, {}) != router({**digest, "content_hash": ""}, {})


def test_temporary_places(spot):
    """A router that knows ``temp`` is asked for one per large stream, which is gone afterwards."""
    asked: list[tuple[bool, bool]] = []

    def router(digest: Any, tags: Any, *, temp: bool) -> Any:
        asked.append((temp, digest["is_complete"]))
        return spot.pointer(f"waiting/{len(asked)}" if temp else f"done/{digest['content_hash'][:8]}")

    storage, data = spot.storage(router), pattern(9 * MB)
    config = stream(storage, data)
    assert asked == [(True, False), (False, True)]
    assert spot.names("waiting") == []
    assert bytes(storage.read(config)) == data
    stream(storage, b"small")
    assert asked[2:] == [(False, True)], "what fits into memory needs none"
    writer = storage.writer({})
    writer.write(data)
    writer.abort()
    assert spot.names("waiting") == []


def test_no_temporary_place_is_left(spot):
    storage, data = spot.storage(spot.by_content()), pattern(9 * MB)
    config = stream(storage, data)
    assert stream(storage, data) == config == put(storage, data)
    assert spot.names("temporary") == []
    assert [name for name in spot.names(".holdfast") if not name.endswith(".to") and "/writers/" not in name] == []
    assert bytes(storage.read(config)) == data


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [None, "key", 7, {}, {"bucket": "bucket"}, {"bucket": "bucket", "key": "tests/x", "more": 1}, ["bucket", "key"]],
)
def test_what_is_no_pointer(spot, wrong):
    storage = spot.storage(lambda digest, tags: wrong)
    refused(lambda: put(storage, b"x"), "the router gave a wrong place", "one is like")
    refused(lambda: stream(storage, b"x"), "the router gave a wrong place")
    refused(lambda: stream(storage, bytes(9 * MB)), "the router gave a wrong place")
    assert spot.names("") == spot.names(".holdfast"), "nothing is written but a sign of life"


@pytest.mark.parametrize("name", ["", "/x", "x/", "a//b", "a/../b", ".", "a\nb", "a\\b", "\ud800", "x" * 1100])
def test_names_that_no_object_has(spot, name):
    refused(lambda: put(spot.storage(lambda digest, tags: spot.pointer(name)), b"x"), "no name of an object")


def test_places_elsewhere(spot):
    outside = spot.pointer("elsewhere/x", below=False)
    refused(lambda: put(spot.storage(lambda digest, tags: outside), b"x"), "not below", spot.place.shown)
    beside = spot.pointer(f"{spot.place.prefix}0/x", below=False)
    refused(lambda: put(spot.storage(lambda digest, tags: beside), b"x"), "not below")
    other = {name: "other" if value == spot.place.bucket else value for name, value in spot.pointer("x").items()}
    refused(lambda: put(spot.storage(lambda digest, tags: other), b"x"), "another bucket")
    ours = spot.pointer(".holdfast/writers/x")
    refused(lambda: put(spot.storage(lambda digest, tags: ours), b"x"), "the storage's own folder")
    refused(lambda: spot.storage().read(ours), "keeps for itself")
    refused(lambda: spot.storage().delete(ours), "keeps for itself")


def test_a_router_that_raises(spot):
    def router(digest: Any, tags: dict[str, str]) -> Any:
        return spot.pointer(tags["run"])

    storage = spot.storage(router)
    refused(lambda: put(storage, b"x"), "the router 'router' failed", "KeyError", "nothing was written")
    refused(lambda: stream(storage, bytes(9 * MB)), "the router 'router' failed")
    assert spot.names("") == spot.names(".holdfast")
    assert not [name for name in spot.names(".holdfast") if "/writers/" not in name]
    with pytest.raises(InvalidArgumentError, match="a router is a function"):
        spot.storage("bucket")


def test_the_temporary_place_as_final_one(spot):
    storage = spot.storage(lambda digest, tags, temp: spot.pointer("same"))
    refused(lambda: stream(storage, bytes(9 * MB)), "temporary and as final")
    assert not spot.names("") or "same" not in spot.names("")
    spot.whole.put("same", (b"mine",), 4)
    refused(lambda: stream(storage, bytes(9 * MB)), "is at the temporary place")
    assert spot.there("same") == b"mine"


@pytest.mark.parametrize("theirs", [b"theirs", b"other", b""])
def test_others_bytes_are_never_overwritten_nor_removed(spot, theirs, tmp_path):
    """Not even when the process dies, and a collector looks through what it noted."""
    storage = spot.storage(lambda digest, tags: spot.pointer("report.txt"))
    spot.whole.put("report.txt", (theirs,), len(theirs))
    for work in (
        lambda: put(storage, b"mine!"),
        lambda: stream(storage, b"mine!"),
        lambda: stream(storage, bytes(9 * MB)),
    ):
        refused(work, "other bytes are at", "never overwritten")
    storage.close()
    for left in spot.storage().abandoned():
        assert [pointer for batch in left.configs() for pointer in batch] == []
        left.release()
    assert spot.there("report.txt") == theirs


def test_a_note_that_is_none_does_not_stop_a_collector(spot):
    dying = spot.storage()
    writer = dying._current()
    for note in (b"[" * 200_000 + b"]" * 200_000, b"9" * 5000, b"\xff", b"{}"):
        dying.books.put(f"{writer.next_name()}.to", (note,), len(note))
    dying.close()
    for left in spot.storage().abandoned():
        assert [pointer for batch in left.configs() for pointer in batch] == []
        left.release()


def test_two_at_once_at_one_place(spot):
    """The second is told by the server, where the first looked and saw nothing."""
    storage = spot.storage(lambda digest, tags: spot.pointer("one"))
    plain = storage._objects.create

    def late(name: str, buffers: Any, size: int) -> bool:
        spot.whole.put("one", (b"first",), 5)
        return plain(name, buffers, size)

    storage._objects.create = late
    refused(lambda: put(storage, b"second"), "other bytes are at")
    assert spot.there("one") == b"first"
    assert put(storage, b"first") == spot.pointer("one")


# --- under a store ---------------------------------------------------------------------------------------------------


def test_equal_bytes_are_there_once_and_as_long_as_a_record_names_them(spot, tmp_path):
    array = np.arange(50_000)
    with spot.store(tmp_path / "data") as store:
        scope = store.namespace("prod")
        scope.put("a", array, tags={"stage": "eval"})
        scope.put("b", array)
        (name,) = spot.names("blake3")
        assert blake3(spot.there(name)).hexdigest() == name.rpartition("/")[2]
        version = scope.put("c", 1).version
        with pytest.raises(ConflictError):
            scope.put("c", array, if_version=version + 5)
        assert np.array_equal(scope.get("a"), array), "a put that failed took the bytes of others"
        with pytest.raises(ZeroDivisionError):
            put_and_fail(scope, array)
        scope.delete("a")
        store.gc()
        assert np.array_equal(scope.get("b"), array)
        scope.delete("b")
        store.gc()
        assert spot.names("blake3") == []
        scope.put("b", array)
        assert np.array_equal(scope.get("b"), array)
        assert store.verify().problems == []


def put_and_fail(scope: Any, value: Any) -> None:
    with scope.transaction() as transaction:
        transaction.put("d", value)
        raise ZeroDivisionError


def test_it_is_pickled_with_its_router_and_without_its_keys(s3_url):
    storage = RoutedStorage(s3_url, a_router, credentials=S3_KEYS, owner="one", timeout=7)
    image = pickle.dumps(storage)
    again = pickle.loads(image)
    assert (again.url, again.router, again.owner, again.timeout) == (s3_url, a_router, "one", 7)
    assert not any(value.encode() in image or value in repr(storage) for value in S3_KEYS.values())


def a_router(digest: Any, tags: Any) -> Any:
    raise AssertionError


def test_what_a_killed_writer_left(spot, tmp_path):
    """Bytes that no record names go; those that one names stay, whoever wrote them."""
    with spot.store(tmp_path / "data") as store:
        kept = np.arange(40_000)
        store.namespace("a").put("kept", kept)

        def child(report: Any) -> None:
            storage = spot.storage(spot.by_content(), owner=store._kernel.storage.owner)
            named = bytes(store._kernel.storage.read(spot.pointer(spot.names("blake3")[0])))
            put(storage, named)
            stream(storage, bytes(9 * MB))
            writer = storage.writer({})
            writer.write(pattern(20 * MB))
            report([put(storage, b"dead %d" % number) for number in range(5)])
            time.sleep(60)

        dead = killed_child(child)
        assert len(spot.names("blake3")) == 7
        assert store.gc().orphans >= 6
        assert len(spot.names("blake3")) == 1
        assert store._kernel.storage.sync(dead) == [False] * 5
        assert np.array_equal(store.namespace("a").get("kept"), kept)
        assert spot.names("temporary") == []
        left = [name for name in spot.names(".holdfast") if "/writers/" not in name]
        assert all(store._kernel.storage._writer.writer in name for name in left)


def test_a_value_that_is_written_while_equal_bytes_are_collected(spot, tmp_path):
    """The put is told by the catalog, and writes again: it never names bytes that are gone."""
    array = np.arange(60_000)
    with spot.store(tmp_path / "data") as store:
        scope = store.namespace("a")
        scope.put("first", array)
        scope.delete("first")
        storage = store._kernel.storage
        plain = storage.write
        done: list[Any] = []

        def slow(*arguments: Any, **options: Any) -> Any:
            config = plain(*arguments, **options)  # finds the bytes there
            if not done:
                done.append(store.gc())
            return config

        storage.write = slow
        try:
            scope.put("second", array)
        except ConflictError:
            scope.put("second", array)
        assert done
        assert np.array_equal(scope.get("second", verify=True), array)
        with pytest.raises(NotFoundError):
            scope.get("first")


def test_garbage_of_which_no_more_is_known_is_named_again(spot, tmp_path):
    """A collector found bytes that a dead writer noted; before it removes them, a put comes to need them."""
    array = np.arange(30_000)
    with spot.store(tmp_path / "data") as store:
        scope, kernel = store.namespace("a"), store._kernel
        scope.put("first", array)
        (name,) = spot.names("blake3")
        scope.delete("first")
        store.gc()
        since = kernel.catalog.begin()
        place = NewBlob(kernel.storage_id, place_text(spot.pointer(name, below=False)), True)
        kernel.catalog.abandon(Put((), "", 0, 0, None, 0, blob=place, since=since))
        scope.put("second", array)
        store.gc()
        assert np.array_equal(scope.get("second", verify=True), array)


STREAM = """
import os, sys
sys.path[:0] = [{root!r}]
import holdfast
from bench.measure import peak_growth
from holdfast.storages.objectstore import ObjectStorage, RoutedStorage, simple_s3_router

url, keys, count = {url!r}, {keys!r}, {count}
more = {{"credentials": keys, "timeout": 900}}  # moto joins the parts in one request, which takes minutes
storage = ObjectStorage(url, **more)
if {routed}:
    storage = RoutedStorage(url, simple_s3_router("bucket", {prefix!r}), **more)
block = os.urandom(1 << 20)
with holdfast.open({folder!r}, storage=storage, cache="off") as store:
    scope = store.namespace("a")

    def upload():
        scope.put_chunks("big", (block[number % 1000 :] + block[: number % 1000] for number in range(count)))

    def download():
        return sum(len(piece) for piece in scope.get_chunks("big"))

    scope.put_chunks("warm", [block] * 10)
    assert sum(map(len, scope.get_chunks("warm"))) == 10 << 20
    _, up = peak_growth(upload)
    size, down = peak_growth(download)
    assert size == count << 20, size
    print(up, down)
"""


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("routed", [False, True])
def test_two_gigabytes_through_a_store_take_little_memory(tmp_path, routed):
    with moto(tmp_path) as endpoint:
        url = f"s3://bucket/long?endpoint={endpoint}&region=us-east-1"
        script = STREAM.format(
            root=str(Path(__file__).parents[3]), url=url, keys=S3_KEYS, count=2048, prefix="long", routed=routed,
            folder=str(tmp_path / "data"),
        )  # fmt: skip
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    up, down = map(int, done.stdout.split())
    assert max(up, down) < 64 * MB, f"{up / MB:.0f} MB up, {down / MB:.0f} MB down"


def test_a_server_without_conditional_puts(spot, monkeypatch):
    """It is asked before."""
    from holdfast.storages.objectstore import library as loaded
    from holdfast.storages.objectstore import medium

    library = loaded.load()

    def unknown(*arguments: Any, **options: Any) -> Any:
        if options.get("mode") == "create" or "overwrite" in options:
            raise OSError("Generic error: status code: 501 Not Implemented: <Error><Code>NotImplemented</Code></Error>")
        return library.put(*arguments, **options)

    monkeypatch.setattr(medium, "load", lambda: library._replace(put=unknown, copy=unknown))
    storage = spot.storage(lambda digest, tags: spot.pointer(tags["at"]))
    data = pattern(9 * MB)
    assert spot.there(put(storage, b"abc", at="x") and "x") == b"abc"
    assert spot.there(stream(storage, data, at="y") and "y") == data
    refused(lambda: put(storage, b"abd", at="x"), "other bytes are at")
    refused(lambda: stream(storage, data[1:], at="y"), "other bytes are at")
    assert sha256(spot.there("y")).digest() == sha256(data).digest()
    assert no_digest() == (0, b"")
