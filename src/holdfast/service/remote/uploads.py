"""Bytes that clients send before they commit them: taken, hashed, and named by a record once or deleted.

A commit takes an upload off the list that this process keeps, so that no second one can name the same place. Bytes that
another process of the service took are copied: that one may have died since, and a collector be about to remove what it
left. What nobody commits within a day is deleted.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from ...catalog.base import NewBlob, Put, Since, WriteAgain
from ...errors import InvalidArgumentError, QuotaExceededError, StoreError, ValueLost
from ...hashing import BLAKE3, SHA256, digest_buffers, hasher
from ...kernel import Kernel
from ...payload import Buffer
from ...storages.base import MappedStorage, Storage
from ...tokens import Access
from ...writing import let_go, new_blob, place_text, since_now
from .seals import Fresh, Seals

__all__ = ["CommitUploads", "Upload", "Uploads"]

_KEPT = 86_400.0  # seconds for which bytes wait for their commit
_MOST = 100_000  # uploads that wait at once, of tokens that open the same: as many as a commit can name
_SMALL = 4096  # bytes up to which a record has the SHA-256


class _Waiting(NamedTuple):
    """Bytes of this process that wait for their commit."""

    fresh: Fresh
    since: Since | None
    taken: float
    access: Access | None


class Uploads:
    """The bytes that this process took and that no record names yet. Thread-safe."""

    def __init__(self, kernel: Kernel, seals: Seals) -> None:
        self.kernel = kernel
        self._seals = seals
        self._author = secrets.token_hex(8)
        self._waiting: OrderedDict[tuple[int, str], _Waiting] = OrderedDict()
        self._numbers: Counter[Access | None] = Counter()
        self._lock = threading.Lock()

    def check_room(self, access: Access) -> None:
        """Refuse bytes of who has too many that wait.

        Raises:
            QuotaExceededError: he has.
        """
        if self._numbers[access] >= _MOST:
            told = "uploads under this token wait for their commit, which is the limit: commit or delete some first"
            raise QuotaExceededError(f"{_MOST} {told}")

    def add(self, upload: Upload, place: Any, synced: bool, access: Access) -> Any:
        """Note bytes that a storage took, and give the config that their client gets."""
        fresh = Fresh(place_text(place), *upload.digests(), synced, self._author, *upload.told)
        with self._lock:
            self._waiting[upload.number, fresh.place] = _Waiting(fresh, upload.since, time.monotonic(), access)
            self._numbers[access] += 1
        self.forget_old()
        return self._seals.fresh(upload.number, fresh)

    def forget_old(self) -> None:
        """Delete what nobody committed in time."""
        while True:
            with self._lock:
                first = next(iter(self._waiting), None)
                if first is None or time.monotonic() - self._waiting[first].taken < _KEPT:
                    return
            if self._pop(*first) is None:
                continue  # somebody else's by now
            with suppress(StoreError):
                self.kernel.storage_of(first[0]).delete(json.loads(first[1]))

    def _pop(self, storage: int, place: str) -> _Waiting | None:
        with self._lock:
            found = self._waiting.pop((storage, place), None)
            if found is not None:
                self._numbers[found.access] -= 1
                if not self._numbers[found.access]:
                    del self._numbers[found.access]
            return found

    def delete(self, storage: int, fresh: Fresh) -> None:
        """Delete bytes that are not to be committed; does nothing when they were, or are another process'."""
        if self._pop(storage, fresh.place) is not None:
            self.kernel.storage_of(storage).delete(json.loads(fresh.place))

    def synced(self, storage: int, fresh: Fresh) -> None:
        """Note that bytes are on disk."""
        with self._lock:
            found = self._waiting.get((storage, fresh.place))
            if found is not None:
                self._waiting[storage, fresh.place] = found._replace(fresh=found.fresh._replace(synced=True))

    # --- commits ----------------------------------------------------------------------------------------------------

    def claim(self, put: Put, blob: NewBlob) -> _Waiting:
        """The bytes that a put names, which no other commit gets from here on.

        Raises:
            InvalidArgumentError: what it says of them is not true.
            WriteAgain: they were committed or deleted before.
        """
        fresh = self._seals.open(blob.storage, _config(blob.config))
        if not isinstance(fresh, Fresh):
            raise InvalidArgumentError(f"{put.key!r} names bytes that are another record's: copy that one")
        if not fresh.is_of(put.algorithm, put.digest, put.size):
            raise InvalidArgumentError(f"what is said of the bytes of {put.key!r} is not true of those that were sent")
        waiting = self._pop(blob.storage, fresh.place)
        if waiting is None and fresh.author == self._author:
            raise WriteAgain(f"the bytes of {put.key!r} were committed or deleted before: send them again")
        return waiting or self._adopt(blob.storage, fresh)

    def _adopt(self, number: int, fresh: Fresh) -> _Waiting:
        """A copy, of this process, of bytes that another process of the service took."""
        told = fresh.content_type, fresh.encoding or None
        upload = Upload(self, number, json.loads(fresh.tags), fresh.size, *told)
        try:
            for piece in self.kernel.storage_of(number).read_stream(json.loads(fresh.place), 0, fresh.size + 1):
                upload.write(piece)
            digests = upload.digests()
            if digests != (fresh.size, fresh.blake3, fresh.sha256):
                raise ValueLost("other bytes are there")
            place = upload.finish(fresh.synced)
        except ValueLost as error:
            raise WriteAgain(f"bytes that another process of the service took are gone ({error}): send them") from None
        finally:
            upload.abort()
        return _Waiting(fresh._replace(place=place_text(place)), upload.since, 0.0, None)


class CommitUploads:
    """The uploads one commit consumes; several puts may name the same one.

    Args:
        uploads: where they wait.
        serves: whether a storage is the service's: bytes elsewhere are as their client says.
        sync: whether they must be on disk first.
    """

    def __init__(self, uploads: Uploads, serves: Callable[[int], bool], sync: bool) -> None:
        self._uploads, self._serves, self._sync = uploads, serves, sync
        self._taken: dict[tuple[int, str], Put] = {}

    def put(self, put: Put) -> Put:
        """A put whose new bytes, where they were sent to this service, are those that lie there; for what it raises see
        :meth:`Uploads.claim`."""
        if not put.members:
            return put._replace(**self._content(put, put.blob))
        alone = ((member, put._replace(**member._asdict(), members=())) for member in put.members)
        return put._replace(members=tuple(member._replace(**self._content(one, one.blob)) for member, one in alone))

    def _content(self, put: Put, blob: NewBlob | int | None) -> dict[str, Any]:
        if not isinstance(blob, NewBlob) or not self._serves(blob.storage):
            return {}
        name = blob.storage, blob.config
        taken = self._taken.get(name)
        if taken is None or (taken.algorithm, taken.digest, taken.size) != (put.algorithm, put.digest, put.size):
            taken = self._taken[name] = self._take(put, blob)
        return {"blob": taken.blob, "since": taken.since}

    def _take(self, put: Put, blob: NewBlob) -> Put:
        kernel, number = self._uploads.kernel, blob.storage
        waiting = self._uploads.claim(put, blob)
        place, synced = json.loads(waiting.fresh.place), waiting.fresh.synced
        storage = kernel.storage_of(number)
        there = synced or not self._sync or storage.sync([place])[0]
        if not there or (isinstance(storage, MappedStorage) and storage.identity(place) is None):
            raise WriteAgain(f"the bytes of {put.key!r} are gone from their storage: send them again")
        return put._replace(blob=new_blob(kernel, place, synced or self._sync, number), since=waiting.since)

    def let_go(self) -> None:
        """Delete the bytes: nothing was committed."""
        for put in self._taken.values():
            let_go(self._uploads.kernel, put)


class Upload:
    """One piece of bytes on its way into a storage, whose ``number`` and what it was ``told`` of them are kept; called
    from one thread at a time."""

    def __init__(
        self,
        uploads: Uploads,
        number: int,
        tags: Mapping[str, str],
        size: int | None,
        content_type: str,
        encoding: str | None,
    ) -> None:
        self._uploads, self.number = uploads, number
        self.told = json.dumps(tags), content_type, encoding or ""
        storage: Storage = uploads.kernel.storage_of(number)
        self.since = since_now(uploads.kernel, storage)
        if isinstance(storage, MappedStorage):
            size = None  # what is only announced sets no disk aside
        self._writer = storage.writer(tags, size=size, content_type=content_type, encoding=encoding)
        self._hash = hasher(BLAKE3)
        self._small: bytes | None = b""
        self._size = 0

    def write(self, data: Buffer) -> None:
        """Append bytes."""
        self._hash.update(data)
        self._size += len(data)
        if self._small is not None:
            self._small = self._small + bytes(data) if self._size <= _SMALL else None
        self._writer.write(data)

    def digests(self) -> tuple[int, str, str]:
        """Size and digests of what was written so far."""
        small = "" if self._small is None else digest_buffers([self._small], self._size)[1].hex()
        return self._size, self._hash.digest().hex(), small

    def finish(self, sync: bool) -> Any:
        """Have it complete; gives the place."""
        _, own, small = self.digests()
        digest = (SHA256, bytes.fromhex(small)) if small else (BLAKE3, bytes.fromhex(own))
        return self._writer.commit(lambda: digest, sync=sync)

    def commit(self, sync: bool, access: Access) -> Any:
        """:meth:`finish`, and give the config that the client gets."""
        return self._uploads.add(self, self.finish(sync), sync, access)

    def abort(self) -> None:
        """Leave nothing of it, unless it is complete."""
        self._writer.abort()


def _config(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
