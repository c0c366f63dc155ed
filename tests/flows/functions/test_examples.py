"""The worked functions in ``examples/functions``: one job, in three languages."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdfast.flows.functions import Functions

from .acting import World, failing, file, tar

EXAMPLES = Path(__file__).parents[3] / "examples" / "functions"
SERVICES = {"python": [sys.executable, "texts.py"], "node": ["node", "texts.mjs"]}


@contextmanager
def configured(world: World, language: str) -> Iterator[Functions]:
    """The functions of the examples, with the service of this language running."""
    settings = tomllib.loads((EXAMPLES / "functions.toml").read_text())["functions"]
    name = f"examples/texts-{language}"
    assert name in settings
    process = None
    try:
        if language in SERVICES:
            process = subprocess.Popen([*SERVICES[language], "0"], cwd=EXAMPLES, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            settings[name]["url"] = process.stdout.readline().split()[-1]
        actions = {"door": "127.0.0.1:0", "folder": str(world.folder)}
        with Functions.from_settings(settings, actions, folder=str(EXAMPLES)) as functions:
            yield functions
    finally:
        if process is not None:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


@pytest.mark.parametrize("language", ["python", "node", "shell"])
def test_an_example(world: World, language: str) -> None:
    texts = tar(("a.txt", b"pear plum\napple\n"), ("b.txt", b"two\none\n"), ("deep/a.txt", b"not looked at\n"))
    world.put("namespace", "texts", texts)
    files = [file("texts", type="tar", scope="namespace")]
    with configured(world, language) as functions:
        name = f"examples/texts-{language}:v1"
        assert functions.check(name) is None
        for _ in range(2):
            assert functions.call(world.action(name, *files, input={"any": "input"})) == {"texts": 2, "words": 5}
        assert world.get("workflow", "summary.txt") == b"2 texts, 5 words\n"
        sorted_texts = world.action("show", file("sorted", type="tar.gz", scope="workflow"))
        show = world.functions(
            {"show": {"command": 'cd "$DIREKTIV_TEMPDIR/sorted" && cat a.txt b.txt >&2', "shell": True}}
        )
        show.call(sorted_texts)
        assert world.lines[-4:] == ["apple", "pear plum", "one", "two"]
        with failing("texts.none", "nothing in texts/"):
            functions.call(world.action(name, file("none", "texts", "tar", "namespace")))


def test_the_configuration_of_the_examples_is_legal() -> None:
    functions = Functions.from_toml(EXAMPLES / "functions.toml")
    assert [functions.check(f"examples/texts-{name}") for name in ("python", "node", "shell")] == [None] * 3
