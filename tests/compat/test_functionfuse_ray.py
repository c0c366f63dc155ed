"""F11: workflows on Ray."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.compat.functionfuse import workflow
from holdfast.compat.functionfuse.backends.builtin.rayback import Query, RayWorkflow
from holdfast.compat.functionfuse.backends.plugins import InitializerPlugin, PluginCollection, RandomStatePlugin
from holdfast.compat.functionfuse.backends.plugins.baseplugins import Plugin
from holdfast.compat.functionfuse.storage import storage_factory
from holdfast.compat.functionfuse.storage.rayfilestorage import end_keepers

from .functionfuse_backends import Notes, Place, close_below


@pytest.fixture(autouse=True)
def closed(tmp_path: Path) -> Iterator[None]:
    """Nothing stays open in a folder that is removed."""
    yield
    close_below(tmp_path)


@workflow
def add(a: Any, b: Any) -> Any:
    return a + b


def flow_of(*nodes: Any, storage: Any = None) -> RayWorkflow:
    made = RayWorkflow(*nodes, workflow_name="flow")
    if storage is not None:
        made.set_storage(storage)
    return made


@pytest.fixture(autouse=True)
def on_ray(ray_driver: Any) -> Iterator[None]:
    """All of them are."""
    yield
    end_keepers()


def local_add() -> Any:
    @workflow
    def add(a: Any, b: Any) -> Any:
        return a + b

    return add


def test_f11_results_are_given_when_they_are_asked_for(place: Place) -> None:
    add = local_add()
    first = add(1, 1).set_name("first")
    last = add(first, 1).set_name("last")
    flow = flow_of(last, first, storage=place.storage())
    assert flow.run() is None
    assert place.storage().list_tasks("flow") == ["first", "last"]  # all are written by then
    assert flow.run(return_results=True) == [3, 2]
    assert flow_of(last).run(return_results=True, max_pending_tasks=1) == 3
    for wrong in (-1, 1.5, None):
        with pytest.raises(holdfast.InvalidArgumentError, match="max_pending_tasks"):
            flow.run(max_pending_tasks=wrong)  # type: ignore[arg-type]


def test_f11_results_are_written_by_workers(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    note = notes.note

    class Told:
        def __reduce__(self) -> Any:
            raise TypeError

    class ToldSerializer:
        name = "told"
        serializer_class = Told

        @classmethod
        def pickle(cls, obj: Any, protocols: Any) -> Any:
            import os

            note(f"written by {os.getpid()}")
            return cls.name, (1, "none")

        @classmethod
        def unpickle(cls, persistent_id: Any, protocols: Any) -> Any:
            return "told"

        @classmethod
        def remove(cls, persistent_id: Any, protocols: Any) -> None:
            pass

    @workflow
    def make() -> Any:
        import os

        note(f"made by {os.getpid()}")
        return [Told()]

    storage = storage_factory({"kind": "file", "options": {"path": str(tmp_path / "storage")}})
    storage.register_persistent_serializers(ToldSerializer)
    flow_of(make().set_name("made"), storage=storage).run()
    made, written = notes.taken()
    assert made.removeprefix("made by ") == written.removeprefix("written by ")
    assert storage.read_task("flow", "made") == ["told"]


def test_f11_independent_nodes_run_at_the_same_time(tmp_path: Path) -> None:
    folder = str(tmp_path)

    @workflow
    def meet(me: str, other: str) -> bool:
        import os
        import time

        open(f"{folder}/{me}", "w").close()
        end = time.monotonic() + 30
        while not os.path.exists(f"{folder}/{other}") and time.monotonic() < end:
            time.sleep(0.01)
        return os.path.exists(f"{folder}/{other}")

    assert flow_of(meet("a", "b"), meet("b", "a")).run(return_results=True) == [True, True]


def test_f11_remote_args() -> None:
    @workflow
    def cpus() -> Any:
        import ray

        return ray.get_runtime_context().get_assigned_resources().get("CPU", 0)

    flow = flow_of(cpus().set_name("two"), cpus().set_name("one"))
    query = flow.query(pattern="^two$")
    assert isinstance(query, Query)
    assert [node.get_name() for node in query.nodes] == ["two"]
    assert query.set_remote_args({"num_cpus": 2, "num_gpus": 0, "max_retries": 1}) is query
    assert flow.run(return_results=True) == [2.0, 1.0]
    assert flow.query().set_remote_args({"num_cpus": 0}).nodes == flow.find_nodes()
    assert flow.run(return_results=True) == [0.001, 0.001]  # which is nothing to Ray
    query.set_remote_args({"resources": {"nobody_has_this": 1}})
    with pytest.raises(holdfast.InvalidArgumentError, match="no remote arg 'placement'"):
        query.set_remote_args({"placement": "x"})
    with pytest.raises(holdfast.InvalidArgumentError, match="remote args are options by name"):
        query.set_remote_args([1])  # type: ignore[arg-type]
    with pytest.raises(holdfast.InvalidArgumentError, match="retries"):
        query.set_remote_args({"max_retries": -1})


def test_f11_plugins(tmp_path: Path) -> None:
    notes = Notes(tmp_path)
    note = notes.note

    @workflow
    def draw(a: Any) -> Any:
        import random

        return random.getstate()[1][0], a

    def begin() -> None:
        note("begun")

    def seed(number: int) -> None:
        import random

        random.seed(number)
        note(f"seed {number}")

    random_state = RandomStatePlugin(min=3, max=5, seed=4, seed_func=seed)
    plugin = PluginCollection([InitializerPlugin(begin), random_state])
    first = draw(0).set_name("First sum")
    second = draw(first).set_name("Second sum")
    third = draw(second).set_name("Third sum")
    other = draw(third).set_name("Other")
    flow = flow_of(other, third)
    flow.set_plugin(pattern=r"^.*sum.*$", plugin=plugin)
    flow.run()
    assert notes.taken() == ["begun", "begun", "begun", "seed 3", "seed 4", "seed 5"]
    assert random_state.seed == 4
    again = flow_of(other)
    again.run()
    assert notes.taken() == []  # a plugin is of the workflow that it was set in
    again.query("Other").set_plugin(PluginCollection([InitializerPlugin(begin), Plugin()]))
    again.query("First sum").set_plugin(Plugin())  # which has nothing to do
    again.run()
    assert notes.taken() == ["begun"]
    with pytest.raises(holdfast.InvalidArgumentError, match="a plugin has"):
        flow.set_plugin(pattern=".*", plugin=5)


def test_f11_stored_results_of_nodes_with_plugins_are_found(tmp_path: Path) -> None:
    add = local_add()
    storage = storage_factory({"kind": "file", "options": {"path": str(tmp_path / "storage")}})
    node = add(1, 1).set_name("some")
    for number in range(2):
        flow = flow_of(node, storage=storage)
        if number == 0:
            flow.set_plugin(".*", InitializerPlugin(int))
        assert flow.run(return_results=True) == 2


def test_f11_what_ray_does_not_take(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(holdfast.InvalidArgumentError, match="options by name"):
        RayWorkflow(add(1, 1), workflow_name="flow", ray_init_args=[1])  # type: ignore[arg-type]
    ways: list[tuple[Any, str]] = [
        ({"remoteArgs": {"no_such_option": 1}}, "remoteArgs"),
        ({"remoteArgs": 5}, "remoteArgs are options by name"),
        ({"rayInitArgs": 5}, "ray_init_args are options by name"),
    ]
    for options, message in ways:
        with pytest.raises(holdfast.InvalidArgumentError, match=message):
            storage_factory({"kind": "ray", "options": {"path": "x", **options}})


def test_f11_the_secrets_of_a_storage_travel_in_no_pickle(tmp_path: Path) -> None:
    import cloudpickle

    storage = storage_factory({"kind": "ray", "options": {"path": str(tmp_path / "storage")}})
    kernel = storage.scope("flow")._kernel
    data = cloudpickle.dumps(storage.scope("flow"))
    assert kernel.signer.key not in data
    assert b"hft_" not in data
    assert cloudpickle.loads(data)._kernel is kernel
