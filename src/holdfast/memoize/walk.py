"""All that a function rests on: from what it uses to what that uses, each piece once.

Pieces are met in an order that is the same in every process, and each name is written down with the name of what it
stands for, never with what that says. So cycles end, and the parts together describe the whole, swapped names included.
"""

from __future__ import annotations

import builtins
import sys
import types
from collections import deque
from collections.abc import Callable
from enum import EnumMeta
from hashlib import sha256
from importlib import import_module
from typing import Any

from ..errors import UnhashableError
from .identify import Found, function_of, identify, mark_of
from .origin import Origins, module_name
from .pieces import Pieces
from .plain import Plain
from .syntax import NAME, Syntax, Use
from .watch import Watches

__all__ = ["Walk"]

_MISSING: Any = object()
_DATA = (str, bytes, int, float, bool, type(None), list, dict, tuple, set, frozenset)
_WHERE = frozenset(
    f"__{name}__" for name in ("name", "file", "path", "spec", "loader", "package", "cached", "builtins", "annotations")
)  # where a module is, not what it does
_SAID = frozenset(("__doc__", "__warningregistry__"))  # no more than docstrings and warnings
_NAMEDTUPLE = ("_make", "_replace", "_asdict")
_GENERATED = ("_new_member_", "__new_member__", "__annotate__", "__annotate_func__", "_abc_impl")
_SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType, type(Use.name))  # also those of named tuples


class Walk:
    """One walk. ``parts`` and ``watches`` are what it found.

    Raises:
        UnhashableError: a value on the way has no hash that is the same in every process.
    """

    def __init__(self, root: Any, pieces: Pieces, origins: Origins) -> None:
        self.parts: dict[str, str] = {}
        self.watches = Watches()
        self._pieces = pieces
        self._origins = origins
        self._names: dict[Any, str] = {}  # of what was met, by its mark
        self._kept: list[Any] = []  # so that no mark is given twice
        self._counts: dict[str, int] = {}
        self._bound: set[tuple[int, str]] = set()
        self._written: set[tuple[int, str]] = set()
        self._queue: deque[tuple[Found, Any, str]] = deque()
        self._read: set[str] = set()  # attributes that are read somewhere
        self._holders: list[tuple[Any, str]] = []  # functions that have attributes
        self._plain = Plain(lambda value: self._name(value, self._place))
        self._place = self._user = ""
        self._bind(self, "", "function", root, "the function")
        while self._queue:
            found, value, self._user = self._queue.popleft()
            if found.made_of is not None:
                self._compound(value, self._user, found)
            else:
                getattr(self, f"_{found.look}")(value, self._user)
            if not self._queue:
                self._attributes()

    def encode_again(self) -> Callable[[Any], bytes]:
        """Encodes values as this walk did; code that it did not meet is all alike."""
        names, kept = self._names, self._kept
        return Plain(lambda value: names.get(mark_of(value)) if kept else None).encode

    # --- names --------------------------------------------------------------------------------------------------------

    def _key(self, text: str) -> str:
        count = self._counts[text] = self._counts.get(text, 0) + 1
        return text if count == 1 else f"{text} #{count}"

    def _bind(self, owner: Any, name: str, place: str, value: Any, role: str) -> None:
        """Write down what a name of ``owner`` stands for. ``place`` says where that is, ``role`` what, in an error."""
        if (id(owner), name) in self._bound:
            return
        self._bound.add((id(owner), name))
        target = self._name(value, place)
        if target is None:
            self.parts[self._key(place)] = self._data(value, place, role)
        else:
            self._write_name(owner, name, place, target)

    def _write_name(self, owner: Any, name: str, place: str, target: str) -> None:
        if target != place and not target.startswith(f"{place} (") and (id(owner), name) not in self._written:
            self._written.add((id(owner), name))
            self.parts[self._key(f"{place} (name)")] = target

    def _data(self, value: Any, place: str, role: str) -> str:
        self._place = place
        try:
            encoded = self._plain.encode(value)
        except UnhashableError as error:
            reason, used = error.message, f"; {self._user} uses it" if self._user else ""
            if len(reason) > 400:  # the path to it is the longer part
                reason = f"{reason[:150]}...{reason[-200:]}"
            problem = f"{role}{reason}{used}: pass version= to leave the code out of the key"
            raise UnhashableError(problem) from error
        if not self._plain.is_fixed(value):
            self.watches.value(value, encoded)
        return sha256(encoded).hexdigest()[:32]

    def _name(self, value: Any, place: str) -> str | None:
        """The name of a piece of code, which is looked into once; None for what is no code."""
        if type(value) in _DATA:
            return None
        mark = mark_of(value)
        known = self._names.get(mark)
        if known is not None:
            return known
        found = identify(value, self._origins)
        if found is None:
            return None
        self.parts.update(found.origin or ())
        name = place + found.name if found.name[0] == " " else found.name
        if found.look or found.made_of:
            name = name if found.look == "module" else self._key(name)
            self._queue.append((found, value, name))
        self._names[mark] = name
        self._kept.append(value)
        return name

    def _use(self, use: Use, namespace: dict[str, Any], module: str) -> None:
        """Follow a name that code with these globals uses."""
        name, attributes, level = use
        if level != NAME:
            self._imported(use, namespace)
        elif name not in _WHERE:
            self.watches.name(namespace, name)
            if name in namespace:
                role = f"the global {name!r} of module {module}"
                self._follow(namespace, name, f"{module}.{name}", namespace[name], attributes, role)
                return
            known = namespace.get("__builtins__", builtins)
            known = known if isinstance(known, dict) else vars(known)
            self.watches.name(known, name)
            if name in known:
                self._follow(known, name, f"builtins.{name}", known[name], attributes, f"the built-in {name!r}")

    def _imported(self, use: Use, namespace: dict[str, Any]) -> None:
        name, attributes, level = use
        if level:
            package = (namespace.get("__package__") or namespace.get("__name__") or "").split(".")
            name = ".".join([*package[: len(package) - level + 1], *([name] if name else [])])
        origin = self._origins.of_name(name)
        if origin is not None:
            self.parts.update(origin)
            return
        found = _import(name)
        self.watches.name(sys.modules, name)
        if found is _MISSING:
            self.parts[f"{name} (module)"] = "cannot be imported"
        else:
            self._follow(sys.modules, name, name, found, attributes, f"module {name}", load=True)

    def _follow(
        self, owner: Any, name: str, place: str, value: Any, attributes: tuple[str, ...], role: str, load: bool = False
    ) -> None:
        """Follow a name and, through modules of the project (with ``load`` imported if need be), what is behind it."""
        rest = list(attributes)
        while rest and isinstance(value, types.ModuleType) and self._origins.of(vars(value)) is None:
            module = module_name(vars(value))
            self._write_name(owner, name, place, module)
            owner, name = vars(value), rest.pop(0)
            place, role = f"{module}.{name}", f"the global {name!r} of module {module}"
            if name in owner:
                value = owner[name]
            else:
                whole, value = value, getattr(value, name, _MISSING)
                if name not in owner:  # the module makes it whenever it is asked
                    self.watches.made(whole, name, value)
                if value is _MISSING and load:
                    value = _import(place)
            self.watches.name(owner, name)  # by now, since an import may have put it there
            if value is _MISSING:
                return
        self._bind(owner, name, place, value, role)
        if rest and isinstance(value, types.FunctionType):
            name = rest[0]
            self.watches.name(vars(value), name)
            if name in vars(value) or name == "__doc__":
                self._bind(
                    value, f".{name}", f"{place}.{name}", getattr(value, name), f"the attribute {name!r} of {place}"
                )

    # --- looking into pieces ------------------------------------------------------------------------------------------

    def _module(self, module: types.ModuleType, name: str) -> None:
        """A module that is used otherwise than by its attributes counts as a whole."""
        self.watches.all_names(vars(module))
        for attribute in sorted(vars(module)):
            if attribute not in _SAID:
                self._use(Use(attribute, ()), vars(module), name)

    def _function(self, function: types.FunctionType, name: str) -> None:
        namespace, code = function.__globals__, function.__code__
        module = module_name(namespace)
        self.watches.function(function)
        syntax = self._pieces.function(function)
        self.parts[name] = syntax.digest
        self._read |= syntax.attributes
        if vars(function):
            self._holders.append((function, name))
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        for use in syntax.uses:
            if use.level != NAME or use.name not in cells:
                self._use(use, namespace, module)
        for variable, cell in cells.items():
            if cell != types.CellType():  # it has a value by now
                role = f"the variable {variable!r} around {name}"
                chains = [use.attributes for use in syntax.uses if use.name == variable] or [()]
                for attributes in chains:
                    self._follow(cell, "", f"{name}:{variable}", cell.cell_contents, attributes, role)
        defaults = function.__defaults__ or ()
        names = code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]
        for variable, value in [*zip(names, defaults, strict=True), *(function.__kwdefaults__ or {}).items()]:
            self._bind(function, f"={variable}", f"{name}:{variable}", value, f"the default of {variable!r} of {name}")
        if "__wrapped__" in vars(function):
            self.watches.name(vars(function), "__wrapped__")
            self._bind(function, ".__wrapped__", f"{name}:__wrapped__", vars(function)["__wrapped__"], name)
        # A method rests on its class: what it uses by way of self is there.
        above = code.co_qualname.rpartition(".")[0]
        owner: Any = namespace
        for part in above.split("."):
            owner = owner.get(part) if isinstance(owner, dict) else getattr(owner, part, None)
        if isinstance(owner, type):
            self._bind(function, "(class)", f"{module}.{above}", owner, f"the class of {name}")

    def _says(self, syntax: Syntax | None, name: str, namespace: dict[str, Any]) -> None:
        """Write down what a piece says, and follow what it uses."""
        self.parts[name] = "no source" if syntax is None else syntax.digest
        self._read |= syntax.attributes if syntax else set()
        for use in syntax.uses if syntax else ():
            self._use(use, namespace, module_name(namespace))

    def _attributes(self) -> None:
        """Follow the attributes of functions that are read somewhere, from whatever stands for these there."""
        for holder, name in self._holders:
            for attribute in sorted(self._read.intersection(vars(holder))):
                if isinstance(holder, types.FunctionType) or attribute[0] != "_":
                    self.watches.name(vars(holder), attribute)
                    role = f"the attribute {attribute!r} of {name}"
                    self._bind(holder, f".{attribute}", f"{name}.{attribute}", vars(holder)[attribute], role)

    def _compound(self, value: Any, name: str, found: Found) -> None:
        assert found.made_of is not None
        if isinstance(value, types.FunctionType):
            self.watches.function(value)
        elif getattr(value, "__dict__", None):
            self._holders.append((value, name))
        said = []
        for label, part in found.made_of(value).items():
            if part is not None and not (type(part) in (tuple, dict) and not part):
                text = self._name(part, f"{name}:{label}") or self._data(part, f"{name}:{label}", f"{label} of {name}")
                said.append(f"{label} {text}")
        self.parts[name] = ", ".join(said)
        wrapped = getattr(value, "__wrapped__", None)
        if found.look == "wrapper" and isinstance(wrapped, types.FunctionType):
            # A package's own object: what it was told stands in the decorator, or in the annotations.
            syntax = self._pieces.decorators(wrapped)
            self._says(syntax, self._key(f"{name} (decorators)"), wrapped.__globals__)

    def _native(self, value: Any, name: str) -> None:
        self._says(self._pieces.native(sys.modules[value.__module__]), name, {})

    def _class(self, cls: type, name: str) -> None:
        methods = [function for function in map(function_of, vars(cls).values()) if _is_own(function, cls)]
        module = sys.modules.get(cls.__module__)
        namespace = methods[0].__globals__ if methods else {} if module is None else vars(module)
        if not methods and str(namespace.get("__file__")).endswith((".so", ".pyd")):
            self._says(self._pieces.native(module), name, {})
            return
        syntax = self._pieces.klass(cls, methods, namespace)
        if cls.__bases__ != (object,):
            self.parts[f"{name} (bases)"] = ", ".join(str(self._name(base, name)) for base in cls.__bases__)
        if type(cls) is not type:
            self.parts[f"{name} (metaclass)"] = str(self._name(type(cls), name))
        self._says(syntax, name, namespace)
        is_known = syntax is not None
        if isinstance(cls, EnumMeta):
            values: Any = tuple((key, member.value) for key, member in dict[str, Any](cls.__members__).items())
            self._bind(cls, "(members)", f"{name} (members)", values, f"a member of {name}")
        if not is_known:
            self._bind(cls, "(fields)", f"{name} (fields)", _fields(cls), f"a field of {name}")
        for attribute, value in list(vars(cls).items()):
            if _counts(cls, attribute, value, self._origins):
                role = f"the attribute {attribute!r} of class {name}"
                try:
                    self._bind(cls, attribute, f"{name}.{attribute}", value, role)
                except UnhashableError:
                    # What a package put there by itself.
                    by_package = self._origins.of_name(type(value).__module__) is not None
                    if not (is_known and by_package and (hasattr(type(value), "__get__") or attribute[0] == "_")):
                        raise
                    self.parts[f"{name}.{attribute}"] = "as the source says"
        self.watches.klass(cls)  # last, since asking for annotations may have put them there


def _is_own(function: Any, cls: type) -> bool:
    """Whether a function was written in the body of the class."""
    return (
        isinstance(function, types.FunctionType)
        and function.__globals__.get("__name__", "builtins") == cls.__module__
        and function.__code__.co_qualname.startswith(f"{cls.__qualname__}.")
    )


def _counts(cls: type, attribute: str, value: Any, origins: Origins) -> bool:
    """Whether something on a class is more than Python, or the library that made the class, puts there by itself."""
    hidden = attribute[:1] == "_" == attribute[-1:] or (hasattr(cls, "_fields") and attribute in _NAMEDTUPLE)
    if isinstance(value, _SLOTS) or attribute in _GENERATED:
        return False
    if not hidden:
        return not (isinstance(cls, EnumMeta) and attribute in cls.__members__)
    function = function_of(value)
    if isinstance(function, types.FunctionType):
        return _is_own(function, cls) or (origins.of(function.__globals__) is None and not _is_generated(function))
    if isinstance(value, type) or isinstance(cls, EnumMeta):
        return False
    return identify(value, origins) is not None  # code; other values are in the source, or among the fields


def _is_generated(function: types.FunctionType) -> bool:
    """Whether a method was written by a decorator, from the body that the class has."""
    code, module = function.__code__, str(function.__globals__.get("__name__"))
    by_name = code.co_qualname.startswith("__create_fn__") or module.startswith("namedtuple_")
    return by_name or code.co_filename.startswith("<attrs generated")


def _fields(cls: type) -> tuple[Any, ...]:
    """Of a class without source: its annotations, and what a dataclass or attrs was told of its fields."""
    try:
        annotations = vars(cls).get("__annotations__") or cls.__annotations__
    except (AttributeError, NameError):  # none; or one that names what is not there
        annotations = {}
    said: list[Any] = [
        (name, kind if isinstance(kind, str | type) else repr(kind)) for name, kind in annotations.items()
    ]
    for name, field in getattr(cls, "__dataclass_fields__", {}).items():
        factory = field.default_factory if callable(field.default_factory) else None
        said.append((name, factory, field.init, field.repr, field.hash, field.compare, field.kw_only))
    return (*said, *getattr(cls, "__attrs_attrs__", ()))


def _import(name: str) -> Any:
    """A module of the project, imported if need be, as the function would do; :data:`_MISSING` when it cannot be."""
    try:
        return import_module(name)
    except Exception:
        return _MISSING
