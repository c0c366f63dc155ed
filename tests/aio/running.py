"""Running a test that is a coroutine, and looking at what a store holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import holdfast

__all__ = ["awaited", "everything", "stray_files", "trickle"]

P = ParamSpec("P")


def awaited(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test in a loop of its own, in asyncio's debug mode."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs), debug=True)

    return run


async def trickle(pieces: Iterable[Any], pause: float = 0.0) -> AsyncIterator[Any]:
    """The pieces, one by one, each after a pause."""
    for piece in pieces:
        await asyncio.sleep(pause)
        yield piece


async def everything(items: AsyncIterator[Any]) -> list[Any]:
    """All that an asynchronous iterator gives."""
    return [item async for item in items]


def stray_files(store: holdfast.Store) -> list[str]:
    """Files of a store's storage that its catalog does not know of: none when nothing is under way."""
    kernel = store._kernel
    folder = Path(store.config.store, "files")
    found = {f'"{path.parent.name}/{path.name}"' for path in folder.glob("*/*") if path.name.isdecimal()}
    return sorted(found - kernel.catalog.known(kernel.storage_id, sorted(found)))
