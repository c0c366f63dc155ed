"""The standard library's types, each taken apart into plain parts: by name, so that none is imported before it is met.

A part with the empty name is the content, one that begins with a dot an attribute. What a function here gives is in
every key that was ever made of such a value: it is never changed.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .framing import content, memory, refusal

__all__ = ["STANDARD", "Take", "attributes", "table", "take_exception", "take_member"]

Take = Callable[[Any], dict[str, Any]]
"""Takes a value apart."""


def attributes(state: Any) -> dict[str, Any]:
    """Parts for what ``__getstate__`` gives: the ``__dict__``, or with it the slots, or what a class likes."""
    if state is None:
        return {}
    groups = [group or {} for group in state] if type(state) is tuple and len(state) == 2 else [state]
    groups = [group.copy() if type(group) is dict else group for group in groups]  # another thread may change them
    if all(type(group) is dict and {str}.issuperset(map(type, group)) for group in groups):
        parts = {f".{name}": item for group in groups for name, item in group.items()}
        if len(parts) == sum(map(len, groups)):
            return parts
    return {"state": state}


def take_member(value: Any) -> dict[str, Any]:
    """A member of an enumeration: its name, and its value when that is plain; a combined flag may have no name."""
    return {"": value._name_, "value": value._value_ if type(value._value_) in (int, float, str, bytes) else None}


def take_exception(value: BaseException) -> dict[str, Any]:
    """An exception without its traceback and its causes."""
    reduced: Any = value.__reduce__()
    return {"": reduced[1], **attributes(reduced[2] if len(reduced) > 2 else None)}


def table(module: str, names: Iterable[str], take: Take) -> dict[str, Take]:
    """The same way for several types of a module."""
    return {f"{module}.{name}": take for name in names}


def _memoryview(value: memoryview) -> dict[str, Any]:
    data = value.cast("B") if value.c_contiguous and value.nbytes else value.tobytes()
    return {"format": value.format, "shape": value.shape, "": content((data,), value.nbytes)}


def _array(value: array[Any]) -> dict[str, Any]:
    code = value.typecode
    if code in "uw":  # characters, of two or four bytes by platform
        return {"code": code, "": value.tounicode()}
    if code in "lL":  # likewise
        value = array({"l": "q", "L": "Q"}[code], value)
    data = memory(value)
    return {"code": code, "": content((data,), len(data))}


def _zone(value: Any) -> dict[str, Any]:
    if value.key is None:
        raise refusal(value, "it was read from a file and has no key")
    return {"": value.key}


def _text(value: Any) -> dict[str, Any]:
    return {"": str(value)}


STANDARD: Mapping[str, Take] = {
    "builtins.bytearray": lambda value: {"": content((value,), len(value))},
    "builtins.memoryview": _memoryview,
    **table("builtins", ("range", "slice"), lambda value: {"": (value.start, value.stop, value.step)}),
    "builtins.mappingproxy": lambda value: {"": dict(value)},
    **table(  # what they give for pickling is fixed, since later versions read it
        "datetime",
        ("date", "time", "datetime", "timedelta", "timezone"),
        lambda value: {"": value.__reduce_ex__(4)[1]},
    ),
    "zoneinfo.ZoneInfo": _zone,
    "decimal.Decimal": _text,
    "fractions.Fraction": lambda value: {"": (value.numerator, value.denominator)},
    "uuid.UUID": lambda value: {"": value.int},
    "re.Pattern": lambda value: {"": value.pattern, "flags": value.flags},
    **table("pathlib", ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"), _text),
    **table("ipaddress", (f"IPv{n}{name}" for n in "46" for name in ("Address", "Interface", "Network")), _text),
    "collections.deque": lambda value: {"": list(value), "maxlen": value.maxlen},
    "collections.OrderedDict": lambda value: {"": list(value.items()), **attributes(vars(value))},
    "collections.defaultdict": lambda value: {"": dict(dict.items(value)), "factory": value.default_factory},
    "collections.Counter": lambda value: {"": dict(dict.items(value)), **attributes(vars(value))},
    "array.array": _array,
    "types.SimpleNamespace": lambda value: attributes(vars(value)),
    "types.GenericAlias": lambda value: {"": (value.__origin__, value.__args__)},
    **dict.fromkeys(("types.UnionType", "typing.Union"), lambda value: {"": value.__args__}),
    **table("operator", ("itemgetter", "attrgetter", "methodcaller"), lambda value: {"": value.__reduce__()}),
    **table("logging", ("Logger", "RootLogger"), lambda value: {"": value.name}),
}
"""Types by the first part of their module's name and their own, as the tag of their values has it too."""
