"""The OpenAPI document, made of the table of routes."""

from __future__ import annotations

from .answer import Answer, json_answer
from .base import Exchange

__all__ = ["document"]


async def document(exchange: Exchange) -> Answer:
    """The document."""
    return json_answer(200, {"openapi": "3.1.0"})
