"""What answers say, in the form that Direktiv has for it."""

from __future__ import annotations

from typing import Any, Final

from ...model import from_epoch
from ..answer import JSON, Answer, json_answer
from ..base import Service
from .problems import Problem

__all__ = ["DONE", "data_answer", "stamp", "too_large"]

DONE: Final = Answer(200, [JSON])
"""The answer to what leaves nothing to say."""


def data_answer(data: Any) -> Answer:
    """The answer that gives something."""
    return json_answer(200, {"data": data})


def stamp(seconds: float) -> str:
    """A time: RFC 3339 in UTC."""
    when = from_epoch(seconds)
    assert when is not None
    return f"{when.isoformat(timespec='microseconds')[:-6]}Z"


def too_large(service: Service) -> Problem:
    """The problem of bytes that are too many for JSON."""
    told = f"data of more than {service.limits.json} bytes is not given as json: read its bytes"
    return Problem("resource_too_large", told)
