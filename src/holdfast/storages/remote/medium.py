"""What a kind of place must be able to do, for a :class:`~holdfast.storages.remote.RemoteStorage` to be made on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ...payload import Buffer

__all__ = ["Entry", "Medium", "Progress", "Upload"]

Progress = Callable[[int], object]
"""Told, again and again, how many more bytes have been moved."""


class Entry(NamedTuple):
    """One object in a listing.

    Attributes:
        name: its whole name.
        written: when, in seconds by the place's own clock; None where the place does not tell.
    """

    name: str
    written: float | None


class Upload(ABC):
    """An object being written in pieces. It is not there before :meth:`finish` returned."""

    @abstractmethod
    def write(self, piece: Buffer) -> None:
        """Append a piece, of any size, which nobody may change before the upload has ended."""

    @abstractmethod
    def finish(self) -> None:
        """Make the object from the pieces."""

    @abstractmethod
    def abort(self) -> None:
        """Drop the pieces; does nothing in a forked child, whose parent goes on with it. Must not raise."""


class Medium(ABC):
    """Whole objects under names, in a place that many machines reach. All methods may be called from many threads, and
    in a forked child.

    Names have one ``/``, and no object is ever written twice. Errors are those that
    :class:`~holdfast.storages.base.Storage` promises.

    Attributes:
        shown: the place, as messages name it, without anything secret.
    """

    shown: str

    @abstractmethod
    def put(self, name: str, buffers: Sequence[Buffer], size: int, progress: Progress | None = None) -> None:
        """Make an object of buffers, ``size`` bytes together, or raise and make none."""

    @abstractmethod
    def upload(self, name: str, size: int | None) -> Upload:
        """Begin an object of ``size`` bytes, as far as that is known."""

    @abstractmethod
    def get(self, name: str, progress: Progress | None = None, most: int | None = None) -> Buffer:
        """All bytes of an object, or the first ``most``."""

    @abstractmethod
    def stream(self, name: str, offset: int, length: int | None) -> Iterator[bytes]:
        """At most ``length`` bytes (not zero) from ``offset`` on, in pieces of at most 4 MB; those that remain if the
        object is deleted after the first piece was given, too."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether an object is there."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove an object, or find it gone."""

    @abstractmethod
    def list(self, folder: str) -> Iterator[list[Entry]]:
        """The objects whose names begin with ``folder`` and ``/``, in batches of at most 1,000."""

    def hasty(self) -> Medium:
        """The same place for what is tidied up after an error: it does not try again."""
        return self

    def close(self) -> None:
        """Release what is held open; a later call opens it again."""
