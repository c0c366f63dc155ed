"""Functions of flows that a service runs: ``/var`` and ``/log`` of behaviour D20, and functions that do not behave."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import quote, urlencode

import apsw
import pytest

import holdfast
from holdfast.aio.driver import driver_of
from holdfast.service.base import Limits
from holdfast.tokens import Tokens

from .direktiv import error, of
from .flows import DELAY, Called, Flowing, flowing, until
from .talk import Served, process_of

CALL = """
functions: [{id: f, image: %s}]
states:
- {id: a, type: action, action: {function: f, input: 'jq(.given)'}, transform: {got: 'jq(.return)'}}
"""
LOOP = """
states:
- {id: a, type: noop, transform: 'jq({n: (.n + 1)})', transition: b}
- {id: b, type: noop, transition: a}
"""
LIMITS = Limits(body=1 << 20, instances=60)

_names = count(1)


@pytest.fixture
def api(running) -> Iterator[Flowing]:
    found = running[1](f"g{next(_names)}")
    yield found
    found.client.close()


@pytest.fixture
def action(api: Flowing, functions: Called) -> Iterator[str]:
    """The id of an action that runs."""
    functions.let.clear()
    functions.asked.clear()
    api.flow(CALL % "hang")
    id = api.start(body={"given": {}})
    until(lambda: functions.asked)
    yield functions.asked[0]["Direktiv-ActionID"]
    functions.let.set()
    api.ended(id)


# --- D20: /var and /log -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["namespace", "workflow", "instance"])
def test_d20_a_function_sets_and_gets_variables_at_the_service(api: Flowing, scope: str) -> None:
    api.flow(CALL % "setting")
    reply = api.run(body={"given": {"scope": scope, "key": "x", "data": "thé"}})
    assert reply.json == {"got": [200, 200, 200, "text/x-mine", "thé"]}
    where = {"namespace": api.scope, "workflow": api.scope.workflow("/flow.yaml")}
    if scope in where:
        assert where[scope].get_bytes("x") == "thé".encode()
        assert where[scope].record("x").content_type == "text/x-mine"
    assert api.log(reply.headers["direktiv-instance-id"])[:2] == ["one", "two"]


def test_d20_what_var_and_log_answer(action: str, functions: Called) -> None:
    def ask(method: str, path: str, aid: str = action, **query: str) -> tuple[int, bytes]:
        reply = functions.ask(method, path, aid, b"x" if method != "GET" else None, **query)
        return reply.status, reply.body

    assert ask("GET", "/var", scope="namespace", key="none") == (200, b"")
    assert ask("POST", "/var/", scope="namespace", key="x")[0] == 200
    assert ask("GET", "/var/", scope="namespace", key="x") == (200, b"x")
    for query in ({}, {"scope": "file"}, {"scope": "system"}, {"scope": ""}):
        assert ask("GET", "/var", key="x", **query)[0] == 400
        assert ask("POST", "/var", key="x", **query)[0] == 400
    for key in ("", "a b", "1", "../x", "a" * 600):
        assert ask("GET", "/var", scope="namespace", key=key)[0] == 400
    for aid in ("", "x", action[:-1], action + "0", "0" * 64):
        assert ask("GET", "/var", aid, scope="namespace", key="x")[0] == 403
        assert ask("POST", "/var", aid, scope="namespace", key="x")[0] == 403
        assert ask("POST", "/log", aid)[0] == 403
    assert ask("POST", "/log/")[0] == 200


@pytest.mark.parametrize(("path", "allowed"), [("/var", "GET, POST"), ("/log", "POST")])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
def test_d20_other_methods_are_405(running: tuple[Served, object], method: str, path: str, allowed: str) -> None:
    reply = running[0].client.ask(method, f"{path}?aid=x&scope=namespace&key=x")
    assert (reply.status, reply.headers["allow"]) == (405, allowed)
    assert running[0].client.ask("GET", "/log?aid=x").status == 405


def test_d20_the_id_opens_nothing_when_the_action_has_ended(api: Flowing, functions: Called) -> None:
    functions.asked.clear()
    api.run(api.flow(CALL % "echo"), {"given": {}})
    aid = functions.asked[0]["Direktiv-ActionID"]
    reply = functions.ask("GET", "/var", aid, scope="namespace", key="x")
    assert (reply.status, reply.code) == (403, "access_denied")


@pytest.mark.parametrize("field", ["Origin", "Host"])
def test_d30_var_and_log_are_not_for_pages_of_others(running: tuple[Served, object], action: str, field: str) -> None:
    for method, path in (("GET", "/var"), ("POST", "/var"), ("POST", "/log")):
        where = f"{path}?aid={action}&scope=namespace&key=x"
        assert running[0].client.ask(method, where, b"x", {field: "http://evil.example"}).status == 403
    assert running[0].client.get(f"/var?aid={action}&scope=namespace&key=x").body == b""


def test_d20_a_body_that_is_too_large_or_breaks_off_stores_nothing(
    running: tuple[Served, object], api: Flowing, action: str, functions: Called
) -> None:
    for key, body in (("whole", b"x" * (1 << 20)), ("more", b"x" * ((1 << 20) + 1))):
        reply = functions.ask("POST", "/var", action, body, scope="namespace", key=key)
        assert reply.status == (200 if key == "whole" else 413)
    query = urlencode({"aid": action, "scope": "namespace", "key": "chunks"})
    client = running[0].client
    link = http.client.HTTPConnection(client.host, client.port, timeout=20)
    link.request("POST", f"/var?{query}", iter([b"x" * (1 << 18)] * 5), encode_chunked=True)
    assert link.getresponse().status == 413
    link.close()
    with socket.create_connection((client.host, client.port), timeout=20) as raw:
        head = f"POST /var?{query.replace('chunks', 'broken')} HTTP/1.1\r\nHost: localhost\r\n"
        raw.sendall(f"{head}Content-Length: 1000000\r\n\r\n".encode() + b"x" * 500_000)
    time.sleep(0.3)
    assert list(api.scope.keys()) == ["whole"]
    assert functions.ask("GET", "/var", action, scope="namespace", key="whole").body == b"x" * (1 << 20)


def test_d20_no_token_is_needed_but_room_is(tmp_path: Path, functions: Called) -> None:
    texts = []

    def prepare(store: holdfast.Store) -> None:
        texts.append(Tokens(store).create(scopes=["namespace:prod"], allow=["read", "write"])[0])

    with flowing(tmp_path, functions, Limits(requests=1), prepare) as (service, make):
        api = make("prod", texts[0])
        functions.let.clear()
        functions.asked.clear()
        id = api.start(api.flow(CALL % "hang"), {"given": {}})
        aid = until(lambda: functions.asked)[0]["Direktiv-ActionID"]
        assert service.client.get("/v1/values/namespace:prod/x").status == 401
        assert functions.ask("POST", "/var", aid, b"1", scope="namespace", key="x").status == 200
        assert functions.ask("GET", "/var", aid, scope="namespace", key="x").body == b"1"
        with sending(service, aid, "y", 9) as busy:
            busy.sendall(b"1")
            until(lambda: functions.ask("GET", "/var", aid, scope="namespace", key="x").status == 503)
        functions.let.set()
        until(lambda: is_closed(functions, aid))
        assert api.ended(id)["status"] == "complete"
        api.client.close()


def is_closed(functions: Called, aid: str) -> bool:
    """Whether the id of an action opens nothing any more."""
    try:
        return functions.ask("GET", "/var", aid, scope="namespace", key="x").status == 403
    except http.client.IncompleteRead:  # it ended in the middle of an answer
        return False


@contextmanager
def sending(service: Served, aid: str, key: str, size: int) -> Iterator[socket.socket]:
    """A connection on which a variable of this size begins to be sent."""
    client = service.client
    with socket.create_connection((client.host, client.port), timeout=20) as link:
        query = urlencode({"aid": aid, "scope": "namespace", "key": key})
        head = f"POST /var?{query} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n"
        link.sendall(head.encode())
        yield link


@pytest.mark.parametrize(
    ("limits", "status"), [(Limits(idle_time=0.4), 408), (Limits(request_time=0.6, idle_time=30.0), 504)]
)
def test_d20_a_body_that_does_not_go_on_is_given_up(
    tmp_path: Path, functions: Called, limits: Limits, status: int
) -> None:
    with flowing(tmp_path, functions, limits) as (service, make):
        api = make("prod")
        functions.let.clear()
        functions.asked.clear()
        id = api.start(api.flow(CALL % "hang"), {"given": {}})
        aid = until(lambda: functions.asked)[0]["Direktiv-ActionID"]
        with sending(service, aid, "x", 100_000) as link:
            link.sendall(b"x" * 50_000)
            assert f"HTTP/1.1 {status} ".encode() in link.recv(100)
        functions.let.set()
        assert api.ended(id)["status"] == "complete"
        assert list(api.scope.keys()) == []
        until(lambda: not driver_of(service.store._kernel)._free.pending)
        api.client.close()


def test_d20_what_is_refused_is_refused_before_its_body_comes(running: tuple[Served, object]) -> None:
    with sending(running[0], "nobody", "x", 1 << 20) as link:
        assert b"HTTP/1.1 403 " in link.recv(100)


def test_d20_what_is_sent_when_the_action_ends_is_not_stored(
    running: tuple[Served, object], api: Flowing, action: str, functions: Called
) -> None:
    with sending(running[0], action, "x", 600_000) as link:
        link.sendall(b"x" * 300_000)
        time.sleep(0.1)
        functions.let.set()
        until(lambda: is_closed(functions, action))
        link.sendall(b"x" * 300_000)
        assert b"HTTP/1.1 403 " in link.recv(100)
    assert list(api.scope.keys()) == []


@pytest.mark.long
def test_d20_a_large_variable_goes_there_and_back_in_little_memory(tmp_path: Path, functions: Called) -> None:
    size, piece = 512 << 20, bytes(range(256)) * 4096
    toml = tmp_path / "functions.toml"
    url = f"http://127.0.0.1:{functions.port}/hang"
    toml.write_text(f"[functions.hang]\nurl = '{url}'\n[actions]\ndoor = '127.0.0.1:0'\nfolder = '{tmp_path}/a'\n")
    functions.let.clear()
    functions.asked.clear()
    with process_of(str(tmp_path / "store"), "--functions", str(toml)) as (process, client):

        def peak() -> int:
            text = Path(f"/proc/{process.pid}/status").read_text()
            return int(text.partition("VmHWM:")[2].split()[0]) << 10

        api = Flowing("prod", client, None)  # type: ignore[arg-type]
        api.data("POST", "/namespaces", {"name": "prod"})
        id = api.start(api.flow(CALL % "hang"), {"given": {}})
        where = urlencode(
            {"aid": until(lambda: functions.asked)[0]["Direktiv-ActionID"], "scope": "namespace", "key": "x"}
        )
        api.ask("GET", "instances")
        before = peak()
        link = http.client.HTTPConnection(client.host, client.port, timeout=60)
        link.request("POST", f"/var?{where}", iter([piece] * (size // len(piece))), {"Content-Length": str(size)})
        answer = link.getresponse()
        assert (answer.status, answer.read()) == (200, b'{"data": null}')
        link.request("GET", f"/var?{where}")
        answer = link.getresponse()
        left = size
        while data := answer.read(len(piece)):
            assert data == piece
            left -= len(data)
        assert left == 0
        assert peak() - before < 64 << 20
        functions.let.set()
        assert api.ended(id)["status"] == "complete"
        link.close()


# --- functions that do not behave -------------------------------------------------------------------------------------


def test_a_function_that_crashes_or_is_nowhere_is_an_error_of_the_flow(api: Flowing) -> None:
    reply = api.run(api.flow(CALL % "crash"), {"given": {}})
    assert reply.status == 500
    code = error(reply)[1]
    assert code == reply.headers["direktiv-instance-error-code"]
    assert api.info(reply.headers["direktiv-instance-id"])["status"] == "failed"


def test_a_function_that_answers_nonsense_gives_base64(api: Flowing) -> None:
    assert of(api.output(CALL % "nonsense", {"given": {}})["got"]) == b"\xff\x00 this is {no json"


def test_a_function_that_hangs_is_ended_by_its_timeout_and_cancelled(api: Flowing, functions: Called) -> None:
    functions.let.clear()
    functions.cancelled.clear()
    api.flow((CALL % "hang").replace("type: action,", "type: action, timeout: PT0.5S,"))
    began = time.monotonic()
    reply = api.run(body={"given": {}})
    assert reply.status == 500
    assert time.monotonic() - began < 10
    until(lambda: functions.cancelled)
    functions.let.set()


def test_an_endless_loop_ends(api: Flowing) -> None:
    reply = api.run(api.flow(LOOP), {"n": 0})
    assert error(reply)[1] == "direktiv.workflow.tooManyTransitions"


# --- limits -----------------------------------------------------------------------------------------------------------


def test_values_are_got_quickly_while_50_instances_run(api: Flowing, functions: Called) -> None:
    """Loops that end after 10,000 states, functions that hang, and subflows that wait; and all of them end."""
    functions.let.clear()
    api.flow(LOOP, "/loop.yaml")
    api.flow(CALL % "hang", "/hang.yaml")
    api.flow(DELAY % "60", "/delay.yaml")
    api.scope.put("value", {"here": True})
    ids = [
        api.start(path, {"given": {}, "n": 0})
        for path in ("/loop.yaml", "/hang.yaml", "/delay.yaml", "/loop.yaml", "/hang.yaml")
        for _ in range(10)
    ]
    assert len(api.ask("GET", "instances?status=pending").json["data"]) > 40
    times = []
    client = api.service.another()
    for _ in range(100):
        began = time.monotonic()
        assert client.get(f"/v1/values/namespace:{api.namespace}/value?as=json").json == {"here": True}
        times.append(time.monotonic() - began)
        time.sleep(0.01)
    client.close()
    assert len(api.ask("GET", "instances?status=pending").json["data"]) > 40
    times.sort()
    print(f"median {times[50] * 1000:.1f} ms, 95 % {times[95] * 1000:.1f} ms, most {times[-1] * 1000:.1f} ms")
    functions.let.set()
    for id in ids:
        api.ask("PATCH", f"instances/{id}", {"status": "cancelled"})
    for id in ids:
        assert api.ended(id)["status"] in ("cancelled", "failed", "complete")
    assert times[50] < 0.1
    assert times[95] < 0.5


def test_more_instances_than_there_may_be_are_refused(tmp_path: Path, functions: Called) -> None:
    with flowing(tmp_path, functions, Limits(instances=3)) as (service, make):
        api = make("prod")
        api.flow(DELAY % "60")
        ids = [api.start() for _ in range(3)]
        for wait in ("true", "false"):
            reply = api.ask("POST", f"instances?path=flow.yaml&wait={wait}")
            assert (reply.status, reply.code, reply.headers["retry-after"]) == (503, "busy", "1")
        api.ask("PATCH", f"instances/{ids[0]}", {"status": "cancelled"})
        api.ended(ids[0])
        until(lambda: api.ask("POST", "instances?path=flow.yaml").status == 200)
        assert "holdfast_instances_active 3" in service.client.get("/metrics").body.decode()
        assert 'holdfast_instances_total{status="cancelled"} 1' in service.client.get("/metrics").body.decode()
        for found in api.ask("GET", "instances").json["data"]:
            api.ask("PATCH", f"instances/{found['id']}", {"status": "cancelled"})
        api.client.close()


def test_waiting_holds_no_request_for_longer_than_one_may_take(tmp_path: Path, functions: Called) -> None:
    with flowing(tmp_path, functions, Limits(request_time=1.5)) as (_, make):
        api = make("prod")
        api.flow(DELAY % "1.7")
        reply = api.run()
        assert (reply.status, reply.code) == (504, "timeout")
        id = reply.headers["direktiv-instance-id"]
        assert id in reply.json["error"]["message"]
        assert api.ended(id)["status"] == "complete"
        api.client.close()


def test_who_waits_is_told_of_an_instance_whose_output_finds_no_room(tmp_path: Path, functions: Called) -> None:
    with flowing(tmp_path, functions, Limits(memory=300_000)) as (service, make):
        api = make("prod")
        api.flow("states:\n- {id: a, type: noop, transform: 'jq({n: [range(50000)]})'}\n")
        client = service.client
        with socket.create_connection((client.host, client.port), timeout=20) as link:
            head = "POST /api/v2/namespaces/prod/instances?path=flow.yaml HTTP/1.1\r\nHost: localhost\r\n"
            link.sendall(f"{head}Content-Length: 250000\r\n\r\n".encode() + b" " * 200_000)
            reply = until(lambda: (found := api.run()).status == 504 and found)
        assert reply.code == "timeout"
        id = reply.headers["direktiv-instance-id"]
        assert api.status(id) == "complete"
        found = until(lambda: (found := api.ask("GET", f"instances/{id}/output?raw=true")).status == 200 and found)
        assert found.json == {"n": list(range(50_000))}
        api.client.close()


def test_a_client_that_goes_away_leaves_its_instance_and_frees_its_place(tmp_path: Path, functions: Called) -> None:
    with flowing(tmp_path, functions, Limits(requests=2)) as (service, make):
        api = make("prod")
        api.flow(DELAY % "1")
        where = "/api/v2/namespaces/prod/instances?path=flow.yaml&wait=true"
        for _ in range(3):
            with socket.create_connection((api.client.host, api.client.port), timeout=20) as link:
                link.sendall(f"POST {where} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode())
                time.sleep(0.1)
        until(lambda: "holdfast_requests_active 0" in service.client.get("/metrics").body.decode(), 0.6)
        ids = [found["id"] for found in api.ask("GET", "instances").json["data"]]
        assert len(ids) == 3
        for id in ids:
            assert api.ended(id)["status"] == "complete"
        api.client.close()


def test_an_instance_takes_no_more_than_its_time(tmp_path: Path, functions: Called) -> None:
    with flowing(tmp_path, functions, Limits(instance_time=0.5)) as (_, make):
        api = make("prod")
        began = time.monotonic()
        reply = api.run(api.flow(DELAY % "60"))
        assert error(reply)[1] == "direktiv.cancels.timeout.hard"
        assert time.monotonic() - began < 10
        api.client.close()


def test_many_that_wait_are_all_answered(api: Flowing) -> None:
    api.flow("states:\n- {id: a, type: delay, duration: PT0.2S, transform: 'jq({n: .n})'}\n")

    def run(number: int) -> int:
        client = api.service.another()
        try:
            found: int = api._replace(client=client).run(body={"n": number}).json["n"]
            return found
        finally:
            client.close()

    with ThreadPoolExecutor(40) as pool:
        assert list(pool.map(run, range(40))) == list(range(40))


def test_a_token_of_one_namespace_stops_no_flow_of_another(tmp_path: Path, functions: Called) -> None:
    """What a flow holds for itself is named within its namespace, so that only who may write there may take it."""
    texts = {}

    def prepare(store: holdfast.Store) -> None:
        for name in ("prod", "dev"):
            texts[name], _ = Tokens(store).create(scopes=[f"namespace:{name}"], allow=["read", "write"])

    with flowing(tmp_path, functions, prepare=prepare) as (_, make):
        prod, dev = make("prod", texts["prod"]), make("dev", texts["dev"])
        prod.flow("atomic: [{scope: workflow, key: x}]\n" + READS + DELAY.removeprefix("states:\n") % "0.5")
        id = prod.start()
        until(lambda: [row for row in leases(tmp_path) if "/atomic/" in row[0]])
        held = leases(tmp_path)
        assert {name.split("/")[2] for name, _ in held} == {"flows", "atomic"}
        for name, token in held:
            where = f"/v1/leases/{quote(name, safe='')}"
            assert dev.client.ask("DELETE", f"{where}?token={token}").status == 403
            assert dev.client.ask("POST", where, {"seconds": 60}).status == 403
        assert leases(tmp_path) == held
        assert prod.ended(id)["status"] == "complete"
        for found in (prod, dev):
            found.client.close()


READS = "states:\n- {id: r, type: getter, variables: [{key: x, scope: workflow}], transition: a}\n"


def leases(folder: Path) -> list[tuple[str, int]]:
    """Those that are held."""
    with closing(apsw.Connection(f"{folder}/store/catalog.sqlite", flags=apsw.SQLITE_OPEN_READONLY)) as catalog:
        return [(str(name), int(token)) for name, token in catalog.execute("SELECT name,token FROM leases")]
