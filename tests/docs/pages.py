"""Reading the documents: their code blocks, links and headings, and running the blocks as a reader would.

What a page may say in a comment at the end of a Python statement, and the runner then checks:

* ``# -> 42``: the expression's value is equal to this, or its ``str`` or ``repr`` is this text;
* ``# raises NotFoundError``: the statement, with the blocks around it that end with it, raises this error (or a
  subclass of it).

A block of shell runs when its first word is ``holdfast``, ``curl``, ``umask`` or ``mkdir``, or begins with ``URL=``. A
command of it may end in ``# exit 3``, its exit code, or in ``# -> text``, all that it prints on stdout. ``holdfast
serve`` is started in the background, on a port that is free, which later blocks are given in place of the one that the
page names; it ends with the page. So is a program of ``examples/``, by ``python3`` or ``node``, whose last argument is
a port, and whose first line ends in its URL; a page that names that folder finds a copy of it. A block of ``js`` is run
by Node beside a copy of the JavaScript client; what it prints is what its lines promise by ``// -> text``, in order.
"""

from __future__ import annotations

import ast
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
INDEX = DOCS / "README.md"

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (?P<title>.+)$", re.MULTILINE)
_PROMISE = re.compile(r"#\s*(?P<kind>->|raises)\s*(?P<text>.+)$")
_EXIT = re.compile(r"\s*#\s*exit (?P<code>\d+)\s*$")
_PRINTS = re.compile(r"\s*(?:#|//)\s*-> (?P<text>.+)$")
_SERVE = "holdfast serve"
_STARTED = (_SERVE, "python3 examples/", "node examples/")
EXAMPLES = ROOT / "examples"
CLIENT = ROOT / "clients" / "javascript" / "holdfast.mjs"


class Block(NamedTuple):
    """A fenced block: language, code and the line of the page where its code begins."""

    language: str
    code: str
    line: int


class Broken(AssertionError):
    """A page says what is not so."""


def runnable_pages() -> list[Path]:
    """The front page and the pages of docs/."""
    return [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def all_pages() -> list[Path]:
    """Every document of the repository."""
    return [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start("code")) + 1
        yield Block(found["language"], found["code"], line)


def prose(text: str) -> str:
    """A page without its blocks and inline code."""
    return re.sub(r"`[^`\n]*`", "", _FENCE.sub("", text))


def links(text: str) -> list[str]:
    """The relative targets that a page links to."""
    targets = [found["target"] for found in _LINK.finditer(prose(text))]
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(text: str) -> set[str]:
    """The fragments of a page's headings."""
    titles = [found["title"] for found in _HEADING.finditer(_FENCE.sub("", text))]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def dead_links(page: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    dead = []
    for target in links(page.read_text(encoding="utf-8")):
        name, _, fragment = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (fragment and fragment not in anchors(path.read_text(encoding="utf-8"))):
            dead.append(target)
    return dead


# --- running ----------------------------------------------------------------------------------------------------------


def runs(block: Block) -> bool:
    """Whether a block is run; others are for the eye."""
    first = block.code.split(maxsplit=1)[0] if block.code.strip() else ""
    return block.language in ("python", "js") or (
        block.language == "sh"
        and (first in ("holdfast", "curl", "umask", "mkdir") or block.code.startswith(("URL=", *_STARTED)))
    )


def run_page(text: str, folder: Path, where: str) -> int:
    """Run the blocks of a page in order, in one namespace and in ``folder``; gives how many there were."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    count = 0
    before = os.getcwd()
    os.chdir(folder)
    if f"{EXAMPLES.name}/" in text:
        shutil.copytree(EXAMPLES, EXAMPLES.name)
    urls: dict[str, str] = {}
    with ExitStack() as services:
        services.callback(os.chdir, before)
        services.callback(_close, namespace)
        for block in filter(runs, blocks(text)):
            for shown, real in urls.items():
                block = block._replace(code=block.code.replace(shown, real))
            if block.language == "python":
                run_python(block, namespace, where)
            elif block.language == "js":
                run_javascript(block, where)
            elif block.code.startswith(_STARTED):
                urls |= dict(services.enter_context(_service(line)) for _, line in _commands(block.code))
            else:
                run_shell(block, where)
            count += 1
    return count


@contextmanager
def _service(command: str) -> Iterator[tuple[str, str]]:
    """A service that runs meanwhile: its URL as the page has it, and the one that it has here."""
    words = shlex.split(command)
    ours = words[:2] == _SERVE.split()
    if ours:
        port = words[words.index("--port") + 1] if "--port" in words else "8080"
        words = [sys.executable, "-m", "holdfast", *words[1:], "--port", "0", "--json"]
    else:
        port = words.pop()
        words = [sys.executable if words[0] == "python3" else words[0], *words[1:], "0"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment()
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise Broken(f"{command}: {process.communicate()[1]}")
            url = json.loads(line)["url"] if ours else line.split()[-1].rstrip("/")
            yield f"http://127.0.0.1:{port}", url.replace("0.0.0.0", "127.0.0.1")
        finally:
            process.terminate()
            told = process.communicate(timeout=30)[1]
    if process.returncode and (ours or process.returncode != -signal.SIGTERM):
        raise Broken(f"{command} ended with {process.returncode}: {told}")


def _close(namespace: dict[str, Any]) -> None:
    import holdfast

    for value in list(namespace.values()):
        if isinstance(value, holdfast.Store):
            value.close()


def _promises(code: str) -> dict[int, tuple[str, str]]:
    """By line: what a comment promises."""
    found = {}
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        match = _PROMISE.match(token.string) if token.type == tokenize.COMMENT else None
        if match:
            found[token.start[0]] = (match["kind"], match["text"].strip())
    return found


def run_python(block: Block, namespace: dict[str, Any], where: str) -> None:
    """Run one block and check what its comments promise."""
    checks = _Checks(_promises(block.code), where, block.line - 1)
    tree = checks.visit(ast.parse(block.code))
    left = checks.promises.keys() - checks.kept
    if left:
        raise Broken(f"{checks.place(min(left))}: this comment stands behind no statement that can keep it")
    ast.increment_lineno(tree, block.line - 1)
    namespace.update(_has_value=_has_value, _raises=_raises)
    exec(compile(ast.fix_missing_locations(tree), where, "exec"), namespace)


class _Checks(ast.NodeTransformer):
    """Puts the checks into the code: the outermost statement that ends in a line may be said to raise, the innermost
    expression to have a value."""

    def __init__(self, promises: dict[int, tuple[str, str]], where: str, above: int) -> None:
        self.promises = promises
        self.kept: set[int] = set()
        self._where = where
        self._above = above

    def place(self, line: int) -> str:
        return f"{self._where}:{self._above + line}"

    def visit(self, node: ast.AST) -> Any:
        if not isinstance(node, ast.stmt):
            return self.generic_visit(node)
        line = node.end_lineno or 0
        kind, text = self.promises.get(line, ("", ""))
        about: list[ast.expr] = [ast.Constant(text), ast.Constant(self.place(line))]
        if kind == "raises" and line not in self.kept:
            self.kept.add(line)
            self.generic_visit(node)
            check = ast.withitem(ast.Call(ast.Name("_raises", ast.Load()), about, []))
            return ast.copy_location(ast.With([check], [node]), node)
        if kind == "->" and isinstance(node, ast.Expr):
            self.kept.add(line)
            names: list[ast.expr] = [ast.Call(ast.Name(name, ast.Load()), [], []) for name in ("globals", "locals")]
            node.value = ast.Call(ast.Name("_has_value", ast.Load()), [node.value, *about, *names], [])
            return node
        return self.generic_visit(node)


def _has_value(value: Any, text: str, place: str, outer: dict[str, Any], inner: dict[str, Any]) -> None:
    if text in (repr(value), str(value)):
        return
    try:
        expected = eval(text, {**outer, **inner})
    except (SyntaxError, NameError):
        expected = _has_value  # equal to nothing that a page shows
    if type(expected) is not type(value) or expected != value:
        raise Broken(f"{place}: the page says {text}, it is {value!r}")


@contextmanager
def _raises(name: str, place: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if name in [kind.__name__ for kind in type(error).__mro__]:
            return
        raise
    raise Broken(f"{place}: the page says that this raises {name}, it does not")


def run_shell(block: Block, where: str) -> None:
    """Run the commands of one block by bash, one after the other, and check their exit codes and what they print."""
    script = ["set -u"]
    for number, line in _commands(block.code):
        stated = _EXIT.search(line)
        code = int(stated["code"]) if stated else 0
        command = _EXIT.sub("", line)
        printed = _PRINTS.search(command)
        place = f"{where}:{block.line + number}"
        if printed:
            wanted = shlex.quote(printed["text"])
            script += [
                f"printed=$({_PRINTS.sub('', command)})\nfound=$?",
                f"""[ "$printed" = {wanted} ] || {{ echo '{place}: prints' "$printed" >&2; exit 99; }}""",
            ]
        else:
            script.append(f"{command}\nfound=$?")
        script.append(f"[ $found = {code} ] || {{ echo '{place}: exit' $found, not {code} >&2; exit 99; }}")
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)], capture_output=True, text=True, env=_environment(), timeout=100
    )
    if done.returncode:
        raise Broken(f"{done.stderr}\n{done.stdout}")


def _environment() -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    return environment


def run_javascript(block: Block, where: str) -> None:
    """Run one block by Node in the working folder, with the client beside it, and check what it prints."""
    shutil.copy(CLIENT, CLIENT.name)
    program = Path("example.mjs")
    program.write_text(block.code, encoding="utf-8")
    done = subprocess.run(["node", program], capture_output=True, text=True, env=_environment(), timeout=60)
    if done.returncode:
        raise Broken(f"{where}:{block.line}: {done.stderr}")
    wanted = [found["text"] for line in block.code.splitlines() if (found := _PRINTS.search(line))]
    if done.stdout.splitlines() != wanted:
        raise Broken(f"{where}:{block.line}: the page says {wanted}, it prints {done.stdout.splitlines()}")


def _commands(code: str) -> Iterator[tuple[int, str]]:
    """Commands with the number of their line; a backslash at its end, or an open quote, goes on to the next."""
    lines = code.split("\n")
    number = 0
    while number < len(lines):
        begin, line = number, lines[number]
        while line.endswith("\\"):
            number += 1
            line = line[:-1] + lines[number].strip()
        while not line.startswith("#") and line.count("'") % 2 and number + 1 < len(lines):
            number += 1
            line += "\n" + lines[number]
        number += 1
        if line.strip() and not line.startswith("#"):
            yield begin, line
