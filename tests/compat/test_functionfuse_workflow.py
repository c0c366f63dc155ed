"""F2 to F5: nodes, names and runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.compat.functionfuse import task, workflow
from holdfast.compat.functionfuse.backends.builtin.localback import LocalWorkflow
from holdfast.compat.functionfuse.baseworkflow import BaseWorkflow
from holdfast.compat.functionfuse.storage import storage_factory

from .functionfuse_backends import EVERYWHERE, Backend, Notes, Place, close_below


@pytest.fixture(autouse=True)
def closed(tmp_path: Path) -> Iterator[None]:
    """Nothing stays open in a folder that is removed."""
    yield
    close_below(tmp_path)


def arithmetic(notes: Notes) -> Any:
    """A function that notes its calls."""
    note = notes.note

    @workflow
    def add(a: Any, b: Any) -> Any:
        note(f"{a}+{b}")
        return a + b

    return add


def counter(notes: Notes) -> Any:
    """A class that does."""
    note = notes.note

    @workflow
    class Counter:
        def __init__(self, start: int) -> None:
            note(f"made of {start}")
            self.total = start

        def add(self, number: int) -> int:
            note(f"{self.total}+{number}")
            self.total += number
            return self.total

    return Counter


def test_f02_calls_are_nodes_and_run_nothing(backend: Backend, tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    add = arithmetic(notes)
    first = add(1, 1)
    second = add(a=first, b=1)
    assert notes.taken() == []
    assert second.get_name()
    assert backend.run(second) == 3
    assert notes.taken() == ["1+1", "2+1"]


def test_f02_items_of_results(backend: Backend) -> None:
    @workflow
    def split() -> Any:
        return {"x": [1, 2], "y": 5}

    @workflow
    def add(a: int, b: int, c: Any = None) -> Any:
        return a + b if c is None else a + b + c

    parts = split()
    assert backend.run(add(parts["x"][1], b=parts["y"])) == 7
    pair = add(parts["x"], parts["x"])
    assert backend.run(add(pair[0], pair[3])) == 3


def test_f02_objects_keep_their_state(backend: Backend, tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    add, counting = arithmetic(notes), counter(notes)
    one = add(0, 1)
    total = counting(start=one)
    two = add(1, one)
    total.add(two)
    total.add(two)
    six = total.add(one)
    assert backend.run(add(six, -2)) == 4
    assert notes.taken() == ["0+1", "1+1", "1+2", "3+2", "5+1", "6+-2", "made of 1"]


def test_f02_methods_may_be_called_as_those_of_nodes(backend: Backend) -> None:
    @workflow
    class Box:
        def __init__(self) -> None:
            self.held: list[Any] = []

        def set(self, value: Any) -> None:
            self.held.append(value)

        def after(self, value: Any) -> list[Any]:
            return [*self.held, value]

        def method(self) -> str:
            return "method"

    made: Any = Box
    box = made().set_name("box")
    box.set(1).set_name("first")
    box.set(value=2)
    flow = backend.workflow(box.after(3), box.method(), name="flow")
    flow.log_nodes("first|box")
    assert backend.results(flow) == [[1, 2, 3], "method"]
    with pytest.raises(AttributeError, match="no method 'nothing'"):
        _ = box.nothing


def test_f02_task_is_another_name() -> None:
    assert task is workflow


def test_f03_names() -> None:
    @workflow
    def add(a: Any, b: Any) -> Any:
        return a + b

    @workflow
    def minus(a: Any, b: Any) -> Any:
        return a - b

    @workflow
    class Counter:
        def __init__(self) -> None:
            self.total = 0

        def add(self, number: int) -> int:
            return number

    qualname = "test_f03_names.<locals>."
    assert [add(1, 1).get_name(), add(1, 1).get_name()] == [f"{qualname}add_0000", f"{qualname}add_0001"]
    assert minus(1, 1).get_name() == f"{qualname}minus_0000"
    node = add(1, 1)
    assert node.set_name("First sum") is node
    assert node.get_name() == "First sum"
    counting: Any = Counter
    made = counting().set_name("counter")
    assert made.get_name() == "counter"
    assert made.add(1).get_name() == f"{qualname}Counter.add_0000"
    assert made.add(1).set_name("second").get_name() == "second"
    for bad in ("", "a\nb", "a" * 600, 5):
        with pytest.raises(holdfast.InvalidArgumentError):
            node.set_name(bad)


def test_f04_one_result_or_a_list(backend: Backend, tmp_path: Path) -> None:
    add = arithmetic(Notes(tmp_path))
    first = add(1, 1)
    assert backend.run(first) == 2
    assert backend.run(add(first, 3), first, first) == [5, 2, 2]


def test_f04_the_whole_graph_is_run(backend: Backend, tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    add = arithmetic(notes)
    node1 = add(1, 1).set_name("node1")
    node2 = add(node1, 1).set_name("node2")
    beside = add(5, 5).set_name("beside")
    add(node2, beside).set_name("last")
    aside = add(7, 7)
    storage = storage_factory({"kind": "file", "options": {"path": str(tmp_path / "storage")}})
    assert backend.run(node1, storage=storage) == 2
    assert storage.list_tasks(workflow_name="flow") == ["beside", "last", "node1", "node2"]
    assert "7+7" not in notes.taken()
    assert backend.run(aside) == 14


def test_f04_find_nodes() -> None:
    @workflow
    def add(a: Any, b: Any) -> Any:
        return a + b

    first = add(1, 1).set_name("First sum")
    second = add(first, 1).set_name("Second sum")
    last = add(first, second).set_name("Single minus")
    flow = LocalWorkflow(last, workflow_name="first")
    assert [node.get_name() for node in flow.find_nodes(r"^.*sum.*$")] == ["First sum", "Second sum"]
    assert flow.find_nodes("Single minus") == [last]
    assert flow.find_nodes("Single") == []  # from the beginning to the end
    assert flow.find_nodes() == [first, second, last]
    assert list(flow.graph_traversal()) == [("First sum", first), ("Second sum", second), ("Single minus", last)]
    assert isinstance(flow, BaseWorkflow)
    for bad in ("(", 5):
        with pytest.raises(holdfast.InvalidArgumentError, match="regular expression"):
            flow.find_nodes(bad)  # type: ignore[arg-type]


@EVERYWHERE
def test_f04_log_nodes_are_run_each_time(backend: Backend, place: Place, tmp_path: Path) -> None:
    notes, storage = Notes(tmp_path), place.storage()
    add = arithmetic(notes)
    first = add(1, 1).set_name("kept")
    logged = add(first, 1).set_name("logged")
    flow = backend.workflow(logged, storage=storage)
    flow.log_nodes("log.*")
    assert [backend.results(flow), backend.results(flow)] == [3, 3]
    assert notes.taken() == ["1+1", "2+1", "2+1"]
    assert storage.list_tasks(workflow_name="flow") == ["kept"]


@EVERYWHERE
def test_f05_what_is_stored_is_not_run(backend: Backend, place: Place, tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    add = arithmetic(notes)
    first = add([1], [1]).set_name("first")
    second = add(first, [2]).set_name("second")
    assert backend.run(second, storage=place.storage()) == [1, 1, 2]
    assert notes.taken() == ["[1, 1]+[2]", "[1]+[1]"]
    other = arithmetic(notes)  # reuse is by name: whatever the function is given now
    again = other(other([5], [5]).set_name("first"), [2]).set_name("second")
    assert backend.run(again, storage=place.storage()) == [1, 1, 2]
    assert notes.taken() == []
    place.storage().remove_task("flow", "second")
    assert backend.run(again, storage=place.storage()) == [1, 1, 2]
    assert notes.taken() == ["[1, 1]+[2]"]


@EVERYWHERE
def test_f05_it_goes_on_where_it_stopped(backend: Backend, place: Place, tmp_path: Path) -> None:
    notes, storage, broken = Notes(tmp_path), place.storage(), tmp_path / "broken"
    note = notes.note
    add = arithmetic(notes)

    @workflow
    def fragile(number: int) -> int:
        note("fragile")
        if broken.exists():
            raise ValueError("it is broken")
        return number

    first = add(1, 1).set_name("first")
    middle = fragile(first).set_name("middle")
    last = add(middle, 1).set_name("last")
    beside = add(first, 5).set_name("beside")
    broken.touch()
    with pytest.raises(ValueError, match="it is broken") as caught:
        backend.run(last, storage=storage)
    assert caught.value.__notes__ == ["this was raised in 'middle' of the workflow 'flow'; not run, as they depend on "
                                      "it: 'last'"]  # fmt: skip
    assert storage.list_tasks(workflow_name="flow") == ["beside", "first"]
    notes.taken()
    broken.unlink()
    assert backend.run(last, beside, storage=storage) == [3, 7]
    assert notes.taken() == ["2+1", "fragile"]


@EVERYWHERE
def test_f05_objects_are_made_each_time_and_not_stored(backend: Backend, place: Place, tmp_path: Path) -> None:
    notes, storage = Notes(tmp_path), place.storage()
    add, counting = arithmetic(notes), counter(notes)
    total = counting(1).set_name("counter")
    total.add(2).set_name("three")
    five = total.add(2).set_name("five")
    last = add(five, 0).set_name("last")
    for _ in range(2):
        assert backend.run(last, five, storage=storage) == [5, 5]
    assert notes.taken() == ["1+2", "1+2", "3+2", "3+2", "5+0", "made of 1", "made of 1"]
    assert storage.list_tasks(workflow_name="flow") == ["last"]


def test_f05_local_nodes_run_one_by_one_in_the_thread_of_the_program(tmp_path: Path) -> None:
    storage = storage_factory({"kind": "file", "options": {"path": str(tmp_path / "storage")}})
    names: list[list[str]] = []

    @workflow
    def look(number: int) -> int:
        names.append(storage.list_tasks("flow"))
        return threading.get_ident()

    @workflow
    def interrupt(after: int) -> None:
        raise KeyboardInterrupt

    nodes = [look(number).set_name(f"n{number}") for number in range(3)]
    broken = interrupt(nodes[0]).set_name("broken")
    after = look(broken).set_name("n9")
    flow = LocalWorkflow(*nodes, after, workflow_name="flow")
    flow.set_storage(storage)
    with pytest.raises(KeyboardInterrupt):
        flow.run()
    assert names == [[], ["n0"], ["n0", "n1"]]  # each is stored before the next one begins
    assert [storage.read_task("flow", f"n{number}") for number in range(3)] == [threading.get_ident()] * 3
    assert storage.scope("flow").runs.get("latest").state == "interrupted"


def test_two_nodes_of_one_name(backend: Backend, tmp_path: Path) -> None:
    add = arithmetic(Notes(tmp_path))
    first = add(1, 1).set_name("same")
    with pytest.raises(holdfast.InvalidArgumentError, match="two nodes are called 'same'"):
        backend.run(add(first, 1).set_name("same"))


_OTHER: Any = 5


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: LocalWorkflow(workflow_name="a"), "not nothing"),
        (lambda: LocalWorkflow(5, workflow_name="a"), "not 5"),
        (lambda: LocalWorkflow(workflow(len)([1]), workflow_name=""), "name"),
        (lambda: LocalWorkflow(workflow(len)([1]), workflow_name="a").set_storage(_OTHER), "storage_factory"),
        (lambda: workflow(_OTHER), "decorates a function or a class"),
        (lambda: workflow(workflow(len)), "once"),
    ],
)
def test_bad_input(call: Any, message: str) -> None:
    with pytest.raises(holdfast.InvalidArgumentError, match=message):
        call()


def test_arguments_are_checked_where_they_are_written() -> None:
    @workflow
    def add(a: Any, b: Any) -> Any:
        return a + b

    with pytest.raises(TypeError, match="add"):
        add(1)
