"""Everything that changes a scope with a policy, by several processes at once: what is counted is what there is."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from holdfast.catalog.base import HEAD, Delete, Edit, Policy, Restore, ValueRow
from holdfast.catalog.postgresql import PostgreSQLCatalog
from holdfast.catalog.sqlite import SQLiteCatalog
from holdfast.errors import ConflictError, NotFoundError, QuotaExceededError
from holdfast.model import EPHEMERAL
from holdfast.testing.catalog_cases import FLOW, INTEGER, SPACE, file_put, inline_put, put
from holdfast.testing.postgresql import Server
from holdfast.testing.processes import in_child

OTHER = (*SPACE, ("workflow", "other"))
_places = itertools.count()
LIMITS = {FLOW: Policy(3, 12, 400), OTHER: Policy(2, 9, 250)}


@pytest.fixture(params=["sqlite", "postgresql"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Any]:
    if request.param == "sqlite":
        return lambda: SQLiteCatalog(tmp_path / "catalog.sqlite")
    server: Server = request.getfixturevalue("postgresql")
    return lambda: PostgreSQLCatalog(f"{server.url()}?schema=together")


@pytest.fixture
def catalog(reopen: Callable[[], Any]) -> Iterator[Any]:
    catalog = reopen()
    yield catalog
    catalog.close()


def _step(catalog: Any, chance: random.Random) -> None:
    """One thing of those that happen to a scope."""
    path, other = chance.sample([FLOW, OTHER], 2)
    key = chance.choice("abcdefghijklmnop")
    data = b"x" * chance.randrange(60)
    synced, place = chance.random() < 0.5, f'"{os.getpid()}/{next(_places)}"'
    expires = None if chance.random() < 0.6 else catalog.now() + chance.random() / 20
    rows = [ValueRow._make(row[HEAD:]) for row in catalog.past(path, key)]
    deeds: list[Callable[[], Any]] = [
        lambda: put(catalog, key, data, path, expires=expires),
        lambda: catalog.add(path, "count", 1, catalog.codec_id(INTEGER)),
        lambda: catalog.commit([inline_put(catalog, key, data, path), inline_put(catalog, key, b"", other)]),
        lambda: catalog.commit([file_put(catalog, key, data, path, synced=synced, expires=expires, place=place)]),
        lambda: catalog.commit([inline_put(catalog, key, data, path, tier=EPHEMERAL, session="s")]),
        lambda: catalog.commit([Delete(path, key)]),
        lambda: catalog.commit([Delete(path, key), inline_put(catalog, key, data, other)]),
        lambda: catalog.commit([Edit(path, key, expires=expires)]),
        lambda: catalog.commit([Restore(inline_put(catalog, key, data, path), chance.randrange(1, 5_000), 1.5, 2.5)]),
        lambda: catalog.commit(
            [Restore(file_put(catalog, key, data, path, place=place), chance.randrange(1, 5_000), 1.5, 2.5, past=True)]
        ),
        lambda: catalog.sweep(chance.randrange(1, 10)),
        lambda: catalog.forget([blob.id for blob in catalog.garbage(5)]),
        lambda: catalog.mark_synced([blob.id for blob in catalog.unsynced(boot="boot-of-these-tests", earlier=False)]),
    ]
    if rows:
        back = inline_put(catalog, key, path=path)._replace(data=rows[0].data, blob=rows[0].blob, size=rows[0].size)
        deeds.append(lambda: catalog.commit([back]))
    if chance.random() < 0.03:
        history = chance.randrange(4)
        deeds = [lambda: catalog.set_policy(path, LIMITS[path]._replace(history=history))]
    elif chance.random() < 0.01 and (lost := catalog.unsynced(boot="boot-of-these-tests", earlier=False)):
        deeds = [lambda: catalog.mark_lost(lost[0].id)]
    try:
        chance.choice(deeds)()
    except (ConflictError, NotFoundError, QuotaExceededError):
        pass


def _check(catalog: Any) -> None:
    for path, policy in LIMITS.items():
        scope = catalog.scope_id(path)
        ((counted, size),) = catalog.read("SELECT records,bytes FROM policies WHERE scope=?1", (scope,))
        ((there, total),) = catalog.read(
            "SELECT count(*),CAST(coalesce(sum(size),0) AS BIGINT) FROM records WHERE scope=?1", (scope,)
        )
        assert (counted, size) == (there, total)
        assert there <= policy.max_records
        assert total <= policy.max_bytes
        history = catalog.policy(path).history
        kept = catalog.read("SELECT key,count(*) FROM past WHERE scope=?1 GROUP BY key", (scope,))
        assert all(number <= history for _, number in kept)
    assert (
        catalog.read("SELECT 1 FROM records r JOIN past p ON p.scope=r.scope AND p.key=r.key AND p.version=r.version")
        == []
    )
    wrong = catalog.read(
        "SELECT b.id FROM blobs b LEFT JOIN (SELECT blob,count(*) AS n FROM (SELECT blob FROM records UNION ALL "
        "SELECT blob FROM kept UNION ALL SELECT blob FROM past) u GROUP BY blob) c ON c.blob=b.id "
        "WHERE b.refs<>coalesce(c.n,0)"
    )
    assert wrong == []
    assert (
        catalog.read("SELECT 1 FROM past p WHERE blob IS NOT NULL AND NOT EXISTS(SELECT 1 FROM blobs WHERE id=p.blob)")
        == []
    )


def test_what_is_counted_is_what_there_is(catalog: Any, reopen: Callable[[], Any]) -> None:
    for path, policy in LIMITS.items():
        put(catalog, "a", path=path)
        catalog.set_policy(path, policy)

    def work(number: int) -> None:
        def child() -> None:
            mine, chance = reopen(), random.Random(number)
            for _ in range(150):
                _step(mine, chance)
            mine.close()

        in_child(child)

    with ThreadPoolExecutor() as pool:
        list(pool.map(work, range(6)))
    while catalog.sweep():
        pass
    _check(catalog)
    for path in LIMITS:
        catalog.drop_scope(path)
    while catalog.sweep():
        pass
    while blobs := catalog.garbage():
        catalog.forget([blob.id for blob in blobs])
    for table in ("records", "past", "kept", "blobs", "policies", "surplus", "dropped"):
        assert catalog.read(f"SELECT count(*) FROM {table}") == [(0,)], table
