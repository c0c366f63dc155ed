"""Values that code uses, as canonical bytes: what has no hash but can change no result counts by its type alone."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType
from typing import Any, get_args, get_origin

from .canonical import Canonical, CodeOf
from .framing import framed

__all__ = ["Plain"]

_HARMLESS = {
    *("logging.Filterer", "logging.LoggerAdapter", "_contextvars.ContextVar", "concurrent.futures._base.Executor"),
    *("_thread.lock", "_thread.LockType", "_thread.RLock", "threading._RLock", "_thread._local"),
    *(f"threading.{name}" for name in ("Condition", "Event", "Semaphore", "Barrier")),
    *(f"asyncio.locks.{name}" for name in ("Lock", "Event", "Condition", "Semaphore", "Barrier")),
    *(f"multiprocessing.synchronize.{name}" for name in ("SemLock", "Condition", "Event", "Barrier")),
}
_SCALARS = frozenset((str, bytes, int, float, complex, bool))
_FIXED = (type(None), type(...), range, re.Pattern, enum.Enum, FunctionType, BuiltinFunctionType, type)
_FIXED_MODULES = ("datetime", "decimal", "fractions", "uuid", "pathlib", "pathlib._local", "zoneinfo", "typing")


class Plain(Canonical):
    """Canonical bytes of what code finds under its names."""

    def __init__(self, code_of: CodeOf) -> None:
        super().__init__(code_of)
        self._by_type: dict[type, Callable[[Any], Any] | None] = {}

    def is_fixed(self, value: Any) -> bool:
        """Whether the bytes of a value that was encoded can never change, code in it aside."""
        kind = type(value)
        if kind is tuple or kind is frozenset:
            return all(map(self.is_fixed, value))
        if kind in _SCALARS or self._by_type.get(kind) is not None:
            return True
        return kind.__module__ in _FIXED_MODULES or isinstance(value, _FIXED)

    def _nested(self, value: Any, trail: dict[Any, Any], depth: int) -> bytes:
        kind = type(value)
        if kind not in self._by_type:
            self._by_type[kind] = _by_type(kind)
        take = self._by_type[kind]
        if take is None:
            return super()._nested(value, trail, depth)
        return framed(b"h", super()._nested(take(value), trail, depth + 1))


def _by_type(kind: type) -> Callable[[Any], Any] | None:
    for base in kind.__mro__:
        name = f"{base.__module__}.{base.__qualname__}"
        if name in _HARMLESS or (name.startswith("holdfast.") and not issubclass(kind, tuple | enum.Enum)):
            return lambda value: name
    if kind.__module__ in ("typing", "typing_extensions"):
        return _annotation
    return None


def _annotation(value: Any) -> Any:
    name = getattr(value, "__name__", None) or getattr(value, "_name", None)
    return "typing", name, get_origin(value), get_args(value)
