"""Values as canonical bytes: equal in every process and Python version for equal values, different for different ones.

A value is a scalar (bytes at once), a container (the bytes of its items), a callable (its code's tag), or it is taken
apart into named parts, encoded behind the name of its type. Whatever fits none of these has no reliable hash.
"""

from __future__ import annotations

import functools
import types
from array import array
from collections.abc import Callable, Collection, Sequence
from struct import Struct
from typing import Any

from ..errors import UnhashableError
from .framing import LIMIT, content, framed, memory, refusal, type_name
from .parts import STANDARD, Take, attributes, take_exception, take_member

__all__ = ["Canonical", "CodeOf", "is_memoized"]

CodeOf = Callable[[Any], bytes]
"""Gives a stable tag of a function, built-in, method, class, module or partial."""

_Encoder = Callable[["Canonical", Any, dict[Any, Any], int], bytes]

_LIBRARIES = frozenset(
    ("numpy", "pandas", "polars", "pyarrow", "PIL", "xarray", "dask", "zarr", "torch", "msgspec", "pydantic_core")
)
_DEPTH = 200  # levels of nesting: a few frames each, so below Python's own limit
_LOOPS = 100_000  # references from values back to those around them, before the search would become endless
_BULK = 64  # items of one type from here on are encoded together
_CYCLES = "cycles"  # in a trail beside the ids, which are numbers
_TEXT = [b"s%d:" % length for length in range(LIMIT + 1)]
_POINTER = Struct("P").size

# Methods that give an instance no behaviour by which it could be told from another of its class.
_DULL = frozenset(
    f"__{name}__"
    for name in (
        *("new", "init", "eq", "hash", "repr", "str", "bool", "getattr", "setattr", "copy", "deepcopy"),
        *("class_getitem", "init_subclass", "subclasshook"),
    )
)


def _text(value: str) -> bytes:
    try:
        data = value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        data = value.encode("utf-8", "surrogatepass")
    length = len(data)
    return _TEXT[length] + data if length <= LIMIT else framed(b"s", data)


_complex = Struct("<cdd").pack

_SCALARS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda value: b"N",
    bool: lambda value: b"+" if value else b"-",
    int: lambda value: b"i%x;" % value,
    float: functools.partial(Struct("<cd").pack, b"f"),  # by its bits, so -0.0 and each nan for itself
    complex: lambda value: _complex(b"c", value.real, value.imag),
    str: _text,
    bytes: functools.partial(framed, b"b"),
    type(...): lambda value: b".",
    type(NotImplemented): lambda value: b"_",
}

_CALLABLES = (
    *(type, types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.MethodWrapperType),
    *(types.WrapperDescriptorType, types.MethodDescriptorType, types.ClassMethodDescriptorType, types.ModuleType),
    *(functools.partial, type(functools.lru_cache(len)), staticmethod, classmethod),
)

# The content of a subclass's instance as its base has it, whatever the subclass overrides.
_PLAIN: dict[type, Callable[[Any], Any]] = {
    int: int.__int__,
    float: float.__float__,
    complex: complex.__complex__,
    str: str.__str__,
    bytes: lambda value: bytes(memoryview(value)),
    list: list.copy,
    dict: lambda value: dict(dict.items(value)),
    tuple: lambda value: tuple.__getitem__(value, slice(None)),
    set: lambda value: {*set.__iter__(value)},
    frozenset: lambda value: frozenset([*frozenset.__iter__(value)]),
}


class Canonical:
    """Encodes values.

    Args:
        code_of: tags what is code: callables, and the types of instances, by which a changed class changes the bytes.

    The message of every :class:`~holdfast.errors.UnhashableError` from here begins with the path to the place, as in
    ``.weights[3]: a _io.TextIOWrapper has no hash ...`` (with the colon when the path is empty): put a name before it.
    """

    def __init__(self, code_of: CodeOf) -> None:
        self._code_of = code_of
        self._encoders: dict[type, _Encoder] = dict(_CONTAINERS)

    def encode(self, value: Any) -> bytes:
        """Canonical bytes of a value: no other value has them, and none begin with them. Large parts are in them as
        their digests.

        Raises:
            UnhashableError: something in it has no hash that is the same in every process.
        """
        scalar = _SCALARS.get(type(value))
        if scalar is not None:
            return scalar(value)
        try:
            return self._nested(value, {}, 0)
        except RecursionError as error:
            raise UnhashableError(": it is nested too deeply for what is left of Python's stack") from error

    def _nested(self, value: Any, trail: dict[Any, Any], depth: int) -> bytes:
        """``trail`` has, by id, the depths of the values around this one, and large ones done before, as
        ``(bytes, value)``: without these, one that is used twice on every level would take for ever."""
        kind = type(value)
        encoder = self._encoders.get(kind)
        if encoder is None:
            encoder = self._encoders[kind] = _encoder_for(kind)
        mark = id(value)
        known = trail.get(mark)
        if known is not None:
            return known[0] if type(known) is tuple else _back(known, trail)
        if depth > _DEPTH:
            raise UnhashableError(f": it is nested more than {_DEPTH} levels deep")
        trail[mark] = depth
        done = encoder(self, value, trail, depth + 1)
        if done[1] == 35 and _CYCLES not in trail:  # "#", a digest. Within a cycle the bytes depend on the place.
            trail[mark] = done, value
        else:
            del trail[mark]
        return done

    def _items(self, value: Collection[Any], trail: dict[Any, Any], depth: int) -> bytes:
        tag = _TAGS[type(value)]
        ordered = tag in (b"t", b"l")
        items = [*value]  # another thread may change it meanwhile
        if ordered and len(items) >= _BULK and (together := _bulk(items)):
            return framed(tag.upper(), together)
        done: list[bytes] = []
        try:
            for item in items:
                scalar = _SCALARS.get(type(item))
                done.append(scalar(item) if scalar is not None else self._nested(item, trail, depth))
        except UnhashableError as error:
            _prefix(error, f"[{len(done)}]" if ordered else "{}")
            raise
        if not ordered:
            done.sort()
        return framed(tag, b"".join(done))

    def _dict(self, value: dict[Any, Any], trail: dict[Any, Any], depth: int) -> bytes:
        done: list[bytes] = []
        key: Any = None
        try:
            for key, item in value.copy().items():
                scalar = _SCALARS.get(type(key))
                name = scalar(key) if scalar is not None else self._nested(key, trail, depth)
                scalar = _SCALARS.get(type(item))
                done.append(name + (scalar(item) if scalar is not None else self._nested(item, trail, depth)))
        except UnhashableError as error:
            _prefix(error, f"[{_shown(key)}]")
            raise
        done.sort()
        return framed(b"d", b"".join(done))

    def _code(self, value: Any, trail: dict[Any, Any] | None = None, depth: int = 0) -> bytes:
        try:
            return framed(b"o", self._code_of(value))
        except UnhashableError as error:
            raise UnhashableError(f"{'' if error.message[:1] == ':' else ': '}{error.message}") from error

    def _parts(self, tag: bytes, parts: dict[str, Any], trail: dict[Any, Any], depth: int) -> bytes:
        done = [tag]
        name = ""
        try:
            for name in sorted(parts):
                part = parts[name]
                scalar = _SCALARS.get(type(part))
                done += _text(name), scalar(part) if scalar is not None else self._nested(part, trail, depth)
        except UnhashableError as error:
            _prefix(error, name if not name or name[0] == "." else f".{name}")
            raise
        return framed(b"p", b"".join(done))

    def _instance(self, value: Any, trail: dict[Any, Any], depth: int) -> bytes:
        """An instance by what its class gives for pickling."""
        kind: Any = type(value)
        try:
            reduced = kind.__reduce_ex__(value, 4)
        except Exception as error:
            raise refusal(value, error) from error
        if isinstance(reduced, str):  # the name of a global
            return self._parts(self._code(kind), {"": reduced}, trail, depth)
        function, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        parts = attributes(state)
        if getattr(function, "__module__", "") == "copyreg":
            arguments = arguments[1:]  # the first is the class
        else:
            parts["reduce"] = function
        parts |= {"": arguments} if arguments else {}
        parts |= {"items": list(items)} if items is not None else {}
        parts |= {"pairs": dict(pairs)} if pairs is not None else {}
        if not parts and _is_sentinel(kind):
            raise refusal(value, "it has no state, and is equal to itself only")
        return self._parts(self._code(kind), parts, trail, depth)


_TAGS = {list: b"l", tuple: b"t", set: b"e", frozenset: b"z"}
_CONTAINERS: dict[type, _Encoder] = {dict: Canonical._dict, **dict.fromkeys(_TAGS, Canonical._items)}


def _prefix(error: UnhashableError, step: str) -> None:
    """Put a step before the error's path."""
    error.message = step + error.message
    error.args = (error.message,)


def _shown(key: Any) -> str:
    """A key as it stands in a path; Python refuses to write very large integers down."""
    large = type(key) is int and key.bit_length() > 64
    return f"<{type_name(type(key))}>" if large or type(key) not in _SCALARS else f"{key!r:.60}"


def _back(depth: int, trail: dict[Any, Any]) -> bytes:
    """A reference to the value that is so many levels below the root, and around this one."""
    trail[_CYCLES] = trail.get(_CYCLES, 0) + 1
    if trail[_CYCLES] > _LOOPS:
        raise UnhashableError(": it refers to itself in too many ways")
    return b"^%d;" % depth


def _bulk(items: Sequence[Any]) -> bytes | None:
    """Many floats, integers of 64 bits or strings at once; None for others."""
    kinds = set(map(type, items))
    kind = kinds.pop()
    if kinds or kind not in (float, int, str):
        return None
    text = "".join(items).encode("utf-8", "surrogatepass") if kind is str else b""
    try:
        numbers = memory(array("d" if kind is float else "q", map(len, items) if kind is str else items))
    except OverflowError:
        return None
    return kind.__name__.encode() + content((numbers, text), len(numbers) + len(text))


def _is_sentinel(kind: Any) -> bool:
    """Whether nothing but its identity can tell one instance of a class without state from another."""
    members = {name for base in kind.__mro__[:-1] for name, member in vars(base).items() if callable(member)}
    return kind.__eq__ is object.__eq__ and members <= _DULL


def _adds_attributes_only(kind: Any, base: Any) -> bool:
    """Whether the classes above ``base`` keep nothing but attributes: no memory of C code, no pickling in C code."""
    if kind.__reduce_ex__ is not base.__reduce_ex__ or kind.__reduce__ is not base.__reduce__:
        return False
    while kind is not base:
        below = kind.__base__
        if below is None:
            return False
        slots = vars(kind).get("__slots__", ())
        pointers = 1 if isinstance(slots, str) else len(tuple(slots))
        pointers += (kind.__dictoffset__ != below.__dictoffset__) + (kind.__weakrefoffset__ != below.__weakrefoffset__)
        if (kind.__basicsize__ - below.__basicsize__) // _POINTER > pointers:
            return False
        kind = below
    return True


def _pickles_in_python(kind: Any) -> bool:
    """Whether the class itself says in Python what its instances are made of."""
    hooks = ["__reduce_ex__", "__reduce__"]
    if kind.__reduce__ is object.__reduce__:
        hooks += ["__getstate__", "__getnewargs__", "__getnewargs_ex__"]
    return any(isinstance(getattr(kind, name, None), types.FunctionType) for name in hooks)


def _taken(take: Take, tag: bytes = b"") -> _Encoder:
    """The encoder of values that ``take`` takes apart; without a tag, behind that of their class."""

    def encode(self: Canonical, value: Any, trail: dict[Any, Any], depth: int) -> bytes:
        try:
            parts = take(value)
        except UnhashableError:
            raise
        except Exception as error:
            raise refusal(value, error) from error
        return self._parts(tag or self._code(type(value)), parts, trail, depth)

    return encode


def _take_derived(name: str, base: type) -> Take:
    """Parts of an instance of a subclass: its content as the base has it, and its attributes."""
    take = STANDARD.get(name) or (lambda value: {"": _PLAIN[base](value)})
    return lambda value: {**take(value), **attributes(value.__getstate__())}


def _refuse(self: Canonical, value: Any, trail: dict[Any, Any], depth: int) -> bytes:
    raise refusal(value)


def is_memoized(kind: type) -> bool:
    """Whether it is that of memoized functions, which pickle by name alone."""
    ours = str(kind.__module__).startswith(f"{__package__}.")
    return ours and any("__call__" in vars(base) for base in kind.__mro__)


def _encoder_for(kind: type) -> _Encoder:
    """How values of a type that was not met before are encoded."""
    if issubclass(kind, _CALLABLES) or is_memoized(kind):
        return Canonical._code
    names = {f"{str(base.__module__).partition('.')[0]}.{base.__name__}": base for base in kind.__mro__}
    if not _LIBRARIES.isdisjoint(name.partition(".")[0] for name in names):
        from .frames import FOREIGN

        for name in names:
            if name in FOREIGN:
                return _taken(FOREIGN[name])
    name = next(iter(names))
    if name in STANDARD:
        return _taken(STANDARD[name], framed(b"n", name.encode()))
    if "enum.Enum" in names:
        return _taken(take_member)
    if _pickles_in_python(kind):
        return Canonical._instance
    if issubclass(kind, BaseException):
        return _taken(take_exception)
    for name, base in names.items():
        if name in STANDARD or base in _PLAIN:
            return _taken(_take_derived(name, base)) if _adds_attributes_only(kind, base) else _refuse
    return Canonical._instance if kind is not object and _adds_attributes_only(kind, object) else _refuse
