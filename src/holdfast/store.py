"""A store: the root of the tree, and what concerns all of it."""

from __future__ import annotations

from types import TracebackType
from typing import Any, ClassVar, Self

from .address import Path, parse_address
from .catalog.base import Ledger
from .config import StoreConfig
from .errors import InvalidArgumentError
from .keeper import Keeper, sync_all, take_hold
from .kernel import Kernel
from .lease import Lease
from .navigation import Navigation, S
from .scope import BaseScope
from .transaction import Atomic, Transaction

__all__ = ["BaseStore", "OpenKernel"]


class OpenKernel(Kernel):
    """A kernel that holds the store for this machine and looks after it in the background."""

    def __init__(self, config: StoreConfig, *, create: bool = True) -> None:
        super().__init__(config, create=create)
        try:
            take_hold(self)
        except BaseException:
            super().close()
            raise
        self._keeper = Keeper(self)

    def close(self) -> None:
        """End the background thread and close."""
        self._keeper.close()
        super().close()


class BaseStore(Navigation[S]):
    """An open store. Use it as a context manager, or call :meth:`close`; share it freely between threads and forks."""

    _scope_type: ClassVar[type[BaseScope[Any]]] = BaseScope

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.path = ()

    def _at(self, path: Path, ledger: Ledger | None = None) -> S:
        scope: S = self._scope_type(self._kernel, path, ledger)  # type: ignore[assignment]
        return scope

    @property
    def id(self) -> str:
        """32 hex digits that were made with the store."""
        return self._kernel.catalog.store_id

    @property
    def config(self) -> StoreConfig:
        """How it was opened."""
        return self._kernel.config

    def find(self, address: str) -> tuple[S, str]:
        """Scope and key of an address such as ``namespace:prod/model``.

        Raises:
            InvalidScopeError, InvalidKeyError: the text is no address of a record.
        """
        if not isinstance(address, str):
            raise InvalidArgumentError(f"an address is text such as namespace:prod/model, not {address!r}")
        path, key = parse_address(address)
        if key is None:
            raise InvalidArgumentError(
                f"{address!r} names a scope and no key: add one behind a slash, as in {address.rstrip('/')}/KEY"
            )
        return self._at(path), key

    def transaction(self, *, durability: str | None = None) -> Atomic[Transaction[S]]:
        """A block whose writes, in any scopes named from what it gives, are one commit, or none if it raises.

        File-sized values are written at once and put on disk before the commit; the commit checks that nothing the
        block read was changed meanwhile, else ConflictError and nothing is written.
        """
        return Atomic(self._kernel, lambda ledger: Transaction(self._kernel, ledger, self._at), durability)

    def lease(self, name: str, *, seconds: float = 30.0, wait: float | None = None, renew: bool = False) -> Lease:
        """A named lease of this store, to use in a ``with`` block.

        Args:
            name: what there may be only one of.
            seconds: how long it lasts after it was taken or renewed.
            wait: seconds to wait for another holder; None for ever, 0 not at all.
            renew: renew it in the background for as long as it is held.
        """
        return Lease(self._kernel, name, seconds, wait, renew)

    def sync(self) -> int:
        """Put all bytes on disk now, instead of a second later in the background; gives the number of files."""
        return sync_all(self._kernel)

    def close(self) -> None:
        """Close; scopes of this store are of no more use."""
        self._kernel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BaseStore) and self._kernel is other._kernel

    def __hash__(self) -> int:
        return hash(id(self._kernel))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._kernel,)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._kernel.config.store}>"
