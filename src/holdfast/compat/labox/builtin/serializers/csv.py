"""Rows as CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO
from typing import Any, Literal, TypedDict, Unpack

from .....errors import DecodeError, UnsupportedValue
from .....payload import Payload
from ...core.own import OwnSerializer

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


class CsvSerializer(OwnSerializer):
    """Rows of cells. What comes back is text, as CSV has nothing else; by options that go with the rows."""

    name = "labox.csv@v1"
    content_types = ("text/csv",)

    def __init__(self, **options: Unpack[CsvOptions]) -> None:
        self.options: dict[str, Any] = {**options}

    def serialize(self, value: Sequence[Sequence[Any]]) -> Payload:
        """Give the lines."""
        text = StringIO(newline="")
        try:
            csv.writer(text, **self.options).writerows(value)
            return Payload((text.getvalue().encode(),), "text/csv", "utf-8", self.options)
        except (csv.Error, TypeError, UnicodeEncodeError) as error:
            raise UnsupportedValue(f"these are no rows that CSV can hold: {error}") from error

    def deserialize(self, payload: Payload) -> list[list[str]]:
        """Read all rows."""
        try:
            text = StringIO(str(b"".join(payload.buffers), "utf-8"), newline="")
            return list(csv.reader(text, **(payload.config or {})))
        except (csv.Error, TypeError, UnicodeDecodeError) as error:
            raise DecodeError(f"the stored bytes are no {self.name}: {error}") from error


csv_serializer = CsvSerializer()
"""The usual one."""
