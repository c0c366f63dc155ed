"""Nothing grows past what one can read: files, functions, and the whole."""

from __future__ import annotations

import ast
import io
import tokenize
from collections import Counter
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "holdfast"

FILE_LINES = 600
FUNCTION_LINES = 60
KERNEL_LINES, VIEW_LINES, FACE_LINES = 6_500, 2_800, 2_000
"""Of code, for the kernel with the contracts, for each view, and for each face; decision 0029."""
PLUGGED = ("catalog", "serializers", "storages")
"""Rooms of a contract and what implements it."""
FACES = ("compat", "service")
DIVIDED = (*FACES, "flows")
"""Folders whose folders are rooms of their own; decision 0030."""
ALLOWED: frozenset[str] = frozenset()
"""Functions that may be longer, as ``path:name``; empty, and meant to stay so."""


def long_files(source: Path) -> list[str]:
    counts = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sorted(source.rglob("*.py"))}
    return [f"{path.relative_to(source)}: {lines} lines" for path, lines in counts.items() if lines > FILE_LINES]


def long_functions(source: Path) -> list[str]:
    found = []
    for path in sorted(source.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                name = f"{path.relative_to(source)}:{node.name}"
                if lines > FUNCTION_LINES and name not in ALLOWED:
                    found.append(f"{name}: {lines} lines")
    return found


def test_files_are_short() -> None:
    assert long_files(SOURCE) == []


def test_functions_are_short() -> None:
    assert long_functions(SOURCE) == []


def _is_plugin(path: Path) -> bool:
    """Whether it is of what implements a contract, as any package could bring it from outside; decision 0024."""
    room, *inside = path.relative_to(SOURCE).parts
    return room in PLUGGED and inside[0] not in ("base", "base.py", "asynchronous.py")


_LAYOUT = (
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER,
)  # fmt: skip


def code_lines(text: str) -> int:
    """How many lines have code: blank ones, comments and docstrings aside."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def rooms(source: Path) -> dict[str, int]:
    """Lines of code by room: "kernel" for files beside the rooms, and for the contracts."""
    lines: Counter[str] = Counter()
    for path in source.rglob("*.py"):
        above = path.relative_to(source).parts[:-1]
        if "testing" in above or (above and _is_plugin(path)):
            continue
        room = "kernel" if not above or above[0] in PLUGGED else "/".join(above[: 1 + (above[0] in DIVIDED)])
        lines[room] += code_lines(path.read_text(encoding="utf-8"))
    return lines


def test_every_room_is_small() -> None:
    counts = rooms(SOURCE)
    assert counts["kernel"] > 1_000
    bounds = {room: FACE_LINES if room.startswith(FACES) else VIEW_LINES for room in counts}
    bounds["kernel"] = KERNEL_LINES
    assert {room: lines for room, lines in counts.items() if lines > bounds[room]} == {}


def test_only_code_counts() -> None:
    text = '"""One."""\n\n# two\nx = """\na\n"""  # three\n\n'
    text += 'def f():\n    """Four.\n\n    Five.\n    """\n    return (\n        x)\n'
    assert code_lines(text) == 6


def test_long_ones_are_caught(tmp_path: Path) -> None:
    body = "    x = 1\n" * FUNCTION_LINES
    (tmp_path / "a.py").write_text(f"class A:\n  async def f(self):\n{body}\ndef g():\n{body[10:]}")
    (tmp_path / "b.py").write_text("\n" * (FILE_LINES + 1))
    assert long_functions(tmp_path) == [f"a.py:f: {FUNCTION_LINES + 1} lines"]
    assert long_files(tmp_path) == [f"b.py: {FILE_LINES + 1} lines"]
