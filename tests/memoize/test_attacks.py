"""Attempts to get a wrong result, a hang or a loss out of memoized functions, each by a small program of its own."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import holdfast
from holdfast import RecursiveCallError
from holdfast.lease import name_in
from holdfast.memoize import flights
from holdfast.memoize.identity import canonical
from holdfast.memoize.memo import Miss

from .test_code import prints, write


@pytest.fixture
def store(tmp_path: Path) -> Iterator[holdfast.Store]:
    with holdfast.open(tmp_path / "data", timeout=5) as store:
        yield store


def all_different(values: list[Any]) -> None:
    encoded = [canonical.encode(value) for value in values]
    assert len(set(encoded)) == len(values)


def noted(value: Any, unit: str) -> Any:
    value.unit = unit
    return value


# --- arguments --------------------------------------------------------------------------------------------------------


def test_what_is_missing_in_a_series_of_objects_counts() -> None:
    missing = [None, np.nan, pd.NA, pd.NaT, np.datetime64("NaT"), 0, False, ""]
    all_different([pd.Series([item], dtype=object) for item in missing])
    all_different([pd.Index([item], dtype=object) for item in missing])
    all_different([pd.Series([number]) for number in (0.0, -0.0, np.nan)])


def test_attributes_that_were_set_on_objects_of_libraries_count() -> None:
    for make in (
        lambda: pd.DataFrame({"a": [1]}),
        lambda: pd.Series([1]),
        lambda: pd.Index([1]),
        lambda: np.ma.array([1]),
        lambda: pl.DataFrame({"a": [1]}),
    ):
        all_different([make(), noted(make(), "m"), noted(make(), "s")])
        assert canonical.encode(noted(make(), "m")) == canonical.encode(noted(make(), "m"))
    used = pd.Series(["a"])
    assert used.str.upper().item() == "A"  # accessors are no attributes, wherever a version keeps them
    assert canonical.encode(used) == canonical.encode(pd.Series(["a"]))


def test_the_order_of_ordered_categories_counts_in_arrow() -> None:
    def array(numbers: list[int], words: list[str], ordered: bool) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(pa.array(numbers), pa.array(words), ordered=ordered)

    first, second = array([0, 1], ["a", "b"], True), array([1, 0], ["b", "a"], True)
    assert first.to_pylist() == second.to_pylist()
    all_different([first, second, array([0, 1], ["a", "b", "c"], True), array([0, 1], ["a", "b"], False)])
    # Without an order it is a way to lie in memory, which depends on how the column came about.
    assert canonical.encode(array([0, 1], ["a", "b"], False)) == canonical.encode(array([1, 0], ["b", "a"], False))


def test_the_fold_of_a_timestamp_counts() -> None:
    all_different(
        [pd.Timestamp(2024, 10, 27, 1, 30, fold=fold, tz=zone) for fold in (0, 1) for zone in (None, "Europe/London")]
    )


class Hostile:
    """What every question about it fails on."""

    def __init__(self) -> None:
        self.number = 1

    def _fail(self, *_: Any) -> Any:
        raise RuntimeError("it was asked")

    __repr__ = __eq__ = __hash__ = __len__ = __bool__ = __iter__ = __getattr__ = _fail


class Text(str):
    __repr__ = __getitem__ = __len__ = __hash__ = Hostile._fail


@pytest.mark.parametrize(
    "make", [Hostile, lambda: [Hostile()], lambda: Text("a"), lambda: 10**5000, lambda: [[10**5000]]]
)
def test_what_is_remembered_of_an_argument_never_fails(store: holdfast.Store, make: Callable[[], Any]) -> None:
    @store.memoize
    def f(x: Any) -> int:
        return 1

    assert f(make()) == 1
    assert f.explain(make()).hit
    assert f(make()) == 1
    assert f.stats()[:2] == (1, 1)


def test_long_arguments_are_not_written_out(store: holdfast.Store) -> None:
    @store.memoize
    def f(x: Any) -> int:
        return 1

    f([[0] * 1000])
    f(["a"] * 15)
    f([(1, 2.5, None), {"a": b"b"}])
    texts = {record.tags["x"].partition(" ")[2] for record in f._shelf().records()}
    assert texts == {"list", "[(1, 2.5, None), {'a': b'b'}]"}


# --- code -------------------------------------------------------------------------------------------------------------


def test_what_says_how_an_argument_counts_is_code(store: holdfast.Store) -> None:
    def make(key: Callable[[int], int]) -> Any:
        def f(x: int) -> int:
            return x

        return store.memoize(f, key={"x": key})

    first, second = make(lambda x: x % 10), make(lambda x: x // 10)
    assert (first(13), second(30)) == (13, 30)
    assert make(lambda x: x % 10)(23) == 13
    details = make(lambda x: x % 20).explain(13).details
    assert details[0].startswith("key of x: "), details


MADE_WHEN_ASKED = """
STATE = [1]
def __getattr__(name):
    if name not in ("made", "new"):
        raise AttributeError(name)
    return STATE[0] if name == "made" else lambda x: x
"""

ASKS = """
import maker
def g(*, y=1):
    return y
def f(x):
    maker.new(x)  # another function each time, which says the same
    return maker.made, g()
"""


def test_what_a_module_makes_and_defaults_that_change_in_place_are_seen(
    store: holdfast.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "maker.py").write_text(MADE_WHEN_ASKED)
    (tmp_path / "asks.py").write_text(ASKS)
    monkeypatch.syspath_prepend(tmp_path)
    asks = importlib.import_module("asks")
    memo = store.memoize(asks.f)
    assert [memo(1), memo(1), memo.stats().misses] == [(1, 1), (1, 1), 1]
    asks.maker.STATE[0] = 2
    assert [memo(1), memo(1), memo.stats().misses] == [(2, 1), (2, 1), 2]
    asks.g.__kwdefaults__["y"] = 3
    assert [memo(1), memo(1), memo.stats().misses] == [(2, 3), (2, 3), 3]
    asks.maker.STATE[0] = 1
    asks.g.__kwdefaults__["y"] = 1
    assert [memo(1), memo.stats().misses] == [(1, 1), 3]


CURRIED = """
import toolz
@toolz.curry
def h(x, y):
    return x + y + 1
def f(x):
    return h(x)(2)
"""

MADE = """
import attrs
C = attrs.make_class("C", dict(a=attrs.field(converter=lambda value: value + 1)))
def f(x):
    return C(x).a
"""


@pytest.mark.parametrize("text", [CURRIED, MADE])
def test_code_within_objects_of_packages_counts(text: str, tmp_path: Path) -> None:
    found: list[Any] = []
    for number in (1, 1, 2):
        files = {"__init__.py": "", "main.py": text.replace("+ 1", f"+ {number}")}
        found.append(prints(write(tmp_path / f"{len(found)}", {"one": files}), ["one"])["one"])
    assert found[0] == found[1]
    assert found[0][0] != found[2][0]


LIMIT = 1


def test_what_was_computed_by_other_code_than_was_asked_for_is_not_kept(store: holdfast.Store) -> None:
    def f(x: int) -> int:
        return x + LIMIT

    memo = store.memoize(f)
    try:
        with ThreadPoolExecutor() as pool:
            with store.lease(name_of_lease(memo, 1)):
                waiting = pool.submit(memo, 1)
                while not flights._leading:
                    pass
                globals()["LIMIT"] = 2
            assert waiting.result(10) == 3
        globals()["LIMIT"] = 1
        assert memo(1) == 2
    finally:
        globals()["LIMIT"] = 1


def name_of_lease(memo: Any, *args: Any) -> str:
    from hashlib import sha256

    code, key = memo._named(args, {})
    shelf = memo._shelf()
    call = Miss(memo, shelf, code, key, args, {}).flight.call
    return name_in(shelf.scope.path, f"memo/{sha256(call.encode()).hexdigest()[:32]}")


# --- errors -----------------------------------------------------------------------------------------------------------


def make(store: holdfast.Store, raised: BaseException) -> Callable[[], Any]:
    @store.memoize(version=1)
    def f(x: int) -> None:
        raise raised

    return lambda: f(1)


def make_async(store: holdfast.Store, raised: BaseException) -> Callable[[], Any]:
    @store.memoize(version=1)
    async def f(x: int) -> None:
        raise raised

    return lambda: asyncio.run(f(1))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        *((make, error) for error in (StopIteration, GeneratorExit, KeyboardInterrupt, RuntimeError)),
        *((make_async, error) for error in (StopAsyncIteration, RuntimeError, asyncio.CancelledError)),
    ],
)
def test_whatever_is_raised_comes_out_as_it_is(
    store: holdfast.Store, make: Callable[..., Callable[[], Any]], error: type[BaseException]
) -> None:
    raised = error("so")
    call = make(store, raised)
    for _ in range(2):
        with pytest.raises(error) as caught:
            call()
        assert caught.value is raised
        assert caught.value.__cause__ is caught.value.__context__ is None
    assert not flights._leading


# --- waiting ----------------------------------------------------------------------------------------------------------


def test_calls_in_threads_that_wait_for_each_other_raise(store: holdfast.Store) -> None:
    together, met = threading.Barrier(3), threading.Event()

    @store.memoize(version=1)
    def f(x: int) -> int:
        if not met.is_set():
            together.wait(5)
            met.set()
        return f((x + 1) % 3)

    with ThreadPoolExecutor() as pool:
        for future in [pool.submit(f, number) for number in range(3)]:
            with pytest.raises(RecursiveCallError, match="by the very call that computes them"):
                future.result(10)
    assert not flights._leading
    assert not flights._waiting


def test_calls_in_tasks_that_wait_for_each_other_raise(store: holdfast.Store) -> None:
    @store.memoize(version=1)
    async def f(x: int) -> int:
        await asyncio.sleep(0.1)
        return await f(1 - x)

    async def main() -> list[Any]:
        async with asyncio.timeout(10):
            return list(await asyncio.gather(f(0), f(1), return_exceptions=True))

    assert {type(error) for error in asyncio.run(main())} == {RecursiveCallError}


def test_one_call_may_be_waited_for_by_many_that_are_computed(store: holdfast.Store) -> None:
    @store.memoize(version=1)
    def common(x: int) -> int:
        threading.Event().wait(0.1)
        return x

    @store.memoize(version=1)
    def outer(x: int) -> int:
        return common(0) + common(x % 2) + x

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(outer, range(16))) == [x % 2 + x for x in range(16)]
    assert common.stats().misses == 2


def test_a_coroutine_that_is_not_awaited_any_more_keeps_nobody_waiting(store: holdfast.Store) -> None:
    begun = threading.Event()

    @store.memoize(version=1)
    async def f(x: int) -> int:
        if not begun.is_set():
            begun.set()
            await asyncio.sleep(60)
        return x

    async def begin() -> Any:
        call: Any = f(1)
        task = asyncio.ensure_future(call)
        while not begun.is_set():
            await asyncio.sleep(0.01)
        task._log_destroy_pending = False
        return task

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin()).get_coro().close()
    assert not flights._leading
    loop.close()
    assert asyncio.run(asyncio.wait_for(f(1), 10)) == 1


def test_a_key_of_a_coroutine_function_is_asked_in_its_context(store: holdfast.Store) -> None:
    @store.memoize(key={"name": lambda name: holdfast.get(name)}, version=1)
    async def f(name: str) -> Any:
        return holdfast.get(name)

    async def main() -> list[Any]:
        found = []
        for number in range(2):
            with store.context(namespace=f"n{number}"):
                holdfast.put("k", [number])
                found.append(await f("k"))
        return found

    assert asyncio.run(main()) == [[0], [1]]


@pytest.mark.long
def test_interrupts_leave_nothing_behind(tmp_path: Path) -> None:
    program = Path(__file__).with_name("interrupted.py")
    done = subprocess.run(
        [sys.executable, program, tmp_path / "data", "3", "1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    interrupts, went_on = done.stdout.split()
    assert int(interrupts) > 50
    assert went_on == "True"
