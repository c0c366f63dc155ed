"""The bridge: whose loop authors' coroutines run in, what becomes of their errors, how much memory it takes."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.errors import (
    ClosedError,
    IntegrityError,
    InvalidArgumentError,
    StorageFullError,
    StoreError,
    ValueLost,
)
from holdfast.payload import Payload
from holdfast.storages.bridge import lift
from holdfast.testing.processes import in_child

from .authors import FileStorage, MemoryStorage, TornFileStorage

LARGE = bytes(range(256)) * 200
LONG = bytes(range(256)) * 16_000


def no_digest() -> tuple[int, bytes]:
    return 0, b""


@pytest.fixture
def author(tmp_path: Path) -> FileStorage:
    return FileStorage(tmp_path / "bytes")


@pytest.fixture
def scope(tmp_path: Path, author: FileStorage) -> Iterator[holdfast.Scope]:
    with holdfast.open(tmp_path / "data", storage=author, timeout=5) as store:
        yield store.namespace("prod")


# --- what authors do wrong --------------------------------------------------------------------------------------------


def test_what_is_torn_is_detected(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data", storage=TornFileStorage(tmp_path / "bytes")) as store:
        scope = store.namespace("prod")
        scope.put("blob", LARGE)
        scope.put("stream", LONG)
        for key in ("blob", "stream"):
            with pytest.raises(IntegrityError, match=rf"prod/{key} has \d+ bytes in its storage \(authors.torn@v1\)"):
                scope.get(key)
            with pytest.raises(IntegrityError, match=rf"prod/{key} in authors.torn@v1 do not match their digest"):
                list(scope.get_chunks(key))
        assert len(store.verify().problems) == 2


READS: dict[str, tuple[Any, Any, str]] = {
    "None": (lambda data: None, StoreError, "gave NoneType, not bytes"),
    "a str": (lambda data: "text", StoreError, "gave str, not bytes"),
    "a list": (lambda data: [data], StoreError, "gave list, not bytes"),
    "less": (lambda data: data[:-1], IntegrityError, r"has \d+ bytes in its storage"),
    "more": (lambda data: data + b"x", IntegrityError, r"has \d+ bytes in its storage"),
    "others": (lambda data: data[::-1], IntegrityError, "do not match their digest"),
    "a bytearray": (bytearray, None, ""),
    "a memoryview": (memoryview, None, ""),
}


@pytest.mark.parametrize("case", READS)
def test_reads_that_are_wrong(scope: holdfast.Scope, author: FileStorage, monkeypatch: Any, case: str) -> None:
    give, kind, message = READS[case]

    async def read_data(config: Any) -> Any:
        return give(await FileStorage.read_data(author, config))

    monkeypatch.setattr(author, "read_data", read_data)
    scope.put("k", LARGE)
    if kind is None:
        assert scope.get("k") == LARGE
        return
    with pytest.raises(kind, match=message) as told:
        scope.get("k")
    assert "namespace:prod/k" in str(told.value)
    assert author.name in str(told.value)


def streams(pieces: list[Any]) -> Any:
    async def stream(config: Any) -> AsyncGenerator[Any]:
        for piece in pieces:
            yield piece

    return stream


async def not_a_stream(config: Any) -> Any:
    return [LARGE]


STREAMS = {
    "None": (streams([None]), StoreError, "gave NoneType, not bytes"),
    "a str": (streams([LARGE, "x"]), StoreError, "gave str, not bytes"),
    "nothing": (streams([]), IntegrityError, "do not match"),
    "less": (streams([LARGE[:-1]]), IntegrityError, "do not match"),
    "more": (streams([LARGE, b"x" * 10_000_000]), IntegrityError, "do not match"),
    "no generator": (not_a_stream, StoreError, "__aiter__"),
    "not even that": (lambda config: None, StoreError, "__aiter__"),
}


@pytest.mark.parametrize("case", STREAMS)
def test_streams_that_are_wrong(scope: holdfast.Scope, author: FileStorage, monkeypatch: Any, case: str) -> None:
    stream, kind, message = STREAMS[case]
    scope.put("k", LARGE)
    monkeypatch.setattr(author, "read_data_stream", stream)
    with pytest.raises(kind, match=message) as told:
        list(scope.get_chunks("k"))
    assert "namespace:prod/k" in str(told.value)
    assert author.name in str(told.value)


class Odd(BaseException):
    pass


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")

    __repr__ = __str__


RAISED = {
    "an error of its own": (ArithmeticError("odd"), StoreError, "ArithmeticError: odd"),
    "of the system": (OSError(errno.EIO, "broken"), StoreError, "broken"),
    "a full disk": (OSError(errno.ENOSPC, "no room"), StorageFullError, "no room"),
    "no memory": (MemoryError("none"), StorageFullError, "none"),
    "a time-out": (TimeoutError("late"), StoreError, "TimeoutError: late"),
    "an exit": (SystemExit(3), StoreError, "SystemExit: 3"),
    "the end of an iterator": (StopAsyncIteration("end"), StoreError, "end"),
    "no exception at all": (Odd("base"), StoreError, "Odd: base"),
    "what cannot be shown": (Mute(), StoreError, "Mute: a Mute that cannot be shown"),
    "one of ours": (holdfast.ReadOnlyError("not here"), holdfast.ReadOnlyError, "not here"),
    "cancelled by itself": (asyncio.CancelledError(), ClosedError, "ended before its work"),
}


@pytest.mark.parametrize("verb", ["write_data", "write_data_stream", "read_data", "read_data_stream"])
@pytest.mark.parametrize("case", RAISED)
def test_odd_exceptions(scope: holdfast.Scope, author: FileStorage, monkeypatch: Any, verb: str, case: str) -> None:
    error, kind, message = RAISED[case]

    async def fail(*arguments: Any) -> Any:
        await asyncio.sleep(0)
        raise error

    async def fail_in_the_middle(config: Any) -> Any:
        yield LARGE[:1]
        raise error

    scope.put("k", LARGE)
    monkeypatch.setattr(author, verb, fail_in_the_middle if verb == "read_data_stream" else fail)
    with pytest.raises(kind, match=message) as told:
        {
            "write_data": lambda: scope.put("n", LARGE[1:]),
            "write_data_stream": lambda: scope.put_chunks("n", [LONG, LONG]),
            "read_data": lambda: scope.get("k"),
            "read_data_stream": lambda: list(scope.get_chunks("k")),
        }[verb]()
    if kind not in (holdfast.ReadOnlyError, ClosedError):
        assert author.name in str(told.value)
    if kind is StoreError:
        assert type(told.value) is StoreError
    monkeypatch.undo()
    assert not scope.exists("n")
    assert scope.get("k") == LARGE, "the bridge goes on"
    scope.put("n", LONG)
    assert scope.get("n") == LONG


def _deep() -> Any:
    config: Any = []
    for _ in range(100_000):
        config = [config]
    return config


CONFIGS: dict[str, Callable[[], Any]] = {
    "a return that was forgotten": lambda: None,
    "no number": lambda: float("nan"),
    "deep": _deep,
    "too many digits": lambda: 10**5000,
    "no JSON": object,
}


@pytest.mark.parametrize("case", CONFIGS)
@pytest.mark.parametrize("stream", [False, True])
def test_configs_that_cannot_be_kept(
    scope: holdfast.Scope, author: FileStorage, monkeypatch: Any, case: str, stream: bool
) -> None:
    async def write(*arguments: Any) -> Any:
        if stream:
            async for _ in arguments[0]:
                pass
        return CONFIGS[case]()

    monkeypatch.setattr(author, "write_data_stream" if stream else "write_data", write)
    with pytest.raises(StoreError, match=rf"{author.name} gave a config that cannot be kept"):
        scope.put_chunks("k", [LONG]) if stream else scope.put("k", LARGE)
    assert not scope.exists("k")


def test_bytes_that_are_gone_are_lost(scope: holdfast.Scope, author: FileStorage) -> None:
    scope.put("k", LARGE)
    for path in author.prefix.iterdir():
        path.unlink()
    with pytest.raises(ValueLost, match=r"namespace:prod/k.*authors.file@v1"):
        scope.get("k")
    with pytest.raises(ValueLost, match=r"namespace:prod/k.*authors.file@v1"):
        list(scope.get_chunks("k"))


def test_a_config_of_another_storage(tmp_path: Path, author: FileStorage) -> None:
    storage, other = lift(author), lift(MemoryStorage())
    config = other.write(Payload([b"abc"], "text/plain"), no_digest, {})
    for foreign in (config, {"bucket": "b"}, None, "no json", '"/etc/passwd"'):
        with pytest.raises(InvalidArgumentError, match=r"authors.file@v1"):
            storage.read(foreign)


def test_an_author_who_asks_us_in_his_own_loop(scope: holdfast.Scope, author: FileStorage, monkeypatch: Any) -> None:
    scope.put("other", LARGE[1:])

    async def read_data(config: Any) -> bytes:
        return bytes(scope.get("other"))

    scope.put("k", LARGE)
    monkeypatch.setattr(author, "read_data", read_data)
    with pytest.raises(StoreError, match="await it"):
        scope.get("k")


# --- loops ------------------------------------------------------------------------------------------------------------


class Bound(FileStorage):
    """Has a client that belongs to the loop in which it was first used, as those of HTTP libraries do."""

    name = "authors.bound@v1"
    client: asyncio.AbstractEventLoop | None = None

    async def _use(self) -> None:
        here = asyncio.get_running_loop()
        self.client = self.client or here
        future = self.client.create_future()
        self.client.call_soon_threadsafe(future.set_result, None)
        await future
        self.threads.add(threading.current_thread().name)

    def __init__(self, prefix: Any) -> None:
        super().__init__(prefix)
        self.threads: set[str] = set()

    async def write_data(self, data: bytes, digest: Any, tags: Any) -> Any:
        await self._use()
        return await super().write_data(data, digest, tags)

    async def read_data(self, config: Any) -> bytes:
        await self._use()
        return await super().read_data(config)

    async def write_data_stream(self, stream: Any, get_digest: Any, tags: Any) -> Any:
        await self._use()
        config = await super().write_data_stream(stream, get_digest, tags)
        await self._use()
        return config

    async def read_data_stream(self, config: Any) -> AsyncGenerator[bytes]:
        await self._use()
        async for piece in super().read_data_stream(config):
            yield piece

    async def delete_data(self, config: Any) -> None:
        await self._use()
        await super().delete_data(config)


def test_a_client_of_another_loop(tmp_path: Path) -> None:
    author = Bound(tmp_path / "bytes")
    with holdfast.open(tmp_path / "data", storage=author) as store:
        scope = store.namespace("prod")

        async def main() -> None:
            await scope.aio.put("k", LARGE)
            assert await scope.aio.get("k") == LARGE
            with pytest.raises(StoreError, match=r"authors.bound@v1.*belongs to another event loop.*aio"):
                scope.get("k")
            with pytest.raises(StoreError, match=r"belongs to another event loop"):
                scope.put("n", LARGE[1:])

        asyncio.run(main())
        with pytest.raises(StoreError, match=r"authors.bound@v1.*belongs to another event loop.*inside its methods"):
            scope.get("k")
        assert not scope.exists("n")


def test_aio_awaits_in_its_caller_s_loop_whatever_the_verb(tmp_path: Path) -> None:
    """Among them those that aio makes in threads; the client would refuse any other loop."""
    author = Bound(tmp_path / "bytes")

    async def trickle() -> AsyncIterator[bytes]:
        for start in range(0, len(LONG), 300_000):
            await asyncio.sleep(0)
            yield LONG[start : start + 300_000]

    async def main() -> None:
        async with holdfast.open(tmp_path / "data", storage=author).aio as store:
            scope = store.namespace("prod")
            await scope.put("blob", LARGE)
            await scope.put("stream", LONG)
            assert await scope.get("blob") == LARGE
            await scope.put_chunks("trickle", trickle())
            await scope.put_chunks("chunks", [LONG, LARGE])
            async with scope.open("file", "wb") as file:
                for start in range(0, len(LONG), 700_000):
                    await file.write(LONG[start : start + 700_000])
            async with scope.open("file", "rb") as file:
                assert await file.read() == LONG
            for key in ("stream", "trickle", "file"):
                assert b"".join([piece async for piece in scope.get_chunks(key)]) == LONG
            async for _ in scope.get_chunks("file"):
                break
            assert (await scope.entry("blob")).value == LARGE
            await scope.put_many({"a": LARGE + b"a", "b": LARGE + b"b"})
            assert await scope.get_many(["a", "b"]) == {"a": LARGE + b"a", "b": LARGE + b"b"}
            async with scope.transaction() as inside:
                await inside.put("t", LONG + b"t")
            (tmp_path / "local").write_bytes(LONG + b"local")
            await scope.put_file(tmp_path / "local", "local")
            await scope.get_file("local", tmp_path / "back")
            await scope.delete("local")
            assert (await store.gc()).blobs == 1
            assert (await store.verify()).problems == []

    asyncio.run(main())
    assert author.threads == {threading.current_thread().name}


def test_many_awaits_are_under_way_at_once(scope: holdfast.Scope, author: FileStorage, monkeypatch: Any) -> None:
    under_way = most = 0

    async def read_data(config: Any) -> bytes:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.5)
        under_way -= 1
        return LARGE

    scope.put("k", LARGE)
    monkeypatch.setattr(author, "read_data", read_data)

    async def main() -> None:
        assert await asyncio.gather(*(scope.aio.get("k") for _ in range(100))) == [LARGE] * 100

    asyncio.run(main())
    assert most > 30


class Slow(FileStorage):
    """Takes its time, and tells what it is in the middle of."""

    name = "authors.slow@v1"
    pause = 0.03

    def __init__(self, prefix: Any) -> None:
        super().__init__(prefix)
        self.inside = 0

    async def write_data(self, data: bytes, digest: Any, tags: Any) -> Any:
        self.inside += 1
        try:
            await asyncio.sleep(self.pause)
            return await super().write_data(data, digest, tags)
        finally:
            self.inside -= 1

    async def write_data_stream(self, stream: Any, get_digest: Any, tags: Any) -> Any:
        self.inside += 1
        try:
            await asyncio.sleep(self.pause)
            return await super().write_data_stream(stream, get_digest, tags)
        finally:
            self.inside -= 1

    async def read_data(self, config: Any) -> bytes:
        self.inside += 1
        try:
            await asyncio.sleep(self.pause)
            return await super().read_data(config)
        finally:
            self.inside -= 1


@pytest.mark.parametrize("verb", ["blob", "stream", "chunks", "thread", "file", "get"])
def test_cancelling_leaves_nothing(tmp_path: Path, verb: str) -> None:
    author = Slow(tmp_path / "bytes")

    async def trickle() -> AsyncIterator[bytes]:
        for _ in range(3):
            await asyncio.sleep(0.01)
            yield LONG[:1_500_000]

    async def write_file(scope: Any) -> None:
        async with scope.open("k", "wb") as file:
            await file.write(LONG)

    async def main() -> None:
        async with holdfast.open(tmp_path / "data", storage=author).aio as store:
            scope = store.namespace("prod")
            await scope.put("old", LARGE + b"old")
            for number, wait in enumerate((0, 0.001, 0.01, 0.02, 0.03, 0.035, 0.04, 0.05, 0.06, 0.08)):
                begin = {
                    "blob": lambda: scope.put("k", LARGE + b"%d" % number),  # noqa: B023  called here
                    "stream": lambda: scope.put("k", LONG + b"%d" % number),  # noqa: B023
                    "chunks": lambda: scope.put_chunks("k", trickle()),
                    "thread": lambda: scope.put_chunks("k", [LONG, b"%d" % number]),  # noqa: B023
                    "file": lambda: write_file(scope),
                    "get": lambda: scope.get("old"),
                }[verb]
                task = asyncio.ensure_future(begin())
                await asyncio.sleep(wait)
                task.cancel()
                await asyncio.wait([task])
                assert author.inside == 0, "the author's coroutine goes on"
                if not task.cancelled():
                    task.result()
                await scope.delete("k", missing_ok=True)
                await store.gc()
                assert len(list(author.prefix.iterdir())) == 1, "only the old one is there"
            assert await scope.get("old") == LARGE + b"old"

    asyncio.run(main())


def test_an_interrupt_ends_the_author_s_coroutine(scope: holdfast.Scope, author: FileStorage, monkeypatch: Any) -> None:
    """Ctrl-C while a thread waits: the coroutine is cancelled, and over, when the interrupt goes on."""
    states: list[str] = []

    async def read_data(config: Any) -> bytes:
        states.append("begun")
        threading.Timer(0.1, lambda: os.kill(os.getpid(), 2)).start()
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(0.05)
            states.append("over")
        return b""

    scope.put("k", LARGE)
    monkeypatch.setattr(author, "read_data", read_data)
    with pytest.raises(KeyboardInterrupt):
        scope.get("k")
    assert states == ["begun", "over"]


def test_an_interrupt_ends_a_stream_without_an_end(
    scope: holdfast.Scope, author: FileStorage, monkeypatch: Any
) -> None:
    """Its author awaits nothing, and gives nothing that could be handed on."""
    over = False

    async def read_data_stream(config: Any) -> AsyncGenerator[bytes]:
        threading.Timer(0.1, lambda: os.kill(os.getpid(), 2)).start()
        end = time.monotonic() + 10
        while time.monotonic() < end:
            yield b""
        nonlocal over
        over = True

    scope.put("k", LARGE)
    monkeypatch.setattr(author, "read_data_stream", read_data_stream)
    with pytest.raises(KeyboardInterrupt):
        list(scope.get_chunks("k"))
    assert not over


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("case", ["stop", "interrupt"])
def test_a_loop_that_ended_by_itself(
    scope: holdfast.Scope, author: FileStorage, tmp_path: Path, monkeypatch: Any, case: str
) -> None:
    """An author stopped it, or raised what ends it: the next call, of whichever storage, has another."""

    async def read_data(config: Any) -> bytes:
        if case == "interrupt":
            raise KeyboardInterrupt
        asyncio.get_running_loop().stop()
        await asyncio.sleep(10)
        return b""

    scope.put("k", LARGE)
    (thread,) = bridges()
    monkeypatch.setattr(author, "read_data", read_data)
    with pytest.raises((ClosedError, KeyboardInterrupt)):
        scope.get("k")
    monkeypatch.undo()
    thread.join(5)
    assert scope.get("k") == LARGE
    with holdfast.open(tmp_path / "other", storage=FileStorage(tmp_path / "others")) as other:
        other.namespace("a").put("k", LARGE)
        monkeypatch.setattr(author, "read_data", read_data)
        with pytest.raises((ClosedError, KeyboardInterrupt)):
            scope.get("k")
    # and closing passes over one that is closed


def bridges() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "holdfast-bridge"]


def test_one_thread_that_ends_with_the_last_storage(tmp_path: Path) -> None:
    assert bridges() == []
    stores = [holdfast.open(tmp_path / f"data{n}", storage=FileStorage(tmp_path / f"bytes{n}")) for n in range(2)]
    assert bridges() == [], "it is begun when it is needed"
    for store in stores:
        store.namespace("prod").put("k", LARGE)
    assert len(bridges()) == 1
    stores[0].close()
    assert stores[1].namespace("prod").get("k") == LARGE
    stores[1].close()
    assert bridges() == []


def test_a_fork_begins_its_own(scope: holdfast.Scope) -> None:
    scope.put("k", LARGE)
    pieces = scope.get_chunks("k")

    def child() -> Any:
        assert bridges() == []
        assert scope.get("k") == LARGE
        scope.put("child", LONG)
        assert len(bridges()) == 1
        return "done"

    assert in_child(child) == "done"
    assert b"".join(pieces) == LARGE
    assert scope.get("child") == LONG


def test_a_stream_begun_before_a_fork_is_the_parent_s(scope: holdfast.Scope, author: FileStorage) -> None:
    storage = lift(author)
    config = storage.write(Payload([LONG * 3], "text/plain"), no_digest, {})
    pieces, writer = storage.read_stream(config), storage.writer({})
    next(pieces)
    writer.write(LONG)

    def child() -> Any:
        for work in (lambda: next(pieces), lambda: writer.write(LONG), lambda: writer.commit(no_digest)):
            with pytest.raises(ClosedError):
                work()
        writer.abort()
        return True

    assert in_child(child)
    assert sum(map(len, pieces)) == len(LONG) * 3 - (1 << 20)
    assert storage.read(writer.commit(no_digest)) == LONG
    storage.close()


def test_the_process_ends_when_streams_are_open(tmp_path: Path) -> None:
    script = (
        "import sys, holdfast; from tests.storages.authors import FileStorage\n"
        "store = holdfast.open(sys.argv[1], storage=FileStorage(sys.argv[2]))\n"
        "scope = store.namespace('prod'); scope.put('k', bytes(10_000_000))\n"
        "pieces = scope.get_chunks('k'); next(pieces)\n"
        "writer = store._kernel.storage.writer({}); writer.write(bytes(3_000_000)); print('end')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(tmp_path / "data"), str(tmp_path / "bytes")],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")
    assert len(list((tmp_path / "bytes").iterdir())) == 1, "the unfinished one was let go"


# --- memory -----------------------------------------------------------------------------------------------------------


class Counting(MemoryStorage):
    """Reads slowly and keeps nothing."""

    name = "authors.counting@v1"
    size = 0
    largest = 0

    async def write_data_stream(self, stream: Any, get_digest: Any, tags: Any) -> Any:
        self.size = 0
        async for piece in stream:
            await asyncio.sleep(0.002)
            self.size += len(piece)
            self.largest = max(self.largest, len(piece))
        return get_digest()["content_size"]

    async def read_data_stream(self, config: Any) -> AsyncGenerator[bytes]:
        for _ in range(config // 1000):
            yield bytes(1000)


@pytest.mark.long
def test_streams_take_little_memory() -> None:
    author = Counting()
    storage = lift(author)
    piece = bytes(1 << 20)
    large = memoryview(bytearray(100 << 20))
    tracemalloc.start()
    try:
        with storage.writer({}) as writer:
            for _ in range(100):
                writer.write(piece)
            assert writer.commit(no_digest) == str(100 << 20)
        assert storage.write(Payload([large], "text/plain"), no_digest, {}) == str(100 << 20)
        with storage.writer({}) as writer:
            writer.write(large)
            writer.commit(no_digest)
        assert sum(map(len, storage.read_stream("100000000"))) == 100_000_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        storage.close()
    assert peak < 20 << 20
    assert author.largest <= 1 << 20


def test_a_slow_author_holds_the_writer_back() -> None:
    class Stuck(Counting):
        name = "authors.stuck@v1"

        async def write_data_stream(self, stream: Any, get_digest: Any, tags: Any) -> Any:
            await anext(stream)
            await asyncio.sleep(0.3)
            return await super().write_data_stream(stream, get_digest, tags)

    storage = lift(Stuck())
    with storage.writer({}) as writer:
        began = time.monotonic()
        for _ in range(10):
            writer.write(bytes(1 << 20))
        assert time.monotonic() - began > 0.25
        writer.commit(no_digest)
    storage.close()


def test_small_pieces_are_gathered(author: FileStorage) -> None:
    """A put of a million pieces is no million hand-overs to another thread."""
    storage = lift(author)
    began = time.monotonic()
    with storage.writer({}) as writer:
        for _ in range(200_000):
            writer.write(b"0123456789")
        config = writer.commit(no_digest)
    assert sum(map(len, storage.read_stream(config))) == 2_000_000
    assert len(list(storage.read_stream(config))) == 2
    assert time.monotonic() - began < 20
    storage.close()


def test_an_author_s_loop_is_left_to_others(tmp_path: Path) -> None:
    """An author who awaits nothing of his own does not keep the loop for a whole value."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    async def main() -> None:
        storage = lift(Greedy())
        ticking = asyncio.ensure_future(tick())
        await asyncio.sleep(0)
        await storage.awaited.write(Payload([bytes(50 << 20)], "text/plain"), no_digest, {})  # type: ignore[attr-defined]
        ticking.cancel()

    class Greedy(MemoryStorage):
        name = "authors.greedy@v1"

    asyncio.run(main())
    assert ticks >= 50
