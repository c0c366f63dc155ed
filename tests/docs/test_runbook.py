"""The runbook's own procedures, on stores that are being written to, collected and moved."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

import holdfast
from tests.docs.pages import DOCS, blocks


def _back_up() -> Callable[[holdfast.Store, Path], None]:
    """The function as the page gives it."""
    (code,) = [b.code for b in blocks((DOCS / "runbook.md").read_text(encoding="utf-8")) if "def back_up" in b.code]
    namespace: dict[str, Any] = {}
    exec(code.rpartition("\n\n\n")[0], namespace)
    back_up: Callable[[holdfast.Store, Path], None] = namespace["back_up"]
    return back_up


class Traffic:
    """Threads that put, replace, delete and collect until told to stop."""

    def __init__(self, store: holdfast.Store) -> None:
        self._store = store
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(2)]
        self._threads.append(threading.Thread(target=self._collect))
        self.errors: list[BaseException] = []
        self.collected = 0

    def _run(self, turn: Callable[[int], None]) -> None:
        number = 0
        try:
            while not self._stop.is_set():
                number += 1
                turn(number)
        except BaseException as error:
            self.errors.append(error)

    def _write(self, which: int) -> None:
        scope = self._store.namespace(f"writer-{which}")

        def turn(number: int) -> None:
            scope.put(f"k{number % 20}", bytes([which, number % 251]) * 30_000)
            scope.put(f"small{number % 20}", number)
            if number % 3 == 0:
                scope.delete(f"k{number % 20}")

        self._run(turn)

    def _collect(self) -> None:
        def turn(number: int) -> None:
            try:
                self.collected += self._store.gc().blobs
            except holdfast.BusyError:
                pass
            self._stop.wait(0.03)

        self._run(turn)

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_a_live_store_is_backed_up_whole(tmp_path: Path) -> None:
    back_up = _back_up()
    with holdfast.open(tmp_path / "data") as store:
        with Traffic(store) as traffic:
            for number in range(3):
                before = traffic.collected
                while traffic.collected < before + 20 and not traffic.errors:
                    threading.Event().wait(0.01)
                back_up(store, tmp_path / f"copy-{number}")
        assert traffic.errors == []
    for number in range(3):
        with holdfast.open(tmp_path / f"copy-{number}", create=False) as copy:
            found = copy.verify()
            assert found.records > 20
            assert found.problems == []
            scope = copy.namespace("writer-0")
            assert scope.put("new", b"x" * 100_000).durability == "process"
            copy.gc()
            assert copy.verify().fine


def test_without_the_lease_a_back_up_can_lose_bytes(tmp_path: Path) -> None:
    """What the lease is for: files that the copied catalog names go away while they are being copied."""
    with holdfast.open(tmp_path / "data") as store:
        scope = store.namespace("a")
        place = scope.put("k", bytes(100_000)).contents["value"].storage_config
        live = apsw.Connection(str(tmp_path / "data" / "catalog.sqlite"), flags=apsw.SQLITE_OPEN_READONLY)
        live.execute("VACUUM INTO ?", (str(tmp_path / "copy.sqlite"),))
        live.close()
        scope.delete("k")
        with store.lease("holdfast/gc"), pytest.raises(holdfast.BusyError):
            store.gc()
        assert (tmp_path / "data" / "files" / place).exists()
        store.gc()
        assert not (tmp_path / "data" / "files" / place).exists()


def test_a_store_is_moved_to_another_machine(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data") as store:
        store.namespace("a").put("large", bytes(100_000))
        store.namespace("a").put("small", 1)
    shutil.move(tmp_path / "data", tmp_path / "moved")
    _written_elsewhere(tmp_path / "moved", alive_for=30)
    with pytest.raises(holdfast.OtherHostError, match="another machine"):
        holdfast.open(tmp_path / "moved")
    _written_elsewhere(tmp_path / "moved", alive_for=-1)
    with holdfast.open(tmp_path / "moved") as store:
        assert store.namespace("a").get("large") == bytes(100_000)
        assert store.verify().fine
        assert store.gc().blobs == 0


def _written_elsewhere(folder: Path, alive_for: int) -> None:
    """Make a closed store one that another machine had open."""
    connection = apsw.Connection(str(folder / "catalog.sqlite"))
    connection.execute("UPDATE store SET machine=?, boot=?, until=unixepoch()+?", ("0" * 32, "another boot", alive_for))
    connection.execute("UPDATE blobs SET boot='another boot'")
    connection.close()
