"""What code without source is, and what it uses: for functions of ``exec``, of the interpreter's prompt, and of files
that were edited since they were imported. The digest holds for one Python version only."""

from __future__ import annotations

import dis
import re
import sys
from collections.abc import Iterator
from hashlib import sha256
from types import CodeType
from typing import Any

from .syntax import NAME, Syntax, Use

__all__ = ["mangled", "read_code"]

_LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "LOAD_DEREF", "LOAD_CLASSDEREF")
_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")
_OTHERS = ("STORE_ATTR", "DELETE_ATTR", "LOAD_SUPER_ATTR", "STORE_GLOBAL", "STORE_NAME", "DELETE_GLOBAL", "DELETE_NAME")
_NOTHING = ("EXTENDED_ARG", "CACHE", "NOP")


def read_code(code: CodeType) -> Syntax:
    """The digest of a function's code object, and the names that it uses."""
    said = f"{sys.implementation.cache_tag} {_said(code)!r}"
    digest = sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return Syntax(digest, tuple(dict.fromkeys(_uses(code, code.co_freevars))), frozenset(_names(code)))


def mangled(code: CodeType) -> list[Use]:
    """The globals that a method uses by names that are not those of its source: ``__name`` within a class."""
    is_mangled = re.compile("_[^_].*__.*[^_]_?").fullmatch
    names = {name for name in _names(code) if is_mangled(name)}
    return [use for use in dict.fromkeys(_uses(code, ())) if use.name in names] if names else []


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _said(value: Any) -> Any:
    """Constants and code as what differs when they do: of equal type, and in an order that is always the same."""
    if isinstance(value, CodeType):
        counts = value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount, value.co_flags
        names = value.co_name, value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars
        return "code", value.co_code, value.co_exceptiontable, counts, names, _said(value.co_consts)
    if isinstance(value, tuple):
        return "tuple", [_said(item) for item in value]
    if isinstance(value, frozenset):
        return "frozenset", sorted(repr(_said(item)) for item in value)
    return type(value).__name__, hex(value) if type(value) is int else repr(value)


def _uses(code: CodeType, free: tuple[str, ...]) -> Iterator[Use]:
    found: dict[Use, None] = {}
    chain: list[str] = []
    seen: set[Any] = set()
    level: Any = 0
    constants: list[Any] = [0, 0]
    for instruction in dis.get_instructions(code):
        name, argument = instruction.opname, instruction.argval
        if name in _ATTRIBUTES and chain:
            chain.append(argument)
        elif name not in _NOTHING:
            if chain:
                found[Use(chain[0], tuple(chain[1:]))] = None
            chain = []
            if name in _LOADS and (argument in code.co_names or argument in free):
                chain = [argument]
            elif name == "IMPORT_NAME":
                module, level = argument, constants[-2]  # before it lie its dots and the names to come
                if constants[-1] is None:
                    found[Use(module, (), level)] = None
            elif name == "IMPORT_FROM":
                found[Use(module, (argument,), level)] = None
        if name.startswith("LOAD_CONST") or name == "LOAD_SMALL_INT":
            constants.append(argument)
        if name in (*_LOADS, *_ATTRIBUTES, *_OTHERS, "IMPORT_NAME", "IMPORT_FROM"):
            seen.add(argument)
    yield from found
    yield from (Use(name, (), NAME) for name in code.co_names if name not in seen)  # of instructions not known here
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _uses(constant, tuple(name for name in free if name in constant.co_freevars))
