"""Regular expressions for the codes of errors: unanchored, and matched by jq, so that one that is slow does no harm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..failures import Codes, Failure
from ..json_text import encode
from .children import SECONDS
from .jq_process import evaluate

__all__ = ["EVERY", "check", "first"]

EVERY = ".*"
"""What matches every code."""

_FIRST = "[first(. as [$code, $all] | $all | to_entries[] | select(.value as $p | $code | test($p)) | .key)]"
_CHECK = '[.[] as $p | try ("" | test($p) | null) catch tostring]'


def first(patterns: Sequence[str], code: str, seconds: float) -> int | None:
    """Which pattern is the first one that matches; None for none.

    Raises:
        Failure: ``direktiv.jq.badCommand``: that cannot be told, or not in so many seconds.
    """
    if not patterns or patterns[0] == EVERY:
        return 0 if patterns else None
    found = _asked(_FIRST, [code, list(patterns)], seconds)
    return found[0] if found else None


def check(patterns: Sequence[str]) -> dict[str, str]:
    """What is wrong with texts that are no regular expressions, by text.

    Raises:
        Failure: ``direktiv.jq.badCommand``: that cannot be told.
    """
    wrong = _asked(_CHECK, list(patterns), SECONDS) if patterns else []
    return {pattern: str(each) for pattern, each in zip(patterns, wrong, strict=True) if each is not None}


def _asked(program: str, data: Any, seconds: float) -> list[Any]:
    answer = evaluate([program], encode(data), seconds)[0][program]
    if isinstance(answer, str):
        raise Failure(Codes.BAD_COMMAND, answer)
    (found,) = answer
    return list(found)
