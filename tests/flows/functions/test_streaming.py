"""A variable of 1 GB goes to a function and back, and the memory of this process hardly notices."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, sys, threading, time, uuid
import holdfast
from holdfast.flows.functions import Functions
from holdfast.flows.functions.action import Action, File
from holdfast.flows.place import Place

size = int(sys.argv[2])
piece = bytes(range(256)) * 4096

def peak():
    with open("/proc/self/status") as file:
        return [int(line.split()[1]) for line in file if line.startswith("VmHWM:")][0] * 1024

store = holdfast.open(sys.argv[1] + "/store")
place = Place(store.namespace("prod").create(), "/a.yaml", str(uuid.uuid4()))
door = 'url="$DIREKTIV_VAR_URL?aid=$DIREKTIV_ACTIONID&scope=workflow&key="; '
functions = Functions.from_settings(
    {
        "move": {"command": 'cd "$DIREKTIV_TEMPDIR" && mv x out/workflow/y && echo 1', "shell": True},
        "door": {"command": door + 'curl -sf "${url}y" | curl -sf -X POST -T - "${url}z" >&2 && echo 1', "shell": True},
        "pack": {"command": 'cd "$DIREKTIV_TEMPDIR/out/workflow" && mkdir d && mv ../../x d && echo 1', "shell": True},
        "size": {"command": 'wc -c < "$DIREKTIV_TEMPDIR/d/x"', "shell": True},
    },
    {"door": "127.0.0.1:0", "folder": sys.argv[1] + "/functions"},
)
lines = []

def call(name, *files):
    return functions.call(Action(name, None, files, 0, 900, place, lines.append, threading.Event()))

def fill(scope, key, count):
    scope.put_chunks(key, (piece for _ in range(count)), content_type="application/x-large")

scope = place.scope("workflow")
fill(scope, "x", 4)
fill(scope, "y", 4)
x, d = File("x", "workflow", "x", "plain", None), File("d", "workflow", "d", "tar.gz", None)
found = {}
for count in (4, size >> 20):
    fill(scope, "x", count)
    for name, files in (("move", [x]), ("door", []), ("pack", [x]), ("size", [d])):
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak begins anew
        before, began = peak(), time.monotonic()
        result = call(name, *files)
        found[name] = (peak() - before, time.monotonic() - began, result)
sizes = [scope.record(key).size for key in "yz"]
functions.close()
print(json.dumps({"found": found, "sizes": sizes, "lines": lines}))
"""


def measured(folder: Path, size: int) -> dict[str, tuple[int, float, int]]:
    """Bytes of memory, seconds and result, by what was done with ``size`` bytes."""
    run = [sys.executable, "-c", PROGRAM, str(folder), str(size)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["sizes"] == [size, size], told
    found: dict[str, tuple[int, float, int]] = told["found"]
    assert {name: result for name, (_, _, result) in found.items()} == {"move": 1, "door": 1, "pack": 1, "size": size}
    for name, (memory, seconds, _) in found.items():
        print(f"{name}: {memory / 2**20:.1f} MB, {seconds:.1f} s")
    return found


def test_memory_does_not_grow_with_the_size(tmp_path: Path) -> None:
    assert max(memory for memory, _, _ in measured(tmp_path, 48 << 20).values()) < 32 << 20


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_gigabyte_takes_less_than_64_megabytes(tmp_path: Path) -> None:
    assert max(memory for memory, _, _ in measured(tmp_path, 1 << 30).values()) < 64 << 20
