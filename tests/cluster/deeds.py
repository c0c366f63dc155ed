"""What hosts do when they are told to: each function runs in the process of a host, on its open store."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import holdfast
from holdfast.errors import BusyError, ConflictError, HoldfastError, StoreError
from holdfast.memoize import memo

from ..kernel.tools import LARGE, SMALL, pattern

_store: holdfast.Store
_leases: dict[str, holdfast.Lease] = {}


def open_store(url: str, storage: str | None, *, patience: float | None = None, **settings: Any) -> str:
    """Open the host's store; gives its id."""
    global _store
    placed: Any = storage
    if storage is not None and patience is not None:
        from holdfast.storages.objectstore import ObjectStorage

        placed = ObjectStorage(storage, patience=patience, timeout=settings.get("timeout", 30.0))
    _store = holdfast.open(url, storage=placed, **settings)
    return _store.id


def close() -> None:
    """Close the store, if it is open."""
    if "_store" in globals():
        _store.close()


def scope(name: str) -> holdfast.Scope:
    return _store.namespace("prod").workflow(name)


def who() -> dict[str, str]:
    """What tells this host from another."""
    from holdfast.storages.places import boot_id, machine_id

    names = ("HOME", "XDG_CACHE_HOME", "TMPDIR")
    told = {name: os.path.realpath(os.environ[name]) for name in names}
    return told | {"machine": machine_id(), "boot": boot_id(), "host": os.uname().nodename, "work": os.getcwd()}


def identity() -> str:
    return _store.id


def set_variable(name: str, value: str) -> None:
    os.environ[name] = value


# --- the tour ---------------------------------------------------------------------------------------------------------


def array() -> Any:
    import numpy as np  # not for hosts that only write bytes

    return np.arange(200_000).reshape(400, 500)


def frame() -> Any:
    import numpy as np
    import pandas as pd

    return pd.DataFrame({"x": np.arange(20_000), "y": np.arange(20_000) / 7, "z": ["text"] * 20_000})


class Own:
    """A class that only pickle knows."""

    def __init__(self, size: int) -> None:
        self.data = bytes(size)


def put_all(name: str) -> dict[str, int]:
    """Everything that can be put; gives the versions."""
    place = scope(name)
    place.put("value", SMALL, tags={"stage": "eval"})
    place.put("array", array())
    place.put("frame", frame(), tags={"stage": "live"})
    place.put("pickle", Own(100))
    place.put("large pickle", Own(100_000))
    place.put_chunks("report.bin", (bytes([number]) * 1_000_000 for number in range(20)))
    Path("local.txt").write_text("of this host\n" * 10_000)
    place.put_file(Path("local.txt"))
    with place.artifact("run-7").transaction() as artifact:
        artifact.write("model.bin", LARGE)
        artifact.write("notes/a.txt", "short")
        artifact.metadata["accuracy"] = 0.9
    place.add("count", 0)
    return {record.key: record.version for record in place.list()}


def read_all(name: str, versions: dict[str, int]) -> None:
    """Everything is as the other one has put it."""
    place = scope(name)
    assert {record.key: record.version for record in place.list()} == versions
    assert place.get("value") == SMALL
    for verify in (False, False, True):  # from the bucket, from the copy here, hashed
        assert (place.get("array", verify=verify) == array()).all()
        assert place.get("frame", verify=verify).equals(frame())
    assert [record.key for record in place.list(tags={"stage": "live"})] == ["frame"]
    assert place.get("pickle").data == bytes(100)
    assert place.get("large pickle").data == bytes(100_000)
    with place.open("report.bin", "rb") as file:
        file.seek(7_500_000)
        assert file.read(1_000_000) == bytes([7]) * 500_000 + bytes([8]) * 500_000
    place.get_file("local.txt", Path("fetched.txt"))
    assert Path("fetched.txt").read_text() == "of this host\n" * 10_000
    artifact = place.artifact("run-7")
    assert sorted(artifact) == ["model.bin", "notes/a.txt"]
    assert artifact.read("model.bin") == LARGE
    assert artifact.metadata["accuracy"] == 0.9
    assert _store.verify(str(place)).problems == []


def count(name: str, times: int) -> list[int]:
    """Add one to a counter, so many times in each of two ways; gives the versions."""
    place = scope(name)
    made = []
    for _ in range(times):
        made.append(place.update("count", lambda number: number + 1, default=0).version)
        made.append(place.add("count", 1).version)
    return made


def move(name: str, source: str, target: str, times: int) -> int:
    """Move one, from a key to another, again and again; gives how often another transaction was in between."""
    place, conflicts = scope(name), 0
    for _ in range(times):
        while True:
            try:
                with _store.transaction() as transaction:
                    inside = transaction.scope(str(place))
                    left, right = inside.get(source), inside.get(target)
                    inside.put(source, (left[0] - 1, left[1]))
                    inside.put(target, (right[0] + 1, LARGE))
                break
            except ConflictError:
                conflicts += 1
    return conflicts


def hold(name: str, seconds: float) -> int:
    """Take a lease and keep it; gives its token."""
    _leases[name] = _store.lease(name, seconds=seconds).acquire()
    return _leases[name].token


def let_go(name: str) -> None:
    _leases.pop(name).release()


def put_under(name: str, lease: str, key: str, value: Any) -> int:
    """Put as the holder of a lease; gives the version."""
    return scope(name).put(key, value, lease=_leases[lease]).version


def take(name: str) -> tuple[int, float]:
    """Wait for a lease; gives its token and the seconds of waiting."""
    began = time.monotonic()
    with _store.lease(name, seconds=30) as lease:
        return lease.token, time.monotonic() - began


def slow(name: str, number: int, seconds: float) -> tuple[int, int]:
    """What is memoized: tells that it runs, takes its time, and gives which process did it."""
    scope(name).add("runs", 1)
    time.sleep(seconds)
    return number, os.getpid()


def compute(name: str, number: int, seconds: float, lease: float = 30.0) -> tuple[tuple[int, int], float, float]:
    """A call of the memoized function; gives its result, and the seconds and CPU seconds that it took."""
    memo._LEASE = lease
    began, spent = time.monotonic(), time.process_time()
    result = _store.memoize(slow)(name, number, seconds)
    return result, time.monotonic() - began, time.process_time() - spent


def collect() -> holdfast.Collected:
    return _store.gc(wait=30)


def collect_often(times: int) -> list[holdfast.Collected]:
    return [_store.gc(wait=30) for _ in range(times)]


def write_and_delete(name: str, times: int) -> None:
    """Puts, overwrites, streams and deletes of file-sized values, each read again at once."""
    place = scope(name)
    for number in range(times):
        data = pattern(60_000 + number, number)
        key = f"key-{number % 5}"
        place.put(key, data)
        assert place.get(key, verify=True) == data
        place.put_chunks("streamed", [data, data])
        assert b"".join(place.get_chunks("streamed")) == data * 2
        if number % 3 == 2:
            place.delete(key)


# --- work that is disturbed -------------------------------------------------------------------------------------------


class Noted(NamedTuple):
    """What a writer was told.

    Attributes:
        kept: by key, the version that was acknowledged last, and the number put then (None: deleted).
        unsure: by key, the numbers of writes since whose outcome is not known.
        counted: how often adding one to a counter was acknowledged, and how often its outcome is not known.
        done: how many writes were acknowledged.
        errors: what was raised.
    """

    kept: dict[str, tuple[int, int | None]]
    unsure: dict[str, set[int | None]]
    counted: tuple[int, int]
    done: int
    errors: list[str]


def value(number: int) -> tuple[int, bytes]:
    return number, pattern((1_000, 50_000, 300_000)[number % 3], number)


def work(name: str, seconds: float) -> Noted:
    """Put, delete and transact under keys of this writer, and note what came of it; each version must be above those
    before."""
    place, kept, unsure, errors = scope(name), dict[str, tuple[int, int | None]](), dict[str, set[int | None]](), []
    number = done = counted = uncounted = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        number += 1
        try:
            scope(name).add("count", 1)
            counted += 1
        except (StoreError, BusyError) as error:
            errors.append(f"{error.code}: {error}")
            uncounted += 1
        keys = [f"{name}-{number % 4}"]
        put: int | None = number
        try:
            if number % 7 == 0 and keys[0] in kept:
                put = None
                place.delete(keys[0], missing_ok=True)
                versions = [kept[keys[0]][0]]
            elif number % 5 == 0:
                keys = [f"{name}-left", f"{name}-right"]
                with _store.transaction() as transaction:
                    for key in keys:
                        transaction.scope(str(place)).put(key, value(number))
                versions = [place.record(key).version for key in keys]
            else:
                versions = [place.put(keys[0], value(number)).version]
        except (StoreError, BusyError) as error:
            errors.append(f"{error.code}: {error}")
            for key in keys:
                unsure.setdefault(key, set()).add(put)
        else:
            done += 1
            for key, version in zip(keys, versions, strict=True):
                assert version > kept.get(key, (0, None))[0] or put is None, f"{key} went back to {version}"
                kept[key] = version, put
                unsure.pop(key, None)
    return Noted(kept, unsure, (counted, uncounted), done, errors)


def check(name: str, noted: Noted) -> None:
    """Every write that was acknowledged is there, whole, and nothing that was not written."""
    place = scope(name)
    for key, (version, number) in noted.kept.items():
        found = place.get(key, verify=True, default=(None, b""))
        assert found[0] in {number, *noted.unsure.get(key, ())}, (key, found[0], number, noted.unsure.get(key))
        if found[0] is not None:
            assert found == value(found[0])
            assert place.record(key).version >= version
    counted, uncounted = noted.counted
    assert counted <= place.get("count") <= counted + uncounted, "none lost, none twice"
    assert place.get(f"{name}-left", default=None) == place.get(f"{name}-right", default=None)


def churn(name: str, keys: int, times: int, seed: int) -> list[tuple[str, float, float, int, bool]]:
    """Writes, deletes and looks at keys that others write as well: key, begin, end, version, and whether it was written
    (else seen)."""
    place, history = scope(name), []
    for number in range(times):
        key = f"key-{(number * 7 + seed) % keys}"
        began = time.monotonic()
        if number % 4 == 3:
            place.delete(key, missing_ok=True)
        elif number % 4 == 2:
            try:
                version = place.record(key).version
            except HoldfastError:
                continue
            history.append((key, began, time.monotonic(), version, False))
        else:
            size = 40_000 if number % 4 else 100
            version = place.put(key, pattern(size, seed * 1000 + number)).version
            history.append((key, began, time.monotonic(), version, True))
    return history


# --- single verbs -----------------------------------------------------------------------------------------------------


def put(name: str, key: str, value: Any, expires: float | None = None) -> int:
    return scope(name).put(key, value, expires=None if expires is None else timedelta(seconds=expires)).version


def get(name: str, key: str, **options: Any) -> Any:
    return scope(name).get(key, **options)


def wait_until_gone(name: str, key: str) -> float:
    """The seconds until a key is there no more."""
    began = time.monotonic()
    while scope(name).exists(key):
        time.sleep(0.02)
    return time.monotonic() - began


def drop(name: str) -> None:
    scope(name).drop()


def rename(name: str, new: str) -> None:
    scope(name).rename_scope(new)


def children() -> list[str]:
    return sorted(child.name for child in _store.namespace("prod").children())


def begin_file(name: str, key: str) -> None:
    """Begin a file, to be closed by :func:`end_file`."""
    file = _files[key] = scope(name).open(key, "wb")
    file.write(LARGE)


def end_file(key: str) -> None:
    _files.pop(key).close()


_files: dict[str, Any] = {}


def problems() -> list[Any]:
    return _store.verify().problems


def objects() -> list[str]:
    """The pieces in the store's bucket."""
    medium: Any = _store._kernel.storage
    return sorted(
        entry.name for batch in medium.medium.list("") for entry in batch if not entry.name.startswith("writers/")
    )


def named() -> list[str]:
    """The pieces that the records of the store name."""
    from holdfast.upkeep.verifier import scopes_from

    found = set[str]()
    for place in scopes_from(_store):
        for record in place.list() if place.path else ():
            content = record.contents["value"]
            if content.storage is not None:
                found.add(content.storage_config)
    return sorted(found)


# --- what travels -----------------------------------------------------------------------------------------------------


def pickled(name: str) -> tuple[bytes, bytes]:
    """The store and a scope, as they are sent."""
    return pickle.dumps(_store), pickle.dumps(scope(name))


def unpickled(store: bytes, place: bytes, key: str) -> tuple[str, Any]:
    """What a store and a scope are here."""
    return pickle.loads(store).id, pickle.loads(place).get(key)


def do(work: Callable[..., Any], *args: Any) -> Any:
    """Something else, with the open store first."""
    return work(_store, *args)


# --- large ones -------------------------------------------------------------------------------------------------------


def large(size: int) -> bytes:
    return pattern(1_000_000, size) * (size // 1_000_000) or pattern(size)


def put_large(name: str, key: str, size: int) -> int:
    return scope(name).put(key, large(size)).version


def put_streamed(name: str, key: str, size: int) -> int:
    piece = pattern(1_000_000, size)
    return scope(name).put_chunks(key, (piece for _ in range(size // 1_000_000))).version


def is_large(name: str, key: str, size: int) -> bool:
    return scope(name).get_bytes(key) == large(size)


def has(name: str, key: str) -> bool:
    return scope(name).exists(key)


def delete(name: str, key: str) -> None:
    scope(name).delete(key)


def write_orphan() -> None:
    """A piece that no record names, as of a put that was killed before its commit."""
    from holdfast.payload import Payload

    _store._kernel.storage.write(Payload([LARGE], "", None), lambda: (0, b""), {})


def results() -> int:
    """How many results of memoized calls are stored."""
    places = [place for parent in [_store, *_store.children()] for place in parent.children("memo")]
    return sum(len(list(place.list("call/"))) for place in places)


# --- sleep ------------------------------------------------------------------------------------------------------------


def be_impatient(seconds: float) -> None:
    """This host's writer is dead when it has been silent for so long; no user may say less than a minute."""
    _store._kernel.storage.patience = seconds  # type: ignore[attr-defined]


def begin_transaction(name: str, key: str, value: Any) -> None:
    _transactions[name] = block = _store.transaction()
    _blocks[name] = block.__enter__()
    _blocks[name].scope(str(scope(name))).put(key, value)


def end_transaction(name: str) -> None:
    _blocks.pop(name)
    _transactions.pop(name).__exit__(None, None, None)


_transactions: dict[str, Any] = {}
_blocks: dict[str, Any] = {}
