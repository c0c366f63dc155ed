"""Pages that list what another system does have a test for each part, with the number of the part in its name."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

from .pages import DOCS

TESTS = Path(__file__).parents[1]
PAGES = {"viktor.md": "v", "labox.md": "l", "coming-from-direktiv.md": "d"}

_ROW = re.compile(r"^\| ([A-Z])(\d+) \| \S", re.MULTILINE)
_TEST = re.compile(r"^(?:async )?def test_((?:[a-z]\d+_)+)", re.MULTILINE)


def rows(page: str) -> list[tuple[str, int]]:
    """Letter and number of each part that a page lists."""
    return [(letter.lower(), int(number)) for letter, number in _ROW.findall((DOCS / page).read_text("utf-8"))]


def numbers_in_names() -> dict[str, set[int]]:
    """The numbers in the names of tests, by their letters."""
    found: dict[str, set[int]] = defaultdict(set)
    for path in TESTS.rglob("test_*.py"):
        for numbers in _TEST.findall(path.read_text("utf-8")):
            for part in numbers.strip("_").split("_"):
                found[part[0]].add(int(part[1:]))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_each_part_has_its_test_and_the_other_way_round(page: str) -> None:
    found = rows(page)
    numbers = [number for letter, number in found if letter == PAGES[page]]
    assert len(numbers) > 10
    assert numbers == list(range(numbers[0], numbers[0] + len(found)))
    assert set(numbers) == numbers_in_names()[PAGES[page]]
