"""A scope: a node of the tree, its records and its own life."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from json import dumps
from typing import Any, Self, Unpack, cast

from .address import Path, format_path
from .catalog.base import Ledger, Usage
from .errors import InvalidArgumentError, InvalidScopeError, NotFoundError
from .files import Files
from .kernel import Kernel
from .model import Record, ScopeInfo
from .navigation import Navigation, S
from .options import PutOptions, check_options
from .transaction import Atomic, Buffered, Transaction

__all__ = ["BaseScope"]


class BaseScope(Navigation[S], Files):
    """One scope of a store, named by its path: the scope itself comes into being when something is put into it.

    It is also a mapping: ``scope[key]``, ``key in scope``, iteration over keys.
    """

    def __init__(
        self, kernel: Kernel, path: Path, ledger: Ledger | None = None, defaults: PutOptions | None = None
    ) -> None:
        if not path:
            raise InvalidScopeError("the root holds scopes and no records: name a scope, as in store.namespace('prod')")
        self._kernel = kernel
        self._ledger = kernel.catalog if ledger is None else ledger
        self._defaults = defaults
        self.path = path

    def _at(self, path: Path) -> S:
        return cast(S, type(self)(self._kernel, path, self._ledger, self._defaults))

    def using(self, **options: Unpack[PutOptions]) -> Self:
        """A handle on this scope whose writes have these options, unless they say another; so have those of the handles
        on scopes below that are made from it.

        Raises:
            TypeError, InvalidArgumentError: no such option, or one that is not legal.
        """
        given: PutOptions = {**(self._defaults or {}), **options}
        check_options({**given, "lease": None}, self._kernel.catalog.now, False)  # which may be taken later
        return type(self)(self._kernel, self.path, self._ledger, given)

    @property
    def kind(self) -> str:
        """Kind of this scope, such as ``namespace``."""
        return self.path[-1][0]

    @property
    def name(self) -> str:
        """Name of this scope among those of its kind beside it."""
        return self.path[-1][1]

    def put_many(
        self, values: Mapping[str, Any] | Iterable[tuple[str, Any]], **options: Unpack[PutOptions]
    ) -> list[Record]:
        """Store several values in one commit, all or none, and give their records."""
        pairs = _pairs(values.items() if isinstance(values, Mapping) else values)
        if isinstance(self._ledger, Buffered):
            return [self.put(key, value, **options) for key, value in pairs]
        atomic = self.transaction(durability=options.get("durability"))
        with atomic as inside:
            keys = [inside.put(key, value, **options).key for key, value in pairs]
        last = {record.key: record for record in atomic.records}
        return [last[key] for key in keys]

    # --- transactions -------------------------------------------------------------------------------------------------

    def transaction(self, *, durability: str | None = None) -> Atomic[Self]:
        """A block whose writes to this scope and those below it are one commit, or none if it raises.

        Gives the scope to write to. Reads inside see the block's own writes; a value read that somebody else changed
        before the end is a ConflictError, and nothing is written.
        """
        self._outside()
        return Atomic(self._kernel, self._inside, durability)

    def within(self, transaction: Transaction[Any]) -> Self:
        """This scope, acting in a transaction of the store.

        Raises:
            InvalidArgumentError: the transaction is one of another store.
        """
        if not self._kernel.same_store(transaction._kernel):
            raise InvalidArgumentError(f"{self} is in another store than the transaction: take one of its own store")
        return self._inside(transaction.ledger)

    def _inside(self, ledger: Buffered) -> Self:
        return type(self)(self._kernel, self.path, ledger, self._defaults)

    # --- the scope itself ---------------------------------------------------------------------------------------------

    def create(self, properties: Mapping[str, Any] | None = None, *, exist_ok: bool = True) -> Self:
        """Make the scope, empty, and those above it; given properties (JSON) replace those it has.

        Raises:
            ExistsError: it exists and ``exist_ok`` is False.
        """
        self._outside()
        _check_properties(properties)
        self._kernel.catalog.create_scope(self.path, properties, exist_ok=exist_ok)
        self._kernel.settle()
        return self

    def info(self) -> ScopeInfo:
        """Path, creation time and properties.

        Raises:
            NotFoundError: nothing was ever put here, or the scope was dropped.
        """
        found = self._kernel.catalog.scope(self.path)
        if found is None:
            raise NotFoundError(f"no scope {format_path(self.path)}")
        return found

    def usage(self, *, expired: bool = False) -> Usage:
        """How many records this scope itself holds and how many bytes in all; not those of the scopes below it.

        With ``expired`` of its records that ended and are not collected yet.
        """
        self._kernel.sessions.settle()
        return self._kernel.catalog.usage(self.path, expired=expired)

    @property
    def present(self) -> bool:
        """Whether the scope exists now."""
        return self._kernel.catalog.scope(self.path) is not None

    @property
    def was_dropped(self) -> bool:
        """Whether the scope was dropped and not written to since."""
        return self._kernel.catalog.was_dropped(self.path)

    def rename_scope(self, name: str) -> Self:
        """Give the scope another name, with all that is in it and below it, in one commit; gives it under that name.

        A put that began under the old name and did not commit yet fails.

        Raises:
            NotFoundError: no such scope.
            ExistsError: that name is taken.
        """
        self._outside()
        self._kernel.catalog.rename_scope(self.path, name)
        self._kernel.settle()
        return type(self)(self._kernel, (*self.path[:-1], (self.kind, name)), None, self._defaults)

    def drop(self, *, missing_ok: bool = False, only_empty: bool = False) -> None:
        """Remove the scope and all below it in one commit. Records are hidden at once and collected later.

        Raises:
            NotFoundError: no such scope.
            ConflictError: with ``only_empty``, and it has a record or a scope below it.
        """
        self._outside()
        if only_empty:
            self._kernel.sessions.settle()
        try:
            self._kernel.catalog.drop_scope(self.path, only_empty=only_empty)
            self._kernel.settle()
        except NotFoundError:
            if not missing_ok:
                raise

    def _outside(self) -> None:
        if isinstance(self._ledger, Buffered):
            raise InvalidArgumentError(
                f"{self} acts in a transaction already: a scope is created, renamed and dropped, and another "
                "transaction begun, outside of transactions"
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BaseScope) and (self._kernel, self.path) == (other._kernel, other.path)

    def __hash__(self) -> int:
        return hash(self.path)

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self._ledger, Buffered):
            raise InvalidArgumentError("a scope inside a transaction stays in its process")
        return type(self), (self._kernel, self.path, None, self._defaults)

    def __str__(self) -> str:
        return format_path(self.path)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {format_path(self.path)}>"


def _pairs(values: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    problem = "put_many takes a mapping, or pairs of key and value"
    if not isinstance(values, Iterable):
        raise InvalidArgumentError(f"{problem}, not {values!r}")
    for pair in values:
        try:
            key, value = pair
        except (TypeError, ValueError):
            raise InvalidArgumentError(f"{problem}, not {pair!r}") from None
        yield key, value


def _check_properties(properties: Mapping[str, Any] | None) -> None:
    try:
        if properties is not None:
            dumps(dict(properties), allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"properties must be JSON: {error}") from error
