"""What writers that will be killed do: each deed is data, so that the test knows what was meant to happen."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any, NamedTuple

import numpy as np

import holdfast
from holdfast import Artifact, Store

from .timeline import Pair, normal

INLINE = 1024
SCOPES = ("namespace:a", "namespace:b/workflow:w", "namespace:b/artifact:r")
KEYS = ("k0", "k1", "k2", "k3")
SLOTS = [(scope, key) for scope in SCOPES for key in KEYS]

Slot = tuple[str, str]
Meant = tuple[str, int]
"""A value by its form and number."""

FORMS = ("inline", "file", "large", "array", "equal", "object")
_HEAD = struct.Struct(">BQ")
_SIZES = {"file": 5_000, "large": 150_000, "equal": 6_000}


def make(meant: Meant) -> Any:
    """The value of a form and a number; of the form "equal" there are three."""
    form, number = meant
    if form == "inline":
        return {"n": number, "text": str(number) * 20}
    if form == "array":
        return np.arange(9_000, dtype=np.int64) + number
    if form == "number":
        return number
    if form == "object":
        return Pair.of(number)
    number = number % 3 if form == "equal" else number
    return (_HEAD.pack(FORMS.index(form), number) * (_SIZES[form] // _HEAD.size + 1))[: _SIZES[form] + number % 100]


def identify(value: Any) -> Meant:
    """Form and number of a value; AssertionError when it is not one of ours, whole."""
    if type(value) is int:
        return "number", value
    if isinstance(value, Pair):
        meant = ("object", value.n)
    elif isinstance(value, np.ndarray):
        meant = ("array", int(value[0]))
    elif isinstance(value, dict):
        meant = ("inline", value["n"])
    else:
        form, number = _HEAD.unpack(bytes(value[: _HEAD.size]))
        meant = (FORMS[form], number)
    assert normal(make(meant)) == normal(value), f"a torn value: {meant}"
    return meant


def same(meant: Meant | None, found: Meant | None) -> bool:
    """Whether two are one value."""
    if meant is None or found is None:
        return meant is found
    return normal(make(meant)) == normal(make(found))


class Deed(NamedTuple):
    """One commit, or one thing that changes no value.

    Attributes:
        kind: what to do, the name of a function below.
        changes: what the keys are afterwards, None for deleted.
    """

    kind: str
    changes: tuple[tuple[Slot, Meant | None], ...] = ()


def do(store: Store, deed: Deed) -> list[int | None]:
    """Do it, and give the versions of its changes."""
    return _DEEDS[deed.kind](store, deed)


def _only(deed: Deed) -> tuple[Slot, Any]:
    ((slot, meant),) = deed.changes
    return slot, None if meant is None else make(meant)


def _put(store: Store, deed: Deed, **options: Any) -> list[int | None]:
    (scope, key), value = _only(deed)
    return [store.scope(scope).put(key, value, **options).version]


def _put_power(store: Store, deed: Deed) -> list[int | None]:
    return _put(store, deed, durability="power")


def _put_and_sync(store: Store, deed: Deed) -> list[int | None]:
    versions = _put(store, deed)
    store.sync()
    return versions


def _put_brief(store: Store, deed: Deed) -> list[int | None]:
    """A key of no interest, which expires at once."""
    for form in ("inline", "file"):
        store.scope("namespace:a").put(f"brief-{form}", make((form, 1)), expires=timedelta(seconds=0.05))
    return []


def _stream(store: Store, deed: Deed) -> list[int | None]:
    (scope, key), value = _only(deed)
    with store.scope(scope).open(key, "wb") as file:
        for start in range(0, len(value), 40_000):
            file.write(value[start : start + 40_000])
    return [store.scope(scope).record(key).version]


def _update(store: Store, deed: Deed) -> list[int | None]:
    (scope, key), value = _only(deed)
    return [store.scope(scope).update(key, lambda old: value, default=None).record.version]


def _delete(store: Store, deed: Deed) -> list[int | None]:
    (scope, key), _ = _only(deed)
    store.scope(scope).delete(key, missing_ok=True)
    return [None]


def _transaction(store: Store, deed: Deed) -> list[int | None]:
    with (atomic := store.transaction()) as inside:
        for (scope, key), meant in deed.changes:
            if meant is None:
                inside.scope(scope).delete(key, missing_ok=True)
            else:
                inside.scope(scope).put(key, make(meant))
    return _versions(deed, [record.version for record in atomic.records])


def _artifact(store: Store, deed: Deed) -> list[int | None]:
    scope = store.scope(SCOPES[2])
    with (atomic := Artifact(scope).transaction()) as inside:
        for (_, key), meant in deed.changes:
            assert meant is not None
            inside.write(key, make(meant))
        inside.metadata["number"] = 1
    return [record.version for record in atomic.records if record.key in KEYS]


def _versions(deed: Deed, made: list[int]) -> list[int | None]:
    """The versions of a transaction by its changes, of which deletes have none."""
    numbers = iter(made[-sum(meant is not None for _, meant in deed.changes) :])
    return [None if meant is None else next(numbers) for _, meant in deed.changes]


def _drop(store: Store, deed: Deed) -> list[int | None]:
    store.scope(deed.changes[0][0][0]).drop(missing_ok=True)
    return [None] * len(deed.changes)


def _collect(store: Store, deed: Deed) -> list[int | None]:
    store.gc(wait=30)
    return []


def _close(store: Store, deed: Deed) -> list[int | None]:
    store.close()
    return []


def _nothing(store: Store, deed: Deed) -> list[int | None]:
    return []


_DEEDS: dict[str, Callable[[Store, Deed], list[int | None]]] = {
    "put": _put, "put power": _put_power, "put and sync": _put_and_sync, "put brief": _put_brief, "stream": _stream,
    "update": _update, "delete": _delete, "transaction": _transaction, "artifact": _artifact, "drop": _drop,
    "collect": _collect, "close": _close, "open": _nothing,
}  # fmt: skip

PUTS = ("put", "put power", "put and sync", "stream", "update")
"""Kinds that put one value."""


def invent(kind: str, form: str, random: Random) -> Deed:
    """A deed of a kind, on random keys."""

    def meant() -> Meant:
        return (form, random.randrange(1, 1 << 30))

    if kind in PUTS:
        return Deed(kind, ((random.choice(SLOTS), meant()),))
    if kind == "delete":
        return Deed(kind, ((random.choice(SLOTS), None),))
    if kind == "transaction":
        slots = random.sample(SLOTS, 3)
        return Deed(kind, ((slots[0], meant()), (slots[1], ("inline", random.randrange(1 << 30))), (slots[2], None)))
    if kind == "artifact":
        keys = random.sample(KEYS, 2)
        return Deed(kind, tuple(((SCOPES[2], key), ("file", random.randrange(1 << 30))) for key in keys))
    if kind == "drop":
        scope = random.choice(SCOPES)
        return Deed(kind, tuple((slot, None) for slot in SLOTS if slot[0] == scope))
    return Deed(kind)


def open_store(folder: str) -> Store:
    """The store of these tests."""
    return holdfast.open(folder, inline=INLINE)
