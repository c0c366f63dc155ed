"""A workload that writes down what it did, and what a store may hold after a power cut in the middle of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

import numpy as np

import holdfast
from holdfast import Record, StorableDataclass, Store
from holdfast.address import Path, parse_path
from holdfast.storages.base import Identity
from holdfast.testing.powercut import Recorder

INLINE = 1024
SCOPES = ("namespace:a", "namespace:b/workflow:w", "namespace:b/artifact:r")
KEYS = ("k0", "k1", "k2", "k3")
UNIVERSE = [(scope, key) for scope in SCOPES for key in KEYS]

Slot = tuple[str, str]


@dataclass
class Pair(StorableDataclass, class_id="c4a50001"):
    """An object of several contents, two of which are files."""

    n: int
    one: Any
    two: Any

    @classmethod
    def of(cls, number: int) -> Pair:
        """The one of that number."""
        return cls(n=number, one=np.arange(700) + number, two=np.arange(9_000) - number)


class Version(NamedTuple):
    """A version of a key, or that it is deleted (``number`` None)."""

    number: int | None
    value: Any = None
    places: tuple[str, ...] = ()  # of its files, below the folder of files


class Step(NamedTuple):
    """One acknowledged commit: how many system calls were made before it and up to its return."""

    kind: str
    started: int
    ended: int
    power: bool
    changes: dict[Slot, Version]


DELETED = Version(None)


def normal(value: Any) -> Any:
    """A value that ``==`` compares as a whole."""
    if isinstance(value, Pair):
        return "pair", value.n, normal(value.one), normal(value.two)
    if isinstance(value, np.ndarray):
        return "array", value.dtype.str, value.shape, value.tobytes()
    return bytes(value) if isinstance(value, (bytearray, memoryview)) else value


def natural(value: Any) -> Any:
    """The value again of what :func:`normal` made of it."""
    if isinstance(value, tuple) and value[0] == "pair":
        return Pair(n=value[1], one=natural(value[2]), two=natural(value[3]))
    return np.frombuffer(value[3], value[1]).reshape(value[2]) if isinstance(value, tuple) else value


class Timeline:
    """Commits in their order.

    Attributes:
        start: what is there before the first, for each key the versions that it may have until then (the last is the
            one that a reader sees).
        steps: the commits.
        contents: bytes of each file, when it was written.
        identities: how each file was then.
    """

    def __init__(self, start: Mapping[Slot, tuple[Version, ...]] | None = None) -> None:
        self.start = dict(start or {})
        self.steps: list[Step] = []
        self.contents: dict[str, bytes] = {}
        self.identities: dict[str, Identity] = {}

    def catalog(self, done: int) -> dict[Slot, set[int | None]]:
        """The versions that the catalog may name after so many steps."""
        versions = {slot: {version.number for version in several} for slot, several in self.start.items()}
        for step in self.steps[:done]:
            versions.update({slot: {version.number} for slot, version in step.changes.items()})
        return {slot: versions.get(slot, {None}) for slot in UNIVERSE}

    def newest(self, done: int, whole: Callable[[str], bool]) -> dict[Slot, Version]:
        """What each key reads as after so many steps, when of the files those are left that ``whole`` tells."""
        found = {}
        for slot in UNIVERSE:
            history = list(self.start.get(slot, (DELETED,))[-1:])
            history += [step.changes[slot] for step in self.steps[:done] if slot in step.changes]
            for version in reversed(history):
                if version.number is None:
                    break
                if all(map(whole, version.places)):
                    found[slot] = version
                    break
        return found

    def bounds(self, cut: int, calls: list[Any]) -> tuple[int, int]:
        """How many steps at least are on disk at a cut, and how many at most were begun."""
        syncs = [
            number
            for number, call in enumerate(calls[:cut])
            if call.layer == "sqlite" and call.verb == "sync" and call.path.endswith("-wal")
        ]
        last = syncs[-1] if syncs else -1
        least = 0
        for number, step in enumerate(self.steps, 1):
            if step.ended <= last or (step.power and step.ended <= cut):
                least = number
        return least, sum(step.started < cut for step in self.steps)


class Workload:
    """Random writes of all kinds by one thread; each acknowledged one is a step of its timeline."""

    def __init__(self, store: Store, folder: str, recorder: Recorder, timeline: Timeline, random: Random) -> None:
        self.store = store
        self.folder = folder
        self.random = random
        self.timeline = timeline
        self._recorder = recorder
        self._now: dict[Slot, Any] = {}
        self._power = store.config.durability == "power"  # then all that is acknowledged is on disk
        self._number = random.randrange(1 << 40)

    def begin(self, values: Mapping[Slot, Any]) -> None:
        """What is there already."""
        self._now = dict(values)

    def run(self, steps: int) -> None:
        """Do so many things."""
        kinds: list[tuple[int, Callable[[], None]]] = [
            (60, self._put), (10, self._delete), (8, self._transaction), (6, self._copy), (6, self._move),
            (5, self._stream), (3, self._add), (4, self._tags), (1, self._drop), (5, self._sync), (4, self._collect),
        ]  # fmt: skip
        choices = [kind for weight, kind in kinds for _ in range(weight)]
        for _ in range(steps):
            self.random.choice(choices)()

    # --- one commit -----------------------------------------------------------------------------------------------

    def _step(self, power: bool, work: Callable[[], dict[Slot, tuple[Record | None, Any]]]) -> None:
        started = len(self._recorder)
        done = work()
        changes = {slot: self._version(record, value) for slot, (record, value) in done.items()}
        kind = work.__qualname__.split(".")[1].strip("_")
        self.timeline.steps.append(Step(kind, started, len(self._recorder), power, changes))
        for slot, version in changes.items():
            self._now[slot] = version.value
            if version.number is None:
                del self._now[slot]

    def _version(self, record: Record | None, value: Any) -> Version:
        if record is None:
            return DELETED
        contents = self.store.scope(record.scope).contents(record.key).values()
        places = [content.storage_config for content in contents if content.storage is not None]
        for place in places:
            if place not in self.timeline.contents:
                path = os.path.join(self.folder, "files", place)
                with open(path, "rb") as file:
                    self.timeline.contents[place] = file.read()
                found = os.stat(path)
                self.timeline.identities[place] = Identity(
                    found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
                )
        return Version(record.version, normal(value), tuple(places))

    def _scope(self, slot: Slot, root: Any = None) -> holdfast.Scope:
        scope: holdfast.Scope = (self.store if root is None else root).scope(slot[0])
        return scope

    def _slot(self, there: bool = False) -> Slot | None:
        if there:
            return self.random.choice(sorted(self._now)) if self._now else None
        return self.random.choice(UNIVERSE)

    def _value(self) -> Any:
        self._number += 1
        kind = self.random.random()
        if kind < 0.1 and self._now:  # equal bytes, whose file is shared
            return natural(self._now[self.random.choice(sorted(self._now))])
        if kind < 0.4:
            return {"n": self._number, "text": "x" * self.random.randrange(INLINE // 2)}
        if kind < 0.5:
            return np.arange(9_000, dtype=np.int64) + self._number  # out of band, read back as a map
        if kind < 0.62:
            return Pair.of(self._number)
        size = 140_000 if kind < 0.65 else self.random.randrange(INLINE, 6000)  # the larger ones are preallocated
        return self._number.to_bytes(8, "big") * (size // 8 + 1)

    # --- kinds of steps ---------------------------------------------------------------------------------------------

    def _put(self) -> None:
        slot, value = self._slot(), self._value()
        assert slot is not None
        power = self._power or self.random.random() < 0.15
        durability = "power" if power else "process"
        self._step(power, lambda: {slot: (self._scope(slot).put(slot[1], value, durability=durability), value)})

    def _stream(self) -> None:
        slot, value = self._slot(), self.random.randbytes(self.random.choice((500, 5000, 200_000)))
        assert slot is not None

        def work() -> dict[Slot, tuple[Record | None, Any]]:
            with self._scope(slot).open(slot[1], "wb") as file:
                for start in range(0, len(value), 1999):
                    file.write(value[start : start + 1999])
            return {slot: (self._scope(slot).record(slot[1]), value)}

        self._step(self._power, work)

    def _transaction(self) -> None:
        slots = self.random.sample(UNIVERSE, 3)
        values = [self._value() for _ in slots]

        def work() -> dict[Slot, tuple[Record | None, Any]]:
            with (atomic := self.store.transaction()) as inside:
                for slot, value in zip(slots, values, strict=True):
                    self._scope(slot, inside).put(slot[1], value)
            return dict(zip(slots, zip(atomic.records, values, strict=True), strict=True))

        self._step(self._power, work)

    def _sync(self) -> None:
        self.store.sync()

    def _collect(self) -> None:
        self.store.gc()

    def _delete(self) -> None:
        slot = self._slot(there=True)
        if slot is not None:

            def work() -> dict[Slot, tuple[Record | None, Any]]:
                self._scope(slot).delete(slot[1])
                return {slot: (None, None)}

            self._step(self._power, work)

    def _add(self) -> None:
        slot = self._slot()
        if slot is None or type(self._now.get(slot, 0)) is not int:
            return

        def work() -> dict[Slot, tuple[Record | None, Any]]:
            entry = self._scope(slot).add(slot[1], 3)
            return {slot: (entry.record, entry.value)}

        self._step(self._power, work)

    def _copy(self) -> None:
        source, target = self._slot(there=True), self._slot()
        if source is None or target is None or source == target:
            return

        def work() -> dict[Slot, tuple[Record | None, Any]]:
            record = self._scope(source).copy(source[1], target[1], to=self._scope(target), replace=True)
            return {target: (record, self._now[source])}

        self._step(self._power, work)

    def _move(self) -> None:
        source, target = self._slot(there=True), self._slot()
        if source is None or target is None or source == target:
            return

        def work() -> dict[Slot, tuple[Record | None, Any]]:
            record = self._scope(source).rename(source[1], target[1], to=self._scope(target), replace=True)
            return {target: (record, self._now[source]), source: (None, None)}

        self._step(self._power, work)

    def _tags(self) -> None:
        slot = self._slot(there=True)
        if slot is not None:
            tags = {"a": str(self._number)}
            self._step(self._power, lambda: {slot: (self._scope(slot).set_tags(slot[1], tags), self._now[slot])})

    def _drop(self) -> None:
        scope = self.random.choice(SCOPES)
        slots = [slot for slot in self._now if slot[0] == scope]

        def work() -> dict[Slot, tuple[Record | None, Any]]:
            self.store.scope(scope).drop(missing_ok=True)
            return dict.fromkeys(slots, (None, None))

        self._step(self._power, work)


def paths() -> Iterator[tuple[str, Path]]:
    """The scopes of the universe as the catalog takes them."""
    for scope in SCOPES:
        yield scope, parse_path(scope)
