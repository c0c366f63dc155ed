"""``jq(...)`` in the fields of a definition, and what it gives with the data of an instance.

Text that is one whole ``jq(...)`` gives what the program gives, of whatever type. Text with one or several in it gives
text: what they give stands in their places, text as it is and all else as compact JSON. It works in all that lists and
maps have in them, but for keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from .evaluation import jq_process
from .evaluation.children import SECONDS
from .failures import Codes, Failure
from .json_text import encode, shown

__all__ = ["Data", "Template", "is_true", "template"]

_OPENING, _CLOSING = "([{", ")]}"


class _Program(NamedTuple):
    """A program in the place of a value."""

    text: str


class _Joined(NamedTuple):
    """Text and programs that are joined to text."""

    parts: tuple[str | _Program, ...]


class Template(NamedTuple):
    """A value of a definition.

    Attributes:
        shape: the value, with programs in it.
        programs: those that are in it, in their order.
    """

    shape: Any
    programs: tuple[str, ...]

    @property
    def is_null(self) -> bool:
        """Whether it says null, without asking jq."""
        return self.shape is None


class Data:
    """A JSON value to evaluate values of a definition with: the data of an instance, or an element of an array in it.

    Attributes:
        value: it; never changed in place.
    """

    def __init__(self, value: Any, seconds: float = SECONDS) -> None:
        self.value = value
        self._seconds = seconds
        self._known: dict[str, list[Any] | str] = {}

    @cached_property
    def text(self) -> bytes:
        """It as JSON.

        Raises:
            Failure: ``direktiv.jq.badCommand``: it is nested too deep.
        """
        try:
            return encode(self.value)
        except ValueError as error:
            raise Failure(Codes.BAD_COMMAND, f"the data of the instance is no JSON: {error}") from None

    def look_up(self, programs: Sequence[str]) -> Mapping[str, list[Any] | str]:
        """Evaluate programs in one go, so that what they give is at hand until :meth:`forget`; and give that.

        Raises:
            Failure: ``direktiv.jq.badCommand``: they took too long. If one of them fails, whoever needs it is told.
        """
        known = self._known  # which a call that nobody waits for may read after others have forgotten it
        new = [program for program in dict.fromkeys(programs) if program not in known]
        if new:
            known |= jq_process.evaluate(new, self.text, self._seconds)[0]
        return known

    def forget(self) -> None:
        """Evaluate anew from here on: what programs give may depend on the time."""
        self._known = {}

    def values(self, *templates: Template) -> list[Any]:
        """What templates give, all of them in one go.

        Raises:
            Failure: ``direktiv.jq.badCommand``: a program failed, or gave null, or none or several results.
        """
        return self._filled(templates, _one)

    def condition(self, template: Template) -> Any:
        """What a condition gives, which may be null.

        Raises:
            Failure: ``direktiv.jq.badCommand``, as of :meth:`values`.
        """
        return self._filled([template], _one_or_null)[0]

    def texts(self, *templates: Template) -> list[str]:
        """What templates give, each of which gives text.

        Raises:
            Failure: ``direktiv.jq.badCommand``, or ``direktiv.jq.notString``.
        """
        found = self.values(*templates)
        for value in found:
            if not isinstance(value, str):
                raise Failure(Codes.NOT_STRING, f"this must be text: {shown(value):.200}")
        return found

    def transformed(self, template: Template | None, then: Sequence[str]) -> Data | None:
        """The new data that a transform gives; None if it leaves the data as it is.

        Args:
            then: programs that will be evaluated with the new data, and may be in the same go.

        Raises:
            Failure: ``direktiv.jq.badCommand``, or ``direktiv.jq.notObject``.
        """
        if template is None or template.shape in (None, "", "."):
            return None
        following: jq_process.Results = {}
        if isinstance(template.shape, _Program) and template.shape.text not in self._known:
            known, following = jq_process.evaluate(template.programs, self.text, self._seconds, then)
            self._known |= known
        (found,) = self.values(template)
        if not isinstance(found, dict):
            raise Failure(Codes.NOT_OBJECT, f"a transform must give an object, not {shown(found):.200}")
        new = Data(found, self._seconds)
        new._known |= following
        return new

    def _filled(self, templates: Sequence[Template], take: Callable[[str, list[Any]], Any]) -> list[Any]:
        known = self.look_up([program for each in templates for program in each.programs])

        def result(program: str) -> Any:
            found = known[program]
            if isinstance(found, str):
                raise Failure(Codes.BAD_COMMAND, f"jq({program:.200}): {found}")
            return take(program, found)

        return [_fill(each.shape, result) if each.programs else each.shape for each in templates]


def is_true(value: Any) -> bool:
    """Whether a condition is true that gave this: not for null, false, 0, and what is empty."""
    return bool(value)


def _one(program: str, results: list[Any]) -> Any:
    value = _one_or_null(program, results)
    if value is None:
        raise Failure(
            Codes.BAD_COMMAND, f"jq({program:.200}) gave null, and must give a value: // gives another in its place"
        )
    return value


def _one_or_null(program: str, results: list[Any]) -> Any:
    if len(results) == 1:
        return results[0]
    many = "several results" if results else "no result"
    raise Failure(Codes.BAD_COMMAND, f"jq({program:.200}) gave {many}, and must give one: [...] collects several")


def _fill(shape: Any, result: Callable[[str], Any]) -> Any:
    if isinstance(shape, _Program):
        return result(shape.text)
    if isinstance(shape, _Joined):
        return "".join(part if isinstance(part, str) else shown(result(part.text)) for part in shape.parts)
    if isinstance(shape, dict):
        return {key: _fill(value, result) for key, value in shape.items()}
    return [_fill(value, result) for value in shape] if isinstance(shape, list) else shape


# --- from a definition ------------------------------------------------------------------------------------------------


def template(value: Any) -> Template:
    """A value of a definition, made ready.

    Raises:
        ValueError: a ``jq(`` is not closed, or has nothing in it; or there is a ``js(...)``.
    """
    programs: list[str] = []
    return Template(_shape(value, programs), tuple(dict.fromkeys(programs)))


def _shape(value: Any, programs: list[str]) -> Any:
    if isinstance(value, dict):
        return {key: _shape(each, programs) for key, each in value.items()}
    if isinstance(value, list):
        return [_shape(each, programs) for each in value]
    if not isinstance(value, str):
        return value
    parts = tuple(_parts(value.strip()))
    programs += [part.text for part in parts if isinstance(part, _Program)]
    if not any(isinstance(part, _Program) for part in parts):
        return "".join(map(str, parts))
    return parts[0] if len(parts) == 1 else _Joined(parts)


def _parts(text: str) -> Iterator[str | _Program]:
    position = 0
    while (start := text.find("jq(", position)) >= 0:
        _check_plain(text[position:start])
        if start > position:
            yield text[position:start]
        end = _end(text, start + 3)
        program = text[start + 3 : end].strip()
        if not program:
            raise ValueError("jq() has no program in it")
        yield _Program(program)
        position = end + 1
    _check_plain(text[position:])
    if position < len(text) or not text:
        yield text[position:]


def _check_plain(text: str) -> None:
    if "js(" in text:
        raise ValueError("js(...) is not evaluated here: write it as jq(...)")


def _end(text: str, start: int) -> int:
    """Where the parenthesis is closed that was opened before ``start``, by the rules of jq for text and comments."""
    opened = ["("]
    position = start
    while position < len(text):
        character = text[position]
        if opened[-1] == '"':
            if character == "\\":
                position += 1
                if text[position : position + 1] == "(":
                    opened.append("(")
            elif character == '"':
                opened.pop()
        elif character == "#":
            line_end = text.find("\n", position)
            position = len(text) if line_end < 0 else line_end
        elif character == '"' or character in _OPENING:
            opened.append(character)
        elif character in _CLOSING:
            if opened.pop() != _OPENING[_CLOSING.index(character)]:
                raise ValueError(f"{character} in jq(...) closes nothing: {text[start : position + 1]:.200}")
            if not opened:
                return position
        position += 1
    raise ValueError(f"the parenthesis of jq( is not closed: {text[start:]:.200}")
