"""Threads: places that are lent, and who waits for what."""

from __future__ import annotations

import contextvars
import gc
import threading
import weakref
from typing import Any

import pytest

from holdfast import executors
from holdfast.errors import InvalidArgumentError
from holdfast.executors import Executor

from . import deeds


def test_tasks_in_tasks_deeper_than_there_are_workers() -> None:
    with executors.open("threads", workers=1) as executor:
        assert executor.submit(deeds.tree, executor, 5).result(60) == 32
        assert executor.submit(deeds.tree, executor, 1, resources={"cpus": 1}).result(60) == 2


def test_no_more_run_at_a_time_than_there_are_workers() -> None:
    running, most, lock = 0, 0, threading.Lock()
    gate = threading.Barrier(3)

    def task() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        gate.wait(60)
        with lock:
            running -= 1

    with executors.open("threads", workers=3) as executor:
        executor.gather([executor.submit(task) for _ in range(12)], timeout=60)
    assert most == 3


def test_an_older_task_is_not_passed_for_ever() -> None:
    """What it waits for is not given to younger ones: it asks for both CPUs, they for one each, without end."""
    order: list[str] = []
    release = threading.Event()
    with executors.open("threads", workers=2) as executor:
        first = executor.submit(release.wait, 60)
        executor.submit(order.append, "before").result(60)
        wide = executor.submit(order.append, "wide", resources={"cpus": 2})
        narrow = [executor.submit(order.append, "narrow") for _ in range(5)]
        release.set()
        executor.gather([first, wide, *narrow], timeout=60)
    assert order == ["before", "wide"] + ["narrow"] * 5


def test_other_context_variables_come_along() -> None:
    variable = contextvars.ContextVar("variable", default="outside")
    with executors.open("threads", workers=1) as executor:
        variable.set("here")

        def look() -> str:
            found = variable.get()
            variable.set("changed")
            return found

        assert [executor.submit(look).result(60) for _ in range(2)] == ["here", "here"]
        assert variable.get() == "here"


def test_a_task_cannot_close_its_executor() -> None:
    with executors.open("threads", workers=1) as executor:
        with pytest.raises(InvalidArgumentError, match="wait for itself"):
            executor.submit(executor.close).result(60)
        assert executor.submit(deeds.add, 1).result(60) == 2


def test_nothing_is_kept_of_a_task_that_has_ended() -> None:
    class Large:
        pass

    def use(large: Large) -> None:
        raise ValueError("used")

    with executors.open("threads", workers=1) as executor:
        large = Large()
        seen = weakref.ref(large)
        future = executor.submit(deeds.add, 1)
        with pytest.raises(ValueError):
            executor.submit(use, large).result(60)
        del large
        gc.collect()
        assert executor.submit(deeds.add, 1).result(60) == 2
        assert seen() is None
        assert future.done()


def test_one_that_is_dropped_ends_its_threads() -> None:
    def open_and_drop() -> list[threading.Thread]:
        executor: Any = executors.open("threads", workers=2)
        executor.gather([executor.submit(deeds.add, number) for number in range(4)])
        return list(executor._pool._threads)

    threads = open_and_drop()
    gc.collect()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_a_block_that_fails_does_not_wait_for_what_runs() -> None:
    begun, release = threading.Event(), threading.Event()

    def task() -> None:
        begun.set()
        release.wait(60)

    with pytest.raises(KeyboardInterrupt), executors.open("threads", workers=1) as executor:  # noqa: PT012
        running: Any = executor.submit(task)
        threads = list(executor._pool._threads)  # type: ignore[attr-defined]
        assert begun.wait(60)
        raise KeyboardInterrupt
    assert running.cancelled()
    assert [thread.is_alive() for thread in threads] == [True]
    release.set()
    threads[0].join(60)
    assert not threads[0].is_alive()


def test_closing_from_another_thread_with_cancel() -> None:
    release = threading.Event()
    executor: Executor = executors.open("threads", workers=1)
    running = executor.submit(release.wait, 60)
    waiting = executor.submit(deeds.add, 1)
    closing = threading.Thread(target=executor.close)
    closing.start()
    another = threading.Thread(target=executor.close, kwargs={"cancel": True})
    another.start()
    release.set()
    closing.join(60)
    another.join(60)
    assert not closing.is_alive()
    assert not another.is_alive()
    assert waiting.cancelled() or waiting.result(0) == 2
    assert running.done()


def test_a_misnamed_resource_is_told() -> None:
    match = "name it 'cpus'"
    with executors.open("threads", workers=1) as executor, pytest.raises(InvalidArgumentError, match=match):
        executor.submit(deeds.add, 1, resources={"cpu": 1})
    with executors.open("threads", workers=1, resources={"gpu": 1}) as executor:  # one of one's own
        assert executor.submit(deeds.add, 1, resources={"gpu": 1}).result(60) == 2
