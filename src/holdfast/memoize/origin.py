"""Where code comes from: the project, which is followed; another package, of a version; or the standard library."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import Distribution

__all__ = ["Origin", "Origins", "module_name"]

Origin = tuple[tuple[str, str], ...] | None
"""The distributions that a module belongs to, as name and version; none for the standard library and for this one.
None for the project's own: whatever is not installed as a package, editable installs included."""

_OURS = __name__.partition(".")[0]
_INSTALLED = {os.path.realpath(path) + os.sep for path in (*site.getsitepackages(), site.getusersitepackages())}
_INSTALLED |= {os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("purelib", "platlib")}
_STANDARD = {os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib")}


def module_name(namespace: Mapping[str, Any]) -> str:
    """The name of the module with these globals; of a script or of ``python -m``, the one that others import it by."""
    name = namespace.get("__name__")
    if name not in ("__main__", "__mp_main__"):
        return name if isinstance(name, str) else "?"
    spec, file = namespace.get("__spec__"), namespace.get("__file__")
    if spec is not None:
        return str(spec.name.removesuffix(".__main__"))
    return "__main__" if file is None else os.path.basename(file).removesuffix(".py")


class Origins:
    """Origins of modules, each looked up once."""

    def __init__(self) -> None:
        self._of = cache(self._look)

    def of(self, namespace: Mapping[str, Any]) -> Origin:
        """The origin of the module with these globals."""
        name, file = namespace.get("__name__"), namespace.get("__file__")
        return self._of(name if isinstance(name, str) else "?", file if isinstance(file, str) else None)

    def of_name(self, module: str) -> Origin:
        """The origin of a module by its name, without importing it."""
        loaded = sys.modules.get(module)
        if loaded is not None:
            return self.of(vars(loaded))
        top = module.partition(".")[0]
        if top not in sys.modules and top not in sys.stdlib_module_names:
            from importlib.util import find_spec

            try:
                spec = find_spec(top)
            except (ImportError, ValueError):
                spec = None
            return self._of(
                top, spec.origin or next(iter(spec.submodule_search_locations or ()), None) if spec else None
            )
        return self._of(module, None)

    def _look(self, name: str, file: str | None) -> Origin:
        top = name.partition(".")[0]
        if top == _OURS:
            return ()
        module = sys.modules.get(top)
        if file is None and module is not None:  # one without a file goes by the package that it lies in
            file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
        if file is None:
            return () if top in sys.stdlib_module_names or top == "builtins" else None
        path = os.path.realpath(file)
        parts = (os.path.abspath(file) + os.sep + path).split(os.sep)
        if "site-packages" in parts or "dist-packages" in parts or path.startswith(tuple(_INSTALLED)):
            return self._distributions(top, path) or None
        return () if path.startswith(tuple(_STANDARD)) or file.startswith("<frozen") else None

    def _distributions(self, top: str, path: str) -> tuple[tuple[str, str], ...]:
        from importlib import metadata

        loaded = getattr(sys.modules.get(top), "__dict__", {}).get("__version__")
        try:
            found = [metadata.distribution(top)]  # most are named as what they hold
            own = _holds(found[0], (f"{top}/__init__.py", f"{top}."))
        except metadata.PackageNotFoundError:
            own = False
        if not own:
            folder = path[: path.rfind(f"{os.sep}{top}")]
            found = [other for other in metadata.distributions(path=[folder]) if _holds(other, (f"{top}/", f"{top}."))]
        versions = sorted((other.name, other.version) for other in found)
        if not isinstance(loaded, str):
            return tuple(versions)
        if len(versions) == 1 and versions[0][1] != loaded:  # newer than what this process loaded, perhaps
            return ((versions[0][0], f"{versions[0][1]} (loaded: {loaded})"),)
        return tuple(versions) or ((top, loaded),)


def _holds(distribution: Distribution, names: tuple[str, ...]) -> bool:
    text = distribution.read_text("RECORD")
    if text is None:  # from before wheels
        text, names = distribution.read_text("top_level.txt"), (names[-1][:-1],)
    return any(f"\n{name}" in f"\n{text}" for name in names)
