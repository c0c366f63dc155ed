"""pandas frames in Arrow's formats and in Parquet, whole and as streams. Chosen by name only."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any, ClassVar

from ...errors import MissingExtraError, UnsupportedValue
from ..tables import ArrowFile, ArrowStream, Converter, Parquet, ParquetStream, pyarrow

__all__ = [
    "PandasArrowFileSerializer",
    "PandasArrowStreamSerializer",
    "PandasParquetSerializer",
    "PandasParquetStreamSerializer",
]

_METADATA = b"pandas"  # where pandas says, in the schema, what a frame has that a table has not
_OBJECTS: Any = (set(), {str}, {bytes}, {dt.date})  # types that a column of objects may have, beside None


class _Frames(Converter):
    """A note has what may differ from one frame of a stream to the next: the numbers of the rows, and ``attrs``."""

    def to_table(self, value: Any) -> tuple[Any, str]:
        pd, pa = _pandas(), pyarrow()
        if type(value) is not pd.DataFrame:
            raise UnsupportedValue(f"it is a {type(value).__name__} and no pandas.DataFrame")
        columns = value.columns
        _check_objects(value)
        try:
            table = pa.Table.from_pandas(value, nthreads=1)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise UnsupportedValue(f"this frame has no form in Arrow: {error}") from error
        said = json.loads(table.schema.metadata[_METADATA])
        note = {
            "attrs": said.pop("attributes", {}),
            "ranges": [[one["start"], one["stop"], one["step"]] for one in _ranges(said)],
            "freq": getattr(value.index, "freqstr", None),
            "labels": [columns.start, columns.stop, columns.step] if type(columns) is pd.RangeIndex else None,
        }
        for one in _ranges(said):
            one.update(start=0, stop=0, step=1)
        for one in said["columns"]:
            if "num_categories" in (one["metadata"] or {}):
                one["metadata"]["num_categories"] = 0  # which may differ, and is needed by nobody
        table = table.replace_schema_metadata({**table.schema.metadata, _METADATA: json.dumps(said)})
        text = json.dumps(note, separators=(",", ":"))
        _check_same(value, self.from_table(table, text, only_types=True))
        return table, text

    def from_table(self, table: Any, note: str, only_types: bool = False) -> Any:
        said, notes = json.loads(table.schema.metadata[_METADATA]), json.loads(note)
        for one, (start, stop, step) in zip(_ranges(said), notes["ranges"], strict=True):
            one.update(start=start, stop=stop, step=step)
            if not only_types and len(range(start, stop, step)) != table.num_rows:
                raise ValueError("numbers of rows that the table has not")
        metadata = {**table.schema.metadata, _METADATA: json.dumps({**said, "attributes": notes["attrs"]})}
        rows = table.slice(0, 0) if only_types else table
        frame = rows.replace_schema_metadata(metadata).to_pandas(use_threads=False)
        if type(frame) is not _pandas().DataFrame:
            raise ValueError("no frame")
        if notes["freq"] is not None and not only_types:
            frame.index.freq = notes["freq"]
        if notes["labels"] is not None:
            frame.columns = _pandas().RangeIndex(*notes["labels"], name=frame.columns.name)
        return frame


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise MissingExtraError('this value needs pandas: pip install "holdfast[pandas]"') from error
    return pandas


def _ranges(said: Any) -> list[dict[str, Any]]:
    """Of a frame's metadata the indexes that are no column but a range of numbers."""
    return [one for one in said["index_columns"] if type(one) is dict]


def _check_objects(frame: Any) -> None:
    """Arrow would make of objects that look alike something else, or one thing of two; and text of labels."""
    if frame.columns.nlevels == 1 and len(set(map(type, frame.columns))) > 1:
        raise UnsupportedValue(f"Arrow would not give back labels of several types: {_ELSEWHERE}")
    levels = [frame.index.get_level_values(number) for number in range(frame.index.nlevels)]
    for column in [*(frame.iloc[:, number] for number in range(frame.shape[1])), *levels]:
        if column.dtype == object and set(map(type, column)) - {type(None)} not in _OBJECTS:
            raise UnsupportedValue(f"Arrow would not give back the objects of {column.name!r}: {_ELSEWHERE}")


def _check_same(frame: Any, back: Any) -> None:
    """Whether a frame without rows that came back has the types and labels of the one that was given."""
    for what, one, other in (
        ("types of the columns", list(frame.dtypes), list(back.dtypes)),
        ("labels", _kind(frame.columns), _kind(back.columns)),
        ("labels", list(frame.columns), list(back.columns)),
        ("index", _kind(frame.index), _kind(back.index)),
        ("attrs", frame.attrs, back.attrs),
        ("flags", frame.flags.allows_duplicate_labels, True),
    ):
        if one != other:
            raise UnsupportedValue(f"Arrow would not give back the {what} of this frame ({one!r:.200}): {_ELSEWHERE}")


_ELSEWHERE = "holdfast.pandas@v1 keeps them, in streams as items of holdfast.value-stream@v1"


def _kind(index: Any) -> Any:
    levels = [(level.dtype, level.name) for level in getattr(index, "levels", [index])]
    freq = getattr(index, "freqstr", None)
    return type(index), levels, list(index.names), freq if type(index).__name__ == "PeriodIndex" else None


class PandasArrowFileSerializer(ArrowFile):
    """``pandas.DataFrame`` as an Arrow IPC file (Feather)."""

    name: ClassVar[str] = "holdfast.pandas-arrow-file@v1"
    tables = _Frames()


class PandasArrowStreamSerializer(ArrowStream):
    """Streams of ``pandas.DataFrame`` of the same columns as an Arrow IPC stream."""

    name: ClassVar[str] = "holdfast.pandas-arrow-stream@v1"
    tables = _Frames()


class PandasParquetSerializer(Parquet):
    """``pandas.DataFrame`` as a Parquet file."""

    name: ClassVar[str] = "holdfast.pandas-parquet@v1"
    tables = _Frames()


class PandasParquetStreamSerializer(ParquetStream):
    """Streams of ``pandas.DataFrame`` of the same columns as a Parquet file."""

    name: ClassVar[str] = "holdfast.pandas-parquet-stream@v1"
    tables = _Frames()
