"""What crosses the contract of a catalog: rows, changes, and what these come to."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Union

from ...address import Path
from ...errors import ConflictError
from ...model import DURABLE, EPHEMERAL, RecordRow

__all__ = [
    "ABSENT",
    "HEAD",
    "HIGHEST",
    "UNCHANGED",
    "Blob",
    "Change",
    "Committed",
    "Delete",
    "Edit",
    "EntryRow",
    "Expect",
    "Fence",
    "InlineRow",
    "LeaseRow",
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

ABSENT: Final = 0
"""As an expected version: no visible record of that key."""

HIGHEST: Final = 2**53
"""The highest version that can be restored: all are whole numbers in JSON and in every language, with room above."""


class Unchanged:
    """Type of :data:`UNCHANGED`."""

    __slots__ = ()


UNCHANGED: Final = Unchanged()
"""In an :class:`Edit`: leave this column as it is."""


class ValueRow(NamedTuple):
    """What a get needs of a record, in this order."""

    tier: int
    version: int
    expires: float | None
    algorithm: int
    digest: bytes | None
    size: int
    codec: int
    config: str | None
    signature: bytes | None
    data: bytes | int | None
    """The bytes, when they are inline; an int for a native integer; None when they lie in a storage."""
    blob: int | None
    storage: int | None
    storage_config: str | None
    synced: int | None
    boot: str | None
    device: int | None
    inode: int | None
    mtime: int | None
    ctime: int | None


class InlineRow(NamedTuple):
    """A value that lies in the catalog, as a put gives it, in this order."""

    expires: float | None
    tags: str | None
    algorithm: int
    digest: bytes | None
    size: int
    codec: int
    config: str | None
    signature: bytes | None
    data: bytes | int


EntryRow = tuple[Any, ...]
"""A :class:`~holdfast.model.RecordRow`, then a :class:`ValueRow`, in one tuple."""

HEAD: Final = len(RecordRow._fields)
"""Where the value row begins in an entry row."""


class NewBlob(NamedTuple):
    """Bytes that were just written to a storage and that no record names yet.

    The catalog either takes them (a new blob row), or takes one more reference to a live blob of the same storage,
    digest and size; then the caller deletes the bytes it wrote. A blob that is not synced is never taken in place of
    one that is. Where a put says since when it wrote, its storage may give a place again: it decides itself where equal
    bytes lie, and only those at the same place are shared.
    """

    storage: int
    config: str
    synced: bool
    boot: str | None = None
    device: int | None = None
    inode: int | None = None
    mtime: int | None = None
    ctime: int | None = None


class MemberRow(NamedTuple):
    """One of the blobs that a bundle holds together, and its bytes: what reading them needs, in this order."""

    n: int
    algorithm: int
    digest: bytes | None
    size: int
    blob: int
    storage: int
    storage_config: str
    synced: int
    boot: str | None
    device: int | None
    inode: int | None
    mtime: int | None
    ctime: int | None


class Since(NamedTuple):
    """When bytes began to be written to a place that may be given again: the newest blob by then, and the time."""

    blob: int
    time: float


class WriteAgain(ConflictError):
    """The place that bytes were written to is being collected, or was while they were written: they may be gone."""


class Member(NamedTuple):
    """One of several pieces of bytes that a record has outside of the catalog: new ones, or the id of a blob."""

    blob: NewBlob | int
    algorithm: int
    digest: bytes | None
    size: int
    since: Since | None = None


class Put(NamedTuple):
    """Make or replace the record of a key in one tier.

    ``blob`` is new bytes, or the id of a blob that another record names (a copy), or None with the bytes in ``data``.
    With ``members`` it is None: the catalog makes a *bundle* of them, which is the record's blob from then on.
    ``since`` is what the catalog's ``begin`` said before they were written, for a storage that may give a place again.
    ``if_version`` is the visible version expected, :data:`ABSENT` for none, None for any.
    """

    path: Path
    key: str
    codec: int
    algorithm: int
    digest: bytes | None
    size: int
    data: bytes | int | None = None
    blob: NewBlob | int | None = None
    config: str | None = None
    signature: bytes | None = None
    tags: str | None = None
    expires: float | None = None
    tier: int = DURABLE
    session: str | None = None
    if_version: int | None = None
    since: Since | None = None
    members: tuple[Member, ...] = ()


def as_ending(put: Put, session: str | None) -> Put:
    """A put as one that ends with a session, if one is named."""
    return put if session is None else put._replace(tier=EPHEMERAL, session=session)


class Restore(NamedTuple):
    """Make the record of a key as it stands in another catalog: ``put``, under that catalog's version and times.

    Where a record of the key is at this version or a higher one, in whatever tier, nothing is changed, and what it
    comes to has no row: a copy never goes back. A record that was deleted is made again, as nobody knows which
    versions it had. Versions that are given later are higher than this one. With ``past`` it goes to the history of
    its scope instead, whatever the record is; where that is not kept there, or is there, nothing is changed.

    ``version`` is from 1 to :data:`HIGHEST`.
    """

    put: Put
    version: int
    created: float
    updated: float
    flags: int = 0
    past: bool = False

    @property
    def path(self) -> Path:
        """The scope."""
        return self.put.path

    @property
    def key(self) -> str:
        """The key in it."""
        return self.put.key

    @property
    def if_version(self) -> int | None:
        """The visible version expected."""
        return self.put.if_version


class Delete(NamedTuple):
    """Remove the record of a key in one tier, or with ``tier=None`` in both; a missing one is a NotFoundError."""

    path: Path
    key: str
    tier: int | None = None
    if_version: int | None = None


class Edit(NamedTuple):
    """Change columns of the visible record; its bytes stay, its version grows. A missing one is a NotFoundError."""

    path: Path
    key: str
    expires: float | None | Unchanged = UNCHANGED
    tags: str | None | Unchanged = UNCHANGED
    codec: int | Unchanged = UNCHANGED
    if_version: int | None = None


class Expect(NamedTuple):
    """Change nothing, but commit only while the visible version of the key is this one (:data:`ABSENT` for none)."""

    path: Path
    key: str
    version: int


Change = Union[Put, Restore, Delete, Edit, Expect]


class Committed(NamedTuple):
    """What one change came to.

    Attributes:
        row: the record after a Put, a Restore or an Edit, the removed record for a Delete, None for an Expect and for
            a Restore that changed nothing.
        taken: False when new bytes were not needed, as a live blob had them or nothing was changed: the caller deletes
            them.
        members: the same of each member, in their order.
    """

    row: RecordRow | None
    taken: bool = True
    members: tuple[bool, ...] = ()


class Fence(NamedTuple):
    """A lease that must still be held when a commit is made."""

    name: str
    token: int


class LeaseRow(NamedTuple):
    """A lease as it stands: ``token`` is the fencing token, greater for each new owner of the name."""

    name: str
    owner: str
    token: int
    expires: float


class Policy(NamedTuple):
    """What a scope asks for beyond the newest version of each key. It holds for this one scope, not for those below.

    Attributes:
        history: how many replaced, edited or deleted versions of each key are kept; 0 for none. Only durable ones are,
            and each until it expires: what expired is gone, and is not kept.
        max_records: how many records it may have, None for any number.
        max_bytes: how many bytes these may have together, history aside; None for any number.
    """

    history: int = 0
    max_records: int | None = None
    max_bytes: int | None = None


class Blob(NamedTuple):
    """Bytes in a storage, as the collector and the recovery see them."""

    id: int
    storage: int
    config: str
    algorithm: int
    digest: bytes | None
    size: int


class Usage(NamedTuple):
    """What one scope holds: number of records, bytes in the catalog, bytes in storages (each record's in full)."""

    records: int
    inline: int
    stored: int

    @property
    def size(self) -> int:
        """Bytes of all its records together."""
        return self.inline + self.stored
