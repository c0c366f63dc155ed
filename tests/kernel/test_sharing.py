"""One store from several Stores, threads, forked and other processes; closing; descriptors."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import holdfast
from holdfast import ClosedError, Registry

from .test_verbs import Reversed
from .tools import LARGE, blob_files, in_fork, pattern, wait_for


def in_threads(count: int, work: Callable[[int], Any]) -> None:
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_two_stores_on_one_folder(store: holdfast.Store) -> None:
    with holdfast.open(store.config.store) as second:
        assert second.id == store.id
        one, two = store.namespace("a"), second.namespace("a")
        for value in (1, LARGE, {"x": np.arange(20_000)}, "text"):
            version = one.put("k", value).version
            assert two.record("k").version == version
            two.update("k", lambda old: [old])
            assert one.record("k").version > version
            assert isinstance(one.get("k"), list)
        two.delete("k")
        assert not one.exists("k")
        assert one != two
        two.put("k", LARGE)
        one.copy("k", "l", to=two)
        second.gc()
    assert one.get("l") == LARGE


def test_threads_lose_no_update(store: holdfast.Store) -> None:
    scope = store.namespace("a")

    def work(number: int) -> None:
        for _ in range(25):
            scope.update("update", lambda old: old + 1, default=0)
            scope.add("add")
            scope.put(f"own {number}", LARGE)
            assert scope.get(f"own {number}") == LARGE

    in_threads(6, work)
    assert (scope.get("update"), scope.get("add")) == (150, 150)
    assert scope.record("add").version == 150


def test_a_forked_child_and_its_parent_go_on(store: holdfast.Store) -> None:
    scope = store.namespace("a")
    scope.put("k", LARGE)
    scope.put("n", 0)

    def child() -> None:
        assert scope.get("k") == LARGE
        for index in range(20):
            scope.add("n")
            scope.put(f"child {index}", pattern(50_000, index))
        with scope.transaction() as inside:
            inside.put("tx", LARGE)
        with store.lease("job", wait=5):
            pass
        # the sync in the background goes on in the child, too
        wait_for(lambda: scope.record("child 1").durability == "power")

    done: list[int] = []
    thread = threading.Thread(target=lambda: done.append(in_fork(child)))
    thread.start()
    for index in range(20):
        scope.add("n")
        scope.put(f"parent {index}", pattern(50_000, 100 + index))
    thread.join()
    assert done == [0]
    assert scope.get("n") == 40
    for index in range(20):
        assert scope.get(f"child {index}", verify=True) == pattern(50_000, index)
        assert scope.get(f"parent {index}", verify=True) == pattern(50_000, 100 + index)
    assert store.gc().orphans == 0
    assert scope.get("child 3", verify=True) == pattern(50_000, 3)


def test_a_stream_open_over_a_fork_stays_the_parents(store: holdfast.Store) -> None:
    scope = store.namespace("a")
    file = scope.open("k", "wb")
    file.write(LARGE * 20)

    def child() -> None:
        file.abort()
        scope.put("child", 1)

    assert in_fork(child) == 0
    file.write(LARGE)
    file.close()
    assert scope.get_bytes("k") == LARGE * 21
    assert scope.get("child") == 1


def test_a_transaction_open_over_a_fork_stays_the_parents(store: holdfast.Store) -> None:
    scope = store.namespace("a")
    committed, unwound, aborted = scope.transaction(), scope.transaction(), scope.transaction()
    first, second, third = (atomic.__enter__() for atomic in (committed, unwound, aborted))
    for inside, key in ((first, "first"), (second, "second"), (third, "third")):
        inside.put(key, pattern(50_000, len(key)))

    def child() -> None:
        with pytest.raises(ClosedError, match="process that began it"):
            first.put("child", LARGE)
        with pytest.raises(ClosedError, match="process that began it"):
            committed.__exit__(None, None, None)
        unwound.__exit__(SystemExit, SystemExit(), None)  # as a child ends that leaves the block by sys.exit()

    assert in_fork(child) == 0
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.read(reader, 1)  # the parent has committed by now
        committed.__exit__(SystemExit, SystemExit(), None)
        os._exit(0)
    committed.__exit__(None, None, None)
    assert scope.get("first") == pattern(50_000, 5)
    os.write(writer, b"x")
    assert os.waitpid(pid, 0)[1] == 0
    unwound.__exit__(None, None, None)
    aborted.__exit__(KeyError, KeyError(), None)
    assert scope.get("first", verify=True) == pattern(50_000, 5)
    assert scope.get("second", verify=True) == pattern(50_000, 6)
    assert list(scope) == ["first", "second"]
    assert len(blob_files(store)) == 2


def test_a_small_file_open_over_a_fork_is_the_parents_to_commit(store: holdfast.Store) -> None:
    scope = store.namespace("a")
    file = scope.open("k", "w")
    file.write("small")

    def child() -> None:
        with pytest.raises(ClosedError, match="process that opened it"):
            file.close()

    assert in_fork(child) == 0
    assert not scope.exists("k")
    file.close()
    assert scope.record("k").version == 1


def _work(scope: Any, number: int) -> str:
    scope.put(f"worker {number}", number)
    scope.put(f"large {number}", pattern(50_000, number))
    scope.add("n")
    return str(scope.record("n").scope)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_scopes_travel_to_other_processes(store: holdfast.Store, method: str) -> None:
    scope = store.namespace("a").workflow("w")
    scope.put("n", 0)
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        found = list(pool.map(_work, [scope] * 6, range(6)))
    assert found == ["namespace:a/workflow:w"] * 6
    assert scope.get("n") == 6
    for number in range(6):
        assert scope.get(f"large {number}") == pattern(50_000, number)


def test_a_pickle_holds_no_key_and_opens_once_a_process(store: holdfast.Store) -> None:
    scope = store.namespace("a")
    scope.put("k", lambda: 5)
    text = pickle.dumps(scope)
    assert store._kernel.catalog.signing_key not in text
    assert store._kernel.catalog.signing_key.hex().encode() not in text
    one, two = pickle.loads(text), pickle.loads(pickle.dumps(store)).namespace("a")
    assert one == two
    assert one._kernel is two._kernel
    assert one.get("k")() == 5
    two._kernel.close()
    with pytest.raises(ClosedError):
        one.get("k")
    again = pickle.loads(text)
    assert again.get("k")() == 5
    assert pickle.loads(pickle.dumps(again)) == again
    again._kernel.close()


def test_a_pickle_with_a_registry_opens_once_a_process(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data", registry=Registry([Reversed()])) as store:
        store.namespace("a").put("k", "text", serializer="test.reversed@v1")
        text = pickle.dumps(store.namespace("a"))
    copies = [pickle.loads(text) for _ in range(5)]
    assert len({id(copy._kernel) for copy in copies}) == 1
    assert copies[4].get("k") == "text"
    assert pickle.loads(pickle.dumps(copies[0])) == copies[0]
    copies[0]._kernel.close()


def _read(scope: Any) -> Any:
    return scope.get("k")


def test_a_pickle_of_a_store_that_is_gone(store: holdfast.Store) -> None:
    text, scope = pickle.dumps(store), store.namespace("a")
    store.close()
    Path(store.config.store).rename(Path(store.config.store).with_name("away"))
    for again in (pickle.loads(text), pickle.loads(pickle.dumps(pickle.loads(text)))):
        with pytest.raises(holdfast.StoreNotFoundError):
            again.namespace("a").get("k")
    assert not Path(store.config.store).exists()
    pool = multiprocessing.get_context("spawn").Pool(1)  # its workers end in silence when unpickling raises
    with pool, pytest.raises(holdfast.StoreNotFoundError):
        pool.apply_async(_read, [scope]).get(60)


def test_a_store_in_memory_stays_in_its_process() -> None:
    with holdfast.open("memory:") as store, pytest.raises(holdfast.InvalidArgumentError, match="memory"):
        pickle.dumps(store)


CLOSED: dict[str, Callable[[Any], Any]] = {
    "put": lambda scope: scope.put("k", 1),
    "put large": lambda scope: scope.put("k", LARGE),
    "get": lambda scope: scope.get("k"),
    "get default": lambda scope: scope.get("k", None),
    "entry": lambda scope: scope.entry("k"),
    "record": lambda scope: scope.record("k"),
    "exists": lambda scope: scope.exists("k"),
    "delete": lambda scope: scope.delete("k"),
    "update": lambda scope: scope.update("k", lambda old: old),
    "add": lambda scope: scope.add("n"),
    "keys": lambda scope: list(scope.keys()),
    "list": lambda scope: list(scope.list()),
    "children": lambda scope: list(scope.children()),
    "open": lambda scope: scope.open("k", "wb"),
    "put_chunks": lambda scope: scope.put_chunks("k", [LARGE]),
    "get_chunks": lambda scope: list(scope.get_chunks("k")),
    "copy": lambda scope: scope.copy("k", "l"),
    "touch": lambda scope: scope.touch("k", None),
    "create": lambda scope: scope.create(),
    "drop": lambda scope: scope.drop(),
    "rename_scope": lambda scope: scope.rename_scope("x"),
    "transaction": lambda scope: scope.transaction().__enter__().put("k", 1),
    "artifact": lambda scope: scope.artifact("a").write("f", b""),
    "usage": lambda scope: scope.usage(),
}
OF_A_STORE: dict[str, Callable[[Any], Any]] = {
    "gc": lambda store: store.gc(),
    "dry gc": lambda store: store.gc(dry_run=True),
    "sync": lambda store: store.sync(),
    "lease": lambda store: store.lease("x", wait=0).acquire(),
    "children": lambda store: list(store.children()),
}


def test_after_close_every_verb_says_so(store: holdfast.Store, scope: holdfast.Scope) -> None:
    scope.put("k", LARGE)
    scope.put("n", 1)
    store.close()
    store.close()
    for name, verb in CLOSED.items():
        with pytest.raises(ClosedError):
            pytest.fail(f"{name} gave {verb(scope)!r}")
    for name, verb in OF_A_STORE.items():
        with pytest.raises(ClosedError):
            pytest.fail(f"{name} gave {verb(store)!r}")
    with holdfast.open(store.config.store) as again:
        assert again.namespace("prod").workflow("forecast").get("k") == LARGE
        assert len(blob_files(again)) == 1


def test_closing_while_others_use_it(store: holdfast.Store) -> None:
    scope = store.namespace("a")
    scope.put("k", LARGE)

    def work(number: int) -> None:
        try:
            for index in range(1000):
                if number == 0 and index == 20:
                    store.close()
                scope.put(f"k{number}", index if index % 2 else LARGE)
                scope.get(f"k{number}")
        except ClosedError:
            return
        raise AssertionError("it was never closed")

    in_threads(4, work)
    with holdfast.open(store.config.store) as again:
        for key in again.namespace("a"):
            again.namespace("a").get(key, verify=True)


def test_threads_and_values_keep_no_descriptor(tmp_path: Path) -> None:
    process = psutil.Process()
    with holdfast.open(tmp_path / "warm") as store:
        store.namespace("a").put("k", LARGE)
    before = process.num_fds()
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("a")
        scope.put("k", np.arange(20_000))
        gc.collect()  # what other tests left open is closed now, and not in between
        inside = process.num_fds()
        values = [scope.get("k") for _ in range(200)]
        assert process.num_fds() == inside
        for _ in range(5):
            in_threads(8, lambda number: (scope.put(f"k{number}", LARGE), scope.get("k"), list(scope)))
            assert process.num_fds() < inside + 60
        # SQLite keeps the descriptor of a closed connection for the next one: as many as there were threads at once
        wait_for(lambda: process.num_fds() <= inside + 10)
        inside = process.num_fds()
        with pytest.raises(holdfast.NotFoundError):
            scope.open("missing")
        for _ in range(20):
            scope.open("k", "rb").close()
            list(scope.get_chunks("k"))
            next(scope.get_chunks("k"))
        assert process.num_fds() <= inside + 2
    wait_for(lambda: process.num_fds() <= before)
    assert values[-1][7] == 7


def test_a_store_that_is_forgotten_gives_its_descriptors_back(tmp_path: Path) -> None:
    process = psutil.Process()
    holdfast.open(tmp_path / "data").close()
    before = process.num_fds()
    for _ in range(5):
        holdfast.open(tmp_path / "data").namespace("a").put("k", LARGE)
    wait_for(lambda: process.num_fds() <= before + 3)


def test_refused_openings_keep_no_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holdfast.open(tmp_path / "data").close()
    process = psutil.Process()
    before = process.num_fds()
    monkeypatch.setenv("HOLDFAST_KEY", "no key")
    for _ in range(10):
        with pytest.raises(holdfast.InvalidArgumentError):
            holdfast.open(tmp_path / "data")
    assert process.num_fds() <= before


def test_opening_at_the_same_moment_makes_one_store(tmp_path: Path) -> None:
    ids: list[str] = []

    def work(number: int) -> None:
        with holdfast.open(tmp_path / "data") as store:
            store.namespace("a").add("n")
            ids.append(store.id)

    in_threads(8, work)
    assert len(set(ids)) == 1
    with holdfast.open(tmp_path / "data") as store:
        assert store.namespace("a").get("n") == 8


def test_many_processes_at_once_see_versions_in_one_order(store: holdfast.Store) -> None:
    """Each write tells its version: no two alike, none lost, and each read is of a write that was made."""
    scope = store.namespace("a")
    reading, writing = os.pipe()
    children = []
    for number in range(4):
        child = os.fork()
        if not child:
            try:
                with holdfast.open(store.config.store) as own:
                    there = own.namespace("a")
                    lines = []
                    for index in range(40):
                        value = b"%d %d " % (number, index) * (1 if index % 3 else 10_000)
                        lines.append(f"{there.put('k', value).version}\n")
                        entry = there.entry("k")
                        assert entry.value.count(entry.value.split(b" ")[0])
                        assert entry.version >= int(lines[-1])
                    os.write(writing, "".join(lines).encode())
                os._exit(0)
            except BaseException:
                os._exit(1)
        children.append(child)
    os.close(writing)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    with open(reading) as pipe:
        versions = [int(line) for line in pipe]
    assert statuses == [0] * 4
    assert sorted(versions) == list(range(1, 161))
    assert scope.record("k").version == 160
    store.gc()
    assert len(blob_files(store)) <= 1
