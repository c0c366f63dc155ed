"""Values in memory, beside durable ones: of each memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import holdfast
from holdfast.errors import (
    ConflictError,
    EncodeError,
    ExistsError,
    InvalidArgumentError,
    NotFoundError,
    SignatureError,
    ValueLost,
)
from holdfast.storages.ephemeral import EphemeralStorage

ARRAY = np.random.default_rng(7).random(100_000)


class Opaque:
    """Something that only pickle takes."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque) and bool(np.all(self.content == other.content))

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    "value",
    [0, "", [], None, False, {}, b"", 1 << 70, {"a": [1, 2.5, "x"]}, b"x" * 100_000, "text" * 50_000, Opaque(3)],
    ids=lambda value: str(value)[:20],
)
def test_any_value_comes_back(scope: holdfast.Scope, value: Any) -> None:
    record = scope.put("key", value, tier="memory")
    assert record.tier == "ephemeral"
    assert record.durability == "session"
    found = scope.get("key")
    assert found == value
    assert type(found) is type(value)
    assert scope.exists("key")
    assert list(scope.keys()) == ["key"]


def test_arrays_frames_and_what_has_them(scope: holdfast.Scope) -> None:
    frame = pd.DataFrame({"a": ARRAY, "b": np.arange(len(ARRAY))})
    scope.put("array", ARRAY, tier="memory")
    scope.put("frame", frame, tier="memory")
    scope.put("several", {"x": Opaque(ARRAY), "y": ARRAY}, tier="memory")
    assert np.array_equal(scope.get("array"), ARRAY)
    pd.testing.assert_frame_equal(scope.get("frame"), frame)
    several = scope.get("several")
    assert several["x"] == Opaque(ARRAY)
    assert np.array_equal(several["y"], ARRAY)
    assert scope.record("frame").digest is None
    assert scope.record("frame").contents["value"].ephemeral


def test_one_key_has_two_copies_and_one_counter(scope: holdfast.Scope) -> None:
    first = scope.put("key", "durable")
    second = scope.put("key", "memory", tier="memory")
    assert second.version > first.version
    assert (scope.get("key"), scope.get("key", tier="durable"), scope.get("key", tier="memory")) == (
        "memory",
        "durable",
        "memory",
    )
    assert scope.record("key", tier="durable") == first
    third = scope.put("key", "newer")
    assert third.version > second.version
    assert (scope.get("key"), scope.get("key", tier="memory")) == ("newer", "memory")
    assert [record.version for record in scope.list()] == [third.version]
    scope.delete("key", tier="durable")
    assert scope.get("key") == "memory"
    assert not scope.exists("key", tier="durable")
    scope.delete("key", tier="memory")
    assert not scope.exists("key")
    scope.put("key", 1)
    scope.put("key", 2, tier="memory")
    scope.delete("key")
    assert not scope.exists("key")
    with pytest.raises(NotFoundError):
        scope.delete("key", tier="memory")
    assert scope.delete("key", tier="memory", missing_ok=True) is None


def test_both_versions_of_a_key_are_got_by_their_numbers(scope: holdfast.Scope) -> None:
    first = scope.put("key", "durable").version
    second = scope.put("key", "memory", tier="memory").version
    assert scope.get("key", version=first) == "durable"
    assert scope.get("key", version=second) == "memory"
    with pytest.raises(NotFoundError, match=f"there are {second}, {first}"):
        scope.get("key", version=second + 1)


def test_a_tier_that_has_no_record_is_named(scope: holdfast.Scope) -> None:
    scope.put("key", 1, tier="memory")
    scope.put("other", 1)
    for verb in (scope.get, scope.record):
        with pytest.raises(NotFoundError, match="no durable record namespace:prod/workflow:forecast/key"):
            verb("key", tier="durable")
        with pytest.raises(NotFoundError, match="no record namespace:prod/workflow:forecast/other in memory"):
            verb("other", tier="memory")


def test_the_verbs_of_the_module_name_a_tier(scope: holdfast.Scope, store: holdfast.Store) -> None:
    with store.context(namespace="prod", workflow="forecast"):
        holdfast.put("key", "durable")
        holdfast.put("key", "memory", tier="memory")
        assert (holdfast.get("key", tier="durable"), holdfast.get("key", tier="memory")) == ("durable", "memory")
        gone = holdfast.delete("key", tier="memory")
        assert gone is not None
        assert gone.tier == "ephemeral"
        assert (holdfast.exists("key", tier="memory"), holdfast.exists("key", tier="durable")) == (False, True)


def test_verify_looks_at_what_is_durable_behind_what_is_in_memory(store: holdfast.Store) -> None:
    scope = store.namespace("prod")
    scope.put("key", ARRAY)
    scope.put("key", ARRAY + 1, tier="memory")
    assert (store.verify().records, store.verify().problems) == (2, [])
    (blob,) = [path for path in (Path(store.config.store) / "files").rglob("*") if path.stat().st_size > 100_000]
    blob.chmod(0o600)
    blob.write_bytes(b"x" * blob.stat().st_size)
    assert [(problem.version, problem.code) for problem in store.verify().problems] == [(1, "integrity")]


def test_conditions_see_both(scope: holdfast.Scope) -> None:
    version = scope.put("key", ARRAY, tier="memory").version
    with pytest.raises(ExistsError):
        scope.put("key", 1, if_absent=True)
    with pytest.raises(ConflictError):
        scope.put("key", ARRAY, tier="memory", if_version=version - 1)
    scope.put("key", ARRAY + 1, tier="memory", if_version=version)
    assert scope.get("key")[0] == ARRAY[0] + 1
    assert scope.update("key", lambda array: array * 2).value[0] == (ARRAY[0] + 1) * 2
    assert scope.record("key").tier == "durable"


def test_expiry_and_tags(scope: holdfast.Scope) -> None:
    from datetime import datetime, timedelta, timezone

    scope.put("key", ARRAY, tier="memory", tags={"a": "b"}, expires=timedelta(days=1))
    (record,) = scope.list(tags={"a": "b"})
    assert record.key == "key"
    scope.set_tags("key", {"c": "d"})
    assert scope.record("key").tags == {"c": "d"}
    scope.touch("key", datetime(2020, 1, 1, tzinfo=timezone.utc))
    assert not scope.exists("key")


def test_what_was_replaced_or_deleted_leaves_the_memory(scope: holdfast.Scope) -> None:
    places = []
    for number in range(4):
        scope.put("key", ARRAY + number, tier="memory")
        places.append(scope.record("key").contents["value"].storage_config)
    memory = _memory(scope)
    assert memory.sync(places) == [False, False, False, True]
    scope.delete("key")
    scope._kernel.catalog.sweep()
    holdfast.open(scope._kernel.config.store).gc()
    assert memory.sync(places) == [False] * 4


def _memory(scope: holdfast.Scope) -> EphemeralStorage:
    return scope._kernel.memory(f"holdfast.{scope._kernel.config.memory}@v1")[1]


def test_copies_and_moves_stay_where_they_are(scope: holdfast.Scope, store: holdfast.Store) -> None:
    scope.put("key", "durable")
    scope.put("key", ARRAY, tier="memory")
    assert scope.copy("key", "copy").tier == "ephemeral"
    assert np.array_equal(scope.get("copy"), ARRAY)
    moved = scope.rename("key", "moved", to=store.namespace("other"))
    assert moved.tier == "ephemeral"
    other = store.namespace("other")
    assert other.get("moved", tier="durable") == "durable"
    assert np.array_equal(other.get("moved"), ARRAY)
    assert not scope.exists("key")
    other.delete("moved", tier="memory")
    assert np.array_equal(scope.get("copy"), ARRAY)


def test_what_has_expired_in_one_tier_does_not_move_along(scope: holdfast.Scope) -> None:
    scope.put("key", "durable", expires=timedelta(milliseconds=1))
    scope.put("key", "memory", tier="memory")
    scope.put("target", "kept")
    time.sleep(0.01)
    assert scope.rename("key", "target", replace=True).tier == "ephemeral"
    assert scope.get("target") == "memory"
    assert scope.get("target", tier="durable") == "kept"


@dataclass(eq=False)
class Sample(holdfast.StorableDataclass, class_id="e0000701"):
    """An object with a content of its own."""

    array: np.ndarray


def test_a_durable_record_names_nothing_that_is_in_memory(scope: holdfast.Scope) -> None:
    scope.put("key", Sample(array=ARRAY), tier="memory")
    scope.put("put", scope.get("key"))  # nobody has read its array
    scope.update("key", lambda sample: sample)
    memory = _memory(scope).name
    for key in ("put", "key"):
        assert scope.record(key).tier == "durable"
        assert memory not in [content.storage for content in scope.contents(key).values()]
        assert np.array_equal(scope.get(key).array, ARRAY)


def test_transactions_read_what_is_in_memory_and_write_durably(scope: holdfast.Scope) -> None:
    scope.put("key", ARRAY, tier="memory")
    with scope.transaction() as inside:
        assert np.array_equal(inside.get("key"), ARRAY)
        inside.put("sum", float(ARRAY.sum()))
        with pytest.raises(InvalidArgumentError, match="transaction"):
            inside.put("other", ARRAY, tier="memory")
    assert scope.get("sum") == ARRAY.sum()
    with pytest.raises(InvalidArgumentError, match="transaction"):
        scope.put_many({"a": 1}, tier="memory")


def test_a_transaction_on_what_somebody_else_put_into_memory_fails(scope: holdfast.Scope) -> None:
    scope.put("key", 1)
    with pytest.raises(ConflictError), scope.transaction() as inside:  # noqa: PT012  the end of the block raises
        inside.put("copy", inside.get("key"))
        scope.put("key", 2, tier="memory")
    assert not scope.exists("copy")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tier": "disk"}, "tier must be 'durable', 'memory' or 'auto', not 'disk'"),
        ({"tier": None}, "not None"),
        ({"tier": "memory", "durability": "power"}, "no durability"),
    ],
)
def test_wrong_tiers(scope: holdfast.Scope, options: Any, told: str) -> None:
    with pytest.raises(InvalidArgumentError, match=told):
        scope.put("key", 1, **options)
    for verb in (scope.get, scope.exists, scope.record, scope.delete):
        with pytest.raises(InvalidArgumentError, match="tier must be 'durable' or 'memory', not 'auto'"):
            verb("key", tier="auto")
    assert not scope.exists("key")


def test_files_and_streams_are_durable(scope: holdfast.Scope) -> None:
    def write() -> Iterator[bytes]:
        yield b"x"

    for verb, content in ((scope.put_chunks, write()), (scope.put_stream, [1, 2])):
        with pytest.raises(InvalidArgumentError, match="files and streams are durable"):
            verb("key", content, tier="memory")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="files and streams are durable"):
        scope.open("key", "wb", tier="memory")
    assert list(scope.keys()) == []


def test_what_cannot_be_stored_is_named_by_its_path(scope: holdfast.Scope) -> None:
    with pytest.raises(EncodeError, match=r"inner"):
        scope.put("key", {"outer": {"inner": threading.Lock()}}, tier="memory")
    assert not scope.exists("key")


def test_a_pickle_runs_only_from_the_place_that_was_signed(scope: holdfast.Scope, tmp_path: Path) -> None:
    import apsw

    scope.put("hostile", b"cos\nsystem\n(S'exit 1'\ntR." + b" " * 100_000, tier="memory")
    scope.put("pickle", Opaque(ARRAY.tolist()), tier="memory")
    assert scope.get("pickle") == Opaque(ARRAY.tolist())
    blobs = "SELECT blob,size FROM records WHERE key='hostile'"
    connection = apsw.Connection(str(tmp_path / "data" / "catalog.sqlite"))
    connection.execute(f"UPDATE records SET (blob,size)=({blobs}) WHERE key='pickle'")
    connection.close()
    with pytest.raises(SignatureError):
        scope.get("pickle")


def test_a_reader_may_write_to_what_it_got_or_is_told_not_to(scope: holdfast.Scope, memory: str) -> None:
    scope.put("key", ARRAY, tier="memory")
    mine = scope.get("key")
    if mine.flags.writeable:
        mine[0] = -1
    else:
        assert memory != "local", "a private map is writable"
        with pytest.raises(ValueError, match="read-only"):
            mine[0] = -1
    assert np.array_equal(scope.get("key"), ARRAY)


def test_auto_says_where_it_is(scope: holdfast.Scope) -> None:
    assert scope.put("key", ARRAY, tier="auto").tier == "ephemeral"
    assert scope.put("small", 1, tier="auto").tier == "ephemeral"


def test_lost_bytes_are_told_with_the_durable_version(scope: holdfast.Scope) -> None:
    durable = scope.put("key", "durable").version
    scope.put("key", ARRAY, tier="memory")
    scope.put("alone", ARRAY, tier="memory")
    memory = _memory(scope)
    for key in ("key", "alone"):
        memory.delete(scope.record(key).contents["value"].storage_config)
    with pytest.raises(ValueLost, match=rf"version {durable} is durable: get it with tier='durable'"):
        scope.get("key")
    with pytest.raises(ValueLost, match=rf"version {durable} is durable"):
        scope.entry("key")
    assert scope.get("key", tier="durable") == "durable"
    with pytest.raises(KeyError) as told:
        scope.get("alone")
    assert "is durable" not in str(told.value)


async def _awaited(store: holdfast.Store) -> None:
    scope = store.aio.namespace("prod")
    record = await scope.put("key", ARRAY, tier="memory")
    assert record.tier == "ephemeral"
    await scope.put("key", 1)
    assert np.array_equal(await scope.get("key", tier="memory"), ARRAY)
    assert await scope.get("key") == 1
    assert await scope.exists("key", tier="memory")
    assert (await scope.record("key", tier="memory")).version == record.version
    await scope.delete("key", tier="memory")
    assert not await scope.exists("key", tier="memory")


def test_async_verbs(store: holdfast.Store) -> None:
    import asyncio

    asyncio.run(_awaited(store))
