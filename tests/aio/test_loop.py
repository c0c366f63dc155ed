"""The loop stays free: whatever comes at once, whoever holds the store, and however many loops there are."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.aio import driver
from holdfast.aio.driver import driver_of
from holdfast.aio.ways import LATER
from tests.aio.running import awaited
from tests.aio.watch import Watchdog
from tests.kernel.tools import in_fork, said, start_python, tell

pytestmark = pytest.mark.alone

SMALL = {"name": "x" * 500, "numbers": list(range(50))}
LARGE = [os.urandom(1 << 20) for _ in range(20)]

MOST = 0.020
"""Seconds for which a loop may be kept from other work."""

HOLDER = """
    import sys, time, apsw
    connection = apsw.Connection(sys.argv[1] + "/catalog.sqlite")
    connection.set_busy_timeout(10_000)
    print("ready")
    for line in sys.stdin:
        connection.execute("BEGIN IMMEDIATE").fetchall()
        print("held")
        time.sleep(float(line))
        connection.execute("COMMIT").fetchall()
        print("free")
"""
"""Holds the store's write lock for as many seconds as each line says."""


async def _busy(aio: Any) -> list[Any]:
    """A thousand gets and a thousand puts of 1 KB, and some of 1 MB, all at once."""
    gets = [aio.get(f"small{number}") for number in range(1000)]
    puts = [aio.put(f"small{number}", SMALL) for number in range(1000)]
    large = [aio.put(f"large{number}", value) for number, value in enumerate(LARGE)]
    large += [aio.get(f"large{number}") for number in range(len(LARGE))]
    return await asyncio.gather(*gets, *puts, *large)


def _fill(scope: holdfast.Scope) -> None:
    scope.put_many({f"small{number}": SMALL for number in range(1000)})
    for number, value in enumerate(LARGE):
        scope.put(f"large{number}", value)


async def _quiet(work: Callable[[], Coroutine[Any, Any, Any]], rounds: int = 6) -> float:
    """The largest gap of the best of some rounds: a neighbour's noise in one is not ours."""
    gaps = []
    for _ in range(rounds):
        async with Watchdog() as dog:
            await work()
        assert dog.turns > 3
        gaps.append(dog.longest)
        if dog.longest < MOST / 2:
            break
    return min(gaps)


def test_a_thousand_at_once_leave_the_loop_free(scope: holdfast.Scope) -> None:
    async def main() -> None:
        _fill(scope)
        await _busy(scope.aio)  # whatever is imported at first
        assert await _quiet(partial(_busy, scope.aio)) < MOST

    asyncio.run(main())


def test_also_while_another_process_holds_the_lock(store: holdfast.Store, scope: holdfast.Scope) -> None:
    async def main() -> None:
        _fill(scope)
        await _busy(scope.aio)
        for _ in range(5):
            tell(holder, "0.2")
            said(holder, "held")
            began = time.perf_counter()
            async with Watchdog() as dog:
                await _busy(scope.aio)
            assert time.perf_counter() - began > 0.15, "it was not held"
            said(holder, "free")
            gaps.append(dog.longest)
            if gaps[-1] < MOST / 2:
                break

    gaps: list[float] = []
    with start_python(HOLDER, store.config.store) as holder:
        said(holder, "ready")
        asyncio.run(main())
        assert holder.stdin is not None
        holder.stdin.close()
    assert min(gaps) < MOST
    assert store.verify().fine


def test_a_blocked_loop_is_noticed() -> None:
    async def work() -> None:
        await asyncio.sleep(0.02)
        time.sleep(0.03)
        await asyncio.sleep(0.02)

    assert asyncio.run(_quiet(work)) > MOST


def test_one_task_after_another_lets_others_run(scope: holdfast.Scope) -> None:
    """Verbs that never wait for anything still give way every few milliseconds."""

    async def main() -> None:
        for _ in range(3):
            await scope.aio.put("k", SMALL)
            await scope.aio.get("k")
        async with Watchdog() as dog:
            for _ in range(3000):
                await scope.aio.get("k")
        assert dog.turns > 5
        async with Watchdog() as dog:
            for _ in range(1000):
                await scope.aio.put("k", SMALL)
        assert dog.turns > 5

    asyncio.run(main())


@awaited
async def test_small_things_are_done_in_the_loop_and_others_in_threads(
    scope: holdfast.Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: dict[str, set[str]] = {}
    for name in ("find", "put", "commit", "keys", "add", "record", "entry", "search", "scope"):
        real = getattr(type(scope._kernel.catalog), name)

        def noted(self: Any, *args: Any, _name: str = name, _real: Any = real, **more: Any) -> Any:
            threads.setdefault(_name, set()).add(threading.current_thread().name)
            return _real(self, *args, **more)

        monkeypatch.setattr(type(scope._kernel.catalog), name, noted)
    here = threading.current_thread().name
    aio = scope.aio

    async def where(verb: Any) -> set[str]:
        await verb()
        threads.clear()
        await verb()
        return set().union(*threads.values())

    async def listing() -> None:
        _ = [key async for key in aio]

    async def records() -> None:
        _ = [record async for record in aio.list()]

    in_the_loop = [
        lambda: aio.put("k", SMALL), lambda: aio.get("k"), lambda: aio.entry("k"), lambda: aio.record("k"),
        lambda: aio.exists("k"), lambda: aio.put("n", 1), lambda: aio.get("n"), lambda: aio.add("n"), listing, records,
        lambda: aio.set_tags("k", {"a": "b"}), lambda: aio.put("k", SMALL, if_absent=False), lambda: aio.info(),
        lambda: aio.put("b", b"x" * 10_000), lambda: aio.put("t", "é" * 1000), lambda: aio.touch("k", None),
    ]  # fmt: skip
    for verb in in_the_loop:
        assert await where(verb) == {here}
    in_threads = [
        lambda: aio.put("large", LARGE[0]), lambda: aio.put("k", SMALL, durability="power"),
        lambda: aio.put("k", list(range(5000))), lambda: aio.put("k", "é" * 16_000), lambda: aio.put("k", [1 << 100]),
        lambda: aio.put("k", {1}, serializer="holdfast.pickle@v1"), lambda: aio.update("n", lambda n: n),
        lambda: aio.put("k", b"x" * 20_000), lambda: aio.get_bytes("k"), lambda: aio.get_many(["k"]),
    ]  # fmt: skip
    for verb in in_threads:
        assert here not in await where(verb)


class Odd:
    """A value that is pickled."""


def test_decoding_that_may_take_long_is_done_in_a_thread(scope: holdfast.Scope, store: holdfast.Store) -> None:
    values = {"n": 1, "d": SMALL, "b": b"x", "t": "t", "none": None}
    others = {"odd": Odd(), "name": {"a": "my.own@v1"}, "large": LARGE[0], "long": [0] * 40_000}
    scope.put_many(values | others)
    with holdfast.open(store.config.store) as again:
        kernel, aio = again._kernel, again.scope(str(scope)).aio

        def plain(key: str) -> bool:
            return driver.is_plain(kernel, kernel.catalog.find(scope.path, key)[0])

        assert [key for key in values if plain(key)] == ["n"]  # how the others are read is not known yet

        async def main() -> None:
            for key, value in (values | others).items():
                assert key == "odd" or await aio.get(key) == value
                assert plain(key) == (key in values)

        asyncio.run(main())


def test_a_listing_that_takes_long_is_interrupted(scope: holdfast.Scope) -> None:
    """So many instructions of SQLite's machine are too many for a loop; the listing goes on in a thread."""
    scope.put_many({f"{number:05}": number for number in range(20_000)}, tags={"a": "b"})

    async def main() -> None:
        catalog = scope._kernel.catalog
        here = driver_of(scope._kernel).here
        assert await here(lambda: catalog.search(scope.path, tags={"a": "no"}, limit=10)) is LATER
        assert await here(lambda: catalog.search(scope.path, limit=10)) is not LATER
        assert [record async for record in scope.aio.list(tags={"a": "no"})] == []
        assert len([record async for record in scope.aio.list(order="-size", tags={"a": "b"}, limit=5)]) == 5

    asyncio.run(main())


def test_waiting_writers_keep_the_store_s_time_out(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data", timeout=0.3) as store:
        scope = store.namespace("a")
        scope.put("k", 1)

        async def main() -> list[Any]:
            puts = [scope.aio.put("k", number) for number in range(50)]
            larges = [scope.aio.put(f"l{number}", LARGE[number]) for number in range(5)]
            return await asyncio.gather(*puts, *larges, return_exceptions=True)

        with start_python(HOLDER, store.config.store) as holder:
            said(holder, "ready")
            tell(holder, "4")
            said(holder, "held")
            began = time.perf_counter()
            found = asyncio.run(main())
            assert all(isinstance(error, holdfast.BusyError) for error in found), found
            assert 0.25 < time.perf_counter() - began < 3
            assert asyncio.run(scope.aio.get("k")) == 1
            said(holder, "free")
            asyncio.run(scope.aio.put("k", 2))
            assert holder.stdin is not None
            holder.stdin.close()
        assert len(list(Path(tmp_path, "data", "files").glob("*/[0-9]*"))) == 0


def test_several_loops_at_once_and_one_after_the_other(store: holdfast.Store) -> None:
    scope = store.namespace("a")
    errors: list[BaseException] = []

    async def count() -> None:
        await asyncio.gather(*(scope.aio.update("n", lambda n: n + 1, default=0) for _ in range(20)))
        await asyncio.gather(*(scope.aio.add("m") for _ in range(20)))
        async with scope.aio.transaction() as inside:
            await inside.update("t", lambda n: n + 1, default=0)

    def thread() -> None:
        try:
            for _ in range(5):
                while True:
                    try:
                        asyncio.run(count())
                        break
                    except holdfast.ConflictError:
                        scope.add("again")
                        scope.update("n", lambda n: n - 20)
                        scope.add("m", -20)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=thread) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert errors == []
    assert [scope.get(key) for key in ("n", "m", "t")] == [400, 400, 20]


def test_several_processes_count_together(store: holdfast.Store) -> None:
    code = """
        import asyncio, sys, holdfast
        with holdfast.open(sys.argv[1]) as store:
            aio = store.aio.namespace("a")
            async def main():
                print("ready")
                sys.stdin.readline()
                await asyncio.gather(*(aio.update("n", lambda n: n + 1, default=0) for _ in range(200)),
                                     *(aio.add("m") for _ in range(200)), *(aio.put(f"k{n}", n) for n in range(200)))
            asyncio.run(main())
            print("done")
    """
    with start_python(code, store.config.store) as one, start_python(code, store.config.store) as other:
        for process in (one, other):
            said(process, "ready")
        for process in (one, other):
            tell(process)
        for process in (one, other):
            said(process, "done")
            assert process.stdin is not None
            process.stdin.close()
    scope = store.namespace("a")
    assert (scope.get("n"), scope.get("m"), len(list(scope.keys("k")))) == (400, 400, 200)


def test_many_runs_on_one_store(scope: holdfast.Scope) -> None:
    for number in range(50):
        asyncio.run(scope.aio.put("k", number), debug=number % 2 == 0)
        assert asyncio.run(scope.aio.get("k")) == number
        asyncio.run(scope.aio.put("large", LARGE[0]))


def test_the_same_in_memory() -> None:
    with holdfast.open("memory:") as store:
        scope = store.namespace("a")

        async def main() -> None:
            values = {f"k{number}": SMALL for number in range(100)} | {"large": LARGE[0]}
            await asyncio.gather(*(scope.aio.put(key, value) for key, value in values.items()))
            assert await scope.aio.get_many(values) == values
            await asyncio.gather(*(scope.aio.update("n", lambda n: n + 1, default=0) for _ in range(50)))
            assert await scope.aio.get("n") == 50
            link = scope._kernel.catalog._pool.link()  # type: ignore[attr-defined]
            held, leave = threading.Event(), threading.Event()

            def hold() -> None:
                with link.lock:
                    held.set()
                    leave.wait(5)

            thread = threading.Thread(target=hold)
            thread.start()
            held.wait(5)
            get = asyncio.ensure_future(scope.aio.get("n"))
            await asyncio.sleep(0.05)
            assert not get.done()  # and the loop is free
            leave.set()
            assert await get == 50
            thread.join()

        asyncio.run(main())


def test_a_forked_child_has_threads_of_its_own(store: holdfast.Store) -> None:
    scope = store.namespace("a")

    async def work(name: str) -> None:
        await scope.aio.put(name, LARGE[0])
        await asyncio.gather(*(scope.aio.update("n", lambda n: n + 1, default=0) for _ in range(10)))

    asyncio.run(work("parent"))
    assert in_fork(lambda: asyncio.run(work("child"))) == 0
    asyncio.run(work("parent again"))
    assert scope.get("n") == 30
    assert len(list(scope.keys("parent"))) + len(list(scope.keys("child"))) == 3


def test_threads_end_with_the_store_and_when_there_is_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ours() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("holdfast-aio")]

    def wait_until_none() -> None:
        deadline = time.monotonic() + 5
        while ours() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert ours() == []

    wait_until_none()
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("a")

        async def work() -> None:
            await asyncio.gather(*(scope.aio.put(f"k{number}", LARGE[0]) for number in range(30)))

        asyncio.run(work())
        assert 1 <= len(ours()) <= 9
    wait_until_none()
    monkeypatch.setattr("holdfast.aio.workers._IDLE", 0.05)
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("a")
        asyncio.run(work())
        wait_until_none()
        asyncio.run(work())


@awaited
async def test_a_full_default_executor_keeps_nobody_waiting(scope: holdfast.Scope) -> None:
    leave = threading.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(2))
    busy = [loop.run_in_executor(None, leave.wait, 60) for _ in range(10)]
    try:
        async with asyncio.timeout(20):
            await scope.aio.put("k", LARGE[0])
            assert await scope.aio.get_bytes("k") == LARGE[0]
            await scope.aio.update("n", lambda n: n + 1, default=0)
    finally:
        leave.set()
        await asyncio.gather(*busy)


def test_a_store_that_is_forgotten_goes(tmp_path: Path) -> None:
    store = holdfast.open(tmp_path / "data")
    asyncio.run(store.namespace("a").aio.put("k", LARGE[0]))
    kernel = weakref.ref(store._kernel)
    del store
    gc.collect()
    assert kernel() is None


def test_a_program_ends_with_work_under_way(tmp_path: Path) -> None:
    code = """
        import asyncio, sys, threading, time
        import holdfast
        store = holdfast.open(sys.argv[1])
        scope = store.namespace("a")
        async def main():
            task = asyncio.ensure_future(scope.aio.update("k", lambda n: time.sleep(0.2) or 1, default=0))
            await asyncio.sleep(0.05)
            loop.stop()
            await task
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(main())
        except RuntimeError as error:
            assert "stopped" in str(error)
        sys.stdout.write("ended")
    """
    process = start_python(code, str(tmp_path / "data"))
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == ("ended", 0)
    with holdfast.open(tmp_path / "data") as store:
        assert store.verify().fine
        assert store.namespace("a").get("k", None) in (None, 1)


def test_upkeep_is_done_though_the_loop_leaves_it(store: holdfast.Store) -> None:
    """Writes in a loop do not tidy the log; now and then one is made in a thread, which does, so it cannot grow."""
    scope = store.namespace("a")
    log = Path(store.config.store, "catalog.sqlite-wal")
    value = b"x" * 4000

    async def main() -> None:
        for number in range(20_000):
            await scope.aio.put(f"k{number % 50}", value)

    asyncio.run(main())
    assert log.stat().st_size < 40 << 20, "twice what a log has before it begins anew"


def test_a_call_in_haste_leaves_the_connection_as_it_was(scope: holdfast.Scope) -> None:
    """Synchronous verbs of the loop's thread are bounded by nothing, and tidy the log."""
    catalog: Any = scope._kernel.catalog
    scope.put_many({f"{number:05}": number for number in range(20_000)}, tags={"a": "b"})

    async def main() -> None:
        await scope.aio.put("k", 1)
        await scope.aio.put("k", 1)
        with pytest.raises(holdfast.BusyError):
            catalog.impatient(lambda: True, lambda: catalog.search(scope.path, tags={"a": "no"}))
        assert catalog.search(scope.path, tags={"a": "no"}) == []

    asyncio.run(main())
    log = Path(str(catalog.path) + "-wal")
    for number in range(6000):
        scope.put(f"k{number % 50}", b"x" * 4000)
    assert log.stat().st_size < 40 << 20


def test_a_catalog_that_cannot_hurry_is_called_in_threads(
    scope: holdfast.Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(scope._kernel.catalog), "prompt", False)

    async def main() -> None:
        for _ in range(3):
            await scope.aio.put("k", SMALL)
            assert await scope.aio.get("k") == SMALL
        assert await driver_of(scope._kernel).here(lambda: 1) is LATER

    asyncio.run(main())
