"""PyArrow tables and record batches as an Arrow IPC stream, read back over the stored bytes without a copy."""

from __future__ import annotations

from typing import Any, ClassVar

from ...errors import DecodeError, MissingExtraError, UnsupportedValue
from ...payload import OUT_OF_BAND, Payload
from ..base import Serializer

__all__ = ["ArrowSerializer"]

_CONTENT_TYPE = "application/vnd.apache.arrow.stream"
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"  # readers do not ask for it, and so miss a cut between batches


class ArrowSerializer(Serializer):
    """``pyarrow.Table`` and ``pyarrow.RecordBatch``.

    The content is the bare stream, which every Arrow library reads: in band when it is small, else the one out-of-band
    buffer behind an empty in-band part. The columns' memory is copied once when putting.
    """

    name: ClassVar[str] = "holdfast.arrow@v1"
    types: ClassVar[tuple[str, ...]] = ("pyarrow.lib.Table", "pyarrow.lib.RecordBatch")
    content_types: ClassVar[tuple[str, ...]] = (_CONTENT_TYPE,)

    def serialize(self, value: Any) -> Payload:
        """Give the stream."""
        pa = _pyarrow()
        kind = type(value)
        if kind is not pa.Table and kind is not pa.RecordBatch:
            raise UnsupportedValue(
                f"{self.name} takes pyarrow.Table and RecordBatch, not {kind.__module__}.{kind.__name__}"
            )
        config = {"type": "table" if kind is pa.Table else "batch"}
        try:
            counter = pa.MockOutputStream()
            _write(pa, counter, value)
            stream = bytearray(counter.size())  # the exact size: a growing buffer would need up to three times as much
            _write(pa, pa.FixedSizeBufferWriter(pa.py_buffer(stream)), value)
        except pa.ArrowException as error:
            raise UnsupportedValue(f"this Arrow data has no stream form: {error}") from error
        buffers = (bytes(stream),) if len(stream) < OUT_OF_BAND else (b"", stream)
        return Payload(buffers, _CONTENT_TYPE, config=config)

    def deserialize(self, payload: Payload) -> Any:
        """Give the table or batch over the payload's memory; texts and offsets are checked, numbers need not be."""
        pa = _pyarrow()
        buffers = payload.buffers
        if len(buffers) == 2 and not len(buffers[0]):
            stream = buffers[1]
        elif len(buffers) == 1:
            stream = buffers[0]
        else:
            raise DecodeError(f"{self.name} does not read these {len(buffers)} buffers")
        try:
            wanted = payload.config["type"]
            if wanted not in ("table", "batch"):
                raise ValueError(f"unknown type {wanted!r}")
            if bytes(stream[-8:]) != _END_OF_STREAM:
                raise ValueError("the stream has no end")
            source = pa.BufferReader(pa.py_buffer(stream))
            reader = pa.ipc.open_stream(source)
            result = reader.read_all() if wanted == "table" else reader.read_next_batch()
            if wanted == "batch":
                _end(reader)
            if source.tell() != len(stream):
                raise ValueError("bytes after the end of the stream")
            result.validate(full=True)
        except pa.ArrowException as error:  # ArrowMemoryError: a length that nobody has memory for
            raise DecodeError(f"these bytes are no {self.name}: {error}") from error
        except MemoryError:
            raise
        except Exception as error:
            raise DecodeError(f"these bytes are no {self.name}: {str(error) or type(error).__name__}") from error
        return result


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError as error:
        raise MissingExtraError('this value needs PyArrow: pip install "holdfast[arrow]"') from error
    return pyarrow


def _write(pa: Any, sink: Any, value: Any) -> None:
    with pa.ipc.new_stream(sink, value.schema) as writer:
        writer.write(value)


def _end(reader: Any) -> None:
    try:
        reader.read_next_batch()
    except StopIteration:
        return
    raise ValueError("more than one record batch")
