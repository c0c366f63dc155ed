"""What every executor must do, as tests to inherit; each engine runs all of them for real."""

from __future__ import annotations

import asyncio
import concurrent.futures
import pickle
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any, ClassVar

import numpy as np
import pytest

import holdfast
from holdfast import executors
from holdfast.errors import BusyError, ClosedError, EncodeError, InvalidArgumentError, TaskLost
from holdfast.executors import Executor, Future
from holdfast.memory import in_force

from . import deeds

SOON = 60.0
"""Seconds for anything that takes a moment on an idle machine."""


class ExecutorSuite:
    """A subclass says how to open one: the fixture ``executor`` is the :meth:`first`, for all its tests."""

    name: ClassVar[str]
    memory: ClassVar[str]
    separate: ClassVar[bool] = True
    """Whether tasks run in other processes."""
    cpus: ClassVar[int] = 2
    delay: ClassVar[float] = 0.0
    """Seconds for a word to come to the workers."""
    nests: ClassVar[bool] = True
    """Whether tasks may submit tasks."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[holdfast.Store]:
        with holdfast.open(tmp_path / "store") as store:
            yield store

    @classmethod
    def first(cls, request: pytest.FixtureRequest) -> Executor:
        """An executor of :attr:`cpus` workers."""
        raise NotImplementedError

    def opened(self, executor: Executor) -> Executor:
        """Another executor like that one, to be closed; the other goes on."""
        raise NotImplementedError

    # --- calls and results ------------------------------------------------------------------------------------------

    def test_it_says_what_it_is(self, executor: Executor) -> None:
        assert (executor.name, executor.memory) == (self.name, self.memory)
        there = executor.resources
        assert there.cpus == self.cpus
        assert there.memory is None or there.memory > 1 << 20

    def test_results_come_in_the_order_of_the_futures(self, executor: Executor) -> None:
        futures = [executor.submit(deeds.add, number, b=10) for number in range(10)]
        assert executor.gather(futures, timeout=SOON) == list(range(10, 20))
        assert [future.result() for future in reversed(futures)] == list(range(19, 9, -1))
        assert all(future.done() and not future.running() for future in futures)

    def test_functions_that_no_module_has(self, executor: Executor) -> None:
        factor = 3

        class Local:
            def __init__(self, value: int) -> None:
                self.value = value

        def inner(item: Local) -> Local:
            return Local(item.value * factor)

        found = executor.submit(inner, Local(5)).result(SOON)
        assert type(found) is Local
        assert found.value == 15
        assert executor.submit(lambda *args, **kwargs: (args, kwargs), 1, a=2).result(SOON) == ((1,), {"a": 2})

    def test_falsy_results(self, executor: Executor) -> None:
        values: list[Any] = [None, 0, "", [], False]
        for value in values:
            assert executor.submit(lambda value=value: value).result(SOON) == value

    def test_where_it_runs(self, executor: Executor) -> None:
        import os

        assert (executor.submit(deeds.process).result(SOON) == os.getpid()) is not self.separate

    def test_large_arrays(self, executor: Executor) -> None:
        array = np.arange(4 << 20, dtype="f8")
        future = executor.submit(deeds.doubled, array)
        assert np.array_equal(future.result(SOON), array * 2)
        assert executor.submit(lambda: deeds.total(array)).result(SOON) == array.sum()  # of a closure

    def test_submitted_from_many_threads(self, executor: Executor) -> None:
        found: list[list[int]] = []

        def submit(first: int) -> None:
            futures = [executor.submit(deeds.add, first, number) for number in range(5)]
            found.append(executor.gather(futures, timeout=SOON))

        threads = [threading.Thread(target=submit, args=(first * 100,)) for first in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found) == [[first * 100 + number for number in range(5)] for first in range(6)]

    def test_futures_are_those_of_the_standard_library(self, executor: Executor) -> None:
        async def ask() -> int:
            return await asyncio.wrap_future(executor.submit(deeds.add, 1))

        assert asyncio.run(ask()) == 2
        futures = {executor.submit(deeds.add, number): number for number in range(3)}
        for future in concurrent.futures.as_completed(futures, SOON):
            assert future.result() == futures[future] + 1  # type: ignore[index]

    # --- surroundings -----------------------------------------------------------------------------------------------

    def test_the_run_context_is_the_submitters(self, executor: Executor, store: holdfast.Store) -> None:
        with store.context(namespace="prod", workflow="forecast"):
            futures = [executor.submit(deeds.where)]
            with store.context(instance="monday"):
                futures.append(executor.submit(deeds.where))
        with store.context(workspace="bridges", entity="Span.A1"):
            futures.append(executor.submit(deeds.where))
        assert executor.gather(futures, timeout=SOON) == [
            ("namespace:prod/workflow:forecast", self.memory),
            ("namespace:prod/workflow:forecast/instance:monday", self.memory),
            ("workspace:bridges/entity:Span.A1", self.memory),
        ]

    def test_what_a_task_puts_is_there(self, executor: Executor, store: holdfast.Store) -> None:
        with store.context(namespace="prod") as scope:
            futures = [executor.submit(deeds.keep, f"key{number}", {"n": number}) for number in range(4)]
            assert all(version > 0 for version in executor.gather(futures, timeout=SOON))
            assert [scope.get(f"key{number}") for number in range(4)] == [{"n": number} for number in range(4)]

    def test_the_memory_is_in_force_within_the_block(self, executor: Executor) -> None:
        assert in_force.get() is None
        with executors.using(executor) as same:
            assert same is executor
            assert in_force.get() == self.memory
        assert in_force.get() is None
        with self.opened(executor) as other:
            assert in_force.get() == other.memory == self.memory
        assert in_force.get() is None
        assert executor.submit(deeds.add, 1).result(SOON) == 2  # neither block ended it

    def test_a_store_in_memory(self, executor: Executor) -> None:
        with holdfast.open("memory:") as store, store.context(namespace="prod") as scope:
            if not self.separate:
                executor.submit(deeds.keep, "a", 1).result(SOON)
                assert scope.get("a") == 1
                return
            with pytest.raises(InvalidArgumentError, match=r"run context .* in memory .* folder.*'threads'"):
                executor.submit(deeds.keep, "a", 1)
            assert not scope.exists("a")

    # --- errors -----------------------------------------------------------------------------------------------------

    def test_an_error_comes_as_it_is(self, executor: Executor) -> None:
        error = holdfast.NotFoundError("no such thing")
        error.add_note("looked everywhere")
        future = executor.submit(deeds.fail, error)
        with pytest.raises(holdfast.NotFoundError, match="no such thing") as caught:
            future.result(SOON)
        assert caught.value.__notes__ == ["looked everywhere"]
        assert future.exception() is caught.value
        if self.separate:
            assert 'deeds.py", line' in str(caught.value.__cause__)
            assert "in fail" in str(caught.value.__cause__)
        else:
            assert caught.value is error

    def test_errors_that_end_programs_end_a_task(self, executor: Executor) -> None:
        for error in (SystemExit(3), KeyboardInterrupt()):
            found = executor.submit(deeds.fail, error).exception(SOON)
            assert type(found) is type(error)
            assert found.args == error.args
        assert executor.submit(deeds.add, 1).result(SOON) == 2

    def test_an_error_that_cannot_be_pickled(self, executor: Executor) -> None:
        if not self.separate:
            assert isinstance(executor.submit(deeds.fail_stubbornly).exception(SOON), deeds.Stubborn)
            return
        known: list[tuple[Any, str]] = [(deeds.fail_stubbornly, "this and that"), (deeds.fail_with_lock, "with a lock")]
        for deed, text in known:
            with pytest.raises(EncodeError, match=text) as caught:
                executor.submit(deed).result(SOON)
            assert deed.__name__ in str(caught.value.__cause__)

    def test_what_cannot_be_pickled_is_named(self, executor: Executor) -> None:
        if not self.separate:
            assert executor.submit(deeds.give_lock).result(SOON)["outer"]
            return
        lock = threading.Lock()
        with pytest.raises(EncodeError, match=r"argument 2 of add cannot .* value\['a'\], a _thread.lock"):
            executor.submit(deeds.add, 1, {"a": lock})
        with pytest.raises(EncodeError, match=r"argument b= of add"):
            executor.submit(deeds.add, 1, b=lock)
        with pytest.raises(EncodeError, match=r"the function itself"):
            executor.submit(lambda: lock)
        with pytest.raises(EncodeError, match=r"result of give_lock cannot .*\['outer'\], a _thread.lock"):
            executor.submit(deeds.give_lock).result(SOON)

    def test_a_worker_that_dies(self, executor: Executor) -> None:
        if not self.separate:
            return
        known: list[tuple[Any, ...]] = [(deeds.add, 1), (deeds.die,), (deeds.add, 2)]
        futures: list[Future[Any]] = [executor.submit(deed, *args) for deed, *args in known]
        with pytest.raises(TaskLost, match=r"that ran die.*submit it again"):
            futures[1].result(SOON)
        assert [futures[0].result(SOON), futures[2].result(SOON)] == [2, 3]
        assert executor.gather([executor.submit(deeds.add, n) for n in range(4)], timeout=SOON) == [1, 2, 3, 4]

    # --- waiting and cancelling -------------------------------------------------------------------------------------

    def test_a_time_that_is_over(self, executor: Executor, tmp_path: Path) -> None:
        future = executor.submit(deeds.touch_and_wait, tmp_path / "a")
        with pytest.raises(BusyError, match=r"touch_and_wait has not ended within 0.1 s"):
            future.result(0.1)
        with pytest.raises(TimeoutError):
            future.exception(0)
        with pytest.raises(BusyError, match="1 of 1 tasks"):
            executor.gather([future], timeout=0.1)
        (tmp_path / "a.go").touch()
        assert future.result(SOON) is None
        with pytest.raises(TimeoutError, match="mine") as caught:
            executor.submit(deeds.fail, TimeoutError("mine")).result(SOON)
        assert not isinstance(caught.value, BusyError)

    def test_gather_raises_the_first_at_once(self, executor: Executor, tmp_path: Path) -> None:
        # Dask lets a task that it takes for quick wait behind a long one where a worker that died is not yet back.
        deadline = time.monotonic() + SOON
        while executor.resources.cpus < self.cpus and time.monotonic() < deadline:
            time.sleep(0.02)
        slow = executor.submit(deeds.touch_and_wait, tmp_path / "a")
        bad = executor.submit(deeds.fail, ValueError("bad"))
        with pytest.raises(ValueError, match="bad"):
            executor.gather([slow, bad], timeout=SOON)
        assert not slow.done()
        (tmp_path / "a.go").touch()
        found = executor.gather([slow, bad], return_exceptions=True, timeout=SOON)
        assert found[0] is None
        assert str(found[1]) == "bad"

    def test_a_task_that_is_taken_back_is_not_run(self, executor: Executor, tmp_path: Path) -> None:
        busy = [executor.submit(deeds.touch_and_wait, tmp_path / f"{number}") for number in range(self.cpus)]
        for number in range(self.cpus):
            deeds.wait_for(tmp_path / f"{number}")
        future = executor.submit(deeds.touch, tmp_path / "never")
        assert future.cancel()
        assert future.cancel()
        assert future.cancelled()
        with pytest.raises(concurrent.futures.CancelledError):
            future.result(SOON)
        assert isinstance(executor.gather([future], return_exceptions=True)[0], concurrent.futures.CancelledError)
        time.sleep(self.delay)
        for number in range(self.cpus):
            (tmp_path / f"{number}.go").touch()
        executor.gather(busy, timeout=SOON)
        assert not busy[0].cancel()
        executor.gather([executor.submit(deeds.add, 1) for _ in range(4)], timeout=SOON)
        assert not (tmp_path / "never").exists()

    def test_a_task_that_runs_is_taken_back(self, executor: Executor, tmp_path: Path) -> None:
        future = executor.submit(deeds.touch_and_wait, tmp_path / "a")
        deeds.wait_for(tmp_path / "a")
        assert future.cancel()
        with pytest.raises(concurrent.futures.CancelledError):
            future.result(0)
        (tmp_path / "a.go").touch()
        assert executor.gather([executor.submit(deeds.add, n) for n in range(4)], timeout=SOON) == [1, 2, 3, 4]

    # --- resources --------------------------------------------------------------------------------------------------

    def test_resources_that_are_none(self, executor: Executor) -> None:
        for wrong in ({"cpus": 0}, {"cpus": -1}, {"gpus": "two"}, {"": 1}, {"cpus": True}, {"cpus": float("inf")}, [1]):
            with pytest.raises(InvalidArgumentError, match="resource"):
                executor.submit(deeds.add, 1, resources=wrong)  # type: ignore[arg-type]

    def test_resources_that_are_there(self, executor: Executor) -> None:
        futures = [executor.submit(deeds.add, n, resources={"cpus": 0.5}) for n in range(4)]
        assert executor.gather(futures, timeout=SOON) == [1, 2, 3, 4]

    # --- tasks of tasks ---------------------------------------------------------------------------------------------

    def test_tasks_that_wait_for_tasks(self, executor: Executor) -> None:
        if not self.nests:
            with pytest.raises(InvalidArgumentError, match=r"stays in the process that opened it"):
                executor.submit(deeds.tree, executor, 1)
            return
        assert executor.submit(deeds.tree, executor, 2).result(SOON) == 4

    def test_futures_stay_here(self, executor: Executor) -> None:
        future = executor.submit(deeds.add, 1)
        with pytest.raises(InvalidArgumentError, match="a future stays in the process"):
            pickle.dumps(future)
        future.result(SOON)

    # --- the end ----------------------------------------------------------------------------------------------------

    def test_what_is_called_when_a_task_ends_cannot_close(self, executor: Executor, tmp_path: Path) -> None:
        told: SimpleQueue[str] = SimpleQueue()

        def close(_: object) -> None:
            try:
                executor.close()
            except InvalidArgumentError as error:
                told.put(str(error))

        executor.submit(deeds.touch_and_wait, tmp_path / "a").add_done_callback(close)
        (tmp_path / "a.go").touch()
        assert "wait for itself" in told.get(timeout=SOON)
        assert executor.submit(deeds.add, 1).result(SOON) == 2

    def test_closing_waits(self, executor: Executor, tmp_path: Path) -> None:
        other = self.opened(executor)
        future = other.submit(deeds.touch_and_wait, tmp_path / "a", 0.3)
        other.close()
        assert future.result(0) is None
        other.close()
        for use in (lambda: other.submit(deeds.add, 1), lambda: other.resources, other.__enter__):
            with pytest.raises(ClosedError, match="open another"):
                use()
        assert executor.submit(deeds.add, 1).result(SOON) == 2

    def test_a_block_that_fails_takes_its_tasks_back(self, executor: Executor, tmp_path: Path) -> None:
        begun = time.monotonic()
        with pytest.raises(ZeroDivisionError), self.opened(executor) as other:  # noqa: PT012
            future = other.submit(deeds.touch_and_wait, tmp_path / "a", 0.5 if not self.separate else 50.0)
            deeds.wait_for(tmp_path / "a")
            1 / 0  # noqa: B018
        assert future.cancelled()
        assert time.monotonic() - begun < 45
        (tmp_path / "a.go").touch()

    def test_bad_calls(self, executor: Executor) -> None:
        with pytest.raises(InvalidArgumentError, match="takes a function"):
            executor.submit("add", 1)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError, match="gather takes futures"):
            executor.gather([1])  # type: ignore[list-item]
        with pytest.raises(InvalidArgumentError, match="take its result"):
            executor.gather(executor.submit(deeds.add, 1))  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError, match="entered already"), self.opened(executor) as other:
            other.__enter__()
