"""Polars' lazy frames: computed in batches, kept as Parquet, and read when they are collected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, BinaryIO

from ..errors import EncodeError, MissingExtraError
from .parts import about, begin_folder, end_folder, part_opener, write_part
from .steady import steady

try:
    import polars as pl
    from polars.io.plugins import register_io_source
except ImportError as missing:
    raise MissingExtraError('lazy frames need polars: pip install "holdfast[polars]"') from missing

__all__ = ["LazyFrameSerializer"]

_VERSION = 1
_PART = 1 << 26  # bytes of a part in memory


class LazyFrameSerializer:
    """Keeps the rows of a lazy frame, and gives them back as a lazy frame over them."""

    name = "holdfast.polars-lazy@v1"
    serializer_class: type = pl.LazyFrame

    @classmethod
    def pickle(cls, obj: Any, protocols: Mapping[str, Any], /) -> tuple[str, tuple[Any, str]]:
        """See :class:`~holdfast.apart.contract.PersistentSerializer`.

        Raises:
            EncodeError: Parquet cannot hold a column.
        """
        filename, count = begin_folder(), 0
        for frame in _gathered(obj.collect_batches(maintain_order=True, lazy=True, engine="streaming")):
            write_part(protocols, filename, count, partial(_write, frame))
            count += 1
        write_part(protocols, filename, count, partial(_write, pl.DataFrame(schema=obj.collect_schema())))
        end_folder(protocols, filename, parts=count)
        return cls.name, (_VERSION, filename)

    @classmethod
    def unpickle(cls, persistent_id: tuple[Any, str], protocols: Mapping[str, Any], /) -> Any:
        """See the contract.

        Raises:
            DecodeError: a later version has written it, or it is none.
        """
        version, filename = persistent_id
        count = about(protocols, filename, version, _VERSION)["parts"]
        with part_opener(protocols, filename, count)() as file:
            schema = pl.read_parquet(file).schema
        openers = [part_opener(protocols, filename, number) for number in range(count)]
        return register_io_source(_Source(openers), schema=schema, is_pure=True)

    @classmethod
    def remove(cls, persistent_id: tuple[Any, str], protocols: Mapping[str, Any], /) -> None:
        """Nothing is kept outside of the record."""


def _write(frame: Any, file: BinaryIO) -> None:
    try:
        with steady(file) as given:
            frame.write_parquet(given, compression="zstd")
    except pl.exceptions.PolarsError as error:
        raise EncodeError(f"a lazy frame cannot be kept in Parquet: {error}") from error


def _gathered(batches: Iterator[Any]) -> Iterator[Any]:
    """Batches joined to parts, or divided."""
    waiting: list[Any] = []
    size = 0
    for batch in batches:
        bytes_in = batch.estimated_size()
        rows = max(1, batch.height * _PART // max(1, bytes_in))
        for piece in batch.iter_slices(rows):
            waiting.append(piece)
            size += bytes_in * piece.height // batch.height
            if size >= _PART:
                yield pl.concat(waiting)
                waiting, size = [], 0
    if any(batch.height for batch in waiting):
        yield pl.concat(waiting)


class _Source:
    """Gives the parts as polars asks for them: only some columns, rows or so many of them."""

    def __init__(self, openers: list[Callable[[], BinaryIO]]) -> None:
        self._openers = openers

    def __call__(self, columns: list[str] | None, predicate: Any, rows: int | None, batch: int | None) -> Iterator[Any]:
        for open_file in self._openers:
            if rows is not None and rows <= 0:
                return
            with open_file() as file:
                frame = pl.read_parquet(file, columns=columns, n_rows=rows)
            if rows is not None:
                rows -= frame.height
            yield frame if predicate is None else frame.filter(predicate)
