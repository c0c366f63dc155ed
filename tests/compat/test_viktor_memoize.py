"""VIKTOR's memoize: behaviours V13 to V15."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.compat.viktor import File, Storage, memoize

from .jobs import python

Runs = Callable[[], list[str]]

JOB = """
import sys
from holdfast.compat.viktor import Storage, memoize

@memoize
def func(*, a, b, c):
    print("run", end=" ")
    return {"sum": a + b + c, "none": None}

@memoize
def other(*, a):
    print("run", end=" ")
    return a

print(eval(sys.argv[1]))
"""


@pytest.fixture
def jobs() -> Any:
    """Runs an expression as a job of its own on one store."""
    Path("job.py").write_text(JOB)
    return lambda expression, **more: python("job.py", expression, HOLDFAST_STORE="data", **more).stdout.strip()


@pytest.fixture
def runs(capsys: pytest.CaptureFixture[str]) -> Runs:
    """What the functions printed since it was asked last; a list that they append to would be code that changes."""
    return lambda: capsys.readouterr().out.splitlines()


def test_v13_equal_arguments_give_the_stored_result_in_any_job(jobs: Any) -> None:
    result = "{'sum': 6, 'none': None}"
    assert jobs("func(a=1, b=2, c=3)") == f"run {result}"
    assert jobs("func(c=3, b=2, a=1)") == result
    assert jobs("[func(a=1, b=2, c=3)['sum'] for _ in range(3)]") == "[6, 6, 6]"
    for changed in ("a=0, b=2, c=3", "a=1, b=0, c=3", "a=1, b=2, c=0"):
        assert jobs(f"func({changed})['sum']").startswith("run ")
        assert not jobs(f"func({changed})['sum']").startswith("run ")
    assert jobs("func(a=1, b=2, c=3)") == result


def test_v13_in_this_process_and_in_any_context_of_the_store(store: holdfast.Store, tmp_path: Path, runs: Runs) -> None:
    @memoize
    def func(*, a: int, b: int = 2) -> int | None:
        """What it does."""
        print(a, b)
        return None if a == 0 else a + b

    with store.context(workspace="w", entity="Span.A1"):
        assert [func(a=1), func(a=1, b=2), func(a=0), func(a=0)] == [3, 3, None, None]
    with store.context(workspace="v"):
        assert func(a=1) == 3
    assert runs() == ["1 2", "0 2"]
    with holdfast.open(tmp_path / "another") as another, another.context():
        assert func(a=1) == 3
    assert runs() == ["1 2"]
    assert (func.name.rpartition(".")[2], func.__doc__) == ("func", "What it does.")
    assert [str(scope) for scope in store.children()] == ["viktor:memoize"]
    with pytest.raises(holdfast.StoreNotFoundError, match="HOLDFAST_STORE"):
        func(a=1)


def test_v13_results_expire_after_24_hours_or_as_set(
    store: holdfast.Store, monkeypatch: pytest.MonkeyPatch, runs: Runs
) -> None:
    def body(*, a: int) -> int:
        print(a)
        return a

    def lifetime() -> float:
        (scope,) = store.scope("viktor:memoize").children()
        (record,) = scope.list("call/")
        assert record.expires is not None
        return (record.expires - record.updated).total_seconds()

    with store.context():
        func = memoize(body)
        func(a=1)
        assert lifetime() == pytest.approx(86400, abs=5)
        assert func.forget(a=1)
        monkeypatch.setenv("HOLDFAST_VIKTOR_EXPIRES", "1.5")
        func = memoize(body)
        func(a=1)
        func(a=1)
        assert lifetime() == pytest.approx(1.5, abs=0.1)
        time.sleep(1.6)
        assert runs() == ["1", "1"]
        func(a=1)
        assert runs() == ["1"]
        for bad in ("soon", "0", "-1", "nan", "1e10"):
            monkeypatch.setenv("HOLDFAST_VIKTOR_EXPIRES", bad)
            with pytest.raises(holdfast.InvalidArgumentError, match="HOLDFAST_VIKTOR_EXPIRES must be a number of sec"):
                memoize(body)


def test_v13_what_is_no_function_is_an_error() -> None:
    bad: Any
    for bad in (None, 3, "func", dict, property(lambda self: 1)):
        with pytest.raises(holdfast.InvalidArgumentError):
            memoize(bad)


def test_v13_an_argument_without_a_hash_is_an_error(store: holdfast.Store) -> None:
    @memoize
    def func(*, a: object) -> int:
        return 1

    with (
        store.context(),
        pytest.raises(holdfast.UnhashableError, match=r"'a'.*; pass a plain value, or .* store\.memoize"),
    ):
        func(a=object())


def test_v13_a_file_is_another_argument_when_its_content_is(store: holdfast.Store, tmp_path: Path, runs: Runs) -> None:
    @memoize
    def func(*, file: File) -> str:
        print("run")
        return file.getvalue()

    path = tmp_path / "local"
    path.write_text("1")
    with store.context(workspace="w"):
        Storage().set("k", File.from_data("1"), scope="workspace")
        for file in (
            lambda: File.from_data("1"),
            lambda: File.from_path(path),
            lambda: Storage().get("k", scope="workspace"),
        ):
            assert func(file=file()) == func(file=file()) == "1"
        assert len(runs()) == 3
        path.write_text("two")
        Storage().set("k", File.from_data("two"), scope="workspace")
        for file in (lambda: File.from_path(path), lambda: Storage().get("k", scope="workspace")):
            assert func(file=file()) == func(file=file()) == "two"
        assert len(runs()) == 2


def test_v13_a_file_of_the_store_is_the_same_argument_in_any_job(jobs: Any) -> None:
    with holdfast.open("data") as store, store.context():
        Storage().set("k", File.from_data("x" * 100_000), scope="workspace")
    size = "(lambda file: len(other(a=file).getvalue()))(Storage().get('k', scope='workspace'))"
    assert [jobs(size), jobs(size)] == ["run 100000", "100000"]


def test_v14_in_development_the_10_newest_calls_of_all_functions_are_kept(jobs: Any) -> None:
    for number in range(6):
        assert jobs(f"(func(a={number}, b=0, c=0)['sum'], other(a={number}))") == f"run run ({number}, {number})"
    # 12 calls, by turns: the first of each function is gone
    assert jobs("[other(a=n) for n in range(5, 0, -1)]") == "[5, 4, 3, 2, 1]"
    assert jobs("[func(a=n, b=0, c=0)['sum'] for n in range(5, 0, -1)]") == "[5, 4, 3, 2, 1]"
    # first in, first out: a hit makes no call newer
    assert jobs("func(a=0, b=0, c=0)['sum']") == "run 0"
    assert jobs("[func(a=n, b=0, c=0)['sum'] for n in (2, 3, 4, 5, 0)]") == "[2, 3, 4, 5, 0]"
    assert jobs("func(a=1, b=0, c=0)['sum']") == "run 1"
    with holdfast.open("data") as store:
        kept = [record for scope in store.scope("viktor:memoize").children() for record in scope.list("call/")]
        assert len(kept) == 10


def test_v14_production_lifts_the_limit(jobs: Any) -> None:
    numbers = "[func(a=n, b=0, c=0)['sum'] for n in range(15)] + [other(a=n) for n in range(15)]"
    jobs(numbers, HOLDFAST_ENV="production")
    assert "run" not in jobs(numbers, HOLDFAST_ENV="production")
    assert "run" not in jobs(numbers, HOLDFAST_ENV="development")
    jobs("other(a='one more')", HOLDFAST_ENV="development")
    with holdfast.open("data") as store:
        assert sum(1 for scope in store.scope("viktor:memoize").children() for _ in scope.keys("call/")) == 10


def test_v14_native_results_are_not_touched(store: holdfast.Store, runs: Runs) -> None:
    @store.memoize
    def native(a: int) -> int:
        print(a)
        return a

    @memoize
    def func(*, a: int) -> int:
        return a

    with store.context():
        assert [native(n) for n in range(20)] == [func(a=n) for n in range(20)] == [native(n) for n in range(20)]
        assert len(runs()) == 20
        assert (native.stats().entries, func.stats().entries) == (20, 10)


def test_v15_however_it_is_called_it_is_one_call(store: holdfast.Store, runs: Runs) -> None:
    @memoize
    def func(x: Any, y: Any = 2) -> Any:
        print(x, y)
        return x

    with store.context():
        assert func(1, y=2) == func(x=1, y=2) == func(1, 2) == func(y=2, x=1) == func(1) == 1
        assert runs() == ["1 2"]


def test_v15_types_come_back_as_they_were_returned(store: holdfast.Store) -> None:
    values = [(1, (2, 3)), [1, (2,)], {"a": (1,), 2: {3}}, {(1, 2): None}, b"x", 1.0, True]

    @memoize
    def func(*, value: Any) -> Any:
        return value

    with store.context():
        for value in values:
            assert repr(func(value=value)) == repr(func(value=value)) == repr(value)
            assert func.peek(value=value) == value
        assert type(func(value=(1, 2))) is tuple
        assert type(func(value=[1, 2])) is list
