"""The conformance kit: the service passes it, by each way to send requests, and what is wrong is caught."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from .services import KIT, Served, run

CASES = json.loads((KIT / "cases.json").read_text(encoding="utf-8"))
RUN: list[str | Path] = [sys.executable, KIT / "run.py"]
NUMBER = len(CASES["cases"])


def _passes(said: str, left: set[str]) -> None:
    """All cases passed, but those that this run could not have."""
    lines = said.splitlines()
    assert [line for line in lines if line.startswith("FAILED")] == [], said
    not_run = {line.split()[1].rstrip(":") for line in lines if line.startswith("- ")}
    assert not_run == left
    assert lines[-1] == f"{NUMBER - len(left)} passed, 0 failed, {len(left)} not run"


NEED_TOKENS = {case["name"] for case in CASES["cases"] if "main" in case.get("needs", ())}
NEED_NONE = {case["name"] for case in CASES["cases"] if "no token" in case.get("needs", ())}


def test_there_is_much_of_it() -> None:
    names = [case["name"] for case in CASES["cases"]]
    assert len(set(names)) == len(names) >= 60
    assert {case["group"] for case in CASES["cases"]} == set(CASES["groups"])
    listed = run([*RUN, "--list"]).stdout
    assert [line.split()[1] for line in listed.splitlines()] == names


def test_the_service_passes_without_tokens(plain: Served) -> None:
    done = run([*RUN, *plain.options()])
    _passes(done.stdout + done.stderr, NEED_TOKENS)
    assert done.returncode == 0


@pytest.mark.long
def test_the_service_passes_with_tokens_by_curl(guarded: Served) -> None:
    done = run([*RUN, *guarded.options(), "--via", "curl"])
    _passes(done.stdout + done.stderr, NEED_NONE)
    assert done.returncode == 0


def test_some_of_it_passes_by_curl(guarded: Served) -> None:
    names = ["--only", "conditions", "--only", "sign-in", "--only", "head", "--only", "cut-off", "--only", "events"]
    done = run([*RUN, *guarded.options(), "--via", "curl", *names])
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "15 passed, 0 failed, 2 not run"


def test_nothing_is_left_of_a_run(plain: Served) -> None:
    import http.client

    run([*RUN, plain.url, "--only", "bytes"])
    connection = http.client.HTTPConnection(plain.url.removeprefix("http://"))
    connection.request("GET", "/v1/children?kind=namespace")
    found = json.loads(connection.getresponse().read())["scopes"]
    connection.close()
    assert [scope["name"] for scope in found if scope["name"].startswith("conformance-")] == []


def test_every_case_sends_only_what_the_readme_knows() -> None:
    text = (KIT / "README.md").read_text(encoding="utf-8")
    known = set(re.findall(r"`([a-z_]+)`", text))

    def steps(found: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for step in found:
            yield step
            yield from steps(step.get("meanwhile", []))

    for case in CASES["cases"]:
        assert set(case) <= {"name", "group", "about", "steps", "needs"} <= known
        for step in steps(case["steps"]):
            assert set(step) | set(step.get("expect", {})) <= known, case["name"]


# --- what is wrong is caught ------------------------------------------------------------------------------------------


class _Liar(BaseHTTPRequestHandler):
    """Answers every request with what its server was told to."""

    protocol_version = "HTTP/1.1"
    reply: tuple[int, dict[str, str], bytes] = (200, {}, b"")

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        status, headers, body = self.reply if "/told" in self.path else (204, {}, b"")
        self.send_response(status)
        for name, value in {"X-Request-Id": "1", **headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_DELETE = _answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def liar() -> Iterator[tuple[str, type[_Liar]]]:
    kind = type("Liar", (_Liar,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", kind
        server.shutdown()
        thread.join()


RIGHT = (200, {"ETag": '"1"'}, b'{"a":[1,{"b":null}],"t":true}')
WRONG: dict[str, dict[str, Any]] = {
    "status": {"status": 201},
    "one of several": {"status": [201, 204]},
    "header": {"headers": {"ETag": '"2"'}},
    "header pattern": {"headers": {"ETag": {"pattern": "^[0-9]+$"}}},
    "header there": {"headers": {"ETag": None}},
    "header missing": {"headers": {"X-None": {"pattern": ""}}},
    "body": {"body": "{}"},
    "repeated": {"body": {"repeat": "x", "times": 29}},
    "body pattern": {"body": {"pattern": "^x"}},
    "member": {"json": {"c": 1}},
    "number": {"json": {"a": [2, {"b": None}]}},
    "length": {"json": {"a": [1]}},
    "null": {"json": {"a": [1, {"b": 0}]}},
    "truth is no number": {"json": {"t": 1}},
    "more members": {"json_exact": {"a": [1, {"b": None}]}},
    "absent": {"json": {"a": {"$absent": True}}},
    "type": {"json": {"t": {"$type": "integer"}}},
    "pattern": {"json": {"t": {"$pattern": "."}}},
    "not": {"json": {"t": {"$not": True}}},
    "has": {"json": {"a": {"$has": [2]}}},
    "code": {"code": "not_found"},
    "unknown": {"json": {"a": {"$what": 1}}},
}
GOOD = {
    "status": [200, 201],
    "headers": {"etag": '"1"', "X-None": None, "ETag": {"pattern": "1"}},
    "body": {"pattern": "^.{29}$"},
    "json": {"a": {"$has": [1, {"b": {"$type": "null"}}]}, "c": {"$absent": True}, "t": {"$not": 1}},
    "json_exact": {"a": [{"$type": "integer"}, {"b": None}], "t": True},
}


@pytest.mark.parametrize("runner", [RUN, ["node", KIT.parent / "clients" / "javascript" / "conformance.mjs"]])
def test_planted_faults_are_caught(runner: list[str | Path], liar: tuple[str, type[_Liar]], tmp_path: Path) -> None:
    url, kind = liar
    kind.reply = RIGHT
    cases = [
        {"name": name, "group": "all", "about": name, "steps": [{"do": "GET /told", "expect": expect}]}
        for name, expect in {**WRONG, "good": GOOD}.items()
    ]
    everywhere: dict[str, Any] = {"headers": {}}
    document = {**CASES, "groups": {"all": ""}, "every_answer": everywhere, "before": [], "after": [], "cases": cases}
    file = tmp_path / "cases.json"
    file.write_text(json.dumps(document))
    done = run([*runner, url, "--cases", file])
    assert done.returncode == 1, done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith(("ok", "FAILED"))]
    assert [line.removeprefix("FAILED ").partition(":")[0] for line in said[:-1]] == list(WRONG)
    assert said[-1] == "ok     good"
    assert done.stdout.splitlines()[-1] == f"1 passed, {len(WRONG)} failed"


def test_what_holds_of_every_answer_is_asked_of_each(liar: tuple[str, type[_Liar]], tmp_path: Path) -> None:
    url, kind = liar
    kind.reply = (404, {"Content-Type": "text/html"}, b"<h1>nothing</h1>")
    case = {"name": "a", "group": "all", "about": "", "steps": [{"do": "GET /told", "expect": {"status": 404}}]}
    file = tmp_path / "cases.json"
    file.write_text(json.dumps({**CASES, "groups": {"all": ""}, "before": [], "after": [], "cases": [case]}))
    done = run([*RUN, url, "--cases", file])
    assert done.returncode == 1
    assert "expected one like ^application/json" in done.stdout


@pytest.mark.parametrize("via", ["http", "curl"])
def test_nobody_who_answers_is_told(via: str) -> None:
    done = run([*RUN, "http://127.0.0.1:1", "--via", via])
    assert done.returncode == 2
    assert "http://127.0.0.1:1 is not ready for this" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_such_group() -> None:
    done = run([*RUN, "http://127.0.0.1:1", "--only", "nothing"])
    assert done.returncode != 0
    assert "there is no group or case 'nothing'" in done.stderr
