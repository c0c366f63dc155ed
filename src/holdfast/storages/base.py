"""The contract of a storage: bytes in, a config out, and with that config the bytes again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import FileIO
from types import TracebackType
from typing import Any, ClassVar, NamedTuple

from ..errors import InvalidArgumentError
from ..payload import Buffer, Payload

__all__ = [
    "OCTETS", "Abandoned", "GetDigest", "Identity", "MappedStorage", "Storage", "Writer", "check_size", "check_span",
]  # fmt: skip

OCTETS = "application/octet-stream"
"""The content type of bytes of which no more is known."""

GetDigest = Callable[[], tuple[int, bytes]]
"""Algorithm number and digest of the bytes being written; waits until they are hashed."""


def check_span(offset: int, length: int | None) -> None:
    """Raise InvalidArgumentError unless bytes can be read from ``offset`` on, ``length`` of them or (None) all."""
    if offset < 0 or (length is not None and length < 0):
        raise InvalidArgumentError(f"offset and length are numbers of bytes, not {offset} and {length}")


def check_size(size: int | None, bits: int = 63) -> None:
    """Raise InvalidArgumentError unless a stream can have so many bytes, or (None) nobody knows how many."""
    if size is not None and not 0 <= size < 1 << bits:
        raise InvalidArgumentError(f"a stream's size is a number of bytes below 2**{bits}, not {size}")


class Identity(NamedTuple):
    """What tells that a file is still the one that was written: if all five are equal, nobody has touched it."""

    device: int
    inode: int
    size: int
    mtime: int
    ctime: int


class Writer(ABC):
    """A piece of bytes being written. Nothing is visible, and nothing stays, unless :meth:`commit` returned."""

    @abstractmethod
    def write(self, data: Buffer) -> None:
        """Append bytes."""

    @abstractmethod
    def commit(self, get_digest: GetDigest, *, sync: bool = False) -> Any:
        """Finish, and give the config that reads the bytes back. With ``sync`` they are on disk when this returns."""

    @abstractmethod
    def abort(self) -> None:
        """Discard what was written; does nothing after :meth:`commit` or another :meth:`abort`."""

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


class Storage(ABC):
    """Where bytes are. Each write makes a new piece under a new config; no piece is ever changed or replaced.

    Configs are JSON values, relative to the storage, so that a folder or bucket can be moved. All methods may be
    called from many threads and processes at once.

    Errors, the same from every storage: :class:`~holdfast.errors.ValueLost` when the bytes of a config are gone or
    are fewer than ``size``, :class:`~holdfast.errors.StorageFullError` when there is no space,
    :class:`~holdfast.errors.InvalidArgumentError` for a config that this storage cannot have given (one that leaves
    the storage's folder included), :class:`~holdfast.errors.StoreError` for other trouble with the medium.

    Attributes:
        name: permanent and unique, ``owner.what@v1``; the record of each content names it.
        ephemeral: True when what it holds ends with an executor session.
        shares: True when equal bytes may be given a config that was given before. What nobody needs there is deleted by
            the collector alone, who knows whether somebody else came to need it.
        remote: True when reading goes over a network, so that copies on the local disk pay.
        owner: the store that it serves, with its number there, set by that; "" for none yet. Several may share a place.
    """

    name: ClassVar[str]
    ephemeral: ClassVar[bool] = False
    shares: ClassVar[bool] = False
    remote: ClassVar[bool] = False
    owner: str = ""

    @abstractmethod
    def write(self, payload: Payload, get_digest: GetDigest, tags: Mapping[str, str], *, sync: bool = False) -> Any:
        """Write a payload's buffers one after the other and give its config.

        ``get_digest`` may be called after the bytes are taken (the digest is computed beside the write). Either the
        whole payload is readable when this returns, or an error is raised and nothing is left behind.
        """

    @abstractmethod
    def writer(
        self,
        tags: Mapping[str, str],
        *,
        size: int | None = None,
        content_type: str = OCTETS,
        encoding: str | None = None,
    ) -> Writer:
        """Begin to write a stream; ``size`` is the number of bytes to come, where the caller knows it, and
        ``content_type`` and ``encoding`` what they are, for storages that keep that beside them."""

    @abstractmethod
    def read(self, config: Any) -> Buffer:
        """All bytes of a config, in memory."""

    def read_sized(self, config: Any, size: int) -> Buffer:
        """:meth:`read` of what should have ``size`` bytes: a storage whose pieces others may have enlarged gives no
        more than is enough to tell."""
        return self.read(config)

    @abstractmethod
    def read_stream(self, config: Any, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes of a config in pieces of at most 4 MB, from ``offset`` on and at most ``length`` of them."""

    @abstractmethod
    def delete(self, config: Any) -> None:
        """Remove the bytes; a config that is gone already is no error. Who reads them at this moment may finish."""

    def delete_many(self, configs: Sequence[Any]) -> None:
        """:meth:`delete` for each; a storage may do several at once."""
        for config in configs:
            self.delete(config)

    def sync(self, configs: Sequence[Any]) -> list[bool]:
        """Put the bytes of these configs on disk; for each, whether they are there now (False: gone).

        The default is for storages whose bytes are kept when a write returns.
        """
        return [True] * len(configs)

    def stands(self, config: Any) -> bool:
        """Asked before bytes that this process wrote are committed: whether no collector can have taken them for those
        of a dead writer meanwhile. The default is for storages whose writers hold a lock while they live."""
        return True

    def abandoned(self) -> Iterable[Abandoned]:
        """The pieces left by writers that are dead, for the collector; none by default."""
        return ()

    def close(self) -> None:
        """Release what the storage holds open."""


class MappedStorage(Storage):
    """A storage whose bytes are local files: they can be mapped, opened and told from altered ones."""

    @abstractmethod
    def identity(self, config: Any) -> Identity | None:
        """The file as it is now; None when it is gone."""

    @abstractmethod
    def map(self, config: Any, size: int) -> memoryview:
        """A private copy-on-write map of all ``size`` bytes: writable, and the stored bytes cannot change by it.

        The map lives as long as any view of it, also after :meth:`delete`.
        """

    @abstractmethod
    def open(self, config: Any) -> FileIO:
        """The bytes as a seekable, unbuffered file, positioned at the start."""


class Abandoned(ABC):
    """What a dead writer left in a storage."""

    @abstractmethod
    def configs(self) -> Iterator[list[Any]]:
        """Its pieces, in batches of at most 1,000."""

    @abstractmethod
    def release(self) -> None:
        """Called when every piece that no record needs was deleted: this writer is not reported again."""
