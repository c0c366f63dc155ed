"""What a case says, made whole by its variables, and how an answer differs from what is expected of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from send import Reply

__all__ = ["differences", "filled", "lookup"]

_VARIABLE = re.compile(r"\$\{(\w+)(\|url)?\}")
_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: type(value) is int,
    "number": lambda value: type(value) in (int, float),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
}


def filled(value: Any, variables: Mapping[str, Any], quote_text: Callable[..., str] | None = None) -> Any:
    """The value with its variables replaced, in the keys of objects, too.

    Text that is one variable and nothing else becomes what was remembered, a number for example.

    Raises:
        KeyError: a variable is not known.
    """
    if isinstance(value, dict):
        return {filled(name, variables): filled(item, variables) for name, item in value.items()}
    if isinstance(value, list):
        return [filled(item, variables) for item in value]
    if not isinstance(value, str):
        return value
    whole = _VARIABLE.fullmatch(value)
    if whole and not whole[2]:
        return variables[whole[1]]

    def text(match: re.Match[str]) -> str:
        found = str(variables[match[1]])
        return quote_text(found, safe="") if match[2] and quote_text else found

    return _VARIABLE.sub(text, value)


def lookup(where: Mapping[str, str], reply: Reply) -> Any:
    """What is at a place of an answer: ``{"header": NAME}`` or ``{"json": POINTER}``, a JSON pointer.

    Raises:
        LookupError, ValueError, TypeError: there is nothing.
    """
    if "header" in where:
        return reply.headers[where["header"].lower()]
    found = json.loads(reply.body)
    for part in where["json"].split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        found = found[int(part)] if isinstance(found, list) else found[part]
    return found


def differences(expected: Mapping[str, Any], reply: Reply, content: Callable[[Any], bytes]) -> Iterator[str]:
    """What of an answer is not as expected, a line each."""
    if "status" in expected:
        wanted = expected["status"] if isinstance(expected["status"], list) else [expected["status"]]
        if reply.status not in wanted:
            yield f"status {reply.status}, expected {' or '.join(map(str, wanted))}"
    for name, wanted in expected.get("headers", {}).items():
        found = reply.headers.get(name.lower())
        if wanted is None:
            if found is not None:
                yield f"header {name}: {found!r}, expected none"
        elif isinstance(wanted, dict):
            if found is None or not re.search(wanted["pattern"], found):
                yield f"header {name}: {found!r}, expected one like {wanted['pattern']}"
        elif found != wanted:
            yield f"header {name}: {found!r}, expected {wanted!r}"
    if "body" in expected:
        yield from _body(expected["body"], reply.body, content)
    named = {"json": False, "json_exact": True}
    if "code" in expected or any(name in expected for name in named):
        try:
            value = json.loads(reply.body)
        except ValueError:
            yield "the body is not JSON"
            return
        if "code" in expected:
            yield from _unlike({"error": {"code": expected["code"]}}, value, "", False)
        for name, exact in named.items():
            if name in expected:
                yield from _unlike(expected[name], value, "", exact)


def _body(wanted: Any, body: bytes, content: Callable[[Any], bytes]) -> Iterator[str]:
    if isinstance(wanted, dict) and "pattern" in wanted:
        if not re.search(wanted["pattern"], body.decode(errors="replace")):
            yield f"body {body[:200]!r}, expected one like {wanted['pattern']}"
        return
    whole = content(wanted)
    if whole != body:
        at = next((at for at, byte in enumerate(whole) if body[at : at + 1] != bytes([byte])), len(whole))
        shown = f"{body[at : at + 40]!r}, expected {whole[at : at + 40]!r}"
        yield f"body of {len(body)} bytes, expected {len(whole)}; from byte {at} on it is {shown}"


def _unlike(wanted: Any, found: Any, where: str, exact: bool) -> Iterator[str]:
    """The places at which a JSON value is not as wanted; without ``exact`` objects may have more members."""
    place = where or "the body"
    if isinstance(wanted, dict) and len(wanted) == 1 and next(iter(wanted)).startswith("$"):
        yield from _special(*next(iter(wanted.items())), found, place, exact)
    elif isinstance(wanted, dict) and isinstance(found, dict):
        for name, item in wanted.items():
            if item == {"$absent": True}:
                if name in found:
                    yield f"{where}/{name} is {found[name]!r}, expected none"
            elif name not in found:
                yield f"{where}/{name} is missing"
            else:
                yield from _unlike(item, found[name], f"{where}/{name}", exact)
        if exact and (more := sorted(found.keys() - wanted.keys())):
            yield f"{place} has {', '.join(more)}, which is not expected"
    elif isinstance(wanted, list) and isinstance(found, list):
        if len(wanted) != len(found):
            yield f"{place} has {len(found)} elements, expected {len(wanted)}: {found!r:.300}"
        for number, (item, element) in enumerate(zip(wanted, found, strict=False)):
            yield from _unlike(item, element, f"{where}/{number}", exact)
    elif isinstance(wanted, bool) is not isinstance(found, bool) or wanted != found:
        yield f"{place} is {found!r:.300}, expected {wanted!r}"


def _special(name: str, argument: Any, found: Any, place: str, exact: bool) -> Iterator[str]:
    match name:
        case "$type":
            if not _TYPES[argument](found):
                yield f"{place} is {found!r:.300}, expected a value of type {argument}"
        case "$pattern":
            if not isinstance(found, str) or not re.search(argument, found):
                yield f"{place} is {found!r:.300}, expected text like {argument}"
        case "$not":
            if not any(_unlike(argument, found, "", exact)):
                yield f"{place} is {found!r:.300}, expected another value"
        case "$has":
            for item in argument:
                if not (isinstance(found, list) and any(not any(_unlike(item, each, "", exact)) for each in found)):
                    yield f"{place} has no element like {item!r}: {found!r:.300}"
        case _:
            yield f"{place}: there is no expectation {name}"
