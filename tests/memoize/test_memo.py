"""Memoized functions: what counts as the same call, what is kept and for how long, and what can be asked about it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import pickle
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast import EncodeError, InvalidArgumentError, LeaseLost, NotFoundError, RecursiveCallError, UnhashableError
from holdfast.lease import _leases
from holdfast.memoize.memo import Memo


@pytest.fixture
def store(tmp_path: Path) -> Iterator[holdfast.Store]:
    with holdfast.open(tmp_path / "data", timeout=5) as store:
        yield store


class Counted:
    """A function that knows how often its body ran."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __call__(self, *call: Any) -> None:
        self.calls.append(call)

    def __getstate__(self) -> None:  # it does not count for the key
        return None

    @property
    def count(self) -> int:
        return len(self.calls)


@pytest.fixture
def ran() -> Counted:
    return Counted()


# --- what is the same call --------------------------------------------------------------------------------------------


def test_equal_calls_however_written_are_computed_once(store: holdfast.Store, ran: Counted) -> None:
    @store.memoize
    def add(a: int, b: int = 2, *, c: int = 3) -> int:
        ran(a, b, c)
        return a + b + c

    assert add(1) == add(1, 2) == add(a=1) == add(1, b=2, c=3) == add(c=3, b=2, a=1) == 6
    assert ran.calls == [(1, 2, 3)]
    assert add(1, c=4) == 7
    assert add(2) == 7
    assert ran.count == 3
    assert add.stats()[:3] == (4, 3, 3)


def test_collected_arguments_count(store: holdfast.Store, ran: Counted) -> None:
    @store.memoize
    def collect(first: int, /, *rest: int, **named: int) -> Any:
        ran()
        return first, rest, named

    assert collect(1, 2, 3, x=4, y=5) == (1, (2, 3), {"x": 4, "y": 5})
    assert collect(1, 2, 3, y=5, x=4) == (1, (2, 3), {"x": 4, "y": 5})
    assert ran.count == 1
    assert collect(1, 2, x=4, y=5) != collect(1, x=4, y=5)
    assert collect(1, first=2) == (1, (), {"first": 2})
    assert ran.count == 4


def test_types_that_compare_equal_are_told_apart(store: holdfast.Store) -> None:
    @store.memoize
    def kind(value: Any) -> str:
        return type(value).__name__

    assert [kind(value) for value in (1, 1.0, True, "1", b"1", (1,), [1])] == [
        "int", "float", "bool", "str", "bytes", "tuple", "list",
    ]  # fmt: skip


def test_wrong_arguments_are_the_functions_own_error(store: holdfast.Store, ran: Counted) -> None:
    @store.memoize
    def one(a: int, /, b: int = 0) -> None:
        ran()

    wrong: Any = one
    for args, kwargs in (((), {}), ((1, 2, 3), {}), ((1,), {"c": 2}), ((), {"a": 1}), ((1, 2), {"b": 2})):
        with pytest.raises(TypeError, match=r"one\(\): "):
            wrong(*args, **kwargs)
    assert ran.count == 0


@pytest.mark.parametrize("result", [None, 0, "", [], {}, False, (), float("nan"), frozenset()])
def test_false_results_are_results(store: holdfast.Store, ran: Counted, result: Any) -> None:
    @store.memoize
    def nothing() -> Any:
        ran()
        return result

    first, second = nothing(), nothing()
    assert type(first) is type(second) is type(result)
    assert repr(second) == repr(result)
    assert ran.count == 1


def test_exceptions_are_not_kept(store: holdfast.Store, ran: Counted) -> None:
    @store.memoize
    def fails(x: int) -> int:
        ran()
        if ran.count < 3:
            raise ZeroDivisionError("not yet")
        return x

    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="not yet"):
            fails(1)
    assert fails(1) == fails(1) == 1
    assert ran.count == 3


def test_arguments_that_do_not_count(store: holdfast.Store, ran: Counted) -> None:
    @store.memoize(ignore=["verbose"], key={"model": lambda model: model["id"]})
    def run(model: Any, verbose: bool = False) -> int:
        ran()
        return 1

    run({"id": 1, "lock": iter([])})
    run({"id": 1, "lock": None}, verbose=True)
    assert ran.count == 1
    run({"id": 2})
    assert ran.count == 2

    @store.memoize(ignore="log")
    def single(log: Any) -> int:
        ran()
        return 2

    single(iter([]))
    single(3)
    assert ran.count == 3


def test_an_argument_without_a_hash_is_named(store: holdfast.Store, ran: Counted) -> None:
    @store.memoize
    def count(lines: Any, options: Any = None) -> None:
        ran()

    with pytest.raises(UnhashableError, match=r"count: argument 'lines'.*key=.*ignore="):
        count(iter([1]))
    with pytest.raises(UnhashableError, match=r"argument 'options'.*deep.*generator"):
        count([1], options={"deep": (n for n in "")})
    assert ran.count == 0


def test_an_argument_that_the_function_changes_is_keyed_as_it_came(store: holdfast.Store, ran: Counted) -> None:
    @store.memoize
    def drain(values: list[int]) -> int:
        ran()
        total = sum(values)
        values.clear()
        return total

    assert drain([1, 2]) == drain([1, 2]) == 3
    assert drain([]) == 0
    assert ran.count == 2
    assert drain.explain([1, 2]).hit


def test_a_version_stands_for_the_code(store: holdfast.Store, ran: Counted) -> None:
    def make(number: int, version: int | str | None) -> Memo[[], int]:
        @store.memoize(version=version)
        def answer() -> int:
            ran()
            return number

        return answer

    assert make(1, "a")() == make(2, "a")() == 1
    assert make(3, "b")() == 3
    assert make(4, None)() == 4
    assert make(5, None)() == 5
    assert ran.count == 4


def test_a_closure_over_changing_state(store: holdfast.Store, ran: Counted) -> None:
    factor = 2

    @store.memoize
    def scaled(x: int) -> int:
        ran()
        return x * factor

    assert scaled(5) == 10
    factor = 3
    assert scaled(5) == 15
    factor = 2
    assert scaled(5) == 10
    assert ran.count == 2
    assert scaled.explain(5).hit


# --- where, how long, how many ----------------------------------------------------------------------------------------


def double(x: int) -> int:
    return 2 * x


def test_where_results_lie(store: holdfast.Store) -> None:
    name = f"{__name__}.double"
    prod = store.namespace("prod")
    for place, path in (
        (store.memoize(double), f"memo:{name}"),
        (prod.memoize(double), f"namespace:prod/memo:{name}"),
        (store.memoize(double, scope="namespace:a/workflow:b"), f"namespace:a/workflow:b/memo:{name}"),
        (store.memoize(double, scope=prod.workflow("f")), f"namespace:prod/workflow:f/memo:{name}"),
        (prod.memoize(double, scope="workflow:g"), f"namespace:prod/workflow:g/memo:{name}"),
    ):
        assert place(4) == 8
        (record,) = store.scope(path.replace("<", "%3C")).list("call/")
        assert record.tags["x"].endswith(" 4")
    prod.drop()
    assert prod.memoize(double).explain(4).reason == "first call"


def test_the_contexts_store_at_each_call(tmp_path: Path, ran: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLDFAST_STORE", raising=False)
    monkeypatch.chdir(tmp_path)

    @holdfast.memoize(scope="namespace:memos")
    def twice(x: int) -> int:
        ran()
        return 2 * x

    with pytest.raises(holdfast.StoreNotFoundError, match="no store is current"):
        twice(1)
    with holdfast.open(tmp_path / "one") as one, holdfast.open(tmp_path / "two") as two:
        for store in (one, two, one, two):
            with store.context(namespace="anywhere"):
                assert twice(4) == 8
        assert ran.count == 2
        assert [str(child) for child in one.namespace("memos").children()] == [f"namespace:memos/memo:{twice.name}"]


def test_an_expired_result_is_computed_anew(store: holdfast.Store, ran: Counted) -> None:
    @store.memoize(expires=timedelta(seconds=0.3))
    def now() -> int:
        ran()
        return ran.count

    assert now() == now() == 1
    time.sleep(0.35)
    assert now.explain().reason == "expired"
    with pytest.raises(NotFoundError):
        now.peek()
    assert now() == now() == 2


def test_first_in_first_out(store: holdfast.Store) -> None:
    @store.memoize(max_entries=3)
    def same(x: int) -> int:
        return x

    for x in (1, 2, 3, 1, 4):
        same(x)
    assert [same.explain(x).hit for x in (1, 2, 3, 4)] == [False, True, True, True]
    assert same.stats().entries == 3


def test_the_least_recently_used_goes(store: holdfast.Store) -> None:
    @store.memoize(max_entries=3, evict="lru")
    def same(x: int) -> int:
        return x

    for x in (1, 2, 3, 1, 4):
        same(x)
    assert [same.explain(x).hit for x in (1, 2, 3, 4)] == [True, False, True, True]


def test_the_limit_is_of_one_function(store: holdfast.Store) -> None:
    def other(x: int) -> int:
        return x

    one, two = store.memoize(double, max_entries=1), store.memoize(other, max_entries=1)
    one(1), two(1), one(2), two(2)
    assert (one.stats().entries, two.stats().entries) == (1, 1)


# --- asking -----------------------------------------------------------------------------------------------------------


def test_explain_names_what_is_new(store: holdfast.Store) -> None:
    @store.memoize
    def simulate(speed: float, load: float, mode: str = "fast") -> float:
        return speed * load

    assert simulate.explain(1, 2).reason == "first call"
    simulate(1, 2)
    simulate(5, 6)
    assert simulate.explain(1, 2) == (True, "stored", (), simulate.explain(1, 2).record)
    assert bool(simulate.explain(1, 2))
    found = simulate.explain(1, 3)
    assert not found
    assert found.reason == "new arguments"
    assert found.details == ("argument load is 3, was 2",)
    assert str(found) == "miss: new arguments\n  argument load is 3, was 2"
    found = simulate.explain(7, 6, "slow")
    assert found.details == ("argument speed is 7, was 5", "argument mode is 'slow', was 'fast'")
    assert simulate.stats().misses == 2, "explain computes nothing"


def test_explain_says_which_code_changed(store: holdfast.Store) -> None:
    def make(text: str) -> Memo[[int], Any]:
        names: dict[str, Any] = {"__name__": "shop"}
        exec(f"def helper(x): return {text}\ndef price(x): return helper(x)", names)
        return store.memoize(names["price"])

    make("x + 1")(1)
    found = make("x + 2").explain(1)
    assert found.reason == "changed code"
    assert len(found.details) == 1
    assert "helper" in found.details[0]
    found = make("x + 2").explain(5)
    assert found.reason == "changed code"
    assert any("argument x" in line for line in found.details)


def test_peek_forget_clear_and_call(store: holdfast.Store, ran: Counted) -> None:
    @store.memoize
    def slow(x: int) -> int:
        ran()
        return x

    with pytest.raises(NotFoundError, match="slow"):
        slow.peek(1)
    assert slow.call(1) == 1
    with pytest.raises(NotFoundError):
        slow.peek(1)
    slow(1), slow(2)
    assert slow.peek(1) == 1
    assert slow.forget(1)
    assert not slow.forget(1)
    assert slow.stats().entries == 1
    assert slow.clear() == 1
    assert slow.clear() == 0
    assert slow.explain(2).reason == "first call"
    assert slow(2) == 2
    assert slow.explain(2).hit


def test_it_looks_like_the_function(store: holdfast.Store) -> None:
    memo = store.memoize(double)
    assert memo.__name__ == "double"
    assert memo.__wrapped__ is double
    assert inspect.signature(memo) == inspect.signature(double)
    assert repr(memo) == f"<memoized {__name__}.double>"


# --- kinds of functions -----------------------------------------------------------------------------------------------


@dataclass
class Beam:
    length: float
    seen: list[str] = field(default_factory=list)


def test_methods(store: holdfast.Store, ran: Counted) -> None:
    class Bridge(Beam):
        @store.memoize
        def weight(self, density: float) -> float:
            ran()
            return self.length * density

        @classmethod
        @store.memoize
        def standard(cls) -> str:
            ran()
            return cls.__name__

        @staticmethod
        @store.memoize
        def area(a: float, b: float) -> float:
            ran()
            return a * b

    assert Bridge(2.0).weight(3.0) == Bridge(2.0).weight(density=3.0) == 6.0
    assert ran.count == 1
    assert Bridge(2.5).weight(3.0) == 7.5
    assert Bridge(2.0).weight.explain(3.0).hit
    assert Bridge(2.0).weight.peek(3.0) == 6.0
    assert Bridge(2.0).weight.call(3.0) == 6.0
    assert Bridge(2.0).weight.forget(3.0)
    assert Bridge.standard() == Bridge.standard() == "Bridge"
    assert Bridge.area(2, 3) == Bridge(1.0).area(2, 3) == 6
    assert ran.count == 5


def test_partials_and_callable_objects(store: holdfast.Store) -> None:
    memo = store.memoize(functools.partial(pow, 2))
    assert memo(10) == memo(10) == 1024
    assert memo.stats().hits == 1
    other = store.memoize(functools.partial(pow, 3))
    assert other(10) == 59049

    @dataclass
    class Times:
        factor: int

        def __call__(self, x: int) -> int:
            return self.factor * x

    assert store.memoize(Times(2))(5) == 10
    assert store.memoize(Times(3))(5) == 15


def test_coroutine_functions(store: holdfast.Store, ran: Counted) -> None:
    @store.memoize
    async def fetch(x: int) -> int:
        ran()
        await asyncio.sleep(0.05)
        if x == 13:
            raise ZeroDivisionError
        return x

    async def main() -> list[int]:
        found = await asyncio.gather(*(fetch(n % 3) for n in range(30)))
        with pytest.raises(ZeroDivisionError):
            await fetch(13)
        assert await fetch.call(1) == 1
        return list(found)

    assert asyncio.run(main()) == [n % 3 for n in range(30)]
    assert ran.count == 5
    assert asyncio.run(main()) == [n % 3 for n in range(30)], "in another loop too"
    assert ran.count == 7
    assert fetch.peek(2) == 2
    assert asyncio.iscoroutinefunction(fetch)


def test_a_cancelled_computation_lets_the_next_one_go_on(store: holdfast.Store, ran: Counted) -> None:
    @store.memoize
    async def slow(x: int) -> int:
        ran()
        await asyncio.sleep(30 if ran.count == 1 else 0)
        return x

    async def main() -> None:
        first = asyncio.create_task(slow(1))
        await asyncio.sleep(0.2)
        second = asyncio.create_task(slow(1))
        await asyncio.sleep(0.2)
        assert ran.count == 1
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await second == 1

    asyncio.run(main())
    assert ran.count == 2
    assert slow.explain(1).hit


def generates() -> Iterator[int]:
    yield 1


async def generates_async() -> Any:
    yield 1


@pytest.mark.parametrize("function", [generates, generates_async, Beam, 3, None.__class__, classmethod(repr)])
def test_what_cannot_be_memoized(store: holdfast.Store, function: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        store.memoize(function)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"evict": "random"}, "fifo"),
        ({"max_entries": 0}, "max_entries"),
        ({"max_entries": True}, "max_entries"),
        ({"expires": 3}, "timedelta"),
        ({"expires": timedelta(0)}, "above 0"),
        ({"ignore": ["y"]}, "parameters are x"),
        ({"ignore": 3}, "ignore"),
        ({"key": {"y": repr}}, "parameters are x"),
        ({"key": {"x": 1}}, "functions"),
        ({"key": repr}, "map names"),
        ({"version": 1.5}, "version"),
        ({"scope": 3}, "scope"),
        ({"scope": "nonsense"}, "nonsense"),
    ],
)
def test_bad_options_are_told_when_the_function_is_decorated(store: holdfast.Store, options: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        store.memoize(double, **options)
    with pytest.raises(InvalidArgumentError, match=message):
        store.memoize(**options)(double)


def test_an_unknown_option(store: holdfast.Store) -> None:
    with pytest.raises(TypeError, match=r"'expire'.*expires"):
        store.memoize(expire=3)  # type: ignore[call-overload]


def test_not_in_a_transaction(store: holdfast.Store) -> None:
    with store.transaction() as tx, pytest.raises(InvalidArgumentError, match="transaction"):
        tx.namespace("prod").memoize(double)


def test_a_memoized_function_travels(store: holdfast.Store) -> None:
    copied = pickle.loads(pickle.dumps(MODULE_LEVEL))
    assert copied is MODULE_LEVEL


MODULE_LEVEL = holdfast.memoize(double)
MODULE_LEVEL.__qualname__ = "MODULE_LEVEL"


# --- results ----------------------------------------------------------------------------------------------------------


def test_large_results_come_back_mapped(store: holdfast.Store) -> None:
    @store.memoize
    def field_of(n: int) -> Any:
        return {"n": n, "field": np.arange(n, dtype="f8")}

    first, second = field_of(1_000_000), field_of(1_000_000)
    assert np.array_equal(first["field"], second["field"])
    second["field"][0] = 42.0
    assert field_of(1_000_000)["field"][0] == 0.0
    base = second["field"]
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert not base.flags.owndata
    assert type(base.base).__module__ == "holdfast.storages.mapping"


def test_a_result_that_cannot_be_kept_is_an_error(store: holdfast.Store) -> None:
    @store.memoize
    def opens() -> Any:
        return threading.Lock()

    with pytest.raises(EncodeError, match=r"the result of .*opens cannot be kept.*\.call\(\)"):
        opens()
    assert opens.call()


def test_a_generator_that_is_no_generator_function(store: holdfast.Store) -> None:
    memo = store.memoize(lambda: (n for n in (1, 2)))
    with pytest.raises(EncodeError):
        memo()


def test_a_damaged_result_is_computed_anew(
    store: holdfast.Store, ran: Counted, caplog: pytest.LogCaptureFixture
) -> None:
    @store.memoize
    def large() -> bytes:
        ran()
        return bytes(1_000_000)

    large()
    (blob,) = (path for path in Path(store.config.store, "files").rglob("*") if path.stat().st_size == 1_000_000)
    blob.chmod(0o600)
    blob.write_bytes(b"x" * 1_000_000)
    assert large.explain().reason == "damaged"
    with caplog.at_level(logging.WARNING, "holdfast"):
        assert large() == bytes(1_000_000)
    assert "not usable" in caplog.text
    assert ran.count == 2
    assert large() == bytes(1_000_000)
    assert ran.count == 2, "it is mended"
    assert large.explain().hit


def test_a_busy_store_does_not_take_the_result_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with holdfast.open(tmp_path / "data", timeout=0.2) as store, holdfast.open(tmp_path / "data") as other:
        memo = store.memoize(double)
        catalog: Any = other._kernel.catalog
        done = threading.Event()
        thread = threading.Thread(target=lambda: catalog.transaction(lambda session: done.wait(20)))
        thread.start()
        time.sleep(0.1)
        try:
            with caplog.at_level(logging.WARNING, "holdfast"):
                assert memo(4) == 8
            assert "will not be kept" in caplog.text
        finally:
            done.set()
            thread.join()
        assert memo.explain(4).reason == "first call"
        assert memo(4) == 8
        assert memo.explain(4).hit


@pytest.mark.parametrize("lost", [False, True])
def test_a_store_that_goes_does_not_take_the_result_away(tmp_path: Path, lost: bool) -> None:
    folder = tmp_path / "data"
    with holdfast.open(folder) as store:

        @store.memoize
        def f(x: int) -> int:
            if x == 2:
                (lease,) = [lease for lease in list(_leases) if lease.held and lease._kernel is store._kernel]
                if lost:
                    store._kernel.catalog.acquire(lease.name, "another", 60.0, dead=lease.owner)
                    with pytest.raises(LeaseLost):
                        lease.renew()  # as it is in the background
                folder.rename(tmp_path / "elsewhere")
                time.sleep(0.1)
            return -x

        assert f(1) == -1
        assert f(2) == -2
        (tmp_path / "elsewhere").rename(folder)


# --- many callers -----------------------------------------------------------------------------------------------------


def test_threads_compute_once(store: holdfast.Store, ran: Counted) -> None:
    @store.memoize
    def slow(x: int) -> int:
        ran()
        time.sleep(0.2)
        return x

    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(slow(7))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [7] * 16
    assert ran.count == 1
    assert slow.stats()[:2] == (15, 1)


def test_when_the_first_one_fails_the_next_one_tries(store: holdfast.Store, ran: Counted) -> None:
    @store.memoize
    def fails_once() -> int:
        ran()
        time.sleep(0.1)
        if ran.count == 1:
            raise ZeroDivisionError
        return 5

    results: list[Any] = []

    def work() -> None:
        try:
            results.append(fails_once())
        except ZeroDivisionError:
            results.append("failed")

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, results)) == ["5"] * 5 + ["failed"]
    assert ran.count == 2


def test_a_call_that_needs_its_own_result(store: holdfast.Store) -> None:
    @store.memoize
    def one(n: int) -> int:
        return two(n)

    @store.memoize
    def two(n: int) -> int:
        return one(n)

    with pytest.raises(RecursiveCallError, match="one"):
        one(1)

    @store.memoize
    async def loops(n: int) -> int:
        return int(await asyncio.create_task(loops(n)))

    with pytest.raises(RecursiveCallError):
        asyncio.run(loops(1))


def test_recursion_into_other_keys_is_fine(store: holdfast.Store, ran: Counted) -> None:
    @store.memoize
    def fibonacci(n: int) -> int:
        ran()
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(15) == 610
    assert ran.count == 16


def test_who_was_asleep_for_too_long_commits_nothing(store: holdfast.Store, ran: Counted) -> None:
    @store.memoize
    def slow() -> int:
        ran()
        if ran.count == 1:
            # As after a stop of the whole process: the lease ended, and somebody else has it.
            catalog: Any = store._kernel.catalog
            catalog.write("UPDATE leases SET token=token+1000")
        return ran.count

    assert slow() == 1, "its caller gets what it computed"
    assert slow.explain().reason == "first call"
    assert slow() == 2
