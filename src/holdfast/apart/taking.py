"""Stores and scopes whose puts take values apart, for code that knows only ``put``, ``get`` and ``delete``."""

from __future__ import annotations

from typing import Any, NamedTuple, Self, Unpack, cast

from ..address import Path
from ..catalog.base import Ledger
from ..kernel import Kernel
from ..model import Record
from ..navigation import S
from ..options import PutOptions
from ..scope import BaseScope
from ..store import BaseStore
from ..transaction import Buffered
from ..values import RAISE
from .record import delete, get, put
from .table import Table

__all__ = ["Taking", "TakingScope", "TakingStore"]


class Taking(NamedTuple):
    """How values are taken apart: as of :func:`holdfast.apart.put`."""

    table: Table = Table()
    protocol: str | None = None


class TakingScope(BaseScope[S]):
    """Mixed into a scope: what is put goes apart. Handles that are made from it, here and by pickling, do likewise.

    Attributes:
        taking: how.
    """

    taking: Taking = Taking()

    def taken(self, taking: Taking) -> Self:
        """This handle, told how to take values apart."""
        self.taking = taking
        return self

    def put(self, key: str, value: Any, **options: Unpack[PutOptions]) -> Record:
        """See :func:`holdfast.apart.put`."""
        table, protocol = self.taking
        return put(self, key, value, serializers=table, protocol=protocol, **options)

    def get(self, key: str, default: Any = RAISE, **options: Any) -> Any:
        """See :func:`holdfast.apart.get`."""
        return get(self, key, default, serializers=self.taking.table, **options)

    def delete(self, key: str, **options: Any) -> Record | None:
        """See :func:`holdfast.apart.delete`."""
        return delete(self, key, serializers=self.taking.table, **options)

    def _at(self, path: Path) -> S:
        return cast(S, cast(TakingScope[S], super()._at(path)).taken(self.taking))

    def using(self, **options: Unpack[PutOptions]) -> Self:
        return super().using(**options).taken(self.taking)

    def _inside(self, ledger: Buffered) -> Self:
        return super()._inside(ledger).taken(self.taking)

    def rename_scope(self, name: str) -> Self:
        return super().rename_scope(name).taken(self.taking)

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (*super().__reduce__(), self.taking)


class TakingStore(BaseStore[S]):
    """Mixed into a store whose scopes are such ones."""

    def __init__(self, kernel: Kernel, taking: Taking = Taking()) -> None:  # noqa: B008  immutable
        super().__init__(kernel)
        self.taking = taking

    def _at(self, path: Path, ledger: Ledger | None = None) -> S:
        return cast(S, cast(TakingScope[S], super()._at(path, ledger)).taken(self.taking))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._kernel, self.taking)


def _made(kind: Any, arguments: tuple[Any, ...], taking: Taking) -> Any:
    return kind(*arguments).taken(taking)
