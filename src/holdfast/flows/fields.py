"""Reading the fields of a definition's maps, and collecting all that is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple, TypeVar

from ..errors import DefinitionError
from .document import Node
from .evaluation.patterns import EVERY
from .expressions import Template, template
from .json_text import encode

__all__ = [
    "Field", "Reader", "Reading", "among", "duration", "fields", "items", "json_schema", "literal", "need", "number",
    "one_of", "pattern", "record", "take", "text", "value", "whether",
]  # fmt: skip

T = TypeVar("T")

_MOST = 100  # problems that are told
_LONGEST = 1000  # characters of one
_NAMED = 20  # names of what there is
_LONGEST_WAIT = 10 * 365 * 86400  # seconds
_DURATION = re.compile(
    r"P(?=.)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?"
)
_UNITS = (365 * 86400, 30 * 86400, 7 * 86400, 86400, 3600, 60, 1)


class Reading:
    """What was found on the way through a definition.

    Attributes:
        states: ids of its states.
        functions: what is known of its functions, by id.
        atomic: scope and key of its variables that are atomic.
        programs, patterns, schemas: those of jq, regular expressions, and schemas as JSON, with line and field where
            each stands first.
        check: tells of a function why it cannot be called.
    """

    def __init__(self, name: str, check: Callable[[str], str | None] | None) -> None:
        self._name = name
        self._problems: list[tuple[int, str]] = []
        self.check = check
        self.states: dict[str, Any] = {}
        self.functions: dict[str, Any] = {}
        self.atomic: frozenset[tuple[str, str]] = frozenset()
        self.programs: dict[str, tuple[int, str]] = {}
        self.patterns: dict[str, tuple[int, str]] = {}
        self.schemas: dict[str, tuple[int, str]] = {}

    def wrong(self, line: int, field: str, what: str) -> None:
        """Note something that is wrong with a field.

        Raises:
            DefinitionError: that is enough.
        """
        self._problems.append((line, f"{self._name}:{line}: {field}: {what}"[:_LONGEST]))
        if len(self._problems) >= _MOST:
            self.end()

    def end(self) -> None:
        """Raise if something was noted.

        Raises:
            DefinitionError: it was; the message has a line for each, in the order of the file.
        """
        if self._problems:
            raise DefinitionError("\n".join(dict.fromkeys(message for _, message in sorted(self._problems))))


Reader = Callable[[Node, str, Reading], T]
"""Gives what a node says; ValueError for what is wrong with it as a whole. The text is the field's name."""


class Field(NamedTuple):
    """How a field is read; ``default`` is for one that is wrong, or missing and not needed."""

    reader: Reader[Any]
    default: Any
    needed: bool


def take(reader: Reader[Any], default: Any = None) -> Field:
    """A field that may be missing, or null."""
    return Field(reader, default, False)


def need(reader: Reader[Any], default: Any = None) -> Field:
    """A field that must be there."""
    return Field(reader, default, True)


def fields(node: Node, where: str, reading: Reading, table: Mapping[str, Field]) -> list[Any]:
    """What the fields of a map say, in the order of the table. Those that are not in it are noted."""
    given = node.value
    if not isinstance(given, dict):
        raise ValueError("this is a map of fields")
    found = []
    for name, (reader, default, needed) in table.items():
        field, there = f"{where}.{name}" if where else name, given.get(name)
        value = default
        if there is None and needed:
            reading.wrong(node.line, field, "this field is missing: add it")
        elif there is not None and (needed or there.value is not None):
            value = _read(reader, there, field, reading, default)
        found.append(value)
    for name in (name for name in given if name not in table):
        near = get_close_matches(name, table, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {among(table)}"
        field = f"{where}.{name}" if where else name
        reading.wrong(given[name].line, field, f"there is no such field here: {hint}")
    return found


def _read(reader: Reader[Any], node: Node, where: str, reading: Reading, default: Any = None) -> Any:
    try:
        return reader(node, where, reading)
    except DefinitionError:
        raise
    except ValueError as error:
        reading.wrong(node.line, where, str(error))
        return default


def record(make: Callable[..., T], table: Mapping[str, Field]) -> Reader[T]:
    """A reader of maps, which makes something of its fields, in the order of the table."""
    return lambda node, where, reading: make(*fields(node, where, reading, table))


def text(node: Node, where: str, reading: Reading) -> str:
    """Text that is not empty."""
    if isinstance(node.value, str) and node.value.strip():
        return node.value.strip()
    raise ValueError("this is text, and not empty")


def literal(node: Node, where: str, reading: Reading) -> Any:
    """Any value, without jq."""
    return node.plain


def value(node: Node, where: str, reading: Reading) -> Template:
    """Any value, with ``jq(...)`` in it."""
    found = template(node.plain)
    for program in found.programs:
        reading.programs.setdefault(program, (node.line, where))
    return found


def whether(node: Node, where: str, reading: Reading) -> bool:
    """True or false."""
    if isinstance(node.value, bool):
        return node.value
    raise ValueError("this is true or false")


def one_of(*names: str) -> Reader[str]:
    """A reader of one of these names."""

    def read(node: Node, where: str, reading: Reading) -> str:
        if node.value in names:
            return str(node.value)
        raise ValueError(f"this is {' or '.join(names)}, not {node.plain!r:.100}")

    return read


def number(least: float, most: float, *kinds: type) -> Reader[float]:
    """A reader of a number of these types between two."""

    def read(node: Node, where: str, reading: Reading) -> float:
        if type(node.value) in kinds and least <= node.value <= most:
            return float(node.value)
        raise ValueError(f"this is a {'' if float in kinds else 'whole '}number from {least:g} to {most:g}")

    return read


def items(reader: Reader[T], least: int = 0) -> Reader[tuple[T, ...]]:
    """A reader of lists."""

    def read(node: Node, where: str, reading: Reading) -> tuple[T, ...]:
        if not isinstance(node.value, list) or len(node.value) < least:
            raise ValueError("this is a list, and not empty" if least else "this is a list")
        found = [_read(reader, each, f"{where}[{n}]", reading) for n, each in enumerate(node.value)]
        return tuple(each for each in found if each is not None)

    return read


def pattern(node: Node, where: str, reading: Reading) -> str:
    """A regular expression for codes of errors; a star alone is for all of them."""
    given = text(node, where, reading)
    found = EVERY if given == "*" else given
    reading.patterns.setdefault(found, (node.line, where))
    return found


def json_schema(node: Node, where: str, reading: Reading) -> str:
    """A JSON Schema, as JSON."""
    if not isinstance(node.value, (dict, bool)):
        raise ValueError("a JSON Schema is a map")
    found = encode(node.plain).decode()
    reading.schemas.setdefault(found, (node.line, where))
    return found


def among(names: Iterable[str]) -> str:
    """Which names there are, or the first ones of many, for a message."""
    known = sorted(names)
    return ", ".join(known[:_NAMED]) + (", ..." if len(known) > _NAMED else "") or "none"


def duration(node: Node, where: str, reading: Reading) -> float:
    """Seconds, of a duration as ISO 8601 has it."""
    found = _DURATION.fullmatch(node.value) if isinstance(node.value, str) else None
    if found is None:
        raise ValueError(f"{node.plain!r:.100} is no duration of ISO 8601, such as PT30S or P1DT12H")
    seconds = sum(float(amount) * unit for amount, unit in zip(found.groups(), _UNITS, strict=True) if amount)
    if seconds > _LONGEST_WAIT:
        raise ValueError(f"{node.plain!r:.100} is more than ten years")
    return seconds
