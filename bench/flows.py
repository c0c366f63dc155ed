"""Flows: what an instance adds to its reads and writes, how many run in a second, and what calling a function adds.

Each has its control in the same run, in turn: the same variables by a bare program, the function's program called
barely. The variable of 1 GB goes to a function and back in a process of its own, whose memory is looked at.
"""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import holdfast
from holdfast.flows.engine import Engine
from holdfast.flows.functions import Functions

from .measure import Result

__all__ = ["run"]

_STATES = 10
_COUNTER = """
states:
- id: a
  type: getter
  variables: [{key: x, scope: workflow}]
  transform: 'jq(.var.x += 1)'
  transition: b
- id: b
  type: setter
  variables: [{key: x, scope: workflow, value: 'jq(.var.x)'}]
"""
_CALLING = "functions: [{{id: f, image: {0}}}]\nstates: [{{id: a, type: action, action: {{function: f}}}}]\n"
_NOTHING = "states: [{id: a, type: noop}]\n"
_SCRIPT = "cat > /dev/null; echo 1"

_LARGE = """
import json, sys
import holdfast
from holdfast.flows.engine import Engine
from holdfast.flows.functions import Functions

FLOW = '''
functions:
- {id: f, image: move, files: [{key: x, scope: workflow}]}
states: [{id: a, type: action, action: {function: f}}]
'''

def status(name):
    with open("/proc/self/status") as file:
        return [int(line.split()[1]) for line in file if line.startswith(name + ":")][0] * 1024

folder, size = sys.argv[1], int(sys.argv[2])
store = holdfast.open(folder + "/large")
prod = store.namespace("bench")
prod.flows.register("/large.yaml", FLOW)
move = {"command": 'cd "$DIREKTIV_TEMPDIR" && mv x out/workflow/y && echo 1', "shell": True}
actions = {"door": "127.0.0.1:0", "folder": folder + "/large-functions"}
piece = bytes(1 << 20)
with Engine(store, Functions.from_settings({"move": move}, actions)) as engine:
    for count in (1, size >> 20):
        prod.workflow("/large.yaml").put_chunks("x", (piece for _ in range(count)))
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak begins anew
        before = status("VmRSS")
        engine.run(prod, "/large.yaml")
    assert prod.workflow("/large.yaml").record("y").size == size
    print(json.dumps(status("VmHWM") - before))
store.close()
"""


def _ten_states() -> str:
    """Five times a getter and a setter, of a variable each."""
    states = []
    for number in range(_STATES // 2):
        get, put = f"get{number}", f"set{number}"
        following = f"  transition: get{number + 1}\n" if number < _STATES // 2 - 1 else ""
        states.append(
            f"- id: {get}\n  type: getter\n  variables: [{{key: v{number}, scope: workflow}}]\n  transition: {put}\n"
            f"- id: {put}\n  type: setter\n"
            f"  variables: [{{key: v{number}, scope: workflow, value: 'jq(.var.v{number} + 1)'}}]\n{following}"
        )
    return "states:\n" + "".join(states)


def _bare(scope: holdfast.Scope) -> None:
    """The same reads and writes."""
    for number in range(_STATES // 2):
        key = f"b{number}"
        value = json.loads(scope.get_bytes(key)) if scope.exists(key) else 0
        scope.put_chunks(key, [json.dumps(value + 1).encode()], content_type="application/json")


def _in_turns(count: int, *works: Callable[[], object]) -> list[list[float]]:
    """Milliseconds of each."""
    for work in works:
        work()
    times: list[list[float]] = [[] for _ in works]
    for _ in range(count):
        for work, taken in zip(works, times, strict=True):
            began = time.perf_counter()
            work()
            taken.append((time.perf_counter() - began) * 1e3)
    return times


def _states(engine: Engine, namespace: holdfast.Scope, quick: bool) -> list[Result]:
    namespace.flows.register("/ten.yaml", _ten_states())
    bare = partial(_bare, namespace.workflow("/ten.yaml"))
    times = _in_turns(20 if quick else 200, partial(engine.run, namespace, "/ten.yaml"), bare)
    ours, theirs = map(statistics.median, times)
    detail = f"{ours:.2f} ms, the same reads and writes {theirs:.2f} ms; mean {statistics.fmean(times[0]):.2f} ms"
    return [Result("a flow of 10 getters and setters adds", ours - theirs, "ms", 5.0, True, detail)]


def _counter(engine: Engine, namespace: holdfast.Scope, quick: bool) -> list[Result]:
    namespace.flows.register("/counter.yaml", _COUNTER)
    namespace.flows.register("/nothing.yaml", _NOTHING)
    results = []
    count = 100 if quick else 1000
    for name, path, goal in (("a counter", "/counter.yaml", 200.0), ("nothing", "/nothing.yaml", None)):
        engine.run(namespace, path)
        began = time.perf_counter()
        for _ in range(count):
            engine.run(namespace, path)
        rate = count / (time.perf_counter() - began)
        results.append(Result(f"flows that run {name}, one by one", rate, "a second", goal, False, f"of {count:,}"))
    lost = count + 1 - int(namespace.workflow("/counter.yaml").get_bytes("x"))
    return [*results, Result("counts lost", lost, "", 0.0, True, f"of {count + 1:,}")]


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "1")
        self.end_headers()
        self.wfile.write(b"1")

    def log_message(self, *message: object) -> None:
        pass


@contextmanager
def _service() -> Iterator[int]:
    """A service that answers 1, at this port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


def _asked(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/", b"{}")
    connection.getresponse().read()
    connection.close()


def _ran() -> None:
    subprocess.run(["/bin/sh", "-c", _SCRIPT], input=b"{}", capture_output=True, check=True)


def _calls(store: holdfast.Store, namespace: holdfast.Scope, folder: Path, quick: bool) -> list[Result]:
    """The flow without a call is taken off as well: what is left is the call's own."""
    results = []
    with _service() as port:
        settings: dict[str, Any] = {
            "command": {"command": _SCRIPT, "shell": True}, "service": {"url": f"http://127.0.0.1:{port}/"},
        }  # fmt: skip
        actions = {"door": "127.0.0.1:0", "folder": str(folder / "functions")}
        with Engine(store, Functions.from_settings(settings, actions)) as engine:
            for name, bare in (("command", _ran), ("service", partial(_asked, port))):
                namespace.flows.register(f"/{name}.yaml", _CALLING.format(name))
                flows = [partial(engine.run, namespace, path) for path in (f"/{name}.yaml", "/nothing.yaml")]
                flow, nothing, alone = map(statistics.median, _in_turns(10 if quick else 100, *flows, bare))
                detail = f"flow {flow:.2f} ms; without a call {nothing:.2f} ms; {name} alone {alone:.2f} ms"
                added = flow - nothing - alone
                results.append(Result(f"calling a function, a {name}, adds", added, "ms", 10.0, True, detail))
    return results


def _large(folder: Path, quick: bool) -> list[Result]:
    size = (64 << 20) if quick else (1 << 30)
    began = time.perf_counter()
    words = [sys.executable, "-c", _LARGE, str(folder), str(size)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    detail = f"peak above the start; {time.perf_counter() - began:.1f} s with the process and the making of the bytes"
    what = f"{size >> 20:,} MB to a function and back, memory"
    return [Result(what, json.loads(done.stdout) / (1 << 20), "MB", 64.0, True, detail)]


def run(folder: Path, quick: bool) -> list[Result]:
    """All figures of this part."""
    with holdfast.open(folder / "store") as store:
        namespace = store.namespace("bench")
        with Engine(store) as engine:
            results = [*_states(engine, namespace, quick), *_counter(engine, namespace, quick)]
        results += _calls(store, namespace, folder, quick)
    return [*results, *_large(folder, quick)]
