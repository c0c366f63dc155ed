"""Files over Direktiv's interface: behaviour D28, and D2 for what lives as long as a file."""

from __future__ import annotations

from datetime import datetime

import pytest

from .direktiv import Api, base64, error, of

NOT_FOUND = (404, "resource_not_found", "filesystem path is not found")
EXISTS = (400, "resource_already_exists", "filesystem path already exists")
NO_PARENT = (400, "request_data_invalid", "filesystem path has no parent directory")
BAD_PATH = (400, "request_data_invalid", "filesystem path is invalid")
BAD_DATA = (400, "request_data_invalid", "file data has invalid base64 string")


def paths(api: Api, folder: str = "") -> list[str]:
    return [child["path"] for child in api.data("GET", f"files{folder}")["children"]]


def post(api: Api, folder: str, **body: str | None) -> tuple[int, str, str]:
    return error(api.ask("POST", f"files{folder}", {"type": "file", "mimeType": "a/b", "data": "", **body}))


def patch(api: Api, old: str, **body: str | None) -> tuple[int, str, str]:
    return error(api.ask("PATCH", f"files{old}", body))


# --- D28: what files are ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["file", "workflow", "service", "endpoint", "consumer"])
def test_d28_a_file_has_these_fields(api: Api, kind: str) -> None:
    made = api.file("/a.yaml", "states: []", kind, "application/x-mine")
    assert set(made) == {"path", "type", "data", "size", "mimeType", "createdAt", "updatedAt"}
    assert (made["path"], made["type"], made["mimeType"]) == ("/a.yaml", kind, "application/x-mine")
    assert (made["size"], of(made["data"])) == (10, b"states: []")
    assert datetime.fromisoformat(made["createdAt"]).tzinfo is not None
    assert made["updatedAt"] == made["createdAt"]
    assert api.data("GET", "files/a.yaml") == made


def test_d28_a_directory_has_no_data_size_and_mime_type(api: Api) -> None:
    made = api.file("/dir", type="directory")
    assert set(made) == {"path", "type", "createdAt", "updatedAt"}
    assert (made["path"], made["type"]) == ("/dir", "directory")
    assert api.data("GET", "files/dir") == {**made, "children": []}


def test_d28_get_of_a_directory_has_what_is_right_in_it(api: Api) -> None:
    assert paths(api) == []
    made = [api.file("/b", type="directory"), api.file("/a.txt", "x"), api.file("/b-c.txt", "yz")]
    api.file("/b/d", type="directory")
    api.file("/b/d/deep.txt", "1")
    api.file("/b/e.txt", "2")
    root = api.data("GET", "files")
    assert (root["path"], root["type"]) == ("/", "directory")
    assert set(root) == {"path", "type", "createdAt", "updatedAt", "children"}
    assert paths(api) == ["/a.txt", "/b", "/b-c.txt"]
    folder = {**made[0], "updatedAt": root["children"][1]["updatedAt"]}  # when something was last made in it
    assert folder["updatedAt"] > made[0]["updatedAt"]
    assert root["children"] == [
        {field: value for field, value in child.items() if field != "data"} for child in (made[1], folder, made[2])
    ]
    assert paths(api, "/b") == ["/b/d", "/b/e.txt"]
    assert paths(api, "/b/d") == ["/b/d/deep.txt"]


def test_d28_files_are_records_that_python_sees(api: Api) -> None:
    api.file("/dir", type="directory")
    api.file("/dir/a.txt", b"\0bytes", mime="text/x")
    tree = api.scope.scope("file", "tree")
    assert tree.get_bytes("dir/a.txt") == b"\0bytes"
    assert tree.record("dir/a.txt").content_type == "text/x"
    tree.put("dir/b.txt", b"python", content_type="text/plain")
    found = api.data("GET", "files/dir/b.txt")
    assert (found["type"], of(found["data"]), found["mimeType"]) == ("file", b"python", "text/plain")
    assert paths(api, "/dir") == ["/dir/a.txt", "/dir/b.txt"]


def test_d28_post_without_a_mime_type(api: Api) -> None:
    body = {"name": "a.csv", "type": "file", "data": base64("1")}
    assert api.data("POST", "files", body)["mimeType"] == "text/csv"
    assert api.data("POST", "files", {**body, "name": "b.x-none"})["mimeType"] == "application/octet-stream"
    assert api.data("POST", "files", {**body, "name": "c", "type": "workflow"})["mimeType"] == "application/yaml"


def test_d28_patch_changes_the_data(api: Api) -> None:
    old = api.file("/a.txt", "old", "workflow", "a/b")
    new = api.data("PATCH", "files/a.txt", {"data": base64("newer")})
    assert (of(new["data"]), new["size"]) == (b"newer", 5)
    assert {field: new[field] for field in ("path", "type", "mimeType", "createdAt")} == {
        field: old[field] for field in ("path", "type", "mimeType", "createdAt")
    }
    assert new["updatedAt"] > old["updatedAt"]
    assert api.data("GET", "files/a.txt") == new
    for nothing in ({}, {"data": None, "path": None}, {"data": "", "path": ""}, {"path": "/a.txt"}):
        assert api.data("PATCH", "files/a.txt", nothing) == new


def test_d28_patch_changes_the_path(api: Api) -> None:
    api.file("/dir", type="directory")
    old = api.file("/a.txt", "text", mime="a/b")
    new = api.data("PATCH", "files/a.txt", {"path": "/dir/b.txt"})
    assert {**new, "path": "/a.txt", "updatedAt": old["updatedAt"]} == old
    assert error(api.ask("GET", "files/a.txt")) == NOT_FOUND
    both = api.data("PATCH", "files/dir/b.txt", {"path": "c.txt", "data": base64("both")})
    assert (both["path"], of(both["data"]), both["createdAt"]) == ("/c.txt", b"both", old["createdAt"])
    assert paths(api) == ["/c.txt", "/dir"]
    assert api.file("/a.txt")["createdAt"] > old["createdAt"]


def test_d28_patch_moves_a_directory_with_all_in_it(api: Api) -> None:
    for path in ("/a", "/a/b", "/a/b/c", "/other"):
        api.file(path, type="directory")
    deep = api.file("/a/b/c/deep.txt", "deep")
    api.file("/a/bc.txt", "beside")
    moved = api.data("PATCH", "files/a/b", {"path": "/other/z"})
    assert (moved["path"], moved["type"]) == ("/other/z", "directory")
    assert paths(api, "/a") == ["/a/bc.txt"]
    assert paths(api, "/other/z") == ["/other/z/c"]
    found = api.data("GET", "files/other/z/c/deep.txt")
    assert (found["data"], found["createdAt"]) == (deep["data"], deep["createdAt"])


def test_d28_delete_answers_with_an_empty_body(api: Api) -> None:
    api.file("/a.txt")
    gone = api.ask("DELETE", "files/a.txt")
    assert (gone.status, gone.body, gone.headers["content-type"]) == (200, b"", "application/json")
    assert error(api.ask("GET", "files/a.txt")) == NOT_FOUND
    assert error(api.ask("DELETE", "files/a.txt")) == NOT_FOUND


def test_d28_delete_of_a_directory_takes_all_below_it(api: Api) -> None:
    for path in ("/a", "/a/b"):
        api.file(path, type="directory")
    api.file("/a/b/deep.txt")
    api.file("/ab.txt")
    assert api.ask("DELETE", "files/a").status == 200
    assert paths(api) == ["/ab.txt"]
    assert list(api.scope.scope("file", "tree").keys()) == ["ab.txt"]


# --- D28: errors ------------------------------------------------------------------------------------------------------


def test_d28_a_path_that_is_not_there(api: Api) -> None:
    for method, body in (("GET", None), ("PATCH", {}), ("PATCH", {"path": "/x", "data": "AAAA"}), ("DELETE", None)):
        assert error(api.ask(method, "files/none", body)) == NOT_FOUND
        assert error(api.ask(method, "files/no/ne.txt", body)) == NOT_FOUND
    assert paths(api) == []


def test_d28_a_path_that_exists_already(api: Api) -> None:
    first = api.file("/a", "first")
    api.file("/dir", type="directory")
    assert post(api, "", name="a", data=base64("second")) == EXISTS
    assert post(api, "/", name="dir") == EXISTS
    assert post(api, "", name="a", type="directory") == EXISTS
    assert patch(api, "/a", path="/dir") == EXISTS
    assert patch(api, "/dir", path="/a") == EXISTS
    assert api.data("GET", "files/a") == first


def test_d28_a_path_without_a_parent_directory(api: Api) -> None:
    api.file("/a", "a file")
    assert post(api, "/none", name="x") == NO_PARENT
    assert post(api, "/a", name="x") == NO_PARENT
    assert post(api, "", name="none/x") == NO_PARENT
    assert patch(api, "/a", path="/none/a", data=base64("lost?")) == NO_PARENT
    assert patch(api, "/a", path="/a/b") == NO_PARENT
    assert paths(api) == ["/a"]
    assert of(api.data("GET", "files/a")["data"]) == b"a file"


@pytest.mark.parametrize("name", ["", ".", "..", "a/", "/", "../a", "a//b", "a/../b", "a\0", "a\n", "x" * 600, None])
def test_d28_a_name_that_is_no_path(api: Api, name: str | None) -> None:
    assert post(api, "", name=name) == BAD_PATH
    assert post(api, "", name=name, type="directory") == BAD_PATH
    assert paths(api) == []


@pytest.mark.parametrize("path", ["/", "//a", "/a/", "/..", "/../a", "/a/./b", "/\x01", "/" + "x" * 600])
def test_d28_a_new_path_that_is_none(api: Api, path: str) -> None:
    api.file("/there", "text")
    assert patch(api, "/there", path=path, data=base64("lost?")) == BAD_PATH
    assert of(api.data("GET", "files/there")["data"]) == b"text"


def test_d28_what_a_directory_cannot(api: Api) -> None:
    api.file("/a", type="directory")
    api.file("/a/b", type="directory")
    assert patch(api, "/a", path="/a/b/c") == BAD_PATH
    assert patch(api, "/a", data=base64("bytes")) == BAD_PATH
    for method in ("PATCH", "DELETE"):  # the root is always there
        assert error(api.ask(method, "files", {"path": "/x"})) == BAD_PATH
    assert paths(api, "/a") == ["/a/b"]


@pytest.mark.parametrize("data", ["!", "AAA", "some_invalid_base64", "Zm9v "])
def test_d28_data_that_is_no_base64(api: Api, data: str) -> None:
    api.file("/there", "text")
    for kind in ("file", "workflow"):
        assert post(api, "", name="x", type=kind, data=data) == BAD_DATA
    assert patch(api, "/there", data=data) == BAD_DATA
    assert paths(api) == ["/there"]
    assert of(api.data("GET", "files/there")["data"]) == b"text"


def test_d28_the_data_of_a_directory_is_not_looked_at(api: Api) -> None:
    made = api.data("POST", "files", {"name": "dir", "type": "directory", "data": "!", "mimeType": "\n"})
    assert set(made) == {"path", "type", "createdAt", "updatedAt"}


@pytest.mark.parametrize("kind", ["", "File", "link", None])
def test_d28_a_type_that_there_is_not(api: Api, kind: str | None) -> None:
    assert post(api, "", name="x", type=kind)[:2] == (400, "request_data_invalid")
    assert paths(api) == []


def test_d28_paths_of_requests_are_cleaned(api: Api) -> None:
    made = api.file("/a b.txt", "x")
    for path in ("/a%20b.txt", "//a%20b.txt", "/a%20b.txt/", "/x/../a%20b.txt", "/../../a%20b.txt", "%2Fa%20b.txt"):
        if path.startswith("/"):
            assert api.data("GET", f"files{path}") == made


# --- D2 ---------------------------------------------------------------------------------------------------------------


def flow(api: Api, path: str = "/w.yaml") -> dict[str, object]:
    """A workflow with a variable."""
    api.file(path, "states: []", "workflow")
    return api.make("x", path, workflowPath=path)


def test_d2_deleting_a_workflows_file_removes_its_variables(api: Api) -> None:
    variable, other = flow(api), flow(api, "/w.yaml.other")
    assert api.ask("DELETE", "files/w.yaml").status == 200
    assert api.names(workflowPath="/w.yaml") == []
    assert api.ask("GET", f"variables/{variable['id']}").status == 404
    assert api.data("GET", f"variables/{other['id']}") == other
    api.file("/w.yaml", "states: []", "workflow")
    assert api.names(workflowPath="/w.yaml") == []


def test_d2_deleting_a_directory_removes_the_variables_of_all_workflows_in_it(api: Api) -> None:
    api.file("/dir", type="directory")
    variable, other = flow(api, "/dir/w.yaml"), flow(api, "/dir.yaml")
    assert api.ask("DELETE", "files/dir").status == 200
    assert api.ask("GET", f"variables/{variable['id']}").status == 404
    assert api.data("GET", f"variables/{other['id']}") == other


def test_d2_a_changed_content_keeps_the_variables(api: Api) -> None:
    variable = flow(api)
    api.data("PATCH", "files/w.yaml", {"data": base64("states: [1]")})
    assert api.data("GET", f"variables/{variable['id']}") == variable


def test_d2_a_rename_takes_the_variables_along_under_their_ids(api: Api) -> None:
    variable = flow(api)
    for path in ("/v.yaml", "/u.yaml", "/w.yaml", "/t.yaml"):
        here = (
            variable["reference"] if path == "/v.yaml" else api.data("GET", f"variables/{variable['id']}")["reference"]
        )
        api.data("PATCH", f"files{here}", {"path": path})
        assert api.data("GET", f"variables/{variable['id']}") == {**variable, "reference": path}
        assert api.names(workflowPath=path) == ["x"]
        assert api.data("GET", f"variables?workflowPath={path}")[0]["id"] == variable["id"]
    assert api.scope.workflow("/t.yaml").get_bytes("x") == b"/w.yaml"
    again = flow(api)
    assert again["id"] != variable["id"]
    assert api.data("PATCH", f"variables/{variable['id']}", {"name": "y"})["reference"] == "/t.yaml"
    assert api.data("GET", f"variables/{again['id']}") == again


def test_d2_a_directorys_rename_takes_the_variables_of_all_workflows_along(api: Api) -> None:
    api.file("/dir", type="directory")
    variables = [flow(api, f"/dir/{n}.yaml") for n in range(3)]
    api.data("PATCH", "files/dir", {"path": "/new"})
    for n, variable in enumerate(variables):
        assert api.data("GET", f"variables/{variable['id']}") == {**variable, "reference": f"/new/{n}.yaml"}


def test_d2_a_rename_onto_variables_of_another_path_loses_none(api: Api) -> None:
    first = flow(api)
    second = api.make("x", "waits for its file", workflowPath="/v.yaml")
    reply = api.ask("PATCH", "files/w.yaml", {"path": "/v.yaml"})
    assert error(reply)[:2] == (400, "resource_already_exists")
    assert paths(api) == ["/w.yaml"]
    assert api.data("GET", f"variables/{first['id']}") == first
    assert api.data("GET", f"variables/{second['id']}") == second
    assert api.ask("DELETE", f"variables/{second['id']}").status == 200
    api.data("PATCH", "files/w.yaml", {"path": "/v.yaml"})
    assert api.data("GET", f"variables/{first['id']}")["reference"] == "/v.yaml"


def test_d2_namespace_variables_stay_when_a_workflow_goes(api: Api) -> None:
    flow(api)
    api.make("x", "of the namespace")
    api.ask("DELETE", "files/w.yaml")
    assert api.names() == ["x"]
