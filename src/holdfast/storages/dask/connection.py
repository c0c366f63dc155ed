"""Which client of Dask is in force in this process, and work done on its loop."""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from ...errors import HoldfastError, MissingExtraError, StorageFullError, StoreError
from .configs import Session
from .probe import listens
from .room import Room

__all__ = ["TIMEOUT", "Link", "connect", "current", "existing", "release"]

T = TypeVar("T")

TIMEOUT = 30.0
"""Seconds that a cluster may take for an answer."""
_SLOW = 2 << 20
"""Bytes a second that a transfer may always take."""
_NOT_REACHED = 600.0
"""Seconds for which a network that does not lead to the workers is believed not to."""
_START = (
    "start one in this process (distributed.Client(...)), name its scheduler (DASK_SCHEDULER_ADDRESS, or "
    "holdfast.storages.dask.connect(address)), or run the work with holdfast.executors"
)


class Link:
    """A connection of a client to one scheduler.

    Attributes:
        client: the client of Dask's.
        comm: the client's stream to the scheduler; another one after a loss of the connection.
        scheduler: id of the scheduler.
        address: its own address.
        held: keys that readers of streams hold, and how many of them.
    """

    def __init__(self, client: Any, comm: Any, scheduler: str, address: str) -> None:
        self.client = client
        self.comm = comm
        self.scheduler = scheduler
        self.address = address
        self.room = Room()
        self.held: Counter[str] = Counter()
        self._indirect_until = 0.0

    def __repr__(self) -> str:
        return f"<Link to {self.address}>"

    @property
    def worker(self) -> Any:
        """The worker whose task runs here, if its loop is the client's; None if there is none."""
        worker = _worker() or _only_worker()
        return worker if worker is not None and worker.loop is self.client.loop else None

    @property
    def session(self) -> Session:
        """What ends with this scheduler."""
        return Session.of(self.address, self.scheduler)

    @property
    def inside(self) -> bool:
        """Whether the cluster is in this process, and gives objects instead of bytes."""
        return self.address.startswith("inproc://")

    @property
    def direct(self) -> bool:
        """Whether to talk to workers directly: half the way."""
        asked = self.client.direct_to_workers
        return bool(asked) if asked is not None else time.monotonic() >= self._indirect_until

    def go_round(self) -> None:
        """Note that workers cannot be reached from here."""
        self._indirect_until = time.monotonic() + _NOT_REACHED

    def run(self, work: Callable[[], Awaitable[T]], size: int = 0) -> T:
        """Do something on the client's loop, and wait for it.

        Args:
            size: bytes that travel by it.

        Raises:
            StoreError: the cluster does not answer in time, or failed.
        """
        return _run(self.client, work, size, self.address)

    def call(self, verb: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Call one of the client's own verbs from this thread, whichever way the client works.

        Raises:
            StoreError: the cluster does not answer in time, or failed.
        """
        _refuse_loop(self.client)
        try:
            return verb(*arguments, **options, asynchronous=False, callback_timeout=TIMEOUT)
        except TimeoutError as error:
            raise _late(self.address, TIMEOUT) from error
        except OSError as error:
            raise StoreError(f"the Dask cluster at {self.address} failed: {error}") from error

    def later(self, work: Callable[[], object]) -> None:
        """Do something on the client's loop, if that still runs, and wait for nothing."""
        with suppress(RuntimeError):
            self.client.loop.asyncio_loop.call_soon_threadsafe(work)

    def is_at(self, scheduler: str, address: str) -> bool | None:
        """Whether that scheduler is the one at an address; None where it does not say."""

        async def ask() -> bool:
            reply = await asyncio.wait_for(self.client.rpc(address).identity(), 2)
            return bool(reply["id"] == scheduler)

        if _on_loop(self.client):
            return None  # it would wait for itself
        try:
            return self.run(ask)
        except StoreError:
            return None


def _on_loop(owner: Any) -> bool:
    try:
        return asyncio.get_running_loop() is owner.loop.asyncio_loop
    except RuntimeError:
        return False


def _late(address: str, seconds: float) -> StoreError:
    return StoreError(f"the Dask cluster at {address} did not answer within {seconds:.0f} seconds")


def _refuse_loop(owner: Any) -> None:
    """
    Raises:
        StoreError: this is the loop of that client or worker.
    """
    if _on_loop(owner):
        raise StoreError(
            "the memory of the Dask cluster was called on the event loop of its own client or worker, which would wait "
            "for itself: use store.aio, or await asyncio.to_thread(...)"
        )


def _run(client: Any, work: Callable[[], Awaitable[T]], size: int, address: str) -> T:
    _refuse_loop(client)
    loop = client.loop.asyncio_loop
    if not _runs(loop):
        raise StoreError(f"the Dask client of {address} has no running event loop: it was closed, so make another")
    seconds = TIMEOUT + size / _SLOW

    async def in_time() -> T:
        return await asyncio.wait_for(work(), seconds)

    future = asyncio.run_coroutine_threadsafe(in_time(), loop)
    try:
        return future.result(seconds + 5)
    except HoldfastError:
        raise
    except TimeoutError as error:
        raise _late(address, seconds) from error
    except MemoryError as error:
        raise StorageFullError(f"a process of the Dask cluster at {address} has no memory left") from error
    except Exception as error:
        raise StoreError(f"the Dask cluster at {address} failed: {type(error).__name__}: {error}") from error
    finally:
        future.cancel()


def _runs(loop: Any) -> bool:
    """Whether a loop runs in a thread of this process: after a fork it looks so, but its thread is the parent's."""
    thread = getattr(loop, "_thread_id", None)
    return bool(loop.is_running()) and (thread is None or any(one.ident == thread for one in threading.enumerate()))


# --- the client in force ---------------------------------------------------------------------------------------------

_lock = threading.RLock()
_links: weakref.WeakKeyDictionary[Any, Link] = weakref.WeakKeyDictionary()
_clients: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()  # of workers
_given: str | None = None
_made: Any = None
_users: weakref.WeakSet[object] = weakref.WeakSet()
_inherited: list[Any] = []


def connect(address: str | None) -> None:
    """Name the scheduler that this process uses where it has no client of Dask's; None takes that back."""
    global _given
    with _lock:
        _close_made()
        _given = address


def current(user: object) -> Link:
    """The connection in force: of the worker whose task this is, else of the current client, else of a client made
    for a configured address, which is closed when all its users have said :func:`release`.

    Raises:
        MissingExtraError: Dask's distributed scheduler is not installed.
        StoreError: there is no cluster, or it does not answer.
    """
    client = _find() or _make(user)
    link = _links.get(client)
    if link is not None and client.scheduler_comm is link.comm and client.status == "running":
        return link
    _wait(client)
    comm = client.scheduler_comm
    address = client.scheduler.address

    async def ask() -> Any:
        return await client.scheduler.identity()

    identity = _run(client, ask, 0, address)
    link = Link(client, comm, identity["id"], identity["address"])
    with _lock:
        _links[client] = link
    return link


def existing() -> Link | None:
    """The connection in force, if it was used before and is not lost; nothing is begun for it."""
    if "distributed" not in sys.modules:
        return None
    try:
        client = _find(make=False) or _made
    except HoldfastError:
        return None
    link = None if client is None else _links.get(client)
    lost = link is None or link.client.status != "running" or link.client.scheduler_comm is not link.comm
    return None if lost else link


def release(user: object) -> None:
    """Somebody needs no client any more that was made for its like."""
    with _lock:
        _users.discard(user)
        if not _users:
            _close_made()


def _load() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise MissingExtraError(
            'memory of a Dask cluster needs dask and distributed: pip install "holdfast[dask]"'
        ) from error
    return distributed


def _worker() -> Any:
    """The worker whose task runs in this thread; None if there is none."""
    try:
        worker = _load().get_worker()
    except ValueError:
        return None
    return None if any(worker is one for one in _inherited) else worker


def _only_worker() -> Any:
    """The worker of this process, if it has one: a thread that a task began knows of none."""
    running = [one for one in list(_load().Worker._instances) if one.status.name == "running"]
    return running[0] if len(running) == 1 and not any(running[0] is one for one in _inherited) else None


def _find(make: bool = True) -> Any:
    """The client that this process has; None if it has none. Workers may have to ``make`` theirs."""
    worker = _worker()
    if worker is not None:
        return _client_of(worker, make)
    try:
        client = _load().Client.current()
    except ValueError:
        worker = _only_worker()
        return None if worker is None else _client_of(worker, make)
    if any(client is one for one in _inherited):
        raise StoreError(
            "this process was forked from one that has a client of Dask's, which only that one can use: make a client "
            "here too (distributed.Client(address)), or start processes by spawn"
        )
    return client


def _client_of(worker: Any, make: bool) -> Any:
    client = _clients.get(worker)
    if make and (client is None or client.status == "closed"):
        _refuse_loop(worker)  # where it would never be connected
        client = _clients[worker] = worker._get_client(timeout=TIMEOUT)
    return client


def _make(user: object) -> Any:
    global _made
    distributed = _load()
    import dask

    with _lock:
        _users.add(user)
        if _made is not None and _made.status != "closed":
            return _made
        address = _given or dask.config.get("scheduler-address", None)
        if not address:
            raise StoreError(f"no Dask cluster is in use here: {_START}")
        try:
            _made = distributed.Client(address, set_as_default=False, timeout=TIMEOUT, name="holdfast")
        except (OSError, ValueError) as error:
            raise StoreError(f"no Dask scheduler answers at {address} ({error}): {_START}") from error
        return _made


def _wait(client: Any) -> None:
    """Until a client is connected."""
    deadline = time.monotonic() + TIMEOUT
    while client.status != "running" or client.scheduler_comm is None:
        address = client.scheduler.address if client.scheduler else "its scheduler"
        if client.status in ("closing", "closed"):
            raise StoreError(f"the Dask client of {address} is closed: {_START}")
        if _on_loop(client) or not _runs(client.loop.asyncio_loop):
            raise StoreError(f"the Dask client of {address} is not connected yet: await it first")
        if client.scheduler and listens(client.scheduler.address) is False:
            raise StoreError(f"nothing listens at {address} any more: the Dask cluster has ended. {_START}")
        if time.monotonic() > deadline:
            raise StoreError(f"the Dask client of {address} was not connected within {TIMEOUT:.0f} seconds")
        time.sleep(0.05)


def _close_made() -> None:
    global _made
    client, _made = _made, None
    if client is not None:
        client.close(timeout=2)


def _after_fork_in_child() -> None:
    """The parent's clients and workers stay referred to: their finalizers would speak on the parent's connections.
    Where Dask puts large messages together, the threads are the parent's too; a client of the child's own needs some.
    """
    global _lock, _made
    _lock = threading.RLock()
    distributed: Any = sys.modules.get("distributed")
    if distributed is not None:
        _inherited.extend(getattr(distributed.Client, "_instances", ()))
        _inherited.extend(getattr(distributed.Worker, "_instances", ()))
        if hasattr(distributed.utils, "_offload_executor"):
            from concurrent.futures import ThreadPoolExecutor

            distributed.utils._offload_executor = ThreadPoolExecutor(1, "Dask-Offload")
    _links.clear()
    _clients.clear()
    _users.clear()
    _made = None


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_close_made)
