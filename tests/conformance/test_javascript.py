"""The JavaScript client in Node, against real services: its own tests, the example of its page, and the kit."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

import holdfast
from tests.docs.pages import blocks

from .services import JAVASCRIPT, Served, run, served
from .test_kit import NEED_NONE, NEED_TOKENS, _passes


def test_its_own_tests_pass(guarded: Served) -> None:
    assert guarded.main is not None
    done = run(
        ["node", "--test", "--test-timeout=20000", JAVASCRIPT / "holdfast.test.mjs"],
        HOLDFAST_URL=guarded.url,
        HOLDFAST_TOKEN=guarded.main,
    )
    assert done.returncode == 0, done.stdout
    passed = re.search(r"^. pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) >= 26


def test_the_example_of_its_page_is_true(guarded: Served, tmp_path: Path) -> None:
    assert guarded.main is not None
    code = "".join(block.code for block in blocks((JAVASCRIPT / "README.md").read_text()) if block.language == "js")
    shutil.copy(JAVASCRIPT / "holdfast.mjs", tmp_path)
    program = tmp_path / "example.mjs"
    program.write_text(code, encoding="utf-8")
    done = run(["node", program], HOLDFAST_URL=guarded.url, HOLDFAST_TOKEN=guarded.main)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == re.findall(r"// -> (.*)$", code, re.MULTILINE)


RESTARTED = """
import { open } from "./holdfast.mjs";
const store = open(process.env.HOLDFAST_URL);
const run = store.scope("namespace:prod");
await run.put("first", 1);
const waiting = store.request("GET", "/v1/changes/namespace:prod?wait=0.7"); // takes the only place that there is
await new Promise((resolve) => setTimeout(resolve, 200));
console.log((await run.put("second", 2)).key); // 503 busy, and then done
console.log((await waiting).status);
for await (const change of run.changes({ after: 0, wait: 1 })) {
  console.log(change.address);
  if (change.address.endsWith("third")) break;
}
"""


@pytest.mark.long
def test_it_goes_on_after_a_restart_and_waits_for_a_crowded_service(tmp_path: Path) -> None:
    shutil.copy(JAVASCRIPT / "holdfast.mjs", tmp_path)
    program = tmp_path / "program.mjs"
    program.write_text(RESTARTED, encoding="utf-8")
    with ExitStack() as stack:
        with served(tmp_path / "store", "--max-requests", "1", tokens=False) as crowded:
            node = stack.enter_context(subprocess.Popen(
                ["node", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                env={**os.environ, "HOLDFAST_URL": crowded.url},
            ))  # fmt: skip
            stack.callback(node.kill)
            assert node.stdout is not None
            told = [node.stdout.readline().strip() for _ in range(4)]
            assert told == ["second", "204", "namespace:prod/first", "namespace:prod/second"], node.communicate()
        with holdfast.open(tmp_path / "store") as store:
            store.namespace("prod").put("third", 3)  # while the service is away
        with served(tmp_path / "store", "--port", crowded.url.rpartition(":")[2], tokens=False):
            said, errors = node.communicate(timeout=20)
    assert (said.splitlines()[-1:], errors) == (["namespace:prod/third"], "")


def test_the_kit_passes_in_node(plain: Served) -> None:
    done = run(["node", JAVASCRIPT / "conformance.mjs", *plain.options()])
    _passes(done.stdout + done.stderr, NEED_TOKENS | {"foreign-host"})


def test_the_kit_passes_in_node_with_tokens(guarded: Served) -> None:
    done = run(["node", JAVASCRIPT / "conformance.mjs", *guarded.options(), "--only", "sign-in"])
    assert done.returncode == 0, done.stdout
    assert {line.split()[1].rstrip(":") for line in done.stdout.splitlines() if line.startswith("- ")} == NEED_NONE
