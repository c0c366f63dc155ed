"""Values in the memory of an executor, which end with its session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["in_force", "using_memory"]

in_force: ContextVar[str | None] = ContextVar("holdfast_memory", default=None)
"""Which memory ``tier="memory"`` means here, one of :data:`~holdfast.config.MEMORIES`; executors set it where their
tasks run. None: the one that the store was opened with."""


@contextmanager
def using_memory(memory: str) -> Iterator[None]:
    """A block in which that memory is in force."""
    token = in_force.set(memory)
    try:
        yield
    finally:
        in_force.reset(token)
