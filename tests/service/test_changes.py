"""``/v1/changes``, by long-poll and as server-sent events."""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from collections.abc import Generator
from contextlib import closing
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.request import Request, urlopen

import pytest

import holdfast
from holdfast.catalog.sql.engine import Locks
from holdfast.testing.postgresql import Server
from holdfast.tokens import Tokens

from .talk import Client, Served, served


def later(work, seconds: float = 0.15) -> threading.Timer:
    timer = threading.Timer(seconds, work)
    timer.start()
    return timer


def test_a_record_is_waited_for(service: Served, client: Client, at: str) -> None:
    where, scope = f"/v1/changes/{at}/a", service.store.scope(at)
    assert client.get(f"{where}?wait=0.05").status == 204
    first = client.put(f"/v1/values/{at}/a", b"1").json["version"]
    told = {"address": f"{at}/a", "version": first, "deleted": False}
    assert client.get(f"{where}?after=0").json == {"version": first, "cursor": str(first), "changes": [told]}
    assert client.get(f"{where}?after={first}").status == 204
    # by another process, for all the service knows
    timer = later(lambda: scope.put("a", b"2"))
    began = time.monotonic()
    changed = client.get(f"{where}?after={first}&wait=20").json
    assert changed["version"] > first
    assert time.monotonic() - began < 5
    timer.join()
    # through the service: at once
    other = service.another()
    timer = later(lambda: other.ask("DELETE", f"/v1/values/{at}/a"))
    gone = client.get(f"{where}?after={changed['cursor']}&wait=20").json
    timer.join()
    assert gone["changes"] == [{"address": f"{at}/a", "version": changed["version"], "deleted": True}]
    assert client.get(f"{where}?after={gone['cursor']}&wait=0.05").status == 204
    again = other.put(f"/v1/values/{at}/a", b"3").json["version"]
    assert client.get(f"{where}?after={gone['cursor']}").json["changes"][0]["version"] == again
    other.close()


def test_a_scope_is_waited_for(service: Served, client: Client, at: str) -> None:
    where, scope = f"/v1/changes/{at}", service.store.scope(at)
    for key in "abc":
        scope.put(key, 1)
    found = client.get(f"{where}?after=0").json
    assert sorted(change["address"] for change in found["changes"]) == [f"{at}/{key}" for key in "abc"]
    assert client.get(f"{where}?after={found['cursor']}").headers["holdfast-cursor"] == found["cursor"]
    timer = later(lambda: scope.delete("b"))
    gone = client.get(f"{where}?after={found['cursor']}&wait=20").json["changes"]
    timer.join()
    assert [(change["address"], change["deleted"]) for change in gone] == [(f"{at}/b", True)]
    timer = later(lambda: scope.put("d", 1))
    new = client.get(f"{where}?wait=20").json["changes"]
    timer.join()
    assert [change["address"] for change in new] == [f"{at}/d"]


def test_new_keys_of_a_scope_are_told_though_their_versions_are_equal(service: Served, client: Client, at: str) -> None:
    where, scope = f"/v1/changes/{at}", service.store.scope(at)
    assert scope.put("a", 1).version == scope.put("b", 1).version
    found = client.get(f"{where}?after=0").json
    timer = later(lambda: scope.put("c", 1))
    new = client.get(f"{where}?after={found['cursor']}&wait=20").json
    timer.join()
    assert [change["address"] for change in new["changes"]] == [f"{at}/c"]


def test_no_write_is_lost_between_polls(service: Served, client: Client, at: str) -> None:
    scope = service.store.scope(at)
    names = [[f"{writer}-{number}" for number in range(150)] for writer in range(3)]

    def write(keys: list[str]) -> None:
        for key in keys:
            scope.put(key, 1)

    threads = [threading.Thread(target=write, args=(keys,)) for keys in names]
    for thread in threads:
        thread.start()
    seen: set[str] = set()
    cursor = "0"
    while len(seen) < 450:
        found = client.get(f"/v1/changes/{at}?after={cursor}&wait=5")
        assert found.status == 200, sorted({f"{at}/{key}" for keys in names for key in keys} - seen)
        cursor = found.json["cursor"]
        new = [change["address"] for change in found.json["changes"]]
        assert seen.isdisjoint(new)
        seen.update(new)
    for thread in threads:
        thread.join()


def test_a_commit_of_more_than_a_page_is_told_whole(service: Served, client: Client, at: str) -> None:
    scope = service.store.scope(at)
    scope.put_many({f"{number:04}": number for number in range(1500)})
    scope.put("last", 1)
    seen: list[str] = []
    cursor = "0"
    while (found := client.get(f"/v1/changes/{at}?after={cursor}")).status == 200:
        cursor = found.json["cursor"]
        seen += [change["address"] for change in found.json["changes"]]
    assert len(seen) == len(set(seen)) == 1501


def test_a_change_is_told_by_looks_that_take_long(
    service: Served, client: Client, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was acknowledged before the request is told by it, also where a look takes longer than it is to wait."""
    kind = type(service.store._kernel.catalog)
    search = kind.search

    def slow(*asked: Any, **more: Any) -> Any:
        found = search(*asked, **more)
        time.sleep(0.25)
        return found

    service.store.scope(at).put("a", 1)
    monkeypatch.setattr(kind, "search", slow)
    assert client.get(f"/v1/changes/{at}?after=0").status == 200


def test_a_commit_that_takes_long_is_told_when_it_is_there(postgresql: Server) -> None:
    """And not passed by for ever, as a later one that was quicker was told before."""
    with holdfast.open(f"{postgresql.url()}?schema=changes", storage="inline") as store, served(store) as service:
        scope, where = store.scope("namespace:a"), "/v1/changes/namespace:a"
        cursor = "0"
        seen: list[str] = []

        def told() -> None:
            nonlocal cursor
            found = service.client.get(f"{where}?after={cursor}&wait=0.3")
            if found.status == 200:
                cursor = found.json["cursor"]
                seen.extend(change["address"] for change in found.json["changes"])

        scope.put("first", 1)
        told()
        opened, go = threading.Event(), threading.Event()
        catalog: Any = store._kernel.catalog

        def long(session: Any) -> None:
            row = scope._entry("first")
            values = (0, session.now, None, None, 0, None, 1, row[12], None, None, b"x", None, None)
            session.write_put(session.scope(scope.path), "slow", 0, values)
            session.rows("SELECT 1")
            opened.set()
            assert go.wait(20)

        writer = threading.Thread(target=partial(catalog.transaction, long, locks=Locks([(scope.path, "slow")])))
        writer.start()
        assert opened.wait(20)
        scope.put("quick", 1)
        told()
        go.set()
        writer.join()
        told()
        told()
        assert seen == ["namespace:a/first", "namespace:a/slow", "namespace:a/quick"]


@pytest.mark.parametrize("key", ["", "/a"])
def test_a_token_that_ended_is_told_nothing_more(tmp_path: Any, key: str) -> None:
    with holdfast.open(tmp_path / "store") as store, served(store) as service:
        text, _ = Tokens(store).create(
            scopes=["namespace:a"], allow=["read"], expires=timedelta(seconds=0.5 if key else 1.0)
        )
        began = time.monotonic()
        stream = events(service, f"/v1/changes/namespace:a{key}?after=0", Authorization=f"Bearer {text}")
        store.scope("namespace:a").put("a", 1)
        with closing(service.another(text)) as client:
            assert next(stream)["address"] == "namespace:a/a"
            assert client.get(f"/v1/changes/namespace:a{key}?wait=20").status == 401
        assert list(stream) == []
        assert time.monotonic() - began < 5


@pytest.mark.long
def test_a_revoked_token_is_told_nothing_more_after_five_seconds(tmp_path: Any) -> None:
    with holdfast.open(tmp_path / "store") as store, served(store) as service:
        text, token = Tokens(store).create(scopes=["namespace:a"], allow=["read"])
        stream = events(service, "/v1/changes/namespace:a?after=0", Authorization=f"Bearer {text}")
        scope, numbers = store.scope("namespace:a"), itertools.count()
        scope.put("first", 0)
        next(stream)
        Tokens(store).revoke(token.id)
        began = time.monotonic()
        stop = threading.Event()

        def write() -> None:  # there is something to tell all the time
            while not stop.wait(0.01):
                scope.put(str(next(numbers)), 1)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            assert len(list(stream)) > 1
        finally:
            stop.set()
            writer.join()
        assert time.monotonic() - began < 5.5


def test_a_scope_has_no_versions(client: Client, at: str) -> None:
    version = client.put(f"/v1/values/{at}/a", b"1").json["version"]
    assert client.get(f"/v1/changes/{at}?after={version}").status == 400
    assert client.get(f"/v1/changes/{at}/a?after=t1.5").status == 400


def test_what_is_malformed(client: Client, at: str) -> None:
    for query in ("after=x", "after=-1", "after=1--", "wait=x", "wait=-1", "wait=301", "after=" + "9" * 30, "wait=nan"):
        assert client.get(f"/v1/changes/{at}/a?{query}").status == 400, query


def events(service: Served, path: str, **headers: str) -> Generator[dict[str, Any]]:
    request = Request(service.url + path, headers={"Accept": "text/event-stream", **headers})
    with urlopen(request, timeout=20) as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        event: dict[str, Any] = {}
        for line in stream:
            name, _, value = line.decode().strip().partition(": ")
            if name == "id":
                event["id"] = value
            elif name == "data":
                yield {**event, **json.loads(value)}


@pytest.mark.parametrize("key", ["", "/a"])
def test_events_come_as_they_happen(service: Served, at: str, key: str) -> None:
    scope = service.store.scope(at)
    version = scope.put("a", 1).version
    stream = events(service, f"/v1/changes/{at}{key}?after=0")
    first = next(stream)
    assert (first["address"], first["version"]) == (f"{at}/a", version)
    assert re.fullmatch(str(version) if key else r"t[0-9]+\.[0-9]{9}", first["id"])
    timer = later(lambda: scope.put("a", 2))
    second = next(stream)
    timer.join()
    timer = later(lambda: scope.delete("a"))
    third = next(stream)
    timer.join()
    assert (second["deleted"], third["deleted"]) == (False, True)
    stream.close()
    again = events(service, f"/v1/changes/{at}{key}?after=0", **{"Last-Event-ID": first["id"]})
    timer = later(lambda: scope.put("a", 3))
    assert next(event for event in again if not event["deleted"])["version"] > second["version"]
    timer.join()
    again.close()
