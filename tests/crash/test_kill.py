"""Promise 1: kill -9 at any system call, beside readers and collectors, tears nothing and loses nothing acknowledged.

Writers are forked one after the other; each is killed at a chosen call of a chosen deed, just before it, just after it,
or with half of a write made. What the deed's calls are is found out by doing it once without killing.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import apsw
import pytest

from holdfast import BusyError, NotFoundError, Store
from holdfast.catalog.sqlite import SQLiteCatalog
from holdfast.payload import Payload
from holdfast.storages.file import FileStorage
from holdfast.testing.faults import AFTER, BEFORE, BETWEEN, DIES, Faults, stages
from holdfast.testing.interpose import interposed

from .children import Background, Doomed
from .deeds import PUTS, SLOTS, Deed, Meant, Slot, do, identify, invent, open_store, same

KINDS = [
    *[(kind, form) for kind in PUTS for form in ("inline", "file") if (kind, form) != ("stream", "inline")],
    ("put", "large"), ("put", "array"), ("put", "equal"), ("put and sync", "array"), ("stream", "large"),
    ("put", "object"), ("put power", "object"), ("transaction", "object"),
    ("put power", "equal"), ("put brief", "inline"), ("delete", ""), ("transaction", "file"), ("transaction", "large"),
    ("transaction", "equal"), ("artifact", "file"), ("drop", ""), ("collect", ""), ("close", ""), ("open", ""),
]  # fmt: skip
OTHER = "in a deed that is no put"


class Wrong(AssertionError):
    """A promise is broken."""


class Kill(NamedTuple):
    """Where to kill."""

    kind: str
    form: str
    call: int
    action: str
    stage: str


class Arena:
    """A store, what it must hold, and the way to do deeds in processes that die.

    Attributes:
        state: for each key its version and value; None for deleted.
        top: for each key the highest version that was seen.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder / "data")
        self.state: dict[Slot, tuple[int, Meant] | None] = dict.fromkeys(SLOTS)
        self.top: dict[Slot, int] = dict.fromkeys(SLOTS, 0)

    def lives(self, deeds: list[Deed], faults: Faults) -> Doomed:
        """A process that does the deeds, the last one under ``faults``, and dies at last."""

        def work(send: Callable[[Any], None]) -> None:
            faults.armed = deeds[-1].kind == "open"
            with interposed(self.folder, faults):
                store = open_store(self.folder)
                for deed in deeds[:-1]:
                    send(do(store, deed))
                faults.armed = True
                versions = do(store, deeds[-1])
                calls, faults.armed = list(faults.calls), False
                send(versions)
                send([call[:-2] for call in calls])
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()

        return Doomed(work)

    def calls(self, kind: str, form: str, random: Random) -> list[str]:
        """The stages of a deed, one for each number of calls that were made of it."""
        from holdfast.testing.interpose import Call

        deed = invent(kind, form, random)
        *versions, calls = self.lives([deed], Faults()).answers()
        self.take([deed], versions)
        made = [Call(*call) for call in calls]
        return stages(made) if kind in PUTS else [OTHER] * (len(made) + 1)

    def take(self, deeds: list[Deed], answers: list[list[int | None]]) -> None:
        """The deeds that were acknowledged are done; the next one may be."""
        for deed, versions in zip(deeds, answers, strict=False):
            for (slot, meant), version in zip(deed.changes, versions, strict=True):
                self._set(slot, version, meant)

    def _set(self, slot: Slot, version: int | None, meant: Meant | None) -> None:
        if version is None or meant is None:
            self.state[slot] = None
            return
        if version <= self.top[slot]:
            raise Wrong(f"{slot} went from version {self.top[slot]} to {version}")
        self.top[slot] = version
        self.state[slot] = (version, meant)

    def kill(self, kill: Kill, random: Random) -> None:
        """Let a writer do some deeds and die in the last; then look at everything."""
        deeds = [
            invent(random.choice(("put", "delete", "transaction")), "file", random)
            for _ in range(random.randrange(2 + 4 * (kill.kind == "collect")))
        ]
        deeds.append(invent(kill.kind, kill.form, random))
        answers = self.lives(deeds, Faults(kill.call, kill.action)).answers()
        self.take(deeds, answers[: len(deeds)])
        with open_store(self.folder) as store:
            self.check(store, deeds[len(answers)] if len(answers) < len(deeds) else None)

    def check(self, store: Store, open_deed: Deed | None = None) -> None:
        """All keys are as they must be, ``open_deed`` being done as a whole or not at all."""
        found = read(store)
        changes = dict(open_deed.changes) if open_deed is not None else {}
        for slot in SLOTS:
            if slot not in changes and found[slot] != self.state[slot]:
                got, wanted = found[slot], self.state[slot]
                if got is None or wanted is None or got[0] != wanted[0] or not same(got[1], wanted[1]):
                    raise Wrong(f"{slot} must be {wanted}, and is {got}")
        before = all(_is(found[slot], self.state[slot]) for slot in changes)
        after = all(
            same(meant, None if found[slot] is None else found[slot][1])  # type: ignore[index]
            and (found[slot] is None or found[slot][0] > self.top[slot])  # type: ignore[index]
            for slot, meant in changes.items()
        )
        if not before and not after:
            raise Wrong(f"{open_deed} is done in part: {[found[slot] for slot in changes]}")
        if not before:
            for slot in changes:
                version = found[slot]
                self._set(slot, *(version if version is not None else (None, None)))


def _is(found: tuple[int, Meant] | None, wanted: tuple[int, Meant] | None) -> bool:
    if found is None or wanted is None:
        return found is wanted
    return found[0] == wanted[0] and same(found[1], wanted[1])


def read(store: Store) -> dict[Slot, tuple[int, Meant] | None]:
    """Version and value of each key, each value whole."""
    found: dict[Slot, tuple[int, Meant] | None] = {}
    for scope, key in SLOTS:
        try:
            entry = store.scope(scope).entry(key, verify=True)
        except NotFoundError as error:
            if type(error) is not NotFoundError:
                raise
            found[scope, key] = None
        else:
            found[scope, key] = (entry.version, identify(entry.value))
    return found


def reading(folder: str) -> Callable[[Callable[[], bool]], int]:
    """A reader: every value is whole, no version goes back, one version has one value."""

    def work(go_on: Callable[[], bool]) -> int:
        seen: dict[Slot, tuple[int, Meant]] = {}
        count = 0
        with open_store(folder) as store:
            while go_on():
                for slot, found in read(store).items():
                    if found is not None:
                        version, meant = seen.get(slot, (0, found[1]))
                        assert found[0] >= version, f"{slot} went back from {version} to {found[0]}"
                        assert found[0] > version or same(found[1], meant), f"{slot} has two values at {version}"
                        seen[slot] = found
                count += 1
        return count

    return work


def collecting(folder: str) -> Callable[[Callable[[], bool]], int]:
    """A collector at work all the time."""

    def work(go_on: Callable[[], bool]) -> int:
        count = 0
        with open_store(folder) as store:
            while go_on():
                try:
                    store.gc()
                    count += 1
                except BusyError:
                    pass  # a writer collects
                time.sleep(0.002)
        return count

    return work


def left_behind(folder: str, records: int) -> list[str]:
    """What is there after a collection and should not be."""
    connection = apsw.Connection(os.path.join(folder, "catalog.sqlite"))

    def number(sql: str) -> int:
        count: Any = connection.execute(sql).fetchall()[0][0]
        return int(count)

    live = connection.execute("SELECT place FROM blobs WHERE state=0 AND refs>0 AND storage<>0")
    places = {place.strip('"') for (place,) in live}
    found = [
        f"{table}: {count}"
        for table in (
            "kept",
            "dropped",
            "blobs WHERE refs=0 OR state<>0",
            "members WHERE bundle NOT IN (SELECT id FROM blobs)",
            "records WHERE expires IS NOT NULL",
        )
        if (count := number(f"SELECT count(*) FROM {table}"))
    ]
    if (count := number("SELECT count(*) FROM records WHERE key LIKE 'k%'")) != records:
        found.append(f"{count} records of {records}")
    connection.close()
    files = os.path.join(folder, "files")
    on_disk = {
        os.path.relpath(os.path.join(where, name), files) for where, _, names in os.walk(files) for name in names
    }
    found += sorted(f"files/{place}" for place in on_disk - places)
    found += [f"missing files/{place}" for place in places - on_disk]
    writers = {place.partition("/")[0] for place in places}
    found += [f"files/{name}/" for name in os.listdir(files) if name not in writers]
    locks = os.path.join(folder, "locks")
    if os.path.isdir(locks) and len(os.listdir(locks)) > 1:  # one, for the name of the collector's lease
        found.append(f"locks: {os.listdir(locks)}")
    own = ("catalog.sqlite", "files", "locks", "catalog.sqlite.gate", "catalog.sqlite.reserve")
    return found + [name for name in os.listdir(folder) if name not in own]


def enumerate_kills(arena: Arena, random: Random, only: str | None) -> Iterator[Kill]:
    """Each call of each kind of deed (or of one), with each way to die there."""
    for kind, form in KINDS:
        if only not in (None, kind):
            continue
        made = arena.calls(kind, form, random)
        for call in range(len(made) - 1):
            for action in DIES:
                stage = made[call + 1] if action == "die after" else made[call]
                yield Kill(kind, form, call, action, stage)
        yield Kill(kind, form, len(made), "die after", AFTER if kind in PUTS else OTHER)  # when it returned


def storm(folder: Path, seed: int, number: int, only: str | None = None, *, collect: bool = True) -> Counter[str]:
    """Kill ``number`` writers beside a reader and a collector (which takes the work from writers that collect); gives
    kills by stage."""
    random, arena = Random(seed), Arena(folder)
    do_in_child(arena)
    kills = spread(list(enumerate_kills(arena, random, only)), number, random)
    others = [Background(reading(arena.folder))]
    if collect:
        others.append(Background(collecting(arena.folder)))
    counts: Counter[str] = Counter()
    try:
        for kill in kills:
            try:
                arena.kill(kill, random)
            except Exception as error:
                raise Wrong(f"seed {seed}, after {sum(counts.values())} kills, at {kill}: {error!r}") from error
            counts[kill.stage] += 1
    finally:
        for other in others:
            other.end()
    results = [other.result() for other in others]
    assert min(results) > 0, "the reader or the collector did nothing"
    last_look(arena)
    return counts


def do_in_child(arena: Arena) -> None:
    """Make the store, with a value under each key."""
    deeds = [Deed("put", ((slot, ("file", number)),)) for number, slot in enumerate(SLOTS)]
    arena.take(deeds, arena.lives(deeds, Faults()).answers()[: len(deeds)])


def last_look(arena: Arena) -> None:
    """After everybody's end one collection leaves exactly what there is to be."""
    time.sleep(0.06)  # until the last brief records have expired
    with open_store(arena.folder) as store:
        arena.check(store)
        store.gc()
        arena.check(store)
    left = left_behind(arena.folder, sum(value is not None for value in arena.state.values()))
    if left:
        raise Wrong(f"left behind after the last gc: {left}")


def spread(kills: list[Kill], number: int, random: Random) -> list[Kill]:
    """So many kills: each stage has its part, and in it each kind of deed."""
    stages_left: dict[str, dict[tuple[str, str], list[Kill]]] = {}
    for kill in random.sample(kills, len(kills)):
        stages_left.setdefault(kill.stage, {}).setdefault((kill.kind, kill.form), []).append(kill)
    turns = {stage: itertools.cycle(kinds.values()) for stage, kinds in stages_left.items()}
    chosen: list[Kill] = []
    for stage in itertools.cycle(turns):
        if len(chosen) == number:
            break
        left = next(turns[stage])
        chosen.append(left[0])
        left.append(left.pop(0))  # when all were taken, once more from the first
    return chosen


def test_kills(quick_folder: Path) -> None:
    counts = storm(quick_folder, seed=1, number=25)
    print(dict(counts))
    assert set(counts) >= {BEFORE, BETWEEN, AFTER, OTHER}


@pytest.mark.long
def test_kills_of_collectors(quick_folder: Path) -> None:
    counts = storm(quick_folder, seed=2, number=20, only="collect", collect=False)
    assert counts == {OTHER: 20}


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_a_thousand_kills(quick_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = storm(quick_folder, seed=3, number=1200)
    with capsys.disabled():
        print(f"\nkills: {dict(counts)}")
    assert sum(counts.values()) == 1200
    assert min(counts[BEFORE], counts[BETWEEN], counts[AFTER]) > 100


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_hundreds_of_kills_of_collectors(quick_folder: Path) -> None:
    storm(quick_folder, seed=4, number=400, only="collect", collect=False)


# --- the checks see what they are there for: each safeguard taken out must make them fail -----------------------------


def must_fail(folder: Path, only: str, number: int = 40, *, collect: bool = True) -> str:
    for seed in range(3, 9):  # it takes a kill at the right moment, and the machine has its say in that
        try:
            storm(folder / str(seed), seed, number, only, collect=collect)
        except AssertionError as error:
            print(error)
            return str(error)
    raise AssertionError("a safeguard was taken out, and no kill showed it")


def test_planted_record_first(quick_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, late = FileStorage.write, []

    def write(self: FileStorage, payload: Any, *arguments: Any, **more: Any) -> str:
        place = real(self, Payload([bytes(payload.size)], payload.content_type), *arguments, **more)
        late.append((f"{self.root}/{place}", b"".join(payload.buffers)))
        return place

    def settle(kernel: Any, change: Any, done: Any) -> None:
        path, data = late.pop()
        fd = os.open(path, os.O_WRONLY)
        os.write(fd, data)
        os.close(fd)

    monkeypatch.setattr(FileStorage, "write", write)
    monkeypatch.setattr("holdfast.writing.settle", settle)
    assert "IntegrityError" in must_fail(quick_folder, "put")


@pytest.mark.long
def test_planted_orphans_not_looked_for(quick_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileStorage, "abandoned", lambda self: iter(()))
    assert "left behind" in must_fail(quick_folder, "stream")


@pytest.mark.long
def test_planted_rows_forgotten_first(quick_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = SQLiteCatalog.garbage

    def garbage(self: Any, limit: int = 1000) -> Any:
        blobs = real(self, limit)
        self.forget([blob.id for blob in blobs])
        return blobs

    monkeypatch.setattr(SQLiteCatalog, "garbage", garbage)
    assert "left behind" in must_fail(quick_folder, "collect", 80, collect=False)
