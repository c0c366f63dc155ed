"""Transactions, files and leases of the asynchronous colour."""

from __future__ import annotations

import asyncio
import gc
import io
import threading
from typing import Any

import pytest

import holdfast
from holdfast.aio.workers import Workers
from tests.aio.running import awaited, everything, stray_files
from tests.kernel.tools import said, start_python, tell

LARGE = bytes(range(256)) * 2000


# --- transactions -----------------------------------------------------------------------------------------------------


@awaited
async def test_a_block_is_one_commit(store: holdfast.Store) -> None:
    atomic = store.aio.transaction()
    async with atomic as tx:
        await tx.namespace("a").put("k", 1)
        await tx.namespace("b").put("large", LARGE)
        assert await tx.namespace("a").get("k") == 1
        assert await tx.namespace("b").get("large") == LARGE
        assert not store.namespace("a").exists("k")
        within = store.namespace("c").aio.within(tx)
        await within.put("k", 3)
    assert [record.address for record in atomic.records] == ["namespace:a/k", "namespace:b/large", "namespace:c/k"]
    assert store.namespace("a").get("k") == 1
    with pytest.raises(holdfast.ClosedError):
        await within.put("late", 1)
    with pytest.raises(holdfast.ClosedError):
        await atomic.__aenter__()


@awaited
async def test_tasks_in_a_block_take_turns(scope: holdfast.Scope) -> None:
    async with scope.aio.transaction() as inside:
        await asyncio.gather(*(inside.put(f"k{number}", number) for number in range(50)))
        await asyncio.gather(*(inside.add("n") for _ in range(50)), *(inside.put(f"l{n}", LARGE) for n in range(5)))
        await asyncio.gather(*(inside.update("u", lambda n: n + 1, default=0) for _ in range(50)))
        assert await everything(inside.keys("l")) == [f"l{number}" for number in range(5)]
        assert len([record async for record in inside.list("k")]) == 50
        await inside.put_many({"m1": 1, "m2": 2})
        async with inside.open("file", "w") as file:
            await file.write("text")
        assert await inside.get_bytes("file") == b"text"
        await asyncio.gather(inside.copy("k1", "c1"), inside.rename("k2", "c2"), inside.delete("k3"))
        assert list(scope.keys()) == []
    assert (scope.get("n"), scope.get("u")) == (50, 50)
    assert len(list(scope.keys())) == 50 - 2 + 2 + 2 + 5 + 2 + 1


@awaited
async def test_a_block_that_raises_is_given_up(store: holdfast.Store, scope: holdfast.Scope) -> None:
    async def block() -> None:
        async with scope.aio.transaction() as inside:
            await inside.put("k", LARGE)
            await inside.put("s", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await block()
    assert list(scope.keys()) == []
    assert stray_files(store) == []


@awaited
async def test_a_block_whose_reads_were_overtaken_conflicts(store: holdfast.Store, scope: holdfast.Scope) -> None:
    scope.put("k", 1)

    async def block() -> None:
        async with scope.aio.transaction() as inside:
            value = await inside.get("k")
            await scope.aio.put("k", 5)
            await inside.put("k", value + 1)
            await inside.put("large", LARGE)

    with pytest.raises(holdfast.ConflictError):
        await block()
    assert scope.get("k") == 5
    assert stray_files(store) == []


@awaited
async def test_what_a_block_refuses(scope: holdfast.Scope) -> None:
    async with scope.aio.transaction() as inside:
        with pytest.raises(holdfast.InvalidArgumentError, match="outside of transactions"):
            inside.transaction()
        for verb in (inside.create, inside.drop):
            with pytest.raises(holdfast.InvalidArgumentError, match="outside of transactions"):
                await verb()
        await inside.put("k", 1)
        with pytest.raises(holdfast.ExistsError):
            await inside.put("k", 2, if_absent=True)
    with pytest.raises(holdfast.InvalidArgumentError, match="durability"):
        scope.aio.transaction(durability="later")
    with holdfast.open("memory:") as other:
        async with other.aio.transaction() as tx:
            with pytest.raises(holdfast.InvalidArgumentError, match="another store"):
                scope.aio.within(tx)


# --- files ------------------------------------------------------------------------------------------------------------


@awaited
async def test_a_file_is_read_as_it_was_written(scope: holdfast.Scope) -> None:
    aio = scope.aio
    async with aio.open("k", "wb", tags={"a": "b"}) as file:
        assert await file.write(LARGE[:1000]) == 1000
        assert await file.write(bytearray(LARGE[1000:])) == len(LARGE) - 1000
        for _ in range(3):
            await file.write(LARGE * 3)
        await file.writelines([b"a", b"b"])
        await file.flush()
        assert not scope.exists("k")
    whole = LARGE * 10 + b"ab"
    assert file.record is not None
    assert (file.record.size, file.record.tags, file.closed) == (len(whole), {"a": "b"}, True)
    assert scope.get_bytes("k") == whole
    async with aio.open("k", "rb") as reader:
        assert await reader.read(5) == whole[:5]
        assert await reader.seek(-5, io.SEEK_END) == len(whole) - 5
        assert await reader.tell() == len(whole) - 5
        assert await reader.read() == whole[-5:]
        assert await reader.read() == b""
        assert reader.record is None
    with pytest.raises(ValueError, match="closed file"):
        await reader.read()
    with pytest.raises(holdfast.ExistsError):
        async with aio.open("k", "xb") as file:
            await file.write(b"x")


@awaited
async def test_lines(scope: holdfast.Scope) -> None:
    text = "".join(f"line é {number}\n" for number in range(20_000)) + "the end"
    async with scope.aio.open("k", "w") as file:
        for line in text.splitlines(keepends=True):
            await file.write(line)
    assert scope.get_bytes("k").decode() == text
    lines = text.splitlines(keepends=True)
    for mode in ("r", "rb"):
        expected: list[Any] = [line if mode == "r" else line.encode() for line in lines]
        async with scope.aio.open("k", mode) as reader:
            assert [line async for line in reader] == expected
            assert await reader.readline() in ("", b"")
        async with scope.aio.open("k", mode) as reader:
            async for line in reader:
                assert line == expected[0]
                break
            place = await reader.tell()
            assert await reader.readline() == expected[1]
            assert await reader.read(6) == expected[2][:6]
            assert await reader.readline() == expected[2][6:]
            assert await reader.readlines() == expected[3:]
            await reader.seek(place)
            assert await reader.readline() == expected[1]
            joined = "".join(lines[2:]) if mode == "r" else "".join(lines[2:]).encode()
            assert await reader.read() == joined


@awaited
async def test_newlines_and_encodings(scope: holdfast.Scope) -> None:
    async with scope.aio.open("k", "w", encoding="utf-16", newline="\r\n") as file:
        await file.write("é\n" * 10)
    with scope.open("twin", "w", encoding="utf-16", newline="\r\n") as twin:
        twin.write("é\n" * 10)
    assert scope.get_bytes("k") == scope.get_bytes("twin")
    async with scope.aio.open("k", encoding="utf-16-le") as reader:
        assert await reader.readlines() == ["é\n"] * 10
    with pytest.raises(UnicodeEncodeError):
        async with scope.aio.open("l", "w", encoding="ascii") as file:
            await file.write("é")
    assert not scope.exists("l")


@awaited
async def test_a_file_that_fails_leaves_nothing(store: holdfast.Store, scope: holdfast.Scope) -> None:
    async def failing() -> None:
        async with scope.aio.open("k", "wb") as file:
            await file.write(LARGE * 4)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await failing()
    with pytest.raises(TypeError):
        async with scope.aio.open("k", "wb") as file:
            await file.write("text")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        async with scope.aio.open("k", "w") as text:
            await text.write(b"bytes")  # type: ignore[arg-type]
    aborted = await scope.aio.open("k", "wb")
    with pytest.raises(io.UnsupportedOperation):
        await aborted.read()
    await aborted.write(LARGE * 4)
    await aborted.abort()
    await aborted.abort()
    assert not scope.exists("k")
    assert stray_files(store) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_forgotten_file_is_discarded_and_told_of(store: holdfast.Store, scope: holdfast.Scope) -> None:
    async def write() -> None:
        file = await scope.aio.open("k", "wb")
        await file.write(LARGE * 4)

    def main() -> None:
        asyncio.run(write())
        gc.collect()

    with pytest.warns(ResourceWarning, match="namespace:prod/workflow:forecast/k was never closed"):
        main()
    assert not scope.exists("k")
    assert stray_files(store) == []


@awaited
async def test_tasks_that_share_a_file_take_turns(scope: holdfast.Scope) -> None:
    async with scope.aio.open("k", "wb") as file:
        await asyncio.gather(*(file.write(bytes([number]) * 300_000) for number in range(20)))
    found = scope.get_bytes("k")
    assert len(found) == 20 * 300_000
    assert sorted(found[begin] for begin in range(0, len(found), 300_000)) == list(range(20))
    assert all(len(set(found[begin : begin + 300_000])) == 1 for begin in range(0, len(found), 300_000))


@awaited
async def test_small_writes_need_no_thread(scope: holdfast.Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Any] = []
    real = Workers.begin

    def begin(self: Any, work: Any) -> Any:
        begun.append(work)
        return real(self, work)

    monkeypatch.setattr(Workers, "begin", begin)
    async with scope.aio.open("k", "w") as file:
        for number in range(50_000):
            await file.write(f"{number}\n")
    async with scope.aio.open("k") as reader:
        assert [int(line) async for line in reader] == list(range(50_000))
    assert len(begun) < 20
    assert scope.get_bytes("k").count(b"\n") == 50_000


# --- leases -----------------------------------------------------------------------------------------------------------


@awaited
async def test_a_lease_protects_writes_of_both_colours(store: holdfast.Store, scope: holdfast.Scope) -> None:
    lease = store.aio.lease("x", seconds=20)
    with pytest.raises(holdfast.LeaseLost, match="not held"):
        await scope.aio.put("k", 1, lease=lease)
    async with lease as held:
        assert held is lease
        assert lease.held
        assert lease.token == lease.fence.token
        await scope.aio.put("k", 1, lease=lease)
        await scope.aio.put("large", LARGE, lease=lease)
        scope.put("k", 2, lease=lease)
        await scope.aio.delete("k", lease=lease)
        before = lease.expires
        await lease.renew(100)
        assert lease.expires > before + 50
        with pytest.raises(holdfast.BusyError):
            await store.aio.lease("x", wait=0).acquire()
        with pytest.raises(holdfast.BusyError):
            await asyncio.to_thread(store.lease("x", wait=0.05).acquire)
    assert lease._sync.held is False
    await lease.release()
    with pytest.raises(holdfast.LeaseLost):
        await lease.renew()
    with pytest.raises(holdfast.InvalidArgumentError, match="seconds"):
        store.aio.lease("x", seconds=0)


@awaited
async def test_a_hundred_wait_for_one_lease_without_threads(store: holdfast.Store, scope: holdfast.Scope) -> None:
    inside = 0

    async def work() -> None:
        nonlocal inside
        async with store.aio.lease("x") as lease:
            inside += 1
            assert inside == 1
            await scope.aio.update("n", lambda n: n + 1, default=0, lease=lease)
            inside -= 1

    async with store.aio.lease("x"):
        tasks = [asyncio.ensure_future(work()) for _ in range(100)]
        await asyncio.sleep(0.2)
        async with asyncio.timeout(20):
            await scope.aio.put("large", LARGE)  # the threads are free
            await scope.aio.get_bytes("large")
        assert not any(task.done() for task in tasks)
        threads = [thread for thread in threading.enumerate() if thread.name.startswith("holdfast-aio")]
        assert len(threads) <= 9
    await asyncio.gather(*tasks)
    assert scope.get("n") == 100


def test_a_lease_of_another_process_is_waited_for(store: holdfast.Store) -> None:
    code = """
        import sys, holdfast
        with holdfast.open(sys.argv[1]) as store:
            with store.lease("x"):
                print("held")
                sys.stdin.readline()
            print("released")
            sys.stdin.readline()
    """

    async def main() -> None:
        waiting = asyncio.ensure_future(store.aio.lease("x", wait=20).acquire())
        await asyncio.sleep(0.3)
        assert not waiting.done()
        with pytest.raises(holdfast.BusyError):
            await store.aio.lease("x", wait=0.1).acquire()
        tell(process)
        lease = await waiting
        await lease.release()

    with start_python(code, store.config.store) as process:
        said(process, "held")
        asyncio.run(main())
        said(process, "released")
        tell(process)
