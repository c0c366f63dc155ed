"""The verbs of the module: they act in the run context's scope, else in the configured store."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, overload

from .api import Scope, Store
from .config import find_config
from .context import DEFAULT_PATH, current_context
from .errors import StoreNotFoundError
from .kernel import shared_kernel
from .memoize import decorator
from .memoize.decorator import MemoOptions
from .model import Entry, Record
from .options import PutOptions
from .store import OpenKernel
from .values import RAISE

__all__ = ["current", "current_store", "delete", "entry", "exists", "get", "memoize", "put", "update"]

if TYPE_CHECKING:
    from .memoize.memo import Memo

P = ParamSpec("P")
R = TypeVar("R")


def current_store() -> Store:
    """The store of the run context, else the one that ``HOLDFAST_STORE`` or ``holdfast.toml`` names.

    Raises:
        StoreNotFoundError: there is neither.
    """
    context = current_context()
    if context is not None:
        return Store(context.store._kernel)
    try:
        config = find_config()
    except StoreNotFoundError:
        raise StoreNotFoundError(
            "no store is current: enter one, as in with holdfast.open('data').context(namespace='prod') (a thread "
            "begins outside of all contexts, unless it runs contextvars.copy_context().run), set HOLDFAST_STORE, or "
            "write store = 'data' into holdfast.toml"
        ) from None
    return Store(shared_kernel(OpenKernel, config))


def current() -> Scope:
    """The scope of the innermost run context; outside of all ``namespace:default`` of the configured store.

    Raises:
        StoreNotFoundError: there is no context, and nothing names a store.
    """
    context = current_context()
    path = () if context is None else context.path
    return current_store()._at(path or DEFAULT_PATH)


def put(key: str, value: Any, **options: Unpack[PutOptions]) -> Record:
    """Store a value in the current scope; see :meth:`Scope.put <holdfast.Scope.put>`."""
    return current().put(key, value, **options)


def get(key: str, default: Any = RAISE, *, verify: bool = False, trust: bool = False, tier: str | None = None) -> Any:
    """A value of the current scope; see :meth:`Scope.get <holdfast.Scope.get>`."""
    return current().get(key, default, verify=verify, trust=trust, tier=tier)


def entry(key: str, *, verify: bool = False, trust: bool = False) -> Entry[Any]:
    """A value of the current scope with its record; see :meth:`Scope.entry <holdfast.Scope.entry>`."""
    return current().entry(key, verify=verify, trust=trust)


def exists(key: str, *, tier: str | None = None) -> bool:
    """Whether the current scope has a record of this key; see :meth:`Scope.exists <holdfast.Scope.exists>`."""
    return current().exists(key, tier=tier)


def delete(
    key: str, *, if_version: int | None = None, missing_ok: bool = False, tier: str | None = None
) -> Record | None:
    """Remove a record of the current scope; see :meth:`Scope.delete <holdfast.Scope.delete>`."""
    return current().delete(key, if_version=if_version, missing_ok=missing_ok, tier=tier)


def update(key: str, change: Callable[[Any], Any], default: Any = RAISE, **options: Unpack[PutOptions]) -> Entry[Any]:
    """Replace a value of the current scope atomically; see :meth:`Scope.update <holdfast.Scope.update>`."""
    return current().update(key, change, default, **options)


@overload
def memoize(function: Callable[P, R], /, **options: Unpack[MemoOptions]) -> Memo[P, R]: ...
@overload
def memoize(function: None = None, /, **options: Unpack[MemoOptions]) -> Callable[[Callable[P, R]], Memo[P, R]]: ...
def memoize(function: Any = None, /, **options: Unpack[MemoOptions]) -> Any:
    """Keep a function's results in the store that is current at each call; see :meth:`Store.memoize
    <holdfast.Store.memoize>`."""
    return decorator.memoize(current_store, function, options)
