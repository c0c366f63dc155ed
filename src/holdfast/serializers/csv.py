"""Rows of text as CSV, for tables that other programs are to read: all at once, or row by row. Chosen by name only."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any, BinaryIO, ClassVar

from ..errors import DecodeError, InvalidArgumentError, UnsupportedValue
from ..payload import Buffer, Payload
from .base import Serializer, StreamSerializer
from .items import each

__all__ = ["CsvRowsSerializer", "CsvSerializer"]

_CONTENT_TYPE = "text/csv; charset=utf-8"
_LIMIT = 131_072  # characters of a field that Python reads, unless a program has set another limit
_OPTIONS = "delimiter", "doublequote", "escapechar", "lineterminator", "quotechar", "quoting", "skipinitialspace"


class _Line:
    """A file to write one line to: what a writer of rows writes is what it then gives back."""

    def write(self, text: str) -> str:
        return text


class CsvSerializer(Serializer):
    """A list of rows, each a list of ``str``, by RFC 4180: quoted where need be, lines end in CR LF. A cell of another
    type is :class:`~holdfast.errors.UnsupportedValue`, as CSV has none.

    Args:
        options: of :func:`csv.writer`, which go with the rows. A row that would not come back as it is, by them, is
            UnsupportedValue.

    Raises:
        InvalidArgumentError: options of which there are none, or by which no row comes back.
    """

    name: ClassVar[str] = "holdfast.csv@v1"
    content_types: ClassVar[tuple[str, ...]] = (_CONTENT_TYPE,)

    def __init__(self, **options: Any) -> None:
        self.options = _settled(options)

    def serialize(self, value: Any) -> Payload:
        """Give the lines in UTF-8."""
        if type(value) is not list:
            raise UnsupportedValue(f"{self.name} takes a list of rows, not {type(value).__name__}")
        lines = (_line(row, f"row {number}", self.options) for number, row in enumerate(value, 1))
        return Payload((b"".join(lines),), _CONTENT_TYPE, config=self.options or None)

    def deserialize(self, payload: Payload) -> list[list[str]]:
        """Read all rows."""
        if len(payload.buffers) != 1:
            raise DecodeError(f"{self.name} reads one buffer, not {len(payload.buffers)}")
        try:
            options = _settled({} if payload.config is None else {**payload.config})
        except (InvalidArgumentError, TypeError) as error:
            raise DecodeError(f"the stored options are none of CSV: {error}") from None
        return list(_rows(BytesIO(payload.buffers[0]), options))


class CsvRowsSerializer(StreamSerializer):
    """A stream of rows, each a list of ``str``, one a line; see :class:`CsvSerializer`. That lines at the end are
    missing is not seen in the bytes, but by the size and digest in the record."""

    name: ClassVar[str] = "holdfast.csv-rows@v1"
    content_types: ClassVar[tuple[str, ...]] = (_CONTENT_TYPE,)

    def serialize_stream(self, values: Iterator[Any]) -> Iterator[Buffer]:
        """Give each row as a line."""
        return each(values, lambda row: _line(row, "it", {}))

    def deserialize_stream(self, file: BinaryIO) -> Iterator[Any]:
        """Read row by row."""
        return _rows(file, {})


def _settled(options: dict[str, Any]) -> dict[str, Any]:
    """All options that are meant, those of a dialect included, which another process may not know; none for none.

    Raises:
        InvalidArgumentError: see :class:`CsvSerializer`.
    """
    if not options:
        return {}
    try:
        dialect = csv.writer(_Line(), **options).dialect
    except (csv.Error, TypeError, ValueError) as error:
        raise InvalidArgumentError(f"{options!r} are no options of csv.writer: {error}") from None
    options = {name: getattr(dialect, name) for name in _OPTIONS}
    if options["lineterminator"] not in ("\n", "\r\n"):
        raise InvalidArgumentError(
            f"CSV is read by lines: lineterminator is LF or CR LF, not {dialect.lineterminator!r}"
        )
    if options["quoting"] not in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONE):
        raise InvalidArgumentError("cells are text, whose quotes say no type: quoting is QUOTE_MINIMAL, _ALL or _NONE")
    try:
        _line(["a", "b"], "a row", options)
    except UnsupportedValue as error:
        raise InvalidArgumentError(f"by {options!r} no row comes back: {error}") from None
    return options


def _line(row: Any, where: str, options: dict[str, Any]) -> bytes:
    if type(row) is not list or not {str}.issuperset(map(type, row)):
        raise UnsupportedValue(f"{where} is no list of str, and CSV would give back no other")
    if any(len(cell) > _LIMIT for cell in row):
        raise UnsupportedValue(f"{where} has a cell of more than {_LIMIT} characters, which readers of CSV refuse")
    try:
        text: str = csv.writer(_Line(), **options).writerow(row)
        line = text.encode()
        if options and list(_rows(BytesIO(line * 2), options)) != [row, row]:  # its end is seen by what comes behind
            raise DecodeError("it would come back as another one")
        return line
    except UnicodeEncodeError:
        raise UnsupportedValue(f"{where} has a lone surrogate: it is no UTF-8") from None
    except (csv.Error, DecodeError) as error:
        raise UnsupportedValue(f"{where} is none that these options of CSV hold: {error}") from None


def _rows(lines: Iterable[bytes], options: dict[str, Any]) -> Iterator[list[str]]:
    """The rows of lines, which are read as far as a row needs them."""
    end = options.get("lineterminator", "\r\n").encode()
    number, last = 0, end

    def texts() -> Iterator[str]:
        nonlocal last
        for last in lines:
            yield last.decode()

    reader = csv.reader(texts(), strict=True, **options)
    while True:
        try:
            row = next(reader, None)
        except (csv.Error, UnicodeDecodeError) as error:
            raise DecodeError(f"after row {number} the bytes are no CSV in UTF-8: {error}") from None
        if not last.endswith(end):
            raise DecodeError(f"the line after row {number} has no end")
        if row is None:
            return
        number += 1
        yield row
