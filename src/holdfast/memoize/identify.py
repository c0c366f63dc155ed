"""What a value is as code: its name, where it comes from, and what it is made of."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from .canonical import is_memoized
from .origin import Origin, Origins, module_name
from .plain import is_sentinel

__all__ = ["Found", "Look", "Taken", "function_of", "identify", "is_natural", "mark_of"]

Taken = Callable[[Any], dict[str, Any]]
"""Gives what a value is made of."""

Look = Literal["", "module", "class", "function", "native", "wrapper"]
"""How to look into a piece of code."""

_HEAP_TYPE = 1 << 9
_partial: Taken = lambda value: {"of": value.func, "args": value.args, "keywords": value.keywords}  # noqa: E731
_MADE_OF: dict[type, Taken] = {
    functools.partial: _partial,
    functools.partialmethod: _partial,
    functools.cached_property: lambda value: {"of": value.func},
    functools.singledispatchmethod: lambda value: {"of": value.dispatcher},
    type(functools.lru_cache(len)): lambda value: {"of": value.__wrapped__},
    staticmethod: lambda value: {"of": value.__func__},
    classmethod: lambda value: {"of": value.__func__},
    property: lambda value: {"get": value.fget, "set": value.fset, "delete": value.fdel},
    types.MethodType: lambda value: {"of": value.__func__, "self": value.__self__},
    types.BuiltinFunctionType: lambda value: {"name": value.__qualname__, "self": value.__self__},
    types.MethodWrapperType: lambda value: {"name": value.__name__, "self": value.__self__},
}
_DESCRIPTORS = (
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
    types.MemberDescriptorType,
    types.GetSetDescriptorType,
)


class Found(NamedTuple):
    """A piece of code.

    Attributes:
        name: its full name; one that begins with a blank goes behind the name of the place where it was met.
        origin: where it comes from.
        look: how to look into it, if at all.
        made_of: or what it is made of.
    """

    name: str
    origin: Origin = None
    look: Look = ""
    made_of: Taken | None = None


def identify(value: Any, origins: Origins) -> Found | None:
    """What a value is as code; None when it is data, or an instance that goes by its class and what is in it."""
    kind = type(value)
    if isinstance(value, types.ModuleType):
        origin = origins.of(vars(value))
        return Found(_public(module_name(vars(value)), origin), origin, "module" if origin is None else "")
    if isinstance(value, type):
        origin = _origin_of_class(value, origins)
        return Found(_name_of(value, origin), origin, "class" if origin is None else "")
    if kind is types.FunctionType:
        return _function(value, origins)
    if kind in _DESCRIPTORS:
        origin = _origin_of_class(value.__objclass__, origins)
        of_class: Taken | None = (lambda value: {"of": value.__objclass__}) if origin is None else None
        return Found(f"{_name_of(value.__objclass__, origin)}.{value.__name__}", origin, made_of=of_class)
    made_of, place = _MADE_OF.get(kind) or _derived(kind), f" ({kind.__qualname__})"
    if made_of is None and not callable(value):
        return Found(place, made_of=lambda value: {"by": kind}) if is_sentinel(value) else None
    found = _named(value, origins)
    if found is not None:
        return found
    if made_of is not None:
        return Found(place, made_of=made_of)
    if is_memoized(kind):
        return Found(" (memoized)", made_of=_memoized)
    if "__wrapped__" in getattr(value, "__dict__", ()) and _origin_of_class(kind, origins) is not None:
        return Found(place, look="wrapper", made_of=lambda value: {"by": kind, "of": value.__wrapped__})
    if f"{kind.__module__.partition('.')[0]}.{kind.__name__}" in ("toolz.curry", "cytoolz.curry"):  # pickled by name
        return Found(place, made_of=_partial)
    return None


def _derived(kind: type) -> Taken | None:
    """What an instance of a class made from ``partial``, ``property`` or the like is made of."""
    for base in kind.__mro__:
        made_of = _MADE_OF.get(base)
        if made_of is not None:
            return lambda value: {"by": kind, **made_of(value), "more": _state(value)}
    return None


def _state(value: Any) -> dict[str, Any]:
    return {name: held for name, held in getattr(value, "__dict__", {}).items() if name[:2] != "__"}


def _origin_of_class(cls: type, origins: Origins) -> Origin:
    """Where a class comes from; one that is not found under its name was made by whoever uses it."""
    origin = origins.of_name(cls.__module__)
    if origin is not None and cls.__flags__ & _HEAP_TYPE and not is_natural(cls, cls.__module__, cls.__qualname__):
        return None
    return origin


def mark_of(value: Any) -> Any:
    """What is equal for the same piece of code, while it lives; a method is made anew whenever it is read."""
    if type(value) is types.MethodType:
        return id(value.__func__), id(value.__self__)
    if type(value) is types.BuiltinFunctionType:
        return value.__name__, id(value.__self__)
    return id(value)


def function_of(value: Any) -> Any:
    """The function in a method, property or the like of a class; the value itself when it is none of these."""
    if isinstance(value, (staticmethod, classmethod)):
        return value.__func__
    if isinstance(value, property):
        return value.fget
    return value.func if isinstance(value, functools.cached_property) else value


def _function(function: types.FunctionType, origins: Origins) -> Found:
    origin = origins.of(function.__globals__)
    name = f"{_public(module_name(function.__globals__), origin)}.{function.__code__.co_qualname}"
    if origin is None:
        return Found(name, None, "function")
    if isinstance(getattr(function, "registry", None), types.MappingProxyType):  # of functools.singledispatch
        return Found(" (singledispatch)", made_of=lambda function: {"registry": function.registry})
    if "<" in name or function.__closure__ or "__wrapped__" in vars(function):
        line = f" in line {function.__code__.co_firstlineno}" if name.endswith("<lambda>") else ""
        look: Look = "wrapper" if origin and "__wrapped__" in vars(function) else ""
        return Found(f" ({name}{line})", origin, look, _held)
    return Found(name, origin)


def _held(function: types.FunctionType) -> dict[str, Any]:
    """What a function that a package made at run time was given."""
    names = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    held = {name: cell.cell_contents for name, cell in names if cell != types.CellType()}
    defaults = {"defaults": function.__defaults__, "keywords": function.__kwdefaults__}
    return {**held, **defaults, "wrapped": vars(function).get("__wrapped__")}


def _named(value: Any, origins: Origins) -> Found | None:
    """A callable of a package that has a name, or one in C."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", getattr(value, "__name__", None))
    if not isinstance(name, str):
        return None
    owner = getattr(value, "__self__", None)
    if owner is not None and not isinstance(owner, types.ModuleType):  # as random.random is
        module, name = type(owner).__module__, value.__name__
        found = getattr(sys.modules.get(module), name, None)
        natural = type(found) is type(value) and found == value
    else:
        natural = is_natural(value, module, name)
    if not natural or not isinstance(module, str):
        return None
    origin = origins.of_name(module)
    if origin is not None:
        return Found(f"{_public(module, origin)}.{name}", origin)
    file = getattr(sys.modules[module], "__file__", None) or ""
    return Found(f"{module}.{name}", None, "native") if file.endswith((".so", ".pyd")) else None


def is_natural(value: Any, module: str | None, name: str) -> bool:
    """Whether a value is what its module has under that name."""
    found: Any = sys.modules.get(module or "")
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value


def _name_of(cls: type, origin: Origin) -> str:
    module = sys.modules.get(cls.__module__)
    return f"{_public(cls.__module__ if module is None else module_name(vars(module)), origin)}.{cls.__qualname__}"


def _public(module: str, origin: Origin) -> str:
    """The name of a module, without the private ones of the standard library: they differ between Python versions."""
    if origin != ():
        return module
    return ".".join(part for part in module.split(".") if part[0] != "_") or module.strip("_")


def _memoized(memo: Any) -> dict[str, Any]:
    if hasattr(memo, "_memo"):  # a method of one object
        return {"of": memo._memo, "self": memo._instance}
    version = memo._settings.version
    return {"of": memo.__wrapped__} if version is None else {"version": version}
