"""Promise 3: what a store is after a power cut, at any moment, whatever of the unsynced bytes reached the disk.

Each test records the system calls of a workload and plays them back up to some moment; see
:mod:`holdfast.testing.powercut`. The store that opens on what is left must read, for each key, the newest version whose
bytes are on disk, as it was written, and nothing else: the expectation is worked out from the workload's own notes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path as Folder
from random import Random
from typing import Any

import apsw
import pytest

import holdfast
from holdfast import NotFoundError, Store
from holdfast.catalog.sqlite import SQLiteCatalog, schema
from holdfast.storages.file import FileStorage
from holdfast.testing.interpose import interposed
from holdfast.testing.powercut import STYLES, Disk, Recorder
from holdfast.writing import sync_blobs

from .timeline import INLINE, UNIVERSE, Slot, Timeline, Version, Workload, normal, paths


class Wrong(AssertionError):
    """The store is not what it must be after a power cut."""


class Lab:
    """A folder to work in, and boots of its machine one after the other."""

    def __init__(self, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._patch = monkeypatch
        self.history = 0  # how many old versions the scopes keep
        self._boots = 0
        self._images = 0
        self.boot()

    def boot(self) -> None:
        """The machine starts anew."""
        self._boots += 1
        name = f"boot-{self._boots}"
        self._patch.setattr("holdfast.kernel.boot_id", lambda: name)

    def image(self) -> Folder:
        """The path of a new image."""
        self._images += 1
        return self.folder / f"image-{self._images}"

    def open(self, root: Folder, durability: str = "process") -> Store:
        """The store of an image, or a new one."""
        return holdfast.open(root / "data", inline=INLINE, durability=durability)

    def record(self, seed: int, steps: int, durability: str) -> tuple[Recorder, Timeline]:
        """Run a workload on a new store and record it."""
        root = self.image()
        root.mkdir()
        recorder, timeline = Recorder(root), Timeline()
        with interposed(root, recorder), self.open(root, durability) as store:
            for scope, _ in paths() if self.history else ():
                store.scope(scope).set_policy(history=self.history, max_records=1000, max_bytes=1 << 30)
            Workload(store, str(root / "data"), recorder, timeline, Random(seed)).run(steps)
        return recorder, timeline


@pytest.fixture
def lab(quick_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(quick_folder, monkeypatch)


def whole_in(image: Folder, timeline: Timeline) -> Callable[[str], bool]:
    """Tells whether a file of the workload has all its bytes in an image."""
    known: dict[str, bool] = {}

    def whole(place: str) -> bool:
        if place not in known:
            path = image / "data" / "files" / place
            known[place] = path.is_file() and path.read_bytes() == timeline.contents[place]
        return known[place]

    return whole


def in_catalog(image: Folder, beside: Folder) -> dict[Slot, int]:
    """The versions that the catalog of an image names, before anything mended it; looked up in a copy."""
    versions: dict[Slot, int] = {}
    beside.mkdir()
    for name in ("catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-journal"):
        if (image / "data" / name).exists():
            shutil.copy(image / "data" / name, beside / name)
    catalog = SQLiteCatalog(beside / "catalog.sqlite")
    for scope, path in paths():
        versions.update({(scope, row[0]): row[2] for row in catalog.search(path)})
    catalog.close()
    shutil.rmtree(beside)
    return versions


def steps_on_disk(timeline: Timeline, found: dict[Slot, int], least: int, most: int) -> int:
    """After which step of the timeline the catalog is as it was found; commits are lost from the end only."""
    for done in range(most, least - 1, -1):
        wanted = timeline.catalog(done)
        if all(found.get(slot) in wanted[slot] for slot in UNIVERSE):
            return done
    kinds = [step.kind for step in timeline.steps]
    for earlier in range(least):
        if all(found.get(slot) in timeline.catalog(earlier)[slot] for slot in UNIVERSE):
            raise Wrong(f"the steps {kinds[earlier:least]} were on disk, and the catalog lost them")
    raise Wrong(f"the catalog is as it was after none of the {most} steps")


@pytest.fixture(autouse=True)
def same_files(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Lets restored files have the identity of the originals: a file that lost its bytes often kept its times."""
    known: dict[str, Any] = {}
    real = FileStorage.identity

    def identity(self: FileStorage, config: Any) -> Any:
        found = real(self, config)
        original = known.get(config)
        return original if found is not None and original is not None and original.size == found.size else found

    monkeypatch.setattr(FileStorage, "identity", identity)
    return known


def read_all(store: Store) -> dict[Slot, tuple[int, Any]]:
    """Version and value of each key that is there, hashed."""
    found = {}
    for scope, key in UNIVERSE:
        try:
            entry = store.scope(scope).entry(key)
            verified = store.scope(scope).get(key, verify=True)
        except NotFoundError as error:
            if type(error) is not NotFoundError:
                raise
            continue
        if normal(entry.value) != normal(verified):
            raise Wrong(f"{scope}/{key} reads otherwise when it is verified")
        found[scope, key] = (entry.version, normal(entry.value))
    return found


def compare(store: Store, expected: dict[Slot, Version]) -> None:
    try:
        found = read_all(store)
    except holdfast.HoldfastError as error:
        raise Wrong(f"a value is torn: {error!r}") from error
    for slot in UNIVERSE:
        wanted = expected.get(slot)
        got = found.get(slot)
        if (None if wanted is None else (wanted.number, wanted.value)) != got:
            number = None if wanted is None else wanted.number
            raise Wrong(f"{slot} must be at version {number}, and is at {got and got[0]}, or has another value")
    for scope in {scope for scope, _ in UNIVERSE}:
        if list(store.scope(scope).keys()) != sorted(key for where, key in expected if where == scope):
            raise Wrong(f"{scope} lists other keys than it has")


def check_history(store: Store, image: Folder) -> None:
    """Old versions are whole and below the record; what is counted and referred to is what there is."""
    for scope, key in UNIVERSE:
        place = store.scope(scope)
        kept = [record.version for record in place.history(key)]
        newest = [place.record(key).version] if place.exists(key) else []
        if sorted({*newest, *kept}, reverse=True) != newest + kept:
            raise Wrong(f"{scope}/{key} is at {newest}, with old versions {kept}")
        for version in kept:
            try:
                place.get(key, version=version, verify=True)
            except holdfast.HoldfastError as error:
                raise Wrong(f"version {version} of {scope}/{key} is torn: {error!r}") from error
    catalog = SQLiteCatalog(image / "data" / "catalog.sqlite")
    refs = " UNION ALL ".join(f"SELECT blob FROM {table}" for table in ("records", "kept", "past", "members"))
    for wrong in (
        f"SELECT id,refs FROM blobs b WHERE state=0 AND refs<>(SELECT count(*) FROM ({refs}) WHERE blob=b.id)",
        "SELECT scope,records,bytes FROM policies p WHERE (records,bytes)<>"
        "(SELECT count(*),ifnull(sum(size),0) FROM records WHERE scope=p.scope)",
    ):
        if found := catalog.read(wrong):
            raise Wrong(f"{wrong}: {found}")
    catalog.close()


def removed(calls: list[Any]) -> set[str]:
    """Files that were removed: a folder is not synced for that, so a power cut can bring them back, as garbage that
    nobody looks for where their writer's folder was swept before."""
    return {call.path.partition("files/")[2] for call in calls if call.verb == "unlink" and "files/" in call.path}


def left_behind(image: Folder, back: set[str]) -> list[str]:
    """Files of bytes that no live blob names, ``back`` aside, and folders of writers that are half made."""
    connection = apsw.Connection(str(image / "data" / "catalog.sqlite"))
    named = {place.strip('"') for (place,) in connection.execute("SELECT place FROM blobs WHERE state=0 AND refs>0")}
    ((garbage,),) = connection.execute("SELECT count(*) FROM blobs WHERE refs=0 OR state<>0").fetchall()
    connection.close()
    found = [f"{garbage} rows of blobs"] if garbage else []
    root = image / "data" / "files"
    for folder, _, names in os.walk(root):
        for name in names:
            place = os.path.relpath(os.path.join(folder, name), root)
            if place not in named and place not in back and name != "lock":
                found.append(place)
        if os.path.basename(folder).startswith("new-"):
            found.append(folder)
    return found


def after_cut(lab: Lab, image: Folder, timeline: Timeline, cut: int, calls: list[Any]) -> dict[Slot, Version]:
    """What each key must read as, worked out without the recovery; raises where the catalog cannot be as it is."""
    least, most = timeline.bounds(cut, calls)
    found = in_catalog(image, lab.image())
    done = steps_on_disk(timeline, found, least, most)
    return timeline.newest(done, whole_in(image, timeline))


def write_later(store: Store, before: dict[Slot, int], expected: dict[Slot, Version], random: Random) -> None:
    """Versions of later writes are above all that the catalog named, those of lost bytes included."""
    for slot in random.sample(UNIVERSE, 6):
        value: Any = {"later": random.random()} if random.random() < 0.5 else random.randbytes(3000)
        record = store.scope(slot[0]).put(slot[1], value)
        if record.version <= before.get(slot, 0):
            raise Wrong(f"{slot} went back from version {before[slot]} to {record.version}")
        expected[slot] = Version(record.version, value)


def check_cut(lab: Lab, disk: Disk, recorder: Recorder, timeline: Timeline, random: Random, *, again: bool) -> None:
    """Restore one image, open it, compare; write, collect, compare; with ``again`` cut the power meanwhile."""
    image = lab.image()
    disk.restore(image, random.choice(STYLES), random)
    expected = after_cut(lab, image, timeline, disk.position, recorder.calls)
    before = in_catalog(image, lab.image())
    lab.boot()
    if again:
        _check_second_cut(lab, image, timeline, before, expected, random)
    else:
        _check_recovered(lab, image, before, expected, random, set())
    shutil.rmtree(image)


def _check_recovered(
    lab: Lab, image: Folder, before: dict[Slot, int], expected: dict[Slot, Version], random: Random, back: set[str]
) -> None:
    with lab.open(image) as store:
        compare(store, expected)
        check_history(store, image)
        write_later(store, before, expected, random)
        compare(store, expected)
        store.gc()
        compare(store, expected)
        check_history(store, image)
    with lab.open(image) as store:
        store.gc()  # now what the writers above left is nobody's
        compare(store, expected)
    left = left_behind(image, back)
    if left:
        raise Wrong(f"left behind after gc: {left}")


def _check_second_cut(
    lab: Lab, image: Folder, first: Timeline, before: dict[Slot, int], expected: dict[Slot, Version], random: Random
) -> None:
    recorder = Recorder(image)
    start = {slot: (Version(before.get(slot)), expected.get(slot, Version(None))) for slot in UNIVERSE}
    timeline = Timeline(start)
    timeline.contents.update(first.contents)
    timeline.identities.update(first.identities)
    with interposed(image, recorder), lab.open(image) as store:
        compare(store, expected)
        workload = Workload(store, str(image / "data"), recorder, timeline, random)
        workload.begin({slot: version.value for slot, version in expected.items()})
        workload.run(12)
        ended = len(recorder)
    disk = Disk(recorder)
    disk.advance(random.randrange(ended + 1))
    again = lab.image()
    disk.restore(again, random.choice(STYLES), random)
    after = after_cut(lab, again, timeline, disk.position, recorder.calls)
    lab.boot()
    back = removed(recorder.calls[: disk.position])
    _check_recovered(lab, again, in_catalog(again, lab.image()), after, random, back)
    shutil.rmtree(again)


def check_many(
    lab: Lab,
    same_files: dict[str, Any],
    *,
    seed: int,
    steps: int,
    cuts: int,
    durability: str,
    twice: float = 0.3,
    after: str | None = None,
) -> None:
    """Cut the power of one workload at many moments; ``after``: just after calls of this kind on files of bytes."""
    recorder, timeline = lab.record(seed, steps, durability)
    same_files.update(timeline.identities)
    random, disk = Random(seed), Disk(recorder)
    moments = [
        number
        for number, call in enumerate(recorder.calls, 1)
        if after is None or (call.verb == after and "files/" in call.path)
    ]
    for cut in sorted(random.choices([*moments, len(recorder)], k=cuts)):
        disk.advance(cut)
        try:
            check_cut(lab, disk, recorder, timeline, random, again=random.random() < twice)
        except Wrong as error:
            raise Wrong(f"seed {seed}, power cut before call {cut} of {len(recorder)}: {error}") from error


@pytest.mark.parametrize("durability", ["process", "power"])
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_power_cuts(lab: Lab, same_files: dict[str, Any], seed: int, durability: str) -> None:
    check_many(lab, same_files, seed=seed, steps=60, cuts=15, durability=durability)


@pytest.mark.long
@pytest.mark.parametrize("durability", ["process", "power"])
def test_power_cuts_of_scopes_that_keep_old_versions(lab: Lab, same_files: dict[str, Any], durability: str) -> None:
    lab.history = 2
    check_many(lab, same_files, seed=3, steps=60, cuts=30, durability=durability)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("durability", ["process", "power"])
@pytest.mark.parametrize("seed", range(100, 120))
def test_thousands_of_power_cuts(lab: Lab, same_files: dict[str, Any], seed: int, durability: str) -> None:
    check_many(lab, same_files, seed=seed, steps=90, cuts=150, durability=durability)


# --- the checks see what they are there for: each safeguard taken out must make them fail -----------------------------


def must_fail(lab: Lab, same_files: dict[str, Any], durability: str = "process", after: str | None = None) -> str:
    """Cut the power of some workloads until the check fails, and give what it says."""
    for seed in range(1, 9):
        try:
            check_many(lab, same_files, seed=seed, steps=60, cuts=50, durability=durability, twice=0.0, after=after)
        except Wrong as error:
            print(error)
            return str(error)
    raise AssertionError("a safeguard was taken out, and no power cut showed it")


@pytest.mark.long
def test_planted_no_recovery(lab: Lab, same_files: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.keeper.recover", lambda kernel: 0)
    assert "torn" in must_fail(lab, same_files)


@pytest.mark.long
def test_planted_sync_without_fsync(lab: Lab, same_files: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileStorage, "sync", lambda self, configs: [True] * len(configs))
    must_fail(lab, same_files)


@pytest.mark.long
def test_planted_nothing_kept(lab: Lab, same_files: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    triggers = schema._TRIGGERS
    start, end = triggers.index("  INSERT INTO kept"), triggers.index("  DELETE FROM kept")
    monkeypatch.setattr(schema, "_TRIGGERS", triggers[:start] + triggers[end:])
    assert "must be at version" in must_fail(lab, same_files)


@pytest.mark.long
def test_planted_objects_lost_in_part(lab: Lab, same_files: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.catalog.sql.blobs._OF", "SELECT ?1 AS blob")
    assert "torn" in must_fail(lab, same_files)


@pytest.mark.long
def test_planted_objects_synced_with_one_file(
    lab: Lab, same_files: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = schema._MEMBERS.index("    AND NOT EXISTS")
    monkeypatch.setattr(schema, "_MEMBERS", schema._MEMBERS[:start] + ";\nEND;\n")
    monkeypatch.setattr("holdfast.keeper.sync_blobs", lambda kernel, blobs: sync_blobs(kernel, blobs[:1]))
    assert "must be at version" in must_fail(lab, same_files)


@pytest.mark.long
def test_planted_names_not_synced(lab: Lab, same_files: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.storages.file.writing.sync_folder", lambda path: None)
    must_fail(lab, same_files, "power")


@pytest.mark.long
def test_planted_transaction_not_synced(lab: Lab, same_files: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.transaction.Buffered._sync", lambda self, puts: None)
    must_fail(lab, same_files)


@pytest.mark.long
def test_planted_dying_mark_not_on_disk(lab: Lab, same_files: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    real, quick = SQLiteCatalog.garbage, SQLiteCatalog.transaction

    def transaction(self: Any, work: Any, *, power: bool = False, spare: bool = False) -> Any:
        return quick(self, work, power=False, spare=spare)

    def garbage(self: Any, limit: int = 1000, storage: int | None = None) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(SQLiteCatalog, "transaction", transaction)
            return real(self, limit, storage)

    monkeypatch.setattr(SQLiteCatalog, "garbage", garbage)
    assert "torn" in must_fail(lab, same_files, after="unlink")
