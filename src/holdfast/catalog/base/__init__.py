"""The contract of a catalog: what exists, where its bytes are, and who may write next.

Everything atomic in Holdfast is decided here, in one commit. A catalog knows scopes by their path; ids, statements and
caches are its own affair. Rows cross this contract as plain tuples in the order of the classes below, since a get has
no time for more.

A record may have several pieces of bytes outside of the catalog. They are blobs as any are, its *members*, held
together by a *bundle*: a blob of storage 0, which is none, without bytes of its own. The record's blob is the bundle,
so copies and kept versions refer to it as they do to any blob; it is synced when all its members are, lost when one of
them is, and lets them go when nothing refers to it any more. Lists of blobs have members in them, and no bundles.

Times are seconds since 1970 by the catalog's own clock. A record is *visible* while it is not expired. Versions of a
key in a scope grow with every write, for ever: through delete, re-creation, scope drop and rename.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from ...address import Path
from ...model import BUNDLE, Codec, RecordRow, ScopeInfo
from .rows import (
    ABSENT,
    HEAD,
    HIGHEST,
    UNCHANGED,
    Blob,
    Change,
    Committed,
    Delete,
    Edit,
    EntryRow,
    Expect,
    Fence,
    InlineRow,
    LeaseRow,
    Member,
    MemberRow,
    NewBlob,
    Policy,
    Put,
    Restore,
    Since,
    Unchanged,
    Usage,
    ValueRow,
    WriteAgain,
    as_ending,
)

__all__ = [
    "ABSENT",
    "BUNDLE",
    "HEAD",
    "HIGHEST",
    "UNCHANGED",
    "Blob",
    "Catalog",
    "Change",
    "Committed",
    "Delete",
    "Edit",
    "EmbeddedCatalog",
    "EntryRow",
    "Expect",
    "Fence",
    "InlineRow",
    "LeaseRow",
    "Ledger",
    "Member",
    "MemberRow",
    "NewBlob",
    "Policy",
    "Put",
    "Restore",
    "Since",
    "Unchanged",
    "Usage",
    "ValueRow",
    "WriteAgain",
    "as_ending",
]

T = TypeVar("T")

_SETTLED = 0.1  # seconds from the look at the clock to the commit, at most, where one writes after the other


class Ledger(ABC):
    """The verbs on keys: what a scope acts through, be it the catalog itself or a transaction over it."""

    @abstractmethod
    def find(self, path: Path, key: str) -> Sequence[tuple[Any, ...]]:
        """The :class:`ValueRow` tuples of a key, at most one a tier, expired ones included; none: empty."""

    @abstractmethod
    def put(
        self, path: Path, key: str, row: tuple[Any, ...], power: bool = False, session: str | None = None
    ) -> tuple[int, float, float]:
        """Commit one inline value, an :class:`InlineRow` tuple, whatever was there: durable, or ephemeral where a
        ``session`` is named that it ends with. Gives version, created and updated.

        Makes the scope when it is missing. With ``power`` the commit is on disk when this returns.
        """

    def replace(self, path: Path, key: str, row: tuple[Any, ...], if_version: int) -> tuple[int, float, float] | None:
        """As :meth:`put`, over an inline durable record that is visible at exactly this version.

        A short way for ``update``, which a catalog need not have: None when it cannot be gone, with nothing written;
        :meth:`commit` then does it or says why not.
        """
        return None

    @abstractmethod
    def add(self, path: Path, key: str, amount: int, codec: int, power: bool = False) -> tuple[int, RecordRow]:
        """Add to a native integer (``codec`` is the codec of native integers), from 0 when no record is visible.

        Raises:
            InvalidArgumentError: the record is something else, or the sum leaves 64 bits; nothing is changed.
        """

    @abstractmethod
    def commit(
        self,
        changes: Sequence[Change],
        *,
        began: Mapping[Path, int | None] | None = None,
        fence: Fence | None = None,
        power: bool = False,
    ) -> list[Committed]:
        """Make all changes in their order, or none; each sees those before it. Scopes that Puts need are made.

        ``began`` maps paths to what :meth:`scope_id` said when the caller began: where it was not None and is another
        now, the scope was dropped or renamed in between.

        Raises:
            ConflictError, ExistsError: a version was not the expected one (ExistsError where :data:`ABSENT` was).
            NotFoundError: a Delete or Edit of a key that is not there.
            ScopeDroppedError: see ``began``.
            LeaseLost: ``fence`` is not the current token of its lease, or it expired.
            ConflictError: a blob id that is no longer live.
            WriteAgain: see there.
            QuotaExceededError: the changes together add to what a scope holds, and it would hold more than its policy
                allows. What expired does not count.
        """

    @abstractmethod
    def record(self, path: Path, key: str) -> Sequence[RecordRow]:
        """The records of a key, at most one a tier, expired ones included."""

    @abstractmethod
    def entry(self, path: Path, key: str) -> Sequence[EntryRow]:
        """As :meth:`record`, each with its value row, from one read."""

    @abstractmethod
    def past(self, path: Path, key: str) -> list[EntryRow]:
        """The versions of a key that its scope keeps beside the newest one, the newest first; also of a key that was
        deleted."""

    @abstractmethod
    def members(self, blob: int) -> list[MemberRow]:
        """The members of a bundle, in their order; empty for any other blob, and for one that is gone."""

    @abstractmethod
    def keys(self, path: Path, start: str, end: str | None, limit: int) -> list[str]:
        """Keys with visible records, ``start <= key < end``, by bytes, each once, at most ``limit``."""

    @abstractmethod
    def search(
        self,
        path: Path,
        *,
        start: str = "",
        end: str | None = None,
        tags: Mapping[str, str] | None = None,
        order: str = "key",
        after: RecordRow | None = None,
        limit: int = 1000,
    ) -> list[tuple[Any, ...]]:
        """One page of visible records as :class:`~holdfast.model.RecordRow` tuples; of two tiers the higher version.

        ``order`` is ``key``, ``created``, ``updated``, ``size`` or ``version``, with ``-`` in front for descending;
        equal ones by key ascending. ``after`` is the last row of the page before. ``tags`` must all be there with
        these values.
        """

    @abstractmethod
    def scope_id(self, path: Path) -> int | None:
        """A number that stands for this scope until it is dropped or renamed, never used again; None: no such scope."""


class Catalog(Ledger):
    """See the module. All methods may be called from many threads and processes at once, also after a fork.

    Errors, the same from every catalog: those that each method names; :class:`~holdfast.errors.StorageFullError` when
    the medium is full (deletes and the collector's methods still work then);
    :class:`~holdfast.errors.BusyError` when other writers did not let go within the time-out, with nothing written;
    :class:`~holdfast.errors.ClosedError` after :meth:`close`; :class:`~holdfast.errors.StoreError` for the rest.

    Attributes:
        store_id: 32 hex digits, made with the store.
        signing_key: 32 random bytes, made with the store; none where they stay with a service.
        instance: tells a store from copies of its files, which have the same id; empty where there are none.
        boot: the boot under which bytes are recorded, None for this machine's.
        served: whether a service looks after the store: recovers it, and has new bytes put on disk.
        volatile: whether the store ends with the service.
        prompt: whether what :meth:`impatient` calls in haste from the start is over in a few milliseconds at most.
    """

    store_id: str
    signing_key: bytes
    instance: str = ""
    boot: str | None = None
    served: ClassVar[bool] = False
    volatile: bool = False
    prompt: ClassVar[bool] = False

    def impatient(self, haste: Callable[[], bool], work: Callable[[], T]) -> T:
        """Call ``work``, whose calls of this catalog by this thread ask ``haste`` where they would wait for others, or
        go on for long, and give up with BusyError once it is true. Those in haste leave the upkeep of the catalog's
        own files to others.

        By default they wait as ever.
        """
        return work()

    def in_haste(self) -> bool:
        """Whether this thread is in haste now, as :meth:`impatient` has it: it may not wait for others of any kind."""
        return False

    @abstractmethod
    def usage(self, path: Path, *, expired: bool = False) -> Usage:
        """What the visible records of this one scope hold (not of those below it); or the ``expired`` ones, which are
        not collected yet."""

    # --- scopes -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def scope(self, path: Path) -> ScopeInfo | None:
        """The scope as it is, None when there is none."""

    @abstractmethod
    def create_scope(
        self,
        path: Path,
        properties: Mapping[str, Any] | None = None,
        *,
        exist_ok: bool = True,
        created: float | None = None,
    ) -> None:
        """Make the scope and those above it; given properties replace those of an existing one, and so does when it was
        ``created``, for a copy of another catalog's.

        Raises:
            ExistsError: it exists and ``exist_ok`` is False.
        """

    @abstractmethod
    def children(self, path: Path, after: tuple[str, str] | None, limit: int) -> list[ScopeInfo]:
        """One page of the scopes directly below, by kind and then name, by bytes, after the pair given."""

    @abstractmethod
    def rename_scope(self, path: Path, name: str) -> None:
        """Give the scope another name in the same place; all below it goes along.

        Raises:
            NotFoundError: no such scope.
            ExistsError: a scope of that kind and name is there.
        """

    @abstractmethod
    def drop_scope(self, path: Path, *, only_empty: bool = False) -> None:
        """Remove the scope and all below it in one commit. Their records are hidden at once, collected later.

        Raises:
            NotFoundError: no such scope.
            ConflictError: with ``only_empty``, and it has a visible record or a scope below it.
        """

    @abstractmethod
    def was_dropped(self, path: Path) -> bool:
        """Whether a scope of this path was dropped and not made again since."""

    # --- what scopes ask for ------------------------------------------------------------------------------------------

    @abstractmethod
    def policy(self, path: Path) -> Policy | None:
        """What the scope asks for, None where that is nothing."""

    @abstractmethod
    def set_policy(self, path: Path, policy: Policy | None, before: Policy | None = None) -> bool:
        """Ask for something else, from the next commit on, in all processes; the scope is made when it is missing.

        Given what the scope asked for ``before`` (``Policy()`` for nothing), it is done only where that is so still;
        gives whether it was.

        What a shorter history, or none, no longer keeps is gone at once, and let go by :meth:`sweep`. A quota below
        what is there refuses what would add to it, and nothing else.

        Raises:
            InvalidArgumentError: a number below 0.
        """

    @abstractmethod
    def past_keys(self, path: Path, start: str, end: str | None, limit: int) -> list[str]:
        """One page of the keys that the scope keeps more versions of than the newest, deleted ones too; as
        :meth:`keys`."""

    # --- shared rows ------------------------------------------------------------------------------------------------

    @abstractmethod
    def codec_id(self, codec: Codec) -> int:
        """The id of a codec, made when it is new; ids stay."""

    @abstractmethod
    def codec(self, id: int) -> Codec:
        """The codec of an id."""

    @abstractmethod
    def storage_id(self, name: str, url: str) -> int:
        """The id of the storage of that name at that URL, registered when it is new; ids stay."""

    @abstractmethod
    def storage(self, id: int) -> tuple[str, str]:
        """Name and URL of a storage id."""

    def storage_name(self, id: int) -> str:
        """Name of a storage id, as records say it: where a service reads it, :meth:`storage` names the way there."""
        return self.storage(id)[0]

    @abstractmethod
    def storages(self) -> list[int]:
        """The ids of all registered storages."""

    @abstractmethod
    def now(self) -> float:
        """The catalog's clock."""

    def settled(self) -> float:
        """A time up to which all commits are done: who reads from now on sees all that was, or will be, *updated* by
        then."""
        return self.now() - _SETTLED

    # --- leases -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def acquire(self, name: str, owner: str, seconds: float, *, dead: str = "") -> LeaseRow:
        """Take the lease when it is free or expired, or held by an owner who is known to be ``dead``.

        Gives the lease as it stands then: the caller's own when ``owner`` is in it, else the holder's.
        """

    @abstractmethod
    def holder(self, name: str) -> LeaseRow | None:
        """The lease as somebody holds it at this moment; None for nobody."""

    @abstractmethod
    def renew(self, fence: Fence, seconds: float) -> LeaseRow:
        """Extend a lease that is still held.

        Raises:
            LeaseLost: it expired or has another token.
        """

    @abstractmethod
    def release(self, fence: Fence) -> None:
        """Give a lease back; does nothing when it is lost. Tokens of the name go on growing."""

    # --- sessions ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def sessions(self) -> list[str]:
        """The sessions that visible ephemeral records end with, each once."""

    @abstractmethod
    def end_session(self, session: str) -> int:
        """Hide the records of a session at once, as if they had expired; gives how many it were."""

    # --- bytes: for the sync thread, the recovery and the collector ---------------------------------------------------

    @abstractmethod
    def unsynced(self, *, boot: str, earlier: bool, after: int = 0, limit: int = 1000) -> list[Blob]:
        """Live blobs whose bytes may not be on disk: of this boot, or (``earlier``) of boots before it, by id."""

    @abstractmethod
    def mark_synced(self, ids: Sequence[int]) -> None:
        """Record that these blobs are on disk; what was kept for their sake, or for that of the bundles whose last
        members they were, is let go."""

    @abstractmethod
    def trust(self, id: int, blob: NewBlob) -> None:
        """Record where a blob's bytes are that were just written or found to match their digest: place, identity, boot
        and sync."""

    @abstractmethod
    def mark_lost(self, id: int) -> int:
        """The bytes of this blob are gone or torn: each record on it, or on a bundle that it is in, goes back to the
        newest kept version whose bytes are on disk, or is removed (versions do not go back). Gives the number of
        records touched."""

    @abstractmethod
    def sweep(self, limit: int = 1000) -> int:
        """Remove up to ``limit`` records and kept versions that expired, are of dropped scopes, or are more than a
        scope asks for, in one small commit; how many it was. Bundles that nobody needs let their members go."""

    @abstractmethod
    def garbage(self, limit: int = 1000, storage: int | None = None) -> list[Blob]:
        """Mark up to ``limit`` blobs that no record needs as dying and give them, those of a collector that died
        included; on disk when this returns, so that no lost commit can revive them. Those of one storage alone, if it
        is given: of a memory, so that no disk is waited for."""

    @abstractmethod
    def forget(self, ids: Sequence[int]) -> None:
        """Remove the rows of dying blobs whose bytes are deleted."""

    # Of storages that give equal bytes one place: who writes there while it is collected must not think that they stay.

    @abstractmethod
    def begin(self) -> Since:
        """Called before bytes are written to such a storage, for the Put that comes of it."""

    @abstractmethod
    def vacate(self, ids: Sequence[int]) -> None:
        """As :meth:`forget`; that the places were collected is remembered for a day, which no write may take."""

    @abstractmethod
    def abandon(self, put: Put) -> None:
        """The new bytes of a Put that is not committed, or in whose place others were taken: unless somebody else came
        to need them they are garbage."""

    @abstractmethod
    def known(self, storage: int, configs: Sequence[str]) -> set[str]:
        """Those of the configs that a blob row names."""

    @abstractmethod
    def barrier(self) -> None:
        """Return when every commit made so far is on disk; and let the catalog tidy its own files."""

    @abstractmethod
    def garbage_size(self) -> tuple[int, int, int]:
        """For a dry run: records that :meth:`sweep` would remove, blobs that no other record needs, and their bytes."""

    @abstractmethod
    def close(self) -> None:
        """Release connections; later calls raise ClosedError."""


class EmbeddedCatalog(Catalog):
    """A catalog that is a file on this machine, and that one machine at a time may open."""

    @abstractmethod
    def machine(self) -> tuple[str, str, float] | None:
        """Machine id, boot id and until when its holder is known to be alive, as last claimed."""

    @abstractmethod
    def claim(self, machine: str, boot: str, seconds: float) -> None:
        """Record that this machine and boot holds the store, alive for ``seconds`` from now."""

    @abstractmethod
    def adopt(self) -> None:
        """The store came from another machine: take every blob as unsynced and of no known file identity."""
