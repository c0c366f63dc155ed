"""Which tests of the suites are for the quick run."""

from __future__ import annotations

from pathlib import Path

import pytest

QUICK = ("TestValue", "TestArrowFile", "TestPandas", "TestPandasArrow")
"""What these write is asked of another process at each run: that takes seconds, as it imports what they are for."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        here = item.name == "test_another_process_writes_the_same" and item.path.parent == Path(__file__).parent
        if here and item.parent is not None and item.parent.name not in QUICK:
            item.add_marker(pytest.mark.long)
