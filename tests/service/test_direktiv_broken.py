"""What breaks off in the middle, and what several services do at once, on the store of many machines."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from math import inf
from typing import Any
from uuid import uuid4

import pytest

import holdfast
from holdfast.errors import ConflictError
from holdfast.service.base import Service
from holdfast.service.direktiv import files, identity, workflows
from holdfast.testing.postgresql import Server

from .direktiv import Api, base64, error, of
from .talk import served
from .test_direktiv_errors import MISSING
from .test_direktiv_files import flow, paths


def test_a_rename_that_is_broken_off_leaves_every_id_right_and_is_repeated(api: Api) -> None:
    variable = flow(api)
    scope = api.scope.workflow("/w.yaml")
    identity.repoint(Service(api.service.store), scope, "/v.yaml")  # the process dies here ...
    assert api.data("GET", f"variables/{variable['id']}") == variable
    scope.rename_scope("/v.yaml")  # ... or here
    assert api.data("GET", f"variables/{variable['id']}") == {**variable, "reference": "/v.yaml"}
    assert paths(api) == ["/w.yaml"]
    api.data("PATCH", "files/w.yaml", {"path": "/v.yaml"})
    assert paths(api) == ["/v.yaml"]
    assert api.data("GET", f"variables/{variable['id']}") == {**variable, "reference": "/v.yaml"}


def test_a_deletion_that_is_broken_off_is_repeated(api: Api) -> None:
    variable = flow(api)
    identity.forget(api.scope.workflow("/w.yaml"), inf)
    api.scope.workflow("/w.yaml").drop()
    assert error(api.ask("GET", f"variables/{variable['id']}")) == MISSING
    assert paths(api) == ["/w.yaml"]
    assert api.ask("DELETE", "files/w.yaml").status == 200
    assert paths(api) == []


def test_a_rename_whose_commit_is_refused_gives_the_variables_back(api: Api) -> None:
    variable = flow(api)
    api.scope.scope("file", "tree").set_policy(max_bytes=20)
    reply = api.ask("PATCH", "files/w.yaml", {"path": "/v.yaml", "data": base64("x" * 100)})
    assert (reply.status, reply.json["error"]["code"]) == (507, "quota_exceeded")
    assert paths(api) == ["/w.yaml"]
    assert api.data("GET", f"variables/{variable['id']}") == variable
    assert api.names(workflowPath="/v.yaml") == []


def test_a_namespace_that_is_dropped_meanwhile_is_not_made_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    put_chunks = holdfast.Scope.put_chunks

    def dropped(self: holdfast.Scope, *args: object, **options: object) -> object:
        done = put_chunks(self, *args, **options)  # type: ignore[arg-type]
        if api.scope.present:
            api.scope.drop()
        return done

    monkeypatch.setattr(holdfast.Scope, "put_chunks", dropped)
    body = {"name": "x", "mimeType": "a/b", "data": "", "workflowPath": "/w.yaml"}
    gone = (404, "resource_not_found", "requested resource(namespace) is not found")
    assert error(api.ask("POST", "variables", body)) == gone
    assert not api.scope.present


@pytest.mark.parametrize("method", ["DELETE", "PATCH"])
def test_what_is_made_in_a_directory_that_goes_at_once_goes_too_or_is_refused(
    api: Api, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    for path in ("/a", "/a/b", "/new"):
        api.file(path, type="directory")
    looks: Any = files if method == "DELETE" else workflows
    found = workflows.workflows
    made: list[int] = []

    def late(*what: object) -> object:
        if not made:  # all that is in the directory was looked at, and nothing is committed yet
            monkeypatch.setattr(looks, "workflows", found)
            client = api.service.another()
            where = f"/api/v2/namespaces/{api.namespace}/files/a/b"
            made.append(client.ask("POST", where, {"name": "c.txt", "type": "file", "data": ""}).status)
            client.close()
        return found(*what)  # type: ignore[arg-type]

    monkeypatch.setattr(looks, "workflows", late)
    assert api.ask(method, "files/a", {"path": "/new/a"}).status == 200
    assert made == [200]
    there = [] if method == "DELETE" else ["new/a", "new/a/b", "new/a/b/c.txt"]
    assert list(api.scope.scope("file", "tree").keys()) == ["new", *there]


def test_what_others_change_all_the_time_is_told(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise ConflictError("somebody else was faster")

    made = api.file("/a.txt")
    monkeypatch.setattr(files, "_update", never)
    monkeypatch.setattr(api.service.store.config.__class__, "timeout", 0.1)
    assert error(api.ask("PATCH", "files/a.txt", {}))[:2] == (400, "resource_conflict")
    assert api.data("GET", "files/a.txt") == made


def test_head_is_no_method_here(api: Api) -> None:
    reply = api.ask("HEAD", "variables")
    assert (reply.status, reply.body) == (405, b"")


@pytest.fixture(scope="module")
def two(postgresql: Server) -> Iterator[tuple[Api, Api]]:
    """Two services on one store in PostgreSQL."""
    url = f"{postgresql.url()}?schema=d{uuid4().hex}"
    with holdfast.open(url) as first, holdfast.open(url) as second, served(first) as here, served(second) as there:
        first.namespace("prod").create()
        yield Api("prod", here.client, here), Api("prod", there.client, there)


def test_two_services_of_one_store_tell_the_same(two: tuple[Api, Api]) -> None:
    here, there = two
    made = here.make("x", "1")
    flow(here)
    run = str(uuid4())
    there.scope.instance(run).create()
    here.make("x", "of a run", instanceId=run)
    assert there.data("GET", f"variables/{made['id']}") == made
    there.scope.put("python", "text")
    assert here.data("GET", "variables") == there.data("GET", "variables")
    renamed = there.data("PATCH", f"variables/{made['id']}", {"name": "y", "data": base64("2")})
    assert (renamed["createdAt"], of(renamed["data"])) == (made["createdAt"], b"2")
    assert here.data("GET", f"variables/{made['id']}") == renamed
    assert here.names() == ["y", "python"]
    assert here.names(limit="1", after=there.data("GET", "variables?name=python")[0]["id"]) == ["y"]
    there.data("PATCH", "files/w.yaml", {"path": "/v.yaml"})
    assert here.names(workflowPath="/v.yaml") == ["x"]
    assert here.ask("DELETE", f"variables?ids={made['id']}").status == 200
    assert there.ask("DELETE", "files/v.yaml").status == 200
    assert here.names(workflowPath="/v.yaml") == []


def test_writers_at_two_services_lose_nothing_of_each_other(two: tuple[Api, Api]) -> None:
    there = two[1]
    there.scope.put_many({f"v{n}": n for n in range(40)})

    def work(n: int) -> tuple[int, int]:
        service = two[n % 2].service
        client = service.another()
        where = "/api/v2/namespaces/prod/variables"
        body = {"name": f"made-{n // 4}", "mimeType": "a/b", "data": base64(str(n))}
        made = client.ask("POST", where, body).status
        listed = client.ask("GET", f"{where}?name=v{n}").json["data"]
        change = client.ask("PATCH", f"{where}/{listed[0]['id']}", {"name": f"new-{n}"}).status
        client.close()
        return made, change

    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(work, range(24)))
    assert [made for made, _ in done].count(200) == 6
    assert {change for _, change in done} == {200}
    names = two[0].names()
    assert len(names) == len(set(names))
    assert {f"new-{n}" for n in range(24)} <= set(names)
    assert not {f"v{n}" for n in range(24)} & set(names)
