"""A program that kills a service while it runs flows, again and again, and looks each time at what is there then:
``python -m tests.service.flow_kills FOLDER KILLS SEED``.

Each instance sets a variable that is large, calls a command which leaves two files and a directory, all with the number
of the instance, and adds 1 to a variable that is atomic. So what lies there tells whether anything was stored in part,
lost, or done twice.
"""

from __future__ import annotations

import io
import json
import random
import sys
import tarfile
import threading
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from subprocess import Popen
from typing import Any

from .direktiv import base64
from .talk import Client, process_of

NUMBERS, BYTES = 20_000, 100_000  # more than the catalog takes itself
SENDERS = 3

FLOW = f"""
functions: [{{id: work, image: work}}]
atomic: [{{scope: workflow, key: count}}]
states:
- id: a
  type: setter
  variables: [{{key: large, scope: namespace, value: 'jq(.n as $n | [range({NUMBERS}) | $n])'}}]
  transition: b
- id: b
  type: action
  action: {{function: work, input: 'jq({{n: .n}})'}}
  transition: c
- id: c
  type: getter
  variables: [{{key: count, scope: workflow}}]
  transform: 'jq({{count: ((.var.count // 0) + 1)}})'
  transition: d
- id: d
  type: setter
  variables: [{{key: count, scope: workflow, value: jq(.count)}}]
"""
COMMAND = f"""
cd "$DIREKTIV_TEMPDIR/out/namespace" && yes "$(cat)" | head -c {BYTES} > first
mkdir tree && cp first tree/in && cp first second && echo '{{}}'
"""
BASE = "/api/v2/namespaces"


class Lost(AssertionError):
    """Something is not as it must be."""


def must(true: object, told: object) -> None:
    if not true:
        raise Lost(told)


def ask(client: Client, method: str, path: str, body: Any = None) -> Any:
    reply = client.ask(method, BASE + path, body)
    must(reply.status == 200, (method, path, reply.status, reply.body))
    return reply.json if reply.body else None


def instances(client: Client, **query: str) -> list[dict[str, Any]]:
    """All of them, page by page."""
    found: list[dict[str, Any]] = []
    more = "".join(f"&{name}={value}" for name, value in query.items())
    while page := ask(client, "GET", f"/prod/instances?offset={len(found)}{more}")["data"]:
        found += page
    return found


def value(client: Client, name: str, **query: str) -> bytes | None:
    more = "".join(f"&{key}={text}" for key, text in query.items())
    reply = client.ask("GET", f"{BASE}/prod/variables?raw=true&name={name}{more}")
    must(reply.status in (200, 404), reply)
    return reply.body if reply.status == 200 else None


def look(client: Client, sent: set[str]) -> int:
    """What a service that was killed left: nothing runs. Gives how many crashed."""
    found = {each["id"]: each for each in instances(client)}
    must(not sent - found.keys(), f"instances that are not there: {sent - found.keys()}")
    states = {each["status"] for each in found.values()}
    must(states <= {"complete", "crashed"}, states)
    large = json.loads(value(client, "large") or b"[]")
    must(len(set(large)) <= 1 and len(large) in (0, NUMBERS), "a variable is torn")
    first, second, tree = (value(client, name) for name in ("first", "second", "tree"))
    must((first is None) == (second is None) == (tree is None), "the output of an action is there in part")
    if first is not None and tree is not None:
        with tarfile.open(fileobj=io.BytesIO(tree)) as archive:
            inside = archive.extractfile("in")
            must(inside is not None and inside.read() == first == second, "outputs of two actions are mixed")
        must(len(first) == BYTES and len(set(first.split(b"\n")[:-1])) == 1, "a file is torn")
    return sum(each["status"] == "crashed" for each in found.values())


def go_on(client: Client) -> None:
    """Go on with what crashed, and wait for its end: then each has counted, and only once."""
    for each in instances(client, status="crashed"):
        ask(client, "PATCH", f"/prod/instances/{each['id']}", {"status": "pending"})
    end = time.monotonic() + 60
    while instances(client, status="pending"):
        must(time.monotonic() < end, "an instance does not come to its end")
        time.sleep(0.02)
    found = instances(client)
    must({each["status"] for each in found} <= {"complete"}, [each for each in found if each["status"] != "complete"])
    counted = int(value(client, "count", workflowPath="/work.yaml") or b"0")
    must(counted == len(found), f"{counted} after {len(found)} instances")


def send(url: Client, sent: set[str], numbers: Any, ended: threading.Event) -> None:
    """Start one instance after the other, and remember those of which it was told that they began."""
    client = Client(f"http://{url.host}:{url.port}")
    with suppress(OSError, Exception):
        while not ended.is_set():
            wait = random.random() < 0.3
            reply = client.ask(
                "POST", f"{BASE}/prod/instances?path=work.yaml&wait={str(wait).lower()}", {"n": next(numbers)}
            )
            if reply.status == 200:
                sent.add(reply.headers["direktiv-instance-id"])
    client.close()


def once(process: Popen[str], client: Client, sent: set[str], numbers: Any, dice: random.Random) -> tuple[int, bool]:
    """A service's life: look, go on, work, and be killed. Gives how many had crashed, and whether it was killed while
    it went on with them."""
    crashed = look(client, sent)
    if crashed and dice.random() < 0.2:
        killer = threading.Timer(dice.uniform(0, 0.3), process.kill)
        killer.start()
        with suppress(OSError, Exception):
            go_on(client)
        killer.join()
        process.wait()
        return crashed, True
    go_on(client)
    ended = threading.Event()
    senders = [threading.Thread(target=send, args=(client, sent, numbers, ended)) for _ in range(SENDERS)]
    before = len(sent)
    for sender in senders:
        sender.start()
    end = time.monotonic() + (30 if dice.random() < 0.9 else 0)
    while len(sent) == before and time.monotonic() < end:
        time.sleep(0.005)
    time.sleep(dice.uniform(0.0, 0.6))
    process.kill()
    ended.set()
    for sender in senders:
        sender.join(30)
    process.wait()
    return crashed, False


def main(folder: Path, kills: int, seed: int) -> None:
    dice, numbers = random.Random(seed), count(1)
    sent: set[str] = set()
    toml = folder / "functions.toml"
    toml.write_text(
        f"[functions.work]\ncommand = '''{COMMAND}'''\nshell = true\n"
        f"[actions]\ndoor = '127.0.0.1:0'\nfolder = '{folder / 'actions'}'\n"
    )
    resumed = again = 0
    for life in range(kills + 1):
        with process_of(str(folder / "store"), "--functions", str(toml), "--quiet") as (process, client):
            if not life:
                ask(client, "POST", "", {"name": "prod"})
                ask(client, "POST", "/prod/files", {"name": "work.yaml", "type": "workflow", "data": base64(FLOW)})
            if life == kills:
                resumed += look(client, sent)
                go_on(client)
            else:
                crashed, broken = once(process, client, sent, numbers, dice)
                resumed, again = resumed + crashed, again + broken
    print(json.dumps({"instances": len(sent), "crashed": resumed, "killed while going on": again}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
