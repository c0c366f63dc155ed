"""A program that runs flows in a process which it kills, again and again, and looks each time at what is there then:
``python -m tests.flows.kills STORE KILLS SEED``.

One instance runs at a time. Each adds 1 four times to a variable, and writes another that is large; so the number of
instances says what they must be, if no setter was lost or done twice.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import holdfast
from holdfast.flows.engine import Engine

from .callers import Calls

TIMES = 4
PATH = "/work.yaml"
COPIES = 20_000  # more than the catalog takes itself

FLOW = (
    "functions: [{id: echo, image: echo}]\nstates:\n"
    + "".join(
        f"""
- id: get{n}
  type: getter
  log: step {n}
  variables: [{{key: count, scope: workflow}}, {{key: own, scope: instance}}]
  transform: 'jq({{count: ((.var.count // 0) + 1), own: ((.var.own // 0) + 1)}})'
  transition: set{n}
- id: set{n}
  type: setter
  variables:
  - {{key: count, scope: workflow, value: jq(.count)}}
  - {{key: own, scope: instance, value: jq(.own)}}
  - {{key: large, scope: namespace, value: 'jq(.count as $n | [range({COPIES}) | $n])'}}
  transition: call{n}
- id: call{n}
  type: action
  action: {{function: echo, input: {{n: jq(.count)}}}}
  transition: get{n + 1}
"""
        for n in range(TIMES)
    )
    + f"- {{id: get{TIMES}, type: noop, transform: {{count: jq(.count), own: jq(.own)}}}}\n"
)


def forked(work: Any, *arguments: Any) -> int:
    """Do something in a fork of this process, which has nothing open; gives its id."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            work(*arguments)
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    return process


def run(store: str, ids: Path) -> None:
    """Run one instance after the other, and write down the id of each."""
    with holdfast.open(store) as opened, ids.open("a") as file:
        namespace, engine = opened.namespace("prod"), Engine(opened, Calls())
        while True:
            id = engine.start(namespace, PATH)
            file.write(f"{id}\n")
            file.flush()
            engine.wait(namespace, id)


def look(store: str, ids: Path, crashes: Path) -> None:
    """Look at what a killed process left, and go on with it."""
    with holdfast.open(store) as opened:
        namespace, engine = opened.namespace("prod"), Engine(opened, Calls())
        known = engine.instances(namespace)
        found = {info.id: info for info in known.page()[1]}
        lost = set(ids.read_text().split()) - found.keys() if ids.exists() else set()
        assert not lost, f"instances that are not there: {lost}"
        crashed = [info for info in found.values() if info.status != "complete"]
        assert len(crashed) <= 1, crashed
        large = json.loads(namespace.get_bytes("large")) if namespace.exists("large") else []
        assert len(set(large)) <= 1, "a variable is torn"
        assert len(large) in (0, COPIES)
        for info in crashed:
            assert info.status == "crashed", info
            engine.resume(namespace, info.id)
            assert engine.wait(namespace, info.id, 60)["own"] == TIMES
            with crashes.open("a") as file:
                file.write(f"{info.state}\n")
        count = int(namespace.workflow(PATH).get_bytes("count")) if found else 0
        assert count == TIMES * len(found), f"{count} after {len(found)} instances"
        for info in found.values():
            assert engine.instances(namespace).get(info.id).status == "complete"
            assert not list(namespace.instance(info.id).keys())
        lines = [[line.text for line in known.log(info.id)] for info in crashed]
        assert all(each[-1] == "complete" and "resumed" in each for each in lines), lines
        engine.close()


def main(store: str, kills: int, seed: int) -> None:
    dice = random.Random(seed)
    ids, crashes = Path(f"{store}.ids"), Path(f"{store}.crashes")

    def begin() -> None:
        with holdfast.open(store) as opened:
            opened.namespace("prod").flows.register(PATH, FLOW)

    assert os.waitpid(forked(begin), 0)[1] == 0
    for _ in range(kills):
        known = ids.stat().st_size if ids.exists() else 0
        process = forked(run, store, ids)
        end = time.monotonic() + (30 if dice.random() < 0.9 else 0)
        while time.monotonic() < end and (ids.stat().st_size if ids.exists() else 0) == known:
            time.sleep(0.002)
        time.sleep(dice.uniform(0.0, 0.3))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        assert os.waitpid(forked(look, store, ids, crashes), 0)[1] == 0
    resumed = crashes.read_text().split() if crashes.exists() else []
    print(json.dumps({"instances": len(ids.read_text().split()), "resumed": len(resumed), "at": sorted(set(resumed))}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
