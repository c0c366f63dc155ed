"""What is done in the background, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, Self, TypeVar

__all__ = ["TaskFuture", "Tasks"]

T = TypeVar("T")


class TaskFuture(Generic[T]):
    """What a task comes to."""

    def __init__(self, task: asyncio.Task[T]) -> None:
        self._task = task

    @property
    def exception(self) -> BaseException | None:
        """The error that it ended with, None while there is none."""
        if not self._task.done():
            return None
        return asyncio.CancelledError() if self._task.cancelled() else self._task.exception()

    @property
    def value(self) -> T:
        """What it gave.

        Raises:
            RuntimeError: it goes on still.
            BaseException: its own error.
        """
        if not self._task.done():
            raise RuntimeError("this goes on still: it is done at the end of the block")
        return self._task.result()


class Tasks:
    """A block at whose end all that was begun in it has ended. One that fails leaves the others alone; the errors come
    together, as a group. An error of the block itself cancels them."""

    doing: str

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[Any]] = []

    def _begin(self, work: Coroutine[Any, Any, T]) -> TaskFuture[T]:
        self._tasks.append(asyncio.create_task(work))
        return TaskFuture(self._tasks[-1])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        tasks, cancelled = self._tasks, error is not None
        while any(not task.done() for task in tasks):
            for task in tasks if cancelled else ():
                task.cancel()
            try:
                await asyncio.wait(tasks)
            except asyncio.CancelledError as end:
                cancelled, error = True, error or end
        if error is None:
            errors = [failed for task in tasks if (failed := TaskFuture(task).exception) is not None]
            if errors:
                raise BaseExceptionGroup(f"failed to {self.doing} {len(errors)} of {len(tasks)} items", errors)
        elif kind is None:
            raise error
