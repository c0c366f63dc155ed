"""The YAML of a definition as nodes that know their lines: plain data without tags, and no more of it than is sound."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..errors import DefinitionError, MissingExtraError

__all__ = ["LONGEST", "Node", "parse"]

LONGEST = 1 << 20
"""Most characters of a definition."""

_QUOTED = ("'", '"', "|", ">")
_DEEPEST = 50
_MOST = 100_000  # nodes, those behind an alias each time

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class Node(NamedTuple):
    """A piece of a document.

    Attributes:
        value: a dict of nodes by text, a list of nodes, or what a scalar says: text, a number, True, False, None.
        line: where it begins, from 1.
        weight: how many nodes it is, with those in it.
    """

    value: Any
    line: int
    weight: int = 1

    @property
    def plain(self) -> Any:
        """The value without nodes."""
        value = self.value
        if isinstance(value, dict):
            return {key: node.plain for key, node in value.items()}
        return [node.plain for node in value] if isinstance(value, list) else value


def parse(text: str, name: str) -> Node:
    """The only document of a text.

    Args:
        name: of the file, for messages.

    Raises:
        DefinitionError: it is no text, no YAML, has tags, several documents or a key twice, or is too long, deep or
            large.
        MissingExtraError: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError('flows need jq, jsonschema and PyYAML: pip install "holdfast[flows]"') from error
    given: object = text
    if not isinstance(given, str):
        raise DefinitionError(f"{name}:1: a definition is text, not {type(given).__name__}")
    if len(text) > LONGEST:
        raise DefinitionError(f"{name}:1: a definition has at most {LONGEST:,} characters, not {len(text):,}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise DefinitionError(f"{name}:{line}: half of a pair of UTF-16 is no character") from None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Composer(yaml.parse(text, Loader=loader), name).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 1 if mark is None else mark.line + 1
        raise DefinitionError(f"{name}:{line}: this is no YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise DefinitionError(f"{name}:1: this is no YAML: {str(error).splitlines()[0]}") from None


class _Composer:
    """Makes nodes of a parser's events."""

    def __init__(self, events: Iterator[Any], name: str) -> None:
        self._events = events
        self._name = name
        self._anchors: dict[str, Node] = {}
        self._makers: dict[str, Callable[[Any, int], Node]] = {
            "ScalarEvent": lambda event, _: Node(_scalar(event), _line(event)),
            "SequenceStartEvent": self._sequence,
            "MappingStartEvent": self._mapping,
        }

    def document(self) -> Node:
        found: Node | None = None
        for event in self._events:
            kind = type(event).__name__
            if kind == "DocumentStartEvent":
                if found is not None:
                    raise self._wrong(event, "a definition is one document: remove the line ---")
                found = self._node(next(self._events), 0)
        if found is None:
            raise DefinitionError(f"{self._name}:1: the definition is empty: give it states")
        return found

    def _wrong(self, event: Any, what: str) -> DefinitionError:
        return DefinitionError(f"{self._name}:{_line(event)}: {what}")

    def _node(self, event: Any, depth: int) -> Node:
        if depth > _DEEPEST:
            raise self._wrong(event, f"this is nested more than {_DEEPEST} levels deep")
        anchor = event.anchor
        if type(event).__name__ == "AliasEvent":
            if anchor not in self._anchors:
                raise self._wrong(event, f"no anchor &{anchor} stands before this alias")
            return self._anchors[anchor]._replace(line=_line(event))
        if event.tag is not None and event.tag != "!":
            raise self._wrong(event, f"tags such as {event.tag} are not taken: remove it")
        node = self._makers[type(event).__name__](event, depth)
        if node.weight > _MOST:
            raise self._wrong(event, f"with its aliases resolved this has more than {_MOST:,} values")
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _sequence(self, start: Any, depth: int) -> Node:
        items: list[Node] = []
        weight = 1
        while type(event := next(self._events)).__name__ != "SequenceEndEvent":
            items.append(self._node(event, depth + 1))
            weight += items[-1].weight
            self._check(event, weight)
        return Node(items, _line(start), weight)

    def _mapping(self, start: Any, depth: int) -> Node:
        pairs: dict[str, Node] = {}
        weight = 1
        while type(event := next(self._events)).__name__ != "MappingEndEvent":
            if type(event).__name__ != "ScalarEvent":
                raise self._wrong(event, "a key is plain text")
            if event.value == "<<" and event.style not in _QUOTED:
                raise self._wrong(event, "<<: maps are not merged here: write what it stands for")
            key, node = str(event.value), self._node(next(self._events), depth + 1)
            if key in pairs:
                raise self._wrong(event, f"{key}: this key stands here twice: remove one")
            pairs[key] = node
            weight += node.weight
            self._check(event, weight)
        return Node(pairs, _line(start), weight)

    def _check(self, event: Any, weight: int) -> None:
        if weight > _MOST:
            raise self._wrong(event, f"with its aliases resolved this has more than {_MOST:,} values")


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _scalar(event: Any) -> Any:
    """What a scalar says, by the rules of JSON as YAML 1.2 has them: ``yes``, ``on`` and dates are text.

    What is octal is text, too, with ``0o`` as without: permissions are what has it.
    """
    text = event.value
    if event.style in _QUOTED or event.tag == "!":
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text) and len(text) < 1000:
        return int(text)
    if _HEXADECIMAL.fullmatch(text) and len(text) < 1000:
        return int(text, 16)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if number - number == 0 else text  # one beyond what a number can be stays text
    return text
