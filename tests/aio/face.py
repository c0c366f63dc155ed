"""``store.aio`` behind a synchronous face, so that what tests a store tests its asynchronous colour: each call runs in
a loop of its own thread, and is waited for.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, MutableMapping
from typing import Any

import holdfast
from holdfast.aio.artifact import AsyncMetadata
from holdfast.aio.files import AsyncFile, Opening
from holdfast.aio.transaction import AsyncAtomic
from holdfast.aio.verbs import Colour

__all__ = ["Face", "LoopThread", "opener"]


class _Drained(list[Any]):
    """What an asynchronous iterator gave."""


class LoopThread:
    """A loop that runs in a thread until it is closed."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, make: Callable[[], Any]) -> Any:
        """What ``make()`` gives, called in the loop, awaited or drained if it can be."""

        async def settled() -> Any:
            found = make()
            if isinstance(found, AsyncIterator) and not isinstance(found, AsyncFile):
                return _Drained([item async for item in found])
            return await found if hasattr(found, "__await__") else found

        return asyncio.run_coroutine_threadsafe(settled(), self.loop).result()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


async def _one_by_one(pieces: Iterable[Any]) -> AsyncIterator[Any]:
    items = iter(pieces)
    end = object()
    while (piece := await asyncio.to_thread(next, items, end)) is not end:
        yield piece


class Face:
    """Something asynchronous, with synchronous methods of the same names."""

    def __init__(self, thread: LoopThread, thing: Any) -> None:
        self._thread = thread
        self._thing = thing

    def _shown(self, thing: Any) -> Any:
        if isinstance(thing, AsyncMetadata):
            return _Metadata(self._thread, thing)
        if isinstance(thing, Colour | AsyncAtomic | AsyncFile | Opening):
            return Face(self._thread, thing)
        return map(self._shown, thing) if isinstance(thing, _Drained) else thing

    def _call(self, make: Callable[[], Any]) -> Any:
        return self._shown(self._thread.run(make))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._thing, name)
        if not callable(found):
            return self._call(lambda: found)

        def verb(*arguments: Any, **options: Any) -> Any:
            arguments = tuple(_bare(argument) for argument in arguments)
            if name == "put_chunks":
                arguments = (arguments[0], _one_by_one(arguments[1]))
            return self._call(lambda: found(*arguments, **{key: _bare(value) for key, value in options.items()}))

        return verb

    def __iter__(self) -> Iterator[Any]:
        found: Iterator[Any] = self._call(lambda: aiter(self._thing))
        return found

    def __enter__(self) -> Any:
        found = self._call(lambda: self._thing.__aenter__())
        return self if found._thing is self._thing else found

    def __exit__(self, *how: Any) -> None:
        self._call(lambda: self._thing.__aexit__(*how))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Face) and self._thing == other._thing

    def __hash__(self) -> int:
        return hash(self._thing)

    def __repr__(self) -> str:
        return f"<face of {self._thing!r}>"


class _Metadata(MutableMapping[str, Any]):
    def __init__(self, thread: LoopThread, thing: AsyncMetadata) -> None:
        self._thread = thread
        self._thing = thing

    def __getitem__(self, key: str) -> Any:
        return self._thread.run(lambda: self._thing[key])

    def __setitem__(self, key: str, value: Any) -> None:
        self._thread.run(lambda: self._thing.merge({key: value}))

    def __delitem__(self, key: str) -> None:
        self._thread.run(lambda: self._thing.remove(key))

    def __iter__(self) -> Iterator[str]:
        return iter(self._thread.run(self._thing.read))

    def __len__(self) -> int:
        return len(self._thread.run(self._thing.read))


def _bare(thing: Any) -> Any:
    return thing._thing if isinstance(thing, Face) else thing


def opener(thread: LoopThread, **settings: Any) -> Callable[[str], Any]:
    """What opens the store of a folder, its asynchronous colour behind a synchronous face."""
    return lambda folder: Face(thread, holdfast.open(folder, **settings).aio)
