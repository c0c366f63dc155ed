"""The variables of workflows, which live as long as their file: what breaks off, and what comes at the same moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import holdfast
from holdfast.catalog.base import Delete, Put
from holdfast.errors import BusyError, StoreError

from .direktiv import Api, error
from .test_direktiv_broken import two
from .test_direktiv_errors import MISSING
from .test_direktiv_files import flow, paths

__all__ = ["two"]

TAKEN = (400, "resource_already_exists")
Commit = Callable[[Sequence[Any]], None]


def in_commits(
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Put | Delete],
    *,
    before: Commit | None = None,
    after: Commit | None = None,
) -> None:
    """Call these with the changes of each commit that changes files in this way."""
    catalog, place = api.service.store._kernel.catalog, (*api.scope.path, ("file", "tree"))
    commit = catalog.commit

    def watched(changes: Sequence[Any], **options: Any) -> Any:
        ours = any(isinstance(change, kind) and change.path == place for change in changes)
        if ours and before is not None:
            before(changes)
        done = commit(changes, **options)
        if ours and after is not None:
            after(changes)
        return done

    monkeypatch.setattr(catalog, "commit", watched)


def fail(wrong: Exception) -> Commit:
    def raising(_: Sequence[Any]) -> None:
        raise wrong

    return raising


# --- a move -----------------------------------------------------------------------------------------------------------


def test_a_move_onto_what_python_keeps_below_another_path_loses_none(api: Api) -> None:
    variable = flow(api)
    below = api.scope.workflow("/v.yaml").scope("artifact", "model")
    below.put("weights", 7)
    assert error(api.ask("PATCH", "files/w.yaml", {"path": "/v.yaml"}))[:2] == TAKEN
    assert below.get("weights") == 7
    assert paths(api) == ["/w.yaml"]
    assert api.data("GET", f"variables/{variable['id']}") == variable


def test_a_move_onto_what_others_put_at_this_moment_loses_none(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    flow(api)
    target = api.scope.workflow("/v.yaml")
    target.create()
    drop = holdfast.Scope.drop

    def late(self: holdfast.Scope, **options: bool) -> None:
        if self.path == target.path:
            target.put("acknowledged", 7)
        drop(self, **options)

    monkeypatch.setattr(holdfast.Scope, "drop", late)
    assert error(api.ask("PATCH", "files/w.yaml", {"path": "/v.yaml"}))[:2] == TAKEN
    assert target.get("acknowledged") == 7
    assert api.names(workflowPath="/w.yaml") == ["x"]


def test_a_move_onto_a_path_whose_variables_are_gone(api: Api) -> None:
    variable, gone = flow(api), api.make("y", workflowPath="/v.yaml")
    api.scope.workflow("/v.yaml").delete("y")  # in Python: what is known of its id stays
    api.data("PATCH", "files/w.yaml", {"path": "/v.yaml"})
    assert api.data("GET", f"variables/{variable['id']}")["reference"] == "/v.yaml"
    assert error(api.ask("GET", f"variables/{gone['id']}")) == MISSING


def test_variables_stay_with_a_file_whose_move_was_committed_and_told_as_failed(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = flow(api)
    in_commits(api, monkeypatch, Put, after=fail(StoreError("the connection ended")))
    assert api.ask("PATCH", "files/w.yaml", {"path": "/v.yaml"}).status == 500
    monkeypatch.undo()
    assert paths(api) == ["/v.yaml"]
    assert api.data("GET", f"variables/{variable['id']}")["reference"] == "/v.yaml"


def test_a_move_that_cannot_be_taken_back_tells_why_it_failed_and_loses_none(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = flow(api)

    def busy(_: Sequence[Any]) -> None:
        api.scope.workflow("/w.yaml").put("acknowledged", 7)
        raise BusyError("somebody else writes")

    in_commits(api, monkeypatch, Put, before=busy)
    assert error(api.ask("PATCH", "files/w.yaml", {"path": "/v.yaml"}))[:2] == (503, "busy")
    monkeypatch.undo()
    assert api.names(workflowPath="/w.yaml") == ["acknowledged"]
    assert api.data("GET", f"variables/{variable['id']}")["reference"] == "/v.yaml"


def test_who_move_and_delete_one_file_at_once_leave_its_variables_with_it(two: tuple[Api, Api]) -> None:
    here = two[0]

    def work(n: int) -> int:
        client = two[n % 2].service.another()
        where = "/api/v2/namespaces/prod/files/once.yaml"
        method, body = ("DELETE", None) if n == 2 else ("PATCH", {"path": f"/once-{n}.yaml"})
        status = client.ask(method, where, body).status
        client.close()
        return status

    for _ in range(4):
        flow(here, "/once.yaml")
        with ThreadPoolExecutor(3) as pool:
            done = list(pool.map(work, range(3)))
        assert sorted(done) == [200, 404, 404]
        moved = [f"/once-{n}.yaml" for n in range(2) if done[n] == 200]
        assert [path for path in paths(here) if "once" in path] == moved
        for path in ("/once.yaml", "/once-0.yaml", "/once-1.yaml"):
            assert here.names(workflowPath=path) == (["x"] if path in moved else [])
        for path in moved:
            assert here.ask("DELETE", f"files{path}").status == 200


# --- a deletion -------------------------------------------------------------------------------------------------------


def test_a_deletion_whose_commit_fails_leaves_the_variables(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = flow(api)
    in_commits(api, monkeypatch, Delete, before=fail(BusyError("somebody else writes")))
    assert error(api.ask("DELETE", "files/w.yaml"))[:2] == (503, "busy")
    monkeypatch.undo()
    assert paths(api) == ["/w.yaml"]
    assert api.data("GET", f"variables/{variable['id']}") == variable


@pytest.mark.parametrize("then", ["made", "moved", "asked again"])
def test_variables_left_by_a_deletion_that_was_broken_off_do_not_come_back(
    api: Api, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    variable = flow(api)
    api.scope.workflow("/w.yaml").scope("artifact", "model").put("weights", 7)
    in_commits(api, monkeypatch, Delete, after=fail(StoreError("the process died here")))
    assert api.ask("DELETE", "files/w.yaml").status == 500
    monkeypatch.undo()
    assert paths(api) == []
    assert api.data("GET", f"variables/{variable['id']}") == variable
    if then == "asked again":
        assert api.ask("DELETE", "files/w.yaml").status == 404
        assert not api.scope.workflow("/w.yaml").present
    late = api.make("late", "acknowledged since", workflowPath="/w.yaml")
    if then != "moved":
        api.file("/w.yaml", "states: []", "workflow")
    else:
        api.file("/v.yaml", "states: []", "workflow")
        api.data("PATCH", "files/v.yaml", {"path": "/w.yaml"})
    assert api.names(workflowPath="/w.yaml") == ["late"]
    assert api.data("GET", f"variables/{late['id']}") == late
    assert error(api.ask("GET", f"variables/{variable['id']}")) == MISSING
    assert not api.scope.workflow("/w.yaml").scope("artifact", "model").present


def test_a_file_that_is_made_while_another_is_deleted_keeps_its_variables(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow(api)
    made: list[dict[str, Any]] = []

    def again(_: Sequence[Any]) -> None:
        client = api.service.another()
        other = api._replace(client=client)
        other.file("/w.yaml", "states: []", "workflow")
        made.append(other.make("y", "acknowledged", workflowPath="/w.yaml"))
        client.close()

    in_commits(api, monkeypatch, Delete, after=again)
    assert api.ask("DELETE", "files/w.yaml").status == 200
    monkeypatch.undo()
    assert paths(api) == ["/w.yaml"]
    assert api.data("GET", "variables?workflowPath=/w.yaml") == [{k: v for k, v in made[0].items() if k != "data"}]


def test_a_directory_with_many_variables_is_deleted(api: Api) -> None:
    api.file("/dir", type="directory")
    flow(api, "/dir/w.yaml")
    api.scope.workflow("/dir/w.yaml").put_many({f"v{n}": n for n in range(600)})
    ids = [variable["id"] for variable in api.data("GET", "variables?workflowPath=/dir/w.yaml")]
    assert len(set(ids)) == 601
    assert api.ask("DELETE", "files/dir").status == 200
    assert not api.scope.workflow("/dir/w.yaml").present
    assert list(api.scope.scope("direktiv", "ids").keys()) == []
    assert list(api.scope.scope("direktiv", "gone").keys()) == []
