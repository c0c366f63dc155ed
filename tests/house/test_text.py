"""No tracked file names a path of somebody's machine, or the host of a package registry."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Built from pieces, so that this file is not found by its own search.
_FOLDERS = ["work", "root", "tmp" + "/venv", "opt" + "/wheels", "opt" + "/pypi"]
_HOSTS = [
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("registry.npmjs", "org"),
    ("deb.debian", "org"),
    ("crates", "io"),
    ("proxy.golang", "org"),
]
NEEDLES = {
    # not in the middle of another path or address, as in "docs/work/"
    "a machine's path": re.compile(r"(?<![\w.~/*-])/(?:" + "|".join(_FOLDERS) + r")(?:/|\b(?![\w.-]))"),
    "a home folder": re.compile(r"(?<![\w.~/*-])/(?:home|Users)/(?!me\b|you\b|user\b)\w"),
    "a registry's host": re.compile("|".join(re.escape(".".join(host)) for host in _HOSTS)),
    "a folder beside the repository": re.compile(re.escape(".." + "/shared")),
}


def problems(name: str, text: str) -> list[str]:
    return [
        f"{name}:{number}: {what}: {match.group()}"
        for number, line in enumerate(text.splitlines(), 1)
        for what, needle in NEEDLES.items()
        for match in needle.finditer(line)
    ]


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_tracked_files_name_no_machine() -> None:
    paths = tracked()
    assert Path(__file__) in paths
    found = [
        problem
        for path in paths
        for problem in problems(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "see /" + "work/main/src",
        "cd /" + "work",
        'open("/' + 'root/x")',
        "`/tmp/" + "venv/bin/python`",
        "/home/" + "alice/data",
        "https://files.pythonhosted" + ".org/x",
        "read .." + "/shared/a.md",
    ],
)
def test_a_planted_line_is_caught(line: str) -> None:
    assert problems("x", f"fine\n{line}") != []


@pytest.mark.parametrize(
    "line", ["namespace:prod/work/x", "docs/work/plan", "/workshop", "holdfast.open('/data/root/a')", "/rooted"]
)
def test_a_harmless_line_passes(line: str) -> None:
    assert problems("x", line) == []
