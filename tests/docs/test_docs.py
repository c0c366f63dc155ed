"""The documents are true: their examples run, their links lead somewhere, and none is left out of the index."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.testing.postgresql import Server
from tests.docs.pages import (
    DOCS,
    INDEX,
    ROOT,
    Block,
    Broken,
    all_pages,
    anchors,
    blocks,
    dead_links,
    links,
    run_javascript,
    run_page,
    run_python,
    run_shell,
    runnable_pages,
    runs,
)
from tests.kernel.places import set_keys


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def servers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a page says that its reader has: a database, and a bucket with keys."""
    set_keys(monkeypatch)
    server: Server = request.getfixturevalue("postgresql")
    monkeypatch.setenv("PGPASSWORD", server.password)
    monkeypatch.setenv("DATABASE", f"{server.url().replace(f':{server.password}', '')}?schema=guide")
    endpoint = request.getfixturevalue("s3_endpoint")
    monkeypatch.setenv("BUCKET", f"s3://bucket/guide?endpoint={endpoint}&region=us-east-1")


@pytest.mark.timeout(400)  # each line of a shell is a process
@pytest.mark.parametrize("page", runnable_pages(), ids=_name)
def test_examples_run(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if page.name == "cluster.md":
        request.getfixturevalue("servers")
    text = page.read_text(encoding="utf-8")
    ran = run_page(text, tmp_path, _name(page))
    assert ran == sum(map(runs, blocks(text)))


@pytest.mark.parametrize("page", all_pages(), ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    assert dead_links(page) == []


def test_every_page_is_in_the_index() -> None:
    linked = {(DOCS / target).resolve() for target in links(INDEX.read_text(encoding="utf-8"))}
    pages = {page for page in DOCS.glob("*.md") if page != INDEX}
    assert len(pages) > 10
    assert pages - linked == set()


# --- the runner itself ------------------------------------------------------------------------------------------------


def _python(code: str) -> Block:
    return Block("python", code, 1)


@pytest.mark.parametrize(
    "code",
    [
        "1 + 1  # -> 3",
        "x = 1  # -> 1",
        "(1, 2)  # -> [1, 2]",
        "1  # raises ValueError",
        "len(\n    # -> 2\n    'a')",
        "def f():\n    1 + 1  # -> 3\nf()",
        "if True:\n    {}['a']  # raises ValueError\n    1  # raises OSError",
    ],
)
def test_an_untrue_example_is_caught(code: str) -> None:
    with pytest.raises((Broken, KeyError)):
        run_python(_python(code), {}, "page")


def test_another_error_is_not_the_one_stated() -> None:
    with pytest.raises(ZeroDivisionError):
        run_python(_python("1 / 0  # raises KeyError"), {}, "page")


def test_a_true_example_passes() -> None:
    code = "1 + 1  # -> 2\n{}['a']  # raises LookupError\n'a b'  # -> a b\nfor x in [1]:\n    x + 1  # -> 2\n"
    namespace: dict[str, object] = {}
    run_python(_python(code), namespace, "page")
    assert namespace["x"] == 1


def test_an_error_passes_through_the_blocks_around_it() -> None:
    code = (
        "left = []\ntry:\n    left.append(1)\n    raise ValueError\nfinally:\n    left.append(2)  # raises ValueError\n"
    )
    namespace: dict[str, object] = {}
    run_python(_python(code), namespace, "page")
    assert namespace["left"] == [1, 2]


@pytest.mark.parametrize("command", ["holdfast --no-such-option", "holdfast --help  # exit 3"])
def test_a_wrong_exit_code_is_caught(command: str) -> None:
    with pytest.raises(Broken):
        run_shell(Block("sh", command + "\n", 1), "page")


@pytest.mark.parametrize("command", ["echo three  # -> four", "echo three; exit 3  # -> three", "echo -n  # -> three"])
def test_what_a_command_does_not_print_is_caught(command: str) -> None:
    with pytest.raises(Broken):
        run_shell(Block("sh", command + "\n", 1), "page")


@pytest.mark.parametrize("code", ["console.log(1 + 1); // -> 3", "console.log(2);", "// -> 2", "throw new Error(2)"])
def test_an_untrue_example_of_javascript_is_caught(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Broken):
        run_javascript(Block("js", code, 1), "page")


def test_a_service_runs_for_a_page(tmp_path: Path) -> None:
    text = """
```sh
holdfast serve --store data --port 9090 --quiet
```
```sh
curl -sf http://127.0.0.1:9090/v1/values/namespace:a/b --data-binary 17 -X PUT -o answer
curl -s http://127.0.0.1:9090/v1/values/namespace:a/b  # -> 17
```
```js
import { open } from "./holdfast.mjs";
console.log(new TextDecoder().decode(await open("http://127.0.0.1:9090").scope("namespace:a").getBytes("b"))); // -> 17
```
"""
    assert run_page(text, tmp_path, "page") == 3
    assert (tmp_path / "data").is_dir()


def test_stated_exit_codes_and_continued_lines_pass() -> None:
    run_shell(Block("sh", "holdfast \\\n    --help\nfalse  # exit 1\necho a b  # -> a b\n", 1), "page")


def test_a_dead_link_is_caught(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# One `two` (three)\n[x](b.md) [y](#one-two-three) [z](#four) `[no](link)`\n")
    assert dead_links(page) == ["b.md", "#four"]
    assert anchors(page.read_text()) == {"one-two-three"}
