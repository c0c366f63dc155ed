"""Variables are records: what Python does with them, many at once, and how their ids stay true."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import msgspec
import pytest

import holdfast
from holdfast.service.base import Limits, Service
from holdfast.service.direktiv import variables

from .direktiv import Api, base64, error, of
from .talk import Served, served
from .test_direktiv_errors import MISSING


def test_what_python_puts_is_a_variable_with_an_id_that_stays(api: Api) -> None:
    scope = api.scope
    scope.put("text", "grüß")
    scope.put("file.bin", b"\0\1", content_type="application/x-mine")
    scope.add("count", 12345)
    scope.put("a/b c", {"not": "a name"})
    listed = {variable["name"]: variable for variable in api.data("GET", "variables")}
    assert list(listed) == ["text", "file.bin", "count", "a/b c"]
    for name, variable in listed.items():
        found = api.data("GET", f"variables/{variable['id']}")
        assert {**variable, "data": found["data"]} == found
        assert of(found["data"]) == scope.get_bytes(name) == api.ask("GET", f"variables/{variable['id']}?raw=true").body
        assert found["size"] == len(of(found["data"]))
    assert listed["file.bin"]["mimeType"] == "application/x-mine"
    assert of(api.data("GET", f"variables/{listed['count']['id']}")["data"]) == b"12345"
    scope.put("text", "another")
    scope.add("count", 1)
    again = {variable["name"]: variable["id"] for variable in api.data("GET", "variables")}
    assert again == {name: variable["id"] for name, variable in listed.items()}


def test_looking_at_variables_changes_none_of_their_records(api: Api) -> None:
    record = api.scope.put("x", 1, tags={"a": "b"})
    (variable,) = api.data("GET", "variables")
    api.data("GET", f"variables/{variable['id']}")
    assert api.scope.record("x") == record


def test_python_sees_what_the_interface_does(api: Api) -> None:
    made = api.make("x", '{"a": 1}', "application/json", workflowPath="/w.yaml")
    scope = api.scope.workflow("/w.yaml")
    assert scope.get_bytes("x") == b'{"a": 1}'
    api.data("PATCH", f"variables/{made['id']}", {"name": "y", "mimeType": "text/plain", "data": base64("new")})
    assert list(scope.keys()) == ["y"]
    assert (scope.get_bytes("y"), scope.record("y").content_type) == (b"new", "text/plain")
    api.ask("DELETE", f"variables/{made['id']}")
    assert list(scope.keys()) == []


def test_python_may_delete_rename_and_expire_what_has_an_id(api: Api) -> None:
    ids = {name: api.make(name)["id"] for name in ("deleted", "renamed", "expired")}
    api.scope.delete("deleted")
    api.scope.rename("renamed", "new")
    api.scope.put("expired", 1, expires=timedelta(seconds=0.05))
    time.sleep(0.1)
    for id in ids.values():
        assert error(api.ask("GET", f"variables/{id}")) == MISSING
        assert error(api.ask("PATCH", f"variables/{id}", {})) == MISSING
        assert error(api.ask("DELETE", f"variables/{id}")) == MISSING
    assert api.names() == ["new"]
    again = api.make("deleted", "again")
    assert api.data("GET", f"variables/{again['id']}") == again
    (new,) = api.data("GET", "variables?name=new")
    assert new["id"] not in ids.values()
    taken = api.data("PATCH", f"variables/{again['id']}", {"name": "renamed"})
    assert error(api.ask("GET", f"variables/{ids['renamed']}")) == MISSING
    assert api.data("GET", f"variables/{again['id']}") == taken


@dataclass
class Pair(holdfast.StorableDataclass, class_id="d1e7f3a2"):
    first: bytes
    second: list[int]


def test_objects_of_several_contents_are_no_variables(api: Api) -> None:
    api.scope.put("pair", Pair(first=b"1", second=[2]))
    assert api.names() == api.names(name="pair") == []
    assert api.ask("GET", "variables?raw=true&name=pair").status == 404
    assert api.ask("GET", "variables?raw=true").status == 404


def test_compressed_bytes_and_streams_are_given_as_they_were_put(api: Api) -> None:
    data = b"abc" * 100_000
    api.scope.put_chunks("packed", [data], compression="zstd", content_type="text/plain")
    api.scope.put_chunks("plain", [data], content_type="text/plain")
    for variable in api.data("GET", "variables"):
        assert variable["size"] == len(data)
        raw = api.ask("GET", f"variables/{variable['id']}?raw=true")
        assert (raw.body, raw.headers["content-length"]) == (data, str(len(data)))
        assert of(api.data("GET", f"variables/{variable['id']}")["data"]) == data


def test_one_of_many_who_make_a_name_at_once_makes_it(api: Api, service: Served) -> None:
    def make(n: int) -> int:
        client = service.another()
        body = {"name": "x", "mimeType": "a/b", "data": base64(str(n))}
        reply = client.ask("POST", f"/api/v2/namespaces/{api.namespace}/variables", body)
        client.close()
        assert reply.status == 200 or reply.json["error"]["code"] == "resource_already_exists"
        return reply.status

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(make, range(24))) == [200] + [400] * 23
    assert api.names() == ["x"]


def test_many_who_list_at_once_see_the_same_ids(api: Api, service: Served) -> None:
    api.scope.put_many({f"v{n:03}": n for n in range(300)})

    def look(n: int) -> list[tuple[str, str]]:
        client = service.another()
        limit = "" if n % 2 else "?limit=150"
        reply = client.ask("GET", f"/api/v2/namespaces/{api.namespace}/variables{limit}")
        client.close()
        return [(variable["name"], variable["id"]) for variable in reply.json["data"]]

    with ThreadPoolExecutor(6) as pool:
        lists = list(pool.map(look, range(6)))
    assert len(lists[1]) == 300
    assert len({id for _, id in lists[1]}) == 300
    for found in lists:
        assert set(found) <= set(lists[1])


def test_writers_of_one_variable_at_once_lose_nothing_of_each_other(api: Api, service: Served) -> None:
    id = api.make("x")["id"]
    changes = [{"mimeType": f"a/{n}"} if n % 2 else {"data": base64(str(n))} for n in range(16)]

    def change(body: dict[str, str]) -> int:
        client = service.another()
        reply = client.ask("PATCH", f"/api/v2/namespaces/{api.namespace}/variables/{id}", body)
        client.close()
        return reply.status

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(change, changes)) == {200}
    found = api.data("GET", f"variables/{id}")
    assert found["mimeType"].startswith("a/")
    assert int(of(found["data"])) % 2 == 0


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Api]:
    """A service that takes and gives 4 KB of JSON at most."""
    with holdfast.open(tmp_path / "store") as store, served(store, Limits(json=4096)) as service:
        store.namespace("prod").create()
        yield Api("prod", service.client, service)


def test_what_is_too_large_for_json_is_told(small: Api) -> None:
    small.scope.put("large", b"x" * 5000, content_type="text/plain")
    (variable,) = small.data("GET", "variables")
    assert variable["size"] == 5000
    assert error(small.ask("GET", f"variables/{variable['id']}"))[:2] == (400, "resource_too_large")
    assert small.ask("GET", f"variables/{variable['id']}?raw=true").body == b"x" * 5000
    changed = small.data("PATCH", f"variables/{variable['id']}", {"name": "new"})
    assert (changed["name"], changed["size"], "data" in changed) == ("new", 5000, False)
    body = {"name": "x", "mimeType": "a/b", "data": base64(b"x" * 5000)}
    assert error(small.ask("POST", "variables", body))[:2] == (413, "too_large")
    assert small.names() == ["new"]
    small.scope.scope("file", "tree").put("large.txt", b"x" * 5000)
    assert error(small.ask("GET", "files/large.txt"))[:2] == (400, "resource_too_large")
    assert small.data("PATCH", "files/large.txt", {"path": "/new.txt"})["size"] == 5000


@pytest.mark.long
def test_a_hundred_thousand_variables_cost_no_scan(api: Api) -> None:
    scope = api.scope
    for begin in range(0, 100_000, 1000):
        scope.put_many({f"v{n:06}": str(n) for n in range(begin, begin + 1000)})
    first = api.data("GET", "variables?limit=100")
    assert [variable["name"] for variable in first] == [f"v{n:06}" for n in range(100)]
    few = Api(api.namespace + "-few", api.client, api.service)
    few.data("POST", "/namespaces", {"name": few.namespace})
    few.scope.put_many({f"v{n:06}": str(n) for n in range(100)})
    beside = few.data("GET", "variables?limit=100")

    def seconds(where: Api, variables: list[dict[str, str]]) -> float:
        took = []
        for variable in variables[:50]:
            begin = time.perf_counter()
            where.data("GET", f"variables/{variable['id']}")
            where.data("PATCH", f"variables/{variable['id']}", {"mimeType": "a/b"})
            took.append(time.perf_counter() - begin)
        return sorted(took)[25]

    assert seconds(api, first) < 3 * seconds(few, beside) + 0.005
    found: list[dict[str, str]] = []
    after: dict[str, str] = {}
    while page := api.data("GET", f"variables?{urlencode({'limit': 2000, **after})}"):
        found += page
        after = {"after": page[-1]["id"]}
    assert [variable["name"] for variable in found] == [f"v{n:06}" for n in range(100_000)]
    assert {variable["id"]: variable["name"] for variable in api.data("GET", "variables")} == {
        variable["id"]: variable["name"] for variable in found
    }


def test_a_list_of_all_is_by_creation_and_keeps_no_records(api: Api) -> None:
    scope = api.scope
    names = [f"v{n:04}" for n in range(1500)]
    for begin in range(0, 3000, 1000):
        scope.put_many(dict.fromkeys(names[begin : begin + 1000], "text"))
    scope.put("a", "the last by creation, the first by name")
    listed = api.data("GET", "variables")
    assert [variable["name"] for variable in listed] == [*names, "a"]
    assert len({variable["id"] for variable in listed}) == 1501
    tracemalloc.start()
    try:
        again = variables._listed(Service(api.service.store), scope, scope, "", None, "")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert json.loads(msgspec.json.encode(again)) == listed
    assert most < 1000 * len(listed)  # bytes; with their records it is some 1,300
