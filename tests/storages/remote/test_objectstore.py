"""Object stores beyond the suite: cut connections, memory, many at once, forks, ranges."""

from __future__ import annotations

import concurrent.futures
import os
import random
import re
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bench.measure import peak_growth
from holdfast.errors import ClosedError, StoreError, ValueLost
from holdfast.storages.objectstore import ObjectStorage
from holdfast.storages.objectstore.medium import parts_of
from holdfast.testing.processes import in_child

from .conftest import AZURE_KEYS, S3_KEYS
from .helpers import names_in, no_digest, pattern, put
from .servers import CuttingProxy, uploads_in

pytestmark = pytest.mark.timeout(400)  # npm may have to install azurite first

MB = 1 << 20


@pytest.fixture
def storage(s3_url):
    storage = ObjectStorage(s3_url, credentials=S3_KEYS)
    yield storage
    storage.close()


@pytest.fixture(params=["s3", "az"])
def either(request: pytest.FixtureRequest) -> Iterator[ObjectStorage]:
    if request.param == "s3":
        storage = ObjectStorage(request.getfixturevalue("s3_url"), credentials=S3_KEYS)
    else:
        storage = ObjectStorage(request.getfixturevalue("azure_url"), credentials=AZURE_KEYS)
    yield storage
    storage.close()


def stream(storage: ObjectStorage, data: bytes, piece: int = MB, **options: Any) -> Any:
    with storage.writer({}, **options) as writer:
        for start in range(0, len(data), piece):
            writer.write(data[start : start + piece])
        return writer.commit(no_digest)


# --- large ones ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size", [*(pytest.param(size, marks=pytest.mark.long) for size in (8 * MB - 1, 8 * MB)), 8 * MB + 1, 24 * MB + 3]
)
def test_sizes_around_a_part(either, size):
    data = pattern(size)
    third = size // 3
    for config in (put(either, data), put(either, data[:third], data[third:]), stream(either, data)):
        assert either.read(config) == data
        assert b"".join(either.read_stream(config)) == data
        assert b"".join(either.read_stream(config, third, third)) == data[third : 2 * third]


@pytest.mark.long
def test_a_large_payload_is_not_joined(storage):
    buffers = [bytearray(pattern(MB, number)) * 40 for number in range(3)]
    put(storage, b"warm", bytes(9 * MB))
    config, growth = peak_growth(lambda: put(storage, b"head", *buffers))
    assert growth < 48 * MB, f"writing 120 MB took {growth / MB:.0f} MB beside the buffers themselves"
    assert storage.read(config) == b"head" + b"".join(buffers)


def test_progress(either):
    data = pattern(20 * MB)
    up: list[int] = []
    config = either.write(_payload(data[:5], data[5:]), no_digest, {}, progress=up.append)
    assert sum(up) == len(data)
    assert len(up) >= 3
    down: list[int] = []
    assert either.read(config, progress=down.append) == data
    assert sum(down) == len(data)
    assert len(down) >= 3
    up.clear()
    either.write(_payload(b"small"), no_digest, {}, progress=up.append)
    assert up == [5]


def _payload(*buffers: bytes) -> Any:
    from holdfast.payload import Payload

    return Payload(buffers, "application/octet-stream")


def test_parts_grow_with_the_size_and_memory_does_not():
    for size in (None, 0, 1 << 30, 100 << 30, 170 << 30):
        part, parallel = parts_of(size)
        assert part * (parallel + 2) <= 64 * MB
        assert (size or 0) / part <= 9001
    with pytest.raises(StoreError, match="do not go into one object"):
        parts_of(5 << 40)


def test_a_stream_of_unknown_size_that_has_too_many_parts(storage):
    with storage.writer({}) as writer:
        writer.write(b"x")
        writer._upload._room = 9 * MB  # as after 80 GB
        writer.write(bytes(8 * MB))
        with pytest.raises(StoreError, match="say its size when it begins"):
            writer.write(bytes(8 * MB))
        with pytest.raises(ClosedError):
            writer.commit(no_digest)


STREAM = """
import os, sys
sys.path[:0] = [{root!r}]
from bench.measure import peak_growth
from holdfast.storages.objectstore import ObjectStorage
from tests.storages.remote.helpers import no_digest

storage = ObjectStorage({url!r}, credentials={keys!r})
block, count = os.urandom(1 << 20), {count}

def upload():
    with storage.writer({{}}, size=None) as writer:
        for number in range(count):
            writer.write(block[number % 1000 :] + block[: number % 1000])
        return writer.commit(no_digest)

def download():
    size, last = 0, b""
    for number, piece in enumerate(storage.read_stream(config)):
        size, last = size + len(piece), piece
    return size

storage.delete(storage.writer({{}}).commit(no_digest))
config, up = peak_growth(upload)
size, down = peak_growth(download)
assert size == count << 20, size
storage.delete(config)
print(up, down)
"""


def streamed(url: str, megabytes: int) -> tuple[int, int]:
    """By how much a process grew while it streamed up, and down."""
    import subprocess
    from pathlib import Path

    root = str(Path(__file__).parents[3])
    script = STREAM.format(root=root, url=url, keys=S3_KEYS, count=megabytes)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    up, down = done.stdout.split()
    return int(up), int(down)


@pytest.mark.long
def test_a_stream_takes_little_memory(s3_url):
    up, down = streamed(s3_url, 200)
    assert up < 64 * MB
    assert down < 64 * MB


@pytest.mark.long
@pytest.mark.timeout(600)
def test_two_gigabytes_take_little_memory(s3_url):
    up, down = streamed(s3_url, 2048)
    assert up < 64 * MB
    assert down < 64 * MB


# --- many at once --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("either", ["s3", pytest.param("az", marks=pytest.mark.long)], indirect=True)
def test_many_at_once(either):
    values = [pattern(MB, number) for number in range(64)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        configs = list(pool.map(lambda value: put(either, value), values))
        assert len(set(configs)) == 64
        assert [bytes(value) for value in pool.map(either.read, configs)] == values
        assert either.sync(configs) == [True] * 64
        list(pool.map(either.delete, configs))
    assert either.sync(configs) == [False] * 64


# --- connections that break ----------------------------------------------------------------------------------------


@pytest.fixture
def cut(s3_endpoint: str) -> Iterator[Callable[..., tuple[CuttingProxy, ObjectStorage]]]:
    """A storage behind a proxy that cuts connections."""
    proxies = []

    def make(*, answers: bool = False, timeout: float = 20.0) -> tuple[CuttingProxy, ObjectStorage]:
        proxy = CuttingProxy(int(s3_endpoint.rpartition(":")[2]), answers=answers)
        proxies.append(proxy)
        url = f"s3://bucket/cut/{random.getrandbits(40)}?endpoint=http://127.0.0.1:{proxy.port}"
        storage = ObjectStorage(url, credentials=S3_KEYS, timeout=timeout)
        put(storage, b"first")  # the writer's mark is there
        return proxy, storage

    yield make
    for proxy in proxies:
        proxy.close()


@pytest.mark.parametrize("how", ["write", "writer"])
def test_a_connection_cut_during_an_upload_is_made_anew(cut, s3_endpoint, how):
    proxy, storage = cut()
    before = uploads_in(s3_endpoint)
    data = pattern(40 * MB)
    proxy.left, proxy.cuts = 15 * MB, 3
    config = put(storage, data) if how == "write" else stream(storage, data)
    assert proxy.cuts == 0, "nothing was cut"
    assert storage.read(config) == data
    assert uploads_in(s3_endpoint) == before


@pytest.mark.parametrize("how", ["write", "writer"])
def test_an_upload_whose_connections_are_all_cut(cut, s3_endpoint, how):
    """An error, and nothing under the name."""
    proxy, storage = cut(timeout=0.5)
    proxy.left, proxy.cuts = 15 * MB, 1_000_000
    with pytest.raises(StoreError, match="could not be reached") as caught:
        put(storage, pattern(40 * MB)) if how == "write" else stream(storage, pattern(40 * MB))
    assert caught.type is StoreError
    proxy.left = None
    (writer,) = {name.partition(".")[0].partition("/")[2] for name in names_in(storage, "writers")}
    assert len(names_in(storage, writer)) == 1
    assert storage.read(put(storage, b"goes on")) == b"goes on"


@pytest.mark.parametrize("how", ["read", "read_stream"])
def test_a_connection_cut_during_a_download_is_made_anew(cut, how):
    proxy, storage = cut(answers=True)
    data = pattern(40 * MB)
    config = put(storage, data)
    proxy.left, proxy.cuts = 15 * MB, 2
    got = storage.read(config) if how == "read" else b"".join(storage.read_stream(config))
    assert proxy.cuts == 0, "nothing was cut"
    assert got == data


@pytest.mark.parametrize("how", ["read", "read_stream"])
def test_a_download_whose_connections_are_all_cut(cut, how):
    proxy, storage = cut(answers=True, timeout=0.5)
    config = put(storage, pattern(20 * MB))
    proxy.left, proxy.cuts = 10 * MB, 1_000_000
    with pytest.raises(StoreError, match="could not be reached") as caught:
        storage.read(config) if how == "read" else b"".join(storage.read_stream(config))
    assert caught.type is StoreError


def test_an_upload_that_was_finished_and_whose_answer_was_lost(cut):
    """The server knows no such upload when it is asked again: the object is looked for."""
    proxy, storage = cut(answers=True, timeout=10)
    data = pattern(16 * MB)
    writer = storage.writer({})
    writer.write(data)
    time.sleep(3)  # both parts are there
    proxy.left, proxy.cuts = 0, 1
    config = writer.commit(no_digest)
    assert proxy.cuts == 0
    assert storage.read(config) == data


@pytest.mark.long
def test_an_upload_that_somebody_else_ended(storage, s3_endpoint):
    writer = storage.writer({})
    writer.write(bytes(16 * MB))
    time.sleep(3)
    with urllib.request.urlopen(f"{s3_endpoint}/bucket?uploads") as answer:
        uploads = re.findall("<Upload>.*?</Upload>", answer.read().decode(), re.DOTALL)
    (ours,) = [upload for upload in uploads if f"{writer._name}<" in upload]
    found = {name: re.findall(f"<{name}>([^<]*)<", ours)[0] for name in ("Key", "UploadId")}
    url = f"{s3_endpoint}/bucket/{found['Key']}?uploadId={found['UploadId']}"
    urllib.request.urlopen(urllib.request.Request(url, method="DELETE")).close()
    with pytest.raises(StoreError, match="dropped the parts") as caught:
        writer.commit(no_digest)
    assert caught.type is StoreError


def stream_and_fail(storage: ObjectStorage) -> None:
    with storage.writer({}) as writer:
        writer.write(bytes(20 * MB))
        raise ZeroDivisionError


def test_an_aborted_stream_leaves_nothing(either, s3_endpoint):
    before = uploads_in(s3_endpoint)
    writer = either.writer({})
    for _ in range(40):
        writer.write(bytes(MB))
    name = writer._name
    writer.abort()
    assert either.sync([name]) == [False]
    assert uploads_in(s3_endpoint) == before
    with pytest.raises(ZeroDivisionError):
        stream_and_fail(either)
    assert uploads_in(s3_endpoint) == before


def test_bytes_lost_in_the_middle_of_a_read(storage):
    """Large ones are read in ranges; one that is gone meanwhile is told, not filled with zeros."""
    config = put(storage, pattern(40 * MB))

    def lose(count: int) -> None:
        storage.delete(config)

    with pytest.raises(ValueLost):
        storage.read(config, progress=lose)


# --- forks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("either", ["s3", pytest.param("az", marks=pytest.mark.long)], indirect=True)
def test_a_forked_child_does_everything(either):
    data = pattern(20 * MB)
    config = put(either, data)
    half = either.read_stream(config)
    first = next(half)
    open_writer = either.writer({})
    open_writer.write(bytes(9 * MB))

    def child() -> Any:
        assert bytes(either.read(config)) == data
        assert b"".join(either.read_stream(config)) == data
        mine = stream(either, data)
        with pytest.raises(ClosedError, match="forked"):
            open_writer.write(b"x")
        with pytest.raises(ClosedError, match="forked"):
            next(half)

        def grandchild() -> Any:
            assert bytes(either.read(mine)) == data
            return put(either, b"grandchild")

        return [mine, in_child(grandchild)]

    mine, theirs = in_child(child)
    assert first + b"".join(half) == data
    open_writer.write(b"on")
    assert either.read(open_writer.commit(no_digest)) == bytes(9 * MB) + b"on"
    assert either.read(mine) == data
    assert either.read(theirs) == b"grandchild"


@pytest.mark.long
def test_forks_beside_busy_threads(storage):
    """A child is not held up by what its parent's threads were doing when it was forked."""
    config = put(storage, pattern(2 * MB))
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            storage.read(config)
            b"".join(storage.read_stream(config))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            assert in_child(lambda: len(storage.read(config))) == 2 * MB
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_process_ends_while_streams_are_open(s3_url):
    """No thread of a client library is cut down in the middle, which would end the process with a signal."""
    import subprocess
    from pathlib import Path

    script = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parents[3])!r}]
from holdfast.storages.objectstore import ObjectStorage
from tests.storages.remote.helpers import put
storage = ObjectStorage({s3_url!r}, credentials={S3_KEYS!r})
config = put(storage, bytes(20_000_000))
stream = storage.read_stream(config)
next(stream)
writer = storage.writer({{}})
writer.write(bytes(20_000_000))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert os.getpid()


def test_looking_for_garbage_costs_what_the_garbage_costs(cut):
    """moto closes each connection after an answer, so that connections are requests."""
    proxy, storage = cut()
    for number in range(30):
        put(storage, b"%d" % number)
    other = ObjectStorage(storage.url, credentials=S3_KEYS)
    put(other, b"kept")
    other.close()
    for left in storage.abandoned():
        assert len(list(left.configs())) == 1
        left.release()
    before = proxy.connections
    assert list(storage.abandoned()) == []
    assert proxy.connections - before == 3, "a clock, a listing of the marks, and the clock's removal"
