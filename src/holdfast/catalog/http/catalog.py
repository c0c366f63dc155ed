"""The contract of a catalog, each verb as one call to the service that keeps the store."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ...address import Path
from ...errors import InvalidArgumentError, StoreError
from ...model import Codec, RecordRow, ScopeInfo
from ..base import (
    HEAD,
    Blob,
    Catalog,
    Change,
    Committed,
    EntryRow,
    Fence,
    LeaseRow,
    Member,
    MemberRow,
    NewBlob,
    Policy,
    Put,
    Restore,
    Since,
    Usage,
)
from ..channel import Channel
from ..wire import CALLS, MIME, PLACE, SEALED_ID, Hello, decode, encode, encode_changes

__all__ = ["SERVED", "HTTPCatalog"]

SERVED: Final = "holdfast.http@v1"
"""Name of the storage by which a client reads and writes where the service does."""

_OWN = ("holdfast.inline@v1",)  # storages that need no service
_PATIENCE = 2.0  # seconds for which it is tried to reach a service that never answered
_CLOCK = 60.0  # seconds for which the distance between two clocks is believed
_INTEGER: Final = Codec("holdfast.int@v1", "application/json")
_SEALED = 1 << 8 * SEALED_ID  # from here on an id is a sealed one


class HTTPCatalog(Catalog):
    """The catalog of the store that a service keeps.

    What an acknowledgement means is what it means to the service. Reads are tried again when a connection breaks, and
    what was not sent is too; a write whose answer is lost ends in a StoreError that says so.

    Args:
        url: of the service, as ``https://host:8080``.
        token: who asks, as ``holdfast token create`` gives it; None for a service of this machine that asks nobody.
        timeout: seconds to wait for a service that does not answer; here, for one that cannot be reached, a few.
        key: what this process signs with, as the store's own key stays with the service; None for nothing.

    Attributes:
        boot: the boot of the service, under which it records bytes.
        volatile: whether the store ends with the service.

    Raises:
        InvalidArgumentError: no such URL.
        AccessError: the service does not know the token.
        StoreError: no service answers there.
    """

    served = True

    def __init__(self, url: str, token: str | None = None, *, timeout: float = 30.0, key: bytes | None = None) -> None:
        self.url = url
        self._timeout = timeout
        self._channel = Channel(url, token)
        self._clock = float("-inf"), 0.0
        self._channel.patience = _PATIENCE
        try:
            hello: Hello = self._ask("hello")
        except BaseException:
            self._channel.close()
            raise
        self._channel.patience = math.inf
        self.store_id = hello.store_id
        self.signing_key = key or b""
        self.instance = hello.instance
        self.boot = hello.boot
        self.volatile = hello.volatile
        self._codecs: dict[int, Codec] = {hello.integer: _INTEGER}
        self._codec_ids: dict[Codec, int] = {_INTEGER: hello.integer}
        self._storages = {number: (name, url, served) for number, name, url, served in hello.storages}

    def __repr__(self) -> str:
        return f"<HTTPCatalog at {self._channel.shown}>"

    def _ask(self, name: str, *arguments: Any) -> Any:
        try:
            body = encode(arguments)
        except (OverflowError, UnicodeEncodeError) as error:
            raise InvalidArgumentError(f"{name} cannot be sent to the service: {error}") from None
        answer = self._channel.ask("POST", f"/catalog/{name}", body, timeout=self._timeout, again=CALLS[name].again)
        if answer.headers.get("Content-Type") != MIME:
            raise StoreError(f"no Holdfast service answers at {self._channel.shown}: it answered {answer.status}")
        self._hear(answer.headers.get("Holdfast-Now"))
        return decode(name, answer.data, result=True)

    # --- keys -------------------------------------------------------------------------------------------------------

    def find(self, path: Path, key: str) -> Sequence[tuple[Any, ...]]:
        rows: list[Any] = self._ask("find", path, key)
        return [row if row.blob.__class__ is not bytes else row._replace(blob=_opened(row.blob)) for row in rows]

    def put(
        self, path: Path, key: str, row: tuple[Any, ...], power: bool = False, session: str | None = None
    ) -> tuple[int, float, float]:
        return self._ask("put", path, key, row, power, session)  # type: ignore[no-any-return]

    def replace(self, path: Path, key: str, row: tuple[Any, ...], if_version: int) -> tuple[int, float, float] | None:
        return self._ask("replace", path, key, row, if_version)  # type: ignore[no-any-return]

    def add(self, path: Path, key: str, amount: int, codec: int, power: bool = False) -> tuple[int, RecordRow]:
        return self._ask("add", path, key, amount, codec, power)  # type: ignore[no-any-return]

    def commit(
        self,
        changes: Sequence[Change],
        *,
        began: Mapping[Path, int | None] | None = None,
        fence: Fence | None = None,
        power: bool = False,
    ) -> list[Committed]:
        crossing = encode_changes([_sealed_change(change) for change in changes])
        rows = self._ask("commit", crossing, list((began or {}).items()), fence, power)
        return [Committed(*row) for row in rows]

    def record(self, path: Path, key: str) -> Sequence[RecordRow]:
        return self._ask("record", path, key)  # type: ignore[no-any-return]

    def entry(self, path: Path, key: str) -> Sequence[EntryRow]:
        return [_opened_entry(row) for row in self._ask("entry", path, key)]

    def past(self, path: Path, key: str) -> list[EntryRow]:
        return [_opened_entry(row) for row in self._ask("past", path, key)]

    def members(self, blob: int) -> list[MemberRow]:
        return [MemberRow(*row)._replace(blob=_opened(row.blob)) for row in self._ask("members", _sealed(blob))]

    def keys(self, path: Path, start: str, end: str | None, limit: int) -> list[str]:
        return self._ask("keys", path, start, end, limit)  # type: ignore[no-any-return]

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
        wanted = None if tags is None else dict(tags)
        return self._ask("search", path, start, end, wanted, order, after, limit)  # type: ignore[no-any-return]

    def scope_id(self, path: Path) -> int | None:
        return self._ask("scope_id", path)  # type: ignore[no-any-return]

    # --- scopes -----------------------------------------------------------------------------------------------------

    def usage(self, path: Path, *, expired: bool = False) -> Usage:
        return self._ask("usage", path, expired)  # type: ignore[no-any-return]

    def scope(self, path: Path) -> ScopeInfo | None:
        row = self._ask("scope", path)
        return None if row is None else _info(row)

    def create_scope(
        self,
        path: Path,
        properties: Mapping[str, Any] | None = None,
        *,
        exist_ok: bool = True,
        created: float | None = None,
    ) -> None:
        try:
            text = None if properties is None else json.dumps(dict(properties))
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidArgumentError(f"properties of a scope are a JSON object: {error}") from None
        self._ask("create_scope", path, text, exist_ok, created)

    def children(self, path: Path, after: tuple[str, str] | None, limit: int) -> list[ScopeInfo]:
        return [_info(row) for row in self._ask("children", path, after, limit)]

    def rename_scope(self, path: Path, name: str) -> None:
        self._ask("rename_scope", path, name)

    def drop_scope(self, path: Path, *, only_empty: bool = False) -> None:
        self._ask("drop_scope", path, only_empty)

    def was_dropped(self, path: Path) -> bool:
        return self._ask("was_dropped", path)  # type: ignore[no-any-return]

    def policy(self, path: Path) -> Policy | None:
        return self._ask("policy", path)  # type: ignore[no-any-return]

    def set_policy(self, path: Path, policy: Policy | None, before: Policy | None = None) -> bool:
        return self._ask("set_policy", path, policy, before)  # type: ignore[no-any-return]

    def past_keys(self, path: Path, start: str, end: str | None, limit: int) -> list[str]:
        return self._ask("past_keys", path, start, end, limit)  # type: ignore[no-any-return]

    # --- shared rows: they stay, so each is asked for once ------------------------------------------------------------

    def codec_id(self, codec: Codec) -> int:
        self._check_open()
        found = self._codec_ids.get(codec)
        if found is None:
            found = self._codec_ids[codec] = self._ask("codec_id", codec)
            self._codecs[found] = codec
        return found

    def codec(self, id: int) -> Codec:
        self._check_open()
        found = self._codecs.get(id)
        if found is None:
            found = self._codecs[id] = self._ask("codec", id)
        return found

    def storage_id(self, name: str, url: str) -> int:
        self._check_open()
        if name == SERVED:
            return int(url.rpartition("#")[2])
        for number, there in self._storages.items():
            if there[:2] == (name, url):
                return number
        return self._ask("storage_id", name, url)  # type: ignore[no-any-return]

    def _storage(self, id: int) -> tuple[str, str, bool]:
        self._check_open()
        found = self._storages.get(id)
        if found is None:
            found = self._storages[id] = self._ask("storage", id)
        return found

    def storage(self, id: int) -> tuple[str, str]:
        """See the contract; those that the service reads are of the name :data:`SERVED`."""
        name, url, served = self._storage(id)
        return (SERVED, f"{self._channel.url}#{id}") if served and name not in _OWN else (name, url)

    def storage_name(self, id: int) -> str:
        return self._storage(id)[0]

    def storages(self) -> list[int]:
        return self._ask("storages")  # type: ignore[no-any-return]

    def now(self) -> float:
        """The catalog's clock, as far as it is known here: never ahead of it, and behind it by no more than an answer
        takes on its way."""
        self._check_open()
        if time.monotonic() - self._clock[0] > _CLOCK:
            self._hear(str(self._ask("now")))
        here, there = self._clock
        return there + time.monotonic() - here

    def settled(self) -> float:
        return self._ask("settled")  # type: ignore[no-any-return]

    def _hear(self, text: str | None) -> None:
        """Set the clock by what an answer says; it was written before it came, so the latest of them is the best."""
        if text is None:
            return
        now, said, (here, there) = time.monotonic(), float(text), self._clock
        if now - here > _CLOCK or said > there + now - here:
            self._clock = now, said

    # --- leases -----------------------------------------------------------------------------------------------------

    def acquire(self, name: str, owner: str, seconds: float, *, dead: str = "") -> LeaseRow:
        return self._ask("acquire", name, owner, seconds, dead)  # type: ignore[no-any-return]

    def holder(self, name: str) -> LeaseRow | None:
        return self._ask("holder", name)  # type: ignore[no-any-return]

    def renew(self, fence: Fence, seconds: float) -> LeaseRow:
        return self._ask("renew", fence, seconds)  # type: ignore[no-any-return]

    def release(self, fence: Fence) -> None:
        self._ask("release", fence)

    # --- sessions ---------------------------------------------------------------------------------------------------

    def sessions(self) -> list[str]:
        return self._ask("sessions")  # type: ignore[no-any-return]

    def end_session(self, session: str) -> int:
        return self._ask("end_session", session)  # type: ignore[no-any-return]

    # --- bytes ------------------------------------------------------------------------------------------------------

    def unsynced(self, *, boot: str, earlier: bool, after: int = 0, limit: int = 1000) -> list[Blob]:
        return [Blob(*row) for row in self._ask("unsynced", boot, earlier, after, limit)]

    def mark_synced(self, ids: Sequence[int]) -> None:
        self._ask("mark_synced", list(ids))

    def trust(self, id: int, blob: NewBlob) -> None:
        self._ask("trust", id, blob)

    def mark_lost(self, id: int) -> int:
        return self._ask("mark_lost", id)  # type: ignore[no-any-return]

    def sweep(self, limit: int = 1000) -> int:
        return self._ask("sweep", limit)  # type: ignore[no-any-return]

    def garbage(self, limit: int = 1000, storage: int | None = None) -> list[Blob]:
        return [Blob(*row) for row in self._ask("garbage", limit, storage)]

    def forget(self, ids: Sequence[int]) -> None:
        self._ask("forget", list(ids))

    def begin(self) -> Since:
        return self._ask("begin")  # type: ignore[no-any-return]

    def vacate(self, ids: Sequence[int]) -> None:
        self._ask("vacate", list(ids))

    def abandon(self, put: Put) -> None:
        self._ask("abandon", _sealed_put(put))

    def known(self, storage: int, configs: Sequence[str]) -> set[str]:
        return self._ask("known", storage, list(configs))  # type: ignore[no-any-return]

    def barrier(self) -> None:
        self._ask("barrier")

    def garbage_size(self) -> tuple[int, int, int]:
        return self._ask("garbage_size")  # type: ignore[no-any-return]

    def _check_open(self) -> None:
        self._channel.check_open()

    def close(self) -> None:
        """Close the connections; later calls raise ClosedError."""
        self._channel.close()


# --- ids of blobs: sealed ones are bytes on the way, and large integers here ------------------------------------------


def _opened(blob: Any) -> Any:
    return int.from_bytes(blob) | _SEALED if isinstance(blob, bytes) else blob


def _sealed(blob: Any) -> Any:
    return (blob - _SEALED).to_bytes(SEALED_ID) if isinstance(blob, int) and blob >= _SEALED else blob


def _opened_entry(row: tuple[Any, ...]) -> EntryRow:
    place = HEAD + PLACE
    if isinstance(row[place], bytes):
        return (*row[:place], _opened(row[place]), *row[place + 1 :])
    return row


def _sealed_put(put: Put) -> Put:
    if put.members:
        return put._replace(members=tuple(Member(_sealed(member.blob), *member[1:]) for member in put.members))
    return put if put.blob is None else put._replace(blob=_sealed(put.blob))


def _sealed_change(change: Change) -> Change:
    if isinstance(change, Put):
        return _sealed_put(change)
    return change._replace(put=_sealed_put(change.put)) if isinstance(change, Restore) else change


def _info(row: Any) -> ScopeInfo:
    return ScopeInfo(row.path, row.since, json.loads(row.properties))
