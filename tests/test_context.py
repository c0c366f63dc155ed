"""The run context: which scope the module's verbs act in."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast import InvalidScopeError, StoreNotFoundError
from holdfast.context import current_context


@pytest.fixture
def store() -> Any:
    with holdfast.open("memory:") as store:
        yield store


@pytest.fixture(autouse=True)
def nothing_is_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HOLDFAST_STORE", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "names, path",
    [
        ({"namespace": "prod"}, "namespace:prod"),
        ({"namespace": "prod", "workflow": "f"}, "namespace:prod/workflow:f"),
        ({"namespace": "prod", "workflow": "f", "instance": "1"}, "namespace:prod/workflow:f/instance:1"),
        ({"workspace": "w"}, "workspace:w"),
        ({"workspace": "w", "entity": "Span.1"}, "workspace:w/entity:Span.1"),
        ({"workspace": "w", "session": "s"}, "workspace:w/session:s"),
        ({"workspace": "w", "entity": "Span.1", "session": "s"}, "workspace:w/entity:Span.1"),
        ({}, "namespace:default"),
    ],
)
def test_the_innermost_scope_named_is_current(store: holdfast.Store, names: dict[str, str], path: str) -> None:
    with store.context(**names) as scope:
        assert str(holdfast.current()) == str(scope) == path
        holdfast.put("k", names)
    assert store.scope(path).get("k") == names


def test_the_verbs_act_in_it(store: holdfast.Store) -> None:
    with store.context(namespace="prod"):
        assert holdfast.put("k", 1, tags={"a": "b"}).tags == {"a": "b"}
        assert holdfast.get("k") == 1
        assert holdfast.entry("k").record.key == "k"
        assert holdfast.exists("k")
        assert holdfast.update("k", lambda n: n + 1).value == 2
        assert holdfast.update("new", lambda n: n + 1, 0).value == 1
        assert holdfast.get("none", None) is None
        assert holdfast.get("none", default=3) == 3
        with pytest.raises(holdfast.NotFoundError):
            holdfast.get("none")
        with pytest.raises(holdfast.NotFoundError):
            holdfast.update("none", lambda n: n)
        holdfast.delete("k")
        assert holdfast.delete("k", missing_ok=True) is None
    assert list(store.namespace("prod")) == ["new"]


def test_a_context_in_another_goes_on_from_its_names(store: holdfast.Store) -> None:
    def path(**names: str) -> str:
        with store.context(**names):
            return str(holdfast.current())

    with store.context(namespace="a", workflow="f", instance="1"):
        assert path(instance="2") == "namespace:a/workflow:f/instance:2"
        assert path(workflow="g") == "namespace:a/workflow:g"
        assert path(namespace="b", instance="3") == "namespace:b/instance:3"
        assert path() == "namespace:a/workflow:f/instance:1"
        assert path(entity="e") == "entity:e"
        with store.context(workspace="w", entity="e1", session="s"):
            assert path() == "workspace:w/entity:e1"
            assert path(session="t") == "workspace:w/session:t"
            assert path(entity="e2") == "workspace:w/entity:e2"
            assert path(workspace="x") == "workspace:x"
            context = current_context()
            assert context is not None
            assert context.names["namespace"] == "a"
            with store.context(entity="e2"):
                inner = current_context()
                assert inner is not None
                assert inner.names["session"] == "s"
        assert str(holdfast.current()) == "namespace:a/workflow:f/instance:1"
    assert current_context() is None


def test_another_store_begins_anew(store: holdfast.Store) -> None:
    with holdfast.open("memory:") as other, store.context(namespace="a"), other.context(workflow="f"):
        holdfast.put("k", 1)
        assert str(holdfast.current()) == "workflow:f"
        assert other.workflow("f").get("k") == 1


@pytest.mark.parametrize("names", [{"namespace": "a", "entity": "e"}, {"workspace": "w", "workflow": "f"}])
def test_names_of_both_families_are_an_error(store: holdfast.Store, names: dict[str, str]) -> None:
    with pytest.raises(InvalidScopeError, match="not some of both"), store.context(**names):
        pass
    assert current_context() is None


@pytest.mark.parametrize("name", ["", "a\nb", 3])
def test_an_illegal_name_is_an_error(store: holdfast.Store, name: Any) -> None:
    with pytest.raises(InvalidScopeError), store.context(namespace=name):
        pass


def test_a_block_is_no_decorator_and_is_entered_once_at_a_time(store: holdfast.Store) -> None:
    block = store.context(namespace="a")
    with pytest.raises(TypeError):
        block(lambda: None)  # type: ignore[operator]
    with block, pytest.raises(holdfast.InvalidArgumentError, match="entered already"), block:
        pass
    with block:
        assert str(holdfast.current()) == "namespace:a"


def test_an_exception_leaves_the_context(store: holdfast.Store) -> None:
    with pytest.raises(ZeroDivisionError), store.context(namespace="a"):
        raise ZeroDivisionError
    assert current_context() is None


def test_threads_do_not_mix(store: holdfast.Store) -> None:
    barrier, seen = threading.Barrier(8), []

    def work(name: str) -> None:
        assert current_context() is None
        with store.context(namespace=name):
            barrier.wait()
            holdfast.put("mine", name)
            barrier.wait()
            seen.append((name, str(holdfast.current()), holdfast.get("mine")))

    with store.context(namespace="outside"):
        threads = [threading.Thread(target=work, args=(f"n{n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(seen) == [(f"n{n}", f"namespace:n{n}", f"n{n}") for n in range(8)]


def test_tasks_do_not_mix(store: holdfast.Store) -> None:
    async def work(name: str) -> str:
        with store.context(workflow=name):
            for _ in range(20):
                await asyncio.sleep(0)
                assert str(holdfast.current()) == f"namespace:all/workflow:{name}"
            return str(holdfast.current())

    async def main() -> list[str]:
        with store.context(namespace="all"):
            found = await asyncio.gather(*(work(f"n{n}") for n in range(20)))
            assert str(holdfast.current()) == "namespace:all"
            return list(found)

    assert asyncio.run(main()) == [f"namespace:all/workflow:n{n}" for n in range(20)]


def test_outside_of_a_context_nothing_is_named() -> None:
    for verb in (holdfast.current, lambda: holdfast.get("k"), lambda: holdfast.put("k", 1)):
        with pytest.raises(StoreNotFoundError, match="HOLDFAST_STORE"):
            verb()


SCRIPT = """
import holdfast
holdfast.put("k", [1, 2])
print(holdfast.current(), holdfast.current() == holdfast.current())
"""


def test_outside_of_a_context_it_is_the_configured_store(tmp_path: Path) -> None:
    (tmp_path / "holdfast.toml").write_text('store = "data"\n')
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "namespace:default True\n"
    with holdfast.open(tmp_path / "data") as store:
        assert store.namespace("default").get("k") == [1, 2]


def test_a_context_goes_before_the_configured_store(
    store: holdfast.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_STORE", str(tmp_path / "data"))
    with store.context(namespace="prod"):
        holdfast.put("k", 1)
    assert store.namespace("prod").get("k") == 1
    assert not (tmp_path / "data").exists()
