"""What is recorded of runs and results, and how it is looked at."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import holdfast
from holdfast import executors
from holdfast.catalog.base import LeaseRow
from holdfast.errors import InvalidArgumentError, NotFoundError, TaskFailed

from .samples import add, boom, pair, plain, sleepy

Executor = executors.Executor


def test_results_name_the_run_and_node_that_made_them(scope: holdfast.Scope, executor: Executor, log: Path) -> None:
    scope.run(add(add(1, 2, log).set(name="raw"), 3, log), executor=executor)
    (run,) = scope.runs.list()
    results = scope.results.list()
    assert [(result.name, result.task, result.run) for result in results] == [
        ("add_0001", "add", run.id),
        ("raw", "add", run.id),
    ]
    assert results[1].record.tags["node"] == "raw"
    assert results[1].record.key.startswith("tests.graph.samples.add/")
    nodes = {node.name: node for node in scope.runs.nodes(run.id)}
    assert nodes["raw"].version == results[1].record.version
    assert nodes["raw"].key == results[1].record.key
    assert 0 <= (nodes["raw"].seconds or 0) < 60
    assert (run.state, run.executor, run.reuse, run.targets) == ("done", executor.name, "inputs", ("add_0001",))
    assert run.where["holdfast"] == holdfast.__version__
    assert run.ended is not None
    assert run.ended >= run.begun


def test_results_by_glob(scope: holdfast.Scope, threads: Executor) -> None:
    scope.run(*[plain(n).set(name=f"clean-{n}") for n in range(3)], pair(1), executor=threads, reuse="name")
    scope.run(plain(7).set(name="clean-7"), executor=threads)
    scope.put("clean-mine", "no result")
    assert scope.results.names("clean*") == ["clean-0", "clean-1", "clean-2", "clean-7"]
    assert (scope.results.get("clean-2"), scope.results.get("clean-7")) == (2, 7)
    assert scope.results.find("clean-7").task == "plain"
    assert scope.results.remove("clean-[12]") == 2
    assert scope.results.names() == ["clean-0", "clean-7", "pair_0001"]
    assert scope.get("clean-mine") == "no result"
    with pytest.raises(NotFoundError, match="no result of a node 'clean-1'"):
        scope.results.get("clean-1")
    for wrong in (scope.results.get, scope.results.list, scope.results.remove):
        with pytest.raises(InvalidArgumentError):
            wrong(3)  # type: ignore[arg-type]


def test_what_is_tagged_alike_is_no_result(scope: holdfast.Scope, threads: Executor) -> None:
    scope.put("mine", 1, tags={"run": "7", "node": "gpu"})
    scope.put("yours", 1, tags={"run": "7", "node": "gpu", "task": "train"})
    scope.run(plain(7).set(name="clean"), executor=threads, reuse="name")
    scope.copy("clean", "kept")
    assert scope.results.names() == ["clean"]
    assert scope.results.remove("*") == 1
    assert list(scope) == ["kept", "mine", "yours"]


def test_the_newest_of_equal_names(scope: holdfast.Scope, threads: Executor) -> None:
    for number in (1, 2):
        scope.run(plain(number).set(name="it"), executor=threads)
    assert [result.record.version for result in scope.results.list("it")]
    assert len(scope.results.list("it")) == 2
    assert scope.results.get("it") == 2
    assert scope.results.list("it")[0].run == next(scope.runs.list()).id


def test_runs_are_listed_looked_at_and_removed(scope: holdfast.Scope, threads: Executor, log: Path) -> None:
    scope.run(plain(1), executor=threads)
    with pytest.raises(TaskFailed):
        scope.run(boom(log), executor=threads)
    scope.run(plain(1), executor=threads)
    third, second, first = scope.runs.list()
    assert [run.state for run in (first, second, third)] == ["done", "failed", "done"]
    assert (third.executor, dict(third.counts)) == (None, {"stored": 1})
    assert scope.runs.get("latest") == third
    assert scope.runs.get(second.id) == second
    with pytest.raises(NotFoundError, match="3 runs have ids that begin with 2"):
        scope.runs.get("2")
    scope.runs.remove(second.id)
    assert list(scope.runs.list()) == [third, first]
    with pytest.raises(NotFoundError, match="no run"):
        scope.runs.get(second.id)
    assert scope.results.names() == ["plain_0001"]


def test_a_run_is_seen_while_it_lasts(scope: holdfast.Scope, threads: Executor, log: Path) -> None:
    states = []
    scope.run(sleepy(0.3, log), executor=threads, progress=lambda status: states.append(scope.runs.get("latest").state))
    assert states[0] == "running"
    assert scope.runs.get("latest").state == "done"
    assert list(scope.scope("graph", "running")) == []


def test_a_run_that_ends_while_it_is_looked_at_is_not_broken_off(
    scope: holdfast.Scope, threads: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the looks at what is recorded of it, and at who runs it."""
    begun, looked, catalog = threading.Event(), threading.Event(), scope._kernel.catalog
    holder = catalog.holder

    def progress(_: object) -> None:
        begun.set()
        looked.wait()

    def later(name: str) -> LeaseRow | None:
        looked.set()
        running.join()
        return holder(name)

    how = {"executor": threads, "progress": progress}
    running = threading.Thread(target=scope.run, args=(plain(1),), kwargs=how)
    running.start()
    begun.wait()
    monkeypatch.setattr(catalog, "holder", later)
    assert scope.runs.get("latest").state == "done"
    assert looked.is_set()


def test_awaited(scope: holdfast.Scope, threads: Executor, log: Path) -> None:
    async def main() -> None:
        found = await scope.aio.run(add(1, 2, log), executor=threads)
        assert found == [3]
        assert await scope.aio.results.names() == ["add_0001"]
        assert await scope.aio.results.get("add_0001") == 3
        assert [result.name for result in await scope.aio.results.list("add*")] == ["add_0001"]
        assert (await scope.aio.results.find("add_0001")).task == "add"
        (run,) = await scope.aio.runs.list()
        assert (await scope.aio.runs.get(run.id)).state == "done"
        assert [node.name for node in await scope.aio.runs.nodes(run.id)] == ["add_0001"]
        await scope.aio.runs.remove(run.id)
        assert await scope.aio.results.remove("*") == 1
        task = asyncio.create_task(scope.aio.run(sleepy(1.0, log), executor=threads))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert scope.runs.get("latest").state == "interrupted"

    asyncio.run(main())


def test_those_who_look_at_the_same_time_are_not_taken_for_who_runs_it(
    scope: holdfast.Scope, threads: Executor
) -> None:
    scope.run(plain(1), executor=threads)
    id = scope.runs.get("latest").id
    record = scope.scope("run", id)
    record.put("run", {**record.get("run"), "state": "running"})  # as one who was killed left it
    with ThreadPoolExecutor(8) as pool:
        assert {run.state for run in pool.map(lambda _: scope.runs.get(id), range(200))} == {"broken off"}
