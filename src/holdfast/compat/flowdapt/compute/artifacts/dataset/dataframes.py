"""Frames as files of an artifact: Parquet or CSV, in parts by number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ......api import Scope
from ......errors import EncodeError, InvalidArgumentError, MissingExtraError
from ..interface import Artifact, ArtifactFile
from .handler import register_handler
from .utils import check_type, load, parts_of, save, split_dataframe

__all__ = [
    "DATAFRAMES",
    "INDEX",
    "check_format",
    "dataframe_from_artifact",
    "dataframe_to_artifact",
    "get_frame",
    "index_levels",
    "pandas_dataframe_from_artifact",
    "pandas_dataframe_to_artifact",
    "put_frame",
    "read_dataframe_from_artifact",
    "write_dataframe_to_artifact",
]

DATAFRAMES = ("pandas.DataFrame", "pandas.core.frame.DataFrame")
"""Full names of the type of pandas' frames, from pandas 3 on and before."""

INDEX = "index_levels"
"""Key of the metadata that says how many of the first columns of CSV are the index."""

_PARQUET = "holdfast.pandas-parquet@v1"
_FORMATS = ("parquet", "csv")


def dataframe_to_artifact(
    format: str = "parquet", *, executor: str = "", **options: Any
) -> Callable[[Artifact, Any], Any]:
    """A hook that saves a pandas or Dask frame in place of all that an artifact holds, in one commit.

    Args:
        format: ``parquet``, which keeps types and index exactly, or ``csv``.
        executor: whose function is to be used; that of the run by default.
        options: of that function: ``num_parts``, the number of files.
    """
    return lambda artifact, value: save(artifact, value, executor, format=format, **options)


def dataframe_from_artifact(
    format: str = "parquet", *, executor: str = "", **options: Any
) -> Callable[[Artifact], Any]:
    """A hook that loads what :func:`dataframe_to_artifact` has saved: a Dask frame lazily, part by part."""
    return lambda artifact: load(artifact, executor, format=format, **options)


def pandas_dataframe_to_artifact(artifact: Artifact, value: Any, format: str = "parquet", num_parts: int = 1) -> None:
    """Write a frame as ``partition-<i>.<format>``, in this many files.

    Raises:
        EncodeError: it is none, or the format would not give it back.
        NoPartsError: fewer than one part.
    """
    if not isinstance(value, _pandas().DataFrame):
        raise EncodeError(f"this saves a pandas.DataFrame, not a {type(value).__name__}")
    with artifact.transaction():
        levels = index_levels(value, format)
        artifact[INDEX] = levels
        for number, part in enumerate(split_dataframe(value, num_parts)):
            put_frame(artifact._scope, f"partition-{number}.{format}", part, format, levels)


def pandas_dataframe_from_artifact(artifact: Artifact, format: str = "parquet") -> Any:
    """All rows of the files of a format.

    Raises:
        NotAssertedError: the artifact holds no pandas frame (an AssertionError).
        InvalidArgumentError: it has no file of that format (a ValueError).
    """
    check_type(artifact, *DATAFRAMES)
    check_format(format)
    levels = artifact[INDEX]
    frames = [get_frame(artifact._scope, file.name, format, levels) for file in parts_of(artifact, format)]
    frames = [frame for frame in frames if len(frame)] or frames[:1]  # one without rows has types of its own in CSV
    if len(frames) == 1:
        return frames[0]
    return _pandas().concat(frames, ignore_index=format == "csv" and levels == 0)


def write_dataframe_to_artifact(file: ArtifactFile, dataframe: Any, format: str = "parquet") -> None:
    """Replace a file by a frame."""
    put_frame(file.artifact._scope, file.name, dataframe, format, index_levels(dataframe, format))


def read_dataframe_from_artifact(file: ArtifactFile, format: str = "parquet") -> Any:
    """The frame of a file."""
    return get_frame(file.artifact._scope, file.name, check_format(format), file.artifact[INDEX])


def check_format(format: str) -> str:
    """The format; InvalidArgumentError (a ValueError) when it is none of a frame."""
    if format not in _FORMATS:
        raise InvalidArgumentError(f"format of a frame is 'parquet' or 'csv', not {format!r}")
    return format


def index_levels(frame: Any, format: str) -> int:
    """How many columns of CSV the index of a frame takes: none where it only numbers the rows."""
    check_format(format)
    index = frame.index
    plain = isinstance(index, _pandas().RangeIndex) and (index.start, index.step, index.name) == (0, 1, None)
    return 0 if plain else int(index.nlevels)


def put_frame(scope: Scope, name: str, frame: Any, format: str, levels: int) -> None:
    """Write a frame as a file of a scope."""
    if format == "parquet":
        scope.put(name, frame, serializer=_PARQUET)
        return
    with scope.open(name, "wb", content_type="text/csv; charset=utf-8") as file:
        frame.to_csv(file, index=levels > 0)


def get_frame(scope: Scope, name: str, format: str, levels: int | None) -> Any:
    """Read a frame from a file of a scope, whoever wrote it."""
    pandas = _pandas()
    if scope.record(name).serializer == _PARQUET:
        return scope.get(name)
    with scope.open(name, "rb") as file:
        if format == "parquet":
            return pandas.read_parquet(file)
        old = tuple(map(int, pandas.__version__.split(".")[:2])) < (3, 1)  # where the usual way loses the last digit
        exact = {"float_precision": "round_trip"} if old else {}
        return pandas.read_csv(file, index_col=list(range(levels)) if levels else None, **exact)


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise MissingExtraError('frames need pandas: pip install "holdfast[pandas]"') from error
    return pandas


for _name in DATAFRAMES:
    register_handler("*", _name, "to_artifact", pandas_dataframe_to_artifact)
    register_handler("*", _name, "from_artifact", pandas_dataframe_from_artifact)
