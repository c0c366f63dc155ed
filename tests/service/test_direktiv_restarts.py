"""A service that ends, or is killed, while it runs flows: what was begun is finished, or told of and gone on with."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest

from .direktiv import base64, of
from .flows import DELAY, until
from .talk import Client, Reply, process_of

ROOT = Path(__file__).parents[2]
BASE = "/api/v2/namespaces/prod"
CALL = "functions: [{id: f, image: work}]\nstates:\n- {id: a, type: action, action: {function: f}}\n"
WORK = "if [ -e %s ]; then echo '{}'; else trap : TERM; touch out/namespace/x; sleep 3; sleep 3; fi"


@contextmanager
def serving(folder: Path, *words: str) -> Iterator[tuple[Popen[str], Client]]:
    """A service in a process of its own, whose only function takes long, and does not end when it is told to, until
    there is the file ``go``."""
    toml = folder / "functions.toml"
    work = WORK % (folder / "go")
    toml.write_text(
        f"[functions.work]\ncommand = '''cd $DIREKTIV_TEMPDIR && {work}'''\nshell = true\n"
        f"[actions]\ndoor = '127.0.0.1:0'\nfolder = '{folder / 'actions'}'\n"
    )
    with process_of(str(folder / "store"), "--functions", str(toml), *words) as found:
        yield found


def prepare(client: Client, text: str) -> None:
    client.ask("POST", "/api/v2/namespaces", {"name": "prod"})
    body = {"name": "flow.yaml", "type": "workflow", "data": base64(text)}
    assert client.ask("POST", f"{BASE}/files", body).status == 200


def start(client: Client) -> str:
    return str(client.ask("POST", f"{BASE}/instances?path=flow.yaml").json["data"]["id"])


def status(client: Client, id: str) -> str:
    return str(client.get(f"{BASE}/instances/{id}").json["data"]["status"])


def wait(client: Client) -> Reply:
    """Run an instance over a connection of its own."""
    own = Client(f"http://{client.host}:{client.port}")
    try:
        return own.ask("POST", f"{BASE}/instances?path=flow.yaml&wait=true")
    finally:
        own.close()


def folders(folder: Path) -> list[Path]:
    """What is left of actions."""
    return [path for path in (folder / "actions").iterdir() if path.is_dir()]


@pytest.mark.parametrize("resume", [False, True])
def test_what_a_killed_service_left_is_told_of_cleaned_up_and_gone_on_with(tmp_path: Path, resume: bool) -> None:
    with serving(tmp_path) as (process, client):
        prepare(client, CALL)
        id = start(client)
        until(lambda: list((tmp_path / "actions").glob("*/*/out/namespace/x")))
        process.kill()
        process.wait()
    assert len(folders(tmp_path)) == 1
    (tmp_path / "go").touch()
    with serving(tmp_path, *(["--resume"] if resume else [])) as (process, client):
        assert process.stderr is not None
        told = next(line for line in process.stderr if "crashed" in line)
        assert id in told
        if not resume:
            assert folders(tmp_path) == []
            assert status(client, id) == "crashed"
            assert client.get(f"{BASE}/variables?name=x").json["data"] == []
            assert client.ask("PATCH", f"{BASE}/instances/{id}", {"status": "pending"}).status == 200
        until(lambda: status(client, id) == "complete")
        assert client.get(f"{BASE}/variables?name=x").json["data"] == []


def test_what_others_wrote_in_a_namespace_keeps_no_instance_of_another_from_being_gone_on_with(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, client):
        prepare(client, DELAY % "0.1")
        id = start(client)
        until(lambda: status(client, id) == "complete")
        facts = client.get(f"/v1/values/namespace:prod/run:{id}/instance?as=json").json
        client.ask("POST", "/api/v2/namespaces", {"name": "before"})
        pending = {**facts, "status": "pending", "runner": None}
        forged = [{"status": "pending"}, pending, {**pending, "path": 3}, {**pending, "definition": 3}]
        for number, wrong in enumerate(forged):
            own = f"00000000-0000-0000-0000-{number:012}"
            wrong |= {"id": own} if number else {}
            assert client.put(f"/v1/values/namespace:before/run:{own}/instance", wrong).status == 201
        id = start(client)
        process.kill()
        process.wait()
    with serving(tmp_path, "--resume") as (process, client):
        until(lambda: status(client, id) == "complete")
        assert process.stderr is not None
        assert any(f"{forged[3]['id']} in namespace:before is not gone on with" in line for line in process.stderr)


def test_a_service_that_is_told_to_end_lets_flows_end(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, client), ThreadPoolExecutor(1) as pool:
        prepare(client, DELAY % "1")
        waiting = pool.submit(wait, client)
        id = start(client)
        until(lambda: len(client.get(f"{BASE}/instances").json["data"]) == 2)
        process.send_signal(signal.SIGTERM)
        assert (waiting.result(20).status, waiting.result().json) == (200, {"done": True})
        assert process.wait(20) == 0
    with serving(tmp_path) as (_, client):
        assert status(client, id) == "complete"


def test_what_does_not_end_in_time_is_stopped_and_can_be_gone_on_with(tmp_path: Path) -> None:
    with serving(tmp_path, "--shutdown-time", "1") as (process, client), ThreadPoolExecutor(1) as pool:
        prepare(client, CALL)
        waiting = pool.submit(wait, client)
        id = start(client)
        until(lambda: len(list((tmp_path / "actions").glob("*/*/out/namespace/x"))) == 2)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        reply = waiting.result(20)
        assert (reply.status, reply.code) == (503, "closed")
        assert process.wait(20) == 0
        assert time.monotonic() - began < 6
        assert process.stderr is not None
        assert "2 instances of flows were stopped" in process.stderr.read()
    (tmp_path / "go").touch()
    with serving(tmp_path) as (_, client):
        other = reply.headers["direktiv-instance-id"]
        for each in (id, other):
            found = client.get(f"{BASE}/instances/{each}").json["data"]
            assert (found["status"], "resumed" in of(found["errorMessage"]).decode()) == ("crashed", True)
            assert client.ask("PATCH", f"{BASE}/instances/{each}", {"status": "pending"}).status == 200
        until(lambda: status(client, id) == status(client, other) == "complete")


@pytest.mark.parametrize("kills", [4, pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(1800)])])
def test_kills_at_random_moments(tmp_path: Path, kills: int) -> None:
    """No variable is torn, no output of an action stored in part, and every instance accounted for."""
    command = [sys.executable, "-m", "tests.service.flow_kills", str(tmp_path), str(kills), str(kills)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1780)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["instances"] >= kills / 2
    assert found["crashed"] >= kills / 4  # else it was never killed in the middle
