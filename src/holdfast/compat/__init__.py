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
from importlib.util import module_from_spec, spec_from_loader
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, cast

from ..errors import InvalidArgumentError

__all__ = ["Arguments", "faces", "install", "installed"]


def faces() -> list[str]:
    """The names of the systems that have a face."""
    return sorted(module.name for module in iter_modules(__path__) if module.ispkg)


def install(*names: str) -> None:
    """Let ``import NAME`` find the face of that name from now on, in this process and in tasks that it submits to
    executors; again, it changes nothing.

    A module that the face does not have, or a name that its module lacks, is the installed original's. The original's
    own imports find the face, too, so that both work on the same classes.

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
    from ..executors.tasks import send_ahead

    send_ahead(_along)


def installed() -> list[str]:
    """The names of the faces that are installed in this process."""
    return sorted(_finder.names)


class _Along:
    """In a pickle the faces that are installed where it is written: they are then where it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _taken_along, tuple(installed())


def _taken_along(*names: str) -> _Along:
    install(*names)
    return _along


_along = _Along()


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
    under both names, as ``from viktor import geometry`` asks for ``holdfast.compat.viktor.geometry``.

    The original of a module that the face has is found as ``viktor/core/``. Its ``__name__`` stays ``viktor.core``: so
    its imports see the face and what is behind that, and its classes are pickled as ever.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        name = fullname.removeprefix(f"{__name__}.").rstrip("/").replace("/", ".")
        if name.partition(".")[0] not in self.names:
            return None
        if fullname.endswith("/"):
            spec = self._original(name)
            return None if spec is None else spec_from_loader(fullname, _Behind(spec))
        above, _, last = name.rpartition(".")
        package = import_module(f"{__name__}.{above}") if above else sys.modules[__name__]
        if not package.__name__.startswith(__name__):  # one of the original's
            return None if name == fullname else spec_from_loader(fullname, _Alias(name))
        found = self._elsewhere(f"{__name__}.{name}", package.__path__)
        if found is not None and (name != fullname or last not in vars(package).get("_INTERNAL", ())):
            return found if name != fullname else spec_from_loader(fullname, _Alias(f"{__name__}.{name}"))
        found = self._original(name)
        if found is None:
            raise ModuleNotFoundError(self.missing(name, package), name=name)
        return found if name == fullname else spec_from_loader(fullname, _Alias(name))

    def behind(self, name: str) -> ModuleType | None:
        """The original of a face's module; None when there is none, or only a folder of that name."""
        key = name.replace(".", "/") + "/"
        if key not in sys.modules:
            spec = self._original(name)
            if spec is None or spec.loader is None:
                return None
            import_module(name)  # the face has to be there: compiled modules enter themselves where none is
        return import_module(key)

    def missing(self, name: str, module: ModuleType) -> str:
        """What to say of a name or module that neither a face's module nor the original has."""
        above = module.__name__.removeprefix(f"{__name__}.")
        path, internal = (vars(module).get(each, ()) for each in ("__path__", "_INTERNAL"))
        there = [f"{above} ({', '.join(vars(module).get('__all__', ()))})"]
        there += [f"{above}.{each.name}" for each in iter_modules(path) if each.name not in internal]
        top = self._original(above.partition(".")[0])
        other = "no other is installed" if top is None or top.loader is None else f"{top.origin} has no such thing"
        return f"no {name}: Holdfast has {', '.join(there)}, and {other}"

    def _original(self, name: str) -> ModuleSpec | None:
        above = name.rpartition(".")[0]
        package = self._original(above) if above else None
        places = None if package is None else package.submodule_search_locations
        return None if above and places is None else self._elsewhere(name, places)

    def _elsewhere(self, name: str, path: Sequence[str] | None) -> ModuleSpec | None:
        specs = (finder.find_spec(name, path) for finder in sys.meta_path if finder is not self)
        return next((spec for spec in specs if spec is not None), None)


_finder = _Finder()


class _Face(ModuleType):
    """A module of an installed face: what it lacks is the original's, which is imported when that is asked for."""

    def __getattr__(self, name: str) -> Any:
        own = self.__name__.removeprefix(f"{__name__}.")
        if name == "__version__" or not name.startswith("__"):  # the import system asks for many of those
            original = _finder.behind(own)
            if name in vars(self):  # a module that came with it
                return vars(self)[name]
            if hasattr(original, name):
                return getattr(original, name)
        raise AttributeError(_finder.missing(f"{own}.{name}", self), name=name, obj=self)

    def __setattr__(self, name: str, value: object) -> None:
        # The import system binds a module in its package when it gives it another name, as if it were new; by then
        # the package may have the function of that name in its place.
        if not (isinstance(value, ModuleType) and name in vars(value) and vars(self).get(name) is vars(value)[name]):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        original = _finder.behind(self.__name__.removeprefix(f"{__name__}."))
        return sorted({*vars(self), *vars(original or self)})

    @property
    def __all__(self) -> list[str]:
        names = vars(_finder.behind(self.__name__.removeprefix(f"{__name__}.")) or self)
        others = names.get("__all__", [name for name in names if name[0] != "_"])
        return list(dict.fromkeys([*vars(self).get("__all__", ()), *others]))


class _Behind(Loader):
    """Makes the original of a module that the face has."""

    def __init__(self, spec: ModuleSpec) -> None:
        self._spec, self._loader = spec, cast(Loader, spec.loader)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return module_from_spec(self._spec)

    def exec_module(self, module: ModuleType) -> None:
        face, name = sys.modules[module.__name__], module.__name__
        module.__spec__ = self._spec
        vars(self._spec)["_initializing"] = True  # by which the import system lets other threads wait
        try:
            self._loader.exec_module(module)
        except AttributeError as error:  # which would say that the face has no such name
            raise ImportError(f"the original {name} cannot be imported: {error}", name=name) from error
        finally:
            vars(self._spec)["_initializing"] = False
        for key, value in vars(module).items():  # a name wins over the module of that name, as in the original
            if getattr(vars(face).get(key), "__name__", None) == f"{name}.{key}":
                setattr(face, key, value)


class _Alias(Loader):
    """Gives a module that has another name of its own, and leaves it as it is."""

    def __init__(self, name: str) -> None:
        self._name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(self._name)
        self._spec = module.__spec__
        if self._name.startswith(f"{__name__}."):
            face = ".".join(self._name.split(".")[:3])
            for name, loaded in list(sys.modules.items()):  # with those that this one has brought
                if f"{name}.".startswith(f"{face}.") and loaded.__name__ == name:
                    loaded.__class__ = _Face
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # which the import system has just replaced; reload() goes by it
