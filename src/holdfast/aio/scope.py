"""``scope.aio``: the verbs of a scope, to be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from functools import cached_property, partial
from typing import Any, Literal, Self, Unpack, overload

from ..address import Path, check_key
from ..artifact import Artifact, Artifacts
from ..catalog.base import HEAD
from ..history import Histories
from ..model import Entry, Record
from ..navigation import Names, Navigation
from ..objects import put, putting
from ..options import PutOptions
from ..payload import Buffer
from ..reading import load, make_record, missing, seen
from ..scope import BaseScope
from ..steps import Steps
from ..stream import Stream
from ..streams import Draft, check_values, flat, write_values
from ..values import RAISE
from .artifact import AsyncArtifact
from .driver import is_brief, is_plain
from .files import Opening
from .flows import AsyncFlows
from .graph import AsyncResults, AsyncRuns
from .stream import AsyncStream
from .transaction import AsyncAtomic
from .verbs import Colour, Looked, Shown, brief, described, lifted, look, paged, pages
from .ways import LATER, Later

__all__ = ["AsyncScope", "AsyncTransaction", "Below"]

_Results = list[Any]  # a class here has a verb of the name list
_PIECE = 1 << 18  # bytes of an asynchronous stream that are gathered before they go to a thread


class Below(Colour, Names["AsyncScope"]):
    """Names the scopes below something, and lists those that exist."""

    path = Shown[Path]()

    def _at(self, path: Path) -> AsyncScope:
        return AsyncScope(self._sync._at(path), self._driver)

    @described(Navigation.children)
    async def children(self, kind: str | None = None) -> AsyncIterator[AsyncScope]:
        verb = partial(self._sync.children, kind)
        async for scope in pages(self._driver, verb, verb()):
            yield AsyncScope(scope, self._driver)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self._sync, "aio")


class AsyncTransaction(Below):
    """What ``store.aio.transaction()`` gives: scopes named from it write in its one commit."""


class AsyncScope(Below):
    """A scope for async programs. Its verbs are those of :class:`~holdfast.Scope`, to be awaited.

    None of them blocks the loop: small values are read and written in it, all else in threads of the store's own; so
    are functions and iterables that are passed in called there. A verb whose await is cancelled is over then, and was
    done wholly or not at all.

    Attributes:
        path, kind, name: as of the scope itself.
        present, was_dropped: to be awaited.
    """

    kind = Shown[str]()
    name = Shown[str]()

    def __str__(self) -> str:
        return str(self._sync)

    @described(BaseScope.using)
    def using(self, **options: Unpack[PutOptions]) -> AsyncScope:
        return AsyncScope(self._sync.using(**options), self._driver)

    # --- values -------------------------------------------------------------------------------------------------------

    @described(BaseScope.put)
    async def put(self, key: str, value: Any, **options: Unpack[PutOptions]) -> Record:
        scope = self._sync
        kernel, plan = scope._kernel, scope._plan(options)
        what = (kernel, scope._ledger, scope.path, check_key(key), value, plan)
        if plan.serializer is None and plan.compression is None and plan.tier is None and not plan.power:
            done = await self._driver.brief_if(partial(is_brief, kernel, value), partial(put, *what))
            if done is not LATER:
                return done
        return await self._driver.drive(partial(putting, *what))

    @described(BaseScope.get)
    async def get(
        self,
        key: str,
        default: Any = RAISE,
        *,
        verify: bool = False,
        trust: bool = False,
        version: int | None = None,
        tier: str | None = None,
    ) -> Any:
        if version is not None or tier is not None:
            verb = partial(self._sync.get, key, default, verify=verify, trust=trust, version=version, tier=tier)
            return self._shown(await self._driver.away(verb))
        found = await self._driver.here(partial(_get_plain, self._sync, key, default))
        if found is not LATER:
            return found
        return self._shown(await self._driver.drive(partial(_get, self._sync, key, default, verify, trust)))

    def _shown(self, value: Any) -> Any:
        return AsyncStream(self._driver, value) if isinstance(value, Stream) else value

    @described(BaseScope.entry)
    async def entry(self, key: str, *, verify: bool = False, trust: bool = False) -> Entry[Any]:
        found = await self._driver.here(partial(_plain_entry, self._sync, key))
        if found is not LATER:
            return found
        entry = await self._driver.away(partial(self._sync.entry, key, verify=verify, trust=trust))
        return Entry(self._shown(entry.value), entry.record)

    record = look(BaseScope.record)
    contents = look(BaseScope.contents)
    exists = look(BaseScope.exists)
    delete = brief(BaseScope.delete)
    add = brief(BaseScope.add)
    touch = brief(BaseScope.touch)
    set_tags = brief(BaseScope.set_tags)
    set_content_type = brief(BaseScope.set_content_type)
    update = lifted(BaseScope.update)
    copy = lifted(BaseScope.copy)
    rename = lifted(BaseScope.rename)
    history = look(Histories.history)
    restore = brief(Histories.restore)
    policy = look(Histories.policy)
    set_policy = lifted(Histories.set_policy)
    _get_many = lifted(BaseScope.get_many)
    put_many = lifted(BaseScope.put_many)
    keys = paged(BaseScope.keys)
    list = paged(BaseScope.list)

    @described(BaseScope.get_many)
    async def get_many(self, keys: Iterable[str], *, trust: bool = False) -> dict[str, Any]:
        return {key: self._shown(value) for key, value in (await self._get_many(keys, trust=trust)).items()}

    def __aiter__(self) -> AsyncIterator[str]:
        return self.keys()

    async def put_stream(
        self, key: str, values: Iterable[Any] | AsyncIterable[Any], **options: Unpack[PutOptions]
    ) -> Record:
        """Store a stream of values, taken and written one at a time; :meth:`get` gives an asynchronous iterator. If
        anything fails on the way, nothing is stored.

        An asynchronous iterable runs in this loop, in a task of its own, and is asked for a value when the one before
        is written; another one is run in a thread. See :meth:`Scope.put_stream <holdfast.Scope.put_stream>`.
        """
        scope, driver = self._sync, self._driver
        plan = scope._plan(options)
        check_values(scope._kernel.registry, values)
        draft = await driver.away(partial(Draft, scope._kernel, scope._ledger, scope.path, check_key(key), plan))
        try:
            await driver.alone(partial(write_values, draft, values))
            return await driver.drive(draft.commit)
        except (asyncio.CancelledError, Exception):
            await driver.away(draft.abort, must=True)
            raise

    # --- files --------------------------------------------------------------------------------------------------------

    @overload
    def open(self, key: str, mode: Literal["rb", "wb", "xb"], **options: Unpack[PutOptions]) -> Opening[bytes]: ...
    @overload
    def open(
        self, key: str, mode: Literal["r", "rt", "w", "x", "wt", "xt"] = "r", *, encoding: str = ...,
        newline: str | None = ..., **options: Unpack[PutOptions],
    ) -> Opening[str]: ...  # fmt: skip
    @overload
    def open(
        self, key: str, mode: str, *, encoding: str = ..., newline: str | None = ..., **options: Unpack[PutOptions]
    ) -> Opening[Any]: ...
    @described(BaseScope.open)
    def open(
        self, key: str, mode: str = "r", *, encoding: str = "utf-8", newline: str | None = None, **options: Any
    ) -> Opening[Any]:
        verb = partial(self._sync.open, key, mode, encoding=encoding, newline=newline, **options)
        return Opening(self._driver, verb)

    async def put_chunks(
        self, key: str, chunks: Iterable[Buffer] | AsyncIterable[Buffer], **options: Unpack[PutOptions]
    ) -> Record:
        """Store the bytes of an iterable as a file; if it raises, nothing is stored.

        An asynchronous one is asked for more when what it gave is written; another one is run in a thread.
        """
        scope, driver = self._sync, self._driver
        if not isinstance(chunks, AsyncIterable):
            return await driver.away(partial(scope.put_chunks, key, chunks, **options))
        plan = scope._plan(options)
        draft = await driver.away(partial(Draft, scope._kernel, scope._ledger, scope.path, check_key(key), plan))
        try:
            pieces, size = [], 0
            async for chunk in chunks:
                piece = flat(chunk)
                size += len(piece)
                pieces.append(piece if size >= _PIECE else bytes(piece))
                if size >= _PIECE:
                    await driver.drive(partial(_write, draft, pieces))
                    pieces, size = [], 0
            return await driver.drive(partial(_write_last, draft, pieces))
        except (asyncio.CancelledError, Exception):
            await driver.away(draft.abort, must=True)
            raise

    @described(BaseScope.get_chunks)
    def get_chunks(self, key: str, *, content: str | None = None) -> AsyncIterator[bytes]:
        return self._chunks(check_key(key), content)

    async def _chunks(self, key: str, content: str | None) -> AsyncIterator[bytes]:
        pieces = await self._driver.away(partial(self._sync.get_chunks, key, content=content))
        while piece := await self._driver.away(partial(next, pieces, b"")):
            yield piece

    put_file = lifted(BaseScope.put_file)
    put_dir = lifted(BaseScope.put_dir)
    get_file = lifted(BaseScope.get_file)
    get_dir = lifted(BaseScope.get_dir)
    get_bytes = lifted(BaseScope.get_bytes)

    # --- graphs ------------------------------------------------------------------------------------------------------

    async def run(
        self,
        *nodes: Any,
        executor: Any = None,
        reuse: str | None = "inputs",
        again: str | None = None,
        progress: Any = None,
        most: int | None = None,
    ) -> _Results:
        """Run a graph in a thread; cancelled, it is interrupted. See :meth:`Scope.run <holdfast.Scope.run>`."""
        scope: Any = self._sync
        run = partial(scope.run, *nodes, executor=executor, reuse=reuse, again=again, progress=progress, most=most)
        found: _Results = await self._driver.away(run)
        return found

    @cached_property
    def results(self) -> AsyncResults:
        """The stored results of this scope's graphs, by the names of their nodes."""
        scope: Any = self._sync
        return AsyncResults(scope.results, self._driver)

    @cached_property
    def runs(self) -> AsyncRuns:
        """The runs of this scope's graphs."""
        scope: Any = self._sync
        return AsyncRuns(scope.runs, self._driver)

    @property
    def flows(self) -> AsyncFlows:
        """The flows of this namespace."""
        scope: Any = self._sync
        return AsyncFlows(scope.flows, self._driver)

    # --- artifacts and transactions -----------------------------------------------------------------------------------

    def artifact(self, name: str) -> AsyncArtifact[AsyncScope]:
        """The artifact of a name in this scope; it comes into being when it is first written to."""
        return AsyncArtifact(Artifact(self._sync.scope("artifact", name)), self._driver, AsyncScope)

    @described(Artifacts.artifacts)
    async def artifacts(self) -> AsyncIterator[AsyncArtifact[AsyncScope]]:
        async for scope in self.children("artifact"):
            yield AsyncArtifact(Artifact(scope._sync), self._driver, AsyncScope)

    @described(BaseScope.transaction)
    def transaction(self, *, durability: str | None = None) -> AsyncAtomic[AsyncScope]:
        return AsyncAtomic(self._driver, self._sync.transaction(durability=durability), AsyncScope)

    @described(BaseScope.within)
    def within(self, transaction: AsyncTransaction) -> AsyncScope:
        return AsyncScope(self._sync.within(transaction._sync), transaction._driver)

    # --- the scope itself ---------------------------------------------------------------------------------------------

    present = Looked[bool]()
    was_dropped = Looked[bool]()
    info = look(BaseScope.info)
    usage = lifted(BaseScope.usage)
    drop = lifted(BaseScope.drop)
    _rename = lifted(BaseScope.rename_scope)

    @described(BaseScope.create)
    async def create(self, properties: Mapping[str, Any] | None = None, *, exist_ok: bool = True) -> Self:
        await self._driver.brief(partial(self._sync.create, properties, exist_ok=exist_ok))
        return self

    @described(BaseScope.rename_scope)
    async def rename_scope(self, name: str) -> AsyncScope:
        return AsyncScope(await self._rename(name), self._driver)


# --- what the verbs do ------------------------------------------------------------------------------------------------


def _get(scope: BaseScope[Any], key: str, default: Any, verify: bool, trust: bool) -> Steps[Any]:
    row = seen(scope._kernel, scope._ledger, scope.path, key)
    return (yield from scope._get(key, row, default, verify, trust))


def _get_plain(scope: BaseScope[Any], key: str, default: Any) -> Any:
    kernel, path = scope._kernel, scope.path
    row = seen(kernel, scope._ledger, path, check_key(key))
    if row is None:
        if default is RAISE:
            raise missing(path, key)
        return default
    return load(kernel, path, key, row) if is_plain(kernel, row) else LATER


def _plain_entry(scope: BaseScope[Any], key: str) -> Entry[Any] | Literal[Later.LATER]:
    kernel, path = scope._kernel, scope.path
    row = scope._entry(check_key(key))
    if not is_plain(kernel, row[HEAD:]):
        return LATER
    return Entry(load(kernel, path, key, row[HEAD:]), make_record(kernel, path, row[:HEAD]))


def _write(draft: Draft, pieces: list[Buffer]) -> Steps[None]:
    for piece in pieces:
        yield from draft.write(piece)


def _write_last(draft: Draft, pieces: list[Buffer]) -> Steps[Record]:
    yield from _write(draft, pieces)
    return (yield from draft.commit())
