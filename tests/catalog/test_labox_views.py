"""Records of several contents as SQL views, for people who look from other programs."""

from __future__ import annotations

import hashlib
import itertools
import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from holdfast.catalog.base import Catalog, Delete, Edit
from holdfast.catalog.postgresql import PostgreSQLCatalog
from holdfast.catalog.sqlite import SQLiteCatalog
from holdfast.model import Codec
from holdfast.testing.catalog_cases import FLOW, bundle_put, put, wait_past
from holdfast.testing.postgresql import Server

_numbers = itertools.count()
Look = Callable[[str], list[dict[str, Any]]]

JSON = ("tags", "serializer_config", "storage_config")
OBJECT = Codec("holdfast.storable@v1", "application/vnd.holdfast.storable")
CLASS = "0123456789abcdef" * 2
KEY = "8d9c3a4e-1111-4222-8333-944455556666"


@pytest.fixture(params=["sqlite", "postgresql"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Catalog, Look]]:
    """A catalog, and what runs a statement over it from outside, by a library of its own."""
    catalog: Catalog
    if request.param == "sqlite":
        path = tmp_path / "catalog.sqlite"
        catalog = SQLiteCatalog(path)

        def look(sql: str) -> list[dict[str, Any]]:
            catalog.close()  # two libraries in one process would take each other's locks away
            connection = sqlite3.connect(path)
            connection.row_factory = sqlite3.Row
            try:
                rows = [dict(row) for row in connection.execute(sql)]
            finally:
                connection.close()
            return [
                {name: json.loads(row[name]) if row[name] and name in JSON else row[name] for name in row}
                for row in rows
            ]

        yield catalog, look
    else:
        server: Server = request.getfixturevalue("postgresql")
        schema = f"views{next(_numbers)}"
        catalog = PostgreSQLCatalog(f"{server.url()}?schema={schema}")

        def look(sql: str) -> list[dict[str, Any]]:
            with psycopg.connect(server.url(), options=f"-c search_path={schema}", row_factory=dict_row) as connection:
                return connection.execute(sql).fetchall()

        yield catalog, look
    catalog.close()


def _config(*contents: dict[str, Any]) -> str:
    return json.dumps({"object": [CLASS, "some.unpacker@v1", "module.Kind"], "contents": list(contents)})


def _content(name: str, data: bytes, **more: Any) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    known = {"name": name, "serializer": "holdfast.json@v1", "type": "application/json", "size": len(data)}
    return {**known, "algorithm": "sha256", "digest": digest, "stream": False, **more}


def test_an_object_is_a_manifest_with_contents(opened: tuple[Catalog, Look]) -> None:
    catalog, look = opened
    odd = _content('odd "name" \x00', b"{}", at=0)
    far = _content("frames", b"many", member=1, storage="test.far@v1", stream=True, encoding="zstd", config={"size": 9})
    near = _content("near", b"one", member=0, storage="test.files@v1", config={"head": 1, "config": {"a": [2]}})
    change = bundle_put(catalog, KEY, b"one", data=b"{}", places=('"a/0"',), tags='{"stage": "eval"}')
    other = bundle_put(catalog, KEY, b"many", storage="test.far@v1", places=('{"bucket": "b"}',))
    change = change._replace(
        codec=catalog.codec_id(OBJECT), members=change.members + other.members, config=_config(odd, near, far)
    )
    (done,) = catalog.commit([change])
    put(catalog, "no object", b"x")
    assert done.row is not None
    (manifest,) = look("SELECT * FROM labox_manifests")
    assert UUID(str(manifest["id"])) == UUID(KEY)
    assert (UUID(str(manifest["class_id"])).hex, manifest["unpacker_name"]) == (CLASS, "some.unpacker@v1")
    assert (manifest["tags"], manifest["key"]) == ({"stage": "eval"}, KEY)
    created = manifest["created_at"]
    if isinstance(created, str):
        created = datetime.fromisoformat(created).replace(tzinfo=timezone.utc)
    assert abs(created.timestamp() - done.row.created) < 0.002
    first, second, third = look("SELECT * FROM labox_contents ORDER BY content_size")
    assert first.keys() >= {
        "content_key", "content_type", "content_encoding", "content_hash", "content_hash_algorithm", "content_size",
        "serializer_name", "serializer_config", "serializer_type", "storage_name", "storage_config", "created_at",
        "manifest_id",
    }  # fmt: skip
    assert {row["manifest_id"] for row in (first, second, third)} == {manifest["id"]}
    assert first["content_key"].startswith('odd "name" ')
    assert (first["content_size"], first["storage_name"], first["storage_config"]) == (2, "holdfast.inline@v1", None)
    assert (second["content_key"], second["content_type"]) == ("near", "application/json")
    assert (second["content_hash"], second["content_hash_algorithm"]) == (near["digest"], "sha256")
    assert (second["serializer_name"], second["serializer_config"]) == ("holdfast.json@v1", {"a": [2]})
    assert (first["serializer_config"], third["serializer_config"]) == (None, None)
    assert (second["serializer_type"], second["content_encoding"]) == (1, None)
    assert (second["storage_name"], second["storage_config"]) == ("test.files@v1", "a/0")
    assert (third["content_key"], third["serializer_type"], third["content_encoding"]) == ("frames", 2, "zstd")
    assert (third["storage_name"], third["storage_config"]) == ("test.far@v1", {"bucket": "b"})


def test_those_that_are_gone_are_not_seen(opened: tuple[Catalog, Look]) -> None:
    catalog, look = opened
    codec, dropped = catalog.codec_id(OBJECT), (*FLOW, ("n", "dropped"))
    config = _config(_content("one", b"1", member=0))
    for key, path in (("kept", FLOW), ("deleted", FLOW), ("expired", FLOW), ("in dropped", dropped), ("kept", dropped)):
        change = bundle_put(catalog, key, b"1", path=path)._replace(codec=codec, config=config)
        catalog.commit([change, change])
    catalog.commit([bundle_put(catalog, "kept", b"2", path=FLOW[:1])._replace(codec=codec, config=config)])
    moment = catalog.now() + 0.01
    catalog.commit([Delete(FLOW, "deleted"), Edit(FLOW, "expired", expires=moment)])
    catalog.drop_scope(dropped)
    wait_past(catalog, moment)
    rows = look("SELECT m.id, m.key, c.content_key FROM labox_manifests m JOIN labox_contents c ON c.manifest_id=m.id")
    assert [(row["key"], row["content_key"]) for row in rows] == [("kept", "one")] * 2
    assert len({UUID(str(row["id"])) for row in rows}) == 2, "one for each scope and key"
