"""Where objects are saved: what a session of labox' names in a Holdfast store, as a registry reads and writes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextvars import ContextVar
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from ....aio.driver import Driver, driver_of
from ....aio.stream import AsyncStream
from ....api import Scope, Store
from ....config import MEMORY, find_config
from ....errors import InvalidArgumentError
from ....kernel import Opened, shared_kernel
from ....storages.bridge import lift
from ....store import OpenKernel
from ....stream import Stream
from ....verbs import current_store
from .own_storage import OwnStorage
from .registry import Registry
from .serializer import StreamSerializer

__all__ = ["bound", "opened", "scope_of"]

opened: ContextVar[list[Any] | None] = ContextVar("opened", default=None)
"""The streams of the objects that are loaded, for who closes them; None where nobody does."""

_stores: WeakKeyDictionary[Any, Store] = WeakKeyDictionary()
"""Those beside the databases of engines."""


def scope_of(session: Any) -> Scope:
    """The scope that a session means: one that is given, that of labox in a store, or in the store beside the database
    to which a session (or an engine) of SQLAlchemy is bound.

    Raises:
        InvalidArgumentError: it is none of these.
    """
    session = getattr(session, "_sync", session)  # of either colour
    if isinstance(session, Scope):
        return session
    store = current_store() if session is None else session
    if not isinstance(store, Store):
        store = _beside(session)
    return store.scope("labox", "manifests")


def _beside(session: Any) -> Store:
    engine = session.get_bind() if hasattr(session, "get_bind") else session
    engine = getattr(engine, "sync_engine", engine)
    url: Any = getattr(engine, "url", None)
    backend = url.get_backend_name() if hasattr(url, "get_backend_name") else None
    if backend not in ("postgresql", "sqlite"):
        raise InvalidArgumentError(
            f"session is a Holdfast store or scope, or SQLAlchemy's with PostgreSQL or SQLite, not {session!r}"
        )
    store = _stores.get(engine)
    if store is None or (store._kernel.closed and not store._kernel.volatile):
        store = _stores[engine] = Store(_kernel_of(url, backend))
    return store


def _kernel_of(url: Any, backend: str) -> OpenKernel:
    if backend == "postgresql":
        place = url.set(drivername="postgresql").render_as_string(hide_password=False)
    elif url.database in (None, "", ":memory:"):
        return OpenKernel(find_config(MEMORY))
    else:
        place = f"{url.database}.holdfast"
    return shared_kernel(OpenKernel, find_config(place))


class _Bound(Registry):
    """A registry whose storages serve one store."""

    def __init__(self, registry: Registry, store: str) -> None:
        own = [thing for thing in registry._added if isinstance(thing, OwnStorage)]
        self._default = registry._default
        self._build((*registry._added, *(lift(one) if one.is_altered else one.of(store) for one in own)))


def bound(session: Any, registry: Registry) -> tuple[Scope, Driver]:
    """The scope that a session means, as a registry reads and writes it, and what runs its verbs."""
    scope = scope_of(session)
    kernel, driver = scope._kernel, driver_of(scope._kernel)

    def bind() -> tuple[Registry, Opened]:
        return _Bound(registry, kernel.catalog.store_id), partial(_opened, driver)

    return Scope(kernel.under(registry, bind), scope.path), driver


def _opened(driver: Driver, stream: Stream[Any], config: Any) -> Any:
    """What is given for a stream that was stored: an asynchronous one, to be closed by who loads it."""
    streams, serializer = opened.get(), stream._serializer
    if streams is None:
        stream.close()
        raise InvalidArgumentError("a stream is loaded with stack=AsyncExitStack(), which closes it")
    given: Any = AsyncStream(driver, stream)
    streams.append(given)
    if isinstance(serializer, StreamSerializer) and isinstance(config, list):
        encoding, content_type, text = config
        given = serializer.deserialize_data_stream(
            {
                "data_stream": _pieces(given), "content_type": content_type, "content_encoding": encoding,
                "config": serializer.deserialize_config(text),
            }
        )  # fmt: skip
        streams.append(given)
    return given


async def _pieces(stream: AsyncStream[bytes]) -> AsyncIterator[bytes]:
    async for piece in stream:
        yield piece
