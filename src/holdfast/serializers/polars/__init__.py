"""Polars frames and series as an Arrow IPC stream, read back over the stored bytes without a copy."""

from __future__ import annotations

import io
from typing import Any, ClassVar

from ...errors import DecodeError, HoldfastError, MissingExtraError, UnsupportedValue
from ...payload import OUT_OF_BAND, Buffer, Payload
from ..base import Serializer

__all__ = ["PolarsSerializer", "frame_of", "libraries", "table_of"]

_CONTENT_TYPE = "application/vnd.holdfast.polars"
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"  # readers do not ask for it, and so miss a cut between batches


class PolarsSerializer(Serializer):
    """``polars.DataFrame`` and ``polars.Series``; a LazyFrame is a program, not data.

    Polars writes the stream and PyArrow reads it: Polars' own reader copies everything, and ends the process on some
    damaged streams, where PyArrow raises. Columns that do not come back with their own type that way (of objects, of
    integers of more than 64 bits) are :class:`~holdfast.errors.UnsupportedValue`.
    """

    name: ClassVar[str] = "holdfast.polars@v1"
    types: ClassVar[tuple[str, ...]] = ("polars.dataframe.frame.DataFrame", "polars.series.series.Series")
    content_types: ClassVar[tuple[str, ...]] = (_CONTENT_TYPE,)

    def serialize(self, value: Any) -> Payload:
        """Give the stream; the columns' memory is copied once."""
        pl, pa = libraries()
        kind = type(value)
        if kind is pl.DataFrame:
            # A handle of our own on the same columns: writing to a Python file, Polars holds the frame's lock and waits
            # for the interpreter's, and another thread that looks at the same frame the other way round.
            frame, config = value.clone(), {"type": "frame"}
        elif kind is pl.Series:
            frame, config = value.to_frame(), {"type": "series"}
        else:
            raise UnsupportedValue(
                f"{self.name} takes polars.DataFrame and Series, not {kind.__module__}.{kind.__name__}"
            )
        target = io.BytesIO()
        try:
            frame.write_ipc_stream(target)
            stream = target.getbuffer()
            back = frame_of(pl, table_of(pa, stream))  # no copy, so a cheap look at what would be read
        except (pl.exceptions.PolarsError, pa.ArrowException, ValueError) as error:
            raise UnsupportedValue(f"this Polars data has no stream form: {error}") from error
        if back.schema != frame.schema or back.shape != frame.shape:
            raise UnsupportedValue(f"this Polars frame of {frame.schema} would come back as one of {back.schema}")
        del back
        if len(stream) < OUT_OF_BAND:
            return Payload((bytes(stream),), _CONTENT_TYPE, config=config)
        return Payload((b"", stream), _CONTENT_TYPE, config=config)

    def deserialize(self, payload: Payload) -> Any:
        """Give the frame or series over the payload's memory."""
        pl, pa = libraries()
        buffers = payload.buffers
        try:
            if len(buffers) == 2 and len(buffers[0]):
                raise ValueError("bytes before the stream")
            if not 1 <= len(buffers) <= 2:
                raise ValueError(f"{len(buffers)} buffers")
            wanted = payload.config["type"]
            table = table_of(pa, buffers[-1])
            table.validate(full=True)
            frame = frame_of(pl, table)
            if wanted not in ("frame", "series"):
                raise ValueError(f"unknown type {wanted!r}")
            if wanted == "frame":
                return frame
            (series,) = frame.get_columns()
            return series
        except HoldfastError:
            raise
        except MemoryError as error:
            if not isinstance(error, pa.ArrowException):  # Arrow raises it for a length that nobody has memory for
                raise
            raise DecodeError(f"these bytes are no {self.name}: {error}") from error
        except Exception as error:
            raise DecodeError(f"these bytes are no {self.name}: {str(error) or type(error).__name__}") from error
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # how Polars reports an assertion of its own
                raise
            raise DecodeError(f"these bytes are no {self.name}: {error}") from None


def libraries() -> tuple[Any, Any]:
    """Polars and PyArrow.

    Raises:
        MissingExtraError: one of them is not installed.
    """
    try:
        import polars
    except ImportError as error:
        raise MissingExtraError('this value needs Polars: pip install "holdfast[polars]"') from error
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError as error:
        message = 'Polars values are read by way of PyArrow: pip install "holdfast[polars,arrow]"'
        raise MissingExtraError(message) from error
    return polars, pyarrow


def table_of(pa: Any, stream: Buffer) -> Any:
    """The table of an Arrow stream, over its memory; a ValueError or Arrow's own error where it is none."""
    if bytes(stream[-8:]) != _END_OF_STREAM:
        raise ValueError("the stream has no end")
    source = pa.BufferReader(pa.py_buffer(stream))
    table = pa.ipc.open_stream(source).read_all()
    if source.tell() != len(stream):
        raise ValueError("bytes after the end of the stream")
    return table


def frame_of(pl: Any, table: Any) -> Any:
    """The frame of a table, over its memory; a ValueError or an error of Polars where it is none."""
    frame = pl.from_arrow(table, rechunk=False)
    if type(frame) is not pl.DataFrame:
        raise ValueError("not a frame")
    if frame.columns != table.column_names:  # Polars gives columns without a name, as most series are, one
        frame.columns = table.column_names
    return frame
