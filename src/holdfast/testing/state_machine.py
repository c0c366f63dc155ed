"""A store against a plain dict, by Hypothesis: any order of verbs, and both must show the same.

A backend's author runs it over a function that opens his store, and opens it again after it was closed::

    class TestMyBackend(StoreSuite):
        def opener(self, folder):
            return holdfast.open(folder)

or, with settings of his own, ``check_store(open_store)``. Whatever the verbs: a value that was put is what is read,
at every key and in every listing; what failed changed nothing; collecting garbage and closing and opening again
change nothing that is seen; and the versions of a key only grow, for ever, through delete, drop, rename and
re-creation of its scope.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from ..address import Path
from ..api import Scope, Store
from ..errors import ConflictError, ExistsError, InvalidArgumentError, NotFoundError, ScopeDroppedError
from ..storable.simple import StorableValue

__all__ = ["Opener", "StoreMachine", "StoreSuite", "check_store"]

Opener = Callable[[str], Store]
"""Opens the store in a folder, making it at the first time, and as it was left afterwards."""

_PAST, _FUTURE = timedelta(seconds=-1), timedelta(days=1)
_LARGE = 70_000  # bytes of a value that is kept in a storage, not in the catalog
_KEYS = st.sampled_from(["a", "a/b", "ab", "a:b%", "é😀"])
_X: Path = (("namespace", "x"),)
_Y: Path = (("namespace", "y"),)
_PATHS = st.sampled_from([_X, _Y, (*_X, ("workflow", "a/b")), (*_Y, ("workflow", "c"))])
# By name, so that the steps of a failure are readable. Few different large ones, so that equal bytes meet.
_VALUES: dict[str, Any] = {
    **{str(number): number for number in range(-2, 3)},
    "most": (1 << 63) - 1,
    "big": 1 << 70,
    "none": None,
    "true": True,
    "empty": "",
    "text": "text é",
    "bytes": b"\0bytes",
    "nested": {"a": [1, (2.5, b"")]},
    "set": {1, "a"},
    **{f"large {number}": b"%d" % number * _LARGE for number in range(3)},
    **{f"object {size}": StorableValue(b"o" * size) for size in (5, _LARGE)},
    "large text": "y" * _LARGE,
    "large nested": {"nested": ["x" * _LARGE]},
}
_NAMES = st.sampled_from(sorted(_VALUES))
# Which key a verb is about: mostly one that is there, else any.
_PLACES = st.tuples(st.integers(0, 9), _PATHS, _KEYS)
_TAGS = st.dictionaries(st.sampled_from(["stage", "é"]), st.sampled_from(["1", "2"]), max_size=2)
_EXPIRES = st.sampled_from([None, None, None, _FUTURE, _PAST])
_ORDERS = st.sampled_from(["key", "-key", "created", "-created", "updated", "-updated", "size", "-version", "version"])
_WANTED = st.sampled_from([{}, {}, {"stage": "1"}, {"stage": "1", "é": "2"}])
_STARTS = st.sampled_from(["", "", "a/"])
_PREFIXES = st.sampled_from(["", "", "a", "a/", "é"])


class _Known(NamedTuple):
    """What the model knows of a key."""

    value: Any
    tags: dict[str, str]
    expires: timedelta | None
    content_type: str | None = None
    """The one that was given; None for the serializer's own."""


_Model = dict[Path, dict[str, _Known]]
_Place = tuple[int, Path, str]


class StoreMachine(RuleBasedStateMachine):
    """The verbs as rules. Give it an ``opener`` by :func:`check_store`, or in a subclass."""

    opener: Opener

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp(prefix="holdfast-model-")
        self.model: _Model = {}
        self.versions: dict[tuple[Path, str], int] = {}
        self.seen: dict[tuple[Path, str], tuple[int, _Known]] = {}

    @initialize()
    def begin(self) -> None:
        """Open an empty store."""
        self.store = type(self).opener(self.folder)

    def teardown(self) -> None:
        """Close, and remove the folder."""
        if hasattr(self, "store"):
            self.store.close()
        shutil.rmtree(self.folder)

    # --- the model ----------------------------------------------------------------------------------------------------

    def scope(self, path: Path) -> Scope:
        """The store's scope of a path."""
        scope: Any = self.store
        for kind, name in path:
            scope = scope.scope(kind, name)
        found: Scope = scope
        return found

    def at(self, place: _Place) -> tuple[Path, str]:
        """Scope and key of a drawn place."""
        number, path, key = place
        there = [(path, key) for path, keys in self.model.items() if path[-1][0] != "artifact" for key in keys]
        return there[number % len(there)] if there and number < 8 else (path, key)

    def known(self, path: Path, key: str) -> _Known | None:
        """What is visible under a key."""
        return self.model.get(path, {}).get(key)

    def wrote(self, path: Path, key: str, known: _Known | None, version: int) -> None:
        """Note a write that the store has acknowledged with this version."""
        before = self.versions.get((path, key), 0)
        assert version > before, f"{path} {key}: version {version} after {before}"
        self.versions[path, key] = version
        self._made(path)
        self.model[path].pop(key, None)
        if known is not None and known.expires != _PAST:
            self.model[path][key] = known
        else:
            self.gone(path, key)

    def gone(self, path: Path, key: str) -> None:
        """What was deleted, or has expired, is hidden from every verb at once."""
        scope = self.scope(path)
        assert scope.get(key, "gone") == "gone"
        assert not scope.exists(key)
        assert scope.get_many([key]) == {}
        for read in (scope.entry, scope.record, scope.get_bytes):
            with pytest.raises(NotFoundError):
                read(key)

    def _made(self, path: Path) -> None:
        for depth in range(1, len(path) + 1):
            self.model.setdefault(path[:depth], {})

    def below(self, path: Path) -> list[Path]:
        """The scopes at and below a path."""
        return [other for other in self.model if other[: len(path)] == path]

    # --- one key ------------------------------------------------------------------------------------------------------

    @rule(place=_PLACES, name=_NAMES, tags=_TAGS, expires=_EXPIRES, power=st.booleans())
    def put(self, place: _Place, name: str, tags: dict[str, str], expires: Any, power: bool) -> None:
        """A put with options."""
        path, key = self.at(place)
        value = _VALUES[name]
        options: dict[str, Any] = {"durability": "power"} if power else {}
        record = self.scope(path).put(key, value, tags=tags, expires=expires, **options)
        assert (record.tags, record.expires is None) == (tags, expires is None)
        assert not power or record.durability in ("power", "session")
        self.wrote(path, key, _Known(value, tags, expires), record.version)

    @rule(place=_PLACES, name=_NAMES)
    def put_plainly(self, place: _Place, name: str) -> None:
        """A put without any."""
        path, key = self.at(place)
        value = _VALUES[name]
        self.wrote(path, key, _Known(value, {}, None), self.scope(path).put(key, value).version)

    @rule(place=_PLACES, name=_NAMES, right=st.booleans(), absent=st.booleans())
    def put_if(self, place: _Place, name: str, right: bool, absent: bool) -> None:
        """A put under a condition that holds or not."""
        path, key = self.at(place)
        value = _VALUES[name]
        scope, there = self.scope(path), self.known(path, key)
        version = scope.record(key).version if there is not None else 0
        if absent:
            options: dict[str, Any] = {"if_absent": True}
            right = there is None
        else:
            options = {"if_version": version if right else version + 1}
        if right:
            self.wrote(path, key, _Known(value, {}, None), scope.put(key, value, **options).version)
        else:
            with pytest.raises(ExistsError if absent else ConflictError):
                scope.put(key, value, **options)

    @rule(place=_PLACES, size=st.sampled_from([0, 5, _LARGE]), text=st.booleans())
    def stream(self, place: _Place, size: int, text: bool) -> None:
        """A file, written in two pieces."""
        path, key = self.at(place)
        piece: Any = "s" * size if text else b"s" * size
        file: Any = self.scope(path).open(key, "w" if text else "wb")
        with file:
            file.write(piece)
            file.write(piece)
        kind = "text/plain; charset=utf-8" if text else None
        self.wrote(path, key, _Known(b"s" * size * 2, {}, None, kind), file.record.version)

    @rule(place=_PLACES, drop=st.booleans())
    def stream_that_fails(self, place: _Place, drop: bool) -> None:
        """A stream that breaks off, or whose scope is dropped meanwhile: nothing of it stays."""
        path, key = self.at(place)
        existed = path in self.model

        def pieces() -> Any:
            yield b"f" * _LARGE
            if not drop:
                raise RuntimeError("the source broke")
            if existed:
                self.drop(path)
            yield b"f" * _LARGE

        if drop and not existed:
            record = self.scope(path).put_chunks(key, pieces())
            self.wrote(path, key, _Known(b"f" * _LARGE * 2, {}, None), record.version)
            return
        with pytest.raises(ScopeDroppedError if drop else RuntimeError):
            self.scope(path).put_chunks(key, pieces())

    @rule(place=_PLACES, conditional=st.booleans())
    def delete(self, place: _Place, conditional: bool) -> None:
        """A delete, with a condition or without."""
        path, key = self.at(place)
        scope = self.scope(path)
        if self.known(path, key) is None:
            with pytest.raises(NotFoundError):
                scope.delete(key)
            assert scope.delete(key, missing_ok=True) is None
            return
        version = scope.record(key).version
        with pytest.raises(ConflictError):
            scope.delete(key, if_version=version + 1)
        removed = scope.delete(key, if_version=version if conditional else None)
        assert removed is not None
        assert removed.version == version
        del self.model[path][key]
        self.gone(path, key)

    @rule(place=_PLACES, name=_NAMES, default=st.booleans())
    def update(self, place: _Place, name: str, default: bool) -> None:
        """A value replaced by a function of it."""
        path, key = self.at(place)
        value = _VALUES[name]
        there, scope = self.known(path, key), self.scope(path)
        if there is None and not default:
            with pytest.raises(NotFoundError):
                scope.update(key, lambda old: value)
            return
        given: list[Any] = []

        def change(old: Any) -> Any:
            given.append(old)
            return value

        entry = scope.update(key, change, default="default")
        assert given == ["default" if there is None else there.value]
        tags, expires = ({}, None) if there is None else (there.tags, there.expires)
        self.wrote(path, key, _Known(value, tags, expires), entry.version)

    @rule(place=_PLACES, amount=st.integers(-5, 5))
    def add(self, place: _Place, amount: int) -> None:
        """An integer added to, or something that is none."""
        path, key = self.at(place)
        there, scope = self.known(path, key), self.scope(path)
        value, tags, expires, content_type = _Known(0, {}, None) if there is None else there
        integer = type(value) is int and -(1 << 63) <= value < 1 << 63
        if not integer or not -(1 << 63) <= value + amount < 1 << 63 or content_type:
            with pytest.raises(InvalidArgumentError):
                scope.add(key, amount)
            return
        entry = scope.add(key, amount)
        assert entry.value == value + amount
        self.wrote(path, key, _Known(value + amount, tags, expires), entry.version)

    @rule(place=_PLACES, expires=_EXPIRES, tags=_TAGS, what=st.sampled_from(["touch", "tags", "type"]))
    def edit(self, place: _Place, expires: Any, tags: dict[str, str], what: str) -> None:
        """Expiry, tags or content type alone."""
        path, key = self.at(place)
        there, scope = self.known(path, key), self.scope(path)
        verbs: dict[str, Callable[[], Any]] = {
            "touch": lambda: scope.touch(key, expires),
            "tags": lambda: scope.set_tags(key, tags),
            "type": lambda: scope.set_content_type(key, "x/y"),
        }
        if there is None:
            with pytest.raises(NotFoundError):
                verbs[what]()
            return
        edited = {
            "touch": there._replace(expires=expires),
            "tags": there._replace(tags=tags),
            "type": there._replace(content_type="x/y"),
        }
        self.wrote(path, key, edited[what], verbs[what]().version)

    @rule(place=_PLACES, other=_PLACES, replace=st.booleans(), move=st.booleans())
    def copy_or_rename(self, place: _Place, other: _Place, replace: bool, move: bool) -> None:
        """The same bytes under another key."""
        (path, key), (to, new) = self.at(place), self.at(other)
        scope, target = self.scope(path), self.scope(to)
        verb = scope.rename if move else scope.copy
        there = self.known(path, key)
        expected: type[Exception] | None = None
        if (path, key) == (to, new):
            expected = InvalidArgumentError
        elif there is None:
            expected = NotFoundError
        elif not replace and self.known(to, new) is not None:
            expected = ExistsError
        if expected is not None:
            with pytest.raises(expected):
                verb(key, new, to=target, replace=replace)
            return
        record = verb(key, new, to=target, replace=replace)
        assert (record.path, record.key) == (to, new)
        self.wrote(to, new, there, record.version)
        if move:
            del self.model[path][key]

    # --- several keys -------------------------------------------------------------------------------------------------

    @rule(path=_PATHS, names=st.dictionaries(_KEYS, _NAMES, max_size=4), absent=st.booleans())
    def put_many(self, path: Path, names: dict[str, str], absent: bool) -> None:
        """Several puts in one commit."""
        values = {key: _VALUES[name] for key, name in names.items()}
        scope = self.scope(path)
        if absent and any(self.known(path, key) is not None for key in values):
            with pytest.raises(ExistsError):
                scope.put_many(values, if_absent=True)
            return
        records = scope.put_many(values, if_absent=absent)
        assert [record.key for record in records] == list(values)
        for record in records:
            self.wrote(path, record.key, _Known(values[record.key], {}, None), record.version)

    @rule(
        steps=st.lists(st.tuples(_PLACES, st.sampled_from(["put", "delete", "add", "copy"]), _NAMES), max_size=6),
        end=st.sampled_from(["commit", "roll back", "conflict"]),
        rival=_PLACES,
    )
    def transaction(self, steps: list[Any], end: str, rival: _Place) -> None:
        """Several verbs in one commit, which is made, given up, or comes too late."""
        before = {path: dict(keys) for path, keys in self.model.items()}
        atomic = self.store.transaction()
        inside = atomic.__enter__()
        written: list[tuple[Path, str]] = []
        if end == "conflict":
            path, key = self.at(rival)
            self._inside(inside, path).get(key, None)
        for place, what, name in steps:
            path, key = self.at(place)
            self._step(self._inside(inside, path), before, written, path, key, what, _VALUES[name])
        if end == "conflict":
            path, key = self.at(rival)
            self.wrote(path, key, _Known("rival", {}, None), self.scope(path).put(key, "rival").version)
        if end == "roll back":
            atomic.__exit__(RuntimeError, RuntimeError("roll back"), None)
        elif end == "conflict":
            with pytest.raises((ConflictError, NotFoundError)):
                atomic.__exit__(None, None, None)
        else:
            atomic.__exit__(None, None, None)
            for path, key in dict.fromkeys(written):
                known = before.get(path, {}).get(key)
                self._made(path)
                if known is not None:
                    self.wrote(path, key, known, self.scope(path).record(key).version)
                else:
                    self.model[path].pop(key, None)

    @staticmethod
    def _inside(inside: Any, path: Path) -> Any:
        for kind, name in path:
            inside = inside.scope(kind, name)
        return inside

    def _step(self, scope: Any, model: _Model, written: list[Any], path: Path, key: str, what: str, value: Any) -> None:
        """One verb inside a transaction, of which the model so far is ``model``."""
        keys = model.setdefault(path, {})
        first, there = key, keys.get(key)
        assert scope.get(key, "missing") == ("missing" if there is None else there.value)
        if what == "put":
            scope.put(key, value)
            keys[key] = _Known(value, {}, None)
        elif what == "delete":
            if there is None:
                with pytest.raises(NotFoundError):
                    scope.delete(key)
                return
            scope.delete(key)
            del keys[key]
        elif what == "add":
            scope.put(key, 5)
            assert scope.add(key, 2).value == 7
            keys[key] = _Known(7, {}, None)
        elif there is None:
            with pytest.raises(NotFoundError):
                scope.copy(key, "other", replace=True)
            return
        else:
            key = "ab" if key == "a" else "a"
            scope.copy(first, key, replace=True)
            keys[key] = there
        assert list(scope.keys()) == sorted(keys, key=str.encode)
        written.append((path, key))

    # --- scopes and artifacts -----------------------------------------------------------------------------------------

    @rule(path=_PATHS, number=st.integers(0, 3), fresh=st.booleans())
    def create(self, path: Path, number: int, fresh: bool) -> None:
        """A scope made by itself."""
        scope = self.scope(path)
        if fresh and path in self.model:
            with pytest.raises(ExistsError):
                scope.create(exist_ok=False)
            return
        scope.create({"number": number}, exist_ok=not fresh)
        assert scope.info().properties == {"number": number}
        self._made(path)

    @rule(path=_PATHS)
    def drop(self, path: Path) -> None:
        """A scope dropped with all below it."""
        if path not in self.model:
            with pytest.raises(NotFoundError):
                self.scope(path).drop()
            return
        self.scope(path).drop()
        for below in self.below(path):
            del self.model[below]
        assert self.scope(path).was_dropped

    @rule(path=_PATHS, other=_PATHS)
    def rename_scope(self, path: Path, other: Path) -> None:
        """A scope renamed with all below it."""
        target = (*path[:-1], (path[-1][0], other[-1][1]))
        scope = self.scope(path)
        if path not in self.model:
            with pytest.raises(NotFoundError):
                scope.rename_scope(target[-1][1])
        elif target == path:
            assert scope.rename_scope(target[-1][1]) == scope
        elif target in self.model:
            with pytest.raises(ExistsError):
                scope.rename_scope(target[-1][1])
        else:
            assert scope.rename_scope(target[-1][1]).path == target
            for below in self.below(path):
                moved = (*target, *below[len(path) :])
                self.model[moved] = self.model.pop(below)
                for key in self.model[moved]:
                    self.seen.pop((moved, key), None)
                    version = self.scope(moved).record(key).version
                    assert version > self.versions.get((moved, key), 0), "the path's version went back"

    @rule(path=_PATHS, name=st.sampled_from(["run", "é"]), value=st.integers(0, 5), large=st.booleans())
    def artifact(self, path: Path, name: str, value: int, large: bool) -> None:
        """Files and metadata of an artifact, in one commit."""
        artifact = self.scope(path).artifact(name)
        inner = artifact.scope.path
        data = b"w" * (_LARGE if large else 3)
        with artifact.transaction() as inside:
            inside.write("file", data)
            inside.metadata["value"] = value
            assert dict(inside.metadata)["value"] == value
        for key, written in (("file", data), (".artifact.json", {"value": value})):
            self.wrote(inner, key, _Known(written, {}, None), artifact.scope.record(key).version)
        assert list(artifact) == ["file"]

    # --- life ---------------------------------------------------------------------------------------------------------

    @rule()
    def collect(self) -> None:
        """Garbage collected; nothing is left to collect then."""
        self.store.gc()
        self.seen.clear()  # what was read before is read again: it must be there still
        again = self.store.gc(dry_run=True)
        assert (again.records, again.blobs, again.size) == (0, 0, 0)

    @rule()
    def sync(self) -> None:
        """All put on disk."""
        self.store.sync()

    @rule()
    def open_again(self) -> None:
        """The store closed and opened again."""
        self.store.close()
        self.store = type(self).opener(self.folder)
        self.seen.clear()

    # --- what both must show ------------------------------------------------------------------------------------------

    @rule(place=_PLACES, prefix=_PREFIXES, tags=_WANTED, order=_ORDERS, start=_STARTS, cut=st.integers(0, 3))
    def list_part(self, place: _Place, prefix: str, tags: dict[str, str], order: str, start: str, cut: int) -> None:
        """Lists and keys by prefix, range, tags and order, in pieces."""
        path, _ = self.at(place)
        scope = self.scope(path)
        known = self.model.get(path, {})
        keys = [key for key in known if key.startswith(prefix) and key.encode() >= start.encode()]
        wanted = [key for key in keys if all(known[key].tags.get(name) == value for name, value in tags.items())]
        found = list(scope.list(prefix, tags=tags, order=order, start=start))
        assert sorted(record.key for record in found) == sorted(wanted)
        column = order.removeprefix("-")
        values = [record.key.encode() if column == "key" else getattr(record, column) for record in found]
        assert values == sorted(values, reverse=order != column)
        begin = scope.list(prefix, tags=tags, order=order, start=start, limit=cut)
        assert _names(begin) == _names(found[:cut])
        if 0 < cut <= len(found):
            rest = scope.list(prefix, tags=tags, order=order, start=start, after=found[cut - 1])
            assert _names(rest) == _names(found[cut:])
        before = sorted((key for key in keys if key.encode() < b"ab"), key=str.encode)
        assert list(scope.keys(prefix, start=start, end="ab")) == before

    @invariant()
    def the_same_is_seen(self) -> None:
        """After each step: the tree, the keys, the records and the values are those of the model."""
        if not hasattr(self, "store"):
            return
        assert self._tree() == set(self.model)
        for path, keys in self.model.items():
            scope = self.scope(path)
            assert list(scope) == sorted(keys, key=str.encode)
            for record in scope.list():
                self._look(scope, path, record, keys[record.key])
        values = {key: known.value for key, known in self.model.get(_X, {}).items()}
        assert self.store.namespace("x").get_many(["missing", *values]) == values

    def _look(self, scope: Scope, path: Path, record: Any, known: _Known) -> None:
        key = record.key
        assert record.tags == known.tags
        assert (record.expires is None) == (known.expires is None)
        assert known.content_type in (None, record.content_type)
        assert record.version >= self.versions.get((path, key), 0), "the version went back"
        if self.seen.get((path, key)) == (record.version, known):
            return  # read before, and nothing was written since: reading all at each step would take too long
        entry = scope.entry(key)
        for found in (entry.value, scope.get(key), scope.get(key, verify=True)):
            assert found == known.value
            assert type(found) is type(known.value)
        for same in (entry.record, scope.record(key)):
            assert (same.version, same.tags, same.expires) == (record.version, record.tags, record.expires)
            assert (same.created, same.updated, same.size) == (record.created, record.updated, record.size)
        assert scope.exists(key)
        for name in record.contents:
            assert b"".join(scope.get_chunks(key, content=name)) == scope.get_bytes(key, content=name)
        self.versions[path, key] = record.version
        self.seen[path, key] = (record.version, known)

    def _tree(self) -> set[Path]:
        found: set[Path] = set()
        waiting: list[Any] = [self.store]
        while waiting:
            for child in waiting.pop().children():
                found.add(child.path)
                waiting.append(child)
        return found


def _names(records: Iterable[Any]) -> list[tuple[str, int]]:
    return [(record.key, record.version) for record in records]


def check_store(opener: Opener, **options: Any) -> None:
    """Run the machine over stores of ``opener``; ``options`` are Hypothesis' settings.

    Raises:
        AssertionError: the store showed something else than the model, with the steps that lead there.
    """
    machine = type("StoreMachine", (StoreMachine,), {"opener": staticmethod(opener)})
    chosen: dict[str, Any] = {
        "max_examples": 60,
        "stateful_step_count": 30,
        "deadline": None,
        "suppress_health_check": list(HealthCheck),
        **options,
    }
    run_state_machine_as_test(machine, settings=settings(**chosen))


class StoreSuite:
    """To inherit: give :meth:`opener`."""

    def opener(self, folder: str) -> Store:
        """Open the store in a folder: new at the first time, then as it was left."""
        raise NotImplementedError("a subclass of StoreSuite gives opener(folder): the store in it, opened")

    def test_the_store_behaves_as_a_dict(self) -> None:
        check_store(self.opener)
