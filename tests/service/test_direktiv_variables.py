"""Variables over Direktiv's interface: behaviours D1, D3, D24 and D25, each line of their tables."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from urllib.parse import quote
from uuid import uuid4

import pytest

from .direktiv import UUID, Api, base64, error, of

NOTHING = "00000000-0000-4000-8000-000000000000"


def instance(api: Api) -> str:
    """An instance that exists, as a run of a flow makes it."""
    id = str(uuid4())
    api.scope.instance(id).create()
    return id


# --- D1, D3 -----------------------------------------------------------------------------------------------------------


def test_d1_the_same_name_may_exist_in_each_scope(api: Api) -> None:
    run = instance(api)
    api.make("x", "of the namespace")
    api.make("x", "of the workflow", workflowPath="/a/b.yaml")
    api.make("x", "of the instance", instanceId=run)
    assert api.ask("GET", "variables?raw=true&name=x").body == b"of the namespace"
    assert api.ask("GET", "variables?raw=true&name=x&workflowPath=/a/b.yaml").body == b"of the workflow"
    assert api.ask("GET", f"variables?raw=true&name=x&instanceId={run}").body == b"of the instance"
    assert api.scope.get_bytes("x") == b"of the namespace"
    assert api.scope.workflow("/a/b.yaml").get_bytes("x") == b"of the workflow"
    assert api.scope.instance(run).get_bytes("x") == b"of the instance"


@pytest.mark.parametrize("name", ["a", "Z", "ab", "a1", "a-b", "a_b", "a.b", "a-_.9", "x" * 512])
def test_d3_legal_names(api: Api, name: str) -> None:
    assert api.make(name)["name"] == name


@pytest.mark.parametrize(
    "name", ["", "1", "1a", "-a", "a-", "a_", "a.", "a b", "a/b", "ä", "a\n", "a$b", "_", "x" * 513, ".."]
)
def test_d3_names_that_are_not_legal(api: Api, name: str) -> None:
    bad = (400, "request_data_invalid", "field name has invalid string")
    assert error(api.ask("POST", "variables", {"name": name, "mimeType": "t", "data": ""})) == bad
    there = api.make("there")
    assert error(api.ask("PATCH", f"variables/{there['id']}", {"name": name, "data": "AAAA"})) == bad
    assert api.data("GET", f"variables/{there['id']}") == there
    assert api.names() == ["there"]


def test_d3_names_are_case_sensitive(api: Api) -> None:
    api.make("name", "small")
    api.make("Name", "large")
    assert api.names(name="name") == ["name"]
    assert api.ask("GET", "variables?raw=true&name=Name").body == b"large"


def test_d3_zero_length_values_are_legal(api: Api) -> None:
    made = api.make("empty", b"")
    assert made["size"] == 0
    raw = api.ask("GET", f"variables/{made['id']}?raw=true")
    assert (raw.status, raw.body, raw.headers["content-length"]) == (200, b"", "0")
    other = api.make("other", b"something")
    assert api.data("PATCH", f"variables/{other['id']}", {"data": ""})["size"] == 0
    assert api.scope.get_bytes("other") == b""


# --- D24 --------------------------------------------------------------------------------------------------------------


def test_d24_a_variable_has_these_fields(api: Api) -> None:
    before = datetime.now(timezone.utc) - timedelta(seconds=1)
    made = api.make("report", "hello", "text/csv; charset=latin-1")
    assert set(made) == {
        "id", "type", "reference", "name", "size", "mimeType", "data", "createdAt", "updatedAt"
    }  # fmt: skip
    assert re.fullmatch(UUID, made["id"])
    assert made["type"] == "namespace-variable"
    assert made["reference"] == api.namespace
    assert (made["name"], made["size"], made["mimeType"]) == ("report", 5, "text/csv; charset=latin-1")
    assert of(made["data"]) == b"hello"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", made["createdAt"])
    assert before < datetime.fromisoformat(made["createdAt"]) < before + timedelta(minutes=1)
    assert made["updatedAt"] == made["createdAt"]
    assert api.data("GET", f"variables/{made['id']}") == made


def test_d24_type_and_reference_of_each_scope(api: Api) -> None:
    run = instance(api)
    of_workflow = api.make("x", workflowPath="/a/b.yaml")
    of_instance = api.make("x", instanceId=run.upper())
    assert (of_workflow["type"], of_workflow["reference"]) == ("workflow-variable", "/a/b.yaml")
    assert (of_instance["type"], of_instance["reference"]) == ("instance-variable", run)


def test_d24_data_is_left_out_when_empty_and_in_lists(api: Api) -> None:
    empty = api.make("empty", b"")
    full = api.make("full", b"full")
    assert "data" not in empty
    assert "data" not in api.data("GET", f"variables/{empty['id']}")
    assert "data" not in api.data("PATCH", f"variables/{empty['id']}", {"mimeType": "a/b"})
    listed = api.data("GET", "variables")
    assert [set(variable) for variable in listed] == [set(full) - {"data"}] * 2
    assert [set(variable) for variable in api.data("GET", "variables?name=full")] == [set(full) - {"data"}]


# --- D25: GET / -------------------------------------------------------------------------------------------------------


def test_d25_a_list_without_parameters_is_of_the_namespace_level_only(api: Api) -> None:
    run = instance(api)
    assert api.data("GET", "variables") == []
    api.make("mine")
    api.make("flows", workflowPath="/w.yaml")
    api.make("runs", instanceId=run)
    assert api.names() == ["mine"]
    assert api.names(workflowPath="/w.yaml") == ["flows"]
    assert api.names(instanceId=run) == ["runs"]


def test_d25_in_a_list_the_instance_comes_before_the_workflow(api: Api) -> None:
    run = instance(api)
    api.make("flows", workflowPath="/w.yaml")
    api.make("runs", instanceId=run)
    assert api.names(instanceId=run, workflowPath="/w.yaml") == ["runs"]


def test_d25_a_list_by_name_is_exact(api: Api) -> None:
    for name in ("a", "aa", "ab", "A"):
        api.make(name)
    assert api.names(name="a") == ["a"]
    assert api.names(name="b") == []
    assert api.names(name="%") == []
    assert api.names(name="") == ["a", "aa", "ab", "A"]


def test_d25_a_list_is_by_creation_time(api: Api) -> None:
    made = {name: api.make(name) for name in ("m", "z", "a", "k")}
    api.data("PATCH", f"variables/{made['m']['id']}", {"data": base64("later")})
    assert api.names() == ["m", "z", "a", "k"]
    renamed = api.data("PATCH", f"variables/{made['z']['id']}", {"name": "b"})
    assert renamed["createdAt"] == made["z"]["createdAt"]
    assert api.names() == ["m", "b", "a", "k"]


def test_d25_no_variables_are_an_empty_list(api: Api) -> None:
    assert api.data("GET", "variables") == []
    assert api.data("GET", f"variables?instanceId={NOTHING}") == []
    assert api.data("GET", "variables?workflowPath=/none.yaml") == []
    assert api.data("GET", "variables?name=none") == []


def test_d25_a_list_is_given_in_pages(api: Api) -> None:
    ids = [api.make(f"v{n}")["id"] for n in (3, 1, 4, 15, 9)]
    assert api.names(limit="2") == ["v3", "v1"]
    assert api.names(limit="2", after=ids[1]) == ["v4", "v15"]
    assert api.names(limit="2", after=ids[3]) == ["v9"]
    assert api.names(after=ids[2]) == ["v15", "v9"]
    assert api.names(after=ids[4]) == []


@pytest.mark.parametrize("limit", ["0", "-1", "1.5", "x", "1e3", "９"])
def test_d25_a_limit_that_is_none(api: Api, limit: str) -> None:
    wrong = (400, "request_data_invalid", "query param limit invalid number")
    assert error(api.ask("GET", f"variables?limit={quote(limit)}")) == wrong


def test_d25_after_a_variable_of_another_list(api: Api) -> None:
    flows = api.make("flows", workflowPath="/w.yaml")["id"]
    wrong = (400, "request_data_invalid", "query param after is no variable of this list")
    assert error(api.ask("GET", f"variables?after={flows}")) == wrong
    assert error(api.ask("GET", f"variables?after={NOTHING}")) == wrong
    assert error(api.ask("GET", "variables?after=v1"))[:2] == (400, "request_data_invalid")


# --- D25: GET /?raw=true ----------------------------------------------------------------------------------------------


def test_d25_raw_gives_the_bytes_under_exactly_the_stored_type(api: Api) -> None:
    data = bytes(range(256)) * 300
    for name, mime in (
        ("a", "text/plain"),
        ("b", "weird"),
        ("c", "text/html;charset=KOI8-R"),
        ("d", "application/x y"),
    ):
        api.make(name, data, mime)
        raw = api.ask("GET", f"variables?raw=true&name={name}")
        assert (raw.status, raw.body) == (200, data)
        assert raw.headers["content-type"] == mime
        assert raw.headers["content-length"] == str(len(data))


def test_d25_raw_of_a_list_is_of_exactly_one(api: Api) -> None:
    for query in ("", "&name=x", "&workflowPath=/w.yaml", f"&instanceId={NOTHING}", "&name=a/b"):
        none = api.ask("GET", f"variables?raw=true{query}")
        assert (none.status, none.body) == (404, b"")
    api.make("one", "first")
    assert api.ask("GET", "variables?raw=true").body == b"first"
    api.make("two", "second")
    several = api.ask("GET", "variables?raw=true")
    assert (several.status, several.body, several.headers["content-length"]) == (404, b"", "0")
    assert api.ask("GET", "variables?raw=true&name=two").body == b"second"


@pytest.mark.parametrize("word", ["1", "TRUE", "yes", "false", ""])
def test_d25_only_true_is_raw(api: Api, word: str) -> None:
    made = api.make("x")
    assert api.data("GET", f"variables?raw={word}")[0]["id"] == made["id"]
    assert api.data("GET", f"variables/{made['id']}?raw={word}") == made


# --- D25: POST / ------------------------------------------------------------------------------------------------------


def test_d25_post_gives_the_variable(api: Api) -> None:
    made = api.make("x", b"\0\xff", "application/octet-stream")
    assert of(made["data"]) == b"\0\xff"
    assert api.scope.get_bytes("x") == b"\0\xff"
    assert api.scope.record("x").content_type == "application/octet-stream"
    assert api.ask("GET", f"variables/{made['id']}?raw=true").body == b"\0\xff"


@pytest.mark.parametrize(
    "path, cleaned",
    [
        ("/a/b.yaml", "/a/b.yaml"),
        ("a/b.yaml", "/a/b.yaml"),
        ("//a//b.yaml", "/a/b.yaml"),
        ("/a/./b.yaml/", "/a/b.yaml"),
        ("/a/c/../b.yaml", "/a/b.yaml"),
        ("/../../a/b.yaml", "/a/b.yaml"),
    ],
)
def test_d25_post_cleans_the_workflow_path(api: Api, path: str, cleaned: str) -> None:
    assert api.make("x", workflowPath=path)["reference"] == cleaned
    assert api.names(workflowPath=cleaned) == ["x"]


def test_d25_post_does_not_ask_for_the_workflow(api: Api) -> None:
    assert api.make("x", workflowPath="/not/there.yaml")["reference"] == "/not/there.yaml"
    assert api.ask("GET", "files/not/there.yaml").status == 404


def test_d25_the_workflow_path_wins_over_the_instance(api: Api) -> None:
    run = instance(api)
    assert api.make("x", workflowPath="/w.yaml", instanceId=run)["type"] == "workflow-variable"
    assert api.make("y", workflowPath="/w.yaml", instanceId=NOTHING)["type"] == "workflow-variable"
    assert api.names(instanceId=run) == []


def test_d25_post_for_an_unknown_instance(api: Api) -> None:
    reply = api.ask("POST", "variables", {"name": "x", "mimeType": "a/b", "data": "", "instanceId": NOTHING})
    assert error(reply) == (404, "resource_not_found", "requested resource is not found")
    assert not api.scope.instance(NOTHING).present


def test_d25_post_with_nothing_but_a_name(api: Api) -> None:
    made = api.data("POST", "variables", {"name": "x"})
    assert (made["size"], made["mimeType"]) == (0, "application/octet-stream")
    assert api.data("POST", "variables", {"name": "y", "mimeType": None, "data": None, "instanceId": None})["size"] == 0


# --- D25: GET, PATCH, DELETE /{id} ------------------------------------------------------------------------------------


def test_d25_get_by_id(api: Api) -> None:
    for more in ({}, {"workflowPath": "/w.yaml"}, {"instanceId": instance(api)}):
        made = api.make("x", "bytes", "a/b", **more)
        assert api.data("GET", f"variables/{made['id']}") == made
        assert api.data("GET", f"variables/{made['id'].upper()}") == made
        raw = api.ask("GET", f"variables/{made['id']}?raw=true")
        assert (raw.status, raw.body, raw.headers["content-type"]) == (200, b"bytes", "a/b")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "new"},
        {"mimeType": "image/png"},
        {"data": base64("other bytes")},
        {"name": "new", "mimeType": "image/png", "data": ""},
        {"name": "old", "mimeType": None, "data": None},
        {"name": None, "unknown": 1},
        {},
    ],
)
def test_d25_patch_changes_what_is_given_and_moves_the_time(api: Api, change: dict[str, str]) -> None:
    for more in ({}, {"workflowPath": "/w.yaml"}):
        old = api.make("old", "bytes", "a/b", **more)
        new = api.data("PATCH", f"variables/{old['id']}", change)
        wanted = {**old, **{field: value for field, value in change.items() if field in old and value is not None}}
        wanted["size"] = len(of(wanted["data"]))
        wanted = {field: value for field, value in wanted.items() if field != "data" or value}
        assert new["updatedAt"] > old["updatedAt"]
        assert {**new, "updatedAt": old["updatedAt"]} == wanted
        assert api.data("GET", f"variables/{old['id']}") == new
        assert api.names(**more) == [new["name"]]
        assert api.ask("DELETE", f"variables/{old['id']}").status == 200


def test_d25_an_id_survives_a_new_name_and_the_old_name_is_free(api: Api) -> None:
    first = api.make("a", "first")
    api.data("PATCH", f"variables/{first['id']}", {"name": "b"})
    second = api.make("a", "second")
    assert second["id"] != first["id"]
    assert api.data("GET", f"variables/{first['id']}")["name"] == "b"
    assert api.data("GET", f"variables/{second['id']}")["name"] == "a"
    api.data("PATCH", f"variables/{second['id']}", {"name": "c"})
    back = api.data("PATCH", f"variables/{first['id']}", {"name": "a"})
    assert (back["id"], back["createdAt"], of(back["data"])) == (first["id"], first["createdAt"], b"first")


def test_d25_patch_keeps_tags_and_expiry(api: Api) -> None:
    api.scope.put("x", b"1", tags={"stage": "eval"}, expires=timedelta(days=2))
    (listed,) = api.data("GET", "variables")
    for change in ({"data": base64("2")}, {"mimeType": "a/b"}, {"name": "y"}, {}):
        api.data("PATCH", f"variables/{listed['id']}", change)
    record = api.scope.record("y")
    assert record.tags == {"stage": "eval"}
    assert record.expires is not None


def test_d25_patch_to_a_name_that_is_taken(api: Api) -> None:
    first, second = api.make("a", "first"), api.make("b", "second")
    reply = api.ask("PATCH", f"variables/{first['id']}", {"name": "b", "data": base64("lost?")})
    assert error(reply) == (400, "resource_already_exists", "resource already exists")
    assert api.data("GET", f"variables/{first['id']}") == first
    assert api.data("GET", f"variables/{second['id']}") == second


def test_d25_patch_of_an_unknown_id(api: Api) -> None:
    reply = api.ask("PATCH", f"variables/{NOTHING}", {"name": "a"})
    assert error(reply) == (404, "resource_not_found", "requested resource is not found")


def test_d25_delete_answers_with_an_empty_body(api: Api) -> None:
    made = api.make("x")
    gone = api.ask("DELETE", f"variables/{made['id']}")
    assert (gone.status, gone.body, gone.headers["content-type"]) == (200, b"", "application/json")
    assert not api.scope.exists("x")
    for method in ("GET", "DELETE", "PATCH"):
        reply = api.ask(method, f"variables/{made['id']}", {} if method == "PATCH" else None)
        assert error(reply) == (404, "resource_not_found", "requested resource is not found")
    assert api.make("x")["id"] != made["id"]


def test_d25_delete_of_several_is_all_or_none(api: Api) -> None:
    ids = [api.make(name)["id"] for name in "abc"]
    ids.append(api.make("a", workflowPath="/w.yaml")["id"])
    missing = api.ask("DELETE", f"variables?ids={ids[0]},{NOTHING},{ids[1]}")
    assert error(missing) == (404, "resource_not_found", "requested resource is not found")
    wrong = api.ask("DELETE", f"variables?ids={ids[0]},b")
    assert error(wrong) == (400, "request_data_invalid", "variable id is invalid uuid string")
    assert api.names() == ["a", "b", "c"]
    gone = api.ask("DELETE", f"variables/?ids={ids[0]},{ids[3]},{ids[0]}")
    assert (gone.status, gone.body, gone.headers["content-type"]) == (200, b"", "application/json")
    assert api.names() == ["b", "c"]
    assert api.names(workflowPath="/w.yaml") == []
    assert error(api.ask("DELETE", "variables"))[:2] == (400, "request_data_invalid")
    assert api.names() == ["b", "c"]
