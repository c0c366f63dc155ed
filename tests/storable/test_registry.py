"""What a registry is made of: arguments, registries, modules, installed packages, and which of them counts."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import threading
import types
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

import holdfast
from holdfast.errors import InvalidArgumentError, NotRegisteredError
from holdfast.payload import Payload
from holdfast.registry import Registry
from holdfast.serializers.base import Serializer
from holdfast.storable.base import Storable, Unpacker
from holdfast.storages.memory import MemoryStorage

from ..kernel.test_sharing import in_threads


class Tagged(Serializer):
    """Text, with what tells one of these from another."""

    name: ClassVar[str] = "tests.tagged@v1"
    types: ClassVar[tuple[str, ...]] = ("tests.Text",)

    def __init__(self, tag: str = "made") -> None:
        self.tag = tag

    def serialize(self, value: Any) -> Payload:
        return Payload([value.encode()], "text/plain")

    def deserialize(self, payload: Payload) -> Any:
        return bytes(payload.buffers[0]).decode()


class Kept(MemoryStorage):
    name = "tests.kept@v1"


class Whole(Unpacker):
    """Takes an object as one content."""

    name = "tests.whole@v1"

    def unpack_object(self, obj: Any, registry: Any, /) -> Any:
        return {"all": {"value": vars(obj)}}

    def repack_object(self, cls: Any, contents: Any, registry: Any, /) -> Any:
        made = cls()
        vars(made).update(contents["all"]["value"])
        return made


class Run(Storable, class_id="11aa22bb", unpacker=Whole()):
    """A class with an id."""


class Abstract(Storable):
    """A class without one."""


def module(name: str, **names: Any) -> types.ModuleType:
    made = types.ModuleType(name)
    vars(made).update(names, __all__=list(names))
    return made


def test_modules_are_read_by_their_all(monkeypatch: pytest.MonkeyPatch) -> None:
    things = {"Tagged": Tagged, "Kept": Kept, "Whole": Whole, "Run": Run, "Abstract": Abstract}
    read = module("tests_of_modules", **things, Serializer=Serializer, five=5, function=print)
    monkeypatch.setitem(sys.modules, "tests_of_modules", read)
    vars(read)["Hidden"] = type("Hidden", (Tagged,), {"name": "tests.hidden@v1"})
    for named in (read, "tests_of_modules"):
        registry = Registry(modules=[named])
        assert registry.serializer("tests.tagged@v1").__class__ is Tagged
        assert registry.storage("tests.kept@v1") is Kept
        assert registry.unpacker("tests.whole@v1").__class__ is Whole
        assert registry.storable("11aa22bb" + 24 * "0") is Run
        with pytest.raises(NotRegisteredError, match=r"no serializer is named 'tests\.hidden@v1'"):
            registry.serializer("tests.hidden@v1")


def test_of_a_class_and_its_instance_in_a_module_the_instance_counts() -> None:
    mine = Tagged("mine")
    for names in ({"mine": mine, "Tagged": Tagged}, {"Tagged": Tagged, "mine": mine}):
        assert Registry(modules=[module("m", **names)]).serializer("tests.tagged@v1") is mine


@pytest.mark.parametrize("bad", [types.ModuleType("without"), 5])
def test_what_has_no_all_is_refused(bad: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="is read by its __all__, and has none"):
        Registry(modules=[bad])


def test_a_module_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"modules names 'json\.nothing', and there is no module json\.nothing"
    ):
        Registry(modules=["json.nothing"])
    (tmp_path / "tests_that_need.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        Registry(modules=["tests_that_need"])


def test_arguments_win_over_registries_and_these_over_modules() -> None:
    parts = {place: Tagged(place) for place in ("module", "first", "second", "argument", "last")}
    read = module("m", part=parts["module"])
    first, second = Registry([parts["first"]]), Registry([parts["second"]])

    def chosen(registry: Registry) -> Any:
        by_type = registry.for_type(type("Text", (), {"__module__": "tests"}))
        assert by_type is registry.serializer("tests.tagged@v1")
        return by_type.tag  # type: ignore[attr-defined]

    assert chosen(Registry(modules=[read])) == "module"
    assert chosen(Registry(modules=[read], registries=[first])) == "first"
    assert chosen(Registry(modules=[read], registries=[first, second])) == "second"
    assert chosen(Registry([parts["argument"]], modules=[read], registries=[first])) == "argument"
    assert chosen(Registry([parts["argument"], parts["last"]], registries=[first])) == "last"
    assert chosen(first) == "first", "a registry never changes"


def test_merging_keeps_what_one_replaced_of_the_shipped() -> None:
    class MyText(Tagged):
        name = "holdfast.text@v1"
        types = ("builtins.str",)

    merged = Registry(registries=[Registry([MyText]), Registry(storages=[Kept])])
    assert type(merged.for_value("a")) is MyText
    assert merged.storage("tests.kept@v1") is Kept


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"storables": [Run()]}, "is no storable: give a subclass of holdfast.storable.base.Storable"),
        ({"storables": [Tagged]}, "is no storable"),
        ({"storables": [Abstract]}, r"tests\.storable\.test_registry\.Abstract cannot be stored: give it a class id"),
        ({"unpackers": [Run]}, "is no unpacker"),
        ({"registries": [5]}, "registries takes registries, not 5"),
        ({"unpackers": [type("Bad", (Whole,), {"name": "whole"})]}, r"has the name 'whole': it must be like my\.table"),
    ],
)
def test_other_things_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        Registry(**arguments)


def test_what_is_missing_is_named() -> None:
    registry = Registry(unpackers=[Whole])
    with pytest.raises(NotRegisteredError, match=r"'tests\.hole@v1'; did you mean tests\.whole@v1\?"):
        registry.unpacker("tests.hole@v1")
    with pytest.raises(NotRegisteredError, match="no storable class that is known here has the id 'ffff'"):
        registry.storable("ffff")


def test_a_registered_unpacker_counts_before_the_class_own() -> None:
    other = type("Other", (Whole,), {})()
    assert Registry().unpacker("tests.whole@v1", Run) is Run.storable_config().unpacker  # type: ignore[union-attr]
    assert Registry(unpackers=[other]).unpacker("tests.whole@v1", Run) is other


def test_equal_parts_make_equal_registries_and_pickles_of_them() -> None:
    make = lambda: Registry([Tagged], [Kept], storables=[Run], unpackers=[Whole])  # noqa: E731
    assert make() == make() != Registry([Tagged])
    assert hash(make()) == hash(make())
    copy = pickle.loads(pickle.dumps(make()))
    assert copy == make()
    assert copy.storable("11aa22bb".ljust(32, "0")) is Run
    assert "tests.storable.test_registry.Run" in repr(copy)
    assert Registry(registries=[Registry([Tagged]), Registry(storages=[Kept])]) == Registry([Tagged], [Kept])


# --- ids of classes ---------------------------------------------------------------------------------------------------


def test_an_id_of_three_dots_warns_and_suggests_one() -> None:
    with pytest.warns(UserWarning, match=r'Draft cannot be stored before it has an id: class_id="[0-9a-f]{8}"'):

        class Draft(Storable, class_id="...", unpacker=Whole()):
            pass

    with pytest.raises(InvalidArgumentError, match=r'give it a class id: class Draft\(\.\.\., class_id="'):
        Draft.storable_config()
    assert Draft.storable_config(allow_none=True) is None


@pytest.mark.parametrize("bad", ["", "abc", "1234567", "0" * 33, "xyzxyzxyz", 12345678, "12 345678"])
def test_what_is_no_id_is_refused(bad: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"Bad has the class_id .*: it must be 8 to 32 hex digits, such as"):
        type("Bad", (Storable,), {}, class_id=bad)


def test_two_classes_of_one_id_are_named_both() -> None:
    with pytest.raises(InvalidArgumentError, match=r"test_registry\.Run and .*Twin have the same class_id 11aa22bb0+:"):
        type("Twin", (Storable,), {}, class_id="11AA22BB")
    assert Registry().storable("11aa22bb".ljust(32, "0")) is Run


def test_two_classes_of_one_id_in_one_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    def define(name: str) -> Any:  # each alone in its process, as it were
        return type(name, (Storable,), {}, class_id="22aa22bb", unpacker=Whole())

    one, other = define("One"), define("Other")
    with pytest.raises(InvalidArgumentError, match=r"\.One and .*\.Other have the same class_id"):
        Registry(storables=[one, other])
    with pytest.raises(InvalidArgumentError, match="the same class_id"):
        Registry(storables=[other], registries=[Registry(storables=[one])])
    again = define("One")
    assert Registry(storables=[one, again]).storable("22aa22bb".ljust(32, "0")) is again, "it was defined anew"


def test_a_class_that_is_defined_anew_takes_its_place() -> None:
    def define() -> Any:
        return type("Anew", (Storable,), {}, class_id="33aa22bb", unpacker=Whole())

    define()
    last = define()
    assert Registry().storable("33aa22bb".ljust(32, "0")) is last


def test_two_classes_of_one_id_in_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have no place in their module, and yet are two while both are there."""

    def first() -> Any:
        class Local(Storable, class_id="55aa22bb", unpacker=Whole()):
            pass

        return Local

    def second() -> Any:
        class Other(Storable, class_id="55aa22bb", unpacker=Whole()):
            pass

        return Other

    held = first()
    again = first()
    assert Registry().storable("55aa22bb".ljust(32, "0")) is again is not held, "the function ran anew"
    with pytest.raises(InvalidArgumentError, match=r"\.Local and .*\.Other have the same class_id"):
        second()
    del again
    gc.collect()
    held = second()  # nobody has the one that was known
    assert Registry().storable("55aa22bb".ljust(32, "0")) is held


def test_threads_define_classes_of_one_id() -> None:
    """The others are refused while the first one is still without a place in its module."""
    made: dict[str, list[Any]] = {}
    meet = threading.Barrier(8)

    def define(number: int) -> None:
        for turn in range(4):  # each of them collects all garbage seven times
            class_id = f"66aa{turn:04x}".ljust(32, "0")
            meet.wait(60)
            with suppress(InvalidArgumentError):
                made.setdefault(class_id, []).append(type(f"Of{number}", (Storable,), {}, class_id=class_id))
        meet.wait(60)  # a class of a thread that has ended, and in no module, is gone

    interval = sys.getswitchinterval()
    gc.freeze()  # what the tests before this one left is not gone through each time
    sys.setswitchinterval(1e-6)
    try:
        in_threads(8, define)
    finally:
        sys.setswitchinterval(interval)
        gc.unfreeze()
    assert len(made) == 4
    for class_id, classes in made.items():
        assert [Registry().storable(class_id)] == classes


def test_no_unpacker() -> None:
    bare: Any = type("Bare", (Storable,), {}, class_id="44aa22bb")
    with pytest.raises(InvalidArgumentError, match=r"Bare cannot be stored: give it a class above, or unpacker="):
        bare.storable_config()
    with pytest.raises(InvalidArgumentError, match=r"the unpacker of .*Odd is 5"):
        type("Odd", (Storable,), {}, unpacker=5)


# --- installed packages -----------------------------------------------------------------------------------------------

PLUGIN = """
from holdfast.storable.base import Storable, Unpacker
from holdfast.storages.memory import MemoryStorage

class Shelf(MemoryStorage):
    name = "plugin.shelf@v1"

class Whole(Unpacker):
    name = "plugin.whole@v1"
    def unpack_object(self, obj, registry): return {"all": {"value": vars(obj)}}
    def repack_object(self, cls, contents, registry): return cls()

class Thing(Storable, class_id="55aa22bb", unpacker=Whole()):
    pass
"""

USE = """
import sys, warnings
from holdfast.registry import Registry
from holdfast.errors import NotRegisteredError
registry = Registry()
assert "plugin_of_tests" not in sys.modules
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert registry.storable("55aa22bb" + 24 * "0").__name__ == "Thing"
assert "the entry odd = plugin_of_tests:Thing of holdfast.storages cannot be used" in str(caught[0].message), caught
assert registry.storage("plugin.shelf@v1").__name__ == "Shelf"
assert registry.unpacker("plugin.whole@v1").name == "plugin.whole@v1"
try:
    registry.storage("plugin.odd@v1")
except NotRegisteredError as error:
    assert "odd = plugin_of_tests:Thing failed" in str(error), error
else:
    raise AssertionError("not raised")
"""


def test_installed_packages_announce_all_kinds(tmp_path: Path) -> None:
    (tmp_path / "plugin_of_tests.py").write_text(PLUGIN)
    metadata = tmp_path / "plugin_of_tests-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-of-tests\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[holdfast.storages]\nshelf = plugin_of_tests:Shelf\nodd = plugin_of_tests:Thing\n"
        "[holdfast.unpackers]\nwhole = plugin_of_tests:Whole\n[holdfast.storables]\nthing = plugin_of_tests:Thing\n"
    )
    path = os.pathsep.join([str(tmp_path), str(Path(holdfast.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", USE], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
