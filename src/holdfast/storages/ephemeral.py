"""The contract of memories: storages of which all ends with a session."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ..payload import Buffer, Payload
from .base import GetDigest, Storage

__all__ = ["ENDING", "SESSIONS", "EphemeralStorage"]

SESSIONS = frozenset(("shm:", "ray:", "dask:"))
"""The URLs of memories: of no machine in particular, as each machine and each cluster has its own."""

ENDING = SESSIONS | {"memory:"}
"""These, and the URL of what ends with a process."""


class EphemeralStorage(Storage):
    """Memory that several processes share for as long as a *session* lasts: of the processes of one machine that use
    it, of a Ray cluster, of a Dask cluster.

    One object serves one store, whose id it is made with, and what is written by it ends with the session that it is
    in at that time. Each config names its session, and is never given twice. Bytes of another session, of one that
    has ended, or that had to make room, are gone: :class:`~holdfast.errors.ValueLost`.

    What several writers left that died before their record was committed ends with the session, or is found by
    :meth:`~holdfast.storages.base.Storage.abandoned`.

    Attributes:
        url: how the catalog knows it, one of :data:`SESSIONS`.
        far: whether :meth:`alive` may have to ask through a network.
        nearby: what ``tier="memory"`` calls it: ``local``, ``ray``, ``dask``.
    """

    ephemeral: ClassVar[bool] = True
    url: ClassVar[str]
    far: ClassVar[bool] = True
    nearby: ClassVar[str]

    def __init__(self, store: str, *, size: int | None = None, folder: str | None = None) -> None:
        """Nothing is begun before it is needed.

        Args:
            store: id of the store that it serves.
            size: bytes that may be kept at a time, where that can be said; None for what seems right.
            folder: where, in place of the usual one, if it is a place of this machine.
        """

    @abstractmethod
    def write(
        self,
        payload: Payload,
        get_digest: GetDigest,
        tags: Mapping[str, str],
        *,
        sync: bool = False,
        lasting: bool = False,
    ) -> Any:
        """See :meth:`Storage.write <holdfast.storages.base.Storage.write>`. What is ``lasting`` makes nothing else go
        for want of room, and does not go for others: a :class:`~holdfast.errors.StorageFullError` instead."""

    @abstractmethod
    def session(self) -> str:
        """The session that is written to now: begun or joined, if need be. Printable ASCII without blanks, of at most
        200 characters, which no other session ever has.

        Raises:
            MissingExtraError: the engine is not installed.
            StoreError: it is not there, or does not answer; the message says how to start it.
        """

    @abstractmethod
    def alive(self, session: str) -> bool:
        """Whether that session lasts. Cheap, and True where it cannot be told from here; never starts an engine."""

    @abstractmethod
    def view(self, config: Any, size: int) -> Sequence[Buffer]:
        """The bytes without a copy, where they need none: the buffers that were written, or some of them joined, in
        their order and ``size`` bytes together. They stay as they are for as long as anybody has them.

        Raises:
            ValueLost: they are gone.
        """

    def keep(self, value: Any) -> Any | None:
        """Take a value that cannot or should not become bytes, such as a collection that is spread over a cluster,
        and give its config; None for one that is to be serialised, as all are by default."""
        return None

    def fetch(self, config: Any) -> Any:
        """The value of a config that :meth:`keep` gave.

        Raises:
            ValueLost: it is gone.
        """
        raise NotImplementedError(f"{self.name} keeps no values as they are")
