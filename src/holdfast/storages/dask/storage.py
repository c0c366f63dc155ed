"""The storage of a Dask cluster's memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from ...errors import InvalidArgumentError, ValueLost
from ...payload import Buffer, Payload
from ..base import OCTETS, GetDigest, Writer, check_size, check_span
from ..buffers import cut
from ..ephemeral import EphemeralStorage
from . import cluster, collections
from .configs import Config, new_name
from .connection import Link, current, release
from .liveness import Liveness
from .writing import PART, PartsWriter

__all__ = ["DaskMemory"]


class DaskMemory(EphemeralStorage):
    """Bytes on the workers of a Dask cluster, as the values of keys that its scheduler knows; they end with the
    scheduler, whoever put them, and with the worker that has them if that is killed: there is one copy.

    The cluster is the one of the task that runs in this thread, else of the current client, else the one whose
    address is configured (``DASK_SCHEDULER_ADDRESS``, or :func:`~holdfast.storages.dask.connect`). None is ever
    started. Bytes go to the own worker if there is one, else straight to the one with the most room, else through the
    scheduler, where workers cannot be reached from here.

    Dask's collections are kept as they are: computed by the workers, in parts, and given back lazy.

    ``size`` and ``folder`` say nothing here: the workers' own limits hold, and their own folders for what they spill.
    """

    name: ClassVar[str] = "holdfast.dask@v1"
    url: ClassVar[str] = "dask:"
    nearby: ClassVar[str] = "dask"

    def __init__(self, store: str, *, size: int | None = None, folder: str | None = None) -> None:
        self.owner = store.partition("-")[0]  # without what tells copies of it apart
        self._liveness = Liveness()

    def __repr__(self) -> str:
        return f"<DaskMemory of {self.owner or 'no store'}>"

    # --- sessions ---------------------------------------------------------------------------------------------------

    def session(self) -> str:
        """The scheduler of the cluster in force: its address and its id."""
        return str(self._link().session)

    def alive(self, session: str) -> bool:
        """Whether that scheduler is there: asked of the client in force, and else of its address (remembered for a
        second). A scheduler on another machine whose address leads nowhere is taken to be there."""
        return self._liveness.lasts(session)

    # --- bytes ------------------------------------------------------------------------------------------------------

    def write(
        self,
        payload: Payload,
        get_digest: GetDigest,
        tags: Mapping[str, str],
        *,
        sync: bool = False,
        lasting: bool = False,
    ) -> str:
        """Give a payload's buffers to a worker; ``sync`` changes nothing."""
        link = self._link()
        size = payload.size
        config = Config(link.scheduler, new_name(), size)
        worker = link.run(lambda: cluster.place(link, config.keys[0], payload.buffers, size), size)
        return str(config._replace(worker=worker))

    def writer(
        self,
        tags: Mapping[str, str],
        *,
        size: int | None = None,
        content_type: str = OCTETS,
        encoding: str | None = None,
    ) -> Writer:
        """Begin to write a stream, which goes to the workers in parts of 16 MB; ``size`` changes nothing."""
        check_size(size)
        return PartsWriter(self._link())

    def view(self, config: Any, size: int) -> Sequence[Buffer]:
        """The buffers as a worker has them. What came from another process is the caller's own and writable; what
        lies on the worker that asks is not copied, and read-only."""
        named = self._bytes(config)
        if named.size != size:
            raise ValueLost(f"{config} has {named.size} bytes, not {size}")
        link = self._link_to(named)
        return [buffer for key in named.keys for buffer in self._take(link, named, key)]

    def read(self, config: Any) -> Buffer:
        """All bytes, joined where they are several buffers."""
        named = self._bytes(config)
        link = self._link_to(named)
        buffers = [buffer for key in named.keys for buffer in self._take(link, named, key)]
        return buffers[0] if len(buffers) == 1 else b"".join(buffers)

    def read_stream(self, config: Any, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes in pieces. Of what was written as a stream, one part of 16 MB is in memory at a time; of what was
        written at once, all of it."""
        check_span(offset, length)
        named = self._bytes(config)
        link = self._link_to(named)
        assert named.size is not None
        end = named.size if length is None else min(named.size, offset + length)
        return self._parts(link, named, offset, end)

    def _parts(self, link: Link, named: Config, offset: int, end: int) -> Iterator[bytes]:
        if not named.parts:
            yield from cut(self._take(link, named, named.keys[0]), offset, end)
            return
        first, last = offset // PART, -(-end // PART)
        keys = named.keys[first:last]
        link.run(lambda: cluster.hold(link, keys))
        try:
            for number, key in enumerate(keys, first):
                start = number * PART
                yield from cut(self._take(link, named, key), max(0, offset - start), min(PART, end - start))
        finally:
            link.later(lambda: cluster.let_go(link, keys))

    @staticmethod
    def _take(link: Link, named: Config, key: str) -> list[Buffer]:
        size = min(named.size or 0, PART) if named.parts else named.size or 0
        piece, own = link.run(lambda: cluster.take(link, named, key), size)
        return list(piece.buffers) if own else piece.views()

    # --- removal ----------------------------------------------------------------------------------------------------

    def delete(self, config: Any) -> None:
        """Have the cluster forget the bytes, or the collection."""
        self.delete_many([config])

    def delete_many(self, configs: Sequence[Any]) -> None:
        """:meth:`delete` for all of them at once. Those of another scheduler are that one's."""
        named = [Config.parse(config) for config in configs]
        if not named:
            return
        link = self._link()
        mine = [one for one in named if one.scheduler == link.scheduler]
        keys = [key for one in mine for key in one.keys]
        if keys:
            link.run(lambda: cluster.release(link, keys))
        for one in mine:
            if one.size is None:
                collections.forget(link, one)

    def sync(self, configs: Sequence[Any]) -> list[bool]:
        """For each config, whether a worker has its bytes; there is no disk."""
        named = [Config.parse(config) for config in configs]
        if not named:
            return []
        link = self._link()
        keys = [key for one in named if one.scheduler == link.scheduler for key in one.keys]
        there = link.run(lambda: cluster.standing(link, keys))
        return [
            one.scheduler == link.scheduler
            and (there.issuperset(one.keys) if one.size is not None else collections.published(link, one))
            for one in named
        ]

    # --- collections ------------------------------------------------------------------------------------------------

    def keep(self, value: Any) -> str | None:
        """A collection of Dask's is computed by the workers and stays there; all else is to become bytes."""
        return str(collections.keep(self._link(), value)) if collections.is_collection(value) else None

    def fetch(self, config: Any) -> Any:
        """The collection again, of the same kind, and lazy."""
        named = Config.parse(config)
        if named.size is not None:
            raise InvalidArgumentError(f"{config} is bytes, not a Dask collection: read it")
        return collections.fetch(self._link_to(named), named)

    # --- the cluster ------------------------------------------------------------------------------------------------

    def _link(self) -> Link:
        return current(self)

    @staticmethod
    def _bytes(config: Any) -> Config:
        named = Config.parse(config)
        if named.size is None:
            raise InvalidArgumentError(f"{config} is a Dask collection, which has no bytes: fetch it")
        return named

    def _link_to(self, named: Config) -> Link:
        """The connection in force, which must be to the scheduler of a config."""
        link = self._link()
        if link.scheduler != named.scheduler:
            raise ValueLost(
                f"{named} ended with its Dask scheduler, or is on another cluster than the one in use here, which is "
                f"{link.scheduler} at {link.address}"
            )
        return link

    def close(self) -> None:
        """Close the client, if one was made for this storage; what was written stays."""
        release(self)
