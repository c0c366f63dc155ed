"""obstore, usable in forked children.

obstore does its work in threads of its own, which a forked child does not have: there every call would wait for ever.
So a child loads a copy of the extension module, with threads of its own, when it first needs it (30 ms, once), and
never touches an object of its parent's.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable
from importlib import import_module
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any, Generic, NamedTuple, TypeVar

from ...errors import ClosedError, MissingExtraError

__all__ = ["Handle", "Library", "generation", "load"]

T = TypeVar("T")

_MODULE = "obstore._obstore"


class Library(NamedTuple):
    """What is used of obstore; each of its own documentation."""

    put: Callable[..., Any]
    open_writer: Callable[..., Any]
    get: Callable[..., Any]
    get_range: Callable[..., Any]
    head: Callable[..., Any]
    delete: Callable[..., Any]
    list: Callable[..., Any]
    copy: Callable[..., Any]
    S3Store: Callable[..., Any]
    AzureStore: Callable[..., Any]
    GCSStore: Callable[..., Any]


_lock = threading.Lock()
_library: Library | None = None
_tainted = False
_generation = 0
_handles: weakref.WeakSet[Handle[Any]] = weakref.WeakSet()
_inherited: list[object] = []


def generation() -> int:
    """How many forks lie between this process and the one that imported this module."""
    return _generation


def load() -> Library:
    """The library, in this process.

    Raises:
        MissingExtraError: it is not installed.
    """
    global _library
    found = _library
    if found is None:
        with _lock:
            found = _library = _library or _take(_copy() if _tainted else _original())
    return found


def _original() -> Any:
    try:
        return import_module(_MODULE)
    except ImportError as error:
        raise MissingExtraError('object stores need obstore: pip install "holdfast[objectstore]"') from error


def _copy() -> Any:
    """The extension module once more, with memory and threads of its own: the system's loader knows a library by the
    file that it is in."""
    with open(sys.modules[_MODULE].__file__ or "", "rb") as file:
        image = file.read()
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("obstore")
        path = f"/proc/self/fd/{fd}"
    else:
        fd, path = tempfile.mkstemp(suffix=".so")
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(image)
        spec = spec_from_file_location("_obstore", path, loader=ExtensionFileLoader("_obstore", path))
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        os.close(fd)
        if not path.startswith("/proc/"):
            os.unlink(path)
    return module


def _take(module: Any) -> Library:
    names = Library._fields[:-3]
    return Library(
        *(getattr(module, name) for name in names), *(getattr(module._store, name) for name in Library._fields[-3:])
    )


class Handle(Generic[T]):
    """An object of the library's. In a forked child it is neither usable nor ever freed, as that too would wait for
    the parent's threads."""

    __slots__ = ("__weakref__", "_generation", "_value")

    def __init__(self, value: T) -> None:
        self._value = value
        self._generation = _generation
        _handles.add(self)

    @property
    def ours(self) -> bool:
        """Whether it was made in this process."""
        return self._generation == _generation

    def __call__(self) -> T:
        if self._generation != _generation:
            raise ClosedError(
                "what a process has open in an object store does not go on in a forked one: begin another"
            )
        return self._value


def _after_fork_in_child() -> None:
    global _library, _tainted, _generation, _lock
    _lock = threading.Lock()
    _generation += 1
    _tainted = _tainted or _MODULE in sys.modules
    _inherited.append(_library)
    _inherited.extend(handle._value for handle in list(_handles))
    _library = None


os.register_at_fork(after_in_child=_after_fork_in_child)
