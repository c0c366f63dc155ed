"""jq, the real one, in child processes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..failures import Codes, Failure
from .children import SECONDS, Children, Lost

__all__ = ["Results", "check", "evaluate"]

_MESSAGE = 300  # characters of an error

_children = Children("jq", "jq")

Results = Mapping[str, list[Any] | str]
"""By program its results, none, one, or two if there are more; or why it failed."""


def _ask(programs: Sequence[str], data: bytes, seconds: float, then: Sequence[str] = ()) -> list[Any]:
    try:
        found = _children.ask(programs, data, seconds, then)
    except Lost as lost:
        if then:  # which may be why
            return _ask(programs, data, seconds)
        text = ", ".join(programs)
        short = text if len(text) <= _MESSAGE else f"{text[:_MESSAGE]}..."
        raise Failure(Codes.BAD_COMMAND, f"jq({short}): {lost}") from None
    return [_clear(answer) if isinstance(answer, str) else answer for answer in found]


def check(programs: Sequence[str]) -> dict[str, str]:
    """What is wrong with programs that cannot be compiled, by program.

    Raises:
        Failure: ``direktiv.jq.badCommand``: compiling them took too long, or too much memory.
        MissingExtraError: jq is not installed.
    """
    answers = zip(programs, _ask(programs, b"", SECONDS), strict=True)
    return {program: answer for program, answer in answers if isinstance(answer, str)}


def evaluate(
    programs: Sequence[str], data: bytes, seconds: float = SECONDS, then: Sequence[str] = ()
) -> tuple[Results, Results]:
    """The results of programs with the same input; and of others with the result of the first, if that is an object.

    Args:
        data: the input, as JSON.
        seconds: how long all of them together may take.

    Raises:
        Failure: ``direktiv.jq.badCommand``: they took too long, or too much memory.
    """
    answers = _ask(programs, data, seconds, then)
    # What follows is left out where there was no such result.
    return dict(zip(programs, answers, strict=False)), dict(zip(then, answers[len(programs) :], strict=False))


def _clear(message: str) -> str:
    """The message of jq without where that is in the text that it was given."""
    first = message.partition("\n")[0].removeprefix("jq: error: ")
    return re.sub(r" at <top-level>.*", "", first)[:_MESSAGE]
