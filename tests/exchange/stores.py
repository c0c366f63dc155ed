"""Stores with all that an export must keep, and the comparison of two, which knows nothing of how they were moved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

import holdfast
from holdfast.hashing import ALGORITHMS, check_digest
from holdfast.storable.dataclasses import StorableDataclass

__all__ = ["Odd", "Sample", "compare", "everything", "fill"]


NUMBERS = {name: number for number, name in ALGORITHMS.items()}


class Odd:
    """A class that only a pickle can store."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Odd) and self.name == other.name


@dataclass
class Sample(StorableDataclass, class_id="5a3c0001"):
    """An object of several contents, some of which lie outside of the catalog."""

    name: str
    odd: Any = None
    array: Any = None
    ticks: Any = None


KEYS = [
    "a", "a/b", "a/b/c", "A", "..", ".", "../../up", "/rooted", "a//b", "con.txt", "NUL", "ends.", "ends ", " begins",
    "back\\slash", "quo'te\"", "star*?<>|", "per%cent", "co:lon", "ü", "u\u0308", "日本語", "k" * 512, "ü" * 512,
    "holdfast-export.json", "workflow=later", "~", "a.zstd", "-rf", "#", "new", "NEW",
]  # fmt: skip


def fill(store: holdfast.Store) -> None:
    """Put what is likely to go wrong."""
    store.namespace("empty").create({"made": "by hand", "deep": [1, {"ü": None}]})
    prod = store.namespace("prod")
    for number, key in enumerate(KEYS):
        prod.put_chunks(key, [f"{number}".encode()], content_type="text/x-odd")
    prod.workflow("later").put_chunks("file", [b"its folder is a file of the scope above"])
    flow = prod.workflow("forecast")
    flow.put("none", None)
    flow.put("integer", -(1 << 63))
    flow.put("large integer", 1 << 70)
    flow.put("text", "Bjørn\n\0", tags={"stage": "eval", "ü": ""}, expires=timedelta(days=30))
    flow.put("bytes", bytes(range(256)))
    flow.put("value", {"a": [1, (2.5, {3})]})
    flow.put("json", {"a": [1, None]}, serializer="holdfast.json@v1")
    flow.put("array", np.arange(50_000.0))
    flow.put("nested", {"array": np.zeros(10_000), "pair": (np.float32(1.5),)})
    flow.put("object", Odd("small"))
    flow.put("large object", [Odd("large"), np.arange(20_000)])
    flow.put("sample", Sample(name="small"))
    flow.put("sample/large", Sample(name="l", odd=Odd("in it"), array=np.arange(30_000.0)), tags={"kind": "sample"})
    flow.put("sample/packed", Sample(name="p", array=np.zeros(30_000), odd=b"equal" * 20_000), compression="zstd")
    flow.put("sample/stream", Sample(name="s", ticks=iter(range(20_000))))
    flow.put("durable", "on disk", durability="power")
    flow.put_chunks("empty file", [])
    flow.put_chunks("large.bin", [bytes([i]) * 100_000 for i in range(20)])
    for key in ("same.bin", "Same.bin", "other"):
        flow.put_chunks(key, [b"equal" * 20_000])
    for i in range(5):
        flow.put("often", i)
    flow.touch("often", timedelta(days=1))
    flow.put("deleted", 1)
    flow.delete("deleted")
    flow.put("reborn", "a")
    flow.delete("reborn")
    flow.put("reborn", "b")
    flow.put("expired", 1, expires=timedelta(seconds=-1))
    with flow.artifact("run-7").transaction() as artifact:
        artifact.write("notes.txt", "first try")
        artifact.write("deep/file", bytes(40_000))
        artifact.metadata["author"] = "Ada"
    for name in ("Prod", "pröd", "a/b:c%d", "n" * 512, "..", "con"):
        store.namespace(name).scope("kind=of", name).put_chunks("report.pdf", [name.encode()])
    kept = store.namespace("kept")
    kept.set_policy(history=3, max_records=5, max_bytes=2_000_000)
    for i in range(6):
        kept.put("value", {"number": i}, tags={"i": str(i)})
        kept.put_chunks("file", [bytes([i]) * 50_000])
        kept.put("object", Odd(str(i)))
        kept.put("sample", Sample(name=str(i), odd=Odd(str(i)), array=np.full(5_000, i)))
        kept.put("deleted", i)
        kept.delete("deleted")
    gone = store.namespace("gone")
    gone.put("x", 1)
    gone.drop()


def everything(store: holdfast.Store) -> dict[str, Any]:
    """All that two equal stores have in common, by address: read through the public interface, bytes and all."""
    found: dict[str, Any] = {}
    for scope in _below(store):
        info = scope.info()
        found[str(scope)] = (info.since, dict(info.properties))
        found[f"{scope} asks for"] = (tuple(scope.policy()),)
        for key in store._kernel.catalog.past_keys(scope.path, "", None, 1000):
            found[f"{scope}/{key} before"] = [
                (record.version, record.created, record.updated, record.digest, dict(record.tags), record.row.flags)
                for record in scope.history(key)
            ]
        for record in scope.list():
            several = record.serializer == "holdfast.storable@v1"
            contents = []
            for name, content in record.contents.items():
                stored = scope.get_bytes(record.key, content=name)
                if content.digest is not None and content.encoding is None:
                    check_digest(NUMBERS[content.algorithm], content.digest, [stored], record.address)
                facts = (name, content.digest, content.size, content.content_type, content.serializer, content.stream)
                contents.append((*facts, content.encoding, json.dumps(content.serializer_config), stored))
            found[record.address] = (
                record.version, record.created, record.updated, record.expires, dict(record.tags), record.row.flags,
                record.digest, record.size, record.content_type, record.serializer,
                *(contents if several else contents[0][-3:]),
            )  # fmt: skip
    return found


def _below(place: Any) -> Iterator[holdfast.Scope]:
    for scope in place.children():
        yield scope
        yield from _below(scope)


def compare(one: holdfast.Store, other: holdfast.Store) -> None:
    """Raise unless the two are equal record by record, scope by scope."""
    ours, theirs = everything(one), everything(other)
    assert list(theirs) == list(ours)
    for address, found in ours.items():
        assert theirs[address] == found, address
