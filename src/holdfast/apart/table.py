"""Which types go apart, and by which classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

from ..errors import NotRegisteredError
from ..storable.base import full_name
from .contract import PersistentSerializer, check_serializer

__all__ = ["BUILT_IN", "Table", "reference", "referred"]

BUILT_IN: Mapping[str, str] = {
    "dask.array.core.Array": "holdfast.apart.arrays:DaskArraySerializer",
    "dask.dataframe.dask_expr._collection.DataFrame": "holdfast.apart.frames:DaskFrameSerializer",
    "dask.dataframe.dask_expr._collection.Series": "holdfast.apart.frames:DaskSeriesSerializer",
    "polars.lazyframe.frame.LazyFrame": "holdfast.apart.lazy:LazyFrameSerializer",
}
"""Types that go apart without being asked for, by full name, so that nothing is imported before one is met."""


class Table:
    """Which class keeps the values of a type, and which one has a name."""

    def __init__(self, given: Iterable[Any] = ()) -> None:
        """Those that are given come before the built-in ones; of two for one type the last counts.

        Raises:
            InvalidArgumentError: one is no persistent serializer.
        """
        self.given: tuple[type[PersistentSerializer], ...] = tuple(map(check_serializer, given))
        self._by_type: dict[type, type[PersistentSerializer] | None] = {}
        self.by_name: dict[str, type[PersistentSerializer]] = {}
        for each in self.given:
            self._by_type[each.serializer_class] = each
            self.by_name[each.name] = each

    def __reduce__(self) -> Any:
        return Table, (self.given,)

    def of(self, kind: type) -> type[PersistentSerializer] | None:
        """The class that keeps values of exactly this type, None for a type that stays in the record."""
        try:
            return self._by_type[kind]
        except KeyError:
            target = BUILT_IN.get(full_name(kind))
            found = None if target is None else referred(target)
            self._by_type[kind] = found
            return found

    def named(self, name: str, target: Any, where: str) -> type[PersistentSerializer]:
        """The class of a name: the one given here, else the one that wrote it.

        Raises:
            NotRegisteredError: that one is not to be found.
        """
        if name in self.by_name:
            return self.by_name[name]
        if isinstance(target, type):
            return target
        try:
            return referred(target)
        except (AttributeError, ImportError) as error:
            raise NotRegisteredError(
                f"{where} has a value that {name} keeps, whose class {target} is not here ({error}): register it"
            ) from error


def reference(given: type) -> Any:
    """A class as ``module:qualname`` where it can be found by that, else itself, to be pickled by value."""
    target = f"{given.__module__}:{given.__qualname__}"
    try:
        found = given.__module__ != "__main__" and referred(target) is given
    except (AttributeError, ImportError):
        found = False
    return target if found else given


def referred(target: str) -> type[PersistentSerializer]:
    """The class of such a reference."""
    module, _, name = target.partition(":")
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]
