"""The calls of a catalog that a client makes, each checked against what its token allows.

What a call says of bytes is checked before it is believed: bytes in a row against their digest, bytes in a storage
against what was hashed when they came. What is handed out is sealed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ...address import Path, check_key, format_address, format_path, parse_address
from ...catalog import wire
from ...catalog.base import (
    HEAD,
    UNCHANGED,
    Blob,
    Change,
    Committed,
    Edit,
    Expect,
    Fence,
    LeaseRow,
    Member,
    NewBlob,
    Put,
    Restore,
)
from ...errors import AccessError, InvalidArgumentError, NotRegisteredError, SchemaError
from ...hashing import BLAKE3, NONE, SHA256, hasher
from ...kernel import Kernel
from ...lease import OWN, shortened
from ...model import Codec, RecordRow, ScopeInfo
from ...storages.ephemeral import ENDING
from ...tokens import SERVICE, VERBS, Access
from ...writing import CERTAIN, settle
from ..validation import check_codec, check_names, check_row, check_session, check_time, properties_of
from .seals import Fresh, Seals
from .uploads import CommitUploads, Uploads

__all__ = ["LONGEST", "REMOTE", "SharedState", "TokenCatalog", "check_lease", "is_whole", "parsed"]

LONGEST = 7 * 86400.0
"""Seconds for which a lease is given at most."""

REMOTE = "http/"
"""Before owners of leases who come over HTTP: they have no lock file here, whatever they call themselves, and wherever
they are; who opens the store itself on their machine would take them for dead."""

_STORED = HEAD - 3  # and storage and config in a record row
_NOTHING = RecordRow("", 0, 0, 0, 0.0, 0.0, None, None, None, NONE, None, 0, 0, None, None, None, None)
_TOLD = ("key", "tier", "version", "created", "updated")  # of a row, to who may not read there
_SAID = ("expires", "tags", "codec")  # of a change, by himself
_HELD = 10_000  # rows of one page


class SharedState:
    """What all clients of one store share.

    Attributes:
        kernel: the open store.
        seals: what is handed out under.
        uploads: bytes that were sent and are not committed yet.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.seals = Seals(kernel.catalog.store_id, kernel.catalog.signing_key)
        self.uploads = Uploads(kernel, self.seals)
        self._served: dict[int, bool] = {}

    def serves(self, number: int) -> bool:
        """Whether clients read and write this storage through the service: the store's own, and those that it had; not
        those of a process, nor those that somebody brings along."""
        found = self._served.get(number)
        if found is None:
            try:
                name, url = self.kernel.catalog.storage(number)
            except SchemaError:
                raise InvalidArgumentError(f"there is no storage {number} in this store") from None
            found = number == self.kernel.storage_id or (
                not url.endswith("#beside") and url not in ENDING and self.knows(name)
            )
            self._served[number] = found
        return found

    def knows(self, name: str) -> bool:
        """Whether a storage of that name can be opened here."""
        try:
            self.kernel.registry.storage(name)
        except NotRegisteredError:
            return False
        return True


def is_whole(access: Access) -> bool:
    """Whether a token opens all of the store to all verbs."""
    return all(access.allows((), verb) for verb in VERBS)


def check_lease(access: Access, name: str, seconds: float = LONGEST, verb: str = "write") -> None:
    """Refuse a lease that a token does not open. A lease is an agreement of all who may write, whatever their scopes;
    one that is named as an address, of those who may write there; and the library's own, of whose token opens all. With
    the ``verb`` read, it is to be looked at only.

    Raises:
        InvalidArgumentError, InvalidKeyError: no name of a lease, or no time for one.
        AccessError: the token does not allow it.
    """
    if not 0 < seconds <= LONGEST:
        raise InvalidArgumentError(f"a lease is for more than 0 seconds and at most {LONGEST:.0f}, not {seconds!r:.80}")
    check_key(name)
    try:
        path = shortened(parse_address(name)[0])
    except InvalidArgumentError:  # as most are: of no scope
        allowed = is_whole(access) if name.startswith(OWN) else verb in access.verbs
    else:
        allowed = access._replace(scopes=tuple(map(shortened, access.scopes))).allows(path, verb)
    if not allowed:
        raise AccessError(f"{access.opens}: not to {'take' if verb == 'write' else 'see'} the lease {name!r:.500}")


class TokenCatalog:
    """Catalog calls made for one token. Methods here add checks or sealing; every other call in :data:`wire.CALLS
    <holdfast.catalog.wire.CALLS>` goes straight to the catalog.

    Attributes:
        wrote: the scopes that were changed.
    """

    def __init__(self, shared: SharedState, access: Access) -> None:
        self._shared, self._access = shared, access
        self._kernel, self._catalog, self._seals = shared.kernel, shared.kernel.catalog, shared.seals
        self._serves = shared.serves
        self._whole = is_whole(access)
        self.wrote: set[Path] = set()

    # --- what is allowed --------------------------------------------------------------------------------------------

    def check(self, call: wire.Call, arguments: tuple[Any, ...]) -> None:
        """Refuse what the token does not allow, and to make or change what cannot be named."""
        needs = call.needs
        if needs == "store":
            self._need_all("this call")
        elif needs != "any":
            self._need(arguments[0], *(("read", "write") if needs == "either" else (needs,)))
        if needs in ("write", "admin"):
            check_names(arguments[0], arguments[1] if needs == "write" and call.arguments[1] is str else None)
            self.wrote.add(arguments[0])

    def _need(self, path: Path, *verbs: str) -> None:
        if not any(self._access.allows(path, verb) for verb in verbs):
            where = format_path(path) if path else "the whole store"
            raise AccessError(f"{self._access.opens}: not {where:.500} to {' or '.join(verbs)}")

    def _need_all(self, what: str) -> None:
        if not self._whole:
            raise AccessError(f"{what} needs the whole store to read, write and admin: {self._access.opens}")

    def _may(self, verb: str) -> None:
        if verb not in self._access.verbs:
            raise AccessError(f"{self._access.opens}: not to {verb}")

    # --- what is handed out -----------------------------------------------------------------------------------------

    def _config(self, storage: int | None, config: str | None) -> str | None:
        if storage and config is not None and self._serves(storage):
            return self._seals.place(storage, config)
        return config

    def _id(self, id: int | None, *content: Any) -> wire.BlobId | None:
        return id if self._whole or id is None else self._seals.blob(id, *content)

    def _value(self, row: Sequence[Any]) -> Sequence[Any]:
        if row[wire.PLACE] is None:
            return row
        blob, storage, config = row[wire.PLACE : wire.PLACE + 3]
        sealed = (self._id(blob, *row[3:6]), storage, self._config(storage, config))
        return (*row[: wire.PLACE], *sealed, *row[wire.PLACE + 3 :])

    def _record(self, row: Sequence[Any]) -> Sequence[Any]:
        storage, config = row[_STORED : _STORED + 2]
        return row if config is None else (*row[: _STORED + 1], self._config(storage, config), *row[_STORED + 2 :])

    def _entry(self, row: Sequence[Any]) -> Sequence[Any]:
        return (*self._record(row[:HEAD]), *self._value(row[HEAD:]))

    def _written(self, change: Change, done: Committed) -> Committed:
        """What a change came to; to who may not read there, no more of it than he said himself, and when and as which
        version it was made."""
        if done.row is None:
            return done
        row = RecordRow._make(self._record(done.row))
        if not self._access.allows(change.path, "read"):
            row = row._replace(storage_config=None)
            if not isinstance(change, Put):
                said = {name: said for name in _SAID if (said := getattr(change, name, UNCHANGED)) is not UNCHANGED}
                told = {name: getattr(row, name) for name in _TOLD}
                row = _NOTHING._replace(**{"codec": self._kernel.integer, **told, **said})  # it must have a codec
        return done._replace(row=row)

    # --- calls ------------------------------------------------------------------------------------------------------

    def hello(self) -> wire.Hello:
        """What a client learns first."""
        catalog = self._catalog
        storages = [(number, *self.storage(number)) for number in catalog.storages()]
        kernel = self._kernel
        return wire.Hello(catalog.store_id, kernel.boot, kernel.integer, storages, kernel.volatile, catalog.instance)

    def find(self, path: Path, key: str) -> list[Any]:
        """See the catalog's contract."""
        return [self._value(row) for row in self._catalog.find(path, key)]

    def record(self, path: Path, key: str) -> list[Any]:
        """See the catalog's contract."""
        return [self._record(row) for row in self._catalog.record(path, key)]

    def entry(self, path: Path, key: str) -> list[Any]:
        """See the catalog's contract."""
        return [self._entry(row) for row in self._catalog.entry(path, key)]

    def past(self, path: Path, key: str) -> list[Any]:
        """See the catalog's contract."""
        return [self._entry(row) for row in self._catalog.past(path, key)]

    def members(self, blob: wire.BlobId) -> list[Any]:
        """See the catalog's contract."""
        self._may("read")
        rows = self._catalog.members(self._opened(blob))
        return [
            (*row[:4], self._id(row.blob, *row[1:4]), row.storage, self._config(*row[5:7]), *row[7:]) for row in rows
        ]

    def put(self, path: Path, key: str, row: Any, power: bool, session: str | None) -> Any:
        """See the catalog's contract."""
        self._check_session(session)
        return self._catalog.put(path, key, self._checked_row(path, key, row), power, session)

    def replace(self, path: Path, key: str, row: Any, if_version: int) -> Any:
        """See the catalog's contract."""
        return self._catalog.replace(path, key, self._checked_row(path, key, row), if_version)

    def _check_session(self, session: str | None, *tier: int) -> None:
        """Refuse a new session of whose token does not open all: whether one lasts is asked at the place that it names,
        by each look at what there is."""
        if session is not None:
            check_session(session, *tier)
            if not self._whole and session not in self._catalog.sessions():
                self._need_all("a value in the memory of a new session")

    def _checked_row(self, path: Path, key: str, row: Any) -> tuple[Any, ...]:
        check_row(self._kernel, path, key, row)
        self._check_row(path, key, row)
        return tuple(row)

    def keys(self, path: Path, start: str, end: str | None, limit: int) -> list[str]:
        """See the catalog's contract."""
        return self._catalog.keys(path, start, end, _page(limit))

    def search(
        self, path: Path, start: str, end: str | None, tags: Any, order: str, after: RecordRow | None, limit: int
    ) -> list[Any]:
        """See the catalog's contract."""
        rows = self._catalog.search(path, start=start, end=end, tags=tags, order=order, after=after, limit=_page(limit))
        return [self._record(row) for row in rows]

    def usage(self, path: Path, expired: bool) -> Any:
        """See the catalog's contract."""
        return self._catalog.usage(path, expired=expired)

    def scope(self, path: Path) -> Any:
        """See the catalog's contract."""
        info = self._catalog.scope(path)
        return None if info is None else _crossing(info)

    def create_scope(self, path: Path, properties: str | None, exist_ok: bool, created: float | None) -> None:
        """See the catalog's contract."""
        check_time(created)
        given = None if properties is None else properties_of(properties)
        self._catalog.create_scope(path, given, exist_ok=exist_ok, created=created)

    def children(self, path: Path, after: tuple[str, str] | None, limit: int) -> list[Any]:
        """See the catalog's contract."""
        found: list[Any] = []
        limit = _page(limit)
        while True:
            page = self._catalog.children(path, after, limit - len(found))
            found += [_crossing(info) for info in page if path or info.kind != SERVICE]
            if len(page) == 0 or len(found) >= limit:
                return found
            after = page[-1].path[-1]

    def rename_scope(self, path: Path, name: str) -> None:
        """See the catalog's contract."""
        self._need((*path[:-1], (path[-1][0], name)) if path else (), "admin")
        self._catalog.rename_scope(path, name)

    def drop_scope(self, path: Path, only_empty: bool) -> None:
        """See the catalog's contract."""
        self._catalog.drop_scope(path, only_empty=only_empty)

    def past_keys(self, path: Path, start: str, end: str | None, limit: int) -> list[str]:
        """See the catalog's contract."""
        return self._catalog.past_keys(path, start, end, _page(limit))

    def codec_id(self, codec: Codec) -> int:
        """See the catalog's contract."""
        found = self._kernel.codec_ids.get(codec)
        if found is not None:
            return found
        self._may("write")
        check_codec(codec)
        return self._kernel.codec_ids[codec]

    def storage_id(self, name: str, url: str) -> int:
        """See the catalog's contract."""
        self._need_all("a storage beside the service's own")
        if url not in ENDING and self._shared.knows(name) and not url.endswith("#beside"):
            raise InvalidArgumentError(f"a client cannot give the service a storage: {name} is opened there")
        return self._catalog.storage_id(name, url)

    def storage(self, number: int) -> tuple[str, str, bool]:
        """See the catalog's contract."""
        name, url = self._catalog.storage(number)
        served = self._serves(number)
        shown = url == "inline" or (not served and (self._whole or url.partition("#")[0] in ENDING))
        return name, url if shown else "", served

    # --- leases -------------------------------------------------------------------------------------------------------

    def acquire(self, name: str, owner: str, seconds: float, dead: str) -> Any:
        """See the catalog's contract."""
        check_lease(self._access, name, seconds)
        if dead:
            self._need_all("to take a lease from its holder")
        if not 0 < len(owner) <= 1000:
            raise InvalidArgumentError("the owner of a lease is text of at most 1000 characters")
        row = self._catalog.acquire(name, REMOTE + owner, seconds, dead=dead and REMOTE + dead)
        return self._told(row, row.owner == REMOTE + owner)

    def holder(self, name: str) -> Any:
        """See the catalog's contract."""
        check_lease(self._access, name, verb="read")
        row = self._catalog.holder(name)
        return None if row is None else self._told(row)

    def _told(self, row: LeaseRow, own: bool = False) -> LeaseRow:
        """A lease as it is told: in full to its holder, and to who has all; whoever knows owner and token of one is its
        holder."""
        if own or self._whole:
            return row._replace(owner=row.owner.removeprefix(REMOTE))
        return row._replace(owner="another", token=0)

    def renew(self, fence: Fence, seconds: float) -> Any:
        """See the catalog's contract."""
        check_lease(self._access, fence.name, seconds)
        return self._told(self._catalog.renew(fence, seconds), True)

    def release(self, fence: Fence) -> None:
        """See the catalog's contract."""
        check_lease(self._access, fence.name)
        self._catalog.release(fence)

    def barrier(self) -> None:
        """See the catalog's contract."""
        self._may("write")
        self._catalog.barrier()

    # --- the collector's, which open the whole store ------------------------------------------------------------------

    def unsynced(self, boot: str, earlier: bool, after: int, limit: int) -> list[Any]:
        """See the catalog's contract."""
        return self._blobs(self._catalog.unsynced(boot=boot, earlier=earlier, after=after, limit=_page(limit)))

    def garbage(self, limit: int, storage: int | None) -> list[Any]:
        """See the catalog's contract."""
        return self._blobs(self._catalog.garbage(_page(limit), storage))

    def _blobs(self, blobs: list[Blob]) -> list[Any]:
        return [(*blob[:2], self._config(blob.storage, blob.config), *blob[3:]) for blob in blobs]

    def trust(self, id: int, blob: NewBlob) -> None:
        """See the catalog's contract."""
        self._catalog.trust(id, self._unsealed(blob))

    def abandon(self, put: Any) -> None:
        """See the catalog's contract."""
        made = wire.as_put(put)
        blob = self._unsealed(made.blob) if isinstance(made.blob, NewBlob) else made.blob
        self._catalog.abandon(made._replace(blob=blob))

    def known(self, storage: int, configs: list[str]) -> list[str]:
        """See the catalog's contract."""
        plain = {self._unsealed(NewBlob(storage, config, True)).config: config for config in configs}
        return [plain[config] for config in self._catalog.known(storage, list(plain))]

    def _unsealed(self, blob: NewBlob) -> NewBlob:
        if not self._serves(blob.storage):
            return blob
        found = self._seals.open(blob.storage, parsed(blob.config))
        return blob._replace(config=found.place if isinstance(found, Fresh) else found)

    # --- commit -----------------------------------------------------------------------------------------------------

    def commit(self, crossing: Any, scopes: Any, fence: Fence | None, power: bool) -> list[Committed]:
        """See the catalog's contract."""
        changes = wire.decode_changes(crossing)
        for path, _ in scopes:
            self._need(path, "read", "write")
        for change in changes:
            self._need(change.path, *(("read", "write") if isinstance(change, Expect) else ("write",)))
            self._check_change(change)
        uploads = CommitUploads(self._shared.uploads, self._serves, sync=power or len(changes) > 1)
        certain: tuple[type[BaseException], ...] = (BaseException,)
        try:
            received = [self._received(change, uploads) for change in changes]
            certain = CERTAIN
            done = self._catalog.commit(received, began=dict(scopes), fence=fence, power=power)
        except BaseException as error:
            if isinstance(error, certain):
                uploads.let_go()
            raise
        self.wrote.update(change.path for change in changes if not isinstance(change, Expect))
        return [self._written(change, self._settled(change, one)) for change, one in zip(received, done, strict=True)]

    def _check_change(self, change: Change) -> None:
        """Refuse a change of what cannot be named, or by which a record would be what nobody can read."""
        check_names(change.path, change.key)
        if isinstance(change, Restore):
            check_time(change.created)
            check_time(change.updated)
        row = change.put if isinstance(change, Restore) else change
        if isinstance(row, Put | Edit):
            check_row(self._kernel, row.path, row.key, row)
        if isinstance(row, Put):
            self._check_session(row.session, row.tier)

    def _received(self, change: Change, uploads: CommitUploads) -> Change:
        """A change with what it names opened, and what it says checked."""
        if isinstance(change, Restore):
            self._need_all("a copy of another store's record under its version")
            return change._replace(put=self._received_put(change.put, uploads))
        return self._received_put(change, uploads) if isinstance(change, Put) else change

    def _received_put(self, put: Put, uploads: CommitUploads) -> Put:
        if put.blob is not None:
            put = put._replace(blob=self._named(put))
        if put.members:
            members = tuple(member._replace(blob=self._named(member)) for member in put.members)
            put = put._replace(members=members)
        if put.blob is None:
            self._check_row(put.path, put.key, put, sum(member.size for member in put.members))
        elif isinstance(put.data, bytes):
            self._check_digest(put.path, put.key, put)
        elif put.data is not None:
            raise InvalidArgumentError(f"{format_address(put.path, put.key)} is a number and bytes at once")
        return uploads.put(put)

    def _named(self, content: Put | Member) -> Any:
        """The blob of a content: new bytes, or the id of those that another record has."""
        blob = content.blob
        if not isinstance(blob, NewBlob):
            return self._opened(blob, content.algorithm, content.digest, content.size)
        if not self._serves(blob.storage):
            self._need_all("to name bytes that did not go through the service")
        return blob

    def _opened(self, blob: Any, *content: Any) -> int:
        if self._whole and isinstance(blob, int):
            return blob
        return self._seals.open_blob(blob, *content)

    def _check_row(self, path: Path, key: str, row: Any, beside: int = 0) -> None:
        """Refuse a value in the catalog that is not as it says: others may share what it claims to be."""
        if isinstance(row.data, bytes):
            self._check_digest(path, key, row)
            sound = row.size == len(row.data) + beside
        else:
            sound = isinstance(row.data, int) and (row.algorithm, row.digest, row.size) == (NONE, None, 8)
            sound = sound or (row.data is None and bool(getattr(row, "members", ())))
        if not sound:
            raise InvalidArgumentError(f"the size of {format_address(path, key)} is not that of its bytes")

    def _check_digest(self, path: Path, key: str, row: Any) -> None:
        state = hasher(row.algorithm) if row.algorithm in (BLAKE3, SHA256) else None
        if state is not None:
            state.update(row.data)
        if state is None or state.digest() != row.digest:
            raise InvalidArgumentError(
                f"the bytes of {format_address(path, key)} do not match the digest sent with them"
            )

    def _mine(self, change: Put) -> Put | None:
        """A put with those of its new bytes alone that lie in storages of the service; None where there are none."""
        if change.members:
            mine = tuple(member for member in change.members if self._is_mine(member.blob))
            return change._replace(members=mine) if mine else None
        return change if self._is_mine(change.blob) else None

    def _is_mine(self, blob: Any) -> bool:
        return isinstance(blob, NewBlob) and self._serves(blob.storage)

    def _settled(self, change: Change, done: Committed) -> Committed:
        """Delete new bytes that were there already and have the others put on disk, which is nothing to a client."""
        put = change.put if isinstance(change, Restore) else change
        mine = self._mine(put) if isinstance(put, Put) else None
        if mine is None or not isinstance(put, Put):
            return done
        if not put.members:
            settle(self._kernel, mine, done)
            return done._replace(taken=True)
        own = [self._is_mine(member.blob) for member in put.members]
        if done.members:
            settle(self._kernel, mine, done._replace(members=tuple(
                taken for taken, one in zip(done.members, own, strict=True) if one
            )))  # fmt: skip
        elif not done.taken:
            settle(self._kernel, mine, done)
        return done._replace(members=tuple(taken or one for taken, one in zip(done.members, own, strict=False)))


def _crossing(info: ScopeInfo) -> tuple[Any, ...]:
    return info.path, info.since, json.dumps(dict(info.properties))


def _page(limit: int) -> int:
    if not 0 <= limit <= _HELD:
        raise InvalidArgumentError(f"a page has from 0 to {_HELD} rows, not {limit}")
    return limit


def parsed(text: bytes | str) -> Any:
    """What JSON says.

    Raises:
        InvalidArgumentError: it is none.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidArgumentError("this is no JSON") from None
