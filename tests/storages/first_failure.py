"""A pytest plugin: of each class the tests run up to the first that fails."""

from __future__ import annotations

import pytest

_failed: set[type] = set()


def pytest_runtest_setup(item: pytest.Function) -> None:
    if item.cls in _failed:
        pytest.skip("this class has failed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function, call):
    report = yield
    if report.failed and item.cls is not None:
        _failed.add(item.cls)
    return report
