"""Flows over Direktiv's interface: behaviours D28 and D29, and of D1, D2, D6, D14 and D15 what is seen there."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import count
from pathlib import Path
from shutil import rmtree
from typing import Any
from uuid import uuid4

import pytest

import holdfast
from holdfast.flows.engine import Engine
from holdfast.flows.instances import Instances
from holdfast.service.base import Limits
from holdfast.service.direktiv.identity import tidy
from holdfast.tokens import Tokens

from ..flows.samples import COUNTER
from .direktiv import base64, error, of
from .flows import DELAY, Called, Flowing, flowing, until
from .talk import served
from .test_direktiv_errors import MISSING

FIELDS = {
    "id", "createdAt", "endedAt", "status", "path", "errorCode", "errorMessage", "invoker", "definition", "flow",
    "lineage", "traceId", "namespace",
}  # fmt: skip
NOOP = "states:\n- {id: a, type: noop}\n"
FAILS = "states:\n- {id: a, type: error, error: my.code, message: 'told\n\n  to: jq(.x)'}\n"

_names = count(1)


@pytest.fixture
def api(running) -> Iterator[Flowing]:
    """A namespace that no other test has."""
    found = running[1](f"f{next(_names)}")
    yield found
    found.client.close()


# --- D28: files that are run ------------------------------------------------------------------------------------------


def test_d28_a_workflow_that_was_posted_is_run(api: Flowing) -> None:
    api.file("/dir", type="directory")
    api.flow(COUNTER, "/dir/counter.yaml")
    for number in (1, 2, 3):
        assert api.run("/dir/counter.yaml").json == {"var": {"x": number}}
    assert [of(variable["data"]) for variable in _variables(api, workflowPath="/dir/counter.yaml")] == [b"3"]


def test_d28_new_data_is_what_is_run_and_the_variables_stay(api: Flowing) -> None:
    api.flow(COUNTER)
    api.run()
    assert api.output(COUNTER.replace("+= 1", "+= 10")) == {"var": {"x": 11}}


def test_d28_a_new_path_takes_the_variables_along(api: Flowing) -> None:
    api.flow(COUNTER)
    api.run()
    api.data("PATCH", "files/flow.yaml", {"path": "/other.yaml"})
    assert error(api.run()) == MISSING
    assert api.run("/other.yaml").json == {"var": {"x": 2}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("states:\n- {id: a, type: noop, colour: red}\n", "flow.yaml:2: "),
        ("states:\n- {id: a, type: noop, transition: b}\n", "flow.yaml:2: "),
        ("states: [\n", "flow.yaml:"),
        ("no yaml: at: all", "flow.yaml:1"),
        ("", "flow.yaml:1"),
        ("states:\n- {id: a, type: noop, transform: 'js(1)'}\n", "js"),
        ("states:\n- {id: a, type: generateEvent}\n", "generateEvent"),
    ],
)
def test_d28_an_invalid_definition_is_stored_and_refused_when_it_is_run(api: Flowing, text: str, told: str) -> None:
    api.flow(text)
    for wait in ("true", "false"):
        status, code, message = error(api.ask("POST", f"instances?path=flow.yaml&wait={wait}"))
        assert (status, code) == (400, "request_data_invalid")
        assert told in message
    assert api.ask("GET", "instances").json["meta"]["total"] == 0


def test_d28_a_definition_with_a_function_that_is_not_configured_is_refused(api: Flowing) -> None:
    api.flow("functions: [{id: f, image: nobody/knows}]\nstates:\n- {id: a, type: action, action: {function: f}}\n")
    status, code, message = error(api.run())
    assert (status, code) == (400, "request_data_invalid")
    assert "nobody/knows" in message


def test_d28_deleting_a_workflow_leaves_its_instances_alone(api: Flowing) -> None:
    api.flow("""
description: kept
states:
- {id: a, type: delay, duration: PT0.5S, transition: b}
- {id: b, type: noop, transform: {done: true}}
""")
    id = api.start()
    assert api.ask("DELETE", "files/flow.yaml").status == 200
    assert error(api.run()) == MISSING
    assert api.ended(id)["status"] == "complete"
    assert of(api.info(id)["definition"]).startswith(b"\ndescription:")
    assert json.loads(of(api.data("GET", f"instances/{id}/output")["output"])) == {"done": True}


def test_d28_renaming_a_workflow_while_it_runs_loses_no_variable(api: Flowing) -> None:
    api.flow(COUNTER)
    api.run()
    api.flow(COUNTER.replace("states:", "states:\n- {id: z, type: delay, duration: PT0.3S, transition: a}"))
    id = api.start()
    api.data("PATCH", "files/flow.yaml", {"path": "/other.yaml"})
    assert api.ended(id)["status"] == "complete"
    assert [of(each["data"]) for each in _variables(api, workflowPath="/other.yaml")] == [b"1"]
    # It goes on where it was when it began: there is nothing any more that it could count from.
    assert [of(each["data"]) for each in _variables(api, workflowPath="/flow.yaml")] == [b"1"]


def _variables(api: Flowing, **query: str) -> list[dict[str, str]]:
    found = api.ask("GET", "variables?" + "&".join(f"{name}={value}" for name, value in query.items())).json["data"]
    return [api.data("GET", f"variables/{each['id']}") for each in found]


# --- D29: running -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["flow.yaml", "/flow.yaml", "//flow.yaml", "./flow.yaml", "%2Fflow.yaml"])
def test_d29_a_leading_slash_is_optional(api: Flowing, path: str) -> None:
    api.flow(NOOP)
    assert api.run(path, {"a": 1}).json == {"a": 1}


def test_d29_waiting_gives_the_final_data_raw(api: Flowing) -> None:
    api.flow("states:\n- {id: a, type: noop, transform: {out: 'jq(.in)'}}\n")
    reply = api.run(body={"in": ["é", 1.5, None]})
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.body == '{"out":["é",1.5,null]}'.encode()
    assert api.status(reply.headers["direktiv-instance-id"]) == "complete"


def test_d29_a_long_output_comes_as_a_whole(api: Flowing) -> None:
    found = api.output("states:\n- {id: a, type: noop, transform: 'jq({all: [range(200000)]})'}\n")
    assert found == {"all": list(range(200_000))}


def test_d29_a_failure_is_an_error_with_its_code_in_headers(api: Flowing) -> None:
    api.flow(FAILS)
    reply = api.run(body={"x": "né\r\nSet-Cookie: a=b"})
    told = "told\nto: né\r\nSet-Cookie: a=b"
    assert error(reply) == (500, "my.code", told)
    assert reply.headers["direktiv-instance-error-code"] == "my.code"
    header = reply.headers["direktiv-instance-error-message"].encode("latin-1").decode()
    assert header == "told to: né  Set-Cookie: a=b"
    assert "set-cookie" not in reply.headers
    found = api.info(reply.headers["direktiv-instance-id"])
    assert (found["status"], found["errorCode"], of(found["errorMessage"]).decode()) == ("failed", "my.code", told)


@pytest.mark.parametrize(
    ("code", "status"), [("my.not_found.x", 404), ("access.no", 403), ("request.bad", 400), ("resource.gone", 400)]
)
def test_d23_the_status_of_a_failure_follows_from_its_code(api: Flowing, code: str, status: int) -> None:
    reply = api.run(api.flow(f"states:\n- {{id: a, type: error, error: {code}, message: x}}\n"))
    assert error(reply) == (status, code, "x")


def test_d29_without_waiting_the_instance_is_given(api: Flowing) -> None:
    api.flow(DELAY % "0.3")
    made = api.data("POST", "instances?path=flow.yaml")
    assert set(made) == FIELDS | {"outputLength", "metadataLength"}
    assert (made["status"], made["path"], made["namespace"]) == ("pending", "/flow.yaml", api.namespace)
    assert (made["errorCode"], made["errorMessage"], made["endedAt"]) == (None, None, None)
    assert (made["invoker"], made["lineage"]) == ("api", [])
    assert of(made["definition"]).decode() == DELAY % "0.3"
    ended = api.ended(made["id"])
    assert (ended["status"], ended["flow"], ended["createdAt"]) == ("complete", ["a"], made["createdAt"])
    for name in ("createdAt", "endedAt"):
        assert datetime.fromisoformat(ended[name]).tzinfo is not None
    assert ended["createdAt"] < ended["endedAt"]
    assert ended["outputLength"] == len(b'{"done":true}')


@pytest.mark.parametrize(
    ("body", "output"),
    [
        (b'{"a": 1}', {"a": 1}), (b"[1, 2]", {"input": [1, 2]}), (b"null", {"input": None}), (b"", {}),
        (b"Hello", {"input": "SGVsbG8="}), (b"\xff\x00", {"input": "/wA="}), (None, {}),
    ],
)  # fmt: skip
def test_d15_the_body_is_the_input_whatever_it_is(api: Flowing, body: bytes | None, output: object) -> None:
    api.flow(NOOP)
    for kind in ("application/json", "text/plain", "application/octet-stream"):
        reply = api.ask("POST", "instances?path=flow.yaml&wait=true", body, Content_Type=kind)
        assert (reply.status, reply.json) == (200, output)


def test_d29_what_does_not_exist_is_not_found(api: Flowing) -> None:
    api.file("/dir", type="directory")
    api.flow(NOOP)
    for path in ("none.yaml", "dir", "/dir/flow.yaml", "flow.yaml/x"):
        assert error(api.run(path)) == MISSING, path
    assert error(api.ask("POST", "/namespaces/nobody/instances?path=flow.yaml"))[:2] == (404, "resource_not_found")
    id = str(uuid4())
    for where in (f"instances/{id}", f"instances/{id}/output", f"instances/{id}/metadata", f"logs?instance={id}"):
        assert error(api.ask("GET", where)) == MISSING
    for method, body in (("PATCH", {"status": "cancelled"}), ("PATCH", {"status": "pending"}), ("DELETE", None)):
        assert error(api.ask(method, f"instances/{id}", body)) == MISSING


def test_d29_what_is_not_legal_is_refused(api: Flowing) -> None:
    api.flow(NOOP)
    for where in ("instances", "instances?path=", "instances?path=/", "instances?path=/&wait=true"):
        assert error(api.ask("POST", where))[:2] == (400, "request_data_invalid")
    for where in ("instances/x", "instances/1/output", "logs", "logs?instance=", "logs?instance=x"):
        assert error(api.ask("GET", where))[:2] == (400, "request_data_invalid")
    id = api.start()
    for body in ({}, {"status": "complete"}, {"status": None}, {"status": "CANCELLED"}):
        assert error(api.ask("PATCH", f"instances/{id}", body)) == (
            400, "request_data_invalid", "unsupported patch payload"
        )  # fmt: skip
    assert error(api.ask("PATCH", f"instances/{id}", api.text({"status": 1})))[1] == "request_body_bad_json_schema"
    for method, where in (("PUT", "instances"), ("POST", f"instances/{id}"), ("DELETE", "instances")):
        assert error(api.ask(method, where))[:2] == (405, "request_method_not_allowed")


def test_d30_an_instance_of_another_namespace_is_not_found(api: Flowing, running) -> None:
    api.flow(NOOP)
    id = api.start()
    other = running[1](f"{api.namespace}-other")
    assert error(other.ask("GET", f"instances/{id}")) == MISSING
    assert error(other.ask("GET", f"logs?instance={id}")) == MISSING
    assert error(other.ask("PATCH", f"instances/{id}", {"status": "cancelled"})) == MISSING
    assert other.ask("GET", "instances").json == {"meta": {"total": 0}, "data": []}
    other.client.close()


# --- D29: looking -----------------------------------------------------------------------------------------------------


def test_d29_a_list_has_the_newest_first_and_pages(api: Flowing) -> None:
    api.flow(NOOP)
    api.flow(FAILS, "/fails.yaml")
    ids = []
    for path in ("/flow.yaml", "/fails.yaml", "/flow.yaml", "/flow.yaml", "/fails.yaml"):
        ids.append(api.run(path, {"x": 1}).headers["direktiv-instance-id"])
        time.sleep(0.002)
    newest = ids[::-1]

    def listed(query: str = "") -> list[str]:
        reply = api.ask("GET", f"instances{query}")
        assert reply.status == 200, reply.body
        assert set(reply.json) == {"meta", "data"}
        return [found["id"] for found in reply.json["data"]]

    assert listed() == listed("/") == newest
    found = api.ask("GET", "instances").json
    assert found["meta"] == {"total": 5}
    assert set(found["data"][0]) == FIELDS
    assert found["data"][0] == {name: value for name, value in api.info(ids[4]).items() if name in FIELDS}
    assert listed("?limit=2") == newest[:2]
    assert listed("?limit=2&offset=2") == newest[2:4]
    assert listed("?offset=4") == newest[4:]
    assert listed("?offset=9") == []
    assert listed(f"?after={newest[1]}") == newest[2:]
    assert listed(f"?after={newest[1]}&limit=1") == newest[2:3]
    assert listed("?status=failed") == [ids[4], ids[1]]
    for path in ("flow.yaml", "/flow.yaml", "./flow.yaml"):
        assert listed(f"?path={path}&limit=2") == [ids[3], ids[2]]
    assert listed("?filter.field=AS&filter.type=CONTAINS&filter.val=fail") == [ids[4], ids[1]]
    assert listed("?filter.field=STATUS&filter.type=MATCH&filter.val=complete") == [ids[3], ids[2], ids[0]]
    created = api.info(ids[2])["createdAt"]
    assert listed(f"?filter.field=CREATED&filter.type=AFTER&filter.val={created}") == newest[:2]
    assert api.ask("GET", "instances?limit=1&status=failed").json["meta"] == {"total": 2}
    wrong = (
        "limit=x", "limit=-1", "offset=1.5", "after=x", "filter.field=AS",
        "filter.field=X&filter.type=MATCH&filter.val=x",
        "filter.field=CREATED&filter.type=AFTER&filter.val=x", "filter.field=AS&filter.type=AFTER&filter.val=x",
    )  # fmt: skip
    for query in wrong:
        assert error(api.ask("GET", f"instances?{query}"))[:2] == (400, "request_data_invalid"), query


def test_d29_output_is_base64_and_there_when_it_is_complete(api: Flowing) -> None:
    api.flow(DELAY % "0.3")
    id = api.start()
    found = api.data("GET", f"instances/{id}/output")
    assert set(found) == FIELDS | {"outputLength"}
    assert (found["status"], found["outputLength"]) == ("pending", 0)
    api.ended(id)
    found = api.data("GET", f"instances/{id}/output/")
    assert (json.loads(of(found["output"])), found["outputLength"]) == ({"done": True}, 13)


def test_d29_metadata_and_log_lines(api: Flowing) -> None:
    api.flow("""
states:
- {id: a, type: noop, log: 'one jq(.n)', metadata: {at: 'jq(.n)'}, transition: b}
- {id: b, type: noop, log: two}
""")
    id = api.run(body={"n": 1}).headers["direktiv-instance-id"]
    assert json.loads(of(api.data("GET", f"instances/{id}/metadata")["metadata"])) == {"at": 1}
    reply = api.ask("GET", f"logs?instance={id}")
    lines = reply.json["data"]
    assert [line["msg"] for line in lines] == ["one 1", "two", "complete"]
    assert reply.json["meta"]["startingFrom"] == lines[0]["time"]
    assert (lines[0]["id"], lines[0]["level"], lines[0]["namespace"]) == (1, "INFO", api.namespace)
    flow = lines[0]["workflow"]
    assert flow == {"instance": id, "workflow": "/flow.yaml", "state": "a", "status": "completed"}
    page = api.ask("GET", f"logs/?instance={id}&limit=1&after=1").json["data"]
    assert [(line["id"], line["msg"]) for line in page] == [(2, "two")]


_FORGED = [
    [1], "text", {}, {"begun": 1e300}, {"ended": "now"}, {"id": 3}, {"id": str(uuid4())}, {"path": None},
    {"message": 5}, {"flow": [1]}, {"status": [1]}, {"metadata": "{"}, {"status": "pending", "runner": "x" * 3000},
    {"lineage": 7}, {"lineage": [{"id": "x"}]}, {"lineage": [{"id": "x", "state": "a", "branch": "b"}]},
]  # fmt: skip


@pytest.mark.parametrize("wrong", _FORGED, ids=range(len(_FORGED)))
def test_a_record_that_is_no_instance_is_none_and_does_not_break_the_list(api: Flowing, wrong: Any) -> None:
    api.flow(NOOP)
    id = api.run().headers["direktiv-instance-id"]
    forged = str(uuid4())
    if isinstance(wrong, dict) and wrong:
        wrong = {**api.scope.scope("run", id).get("instance"), "id": forged, **wrong}
    api.scope.scope("run", forged).put("instance", wrong)
    for query in ("", "?filter.field=AS&filter.type=CONTAINS&filter.val=fl"):
        assert [found["id"] for found in api.ask("GET", f"instances{query}").json["data"]] == [id]
    for where in (f"instances/{forged}", f"instances/{forged}/output", f"logs?instance={forged}"):
        assert error(api.ask("GET", where)) == MISSING
    for method, body in (("PATCH", {"status": "cancelled"}), ("PATCH", {"status": "pending"}), ("DELETE", None)):
        assert error(api.ask(method, f"instances/{forged}", body)) == MISSING


def test_instances_that_are_removed_while_they_are_listed_do_not_break_the_list(api: Flowing, running) -> None:
    api.flow(NOOP)
    ids = [api.run().headers["direktiv-instance-id"] for _ in range(60)]

    def listing() -> set[int]:
        other, found = api._replace(client=running[0].another()), set()
        while (reply := other.ask("GET", "instances")).status == 200 and reply.json["data"]:
            found.add(reply.status)
        other.client.close()
        return {*found, reply.status}

    with ThreadPoolExecutor(4) as pool:
        lists = [pool.submit(listing) for _ in range(4)]
        assert {api.ask("DELETE", f"instances/{id}").status for id in ids} == {200}
        assert [found.result() for found in lists] == [{200}] * 4


def test_a_long_list_is_sent_as_it_is_made(api: Flowing) -> None:
    """Definitions may have a megabyte each, and a page a thousand of them."""
    text = NOOP + "# " + "é" * 500_000
    api.flow(text)
    ids = [api.run().headers["direktiv-instance-id"] for _ in range(3)]
    reply = api.ask("GET", "instances")
    assert "content-length" not in reply.headers
    assert reply.json["meta"] == {"total": 3}
    assert [found["id"] for found in reply.json["data"]] == ids[::-1]
    assert {of(found["definition"]).decode() for found in reply.json["data"]} == {text}


def test_a_long_log_is_sent_as_it_is_made(api: Flowing) -> None:
    api.flow("states:\n- {id: a, type: noop, log: 'jq(\"x\" * 60000)', transition: b}\n" + "".join(
        f"- {{id: {here}, type: noop, log: 'jq(\"{here}\" * 60000)', transition: {there}}}\n"
        for here, there in zip("bcdefghi", "cdefghij", strict=True)
    ) + "- {id: j, type: noop}\n")  # fmt: skip
    reply = api.ask("GET", f"logs?instance={api.run().headers['direktiv-instance-id']}")
    assert "content-length" not in reply.headers
    lines = reply.json["data"]
    assert [line["msg"] for line in lines] == [char * 60_000 for char in "xbcdefghi"] + ["complete"]
    assert reply.json["meta"]["startingFrom"] == lines[0]["time"]


def test_output_and_metadata_of_any_length_are_read_as_bytes(tmp_path: Path, functions: Called) -> None:
    with flowing(tmp_path, functions, Limits(json=2000)) as (_, make):
        api = make("prod")
        api.flow("states:\n- {id: a, type: noop, metadata: 'jq([range(1000)])', transform: 'jq({n: [range(.n)]})'}\n")
        for n, status in ((10, 200), (1000, 400)):
            reply = api.run(body={"n": n})
            where = f"instances/{reply.headers['direktiv-instance-id']}"
            told = api.ask("GET", f"{where}/output")
            assert told.status == status
            assert status == 200 or told.code == "resource_too_large"
            raw = api.ask("GET", f"{where}/output?raw=true")
            assert (raw.status, raw.headers["content-type"], raw.body) == (200, "application/json", reply.body)
            assert api.ask("GET", f"{where}/metadata?raw=true").json == list(range(1000))
        id = api.start(api.flow(DELAY % "60"))
        for name in ("output", "metadata"):
            raw = api.ask("GET", f"instances/{id}/{name}?raw=true")
            assert (raw.status, raw.body) == (404, b"")
        api.ask("PATCH", f"instances/{id}", {"status": "cancelled"})
        api.client.close()


# --- cancelling, going on, removing -----------------------------------------------------------------------------------


def test_an_instance_is_cancelled(api: Flowing) -> None:
    api.flow(DELAY % "60")
    id = api.start()
    reply = api.ask("PATCH", f"instances/{id}", {"status": "cancelled"})
    assert (reply.status, reply.body) == (200, b"")
    found = api.ended(id)
    assert (found["status"], found["errorCode"]) == ("cancelled", "direktiv.cancels.api")
    assert api.ask("PATCH", f"instances/{id}", {"status": "cancelled"}).status == 200  # it has ended: nothing is done
    assert api.status(id) == "cancelled"


def test_an_instance_of_one_service_is_cancelled_at_another(api: Flowing) -> None:
    id = api.start(api.flow(DELAY % "60"))
    with served(api.service.store) as second:
        where = f"/api/v2/namespaces/{api.namespace}/instances/{id}"
        assert second.client.get(where).json["data"]["status"] == "pending"
        assert second.client.ask("PATCH", where, {"status": "cancelled"}).status == 200
        until(lambda: second.client.get(where).json["data"]["status"] == "cancelled", 5)
    assert api.status(id) == "cancelled"


def test_who_waits_for_an_instance_that_is_cancelled_is_told(api: Flowing, running) -> None:
    api.flow(DELAY % "60")
    other = api._replace(client=running[0].another())
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other.run)
        id = until(lambda: api.ask("GET", "instances?status=pending").json["data"])[0]["id"]
        api.ask("PATCH", f"instances/{id}", {"status": "cancelled"})
        reply = waiting.result(20)
    assert error(reply)[:2] == (500, "direktiv.cancels.api")
    assert reply.headers["direktiv-instance-error-code"] == "direktiv.cancels.api"
    other.client.close()


def test_an_instance_that_crashed_is_told_so_and_gone_on_with(api: Flowing) -> None:
    api.flow(
        "states:\n- {id: a, type: delay, duration: PT1S, transition: b}\n- {id: b, type: noop, transform: {b: 1}}\n"
    )
    engine = Engine(api.service.store)
    id = engine.start(api.scope, "/flow.yaml")
    assert api.status(id) == "pending"
    assert error(api.ask("PATCH", f"instances/{id}", {"status": "pending"}))[:2] == (400, "request_data_invalid")
    engine.close()
    found = api.info(id)
    assert (found["status"], found["errorCode"]) == ("crashed", None)
    assert "resumed" in of(found["errorMessage"]).decode()
    assert [each["id"] for each in api.ask("GET", "instances?status=crashed").json["data"]] == [id]
    assert api.ask("PATCH", f"instances/{id}", {"status": "pending"}).status == 200
    assert api.ended(id)["status"] == "complete"
    assert "resumed" in api.log(id)


def test_an_instance_that_crashed_has_not_failed_with_the_error_that_it_had_raised(api: Flowing) -> None:
    api.flow("""
states:
- {id: a, type: error, error: my.code, message: first, transition: b}
- {id: b, type: delay, duration: PT60S}
""")
    engine = Engine(api.service.store)
    id = engine.start(api.scope, "/flow.yaml")
    until(lambda: api.info(id)["errorCode"] == "my.code")
    engine.close()
    found = api.info(id)
    assert (found["status"], found["errorCode"]) == ("crashed", None)
    assert b"resumed" in of(found["errorMessage"])


def test_an_instance_that_crashes_does_not_tell_where_the_store_is(tmp_path: Path, functions: Called) -> None:
    with flowing(tmp_path, functions) as (_, make):
        api = make("prod")
        large = "{key: x, scope: namespace, value: 'jq([range(9999)])'}"
        api.flow(f"states:\n- {{id: a, type: setter, variables: [{large}]}}\n")
        assert api.run().status == 200
        rmtree(tmp_path / "store" / "files")
        (tmp_path / "store" / "files").touch()
        reply = api.run()
        assert error(reply)[:2] == (500, "crashed")
        found = api.info(reply.headers["direktiv-instance-id"])
        assert found["status"] == "crashed"
        for told in (error(reply)[2], str(reply.headers), of(found["errorMessage"]).decode()):
            assert "the store/files" in told
            assert str(tmp_path) not in told
        api.client.close()


def test_many_who_look_at_once_see_that_an_instance_crashed(api: Flowing) -> None:
    """Who looks whether somebody runs it is not taken for somebody who does."""
    api.flow(DELAY % "60")
    engine = Engine(api.service.store)
    id = engine.start(api.scope, "/flow.yaml")
    engine.close()

    def look(_: int) -> str:
        instances = Instances(api.scope)
        return instances.get(id).status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(look, range(400))) == {"crashed"}


def test_an_instance_that_has_ended_is_removed(api: Flowing) -> None:
    api.flow(DELAY % "60")
    id = api.start()
    assert error(api.ask("DELETE", f"instances/{id}"))[:2] == (400, "request_data_invalid")
    api.ask("PATCH", f"instances/{id}", {"status": "cancelled"})
    api.ended(id)
    assert api.ask("DELETE", f"instances/{id}").status == 200
    assert error(api.ask("GET", f"instances/{id}")) == MISSING


def test_a_namespace_that_is_removed_takes_its_instances_along(api: Flowing, running) -> None:
    api.flow(DELAY % "60")
    other = api._replace(client=running[0].another())
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(other.run)
        until(lambda: api.ask("GET", "instances").json["meta"]["total"])
        assert api.ask("DELETE", f"/namespaces/{api.namespace}").status == 200
        assert error(waiting.result(20)) == MISSING
    other.client.close()


# --- D6 and D14: subflows ---------------------------------------------------------------------------------------------

CALLS = """
functions: [{id: sub, type: subflow, workflow: %s}]
states:
- id: a
  type: action
  action: {function: sub, input: {n: 'jq(.n)'}}
  catch: [{error: 'sub.*', transition: c}]
  transition: b
- {id: b, type: noop, transform: 'jq(.return)'}
- {id: c, type: noop, transform: 'jq({caught: .error})'}
"""


@pytest.mark.parametrize("named", ["sub.yaml", "./sub.yaml", "/dir/sub.yaml", "../dir/sub.yaml"])
def test_d6_a_subflow_is_named_relative_to_its_caller(api: Flowing, named: str) -> None:
    api.file("/dir", type="directory")
    api.flow("states:\n- {id: s, type: noop, transform: {twice: 'jq(.n * 2)'}}\n", "/dir/sub.yaml")
    reply = api.run(api.flow(CALLS % named, "/dir/main.yaml"), {"n": 21})
    assert reply.json == {"twice": 42}
    child, parent = api.ask("GET", "instances").json["data"]
    if child["path"] != "/dir/sub.yaml":
        child, parent = parent, child
    assert (parent["path"], parent["lineage"]) == ("/dir/main.yaml", [])
    assert child["invoker"] == f"instance:{parent['id']}"
    assert [(above["id"], above["state"]) for above in child["lineage"]] == [(parent["id"], "a")]


def test_d14_the_error_of_a_subflow_is_caught_by_its_code(api: Flowing) -> None:
    api.flow("states:\n- {id: s, type: error, error: sub.code, message: no}\n", "/sub.yaml")
    assert api.output(CALLS % "sub.yaml", {"n": 1}) == {"caught": {"code": "sub.code", "msg": "no"}}
    api.flow("states:\n- {id: s, type: error, error: other.code, message: no}\n", "/sub.yaml")
    reply = api.run(body={"n": 1})
    assert error(reply)[1] == reply.headers["direktiv-instance-error-code"] == "other.code"


def test_d14_an_error_state_fails_the_run_and_goes_on(api: Flowing) -> None:
    api.flow("""
states:
- {id: a, type: error, error: my.code, message: first, transition: b}
- {id: b, type: setter, variables: [{key: x, scope: namespace, value: set}]}
""")
    reply = api.run()
    assert error(reply) == (500, "my.code", "first")
    assert api.scope.get_bytes("x") == b'"set"'
    assert api.info(reply.headers["direktiv-instance-id"])["flow"] == ["a", "b"]


# --- D1 and D2: variables of instances --------------------------------------------------------------------------------


def test_d1_d2_an_instance_has_variables_while_it_runs(api: Flowing) -> None:
    api.flow("""
states:
- {id: a, type: setter, variables: [{key: own, scope: instance, value: 'jq(.n)'}], transition: b}
- {id: b, type: delay, duration: PT0.6S, transition: c}
- {id: c, type: getter, variables: [{key: given, scope: instance}]}
""")
    id = api.start(body={"n": 7})
    until(lambda: api.names(instanceId=id) == ["own"])
    (own,) = _variables(api, instanceId=id)
    assert (own["type"], own["reference"], of(own["data"])) == ("instance-variable", id, b"7")
    made = api.make("given", '"hello"', "application/json", instanceId=id)
    assert (made["type"], made["reference"]) == ("instance-variable", id)
    assert api.ended(id)["status"] == "complete"
    output = json.loads(of(api.data("GET", f"instances/{id}/output")["output"]))
    assert output["var"] == {"given": "hello"}
    assert api.names(instanceId=id) == []
    assert error(api.ask("GET", f"variables/{own['id']}")) == MISSING
    body = {"name": "late", "mimeType": "a/b", "data": base64("x"), "instanceId": id}
    assert error(api.ask("POST", "variables", body)) == MISSING
    assert not api.scope.instance(id).present


def test_d2_nothing_is_left_of_the_ids_of_an_instances_variables(api: Flowing) -> None:
    api.flow(DELAY % "60")
    ended, runs = api.start(), api.start()
    for id in (ended, runs):
        made = api.make("x", instanceId=id)
        api.scope.instance(id).put("y", b"y", content_type="text/plain")
        assert api.names(instanceId=id) == ["x", "y"]
    api.make("x")
    api.ask("PATCH", f"instances/{ended}", {"status": "cancelled"})
    api.ended(ended)
    marks = api.scope.scope("direktiv", "instances")
    marks.put("forged", 1, tags={"at": "no path"})
    assert len(list(marks.keys())) == 5
    tidy(api.service.store)
    assert sorted(record.tags["name"] for record in marks.list()) == ["x", "y"]
    assert api.data("GET", f"variables/{made['id']}")["reference"] == runs
    assert api.names(instanceId=runs) == ["x", "y"]
    api.ask("PATCH", f"instances/{runs}", {"status": "cancelled"})
    assert api.names() == ["x"]


def test_d2_a_variable_is_put_before_the_instance_has_any(api: Flowing) -> None:
    api.flow(DELAY % "60")
    id = api.start()
    assert api.names(instanceId=id) == []
    api.make("first", instanceId=id)
    assert api.names(instanceId=id) == ["first"]
    api.ask("PATCH", f"instances/{id}", {"status": "cancelled"})
    api.ended(id)
    until(lambda: api.names(instanceId=id) == [])


def test_d25_a_variable_of_an_unknown_instance_is_not_found(api: Flowing) -> None:
    body = {"name": "x", "mimeType": "a/b", "data": base64("x"), "instanceId": str(uuid4())}
    assert error(api.ask("POST", "variables", body)) == MISSING


# --- tokens -----------------------------------------------------------------------------------------------------------


def test_running_needs_read_and_write_and_looking_needs_read(tmp_path: Path, functions: Called) -> None:
    texts: dict[str, str] = {}

    def prepare(store: holdfast.Store) -> None:
        tokens = Tokens(store)
        for name, scope, allow in (
            ("read", "prod", ["read"]), ("write", "prod", ["read", "write"]), ("blind", "prod", ["write"]),
            ("other", "dev", ["read", "write", "admin"]),
        ):  # fmt: skip
            texts[name] = tokens.create(scopes=[f"namespace:{scope}"], allow=allow)[0]

    with flowing(tmp_path, functions, prepare=prepare) as (service, make):
        api = make("prod", texts["write"])
        api.flow(NOOP)
        id = api.run().headers["direktiv-instance-id"]

        def status(token: str, method: str, path: str, body: object = None) -> int:
            return api.ask(method, path, body, Authorization=f"Bearer {texts[token]}").status

        looking = ("instances", f"instances/{id}", f"instances/{id}/output", f"logs?instance={id}")
        for token, sees, does, runs in (("read", 200, 403, 403), ("write", 200, 200, 200), ("blind", 403, 200, 403)):
            for path in looking:
                assert status(token, "GET", path) == sees, (token, path)
            assert status(token, "PATCH", f"instances/{id}", {"status": "cancelled"}) == does
            for wait in ("true", "false"):
                assert status(token, "POST", f"instances?path=flow.yaml&wait={wait}") == runs, token
        for path in looking:
            assert status("other", "GET", path) == 403
            assert service.client.ask("GET", f"/api/v2/namespaces/prod/{path}").status == 401
        assert status("other", "POST", "instances?path=flow.yaml") == 403
        assert service.client.ask("POST", "/api/v2/namespaces/prod/instances?path=flow.yaml").status == 401
        api.client.close()
