"""NumPy arrays in NumPy's own format of files."""

from __future__ import annotations

from io import BytesIO
from typing import Any, ClassVar, Literal, TypedDict

import numpy as np

from ....errors import DecodeError, UnsupportedValue
from ....payload import OUT_OF_BAND, Payload
from ..core.own import OwnSerializer, passed_over

__all__ = ["NpyDumpArgs", "NpyLoadArgs", "NpySerializer", "npy_serializer"]

_CONTENT_TYPE = "application/x-npy.v3"


class NpyDumpArgs(TypedDict, total=False):
    """There are none."""


class NpyLoadArgs(TypedDict, total=False):
    """What :func:`numpy.load` takes for files, and not heeded here."""

    mmap_mode: Literal["r+", "r", "w+", "c"] | None


class NpySerializer(OwnSerializer):
    """Arrays, but for those of objects.

    Args:
        dump_args: none.
        load_args: ``mmap_mode``, which is not heeded.

    Raises:
        InvalidArgumentError: others.
    """

    name = "labox.numpy.npy@v1"
    types: ClassVar[Any] = (np.ndarray,)
    content_types = (_CONTENT_TYPE,)

    def __init__(self, *, dump_args: NpyDumpArgs | None = None, load_args: NpyLoadArgs | None = None) -> None:
        passed_over(self, dump_args, ())
        passed_over(self, load_args, ("mmap_mode",))

    def serialize(self, value: Any) -> Payload:
        """Give what would be the file."""
        if type(value) is not np.ndarray or value.dtype.hasobject or value.dtype.metadata:
            raise UnsupportedValue(f"{self.name} would not give back this {type(value).__name__} as it is")
        file = BytesIO()
        np.save(file, value, allow_pickle=False)
        data = file.getvalue()
        return Payload((data,) if len(data) < OUT_OF_BAND else (b"", data), _CONTENT_TYPE)

    def deserialize(self, payload: Payload) -> Any:
        """Read it."""
        try:
            return np.load(BytesIO(payload.buffers[-1]), allow_pickle=False)
        except (EOFError, LookupError, OSError, TypeError, ValueError, SyntaxError) as error:
            raise DecodeError(f"these bytes are no {self.name}: {error}") from error


npy_serializer = NpySerializer()
"""The usual one."""
