"""Both colours have the same verbs: names, arguments, defaults, descriptions, and types."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any, assert_type

import pytest

import holdfast
from holdfast import Entry, Record
from holdfast.aio.artifact import AsyncArtifact, AsyncMetadata
from holdfast.aio.files import AsyncFile, Opening
from holdfast.aio.scope import AsyncScope, AsyncTransaction
from holdfast.aio.store import AsyncLease, AsyncStore
from holdfast.aio.transaction import AsyncAtomic
from holdfast.artifact import Artifact, Metadata
from holdfast.files import Files
from holdfast.lease import Lease
from holdfast.transaction import Atomic, Transaction

PAIRS: list[tuple[type, type]] = [
    (holdfast.Store, AsyncStore),
    (holdfast.Scope, AsyncScope),
    (Transaction, AsyncTransaction),
    (Atomic, AsyncAtomic),
    (Artifact, AsyncArtifact),
    (Metadata, AsyncMetadata),
    (Lease, AsyncLease),
]

SYNCHRONOUS = {
    "aio": "is the way here",
    "memoize": "takes coroutine functions itself",
    "context": "does no I/O: a plain `with` is for async programs, too",
    "forget": "belongs to memoize",
    "attempts": "is what acquire() awaits",
    "ledger": "is the kernel's",
}
"""What only the synchronous colour has, and why."""

MAPPING = {"clear", "items", "keys", "pop", "popitem", "setdefault", "update", "values"}
"""What a mapping can do beyond what metadata needs: `read()` gives all of it as a dict."""

OWN = {
    (AsyncMetadata, "read"): "instead of the mapping's methods",
    (AsyncMetadata, "remove"): "instead of `del`",
}


def public(kind: type) -> dict[str, Any]:
    """The public members of a class by name."""
    return {name: inspect.getattr_static(kind, name) for name in dir(kind) if not name.startswith("_")}


def difference(one: Any, other: Any) -> str | None:
    """How the arguments of two functions differ; their annotations may."""

    def shape(function: Any) -> list[Any]:
        parameters = list(inspect.signature(function).parameters.values())
        return [(p.name, p.kind, p.default) for p in parameters if p.name != "self"]

    a, b = shape(one), shape(other)
    return None if a == b else f"{a} is not {b}"


@pytest.mark.parametrize(("sync", "colour"), PAIRS, ids=lambda kind: kind.__name__)
def test_no_verb_is_forgotten(sync: type, colour: type) -> None:
    theirs = public(sync).keys() - SYNCHRONOUS.keys()
    if sync is Metadata:
        theirs -= MAPPING
    ours = public(colour).keys() - {name for kind, name in OWN if kind is colour}
    assert theirs - ours == set()
    assert {name for name in ours - theirs if callable(getattr(colour, name))} == set()


def test_no_attribute_is_forgotten(store: holdfast.Store) -> None:
    scope = store.namespace("a")
    pairs: list[tuple[Any, Any]] = [
        (store, store.aio),
        (scope, scope.aio),
        (scope.artifact("a"), scope.aio.artifact("a")),
        (store.transaction(), store.aio.transaction()),
        (store.lease("a"), store.aio.lease("a")),
    ]
    for sync, colour in pairs:
        theirs, ours = ({name for name in dir(thing) if not name.startswith("_")} for thing in (sync, colour))
        assert theirs - SYNCHRONOUS.keys() == ours, type(colour).__name__


VERBS = [
    (sync, colour, name)
    for sync, colour in PAIRS
    for name in sorted(public(sync).keys() & public(colour).keys())
    if callable(inspect.getattr_static(sync, name)) and not isinstance(inspect.getattr_static(sync, name), type)
]


@pytest.mark.parametrize(
    ("sync", "colour", "name"), VERBS, ids=[f"{colour.__name__}.{name}" for _, colour, name in VERBS]
)
def test_a_verb_has_the_same_arguments_and_a_description(sync: type, colour: type, name: str) -> None:
    theirs, ours = getattr(sync, name), getattr(colour, name)
    problem = difference(theirs, ours)
    if (colour, name) == (AsyncScope, "artifact"):  # navigation: to look is `await artifact.exists`
        assert problem is not None
        assert "create" not in inspect.signature(ours).parameters
    elif (colour, name) == (AsyncMetadata, "get"):  # a mapping's
        pass
    else:
        assert problem is None
    assert (ours.__doc__ or "").strip()


def test_the_descriptions_are_those_of_the_twins() -> None:
    own = {"artifact", "update", "put_chunks", "put_stream", "find", "name", "get", "transaction", "run"}
    for sync, colour, name in VERBS:
        if name not in own:
            assert getattr(colour, name).__doc__ == getattr(sync, name).__doc__, f"{colour.__name__}.{name}"


def test_what_does_io_is_awaited() -> None:
    navigation = {
        "scope", "namespace", "workflow", "instance", "workspace", "entity", "session", "find", "within", "artifact",
        "transaction", "lease", "open", "using",
    }  # fmt: skip
    iterators = {"keys", "list", "children", "artifacts", "get_chunks"}
    for _, colour, name in VERBS:
        verb = getattr(colour, name)
        if name in navigation:
            assert not inspect.iscoroutinefunction(verb), f"{colour.__name__}.{name}"
        elif name not in iterators:
            assert inspect.iscoroutinefunction(verb), f"{colour.__name__}.{name}"


def test_a_forgotten_verb_and_another_default_are_seen() -> None:
    class Wrong:
        async def get(self, key: str, default: Any = None) -> Any: ...

    assert difference(holdfast.Scope.get, Wrong.get) is not None
    assert public(holdfast.Scope).keys() - public(Wrong).keys() >= {"put", "present"}


def test_importing_loads_no_asyncio_before_it_is_asked_for() -> None:
    code = (
        "import sys, holdfast; assert 'asyncio' not in sys.modules\n"
        "store = holdfast.open('memory:'); scope = store.namespace('a'); scope.put('k', [1]); scope.get('k')\n"
        "assert 'asyncio' not in sys.modules\n"
        "store.aio; assert 'asyncio' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


async def _types(store: holdfast.Store) -> None:
    """Read by the type checker: what users see."""
    aio = store.aio
    assert_type(aio, AsyncStore)
    scope = store.namespace("a").aio
    assert_type(scope, AsyncScope)
    assert_type(aio.namespace("a").workflow("b"), AsyncScope)
    assert_type(await scope.put("k", 1, tags={"a": "b"}), Record)
    assert_type(await scope.delete("k", missing_ok=True), Record | None)
    assert_type(await scope.update("k", len, default=0, expires=None), Entry[Any])
    assert_type(await scope.add("k"), Entry[int])
    assert_type(await scope.exists("k"), bool)
    assert_type(await scope.present, bool)
    assert_type(await scope.get_many(["k"]), dict[str, Any])
    assert_type(await scope.get_bytes("k"), bytes)
    assert_type(await scope.put_many({"k": 1}), list[Record])
    assert_type(scope.keys(), AsyncIterator[str])
    assert_type(scope.list(limit=3), AsyncIterator[Record])
    assert_type(scope.open("k", "rb"), Opening[bytes])
    assert_type(scope.open("k"), Opening[str])
    async with scope.open("k", "wb") as file:
        assert_type(file, AsyncFile[bytes])
        assert_type(await file.read(), bytes)
        assert_type(file.record, Record | None)
    async with scope.transaction() as inside:
        assert_type(inside, AsyncScope)
    async with aio.transaction() as tx:
        assert_type(tx.namespace("a"), AsyncScope)
    async with scope.artifact("run").transaction() as artifact:
        assert_type(artifact, AsyncArtifact[AsyncScope])
        assert_type(await artifact.write("a", b""), Record)
    async with aio.lease("x") as lease:
        await scope.put("k", 1, lease=lease)
    store.namespace("a").put("k", 1, lease=lease)
    await scope.delete(1)  # type: ignore[arg-type]
    await scope.put("k", 1, tag={})  # type: ignore[call-arg]


def test_the_overloads_of_open_are_those_of_the_twin() -> None:
    def modes(function: Callable[..., Any]) -> set[str]:
        source = inspect.getsource(inspect.getmodule(function))  # type: ignore[arg-type]
        found = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef) and node.name == "open":
                for part in ast.walk(node.args):
                    if isinstance(part, ast.Subscript) and getattr(part.value, "id", "") == "Literal":
                        found |= {str(text.value) for text in ast.walk(part.slice) if isinstance(text, ast.Constant)}
        return found

    assert modes(Files.open) == modes(AsyncScope.open) != set()
