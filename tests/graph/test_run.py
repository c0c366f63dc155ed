"""Graphs that are run: what runs, in which order, and what is stored."""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy
import pytest

import holdfast
from holdfast import executors
from holdfast.errors import InvalidArgumentError, TaskFailed, UnhashableError
from holdfast.graph.progress import Status
from holdfast.graph.verbs import run_nowhere

from .samples import (
    Tally,
    add,
    boom,
    current_scope,
    guarded,
    inner,
    meet,
    pair,
    plain,
    ran,
    size,
    sleepy,
    summed,
    table,
    total,
    until,
)  # fmt: skip

Executor = executors.Executor


def test_results_come_in_order(scope: holdfast.Scope, executor: Executor, log: Path) -> None:
    first = add(1, 2, log)
    second = add(first, 3, log)
    both = total({"these": [first, (second)], "those": ()}, log, scale=add(1, 1, log))
    assert scope.run(both, first, executor=executor) == [18, 3]
    assert sorted(ran(log)) == ["add 1 1", "add 1 2", "add 3 3", "total"]
    assert scope.run(second, executor=executor) == [6]
    assert len(ran(log)) == 4
    assert scope.run() == []


def test_items_of_results(scope: holdfast.Scope, executor: Executor, log: Path) -> None:
    node = pair(5)
    found = scope.run(add(node[0], node[1]["more"][1], log), node[1]["more"], executor=executor)
    assert found == [12, [6, 7]]


def test_what_is_stored_needs_no_inputs_and_no_executor(scope: holdfast.Scope, threads: Executor, log: Path) -> None:
    def graph() -> Any:
        return add(add(add(0, 1, log), 1, log), 1, log)

    scope.run(graph(), executor=threads)
    scope.results.remove("add_0001")
    assert scope.results.names() == ["add_0002", "add_0003"]
    assert scope.run(graph(), executor="no such executor") == [3]
    assert len(ran(log)) == 3


def test_the_same_call_is_run_once(scope: holdfast.Scope, threads: Executor, log: Path) -> None:
    nodes = [add(1, b=2, log=log), add(1, 2, log), add(1.0, 2, log)]
    assert scope.run(*nodes, executor=threads) == [3, 3, 3.0]
    assert sorted(ran(log)) == ["add 1 2", "add 1.0 2"]
    assert scope.run(*nodes, executor=threads, reuse=None) == [3, 3, 3.0]
    assert len(ran(log)) == 5


def test_what_counts_of_a_value_is_not_asked_of_a_node(scope: holdfast.Scope, threads: Executor) -> None:
    found = [scope.run(summed(given), executor=threads) for given in (plain([1, 2]), plain([5, 6]), [plain(3)])]
    assert found == [[3], [11], [3]]
    assert scope.run(summed([1, 2]), summed([5, 6]), executor=threads) == [3, 3]


def test_the_same_call_is_kept_if_it_is_to_be(scope: holdfast.Scope, threads: Executor) -> None:
    nodes = plain(1).set(name="one", keep=False), plain(1).set(name="another")
    assert scope.run(*nodes, executor=threads) == [1, 1]
    assert scope.results.names() == ["another"]


def test_without_reuse_nothing_is_kept(scope: holdfast.Scope, executor: Executor, log: Path) -> None:
    assert scope.run(add(add(1, 2, log), 3, log), executor=executor, reuse=None) == [6]
    assert scope.results.list() == []
    assert scope.run(add(add(1, 2, log), 3, log), executor=executor, reuse=None) == [6]
    assert len(ran(log)) == 4


def test_results_by_name(scope: holdfast.Scope, executor: Executor, log: Path) -> None:
    raw = add(1, 2, log).set(name="raw")
    assert scope.run(add(raw, 1, log).set(name="final"), executor=executor, reuse="name") == [4]
    assert (scope.get("raw"), scope.get("final"), scope.results.names()) == (3, 4, ["final", "raw"])
    # Whatever its inputs and its code are now.
    assert scope.run(add(100, 1, log).set(name="final"), executor=executor, reuse="name") == [4]
    assert len(ran(log)) == 2


def test_what_else_has_a_nodes_name_is_no_result(scope: holdfast.Scope, threads: Executor, log: Path) -> None:
    scope.put("raw", "mine")
    with pytest.raises(InvalidArgumentError, match="was put there, and is no result"):
        scope.run(plain(1).set(name="raw"), executor=threads, reuse="name")
    scope.run(plain(1).set(name="clean"), executor=threads, reuse="name")
    with pytest.raises(
        InvalidArgumentError, match="is a result of plain, while the node of this name is a call of add"
    ):
        scope.run(add(1, 2, log).set(name="clean"), executor=threads, reuse="name")
    with pytest.raises(InvalidArgumentError, match="was put there, and is no result"):
        scope.run(plain(1).set(name="raw"), executor=threads, reuse="name", again="*")
    assert scope.get("raw") == "mine"


def test_changed_code_is_run_again(scope: holdfast.Scope, threads: Executor) -> None:
    def made(extra: int) -> Any:
        def step(value: int) -> int:
            return value + extra

        return holdfast.task(step)

    assert scope.run(made(1)(1), executor=threads) == [2]
    assert scope.run(made(2)(1), executor=threads) == [3]
    assert scope.run(made(1).using(version=1)(5), executor=threads) == [6]
    assert scope.run(made(2).using(version=1)(5), executor=threads) == [6]


def test_an_input_without_a_hash_is_named(scope: holdfast.Scope, threads: Executor) -> None:
    with pytest.raises(UnhashableError, match="plain: argument 'value'"):
        scope.run(plain(threading.Lock()), executor=threads)
    with pytest.raises(UnhashableError, match="nodes may be arguments"):
        scope.run(plain({plain(1)}), executor=threads)


def test_independent_nodes_run_at_the_same_time(scope: holdfast.Scope, executor: Executor, log: Path) -> None:
    assert scope.run(meet(1, log), meet(2, log), executor=executor) == [True, True]


def test_after(scope: holdfast.Scope, threads: Executor, log: Path) -> None:
    first = sleepy(0.1, log)
    second = sleepy(0.05, log).after(first)
    scope.run(second, executor=threads)
    assert [line.split()[0] for line in ran(log)] == ["begin", "end", "begin", "end"]


def test_the_same_call_after_others(scope: holdfast.Scope, threads: Executor) -> None:
    first = plain(1)
    nodes = [plain(2), plain(2).after(first), plain(2).after(first)]
    assert scope.run(*nodes, executor=threads) == [2, 2, 2]
    assert scope.run(*nodes) == [2, 2, 2]


def test_circles_and_equal_names_are_told(scope: holdfast.Scope, log: Path) -> None:
    first = add(1, 2, log).set(name="first")
    second = add(first, 2, log).set(name="second")
    first.after(second)
    with pytest.raises(InvalidArgumentError, match=r"wait for each other.*second -> first -> second"):
        scope.run(second)
    with pytest.raises(InvalidArgumentError, match="two nodes are called 'twin', of plain and of pair"):
        scope.run(plain(1).set(name="twin"), pair(1).set(name="twin"))


def test_wrong_arguments(scope: holdfast.Scope) -> None:
    for options, message in [
        ({"reuse": "always"}, "reuse must be"),
        ({"most": 0}, "most must be"),
        ({"progress": 3}, "progress is True"),
        ({"progress": 1}, "progress is True"),
        ({"again": 3}, "again must be"),
        ({"again": "nothing*"}, r"no node of the graph is called 'nothing\*': there are plain_0001"),
    ]:
        with pytest.raises(InvalidArgumentError, match=message):
            scope.run(plain(1), **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="a graph is run for its nodes"):
        scope.run(3)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="acts in a transaction"), scope.transaction() as inside:
        inside.run(plain(1))


def test_again_runs_a_node_and_what_depends_on_it(scope: holdfast.Scope, threads: Executor, log: Path) -> None:
    def graph() -> Any:
        raw = add(1, 1, log).set(name="raw")
        clean = add(raw, 2, log).set(name="clean")
        return add(clean, 4, log).set(name="model")

    scope.run(graph(), executor=threads)
    versions = {result.name: result.record.version for result in scope.results.list()}
    assert scope.run(graph(), executor=threads, again="cle*") == [8]
    assert ran(log)[3:] == ["add 2 2", "add 4 4"]
    again = {result.name: result.record.version for result in scope.results.list()}
    assert again["raw"] == versions["raw"]
    assert again["model"] > versions["model"]
    scope.results.remove("clean")
    assert scope.run(graph(), executor=threads) == [8]
    assert len(ran(log)) == 5


def test_what_is_not_kept_is_run_when_it_is_needed(scope: holdfast.Scope, executor: Executor, log: Path) -> None:
    def graph(more: int) -> Any:
        raw = add.using(keep=False, name="raw")(1, 1, log)
        return add(raw, more, log)

    assert scope.run(graph(1), executor=executor) == [3]
    assert scope.run(graph(1), executor=executor) == [3]
    assert scope.run(graph(2), executor=executor) == [4]
    assert ran(log).count("add 1 1") == 2
    assert "raw" not in scope.results.names()


def test_objects_and_their_methods(scope: holdfast.Scope, executor: Executor, log: Path) -> None:
    def graph() -> Any:
        tally: Any = Tally(log, start=1)
        first = tally.add(2)
        early = plain(tally)
        tally.method("set")(10)
        second = tally.add(first)
        return first, second, add(first, second, log), early, tally

    first, second, both, early, tally = graph()
    found = scope.run(first, second, both, executor=executor)
    assert found == [3, 13, 16]
    assert ran(log) == ["Tally", "Tally.add 2", "Tally.add 3", "add 3 13"]
    # What follows from it is stored, and it is then not needed.
    assert scope.run(graph()[2], executor=executor) == [16]
    assert len(ran(log)) == 4
    assert scope.results.names() == ["add_0001"]
    then, now = scope.run(early, tally, executor=executor, reuse=None)
    assert (then.value, now.value) == (3, 13)


def test_objects_made_by_the_same_call_are_two(scope: holdfast.Scope, executor: Executor, log: Path) -> None:
    for reuse in ("inputs", None):
        one: Any = Tally(log)
        other: Any = Tally(log)
        assert scope.run(one.add(1), other.add(2), other.add(2), executor=executor, reuse=reuse) == [1, 2, 4]


def test_methods_that_take_no_object(scope: holdfast.Scope, executor: Executor, log: Path) -> None:
    tally: Any = Tally(log)
    assert scope.run(tally.doubled(2), tally.named(3), tally.add(4), executor=executor) == [4, "Tally 3", 4]


def test_large_results_lie_in_the_store(scope: holdfast.Scope, executor: Executor) -> None:
    raw = table(20_000)
    doubled, pids = plain(raw), [size(raw), size(raw.set(name="raw"))]
    (array, found) = scope.run(doubled, pids[0], executor=executor)
    assert numpy.array_equal(array, numpy.arange(200_000.0).reshape(20_000, 10))
    assert found[0] == 200_000 * 199_999 / 2
    assert scope.results.get("raw").shape == (20_000, 10)
    # And those that are not kept do not go through this process, nor stay.
    (found,) = scope.run(size(table.using(keep=False)(30_000)), executor=executor, reuse=None)
    assert found[0] == 300_000 * 299_999 / 2
    assert [key for run in scope.children("run") for key in run] == ["nodes", "run"] * 2


def test_the_scope_is_current_in_nodes(scope: holdfast.Scope, executor: Executor) -> None:
    assert scope.run(current_scope(), executor=executor) == ["namespace:prod/workflow:forecast"]
    assert scope.get("seen") is True
    below = scope.scope("study", "one")
    assert below.run(current_scope(), executor=executor) == [str(below)]


def test_results_are_stored_with_the_options_of_the_scope(scope: holdfast.Scope, executor: Executor) -> None:
    brief = scope.using(tags={"team": "ice"}, expires=timedelta(days=1), compression="zstd")
    brief.run(plain(1), table(20_000), executor=executor)
    for result in scope.results.list():
        assert (result.record.tags["team"], result.record.tags["node"]) == ("ice", result.name)
        assert result.record.expires is not None
    assert scope.results.find("table_0001").record.encoding == "zstd"
    assert scope.using(tier="memory").run(plain(2), executor=executor) == [2]
    assert scope.results.find("plain_0001").record.tier == "ephemeral"


def test_what_is_recorded_of_a_run_has_options_of_its_own(scope: holdfast.Scope, threads: Executor, log: Path) -> None:
    chosen = scope.using(serializer="holdfast.numpy@v1", if_absent=True)
    assert chosen.run(table(2), executor=threads)[0].shape == (2, 10)
    slow = plain(1).set(keep=False).after(sleepy.using(keep=False)(0.4, log))
    brief = scope.using(expires=timedelta(seconds=0.2))
    assert brief.run(slow, executor=threads, progress=lambda status: time.sleep(0.1)) == [1]
    assert [run.state for run in scope.runs.list()] == ["done", "done"]


def test_a_node_may_run_a_graph(scope: holdfast.Scope, executor: Executor) -> None:
    assert scope.run(inner(3), plain(1), executor=executor) == [[0, 1, 2], 1]


@pytest.mark.timeout(60)
def test_nodes_may_run_graphs_by_their_own_executor(scope: holdfast.Scope, threads: Executor) -> None:
    @holdfast.task(version=1)
    def outer(count: int) -> Any:
        return holdfast.current().run(*[plain(number) for number in range(count)], executor=threads)

    assert scope.run(outer(2), outer(3), outer(4), executor=threads) == [[0, 1], [0, 1, 2], [0, 1, 2, 3]]
    futures = [threads.submit(scope.run, plain(-number), executor=threads) for number in range(3)]
    assert threads.gather(futures) == [[0], [-1], [-2]]


@pytest.mark.parametrize("times", [0, 1])
def test_what_another_run_is_about_takes_nothing_away(
    scope: holdfast.Scope, threads: Executor, log: Path, times: int
) -> None:
    """What is not kept is there for those that need it here, whatever becomes of the other run."""

    def graph() -> Any:
        raw = plain.using(keep=False)([1])
        shared = guarded(raw, log, times).set(name="shared")
        mine = add(raw, until([2], "shared" if times == 0 else "sooner"), log).set(name="mine")
        return shared, mine, plain(3).set(name="sooner").after(raw)

    def other() -> None:
        with pytest.raises(TaskFailed) if times else nullcontext():
            scope.run(graph()[0], executor="threads")

    thread = threading.Thread(target=other)
    thread.start()
    while "guarded" not in ran(log):
        time.sleep(0.01)
    go_on = threading.Timer(0.5, log.with_name("go").touch)
    go_on.start()
    assert scope.run(*graph(), executor=threads) == [[1], [1, 2], 3]
    thread.join()


def test_progress(scope: holdfast.Scope, threads: Executor, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Status] = []
    slow = [sleepy(0.15, log, number) for number in range(3)]
    with pytest.raises(TaskFailed):
        scope.run(add(slow[0], 1, log), *slow, plain(boom(log)), executor=threads, progress=seen.append)
    assert seen[-1].done
    assert seen[-1].counts == {"done": 4, "failed": 1, "skipped": 1}
    assert seen[-1].states["boom_0001"] == "failed"
    assert not seen[0].done
    assert any("running sleepy" in str(status) for status in seen)
    assert [a for a, b in pairwise(seen) if a.counts.get("done", 0) > b.counts.get("done", 0)] == []
    scope.run(plain(3), executor=threads, progress=True)
    assert capsys.readouterr().err == "1 of 1 nodes done\n"


def test_without_a_store(executor: Executor, log: Path) -> None:
    tally: Any = Tally(log)
    tally.add(3)
    raw = table(10_000)
    found = run_nowhere(add(1, add(2, 3, log), log), size(raw)[0], tally.add(4), executor=executor)
    assert found == [6, 100_000 * 99_999 / 2, 7]


def test_many_nodes_are_handed_on_a_few_at_a_time(scope: holdfast.Scope, threads: Executor) -> None:
    assert scope.run(*[plain(number) for number in range(200)], executor=threads, most=3) == list(range(200))
    chain: Any = plain(0)
    for _ in range(2000):  # deeper than Python's stack
        chain = plain(chain)
    assert scope.run(chain, executor=threads) == [0]


def test_a_rerun_is_quick(scope: holdfast.Scope, threads: Executor) -> None:
    nodes = [plain(number) for number in range(1000)]
    scope.run(*nodes, executor=threads)
    begun = time.perf_counter()
    assert scope.run(*nodes) == list(range(1000))
    assert time.perf_counter() - begun < 1.0  # of 0.04 on an idle machine; bench/graph.py measures it


def test_names_as_long_as_may_be(scope: holdfast.Scope, processes: Executor, log: Path) -> None:
    made = [plain.using(keep=False)([letter * 100_000]).set(name="n" * 511 + letter) for letter in "ab"]
    nodes = [plain(node[0][0]) for node in made]  # which ends when both are there
    assert scope.run(*[node.after(*made) for node in nodes], executor=processes) == ["a", "b"]
