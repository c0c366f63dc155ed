"""Canonical bytes of plain values and instances: one for each value, the same everywhere, and a clear refusal else."""

from __future__ import annotations

import abc
import array
import collections
import copy
import ctypes
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import io
import itertools
import math
import operator
import pathlib
import pickle
import random
import re
import socket
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
import types
import unicodedata
import uuid
import weakref
import zoneinfo
from collections.abc import Callable, Iterator
from typing import Any, Generic, Optional, TypeVar, Union

import msgspec
import pydantic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.errors import UnhashableError
from holdfast.memoize.canonical import Canonical
from holdfast.memoize.framing import LIMIT

from .samples import Bag, Colour, Frozen, Level, Mode, Node, Pair, Point, Slotted, Words, name_of, tree, with_attribute

encode = Canonical(name_of).encode
T = TypeVar("T")


def refused(value: Any) -> str:
    with pytest.raises(UnhashableError) as caught:
        encode(value)
    return str(caught.value)


# Nested plain values


def form(value: Any) -> Any:
    """A plain value by its types and contents: what ``==`` takes for equal, as 1 and True, is told apart."""
    kind = type(value).__name__
    if isinstance(value, float):
        return kind, struct.pack("<d", value)
    if isinstance(value, complex):
        return kind, struct.pack("<dd", value.real, value.imag)
    if isinstance(value, list | tuple):
        return kind, tuple(form(item) for item in value)
    if isinstance(value, set | frozenset):
        return kind, frozenset(form(item) for item in value)
    if isinstance(value, dict):
        return kind, frozenset((form(key), form(item)) for key, item in value.items())
    return kind, value


def decode(data: bytes, at: int = 0) -> tuple[Any, int]:
    """Reads what is not replaced by a digest: that this can be written shows that no two values share their bytes."""
    tag, at = data[at : at + 1], at + 1
    constants = {b"N": None, b"+": True, b"-": False, b".": ..., b"_": NotImplemented}
    if tag in constants:
        return constants[tag], at
    if tag == b"i":
        end = data.index(b";", at)
        return int(data[at:end], 16), end + 1
    if tag == b"f":
        return struct.unpack_from("<d", data, at)[0], at + 8
    if tag == b"c":
        return complex(*struct.unpack_from("<dd", data, at)), at + 16
    colon = data.index(b":", at)
    start, end = colon + 1, colon + 1 + int(data[at:colon])
    body = data[start:end]
    if tag == b"s":
        return body.decode("utf-8", "surrogatepass"), end
    if tag == b"b":
        return body, end
    items: list[Any] = []
    place = 0
    while place < len(body):
        item, place = decode(body, place)
        items.append(item)
    if tag == b"d":
        return dict(zip(items[::2], items[1::2], strict=True)), end
    return {b"l": list, b"t": tuple, b"e": set, b"z": frozenset}[tag](items), end


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-2, 2),
    st.floats(),
    st.sampled_from([0.0, -0.0, 1.0, math.nan, -math.nan]),
    st.complex_numbers(),
    st.text(st.characters(), max_size=8),
    st.sampled_from(["", "1", "i1;", "s1:1", "\ud800", "\udc00", "\ud800\udc00", "\U00010000"]),
    st.binary(max_size=8),
    st.sampled_from([..., NotImplemented]),
)
HASHABLE = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3).map(tuple), st.frozensets(inner, max_size=3)),
    max_leaves=4,
)
PLAIN = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(HASHABLE, inner, max_size=4),
        st.sets(HASHABLE, max_size=4),
        st.frozensets(HASHABLE, max_size=4),
    ),
    max_leaves=10,
)


@given(PLAIN)
@example([[], (), {}, set(), frozenset(), "", b""])
def test_the_bytes_can_be_read_back(value: Any) -> None:
    data = encode(value)
    if len(data) <= LIMIT:  # so nothing is there as a digest
        back, end = decode(data)
        assert form(back) == form(value)
        assert end == len(data)


@given(PLAIN, PLAIN)
def test_two_values_share_bytes_only_if_they_are_the_same(first: Any, second: Any) -> None:
    assert (encode(first) == encode(second)) is (form(first) == form(second))


@given(st.lists(st.lists(SCALARS, max_size=3), min_size=2, max_size=2))
def test_bytes_one_after_the_other_stay_apart(pair: list[list[Any]]) -> None:
    first, second = (b"".join(map(encode, items)) for items in pair)
    assert (first == second) is (form(pair[0]) == form(pair[1]))


@given(PLAIN)
def test_a_copy_has_the_same_bytes(value: Any) -> None:
    assert encode(copy.deepcopy(value)) == encode(value)
    assert encode([value, value]) == encode([value, copy.deepcopy(value)])


@given(st.lists(st.tuples(HASHABLE, SCALARS)), st.randoms())
def test_order_does_not_count_in_dicts_and_sets(pairs: list[tuple[Any, Any]], shuffler: random.Random) -> None:
    given_dict = dict(pairs)
    items = list(given_dict.items())
    shuffler.shuffle(items)
    assert encode(dict(items)) == encode(given_dict)
    assert encode({key for key, _ in items}) == encode(set(given_dict))


@given(
    st.sampled_from([st.integers(), st.floats(), st.text(st.characters(), max_size=3), st.integers(2**63)]), st.data()
)
def test_many_items_of_one_type(items: st.SearchStrategy[Any], data: st.DataObject) -> None:
    """From some length on they are encoded together: still each list for itself."""
    first = data.draw(st.lists(items, min_size=60, max_size=70))
    second = data.draw(st.one_of(st.just(first[:-1]), st.just([*first, first[0]]), st.permutations(first)))
    assert encode(first) == encode(list(first))
    assert (encode(first) == encode(second)) is (form(first) == form(second))
    assert encode(first) != encode(tuple(first))


class Text(str):
    pass


class Shouting(str):
    def encode(self, *_: Any) -> bytes:
        return b"x"

    def __str__(self) -> str:
        return "x"


class Real(float):
    __slots__ = ()


class Empty(list):
    """Says that it has nothing in it, whatever it holds."""

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def copy(self) -> Any:
        return []


class Closed(dict):
    def items(self) -> Any:
        return ()

    keys = values = items

    def __iter__(self) -> Iterator[Any]:
        return iter(())


class Moment(datetime.datetime):
    pass


@dataclasses.dataclass
class Other:
    x: int
    y: float = 0.5


UTC = datetime.timezone.utc

DIFFERENT: list[Any] = [
    *(1, 1.0, True, 1 + 0j, "1", b"1", bytearray(b"1"), memoryview(b"1"), decimal.Decimal(1), fractions.Fraction(1)),
    *(Level.HIGH, 3, Mode(3), Mode.READ, Mode(0), Colour.RED, "r", "RED"),
    *(0.0, -0.0, math.nan, -math.nan, math.inf, 0, False, None, "", b"", 0j, -0j, complex(-0.0, 0), (), [], {}, set()),
    *(frozenset(), [None], [[]], ([],), [()], [0], [False], ["a", "b"], ["ab", ""], {"a": "b"}, {"b": "a"}, {"a"}),
    *(
        [1, 2],
        [2, 1],
        (1, 2),
        {1, 2},
        frozenset({1, 2}),
        range(1, 3),
        range(1, 3, 3),
        range(0),
        range(1, 1),
        slice(1, 2),
    ),
    *(slice(None), slice(0, None), {1: 2}, {(1, 2)}, {"1": 2}, {1.5: 2}, {True: 2}, "N", b"N", "i1;"),
    *(unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é"), "\ud800\udc00", "\U00010000"),
    *(["ab", "c"] * 40, ["a", "bc"] * 40, [97] * 64, [97.0] * 64, ["a"] * 64, [True] * 64, [1] * 64, (1,) * 64),
    *(b"x" * LIMIT, b"x" * (LIMIT + 1), bytearray(b"x" * (LIMIT + 1)), "x" * LIMIT, "x" * (LIMIT + 1)),
    *(decimal.Decimal("1.0"), decimal.Decimal("NaN"), decimal.Decimal("-0"), decimal.Decimal("0")),
    *(datetime.date(2024, 1, 1), datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 1, tzinfo=UTC)),
    *(datetime.datetime(2024, 1, 1, fold=1), Moment(2024, 1, 1), with_attribute(Moment(2024, 1, 1))),
    *(datetime.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC")), datetime.time(), datetime.time(fold=1)),
    *(datetime.timedelta(1), datetime.timezone(datetime.timedelta(0), "x"), UTC, zoneinfo.ZoneInfo("UTC")),
    *(pathlib.PurePosixPath("a"), pathlib.PureWindowsPath("a"), pathlib.PosixPath("a"), pathlib.PosixPath("b"), "a"),
    *(re.compile("a"), re.compile(b"a"), re.compile("a", re.IGNORECASE), uuid.UUID(int=1)),
    *(collections.deque([1]), collections.deque([1], 1), collections.deque([1], 2), [1], collections.UserList([1])),
    *(collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1), {"a": 1, "b": 2}, Bag(a=1, b=2)),
    *(collections.defaultdict(int, a=1), collections.defaultdict(bool, a=1), collections.defaultdict(None, a=1)),
    *(collections.Counter("ab"), with_attribute(collections.Counter("ab")), collections.ChainMap({"a": 1, "b": 1})),
    *(collections.ChainMap({"a": 1}, {"b": 1}), types.MappingProxyType({"a": 1, "b": 1}), types.SimpleNamespace(a=1)),
    *(
        array.array("i", [1]),
        array.array("l", [1]),
        array.array("d", [1]),
        array.array("u", "a"),
        array.array("b", [1]),
    ),
    *(memoryview(b"ab"), memoryview(b"ab").cast("c"), memoryview(b"ab").cast("B", (2, 1)), memoryview(b"ba")),
    *(Text("a"), Shouting("a"), Shouting("b"), Real(0.0), Real(-0.0), Words("a"), Empty([1]), Empty([2]), Empty()),
    *(Closed(a=1), Closed(a=2), Pair(1, "a"), (1, "a"), Point(1), Other(1), Point(1, 0.25), with_attribute(Point(1))),
    *(Point(True, 1), ValueError("a"), ValueError("a", 1), TypeError("a"), OSError(2, "a")),
    *(OSError(2, "a", "b"), with_attribute(ValueError("a")), list[int], list[str], tuple[int], int | str, int, list),
    *(operator.itemgetter(1), operator.itemgetter(1, 2), operator.attrgetter("a"), len, print, math, "builtins.len"),
    *(random.Random(1), random.Random(2), Frozen("a"), Frozen("b"), functools.partial(len), ...),
]


def test_different_values_have_different_bytes() -> None:
    seen: dict[bytes, Any] = {}
    for value in DIFFERENT:
        data = encode(value)
        assert data not in seen, f"{value!r} has the bytes of {seen[data]!r}"
        seen[data] = value
    assert len(seen) == len(DIFFERENT) > 150


@pytest.mark.parametrize("value", DIFFERENT, ids=lambda value: type(value).__name__)
def test_equal_values_have_equal_bytes(value: Any) -> None:
    again = Canonical(name_of)
    assert again.encode(value) == encode(value)
    incomplete = (memoryview, types.MappingProxyType, types.ModuleType, Moment, collections.Counter, Empty, Closed)
    if not isinstance(value, incomplete):  # these are not copied at all, or not as they are
        assert encode(copy.deepcopy(value)) == encode(value)


def test_float_nan_made_in_two_ways() -> None:
    assert encode(float("nan")) == encode(math.nan)
    assert encode([float("nan"), 1]) == encode([math.nan, 1])


def test_views_of_equal_content() -> None:
    data = memoryview(bytes(range(10)))
    assert encode(data[::2]) == encode(memoryview(bytes(range(0, 10, 2))))
    assert encode(memoryview(b"")) == encode(data[3:3])


# Instances


class Both:
    __slots__ = ("__dict__", "__weakref__", "left")

    def __init__(self, **attributes: Any) -> None:
        for name, item in attributes.items():
            setattr(self, name, item)


def test_attributes_are_the_state_in_any_order() -> None:
    assert encode(Both(left=1, right=2)) == encode(Both(right=2, left=1))
    assert encode(Both(left=1)) != encode(Both(right=1))
    assert encode(Both(left=1)) != encode(Both(left=1, right=None))


def test_slots_of_base_classes_count() -> None:
    class Below(Slotted):
        __slots__ = "more"

    first, second = Below(), Below()
    for made in (first, second):
        made.more = 1  # type: ignore[attr-defined]
    assert encode(first) == encode(second)
    second.other = {"x": 3}
    assert encode(first) != encode(second)
    del second.other
    assert encode(first) != encode(second)


def test_annotations() -> None:
    kinds: list[Any] = [Optional[int], Optional[str], Union[int, str], Callable[[int], str], dict[str, Any], Any]  # noqa: UP045
    assert len({encode(kind) for kind in kinds}) == len(kinds)


def test_the_class_counts() -> None:
    def versioned(number: int) -> Callable[[Any], bytes]:
        return lambda value: name_of(value) + str(number).encode()

    values: list[Any] = [Point(1), Pair(1, "a"), Colour.RED, Bag(), ValueError(), collections.UserDict()]
    for value in values:
        assert Canonical(versioned(1)).encode([value]) != Canonical(versioned(2)).encode([value])


class WithGetState:
    def __init__(self, kept: Any) -> None:
        self.kept, self.lock = kept, threading.Lock()

    def __getstate__(self) -> Any:
        return self.kept


class WithReduce(WithGetState):
    def __reduce__(self) -> Any:
        return WithReduce, (self.kept,)


class WithReduceEx(WithGetState):
    def __reduce_ex__(self, protocol: Any) -> Any:
        return WithReduce, (), None, iter([self.kept]), iter([(1, self.kept)])


class WithNewArguments(collections.deque[Any]):
    def __getnewargs__(self) -> Any:
        return (1,)


class WithNewKeywords:
    def __init__(self, size: int) -> None:
        self.__dict__["size"] = size

    def __getnewargs_ex__(self) -> Any:
        return (), {"size": self.__dict__["size"]}

    def __getstate__(self) -> None:
        return None


@pytest.mark.parametrize("kind", [WithGetState, WithReduce, WithReduceEx])
def test_what_a_class_gives_for_pickling_decides(kind: Any) -> None:
    for kept in (1, "a", [1], {"a": 1}, {1: 2}, (1, 2), ({"a": 1}, {"a": 2}), (None, {"a": 1}), 0, "", [], ()):
        assert encode(kind(kept)) == encode(kind(copy.deepcopy(kept)))
    states = [1, "a", [1], {"a": 1}, {1: 2}, (1, 2), ({"a": 1}, {"a": 2}), ({"a": 2}, {"a": 1}), 0, "", [], False]
    assert len({encode(kind(kept)) for kept in states}) == len(states)
    assert "a _thread.lock has no hash" in refused(kind(threading.Lock()))


class WithItems:
    def __init__(self, items: list[Any], pairs: dict[Any, Any]) -> None:
        self.items, self.pairs = items, pairs

    def __reduce__(self) -> Any:
        return WithItems, ([], {}), None, iter(self.items), iter(self.pairs.items())


def test_items_and_pairs_that_a_class_gives_for_pickling_count() -> None:
    assert encode(WithItems([1, 2], {"a": 1, "b": 2})) == encode(WithItems([1, 2], {"b": 2, "a": 1}))
    kinds = [WithItems([], {}), WithItems([1], {}), WithItems([2], {}), WithItems([], {1: 1}), WithItems([], {1: 2})]
    assert len({encode(kind) for kind in kinds}) == len(kinds)


def test_arguments_of_new_count() -> None:
    assert encode(WithNewKeywords(1)) == encode(WithNewKeywords(1)) != encode(WithNewKeywords(2))
    assert encode(WithNewArguments([1])) != encode(WithNewArguments([2]))


def test_a_set_with_a_state_of_its_own_does_not_depend_on_order() -> None:
    class Tags(set):
        def __getstate__(self) -> Any:
            return {"kept": 1}

    words = [f"word {number}" for number in range(50)]
    assert encode(Tags(words)) == encode(Tags(reversed(words)))
    assert encode(Tags(words)) != encode(Tags(words[1:]))


class Named:
    def __reduce__(self) -> str:
        return "MISSING"


class Strategy(abc.ABC, Generic[T]):
    def run(self) -> int:
        return 1


class Valued:
    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    __hash__ = None  # type: ignore[assignment]


class Callable1:
    def __call__(self) -> None: ...


@dataclasses.dataclass
class NoFields:
    pass


@pytest.mark.parametrize("make", [Named, Strategy, Valued, Callable1, NoFields])
def test_instances_without_state_that_their_class_explains(make: Any) -> None:
    assert encode(make()) == encode(make())


class Sentinel:
    __slots__ = ()

    def __repr__(self) -> str:
        return "<missing>"

    def __bool__(self) -> bool:
        return False


class Bare:
    pass


class Model(pydantic.BaseModel):
    name: str = "x"
    tags: set[str] = {"a", "b", "c"}
    inner: Any = None
    url: pydantic.HttpUrl | None = None
    _private: int = 1


class Strict(pydantic.BaseModel, frozen=True, extra="allow"):
    size: int


@pydantic.dataclasses.dataclass
class Checked:
    size: int


class Record(msgspec.Struct):
    size: int
    name: str = ""


class OpenRecord(msgspec.Struct, dict=True):
    size: int


def test_models() -> None:
    def make(more: int, path: str) -> Model:
        inner = Strict.model_validate({"size": 1, "more": more})
        return Model.model_validate({"inner": inner, "url": f"https://example.com/{path}"})

    first = make(2, "a")
    assert encode(first) == encode(make(2, "a"))
    assert len({encode(first), encode(make(3, "a")), encode(make(2, "b")), encode(Model())}) == 4
    changed = first.model_copy()
    changed._private = 2
    assert encode(first) != encode(changed)
    assert encode(Checked(1)) == encode(Checked(1)) != encode(Checked(2))
    assert encode(Record(1)) == encode(Record(1)) != encode(Record(2))
    assert encode(with_attribute(OpenRecord(1))) != encode(OpenRecord(1))
    assert "['inner'].size: a _thread.lock has no hash" in refused(Model(inner=Record(threading.Lock())))  # type: ignore[arg-type]


def test_members_of_enumerations() -> None:
    made, changed = (enum.EnumMeta.__call__(enum.Enum, "Made", {"A": number, "B": object()}) for number in (1, 2))
    assert encode(made["A"]) != encode(made["B"])
    assert encode(made["A"]) != encode(changed["A"])
    assert encode(made["B"]) == encode(changed["B"])  # the value is no plain one: the class's tag is to tell them apart


def test_exceptions_without_what_raising_them_added() -> None:
    with pytest.raises(ValueError, match="x") as caught:
        raise ValueError("x") from KeyError("y")
    assert encode(caught.value) == encode(ValueError("x"))
    assert encode(ExceptionGroup("g", [ValueError(1)])) != encode(ExceptionGroup("g", [ValueError(2)]))


def test_code_is_tagged_by_who_knows_code() -> None:
    class Meta(type):
        pass

    class Odd(metaclass=Meta):
        @functools.lru_cache  # noqa: B019
        def method(self) -> None: ...

        @classmethod
        def made(cls) -> None: ...

    callables = [
        *(tree, len, [].append, Point, Odd, Meta, Odd.made, Odd.__dict__["made"], staticmethod(tree), Odd.method, math),
        *(functools.partial(tree), str.join, object.__repr__, "".join, dict.__dict__["fromkeys"], (1).__add__),
    ]
    seen: list[Any] = []

    def code_of(value: Any) -> bytes:
        seen.append(value)
        return b"code"

    canonical = Canonical(code_of)
    for value in callables:
        canonical.encode(value)
        canonical.encode({"a": value})
    assert [seen[2 * at] for at in range(len(callables))] == callables


# Refusals


class Holder:
    def __init__(self, inner: Any) -> None:
        self.inner = inner


class Failing:
    def __reduce__(self) -> Any:
        raise ZeroDivisionError("on purpose")


class Buffered(io.BytesIO):
    pass


class Located(threading.local):
    pass


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "object": (object, ": an object has no hash"),
    "a sentinel": (Sentinel, "test_canonical.Sentinel has no hash that is the same in every process (it has no state"),
    "a bare instance": (Bare, "Bare has no hash"),
    "a file": (lambda: io.StringIO("x"), ": a _io.StringIO has no hash"),
    "a lock": (threading.Lock, ": a _thread.lock has no hash"),
    "an event": (threading.Event, "._cond._lock: a _thread.lock has no hash"),
    "a generator": (lambda: (number for number in [1]), ": a generator has no hash"),
    "an iterator": (lambda: iter([1]), ": a list_iterator has no hash"),
    "a map": (lambda: map(len, []), ": a map has no hash"),
    "a counter": (lambda: itertools.count(1), ": an itertools.count has no hash"),
    "a view": (lambda: {1: 2}.keys(), ": a dict_keys has no hash"),
    "a weak reference": (lambda: weakref.ref(Point), "has no hash"),
    "a C structure": (lambda: ctypes.c_int(1), "c_int has no hash"),
    "a time of many parts": (time.localtime, ": a time.struct_time has no hash"),
    "a subclass of a C type": (lambda: Buffered(b"x"), "Buffered has no hash"),
    "values of a thread": (Located, "Located has no hash"),
    "a failing method": (Failing, "Failing has no hash that is the same in every process (on purpose)"),
    "in a list": (lambda: [1, [2, object()]], "[1][1]: an object has no hash"),
    "in a tuple": (lambda: (object(),), "[0]: an object has no hash"),
    "in a dict": (lambda: {"a": {(1, 2): object()}}, "['a'][<tuple>]: an object has no hash"),
    "under a huge key": (lambda: {10**5000: object()}, "[<int>]: an object has no hash"),
    "under a long key": (lambda: {"x" * 99: object()}, f"['{'x' * 59}]: an object has no hash"),
    "as a key": (lambda: {Bare(): 1}, "Bare>]: a "),
    "in a set": (lambda: {1, Bare()}, "{}: a "),
    "in an attribute": (lambda: Holder([Point(object(), 1)]), ".inner[0].x: an object has no hash"),  # type: ignore[arg-type]
    "in a slot": (lambda: with_slot(object()), ".other: an object has no hash"),
    "in a deque": (lambda: collections.deque([1, object()]), "[1]: an object has no hash"),
    "in a factory": (lambda: collections.defaultdict(lambda: 1, a=iter([])), "['a']: a list_iterator has no hash"),
    "in a subclass": (lambda: Bag(a=object()), "['a']: an object has no hash"),
    "in a namespace": (lambda: types.SimpleNamespace(a=object()), ".a: an object has no hash"),
    "in a named tuple": (lambda: Pair(object(), ""), "[0]: an object has no hash"),  # type: ignore[arg-type]
    "in an exception": (lambda: ValueError(object()), "[0]: an object has no hash"),
    "in a state": (lambda: WithGetState([object()]), ".state[0]: an object has no hash"),
    "in a model": (lambda: Model(inner=object()), ".__dict__['inner']: an object has no hash"),
}


def with_slot(value: Any) -> Slotted:
    made = Slotted()
    made.other = value
    return made


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_reliable_hash_is_refused_by_path_and_type(name: str) -> None:
    make, text = REFUSED[name]
    message = refused(make())
    assert text in message
    if text[0] in ":[.{":
        assert message.startswith(text)
    assert "object at 0x" not in message


def test_open_files_sockets_coroutines_and_threads(tmp_path: pathlib.Path) -> None:
    async def wait() -> None: ...

    waiting = wait()
    with open(tmp_path / "file", "wb") as file, socket.socket() as connection:
        assert refused(file).startswith(": a _io.BufferedWriter has no hash")
        assert "socket.socket has no hash" in refused(connection)
        assert refused([waiting]).startswith("[0]: a coroutine has no hash")
        assert "_thread.lock has no hash" in refused(threading.Thread())
    waiting.close()


def test_a_zone_from_a_file_has_no_name() -> None:
    found = next(pathlib.Path(folder, "UTC") for folder in zoneinfo.TZPATH if pathlib.Path(folder, "UTC").exists())
    with found.open("rb") as file:
        assert refused([zoneinfo.ZoneInfo.from_file(file)]).startswith("[0]: a zoneinfo.ZoneInfo has no hash")


def test_the_error_keeps_its_path_when_it_is_sent_to_another_process() -> None:
    with pytest.raises(UnhashableError) as caught:
        encode([1, object()])
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.args == caught.value.args == (again.message,)


def test_what_the_tagger_of_code_refuses_is_told_with_its_place() -> None:
    def code_of(value: Any) -> bytes:
        raise UnhashableError("function 'f' has no source")

    with pytest.raises(UnhashableError, match=r"^\['a'\]\[1\]: function 'f' has no source$"):
        Canonical(code_of).encode({"a": [1, len]})
    once = UnhashableError("function 'f' has no source")

    def remembered(value: Any) -> bytes:
        raise once

    for _ in range(2):
        with pytest.raises(UnhashableError, match=r"^\[0\]: function 'f' has no source$"):
            Canonical(remembered).encode([Point(1)])


# Cycles, sharing, depth


def test_cycles_end() -> None:
    def loop(*items: Any) -> list[Any]:
        made: list[Any] = [*items]
        made.append(made)
        return made

    assert encode(loop(1)) == encode(loop(1)) != encode(loop(2))
    assert encode(loop()) != encode([loop()])
    by_name: dict[str, Any] = {"a": 1}
    by_name["self"] = by_name
    assert encode(by_name) == encode(copy.deepcopy(by_name))
    assert encode(tree()) == encode(tree())
    other = tree()
    other.children[0].parent = other.children[1]
    assert encode(tree()) != encode(other)


def test_a_reference_back_says_to_which_level() -> None:
    first: list[Any] = [[[]]]
    second: list[Any] = [[[]]]
    first[0][0].append(first)
    second[0][0].append(second[0])
    assert encode(first) != encode(second)


def test_a_large_part_is_not_taken_from_elsewhere_when_it_refers_back() -> None:
    """What lies in a cycle has other bytes at another place."""
    part: list[Any] = ["x" * 2000, 1.5]
    first: list[Any] = [part]
    part.append(first)
    whole = [first, part]
    assert encode(whole) == encode(copy.deepcopy(whole))
    assert encode(whole) != encode([first, first])


def test_what_is_used_twice_on_every_level_takes_no_longer() -> None:
    shared: Any = ["x"]
    for _ in range(100):
        shared = [shared, {"a": shared}] if len(shared) == 1 else [shared, shared]
    begun = time.perf_counter()
    assert encode(shared) == encode(copy.deepcopy(shared))
    assert time.perf_counter() - begun < 5


def test_a_tangle_is_refused_before_the_search_becomes_endless() -> None:
    nodes = [Node() for _ in range(30)]
    for node in nodes:
        node.children = [*nodes]
    assert "refers to itself in too many ways" in refused(nodes[0])


def nested(levels: int, around: Callable[[Any], Any]) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = around(value)
    return value


AROUND: list[Callable[[Any], Any]] = [
    lambda value: [value],
    lambda value: (value,),
    lambda value: {"a": value},
    lambda value: frozenset([value]),
    Holder,
    lambda value: Words([value]),
    lambda value: collections.deque([value]),
    WithReduce,
]


@pytest.mark.parametrize("around", AROUND)
def test_deep_values_are_refused_by_their_depth(around: Callable[[Any], Any]) -> None:
    encode(nested(80, around))
    assert "nested more than 200 levels deep" in refused(nested(202, around))
    assert "nested" in refused(nested(600, around))


def test_no_room_on_the_stack() -> None:
    value = nested(150, Holder)

    def down(levels: int) -> bytes:
        return down(levels - 1) if levels else encode(value)

    used = len(list(iter_frames()))
    with pytest.raises(UnhashableError, match="nested too deeply"):
        down(sys.getrecursionlimit() - used - 60)
    assert encode(value)


def iter_frames() -> Iterator[Any]:
    frame: Any = sys._getframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


# Threads


@pytest.fixture
def many_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("many_switches")
@pytest.mark.parametrize("kind", ["dict", "list", "set", "deque", "attributes"])
def test_a_value_that_another_thread_changes(kind: str) -> None:
    """What is seen of it is one of its states."""
    value: Any = {"dict": {}, "list": [], "set": set(), "deque": collections.deque(), "attributes": Both(left=1)}[kind]
    pieces: Any = vars(value) if kind == "attributes" else value
    ended = threading.Event()

    def run() -> None:
        for number in itertools.count():
            if kind in ("dict", "attributes"):
                pieces.clear()
                pieces.update({f"{number % 2}{place}": number % 2 for place in range(50)})
            elif kind == "set":
                pieces.clear()
                pieces.update(f"{number % 2}{place}" for place in range(50))
            elif kind == "list":
                pieces[:] = [f"{number % 2}"] * 50
            else:
                pieces.append(number)
                pieces.popleft()
            if ended.is_set():
                return

    states = [{f"{half}{place}": half for place in range(size)} for half in (0, 1) for size in range(51)]
    allowed = {encode(state) for state in states} | {encode({}), encode([]), *(encode([half] * 50) for half in "01")}
    thread = threading.Thread(target=run)
    thread.start()
    done, messages = 0, set()
    try:
        stop = time.monotonic() + 0.4
        while time.monotonic() < stop:
            try:
                data = encode(value)
                done += 1
                assert kind not in ("dict", "list") or data in allowed
            except UnhashableError as error:
                messages.add(str(error))
    finally:
        ended.set()
        thread.join()
    assert done > 0
    assert [message for message in messages if "during iteration" not in message] == []


def test_many_threads_use_one_encoder() -> None:
    canonical = Canonical(name_of)
    expected = [encode(value) for value in DIFFERENT]
    found: list[list[bytes]] = []
    threads = [
        threading.Thread(target=lambda: found.append([canonical.encode(value) for value in DIFFERENT]))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8


# Size and cost


def test_large_values_have_few_bytes_and_are_not_copied() -> None:
    data = bytearray(32 << 20)
    tracemalloc.start()
    try:
        for value in (data, memoryview(data), bytes(data)):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            assert len(encode({"a": [value]})) < 200
            assert tracemalloc.get_traced_memory()[1] - before < 1 << 20
    finally:
        tracemalloc.stop()
    assert len(encode(list(range(10**5)))) < 100
    assert len(encode({number: str(number) for number in range(10**4)})) < 100


def test_nothing_is_imported_for_plain_values() -> None:
    script = (
        "import sys; from holdfast.memoize.canonical import Canonical\n"
        "from tests.memoize.samples import PLAIN, name_of\n"
        "for build in PLAIN.values(): Canonical(name_of).encode(build())\n"
        "print([name for name in ('numpy', 'pandas', 'pyarrow', 'polars', 'PIL', 'asyncio', 'inspect', "
        "'holdfast.memoize.frames') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["['inspect']"]  # which dataclasses, of the samples, imports
