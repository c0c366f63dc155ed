"""verify: are the bytes that the records name there, whole, and the ones that were written?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from ..address import Path, format_address, format_path, parse_address
from ..catalog.base import HEAD, ValueRow
from ..contents import rows_of
from ..errors import (
    DecodeError,
    HoldfastError,
    InvalidArgumentError,
    NotFoundError,
    NotRegisteredError,
    StoreError,
    ValueLost,
)
from ..kernel import Kernel
from ..model import DURABLE, KEPT, STORABLE
from ..reading import every, locate, missing, seen, stored_chunks
from ..stopping import go_on

__all__ = ["Problem", "Verified", "Verifying", "scopes_from"]

_REMEMBERED = 1 << 20  # bytes from which on a blob that several records name is hashed only once

_Target = tuple[Path, str]  # a scope and a key


class Problem(NamedTuple):
    """One record whose bytes are not what they should be.

    Attributes:
        address: scope and key.
        version: the record's version.
        code: ``integrity`` (other bytes), ``value_lost`` (no bytes), or the code of the error that kept them from
            being read.
        message: what was found.
    """

    address: str
    version: int
    code: str
    message: str


class Verified(NamedTuple):
    """What a verification looked at and found.

    Attributes:
        records: records and old versions looked at.
        size: their bytes together.
        problems: those that are not as they should be; empty when all is well.
        seconds: how long it took.
    """

    records: int
    size: int
    problems: list[Problem]
    seconds: float

    @property
    def fine(self) -> bool:
        """Whether every record's bytes are the ones that were put."""
        return not self.problems


class Verifying:
    """The verb that a store has from here."""

    _kernel: Kernel

    def verify(
        self: Any, addresses: str | Iterable[str] | None = None, *, progress: Callable[[int], object] | None = None
    ) -> Verified:
        """Read and hash the bytes of all records, or of those named, and of the versions that are kept beside them;
        safe beside readers and writers of any process.

        Nothing is changed and nothing is decoded, so that no code of a stored value runs.

        Args:
            addresses: a record, a scope (with all below it) or, ending in ``/``, a prefix of keys, or several of
                them; None for everything.
            progress: called with the number of bytes of each piece that was looked at.

        Raises:
            NotFoundError: an address that names nothing.
            InvalidArgumentError: an address that is not well formed.
        """
        run = _Run(self._kernel, progress)
        if isinstance(addresses, str):
            addresses = [addresses]
        if addresses is None:
            targets = _below(self)
        else:
            targets = (target for address in addresses for target in _named(self, address))
        for path, key in targets:
            run.check(path, key)
        return run.report()


def scopes_from(place: Any) -> Iterator[Any]:
    """A store or scope itself, then all scopes below it, each before those below it."""
    waiting: list[Iterator[Any]] = [iter((place,))]
    while waiting:
        scope = next(waiting[-1], None)
        if scope is None:
            waiting.pop()
        else:
            yield scope
            waiting.append(scope.children())


def _below(place: Any) -> Iterator[_Target]:
    """Every key of a scope and of all scopes below it."""
    return ((scope.path, key) for scope in scopes_from(place) if scope.path for key in _keys(scope))


def _keys(scope: Any) -> Iterator[str]:
    """The keys of a scope, then the deleted ones that it keeps old versions of."""
    yield from scope
    page: list[str] = []
    while page := scope._kernel.catalog.past_keys(scope.path, page[-1] + "\0" if page else "", None, 1000):
        yield from (key for key in page if not scope.exists(key))


def _named(store: Any, address: str) -> Iterator[_Target]:
    path, key = parse_address(address)
    scope = store.scope(format_path(path))
    if key is None:
        scope.info()
        yield from _below(scope)
    elif key.endswith("/"):
        found = False
        for name in scope.keys(key):
            found = True
            yield path, name
        if not found:
            raise missing(path, key)
    elif scope.exists(key):
        yield path, key
    else:
        raise missing(path, key)


class _Run:
    """One verification and what it found so far."""

    def __init__(self, kernel: Kernel, progress: Callable[[int], object] | None) -> None:
        self._kernel = kernel
        self._progress = progress
        self._began = time.monotonic()
        self._blobs: set[int] = set()
        self._kept: tuple[Path, bool] = ((), False)  # whether the scope looked at keeps old versions
        self._records = 0
        self._size = 0
        self._problems: list[Problem] = []

    def report(self) -> Verified:
        return Verified(self._records, self._size, self._problems, time.monotonic() - self._began)

    def check(self, path: Path, key: str) -> None:
        """Look at one record, at the durable one also behind one in memory, and at the versions of its key that are
        kept; one that was deleted meanwhile is none."""
        if path != self._kept[0]:
            policy = self._kernel.catalog.policy(path)
            self._kept = (path, policy is not None and policy.history > 0)
        for row in every(self._kernel, self._kernel.catalog, path, key):
            self._check(path, key, row, partial(seen, self._kernel, self._kernel.catalog, path, key, row[0]))
        for kept in self._kernel.catalog.past(path, key) if self._kept[1] else ():
            self._check(path, key, kept[HEAD:], partial(self._past, path, key, kept[2]))

    def _check(
        self, path: Path, key: str, row: tuple[Any, ...] | None, look: Callable[[], tuple[Any, ...] | None]
    ) -> None:
        go_on()
        while row is not None:
            try:
                self._hash(path, key, row)
            except (DecodeError, InvalidArgumentError, NotFoundError, NotRegisteredError, StoreError) as error:
                again = look()
                if isinstance(error, ValueLost) and again != row:
                    row = again  # replaced or deleted, and collected, since it was looked up
                    continue
                if row[0] == DURABLE or not isinstance(error, (ValueLost, StoreError)):  # memory may lose, or be away
                    self._problems.append(_problem(path, key, row[1], error))
            self._records += 1
            self._size += row[5]
            return

    def _past(self, path: Path, key: str, version: int) -> tuple[Any, ...] | None:
        kept = [row[HEAD:] for row in self._kernel.catalog.past(path, key) if row[2] == version]
        return kept[0] if kept else None

    def _hash(self, path: Path, key: str, row: tuple[Any, ...]) -> None:
        kernel = self._kernel
        serializer = kernel.catalog.codec(row[6]).serializer
        if serializer == KEPT:  # it has no bytes here
            where = format_address(path, key)
            storage, place = locate(kernel, where, ValueRow._make(row))
            if not storage.sync([place])[0]:
                raise ValueLost(f"what {where} has in {storage.name} is gone")
            return
        if serializer != STORABLE:
            self._hash_one(path, key, row)
            return
        for _ in stored_chunks(kernel, path, key, row)[1]:
            pass  # what lies in the record; its pieces are told as those of the contents
        for _, inner, one in rows_of(kernel, kernel.catalog, path, key, ValueRow._make(row)):
            self._hash_one(path, inner, one)

    def _hash_one(self, path: Path, key: str, row: tuple[Any, ...]) -> None:
        size, blob = row[5], row[10]
        if blob in self._blobs:
            self._tell(size)
            return
        for piece in stored_chunks(self._kernel, path, key, row)[1]:
            self._tell(len(piece))
        if blob is not None and size >= _REMEMBERED:
            self._blobs.add(blob)

    def _tell(self, size: int) -> None:
        if self._progress is not None:
            self._progress(size)


def _problem(path: Path, key: str, version: int, error: HoldfastError) -> Problem:
    return Problem(format_address(path, key), version, error.code, error.message)
