"""A PostgreSQL server with its database on a small disk; run by test_postgresql_full.py, with that disk's folder."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import psycopg

from holdfast.catalog.base import Delete
from holdfast.catalog.postgresql import PostgreSQLCatalog
from holdfast.errors import StorageFullError
from holdfast.testing.catalog_cases import FLOW, data_of, inline_put, put
from holdfast.testing.postgresql import Server


def put_until_full(catalog: PostgreSQLCatalog, prefix: str) -> list[str]:
    """Put values of 20 KB until there is no space; each that was acknowledged is there."""
    keys: list[str] = []
    for number in range(100_000):
        try:
            put(catalog, f"{prefix}{number}", hashlib.shake_128(b"%d" % number).digest(20_000))
        except StorageFullError:
            break
        keys.append(f"{prefix}{number}")
    assert catalog.keys(FLOW, prefix, prefix + "~", 100_000) == sorted(keys)
    for key in keys[::50]:
        assert data_of(catalog, key) == hashlib.shake_128(key.removeprefix(prefix).encode()).digest(20_000)
    return keys


def main(disk: Path) -> None:
    with Server() as server:
        place = disk / "space"
        place.mkdir()
        os.chmod(disk, 0o777)
        if os.geteuid() == 0:
            os.chown(place, os.stat(server.folder).st_uid, os.stat(server.folder).st_gid)
        with psycopg.connect(server.url(), autocommit=True) as admin:
            admin.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
            admin.execute("CREATE DATABASE small TABLESPACE small")
        catalog = PostgreSQLCatalog(server.url("small"))
        put(catalog, "count", 1)
        put(catalog, "before")
        catalog.create_scope((("to", "drop"),))
        catalog.drop_scope((("to", "drop"),))
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(1 << 20))
        keys = put_until_full(catalog, "k")
        assert len(keys) > 100
        large = [inline_put(catalog, f"large{number}", os.urandom(30_000)) for number in range(200)]
        try:
            catalog.commit([Delete(FLOW, "before"), *large])
        except StorageFullError:
            pass
        else:
            raise AssertionError("there was space")
        assert data_of(catalog, "before") == b"value"
        assert catalog.keys(FLOW, "large", "large~", 10) == []
        for key in keys[: len(keys) // 2]:
            catalog.commit([Delete(FLOW, key)])
        assert catalog.keys(FLOW, "k", "k~", 100_000) == sorted(keys[len(keys) // 2 :])
        assert catalog.garbage() == []
        catalog.barrier()
        ballast.unlink()  # to tidy up, the server itself needs a little
        with psycopg.connect(server.url("small"), autocommit=True) as admin:
            admin.execute("VACUUM")
        assert len(put_until_full(catalog, "n")) > 20
        assert data_of(catalog, "before") == b"value"
        catalog.close()
    print("done")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
