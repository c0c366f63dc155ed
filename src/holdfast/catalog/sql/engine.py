"""What an SQL catalog builds on: statements, transactions, and scopes as numbers.

Statements that are shared name their values ``?1``, ``?2`` and so on, in the words that both dialects have.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from ...address import Path
from ...errors import InvalidArgumentError, InvalidScopeError
from ...model import RecordRow

__all__ = ["Engine", "Locks", "Session", "check_limit", "refuse_root"]

T = TypeVar("T")


class Locks(NamedTuple):
    """What a transaction is about to change, for a database that lets several write at once.

    Attributes:
        keys: keys whose records it changes, or whose versions it relies on.
        look: whether it asks what is there under them.
        alone: no other transaction that takes any locks is open meanwhile.
        lease: a lease that it takes or gives.
        fence: a lease that must stay as it is.
    """

    keys: Sequence[tuple[Path, str]] = ()
    look: bool = False
    alone: bool = False
    lease: str | None = None
    fence: str | None = None


class Session(ABC):
    """An open transaction: what one commit is made of.

    Attributes:
        now: the time of the commit, by the catalog's clock.
        rows: run a statement with these values and give its rows.
        later: run one whose rows nobody waits for, before the next of ``rows`` or the commit.
    """

    now: float
    rows: Callable[..., list[Any]]
    later: Callable[..., Any]

    @abstractmethod
    def scope(self, path: Path) -> int | None:
        """The scope's id, None when there is none."""

    @abstractmethod
    def make_scope(self, path: Path) -> int:
        """The scope's id; it and those above it are made when they are missing."""

    @abstractmethod
    def forget_scopes(self) -> None:
        """Scopes were renamed or dropped: ids that were looked up before no longer count."""

    @abstractmethod
    def visible(self, scope: int | None, key: str) -> int:
        """The version of a key that is seen, 0 for none."""

    @abstractmethod
    def records(self, scope: int, key: str) -> list[RecordRow]:
        """The records of a key, at most one a tier, expired ones included."""

    @abstractmethod
    def number(self, scope: int, key: str) -> int | None:
        """The native integer that the durable record of a key is, None when it is something else."""

    @abstractmethod
    def next_token(self) -> int:
        """A fencing token, greater than all that were given before."""

    def hold_blobs(self, digests: Sequence[bytes], ids: Sequence[int]) -> None:
        """Before references to several blobs change, and to bundles after them: where others write at the same time,
        take those of these digests, and these, in the order that all take them in, so that no two wait for each
        other."""

    @abstractmethod
    def seen(self, scope: int, version: int) -> None:
        """A version of a key in this scope was seen that goes without another in its place: later ones stay above."""

    @abstractmethod
    def put_row(self, scope: int, key: str, tier: int, values: tuple[Any, ...]) -> Callable[[], tuple[int, float]]:
        """Put a row, whatever was there; what it gives tells version and created once the transaction is over.

        ``values`` are flags, now, expires, tags, algorithm, digest, size, codec, config, signature, data, session,
        blob; the reference to the blob was taken already.
        """

    @abstractmethod
    def restore_row(
        self, scope: int, key: str, tier: int, version: int, created: float, values: tuple[Any, ...]
    ) -> None:
        """Put a row of this version and creation; those that are given later are above. ``values`` as :meth:`put_row`
        has them."""

    @abstractmethod
    def edit_row(self, scope: int, key: str, tier: int, values: tuple[Any, ...]) -> Callable[[], int]:
        """Set flags, updated, expires, tags and codec of a row; the new version is told as by :meth:`put_row`."""

    @abstractmethod
    def delete_rows(self, scope: int, key: str, tier: int | None) -> None:
        """Remove the rows of a key, of one tier or of both."""


class Engine(ABC):
    """Reading, writing, transactions, and the paths of scopes as ids that are good for one epoch.

    Attributes:
        SAME_PLACE: condition on a blob that it lies at the place ?2.
    """

    SAME_PLACE = "place=?2"
    _where: str
    """The catalog, for messages."""

    @abstractmethod
    def now(self) -> float:
        """See :meth:`Catalog.now <holdfast.catalog.base.Catalog.now>`."""

    @abstractmethod
    def read(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """Rows of one statement that reads."""

    @abstractmethod
    def write(self, sql: str, values: tuple[Any, ...] = (), *, spare: bool = False) -> list[Any]:
        """Rows of one statement that is a commit of its own, and that comes to the same when it is run twice."""

    @abstractmethod
    def transaction(
        self, work: Callable[[Any], T], *, power: bool = False, spare: bool = False, locks: Locks | None = None
    ) -> T:
        """Call ``work`` with a :class:`Session` inside a write transaction and commit it; with ``power`` it is on disk
        when this returns, with ``spare`` it may use room that is kept for deleting.

        ``work`` may be called again, when nothing of the call before was committed.
        """

    @abstractmethod
    def resolve(self, path: Path) -> tuple[int, int | None]:
        """The present epoch and the id of the scope in it, asked anew."""

    @abstractmethod
    def in_scope(self, path: Path, sql: str, values: Callable[[int, int], tuple[Any, ...]]) -> list[Any]:
        """Rows of a statement that gives none unless the epoch is the one given to ``values`` (scope id, epoch)."""


def refuse_root(path: Path, what: str) -> None:
    """Raise when ``path`` is the root, which holds scopes only and cannot be dropped or renamed.

    Raises:
        InvalidScopeError: it is.
    """
    if not path:
        raise InvalidScopeError(f"the root cannot {what}: name a scope, as in namespace:prod")


def check_limit(limit: int) -> int:
    """Give the length of a page back when it is one.

    Raises:
        InvalidArgumentError: it is below 1.
    """
    if limit < 1:
        raise InvalidArgumentError(f"limit is {limit}: it must be 1 or more")
    return limit
