"""Flows from Python, wherever the store is: registering (D31, below the command), running, and what is missing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.errors import DefinitionError, ExistsError, InvalidArgumentError, NotFoundError
from holdfast.flows import gone
from holdfast.flows.verbs import Flows
from holdfast.tokens import Tokens

from ..client.serving import Behind
from .conftest import Place
from .samples import ATOMIC, COUNTER

SETTER = "states:\n- {id: a, type: setter, variables: [{key: x, scope: instance, value: 1}]}\n"


def test_d31_what_is_registered_is_a_workflow_file_with_its_folders(place: Place) -> None:
    flows, tree = place.namespace.flows, place.namespace.scope("file", "tree")
    assert flows.register("a/b/counter.yaml", COUNTER) == "/a/b/counter.yaml"
    types = {record.key: (record.tags["type"], record.content_type) for record in tree.list()}
    assert types == {
        "a": ("directory", "inode/directory"),
        "a/b": ("directory", "inode/directory"),
        "a/b/counter.yaml": ("workflow", "application/yaml"),
    }
    assert tree.get_bytes("a/b/counter.yaml").decode() == COUNTER
    before = tree.record("a/b/counter.yaml").version
    flows.register("/a/b/../b/counter.yaml", COUNTER)  # what is there already stays as it is
    assert tree.record("a/b/counter.yaml").version == before
    flows.register("/a/b/counter.yaml", COUNTER + "\n")
    assert tree.record("a/b/counter.yaml").version > before


def test_d31_workflow_variables_are_found_again(place: Place) -> None:
    flows = place.namespace.flows
    for expected in (1, 2, 3):
        flows.register("/counter.yaml", COUNTER)
        assert flows.run("/counter.yaml")["var"]["x"] == expected
    assert place.store.namespace("other").flows.register("/counter.yaml", COUNTER)
    assert place.store.namespace("other").flows.run("/counter.yaml")["var"]["x"] == 1


def test_d02_variables_of_a_workflow_end_with_it(place: Place) -> None:
    flows, scope = place.namespace.flows, place.namespace.workflow("/a/counter.yaml")
    for path in ("/a/counter.yaml", "/a/counter.yaml.old"):
        flows.register(path, COUNTER)
        assert flows.run(path) == {"var": {"x": 1}}
    flows.unregister("a/counter.yaml")
    assert not scope.present
    with pytest.raises(NotFoundError, match=r"no workflow /a/counter\.yaml"):
        flows.run("/a/counter.yaml")
    assert flows.run("/a/counter.yaml.old") == {"var": {"x": 2}}
    flows.register("/a/counter.yaml", COUNTER)
    assert flows.run("/a/counter.yaml") == {"var": {"x": 1}}
    for none in ("/a", "/none.yaml", "/a/none.yaml"):
        with pytest.raises(NotFoundError, match="no workflow"):
            flows.unregister(none)


def test_d02_a_new_file_gets_no_variables_of_a_deleted_one(place: Place) -> None:
    """Whoever deleted it was killed before they had gone."""
    assert place.run(COUNTER)["var"]["x"] == 1
    workflow = place.namespace.workflow("/flow.yaml")
    with place.namespace.transaction() as inside:
        inside.scope("file", "tree").delete("flow.yaml")
        gone.note(inside, [workflow])
    workflow.put("since", 1)
    place.register(COUNTER)
    assert list(workflow.keys()) == ["since"]
    assert place.engine.run(place.namespace, "/flow.yaml")["var"]["x"] == 1
    place.register(COUNTER + "\n")
    assert place.engine.run(place.namespace, "/flow.yaml")["var"]["x"] == 2


@pytest.mark.parametrize("name", ["prod", "\N{SNOWMAN}%/:" * 128], ids=["plain", "long"])
def test_who_may_write_in_one_namespace_runs_and_removes_flows_there(host: Behind, tmp_path: Path, name: str) -> None:
    with ExitStack() as stack:
        own = stack.enter_context(holdfast.open(tmp_path / "store"))
        scope = own.namespace(name)
        writer, reader = (
            Tokens(own).create(scopes=[scope.path], allow=allow)[0] for allow in (["read", "write"], ["read"])
        )
        url = stack.enter_context(host.serving(own, loopback=False))
        mine, seen = (
            stack.enter_context(holdfast.open(url, token=token)).namespace(name).flows for token in (writer, reader)
        )
        for _ in range(2):  # an empty scope, which it may not drop, is in nobody's way
            mine.register("/flow.yaml", ATOMIC)
            assert [mine.run("/flow.yaml")["var"]["x"] for _ in range(2)] == [1, 2]
            mine.unregister("/flow.yaml")
            assert list(scope.workflow("/flow.yaml").keys()) == []
        assert list(scope.scope("direktiv", "gone").keys()) == []
        mine.register("/own.yaml", SETTER)
        mine.run("/own.yaml")
        assert [list(each.keys()) for each in scope.children("instance")] in ([], [[]])
        mine.register("/slow.yaml", "states:\n- id: a\n  type: delay\n  duration: PT1M\n")
        id = mine.start("/slow.yaml")
        assert (seen.get(id).status, scope.flows.get(id).status) == ("pending", "pending")
        mine.cancel(id)


@pytest.mark.parametrize("path", ["", "/", "a/", "\0", "/" + "x" * 600, 7, None])
def test_paths_that_are_none(place: Place, path: str) -> None:
    with pytest.raises(InvalidArgumentError):
        place.namespace.flows.register(path, COUNTER)
    with pytest.raises((InvalidArgumentError, NotFoundError)):
        place.namespace.flows.run(path)


def test_paths_do_not_leave_the_namespace(place: Place) -> None:
    assert place.namespace.flows.register("../../x.yaml", COUNTER) == "/x.yaml"


def test_files_and_folders_in_the_way(place: Place) -> None:
    flows = place.namespace.flows
    flows.register("/a/b.yaml", COUNTER)
    with pytest.raises(ExistsError, match="is a directory"):
        flows.register("/a", COUNTER)
    with pytest.raises(ExistsError, match="is a file"):
        flows.register("/a/b.yaml/c.yaml", COUNTER)
    with pytest.raises(NotFoundError, match="no workflow /a"):
        flows.run("/a")


def test_what_is_not_legal_is_not_registered(place: Place) -> None:
    with pytest.raises(DefinitionError, match=r"^x\.yaml:1: states"):
        place.namespace.flows.register("/a/x.yaml", "states: []\n")
    assert not list(place.namespace.scope("file", "tree").keys())


def test_flows_in_the_background(place: Place) -> None:
    flows = place.namespace.flows
    flows.register("/slow.yaml", "states:\n- {id: a, type: delay, duration: PT60S, log: begun}\n")
    id = flows.start("/slow.yaml", {"n": 1})
    with pytest.raises(TimeoutError):
        flows.wait(id, 0.05)
    assert flows.get(id).status == "pending"
    flows.cancel(id)
    with pytest.raises(holdfast.errors.FlowFailed) as caught:
        flows.wait(id)
    assert caught.value.instance == id
    assert [line.text for line in flows.log(id)] == ["begun", "cancelled"]
    flows.remove(id)
    assert flows.list() == []


def test_the_engine_of_a_store_closes_with_it(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "store") as store:
        flows = store.namespace("prod").flows
        flows.register("/slow.yaml", "states:\n- {id: a, type: delay, duration: PT60S}\n")
        id = flows.start("/slow.yaml")
    with holdfast.open(tmp_path / "store") as store:
        assert store.namespace("prod").flows.get(id).status == "crashed"


def test_flows_of_async_programs(place: Place) -> None:
    async def work() -> None:
        flows = place.store.aio.namespace("prod").flows
        await flows.register("/counter.yaml", COUNTER)
        assert [(await flows.run("/counter.yaml"))["var"]["x"] for _ in range(3)] == [1, 2, 3]
        await flows.register("/slow.yaml", "states:\n- {id: a, type: delay, duration: PT60S}\n")
        task = asyncio.create_task(flows.run("/slow.yaml"))
        while len(await flows.list()) < 4:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        id = (await flows.list())[0].id
        with pytest.raises(holdfast.errors.FlowFailed, match="cancelled"):
            await flows.wait(id)
        assert [line.text for line in await flows.log(id)] == ["cancelled"]
        with pytest.raises(NotFoundError):
            await flows.output(id)
        await flows.remove(id)

    began = time.monotonic()
    asyncio.run(work())
    assert time.monotonic() - began < 20


def test_a_run_that_is_cancelled_while_it_starts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.namespace.flows.register("/slow.yaml", "states:\n- {id: a, type: delay, duration: PT60S}\n")
    start, started = Flows.start, threading.Event()

    def late(self: Flows, path: str, given: Any = None) -> str:
        id = start(self, path, given)
        started.set()
        time.sleep(0.1)
        return id

    async def work() -> None:
        task = asyncio.create_task(place.store.aio.namespace("prod").flows.run("/slow.yaml"))
        while not started.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    monkeypatch.setattr(Flows, "start", late)
    asyncio.run(work())
    with pytest.raises(holdfast.errors.FlowFailed, match="was cancelled"):
        place.namespace.flows.wait(place.last, 5)


@pytest.fixture(params=["memory", "postgresql", "service"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[holdfast.Store]:
    with ExitStack() as stack:
        if request.param == "memory":
            yield stack.enter_context(holdfast.open("memory:"))
        elif request.param == "postgresql":
            url = request.getfixturevalue("postgresql").url() + "?schema=flows"
            yield stack.enter_context(holdfast.open(url))
        else:
            own = stack.enter_context(holdfast.open(tmp_path / "store"))
            yield stack.enter_context(request.getfixturevalue("host").client(own))


def test_flows_wherever_the_store_is(elsewhere: holdfast.Store) -> None:
    flows = elsewhere.namespace("prod").flows
    for path, text in (("/counter.yaml", COUNTER), ("/atomic.yaml", ATOMIC)):
        flows.register(path, text)
        assert [flows.run(path)["var"]["x"] for _ in range(3)] == [1, 2, 3]
    ids = [flows.start("/atomic.yaml") for _ in range(8)]
    assert max(flows.wait(id)["var"]["x"] for id in ids) == 11
    assert len(flows.list()) == 14
    assert {info.status for info in flows.list()} == {"complete"}


MISSING = """
import sys
sys.modules[{module!r}] = None
import holdfast
from holdfast.flows.failures import Failure
flows = holdfast.open("memory:").namespace("prod").flows
try:
    flows.register("/x.yaml", {text!r})
except holdfast.errors.MissingExtraError as error:
    print(error)
"""


@pytest.mark.parametrize("module", ["yaml", "jq", "jsonschema"])
def test_a_library_that_is_not_installed(module: str) -> None:
    text = "states:\n- {id: a, type: validate, schema: {}, log: jq(.)}\n"
    script = MISSING.format(module=module, text=text)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert 'pip install "holdfast[flows]"' in done.stdout


def test_importing_holdfast_loads_nothing_of_it() -> None:
    script = "import sys, holdfast; holdfast.open('memory:').namespace('x').flows; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert not {"yaml", "jq", "jsonschema", "holdfast.flows.engine"} & set(done.stdout.split())


def test_two_register_the_same_new_workflow_at_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = place.store._kernel.catalog
    commit = catalog.commit

    def slower(*given: Any, **options: Any) -> Any:
        monkeypatch.undo()
        place.register(COUNTER, "/team/counter.yaml")
        return commit(*given, **options)

    monkeypatch.setattr(catalog, "commit", slower)
    assert place.register(COUNTER, "/team/counter.yaml") == "/team/counter.yaml"
    assert place.engine.run(place.namespace, "/team/counter.yaml") == {"var": {"x": 1}}
