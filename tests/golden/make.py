"""Make the golden store of the present format: ``python -m tests.golden.make`` (never again once it is released)."""

from __future__ import annotations

import json
import shutil
import sys
from collections import OrderedDict
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import numpy as np

import holdfast
from holdfast.catalog.sqlite import SQLiteCatalog
from holdfast.catalog.sqlite.schema import MIGRATIONS
from tests.golden.expected import FAR, LARGE, ODD_KEYS, ODD_SCOPE, PAST, values
from tests.golden.objects import fill_objects

HERE = Path(__file__).parent
GONE = ["deleted"]
"""Keys that have old versions only."""


def fill(store: holdfast.Store) -> None:
    """Put everything that :mod:`tests.golden.expected` and the test of the golden store speak of."""
    golden = store.namespace("golden")
    for group, key, value in values():
        golden.workflow(group).put(key, value)
    odd: Any = store
    for kind, name in ODD_SCOPE:
        odd = odd.scope(kind, name)
    for key in ODD_KEYS:
        odd.put(key, key)
    _records(golden.scope("what", "records"))
    _files(golden.scope("what", "files"))
    artifact = golden.artifact("run-7")
    with artifact.transaction() as inside:
        inside.write("notes.txt", "first try\n")
        inside.write("data/weights.bin", LARGE + b"artifact")
        inside.metadata["author"] = "Ada"
        inside.metadata["score"] = 0.93
    golden.artifact("empty").create()
    _scopes(golden.scope("what", "scopes"))
    _history(golden.scope("what", "history"))
    fill_objects(golden.scope("what", "objects"))
    with store.lease("golden", seconds=1):
        pass


def _records(scope: holdfast.Scope) -> None:
    scope.put("tags", 1, tags={"stage": "eval", "größe": "", "": "empty name"})
    scope.put("expires", "far in the future", expires=FAR)
    scope.put("expired", "long ago", expires=PAST)
    scope.put("content type", "<p>", content_type="text/html")
    scope.put("json", {"a": [1, None, "ü"]}, serializer="holdfast.json@v1")
    scope.put("power", "on disk", durability="power")
    scope.put("power/large", LARGE + b"power", durability="power")
    scope.add("counter", 5)
    scope.add("counter", -7)
    scope.put("same bytes", LARGE)  # as plain's bytes/large
    for version in range(3):
        scope.put("versions", version)
    scope.put("deleted", 1)
    scope.delete("deleted")
    scope.put("again", 1)
    scope.delete("again")
    scope.put("again", 2)
    scope.put("touched", (1, 2), expires=timedelta(days=1))
    scope.touch("touched", None)
    scope.set_tags("touched", {"by": "set_tags"})


def _history(scope: holdfast.Scope) -> None:
    scope.set_policy(history=3, max_records=10, max_bytes=1_000_000)
    for version in range(6):
        scope.put("price", version, tags={"round": str(version)})
    scope.put("file", LARGE)  # bytes that other records have too
    scope.put("file", LARGE + b"power")
    scope.put("file", b"newest")
    scope.put("deleted", ("deleted", 1))
    scope.delete("deleted")


def _files(scope: holdfast.Scope) -> None:
    scope.put_chunks("small.csv", [b"a,b\n", b"1,2\n"], content_type="text/csv")
    scope.put_chunks("large.bin", [LARGE, b"stream"])
    scope.put_chunks("empty", [])
    scope.put_chunks("small.zstd", [LARGE[:500] * 20], compression="zstd")
    scope.put_chunks("large.lz4", [LARGE[:40_000] + bytes(40_000)], compression="lz4")
    scope.put("value.zstd", {"zeros": np.zeros(20_000), "same": [1] * 1000}, compression="zstd")
    scope.put("pickle.lz4", [OrderedDict(a=1)] * 2000, compression="lz4")
    with scope.open("text.txt", "w") as file:
        file.write("Zürich\n")


def _scopes(scope: holdfast.Scope) -> None:
    scope.scope("empty", "with properties").create({"metres": 42.5, "tags": ["a"]})
    scope.workflow("before").put("k", "renamed")
    scope.workflow("before").rename_scope("after")
    scope.workflow("dropped").put("k", 1)
    scope.workflow("dropped").drop()
    scope.workflow("dropped and made again").put("k", 1)
    scope.workflow("dropped and made again").drop()
    scope.workflow("dropped and made again").put("k", 2)


def describe(store: holdfast.Store) -> list[dict[str, Any]]:
    """All that is known of each record, as JSON, by address."""
    found: list[dict[str, Any]] = []
    waiting: list[Any] = [store]
    while waiting:
        place = waiting.pop()
        waiting.extend(place.children())
        if isinstance(place, holdfast.Scope):
            found.extend(_described(record, place) for record in place.list())
            keys = [*place, *(key for key in GONE if key not in place)]
            found.extend({**_described(kept), "kept": True} for key in keys for kept in place.history(key))
    return sorted(found, key=lambda record: (str(record["address"]), -record["version"]))


def _described(record: holdfast.Record, scope: holdfast.Scope | None = None) -> dict[str, Any]:
    contents = record.contents if scope is None else scope.contents(record.key)
    told = {name: _content(content) for name, content in contents.items()}
    facts = told.pop("value") if list(told) == ["value"] else {"contents": told}
    return {
        "address": record.address,
        "version": record.version,
        "tier": record.tier,
        "created": record.created.isoformat(),
        "updated": record.updated.isoformat(),
        "expires": record.expires and record.expires.isoformat(),
        "tags": record.tags,
        "size": record.size,
        "digest": record.digest,
        "content_type": record.content_type,
        "serializer": record.serializer,
        **facts,
    }


def _content(content: holdfast.Content) -> dict[str, Any]:
    facts = {"config": content.serializer_config, "storage": content.storage, "place": content.storage_config}
    if content.stream:
        facts["stream"] = True
    return facts


def _as_if_from_elsewhere(folder: Path) -> None:
    """Leave only what is read, and nothing of this machine."""
    path = folder / "catalog.sqlite"
    catalog = SQLiteCatalog(path)
    catalog.adopt()
    catalog.close()
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE store SET machine=NULL, boot=NULL, until=NULL; DELETE FROM leases WHERE name<>'golden'")
    connection.execute("VACUUM")
    connection.close()
    for name in (".gate", ".reserve", "-shm", "-wal"):
        Path(f"{path}{name}").unlink(missing_ok=True)
    shutil.rmtree(folder / "locks")


def main() -> None:
    """Make it."""
    name = f"v{len(MIGRATIONS)}"
    folder = HERE / name
    if folder.exists():
        sys.exit(f"{folder} is there: a golden store is made once, for each format; remove it only before its release")
    with holdfast.open(folder) as store:
        fill(store)
        store.gc()
        described = describe(store)
    _as_if_from_elsewhere(folder)
    text = json.dumps(described, indent=1, ensure_ascii=False) + "\n"
    (HERE / f"{name}.json").write_text(text, encoding="utf-8")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{len(described)} records, {size:,} bytes")


if __name__ == "__main__":
    main()
