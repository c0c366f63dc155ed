"""Errors that are also those which the original raises, for code that catches them."""

from __future__ import annotations

from ...errors import InvalidArgumentError

__all__ = ["NoPartsError", "NotAssertedError", "OutsideRunError"]


class NotAssertedError(InvalidArgumentError, AssertionError):
    """What must hold does not: a name is empty, or an artifact holds a value of another type."""


class NoPartsError(InvalidArgumentError, ZeroDivisionError):
    """Nothing can be split into fewer than one part."""


class OutsideRunError(InvalidArgumentError, RuntimeError):
    """No workflow runs here."""
