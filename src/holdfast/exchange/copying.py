"""Taking records into a store: each as it stands in its source, under its version and times, or not at all."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any

from msgspec.structs import replace

from ..address import Path, format_address
from ..catalog.base import ABSENT, HEAD, Change, Delete, Member, Policy, Put, Restore, ValueRow
from ..contents import Part, config_text
from ..errors import ConflictError, DecodeError, NotFoundError, SignatureError
from ..files import Progress
from ..hashing import digest_buffers
from ..keeper import sync_all
from ..model import STORABLE, Codec, ScopeInfo
from ..objects import ROOM
from ..options import tags_text
from ..stopping import go_on
from ..storages.inline import InlineStorage
from ..store import BaseStore
from ..upkeep.verifier import scopes_from
from ..writing import CERTAIN, let_go, settle, store_chunks
from .folder import FolderSource
from .layout import Line, parsed
from .running import Moved, Run
from .source import Pieces, Replaced, StoreSource

__all__ = ["Copying"]

_BATCH, _BATCH_BYTES = 500, 4 << 20
_ATTEMPTS = 100
_REMEMBERED = 1 << 16  # pieces that are shared, should equal ones come

_Pending = tuple[Line, Restore | Put]


class Copying(Run):
    """One run from a source to a store, which others may use meanwhile."""

    def __init__(
        self, source: StoreSource | FolderSource, store: BaseStore[Any], replace: bool, progress: Progress
    ) -> None:
        super().__init__(progress)
        self._source = source
        self._here = StoreSource(store)
        self._kernel = self._here.kernel
        self._replace = replace
        self._path: Path = ()
        self._pending: list[_Pending] = []  # of this scope
        self._waiting = 0  # bytes of these
        self._places: dict[str, tuple[Path, str]] = {}

    def run(self, gone_from: StoreSource | None = None) -> Moved:
        """Take over what is newer; and remove what is gone from that store."""
        try:
            for info in self._source.scopes():
                self._scope(info, gone_from)
            if gone_from is not None:
                for scope in scopes_from(self._here.store):
                    if scope.path and gone_from.kernel.catalog.scope(scope.path) is None:
                        scope.drop(missing_ok=True)
                        self.count["removed"] += 1
        finally:
            self._let_go(self._pending)
        sync_all(self._kernel)  # what was copied may be removed where it came from
        self._kernel.catalog.barrier()
        return self.moved()

    def _scope(self, info: ScopeInfo, gone_from: StoreSource | None) -> None:
        self.count["scopes"] += 1
        found = self._kernel.catalog.scope(info.path)
        if found != info:
            properties = info.properties if found or info.properties else None
            self._kernel.catalog.create_scope(info.path, properties, created=info.since)
        self._path = info.path
        asked, there = self._source.policy(info.path), self._here.policy(info.path)
        if not self._replace:  # old versions that only this store has stay
            asked = asked._replace(history=max(asked.history, there.history))
        if there != asked or asked[1:] != (None, None):  # limits hold again when what is gone is removed
            self._kernel.catalog.set_policy(info.path, Policy(asked.history))
        try:
            self._records(gone_from)
        finally:
            if asked[1:] != (None, None):
                self._kernel.catalog.set_policy(info.path, asked)

    def _records(self, gone_from: StoreSource | None) -> None:
        for head, here in self._pairs():
            if head is not None:
                self._take(head, here)
        for head in self._source.past(self._path):
            self._take_past(head)
        self._flush()
        if gone_from is not None:
            self._remove(gone_from)

    def _take_past(self, head: Line) -> None:
        if not any(row[2] == head.version for row in self._kernel.catalog.past(self._path, head.key)):
            with self.failing(self._path, head.key, head.version):
                if head.version > self._source.highest:
                    told = f"version {head.version} is above {self._source.highest}: only the newest comes in"
                    raise DecodeError(told)
                found = self._source.fetch(self._path, head)
                if found is not None:
                    self._put(*found, None, None)

    def _pairs(self) -> Iterator[tuple[Line | None, Line | None]]:
        """Records of the scope by key: as they are in the source, and here."""
        sides = (_marked(side.heads(self._path), number) for number, side in enumerate((self._source, self._here)))
        marked = heapq.merge(*sides, key=lambda one: one[:2])
        for _, group in groupby(marked, key=lambda one: one[0]):
            pair = {number: line for _, number, line in group}
            yield pair.get(0), pair.get(1)

    def _remove(self, source: StoreSource) -> None:
        for head, here in self._pairs():
            if head is None and here is not None and source.row(self._path, here.key) is None:
                with suppress(ConflictError, NotFoundError):  # somebody wrote to it meanwhile
                    delete = Delete(self._path, here.key, if_version=here.version)
                    self._kernel.catalog.commit([delete], power=self._kernel.power)
                    self.count["removed"] += 1

    # --- one record ---------------------------------------------------------------------------------------------------

    def _take(self, head: Line, here: Line | None = None, above: bool = False) -> None:
        """Take one record over, unless the one here is as new; ``above``: under a new version."""
        go_on()
        if here is not None and here.stamp == head.stamp and head.signature is None:  # else ours is to be seen
            self._there(head)
            return
        with self.failing(self._path, head.key, head.version):
            for _ in range(_ATTEMPTS):
                if self._carry(head, above):
                    return
            raise ConflictError(f"{format_address(self._path, head.key)} is written to all the time: try again")

    def _carry(self, head: Line, above: bool) -> bool:
        """False when somebody wrote to the record here meanwhile, or removed what was to be shared: look again."""
        found = self._source.fetch(self._path, head)
        if found is None or (found[0].expires is not None and found[0].expires <= self._kernel.catalog.now()):
            return True
        line, pieces = found
        anew = line.version > self._source.highest
        above = above or anew
        row = self._here.row(self._path, line.key)
        if row is None:
            return self._put(line, pieces, None, ABSENT if above else None)
        here, value = self._here.line(self._path, row), ValueRow._make(row[HEAD:])
        there = None if self._kernel.storage.shares and here.tags != line.tags else value  # a router may go by tags
        if here.content == line.content and (anew or here.version >= line.version):
            if here.signature is None and line.signature is not None and self._source.signer is not None:
                line.version, line.flags = here.version, here.flags
                line.created, line.updated = here.created, here.updated
                return self._put(line, pieces, value, None, Delete(self._path, line.key, if_version=here.version))
            self._there(line)
        elif here.updated > line.updated and not self._replace:
            self.leave(self._path, line.key)
        elif here.version < line.version:
            return self._put(line, pieces, there, here.version if above else None)
        elif here.updated < line.updated or self._replace:
            return self._put(line, pieces, there, here.version)
        else:
            self.leave(self._path, line.key)
        return True

    def _put(
        self, line: Line, pieces: list[Pieces], here: ValueRow | None, if_version: int | None, *before: Delete
    ) -> bool:
        """Put a record; with ``if_version`` under a new version."""
        kernel, codec = self._kernel, Codec(line.serializer, line.content_type, line.encoding)
        put = Put(
            self._path, line.key, kernel.codec_ids[codec], *parsed(line.digest), line.size, line.number, None,
            line.config, None, tags_text(line.tags), line.expires, if_version=if_version,
        )  # fmt: skip
        signed, shared = self._is_signed(line), self._shared(line, here)
        if shared is not None:
            put = put._replace(data=shared.data, blob=shared.blob)
            if line.serializer == STORABLE:  # whose contents may lie elsewhere here
                put = put._replace(algorithm=shared.algorithm, digest=shared.digest, config=shared.config)
        elif line.serializer == STORABLE:
            try:
                put = self._gathered(put, line, pieces)
            except Replaced:
                return False
        elif line.number is None:
            told = self._told(pieces[0])
            put = store_chunks(kernel, put, told) if line.size > kernel.inline else put._replace(data=b"".join(told))
        if shared is not None or line.number is not None:
            self.tell(line.size)
        if signed:
            signature = kernel.signer.sign(line.serializer or "", put.config, put.algorithm, put.digest or b"")
            put = put._replace(signature=signature)
        self._remember(line)
        change = (
            put
            if if_version is not None
            else Restore(put, line.version, line.created, line.updated, line.flags, line.past)
        )
        if shared is not None or if_version is not None or before or kernel.storage.shares:
            self._flush()
            with suppress(ConflictError):
                self._commit([(line, change)], *before)
                return True
            return False
        self._pending.append((line, change))
        held = [line.signature, line.text, line.base64, put.data, put.config, put.tags]
        held += [one.text or one.base64 for one in line.contents]
        self._waiting += sum(len(one) for one in held if isinstance(one, (str, bytes)))
        if len(self._pending) >= _BATCH or self._waiting >= _BATCH_BYTES:
            self._flush()
        return True

    def _gathered(self, put: Put, line: Line, pieces: list[Pieces]) -> Put:
        """The put of an object: what lay in its record does so here, and its other contents lie in this storage."""
        kernel, data, members, placed = self._kernel, bytearray(), list[Member](), list[Part]()
        thing, parts = line.object()
        try:
            for part, content, its in zip(parts, line.contents, pieces, strict=True):
                told, small = self._told(its), part.at is not None or kernel.storage.name == InlineStorage.name
                if small and len(data) + part.size <= max(kernel.inline, ROOM):
                    placed.append(part._replace(at=len(data), member=None, storage=None, ephemeral=None))
                    data += b"".join(told)
                    continue
                codec = kernel.codec_ids[part.serializer, part.type, part.encoding]
                algorithm, digest = parsed(content.digest)
                one = put._replace(codec=codec, algorithm=algorithm, digest=digest, size=part.size)
                new = store_chunks(kernel, one, told)
                assert new.blob is not None
                name, ends = kernel.whereabouts(kernel.storage_id)
                placed.append(part._replace(at=None, member=len(members), storage=name, ephemeral=ends or None))
                members.append(Member(new.blob, algorithm, digest, part.size, new.since))
        except BaseException:
            let_go(kernel, put._replace(members=tuple(members)))
            raise
        algorithm, digest = digest_buffers([data], len(data))
        return put._replace(
            algorithm=algorithm, digest=digest, data=bytes(data), members=tuple(members),
            config=config_text(thing, placed),
        )  # fmt: skip

    def _let_go(self, pending: Sequence[_Pending]) -> None:
        for _, change in pending:
            let_go(self._kernel, _put_of(change))

    def _flush(self) -> None:
        pending, self._pending, self._waiting = self._pending, [], 0
        if pending:
            self._commit(pending)

    def _commit(self, pending: Sequence[_Pending], *before: Delete) -> None:
        changes: list[Change] = [*before, *(change for _, change in pending)]
        try:
            done = self._kernel.catalog.commit(changes, power=self._kernel.power)[len(before) :]
        except CERTAIN:
            self._let_go(pending)
            raise
        for (line, change), outcome in zip(pending, done, strict=True):
            settle(self._kernel, _put_of(change), outcome)
            if outcome.row is not None:
                self.count.update({"past" if line.past else "records": 1, "size": line.size})
            elif not line.past:  # one that is higher, but hidden or just written, was in its way
                self._take(line, above=True)
                continue
            self.count["unsigned"] += line.signature is not None and _put_of(change).signature is None

    def _told(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            self.tell(len(piece))

    def _there(self, line: Line) -> None:
        self._remember(line)
        self.tell(line.size)
        self.count["there"] += 1

    def _remember(self, line: Line) -> None:
        kernel = self._kernel  # a storage that shares says for each record where its bytes lie
        if line.size > kernel.inline and line.digest and line.serializer != STORABLE and not kernel.storage.shares:
            if len(self._places) == _REMEMBERED:
                del self._places[next(iter(self._places))]
            self._places[line.digest] = self._path, line.key

    def _shared(self, line: Line, here: ValueRow | None) -> ValueRow | None:
        """The row of a record here that has the same bytes, if one is known."""
        if line.serializer == STORABLE:
            if here is None or self._kernel.catalog.codec(here.codec).serializer != STORABLE:
                return None
            return here if replace(line, config=here.config).content == line.content else None
        rows = [] if here is None else [here]
        place = self._places.get(line.digest or "")
        if place is not None:
            self._flush()
            rows += [ValueRow._make(row) for row in self._kernel.catalog.find(*place)]
        wanted = (*parsed(line.digest), line.size)
        return next((row for row in rows if row.digest and (row.algorithm, row.digest, row.size) == wanted), None)

    def _is_signed(self, line: Line) -> bool:
        """Whether a record is to be signed here: the source signed it; False also where nobody can check that.

        Raises:
            SignatureError: the source's does not hold.
        """
        signer, (algorithm, digest) = self._source.signer, parsed(line.digest)
        if line.signature is None or signer is None:
            return False
        content = (line.serializer or "", line.config, algorithm, digest or b"")
        if not signer.holds(bytes.fromhex(line.signature), *content):
            raise SignatureError(
                f"{format_address(self._path, line.key)} is not taken over: its signature is not one of the store that "
                "it comes from, and loading it can run code"
            )
        return True


def _marked(lines: Iterator[Line], number: int) -> Iterator[tuple[bytes, int, Line]]:
    return ((line.key.encode(), number, line) for line in lines)


def _put_of(change: Restore | Put) -> Put:
    return change.put if isinstance(change, Restore) else change
