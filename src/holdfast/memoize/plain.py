"""Values that code uses, as canonical bytes: what has no hash but can change no result counts by its type alone."""

from __future__ import annotations

import enum
import io
import re
import sys
from collections.abc import Callable
from contextvars import Context, ContextVar
from types import BuiltinFunctionType, FunctionType
from typing import Any, get_args, get_origin
from weakref import WeakKeyDictionary

from .canonical import Canonical, _adds_attributes_only, _is_sentinel
from .framing import framed, refusal

__all__ = ["Plain", "is_sentinel"]

_HARMLESS = {
    *("logging.Filterer", "logging.LoggerAdapter", "concurrent.futures._base.Executor"),
    "os._Environ",
    *("_thread.lock", "_thread.LockType", "_thread.RLock", "threading._RLock", "_thread._local"),
    *(f"threading.{name}" for name in ("Condition", "Event", "Semaphore", "Barrier")),
    *(f"asyncio.locks.{name}" for name in ("Lock", "Event", "Condition", "Semaphore", "Barrier")),
    *(f"multiprocessing.synchronize.{name}" for name in ("SemLock", "Condition", "Event", "Barrier")),
    # What these hold may be gone at any time.
    *("weakref.ReferenceType", "weakref.WeakKeyDictionary", "weakref.WeakValueDictionary", "_weakrefset.WeakSet"),
}
_CONTAINERS = frozenset((list, tuple, dict, set, frozenset))
_SCALARS = frozenset((str, bytes, int, float, complex, bool))
_FIXED = (type(None), type(...), range, re.Pattern, enum.Enum, FunctionType, BuiltinFunctionType, type)
_FIXED_MODULES = ("datetime", "decimal", "fractions", "uuid", "pathlib", "pathlib._local", "zoneinfo", "typing")


class Plain(Canonical):
    """Canonical bytes of what code finds under its names; ``name_of`` gives the names of what is code itself."""

    def __init__(self, name_of: Callable[[Any], str | None]) -> None:
        super().__init__(lambda value: (name_of(value) or "?").encode())
        self._name_of = name_of
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
            name = None if kind in _CONTAINERS else self._name_of(value)
            return super()._nested(value, trail, depth) if name is None else framed(b"o", name.encode())
        return framed(b"h", super()._nested(take(value), trail, depth + 1))


def is_sentinel(value: Any) -> bool:
    """Whether a value is only ever asked whether it is the same one, as ``MISSING = object()``."""
    kind = type(value)
    if kind is object:
        return True
    known = _sentinels.get(kind)
    if known is None:
        in_python = bool(kind.__flags__ & 1 << 9)  # Py_TPFLAGS_HEAPTYPE
        known = in_python and _adds_attributes_only(kind, object) and _is_sentinel(kind)
        _sentinels[kind] = known
    return known and value.__getstate__() is None


_sentinels: WeakKeyDictionary[type, bool] = WeakKeyDictionary()


def _by_type(kind: type) -> Callable[[Any], Any] | None:
    for base in kind.__mro__:
        name = f"{base.__module__}.{base.__qualname__}"
        ours = name.startswith("holdfast.") and not name.startswith("holdfast.memoize.")
        if name in _HARMLESS or (ours and not issubclass(kind, tuple | enum.Enum)):
            return lambda value: name
    if kind.__module__ in ("typing", "typing_extensions"):
        return _annotation
    if kind is ContextVar:
        return _variable
    return _stream if issubclass(kind, io.TextIOBase) else None


def _variable(value: ContextVar[Any]) -> Any:
    """A context variable: what it has where nobody set it is code; what is set is not."""
    try:
        default = Context().run(value.get)
    except LookupError:
        return "ContextVar", value.name
    is_plain = type(default) in _SCALARS or isinstance(default, enum.Enum)
    return "ContextVar", value.name, default if is_plain else f"a {type(default).__qualname__}"


def _stream(value: Any) -> str:
    streams = sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__
    if all(value is not stream for stream in streams):
        raise refusal(value)
    return "a standard stream"


def _annotation(value: Any) -> Any:
    name = getattr(value, "__name__", None) or getattr(value, "_name", None)
    return "typing", name, get_origin(value), get_args(value)
