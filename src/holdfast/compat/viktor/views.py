"""Inert views: a decorated method stays what it is, and a result holds what it was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["DataGroup", "DataItem", "DataResult", "DataView"]

F = TypeVar("F", bound=Callable[..., Any])


class DataView:
    """A decorator that changes nothing, so that the method below it can be called."""

    def __init__(self, label: str, duration_guess: float | None = None, **options: Any) -> None:
        self.label = label
        self.duration_guess = duration_guess

    def __call__(self, method: F) -> F:
        return method


class DataItem:
    """A value under a label."""

    def __init__(self, label: str, value: Any = None, subgroup: DataGroup | None = None, **options: Any) -> None:
        self.label, self.value, self.subgroup = label, value, subgroup


class DataGroup:
    """Several items."""

    def __init__(self, *items: DataItem, **named: DataItem) -> None:
        self.items = (*items, *named.values())


class DataResult:
    """What a data view gives."""

    def __init__(self, data: Any = None, **options: Any) -> None:
        self.data = data
