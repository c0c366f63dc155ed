"""Values as Arrow tables, and the two ends of a file as PyArrow sees them."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from ...errors import DecodeError, HoldfastError, MissingExtraError, UnsupportedValue
from ...payload import OUT_OF_BAND, Buffer, Payload

__all__ = ["Converter", "Sink", "Source", "TableWriter", "damage", "only_bytes", "payload_of", "pyarrow"]

_STEP = 1 << 20  # bytes for which memory is taken before it is known that there are so many


def pyarrow() -> Any:
    """PyArrow, with its formats.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError('this value needs PyArrow: pip install "holdfast[arrow]"') from error
    return pyarrow


class Converter(ABC):
    """Values of one library as Arrow tables and back. It keeps no state."""

    @abstractmethod
    def to_table(self, value: Any) -> tuple[Any, str]:
        """The table of a value, and a note of what it does not say.

        Raises:
            UnsupportedValue: it would not come back as it was.
        """

    @abstractmethod
    def from_table(self, table: Any, note: str) -> Any:
        """The value again; the table is valid, and otherwise anybody's.

        Raises:
            Exception: of any kind; the caller turns it into a DecodeError.
        """

    def lost(self, schema: Any, kept: Any) -> str | None:
        """What does not come back of values whose tables have a schema, from a format without dictionaries that gives
        that back as ``kept``: values of dictionaries that are not used, and their order. None where all does."""
        if any(map(_has_dictionary, schema.types)):
            return "the categories of its columns, as Arrow does"
        return None if kept.equals(schema, check_metadata=True) else f"the columns {_shown(schema)} but {_shown(kept)}"


def _has_dictionary(kind: Any) -> bool:
    nested = [kind.field(number).type for number in range(kind.num_fields)]
    return bool(pyarrow().types.is_dictionary(kind)) or any(map(_has_dictionary, nested))


class TableWriter(ABC):
    """Writes items into one file of one schema, that of the first.

    Args:
        tables: makes tables of them.
    """

    def __init__(self, tables: Converter) -> None:
        self.tables = tables
        self.sink = Sink()
        self.schema: Any = None

    def add(self, value: Any) -> list[Buffer]:
        """Write an item, and give what bytes there are by now.

        Raises:
            UnsupportedValue: it has another schema, or something that the format does not hold.
        """
        pa = pyarrow()
        table, note = self.tables.to_table(value)
        try:
            if self.schema is None:
                self.open(table.schema)
                self.schema = table.schema
            if not table.schema.equals(self.schema, check_metadata=True):
                raise UnsupportedValue(
                    f"it has the columns {_shown(table.schema)}, and the first item {_shown(self.schema)}: "
                    "holdfast.value-stream@v1 takes both"
                )
            self.write(table, note)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise UnsupportedValue(f"this format does not hold it: {error}") from error
        return self.sink.taken()

    def end(self) -> list[Buffer]:
        """Give the rest of the bytes."""
        if self.schema is None:
            self.open(pyarrow().schema([]))
        self.close()
        return self.sink.taken()

    @abstractmethod
    def open(self, schema: Any) -> None:
        """Begin the file."""

    @abstractmethod
    def write(self, table: Any, note: str) -> None:
        """Write an item's table."""

    @abstractmethod
    def close(self) -> None:
        """End the file."""


def _shown(schema: Any) -> str:
    """The columns of a schema, for messages."""
    text = ", ".join(f"{field.name}: {field.type}" for field in schema)
    return f"({text if len(text) < 200 else text[:200] + ' ...'})"


class Sink(io.RawIOBase):
    """A file that PyArrow writes to, whose pieces are taken out."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[Buffer] = []
        self._at = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        """Keep the bytes, without a copy."""
        piece = data if isinstance(data, bytes) else memoryview(data).cast("B")
        self._pieces.append(piece)
        self._at += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._at

    def taken(self) -> list[Buffer]:
        """What was written since this was last asked for."""
        pieces, self._pieces = self._pieces, []
        return pieces


class Source(io.RawIOBase):
    """A file that PyArrow reads: it takes no memory for bytes that are only claimed.

    Attributes:
        trouble: what the file below raised.
        tail: the last bytes that were read, up to 8.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self.trouble: BaseException | None = None
        self.tail = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> Any:
        """At most so many bytes: as many as there are."""
        try:
            data: Any = self._file.read(min(size, _STEP) if size >= 0 else size)
            if size > _STEP and len(data) == _STEP:
                data = bytearray(data)
                while len(data) < size and (more := self._file.read(min(_STEP, size - len(data)))):
                    data += more
        except BaseException as error:
            self.trouble = error
            raise
        self.tail = (self.tail + bytes(data[-8:]))[-8:]
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def seekable(self) -> bool:
        return self._file.seekable()

    def tell(self) -> int:
        return self._file.tell()


@contextmanager
def damage(name: str, source: Source | None = None) -> Iterator[None]:
    """What hostile bytes bring PyArrow to raise, as a DecodeError; what their file raised as it was."""
    try:
        yield
    except HoldfastError:
        raise
    except Exception as error:
        if source is not None and source.trouble is not None:
            raise source.trouble from None
        if isinstance(error, MemoryError) and not isinstance(error, pyarrow().ArrowException):
            raise  # Arrow's own is for a length that nobody has memory for
        raise DecodeError(f"these bytes are no {name}: {str(error) or type(error).__name__}") from error


def payload_of(pieces: list[Buffer], content_type: str, config: Any = None) -> Payload:
    """One file as a payload: in band when it is small, else the one buffer behind an empty in-band part."""
    data = b"".join(pieces)
    return Payload((data,) if len(data) < OUT_OF_BAND else (b"", data), content_type, config=config)


def only_bytes(payload: Payload, name: str) -> Buffer:
    """The bytes of such a payload.

    Raises:
        DecodeError: it is another.
    """
    buffers = payload.buffers
    if len(buffers) == 1 or (len(buffers) == 2 and not len(buffers[0])):
        return buffers[-1]
    raise DecodeError(f"{name} does not read these {len(buffers)} buffers")
