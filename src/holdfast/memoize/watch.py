"""What a fingerprint rests on in this process, and whether it is still there: by identity, without reading any code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter, is_, itemgetter
from types import CellType, FunctionType
from typing import Any

from ..errors import UnhashableError

__all__ = ["Watches"]

_PLAIN = (str, bytes, int, float)
_bases = attrgetter("__bases__")
_content = attrgetter("cell_contents")

_LAZY = ("__slotnames__", "__annotations__", "__annotations_cache__")  # Python adds these to a class when asked


class Watches:
    """Names, functions, classes, closures and mutable values as they were found."""

    def __init__(self) -> None:
        self._names: dict[int, tuple[Mapping[str, Any], dict[str, Any], set[str]]] = {}
        self._sizes: list[tuple[Mapping[str, Any], int]] = []
        self._functions: list[FunctionType] = []
        self._classes: list[type] = []
        self._cells: list[CellType] = []
        self._empty: list[CellType] = []
        self._values: list[tuple[Any, bytes]] = []
        self._made: list[tuple[Any, str, Any]] = []

    def name(self, namespace: Mapping[str, Any], name: str) -> None:
        """What a name stands for in a namespace, also if it stands for nothing yet."""
        _, there, missing = self._names.setdefault(id(namespace), (namespace, {}, set()))
        if name in namespace:
            there[name] = namespace[name]
            missing.discard(name)
        else:
            missing.add(name)

    def made(self, module: Any, name: str, value: Any) -> None:
        """What a module makes when it is asked for an attribute."""
        self._made.append((module, name, value))

    def all_names(self, namespace: Mapping[str, Any]) -> None:
        """Everything in a namespace."""
        for name in list(namespace):
            self.name(namespace, name)
        self._sizes.append((namespace, _size(namespace)))

    def function(self, function: FunctionType) -> None:
        """A function's code and defaults, and what it closes over."""
        self._functions.append(function)
        defaults: Mapping[str, Any] = function.__kwdefaults__ or {}
        for name in defaults:
            self.name(defaults, name)
        for cell in function.__closure__ or ():
            (self._cells if _filled(cell) else self._empty).append(cell)

    def klass(self, cls: type) -> None:
        """A class's bases and all that is on it."""
        self._classes.append(cls)
        self.all_names(vars(cls))

    def value(self, value: Any, encoded: bytes) -> None:
        """A value that can change, with its canonical bytes."""
        self._values.append((value, encoded))

    def check(self, encode: Callable[[Any], bytes]) -> Callable[[], bool]:
        """A function that says whether all is as it was; ``encode`` gives the bytes of values as they were made."""
        names = []
        for namespace, there, _ in self._names.values():
            if there:
                wanted = list(there) * 2 if len(there) == 1 else list(there)  # a single one would not come as a tuple
                names.append((itemgetter(*wanted), namespace, tuple(there[name] for name in wanted)))
        missing = [(namespace.keys(), absent) for namespace, _, absent in self._names.values() if absent]
        sizes, empty, values, made = self._sizes, self._empty, self._values, self._made
        held = (_content, self._cells), (_bases, self._classes)
        attributes = [(read, objects, tuple(map(read, objects))) for read, objects in held if objects]
        functions = [(each, each.__code__, each.__defaults__, each.__kwdefaults__) for each in self._functions]

        def current() -> bool:
            try:
                for each, code, defaults, named in functions:
                    if each.__code__ is not code or each.__defaults__ is not defaults:
                        return False
                    if each.__kwdefaults__ is not named:
                        return False
                for get, namespace, found in names:
                    if not all(map(is_, get(namespace), found)):
                        return False
                for read, objects, found in attributes:
                    if not all(map(is_, map(read, objects), found)):
                        return False
                for keys, absent in missing:
                    if not keys.isdisjoint(absent):
                        return False
                for namespace, size in sizes:
                    if _size(namespace) != size:
                        return False
                for cell in empty:
                    if _filled(cell):
                        return False
                for value, encoded in values:
                    if encode(value) != encoded:
                        return False
                for module, name, value in made:
                    again = getattr(module, name, value)
                    if again is not value and not (type(again) is type(value) in _PLAIN and again == value):
                        return False
            except (KeyError, ValueError, UnhashableError):  # a name or a cell's content is gone, a value has no hash
                return False
            return True

        return current


def _size(namespace: Mapping[str, Any]) -> int:
    return len(namespace) - sum(name in namespace for name in _LAZY)


def _filled(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
