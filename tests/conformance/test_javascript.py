"""The JavaScript client in Node, against real services: its own tests, the example of its page, and the kit."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.docs.pages import blocks

from .services import JAVASCRIPT, Served, run
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
    assert int(passed[1]) >= 18


def test_the_example_of_its_page_is_true(guarded: Served, tmp_path: Path) -> None:
    assert guarded.main is not None
    (code,) = [block.code for block in blocks((JAVASCRIPT / "README.md").read_text()) if block.language == "js"]
    shutil.copy(JAVASCRIPT / "holdfast.mjs", tmp_path)
    program = tmp_path / "example.mjs"
    program.write_text(code, encoding="utf-8")
    done = run(["node", program], HOLDFAST_URL=guarded.url, HOLDFAST_TOKEN=guarded.main)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == re.findall(r"// -> (.*)$", code, re.MULTILINE)


def test_the_kit_passes_in_node(plain: Served) -> None:
    done = run(["node", JAVASCRIPT / "conformance.mjs", *plain.options()])
    _passes(done.stdout + done.stderr, NEED_TOKENS | {"foreign-host"})


def test_the_kit_passes_in_node_with_tokens(guarded: Served) -> None:
    done = run(["node", JAVASCRIPT / "conformance.mjs", *guarded.options(), "--only", "sign-in"])
    assert done.returncode == 0, done.stdout
    assert {line.split()[1].rstrip(":") for line in done.stdout.splitlines() if line.startswith("- ")} == NEED_NONE
