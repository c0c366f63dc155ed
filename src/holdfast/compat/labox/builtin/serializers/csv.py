"""Rows as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypedDict, Unpack

from .....errors import UnsupportedValue
from .....payload import Payload
from .....serializers.csv import CsvSerializer as NativeCsv
from ...core.own import NativeSerializer

__all__ = ["CsvOptions", "CsvSerializer", "csv_serializer"]


class CsvOptions(TypedDict, total=False):
    """Options of :mod:`csv`."""

    dialect: str
    delimiter: str
    quotechar: str | None
    escapechar: str | None
    doublequote: bool
    skipinitialspace: bool
    lineterminator: str
    quoting: Literal[0, 1, 2, 3, 4, 5]
    strict: bool


class CsvSerializer(NativeSerializer):
    """Rows of cells. What comes back is text, as CSV has nothing else; by options that go with the rows.

    Raises:
        InvalidArgumentError: options by which rows would not come back.
    """

    name = "labox.csv@v1"
    content_types = ("text/csv",)

    def __init__(self, **options: Unpack[CsvOptions]) -> None:
        self.native = NativeCsv(**options)

    def serialize(self, value: Sequence[Sequence[Any]]) -> Payload:
        """Give the lines; None is an empty cell, as :mod:`csv` has it."""
        try:
            rows = [["" if cell is None else str(cell) for cell in row] for row in value]
        except TypeError as error:
            raise UnsupportedValue(f"{self.name} takes rows of cells: {error}") from error
        payload = self.native.serialize(rows)
        return Payload(payload.buffers, "text/csv", "utf-8", payload.config)


csv_serializer = CsvSerializer()
"""The usual one."""
