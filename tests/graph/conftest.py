"""A scope to run graphs in, and executors, each opened once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import holdfast
from holdfast import executors


@pytest.fixture
def scope(tmp_path: Path) -> Iterator[holdfast.Scope]:
    with holdfast.open(tmp_path / "store") as store:
        yield store.namespace("prod").workflow("forecast")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture(scope="session")
def threads() -> Iterator[executors.Executor]:
    executor = executors.open("threads", workers=2)  # not by `with`, whose memory would be in force in all tests
    yield executor
    executor.close()


@pytest.fixture(scope="session")
def processes() -> Iterator[executors.Executor]:
    executor = executors.open("processes", workers=2)
    yield executor
    executor.close()


@pytest.fixture(params=["threads", "processes"])
def executor(request: pytest.FixtureRequest) -> executors.Executor:
    found: executors.Executor = request.getfixturevalue(request.param)
    return found
