"""The spellings of other systems over a Holdfast store: a *face* is a package here that has a system's own names.

Code moves over by its import root, as in ``from holdfast.compat.viktor import Storage``, or unmodified:
``holdfast.compat.install("viktor")`` lets its ``import viktor`` find the face, and ``python -m holdfast.compat viktor
script.py`` runs a script so.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from ..errors import InvalidArgumentError

__all__ = ["Arguments", "faces", "install"]


def faces() -> list[str]:
    """The names of the systems that have a face."""
    return sorted(module.name for module in iter_modules(__path__) if module.ispkg)


def install(*names: str) -> None:
    """Let ``import NAME`` find the face of that name, in this process from now on; again, it changes nothing.

    A module that the face does not have is taken from the installed original.

    Raises:
        InvalidArgumentError: no face of that name, or none named, or the original is imported already: then nothing is
            installed.
    """
    unknown = [name for name in names if name not in faces()]
    if unknown or not names:
        problem = f"no face is called {unknown[0]!r}" if unknown else "no face is named"
        raise InvalidArgumentError(f"{problem}: there are {', '.join(faces())}")
    for name in names:
        loaded = sys.modules.get(name)
        if loaded is not None and loaded is not sys.modules.get(f"{__name__}.{name}"):
            origin = getattr(loaded, "__file__", None) or "elsewhere"
            raise InvalidArgumentError(f"{name} is imported already, from {origin}: install the face before that")
    _finder.names.update(names)
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


class Arguments(list[str]):
    """``sys.argv`` of a script that runs with faces. A process that multiprocessing starts unpickles it before it
    imports the script, and so has them, too."""

    def __init__(self, names: list[str], words: list[str]) -> None:
        install(*names)
        super().__init__(words)
        self._names = names

    def __reduce__(self) -> tuple[Any, ...]:
        return Arguments, (self._names, list(self))


class _Finder(MetaPathFinder):
    """Finds ``viktor.core`` as ``holdfast.compat.viktor.core``, and what the face lacks as the original's: one module
    under both names, as ``from viktor import geometry`` asks for ``holdfast.compat.viktor.geometry``."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        name = fullname.removeprefix(f"{__name__}.")
        if name.partition(".")[0] not in self.names:
            return None
        above = name.rpartition(".")[0]
        package = import_module(f"{__name__}.{above}") if above else sys.modules[__name__]
        if not package.__name__.startswith(__name__):  # one of the original's
            return None if name == fullname else spec_from_loader(fullname, _Alias(name))
        found = self._elsewhere(f"{__name__}.{name}", package.__path__)
        if found is not None:
            return found if name != fullname else spec_from_loader(fullname, _Alias(f"{__name__}.{name}"))
        found = self._original(name)
        if found is None:
            ours = ", ".join(f"{above}.{module.name}" for module in iter_modules(package.__path__))
            raise ModuleNotFoundError(f"no {name}: Holdfast has {above}, {ours}, and no other is installed", name=name)
        return found if name == fullname else spec_from_loader(fullname, _Alias(name))

    def _original(self, name: str) -> ModuleSpec | None:
        above = name.rpartition(".")[0]
        package = self._original(above) if above else None
        places = None if package is None else package.submodule_search_locations
        return None if above and places is None else self._elsewhere(name, places)

    def _elsewhere(self, name: str, path: Sequence[str] | None) -> ModuleSpec | None:
        specs = (finder.find_spec(name, path) for finder in sys.meta_path if finder is not self)
        return next((spec for spec in specs if spec is not None), None)


_finder = _Finder()


class _Alias(Loader):
    """Gives a module that has another name of its own, and leaves it as it is."""

    def __init__(self, name: str) -> None:
        self._name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(self._name)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # which the import system has just replaced; reload() goes by it
