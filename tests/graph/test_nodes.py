"""Calls that are not made yet."""

from __future__ import annotations

import copy
import gc
import pickle
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.errors import InvalidArgumentError
from holdfast.graph.node import reachable
from holdfast.graph.task import Task

from .samples import Tally, add, pair, plain, ran, total


def test_a_call_runs_nothing(log: Path) -> None:
    node: Any = add(1, add(2, 3, log), log)
    assert ran(log) == []
    assert repr(node) == "<node add>"
    assert add.call(1, 2, log) == 3
    assert add(1, 2, log).name is None
    assert node.set(name="sum") is node
    assert (node.name, repr(node), repr(node[0]["x"])) == ("sum", "<node sum>", "<node sum>[0]['x']")


def test_wrong_arguments_are_told_at_the_call(log: Path) -> None:
    with pytest.raises(TypeError, match=r"add\(\): missing a required argument"):
        add(1)


def test_a_task_looks_like_its_function() -> None:
    looks: Any = add
    assert (looks.__name__, looks.__module__, looks.__wrapped__) == (
        "add",
        __name__.replace("test_nodes", "samples"),
        add.function,
    )
    assert repr(add) == "<task add>"
    assert pickle.loads(pickle.dumps(add)) is add
    assert isinstance(copy.copy(add), Task)


def test_options_are_checked() -> None:
    options: Any
    for options, message in [
        ({"name": ""}, "the name of a node is like a key"),
        ({"retries": -1}, "retries must be"),
        ({"timeout": 0}, "timeout must be"),
        ({"keep": 1}, "keep must be"),
        ({"resources": 3}, "resources are amounts by name"),
        ({"version": 1.5}, "version must be"),
        ({"key": {"a": 1}}, "key must map"),
        ({"ignore": 3}, "ignore must name"),
    ]:
        with pytest.raises(InvalidArgumentError, match=message):
            holdfast.task(**options)
    with pytest.raises(TypeError, match="unexpected option 'colour'"):
        plain(1).set(colour="red")
    with pytest.raises(TypeError, match="unexpected option 'colour'"):
        holdfast.task(colour="red")  # type: ignore[call-overload]
    other = add.using(name="other", retries=2)
    assert (other.options.name, other.options.retries, add.options.name) == ("other", 2, None)
    assert other.counting.ignore == ("log",)
    assert add.using(ignore=()).counting.ignore == ()


def test_only_what_can_be_called_is_a_task() -> None:
    thing: Any
    for thing in (3, staticmethod(len), property()):
        with pytest.raises(InvalidArgumentError, match="task takes a function or a class"):
            holdfast.task(thing)
    with pytest.raises(InvalidArgumentError, match="add is a task already"):
        holdfast.task(add)

    class Shelf:
        @holdfast.task
        def method(self) -> None: ...

    with pytest.raises(InvalidArgumentError, match="decorate its class"):
        Shelf().method  # noqa: B018


def test_nodes_stay_where_they_are() -> None:
    for thing in (plain(1), plain(1)[0]):
        with pytest.raises(InvalidArgumentError, match="nodes may be arguments"):
            pickle.dumps(thing)
        with pytest.raises(TypeError):
            iter(thing)


def test_methods_of_an_object(log: Path) -> None:
    tally: Any = Tally(log)
    assert repr(tally.add(1)) == "<node Tally.add>"
    assert tally.set(name="tally") is tally
    assert repr(tally.method("set")(3)) == "<node Tally.set>"
    with pytest.raises(AttributeError, match="Tally has no method 'subtract'"):
        tally.subtract(1)


def test_a_graph_is_reached_from_any_node(log: Path) -> None:
    raw = plain(1)
    left, right = add(raw, 1, log), add(raw, 2, log)
    last = total({"these": [left]}, log)
    other = plain(2)
    assert reachable(right) == [raw, left, right, last]
    assert reachable(other[0]) == [other]
    after = plain(3).after(other)
    assert reachable(other) == [other, after]
    del last, after
    gc.collect()
    assert reachable(right) == [raw, left, right]


def test_an_endless_argument_is_told(log: Path) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidArgumentError, match="nested too deeply"):
        plain(endless)
    assert pair.name == "pair"
