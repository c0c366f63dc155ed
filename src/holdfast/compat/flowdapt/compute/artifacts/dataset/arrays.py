"""Arrays as files of an artifact: NumPy's own format, in parts by number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ......api import Scope
from ......errors import DecodeError, EncodeError, InvalidArgumentError, MissingExtraError
from ..interface import Artifact, ArtifactFile
from .handler import register_handler
from .utils import check_parts, check_type, load, parts_of, save

__all__ = [
    "array_from_artifact",
    "array_to_artifact",
    "check_format",
    "get_array",
    "numpy_array_from_artifact",
    "numpy_array_to_artifact",
    "put_array",
    "read_array_from_artifact",
    "write_array_to_artifact",
]

_NDARRAY = "numpy.ndarray"


def array_to_artifact(format: str = "npy", *, executor: str = "", **options: Any) -> Callable[[Artifact, Any], Any]:
    """A hook that saves a NumPy or Dask array in place of all that an artifact holds, in one commit.

    Args:
        format: ``npy``.
        executor: whose function is to be used; that of the run by default.
        options: of that function: ``num_parts``, the number of files.
    """
    return lambda artifact, value: save(artifact, value, executor, format=format, **options)


def array_from_artifact(format: str = "npy", *, executor: str = "", **options: Any) -> Callable[[Artifact], Any]:
    """A hook that loads what :func:`array_to_artifact` has saved: a Dask array lazily, block by block."""
    return lambda artifact: load(artifact, executor, format=format, **options)


def numpy_array_to_artifact(artifact: Artifact, value: Any, format: str = "npy", num_parts: int = 1) -> None:
    """Write an array as ``partition-<i>.npy``, cut along its first axis into this many files.

    Raises:
        EncodeError: it is none, or one of Python objects.
        NoPartsError: fewer than one part.
    """
    numpy = _numpy()
    if not isinstance(value, numpy.ndarray):
        raise EncodeError(f"this saves a numpy.ndarray, not a {type(value).__name__}")
    check_format(format)
    parts = numpy.array_split(value, check_parts(num_parts)) if value.ndim else [value]
    with artifact.transaction():
        for number, part in enumerate(parts):
            put_array(artifact._scope, f"partition-{number}.{format}", part)


def numpy_array_from_artifact(artifact: Artifact, format: str = "npy") -> Any:
    """The array of all files of a format, one behind the other.

    Raises:
        NotAssertedError: the artifact holds no NumPy array (an AssertionError).
        InvalidArgumentError: it has no file of that format (a ValueError).
    """
    check_type(artifact, _NDARRAY)
    check_format(format)
    parts = [get_array(artifact._scope, file.name) for file in parts_of(artifact, format)]
    return parts[0] if len(parts) == 1 else _numpy().concatenate(parts)


def write_array_to_artifact(file: ArtifactFile, array: Any, format: str = "npy") -> None:
    """Replace a file by an array."""
    check_format(format)
    put_array(file.artifact._scope, file.name, array)


def read_array_from_artifact(artifact_file: ArtifactFile, format: str = "npy") -> Any:
    """The array of a file."""
    check_format(format)
    return get_array(artifact_file.artifact._scope, artifact_file.name)


def check_format(format: str) -> str:
    """The format; InvalidArgumentError (a ValueError) when it is none of an array."""
    if format != "npy":
        raise InvalidArgumentError(f"format of an array is 'npy', not {format!r}")
    return format


def put_array(scope: Scope, name: str, array: Any) -> tuple[int, ...]:
    """Write an array as a file of a scope, and give its shape."""
    numpy = _numpy()
    array = numpy.asanyarray(array)
    if array.dtype.hasobject:
        raise EncodeError(f"an array of Python objects ({array.dtype}) has no form in npy: use pickle_to_artifact()")
    with scope.open(name, "wb") as file:
        numpy.save(file, array, allow_pickle=False)
    return tuple(array.shape)


def get_array(scope: Scope, name: str) -> Any:
    """Read an array from a file of a scope; no bytes of it are run.

    Raises:
        DecodeError: it holds no array, or one of Python objects.
    """
    numpy = _numpy()
    with scope.open(name, "rb") as file:
        try:
            return numpy.load(file, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise DecodeError(f"{scope}/{name} is no array in npy: {error}") from error


def _numpy() -> Any:
    try:
        import numpy
    except ImportError as error:
        raise MissingExtraError('arrays need NumPy: pip install "holdfast[numpy]"') from error
    return numpy


register_handler("*", _NDARRAY, "to_artifact", numpy_array_to_artifact)
register_handler("*", _NDARRAY, "from_artifact", numpy_array_from_artifact)
