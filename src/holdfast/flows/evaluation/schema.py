"""JSON Schema, in child processes: a schema may take for ever, by a pattern or by what it refers to. Nothing is
fetched."""

from __future__ import annotations

from collections.abc import Sequence

from ..failures import Codes, Failure
from .children import SECONDS, Children, Lost

__all__ = ["check", "validate"]

_MESSAGE = 500  # characters

_children = Children("schema", "jsonschema", "attr", "attrs", "referencing", "rpds", "jsonschema_specifications")


def check(schemas: Sequence[str]) -> dict[str, str]:
    """What is wrong with texts that are no schemas, by text.

    Raises:
        Failure: ``direktiv.schema.failed``: looking at them took too long, or too much memory.
        MissingExtraError: jsonschema is not installed.
    """
    answers = zip(schemas, _ask(schemas, b"", SECONDS), strict=True)
    return {schema: wrong for schema, wrong in answers if wrong}


def validate(data: bytes, schema: str, seconds: float) -> None:
    """Check data by a schema, both as JSON, within so many seconds.

    Raises:
        Failure: ``direktiv.schema.failed``: it does not fit, or that cannot be told.
    """
    (wrong,) = _ask([schema], data, seconds)
    if wrong:
        raise Failure(Codes.SCHEMA, wrong)


def _ask(schemas: Sequence[str], data: bytes, seconds: float) -> list[str]:
    try:
        found = _children.ask(schemas, data, seconds)
    except Lost as lost:
        raise Failure(Codes.SCHEMA, f"the check by the schema: {lost}") from None
    return [answer[:_MESSAGE] if isinstance(answer, str) else "" for answer in found]
