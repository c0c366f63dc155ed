"""Threads and processes do what every executor does."""

from __future__ import annotations

from typing import ClassVar

import pytest

from holdfast import executors
from holdfast.executors import Executor

from .suite import ExecutorSuite


class _Local(ExecutorSuite):
    memory: ClassVar[str] = "local"

    @classmethod
    def first(cls, request: pytest.FixtureRequest) -> Executor:
        return executors.open(cls.name, workers=2)

    def opened(self, executor: Executor) -> Executor:
        return executors.open(self.name, workers=1)


class TestThreads(_Local):
    name: ClassVar[str] = "threads"
    separate: ClassVar[bool] = False


class TestProcesses(_Local):
    name: ClassVar[str] = "processes"
    nests: ClassVar[bool] = False
