"""What cannot be stored or read says which class, field and component it is about, and nothing is stored or run."""

from __future__ import annotations

import asyncio
import gc
import json
import sqlite3
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast import Storable, StorableDataclass, Unpacker
from holdfast.errors import (
    DecodeError,
    EncodeError,
    IntegrityError,
    InvalidArgumentError,
    NotRegisteredError,
    SignatureError,
    ValueLost,
)
from holdfast.storages.memory import MemoryStorage

from ..storages.authors import FileStorage
from .conftest import ARCHIVE, Open
from .samples import ROWS, Leaf, Odd, Run, run

HERE = r"tests\.storable\.test_bad_input\."


@dataclass
class Nameless(StorableDataclass):
    """It has no id."""

    value: int = 0


@dataclass
class Asking(StorableDataclass, class_id="b0000001"):
    """Its fields ask for what is not there."""

    good: Any = None
    serialized: Any = field(default=None, metadata={"serializer": "my.table@v1"})
    stored: Any = field(default=None, metadata={"storage": "my.shelf@v1"})
    streamed: Any = field(default=None, metadata={"stream_serializer": "my.rows@v1"})
    whole: Any = field(default=None, metadata={"serializer": "holdfast.json@v1"})
    lines: Any = field(default=None, metadata={"stream_serializer": "holdfast.json-lines@v1"})
    odd: Any = field(default=None, metadata={"storage": 5})
    far: Any = field(default=None, metadata={"storage": "holdfast.objectstore@v1"})


class Plain(StorableDataclass, class_id="b0000002"):
    """It is no dataclass."""


def broken() -> Iterator[dict[str, int]]:
    """A stream that fails half-way."""
    yield {"n": 1}
    raise ZeroDivisionError("half-way")


CANNOT = {
    "a class without an id": (Nameless(), InvalidArgumentError, HERE + "Nameless cannot be stored: give it a class id"),
    "no dataclass": (Plain(), InvalidArgumentError, HERE + r"Plain is no dataclass: decorate it by @dataclass"),
    "an unknown serializer": (
        Asking(serialized=1), NotRegisteredError, HERE + r"Asking\.serialized: no serializer is named 'my\.table@v1'"),
    "an unknown stream serializer": (
        Asking(streamed=iter([])), NotRegisteredError, HERE + r"Asking\.streamed: no serializer is named 'my\.rows"),
    "an unknown storage": (
        Asking(stored=1), NotRegisteredError, HERE + r"Asking\.stored: no storage is named 'my\.shelf@v1'"),
    "something that is no storage": (
        Asking(odd=1), EncodeError, HERE + r"Asking\.odd: its storage is 5: give a storage, or its registered name"),
    "a storage that does not say where it is": (
        Asking(far=1), InvalidArgumentError, HERE + r"Asking\.far: .*register an instance.*ObjectStorage\(\.\.\.\)"),
    "a value that the serializer does not take": (
        Asking(whole={1, 2}), EncodeError, HERE + r"Asking\.whole: .*set"),
    "a stream of what the serializer does not take": (
        Asking(lines=iter([{1, 2}])), EncodeError, HERE + r"Asking\.lines: .*item 1"),
    "no stream": (Asking(lines=5), EncodeError, HERE + r"Asking\.lines: a stream is an iterable, not int"),
    "a stream of mixed types": (
        holdfast.StorableStream(iter([1, "a"])), EncodeError, r"StorableStream\.item: item 2 of the stream is a str"),
    "something that is no value": (Asking(good=lambda: 1).__class__(good=open), None, ""),
    "a generator in a list": (Asking(good=[[broken()]]), ZeroDivisionError, "half-way"),
}  # fmt: skip


@pytest.mark.parametrize("what", CANNOT)
def test_what_cannot_be_stored_says_why(open_here: Open, archive: FileStorage, what: str) -> None:
    value, kind, message = CANNOT[what]
    with open_here() as store:
        scope = store.namespace("prod")
        if kind is None:
            assert scope.put("k", value).version == 1
            return
        with pytest.raises(kind, match=message):
            scope.put("k", value)
        assert not scope.exists("k")
        assert not list(archive.prefix.iterdir())
        store.gc()


def test_a_stream_that_fails_half_way_leaves_nothing(open_store: Open, archive: FileStorage) -> None:
    with open_store() as store:
        scope = store.namespace("prod")
        with pytest.raises(ZeroDivisionError):
            scope.put("run", run(lines=broken()))
        with pytest.raises(ZeroDivisionError):
            scope.put("run", holdfast.StorableStream(broken(), storage=ARCHIVE))
        assert not scope.exists("run")
        store.gc()
        assert not list(archive.prefix.iterdir())
        assert store.verify().fine


def test_a_stream_that_was_read_is_not_put_without_what_was_read(open_here: Open, archive: FileStorage) -> None:
    def count(old: Any) -> Any:
        old.speed = sum(1 for _ in old.lines)
        return old

    with open_here() as store:
        scope = store.namespace("prod")
        scope.put("run", run())
        names = sorted(archive.prefix.iterdir())
        with pytest.raises(EncodeError, match=r"Run\.lines.* was read already, and its first 5 items .* get it again"):
            scope.update("run", count)
        got = scope.get("run")
        assert next(got.lines) == {"n": 0}
        for value in (got, holdfast.StorableStream(got.lines, storage=ARCHIVE)):
            with pytest.raises(EncodeError, match="was read already, and its first 1 items"):
                scope.put("run", value)
        assert [line["n"] for line in scope.get("run").lines] == list(range(5))
        assert sorted(archive.prefix.iterdir()) == names
        got = scope.get("run")
        assert got.lines is got.lines, "a stream that was only looked at is put"
        got.frame = None
        scope.put("run", got)
        assert [line["n"] for line in scope.get("run").lines] == list(range(5))


def test_an_asynchronous_stream_that_was_read(open_here: Open) -> None:
    async def main(scope: Any) -> None:
        got = await scope.get("run")
        assert await anext(got.lines) == {"n": 0}
        with pytest.raises(EncodeError, match=r"Run\.lines.* was read already"):
            await scope.put("run", got)

    with open_here() as store:
        scope = store.namespace("prod")
        scope.put("run", run())
        asyncio.run(asyncio.wait_for(main(scope.aio), 30))
        assert len(list(scope.get("run").lines)) == 5


def test_one_iterator_for_two_fields(open_here: Open) -> None:
    one = iter([{"n": 1}])
    for value, names in (
        (Asking(good=one, lines=one), "good and lines"),
        (Asking(good=[one, {"a": one}]), "good/0 and good/1/a"),
        (Asking(good=holdfast.StorableStream(one), lines=one), "good/item and lines"),
    ):
        with open_here() as store:
            with pytest.raises(EncodeError, match=HERE + f"Asking: {names} are one iterator, which is read once"):
                store.namespace("prod").put("k", value)
            assert not store.namespace("prod").exists("k")
    assert next(one) == {"n": 1}, "it is as it was"
    lines = [{"n": 1}]
    with open_here() as store:
        store.namespace("prod").put("k", Asking(lines=lines, good=lines))
        assert list(store.namespace("prod").get("k").lines) == lines, "a list is read as often as one likes"


@dataclass
class Scaled(StorableDataclass, class_id="b0000093"):
    """It asks for what is no field."""

    value: int
    scale: InitVar[int]


@dataclass
class Optional(StorableDataclass, class_id="b0000094"):
    """It asks for what is no field, and goes on without."""

    value: int
    scale: InitVar[int] = 2
    scaled: int = field(default=0, init=False)

    def __post_init__(self, scale: int) -> None:
        self.scaled = self.value * scale


@dataclass
class Renaming(StorableDataclass, class_id="b0000095"):
    """Its constructor has another name for its field."""

    value: int

    def __init__(self, given: int) -> None:
        self.value = given


@dataclass
class Fewer(StorableDataclass, class_id="b0000096"):
    """Its constructor does not take all fields."""

    value: int
    other: int = 0

    def __init__(self, value: int) -> None:
        self.value = value


@dataclass(init=False)
class Without(StorableDataclass, class_id="b0000097"):
    """It has no constructor."""

    value: int = 1


@dataclass
class Anything(StorableDataclass, class_id="b0000098"):
    """Its constructor takes anything."""

    value: int
    other: int = 0

    def __init__(self, value: int, **more: Any) -> None:
        self.value, self.other = value, more.get("other", 0)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Scaled(value=1, scale=2), r"Scaled could not be made again .*: missing a required argument: 'scale'"),
        (Renaming(1), r"Renaming could not be made again .*: (missing a required argument: 'given'|.*'value')"),
        (Fewer(1), r"Fewer could not be made again .*: got an unexpected keyword argument 'other'"),
        (Without(), r"Without could not be made again .*: got an unexpected keyword argument 'value'"),
    ],
    ids=lambda part: "" if isinstance(part, str) else type(part).__name__,
)
def test_a_constructor_that_could_not_make_it_again(open_here: Open, value: Any, message: str) -> None:
    with open_here() as store:
        scope = store.namespace("prod")
        for thing in (value, Asking(good=[value]), value):
            with pytest.raises(EncodeError, match=HERE + message):
                scope.put("k", thing)
        assert not scope.exists("k")


def test_constructors_that_make_it_again(open_here: Open) -> None:
    with open_here() as store:
        scope = store.namespace("prod")
        scope.put("k", Optional(value=3, scale=7))
        assert (scope.get("k").value, scope.get("k").scaled) == (3, 6), "what is no field has its default"
        scope.put("k", Anything(3, other=4))
        assert (scope.get("k").value, scope.get("k").other) == (3, 4)


def test_an_object_that_holds_itself(open_here: Open) -> None:
    leaf = Leaf(name="a")
    leaf.array = [leaf]
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with open_here() as store:
        with pytest.raises(EncodeError, match=r"samples\.Leaf holds itself, by array/0"):
            store.namespace("prod").put("leaf", leaf)
        with pytest.raises(EncodeError, match=r"samples\.Leaf is nested too deeply, or holds itself"):
            store.namespace("prod").put("leaf", Leaf(name="b", array=deep))


# --- unpackers that give nonsense -------------------------------------------------------------------------------------

GIVEN: dict[str, tuple[Any, str]] = {
    "no mapping": (5, r"Bad: tests\.bad@v1 must give contents by name, not 5"),
    "a list": ([("a", 1)], "must give contents by name"),
    "a name that is none": ({5: {"value": 1}}, r"Bad\.5: tests\.bad@v1 must give a mapping by name for each content"),
    "an empty name": ({"": {"value": 1}}, "must give a mapping by name for each content"),
    "no content": ({"a": 1}, r"Bad\.a: tests\.bad@v1 must give a mapping by name for each content, not 1"),
    "no value": ({"a": {"serializer": None}}, r"Bad\.a: .* must give one of value and value_stream.*, not serializer"),
    "nothing": ({"a": {}}, r"Bad\.a: .* not nothing"),
    "both": ({"a": {"value": 1, "value_stream": []}}, "must give one of value and value_stream"),
    "more": ({"a": {"value": 1, "colour": 2}}, "must give one of value and value_stream"),
    "a storable": ({"a": {"value": Leaf(name="x")}}, r"Bad\.a: it is a .*Leaf, which has contents of its own"),
    "a storage for a serializer": ({"a": {"value": 1, "serializer": 5}}, r"Bad\.a: its serializer is 5"),
    "a serializer of streams": (
        {"a": {"value": 1, "serializer": "holdfast.json-lines@v1"}}, r"Bad\.a: the serializer .* is of streams"),
    "a serializer of values": (
        {"a": {"value_stream": [1], "serializer": "holdfast.json@v1"}}, r"Bad\.a: the serializer .* is of whole"),
}  # fmt: skip


class BadUnpacker(Unpacker):
    """It gives what it is told to."""

    name = "tests.bad@v1"
    gives: Any = None
    makes: Any = None

    def unpack_object(self, obj: Any, registry: Any, /) -> Any:
        return self.gives

    def repack_object(self, cls: Any, contents: Any, registry: Any, /) -> Any:
        return self.makes(cls, contents)


BAD = BadUnpacker()


class Bad(Storable, class_id="b0000003", unpacker=BAD):
    """Its unpacker is bad."""


@pytest.mark.parametrize("what", GIVEN)
def test_an_unpacker_that_gives_nonsense(open_here: Open, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    gives, message = GIVEN[what]
    monkeypatch.setattr(BAD, "gives", gives)
    with open_here() as store:
        with pytest.raises((EncodeError, NotRegisteredError), match=message):
            store.namespace("prod").put("bad", Bad())
        assert not store.namespace("prod").exists("bad")


@pytest.mark.parametrize(
    ("makes", "message"),
    [
        (lambda cls, contents: 5, r"namespace:prod/bad: tests\.bad@v1 gave a builtins\.int for a .*Bad"),
        (
            lambda cls, contents: contents["none"],
            r"tests\.bad@v1 cannot make a .*Bad of its contents: KeyError\('none'\)",
        ),
        (lambda cls, contents: contents["a"]["b"], r"cannot make a .*Bad of its contents: KeyError\('b'\)"),
    ],
)
def test_an_unpacker_that_makes_nonsense(
    open_here: Open, monkeypatch: pytest.MonkeyPatch, makes: Any, message: str
) -> None:
    monkeypatch.setattr(BAD, "gives", {"a": {"value": 1}})
    monkeypatch.setattr(BAD, "makes", staticmethod(makes))
    with open_here() as store:
        store.namespace("prod").put("bad", Bad())
        with pytest.raises(DecodeError, match=message):
            store.namespace("prod").get("bad")


# --- what is not registered where it is read --------------------------------------------------------------------------


def test_a_class_that_is_not_defined_is_named_as_it_was(open_here: Open) -> None:
    kind = type("Passing", (Storable,), {}, class_id="b0000004", unpacker=BAD)
    BAD.gives = {"a": {"value": 1}}
    with open_here() as store:
        store.namespace("prod").put("passing", kind())
        del kind
        gc.collect()
        with pytest.raises(
            NotRegisteredError,
            match=r"prod/passing, a .*Passing: no storable class that is known here has the id 'b0000004000",
        ):
            store.namespace("prod").get("passing")


def test_a_storage_that_is_not_registered_any_more(open_here: Open) -> None:
    with open_here() as store:
        store.namespace("prod").put("run", run())
    with open_here(registry=holdfast.Registry()) as store:
        scope = store.namespace("prod")
        assert scope.contents("run")["table"].storage == ARCHIVE
        with pytest.raises(NotRegisteredError, match=r"run \[.*Run\.table\]: no storage is named 'authors\.file@v1'"):
            scope.get("run").table  # noqa: B018
        assert scope.get("run").speed == 2.5, "what is elsewhere can be read"


# --- lost, altered and unsigned ---------------------------------------------------------------------------------------


def test_a_lost_content_is_named(open_here: Open, archive: FileStorage) -> None:
    with open_here() as store:
        scope = store.namespace("prod")
        scope.put("run", run())
        (file,) = archive.prefix.iterdir()
        whole = file.read_bytes()
        file.write_bytes(b"x" + whole[1:])
        with pytest.raises(IntegrityError, match=r"namespace:prod/run \[tests\.storable\.samples\.Run\.table\]"):
            scope.get("run").table  # noqa: B018
        with pytest.raises(IntegrityError, match=r"Run\.table"):
            scope.get("run", verify=True)
        file.unlink()
        with pytest.raises(ValueLost, match=r"Run\.table\].* was the record replaced after its object was got\?"):
            scope.get("run").table  # noqa: B018
        with pytest.raises(ValueLost, match=r"Run\.table"):
            scope.get("run", verify=True)
        assert scope.get("run").frame is not None


def test_a_lost_file_is_named_when_the_object_is_got(open_here: Open, tmp_path: Path) -> None:
    with open_here() as store:
        scope = store.namespace("prod")
        scope.put("run", run())
        (tmp_path / "data" / "files" / scope.contents("run")["frame"].storage_config).unlink()
        with pytest.raises(ValueLost, match=r"samples\.Run\.frame"):
            scope.get("run")


def altered(tmp_path: Path, change: str, *values: Any) -> None:
    """Change the catalog from outside."""
    with sqlite3.connect(tmp_path / "data" / "catalog.sqlite") as connection:
        connection.execute(f"UPDATE records SET {change}", values)
    connection.close()


@dataclass
class Pickled(StorableDataclass, class_id="b0000005"):
    """It has a field that no other serializer takes."""

    odd: Odd


def test_a_pickled_field_is_not_loaded_without_trust(open_here: Open, tmp_path: Path) -> None:
    with open_here() as store:
        store.namespace("prod").put("odd", Pickled(odd=Odd(5)))
        assert store.namespace("prod").get("odd").odd == Odd(5)
    altered(tmp_path, "signature=NULL")
    with open_here() as store:
        scope = store.namespace("prod")
        with pytest.raises(
            SignatureError,
            match=r"odd \[.*Pickled\.odd\] is not loaded: it is not signed, and loading a holdfast\.pickle@v1",
        ):
            scope.get("odd")
        assert scope.get("odd", trust=True).odd == Odd(5)


def test_the_signature_covers_every_content(open_here: Open, tmp_path: Path) -> None:
    """Whose digest is another is not loaded, though its bytes match it."""
    big = Odd(5)
    big.weight = np.zeros(ROWS)  # type: ignore[attr-defined]
    with open_here() as store:
        row = store.namespace("prod").put("odd", Pickled(odd=big)).row
        assert "member" in str(row.config)
        assert store.namespace("prod").get("odd").odd.number == 5
    config = json.loads(str(row.config))
    config["contents"][1]["config"]["config"] = 5
    altered(tmp_path, "config=?", json.dumps(config))
    with open_here() as store, pytest.raises(SignatureError, match=r"Pickled\.odd\] is not loaded: its signature does"):
        store.namespace("prod").get("odd").odd  # noqa: B018


def test_what_is_not_signed_is_not_signed_by_being_put_again(open_here: Open, tmp_path: Path) -> None:
    big = Odd(5)
    big.weight = np.zeros(ROWS)  # type: ignore[attr-defined]
    with open_here() as store:
        store.namespace("prod").put("odd", Pickled(odd=big))
    altered(tmp_path, "signature=NULL")
    with open_here() as store:
        got = store.namespace("prod").get("odd")
        with pytest.raises(SignatureError, match=r"Pickled\.odd\] is not loaded"):
            store.namespace("prod").put("again", got)


HOSTILE: dict[str, Any] = {
    "no JSON": "{",
    "a list": "[]",
    "no object": '{"contents": []}',
    "a short object": '{"object": ["a"], "contents": []}',
    "no contents": '{"object": ["a", "b", "c"]}',
    "contents of numbers": '{"object": ["a", "b", "c"], "contents": [1]}',
    "names of numbers": '{"object": ["a", "b", "c"], "contents": [{"name": 1}]}',
}


def test_data_that_is_gone(open_here: Open, tmp_path: Path) -> None:
    with open_here() as store:
        store.namespace("prod").put("leaf", Leaf(name="a"))
    altered(tmp_path, "data=NULL")
    with open_here() as store, pytest.raises(ValueLost, match="namespace:prod/leaf"):
        store.namespace("prod").get("leaf")


def test_a_nested_class_that_is_not_defined_is_named(open_here: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("app.models")
    monkeypatch.setitem(sys.modules, "app.models", module)
    names = vars(module)
    names.update(dataclass=dataclass, StorableDataclass=StorableDataclass)
    exec("@dataclass\nclass Inner(StorableDataclass, class_id='b0000006'):\n  a: int", names)
    with open_here() as store:
        scope = store.namespace("prod")
        scope.put("leaf", Leaf(name="outer", array=[names["Inner"](a=1)]))
        assert scope.get("leaf").array[0].a == 1
        names.clear()
        gc.collect()
        with pytest.raises(NotRegisteredError, match=r"prod/leaf: app\.models\.Inner: no storable class"):
            scope.get("leaf")


@pytest.mark.parametrize("what", HOSTILE)
def test_a_config_that_is_none(open_here: Open, tmp_path: Path, what: str) -> None:
    with open_here() as store:
        store.namespace("prod").put("leaf", Leaf(name="a"))
    altered(tmp_path, "config=?", HOSTILE[what])
    with open_here() as store, pytest.raises(IntegrityError, match="namespace:prod/leaf"):
        store.namespace("prod").get("leaf")


@contextmanager
def suppress_ours(where: str) -> Iterator[None]:
    """Errors that say that something there cannot be read."""
    try:
        yield
    except (DecodeError, IntegrityError, ValueLost, NotRegisteredError) as error:
        if where not in str(error):
            raise


@pytest.mark.parametrize(
    "change",
    [
        {"at": -5}, {"at": 100}, {"at": "0"}, {"at": None}, {"at": None, "member": 0}, {"at": None, "member": "a"},
        {"size": 10**9}, {"size": "a"}, {"algorithm": "md5"}, {"digest": "zz"}, {"digest": None},
        {"serializer": "holdfast.pickle@v1"}, {"serializer": "holdfast.json-lines@v1"}, {"stream": True},
        {"encoding": "zstd"}, {"config": {"parts": [[0, 9]]}}, {"config": 5}, {"name": "head"},
        {"encoding": []}, {"encoding": {}}, {"encoding": "a\0b"}, {"type": "\ud800"}, {"serializer": "\ud800@v1"},
        {"size": None}, {"size": 1.5}, {"size": -1}, {"size": 1 << 70}, {"stream": None}, {"member": -1}, {"digest": 5},
        {"serializer": "holdfast.storable@v1"},
    ],
    ids=str,
)  # fmt: skip
def test_a_content_that_lies_about_itself(open_here: Open, tmp_path: Path, change: dict[str, Any]) -> None:
    with open_here() as store:
        row = store.namespace("prod").put("leaf", Leaf(name="a")).row
    config = json.loads(str(row.config))
    config["contents"][0].update(change)
    altered(tmp_path, "config=?", json.dumps(config))
    with open_here() as store:
        scope = store.namespace("prod")
        with suppress_ours("namespace:prod/leaf"):
            assert scope.get("leaf") == Leaf(name="a")
        with suppress_ours("namespace:prod/leaf"):
            assert scope.record("leaf").contents
        assert {problem.address for problem in store.verify().problems} <= {"namespace:prod/leaf"}
        with suppress_ours("namespace:prod/leaf"):
            store.export_to(tmp_path / "out")


def test_a_body_that_is_none(open_here: Open) -> None:
    unpacker = Leaf.storable_config().unpacker  # type: ignore[union-attr]
    bodies: list[Any] = [
        5, {}, {"fields": {}}, {"fields": 5, "marked": []}, {"fields": {}, "marked": ["name"]},
        *({"fields": {"name": {"holdfast": mark}, "array": 1}, "marked": ["name"]} for mark in (
            [], 5, ["content"], ["content", "none"], ["object", "a"], ["object", 5, 5, 5], ["dict"], ["dict", 5],
            ["dance"], ["contents", "a0000001".ljust(32, "0"), "x", "y", {}],
            ["object", "a0000001".ljust(32, "0"), "x", {"fields": {}, "marked": []}],
            ["object", "b0000003".ljust(32, "0"), "x", {"fields": {}, "marked": []}],
        )),
    ]  # fmt: skip
    for body in bodies:
        with pytest.raises((DecodeError, NotRegisteredError)):
            unpacker.repack_object(Leaf, {"body": {"value": body}}, holdfast.Registry())
    empty: list[dict[str, Any]] = [{}, {"body": {}}]
    for contents in empty:
        with pytest.raises(DecodeError, match="has a content 'body', and here is none"):
            unpacker.repack_object(Leaf, contents, holdfast.Registry())


def test_options_of_classes() -> None:
    with pytest.raises(InvalidArgumentError, match="extra_fields is 'forbid' or 'ignore', not 'drop'"):

        class Dropping(StorableDataclass, extra_fields="drop"):
            pass


def test_a_field_in_a_memory_storage_is_gone_with_the_process(open_here: Open) -> None:
    memory = holdfast.StorableValue(np.zeros(ROWS), storage=MemoryStorage)
    with open_here() as store:
        assert store.namespace("prod").put("value", memory).durability == "session"
        assert store.namespace("prod").put("run", run()).durability == "process"
        assert store.namespace("prod").get("value").value.shape == (ROWS,)
    with open_here() as store, pytest.raises(ValueLost, match=r"StorableValue\.item"):
        store.namespace("prod").get("value")
    with open_here() as store:
        assert store.namespace("prod").put("x", bytes(100_000)).contents["value"].storage == "holdfast.file@v1"


class OwnMemory(MemoryStorage):
    """As the one of the Labox face: in memory, under a name of its own."""

    name = "tests.memory@v1"
    url = "memory:"


def test_a_field_in_any_memory_storage_says_so(open_here: Open) -> None:
    memory = holdfast.StorableValue(np.zeros(ROWS), storage=OwnMemory)
    with open_here(registry=holdfast.Registry(storages=[OwnMemory()])) as store:
        scope = store.namespace("prod")
        assert scope.put("value", memory, durability="power").durability == "session"
        assert scope.record("value").durability == "session"
        assert scope.contents("value")["item"].ephemeral
        assert scope.get("value").value.shape == (ROWS,)
        with scope.transaction() as tx:
            tx.put("other", memory)
        scope.copy("value", "copy")
        assert {record.durability for record in scope.list()} == {"session"}


def test_classes_that_were_refused_leave_the_others_as_they_were(open_here: Open) -> None:
    """The classes of these tests are as they were."""
    with open_here() as store:
        store.namespace("prod").put("run", run())
        assert type(store.namespace("prod").get("run")) is Run
