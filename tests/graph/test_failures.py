"""What fails, how it is told, and what goes on nevertheless."""

from __future__ import annotations

import pickle
import time
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast import executors
from holdfast.errors import (
    BusyError,
    ClosedError,
    EncodeError,
    InvalidArgumentError,
    StorageFullError,
    TaskFailed,
    TaskLost,
)

from .samples import Tally, add, boom, die, die_once, flaky, forever, lock, plain, ran, sleepy, speechless, table

Executor = executors.Executor


def failing(scope: holdfast.Scope, *nodes: Any, **options: Any) -> TaskFailed:
    with pytest.raises(TaskFailed) as caught:
        scope.run(*nodes, **options)
    return caught.value


def test_an_error_names_node_and_run_and_the_rest_is_run(scope: holdfast.Scope, executor: Executor, log: Path) -> None:
    bad = boom(log).set(name="bad")
    slow = sleepy(0.2, log)
    error = failing(scope, add(bad, 1, log), plain(add(bad, slow, log)), slow, plain(7), executor=executor)
    run = next(scope.runs.list())
    assert error.message == (
        f"node 'bad' of run {run.id} failed: ValueError: no such luck; 3 that depend on it were not run"
    )
    assert (error.run, error.skipped) == (run.id, ("add_0001", "add_0002", "plain_0001"))
    assert list(error.failures) == ["bad"]
    assert error.__cause__ is error.failures["bad"]
    trace = str(error.__cause__.__cause__) if executor.name == "processes" else ""
    assert "samples.py" in trace or executor.name == "threads"
    assert error.__cause__.__traceback__ is not None
    assert (run.state, dict(run.counts)) == ("failed", {"failed": 1, "skipped": 3, "done": 2})
    assert scope.results.names() == ["plain_0002", "sleepy_0001"]
    nodes = {node.name: node for node in scope.runs.nodes(run.id)}
    assert nodes["bad"].error == "ValueError: no such luck"
    assert (nodes["add_0002"].state, nodes["add_0002"].needs) == ("skipped", ("bad", "sleepy_0001"))
    assert pickle.loads(pickle.dumps(error)).run == run.id


def test_several_errors(scope: holdfast.Scope, threads: Executor, log: Path) -> None:
    error = failing(scope, *[boom(log, number) for number in range(9)], plain(boom(log, 9)), executor=threads)
    assert len(error.failures) == 10
    assert "; so did 'boom_0002', 'boom_0003', " in error.message
    assert error.message.endswith(" and 4 more; 1 that depend on these were not run")


def test_retries(scope: holdfast.Scope, executor: Executor, log: Path) -> None:
    assert "try again" in failing(scope, flaky(log, 2).set(retries=1), executor=executor).message
    log.unlink()
    assert scope.run(flaky.using(retries=2)(log, 2), executor=executor) == ["at last"]
    assert scope.runs.nodes("latest")[0].tries == 3


def test_an_error_without_text(scope: holdfast.Scope, executor: Executor, log: Path) -> None:
    error = failing(scope, speechless(log), add(1, 2, log), executor=executor)
    assert "node 'speechless_0001'" in error.message
    assert scope.results.names() == ["add_0001"]
    assert scope.runs.nodes("latest")[0].error


def test_an_error_that_cannot_be_sent_is_one_to_try_again(scope: holdfast.Scope, executor: Executor, log: Path) -> None:
    assert scope.run(speechless(log, 2).set(retries=2), executor=executor) == ["at last"]


def test_nothing_is_left_of_what_was_on_its_way(scope: holdfast.Scope, processes: Executor, log: Path) -> None:
    def interrupt(status: Any) -> None:
        if ran(log):
            raise KeyboardInterrupt

    large = plain.using(keep=False)("x" * 100_000)
    with pytest.raises(KeyboardInterrupt):
        scope.run(sleepy(1.0, log, large), executor=processes, progress=interrupt)
    (run,) = scope.children("run")
    assert (list(run), scope.runs.get("latest").state) == (["nodes", "run"], "interrupted")


def test_a_method_that_fails(scope: holdfast.Scope, executor: Executor, log: Path) -> None:
    tally: Any = Tally(log)
    bad, later = tally.add(None), tally.add(1)
    assert failing(scope, bad, later, executor=executor).skipped == ("Tally.add_0002",)


def test_a_method_that_is_tried_again(scope: holdfast.Scope, executor: Executor, log: Path) -> None:
    tally: Any = Tally(log)
    assert scope.run(tally.stumble(2).set(retries=2), tally.add(1), executor=executor) == [1, 2]


def test_time_is_over_in_a_process(scope: holdfast.Scope, processes: Executor, log: Path) -> None:
    waiting = [sleepy(0.3, log, number).set(timeout=2) for number in range(4)]  # what waits for its turn has time
    begun = time.monotonic()
    error = failing(scope, forever().set(timeout=0.5), *waiting, executor=processes)
    assert time.monotonic() - begun < 20
    assert list(error.failures) == ["forever_0001"]
    assert isinstance(error.failures["forever_0001"], BusyError)
    assert "has not ended within 0.5 s" in error.message


def test_time_is_over_in_a_thread(scope: holdfast.Scope, threads: Executor, log: Path) -> None:
    error = failing(scope, sleepy(1.0, log).set(timeout=0.2, retries=1), executor=threads)
    assert "has not ended within 0.2 s" in error.message
    assert scope.runs.nodes("latest")[0].tries == 2


def test_a_worker_that_dies(scope: holdfast.Scope, processes: Executor, log: Path) -> None:
    error = failing(scope, die(), add(1, 2, log), executor=processes)
    assert isinstance(error.failures["die_0001"], TaskLost)
    assert ran(log) == ["add 1 2"]


def test_a_worker_that_dies_is_replaced_for_another_try(scope: holdfast.Scope, processes: Executor, log: Path) -> None:
    assert scope.run(add(die_once(log).set(retries=1), 1, log), executor=processes) == [3]
    assert [node.tries for node in scope.runs.nodes("latest")] == [2, 1]


def test_a_result_that_cannot_be_stored(scope: holdfast.Scope, executor: Executor) -> None:
    error = failing(scope, lock().set(name="lock", retries=5), executor=executor)
    assert isinstance(error.failures["lock"], EncodeError)
    assert "the result of node 'lock' cannot be stored: cannot pickle value, a _thread.lock" in error.message
    assert scope.runs.nodes("latest")[0].tries == 1


def test_a_result_that_cannot_be_handed_on(scope: holdfast.Scope, threads: Executor, processes: Executor) -> None:
    assert scope.run(lock().set(keep=False), executor=threads)[0].acquire()
    error = failing(scope, lock().set(keep=False), executor=processes)
    assert "cannot be handed on" in error.message or "cannot be sent back" in error.message


def test_what_no_executor_has(scope: holdfast.Scope, executor: Executor) -> None:
    error = failing(scope, plain(1).set(resources={"gpus": 1}), plain(2), executor=executor)
    assert isinstance(error.failures["plain_0001"], InvalidArgumentError)
    assert scope.results.names() == ["plain_0002"]


def test_an_executor_that_is_closed_meanwhile(scope: holdfast.Scope, log: Path) -> None:
    executor = executors.open("threads", workers=1)

    def watch(status: Any) -> None:
        executor._closed = True  # as close() does first; it would wait for what runs

    slow = sleepy(0.3, log)
    error = failing(scope, plain(add(slow, 1, log)), executor=executor, progress=watch)
    assert isinstance(error.failures["add_0001"], ClosedError)
    assert scope.results.names() == ["sleepy_0001"]
    executor._closed = False
    executor.close()


def test_a_store_that_has_no_room(scope: holdfast.Scope, executor: Executor) -> None:
    scope.scope("graph", "results").set_policy(max_bytes=1000)
    error = failing(scope, table(10_000), plain(1), executor=executor)
    assert isinstance(error.failures["table_0001"], StorageFullError)
    assert scope.results.names() == ["plain_0001"]


def test_a_store_in_memory_takes_threads(threads: Executor, processes: Executor) -> None:
    with holdfast.open("memory:") as store:
        scope = store.namespace("prod")
        assert scope.run(plain(1), executor=threads) == [1]
        error = failing(scope, plain(2), executor=processes)
        assert "'threads'" in error.message


def test_a_damaged_result_is_never_given(scope: holdfast.Scope, threads: Executor, tmp_path: Path) -> None:
    scope.run(table(20_000), executor=threads)
    (path,) = [
        path
        for path in (tmp_path / "store").rglob("*")
        if path.is_file() and 1_600_000 <= path.stat().st_size < 1_700_000
    ]
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1000] + b"x" * 1000)
    with pytest.raises(holdfast.DecodeError, match="graph:results"):
        scope.run(table(20_000), executor=threads)
    error = failing(scope, plain(table(20_000)), executor=threads)
    assert isinstance(error.failures["plain_0001"], holdfast.DecodeError)
    assert scope.run(plain(table(20_000))[0][0], executor=threads, again="table*") == [0.0]
