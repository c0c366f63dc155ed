"""Tables in parts: a folder of Parquet files, and a file that says how many they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO
from uuid import uuid4

from ..errors import DecodeError
from .contract import open_in, opener

__all__ = ["about", "begin_folder", "end_folder", "part_opener", "write_part"]

_ABOUT = "about.json"


def begin_folder() -> str:
    """A name for a new one."""
    return f"{uuid4().hex}.parquet"


def _part(filename: str, number: int) -> str:
    return f"{filename}/part-{number:06}.parquet"


def write_part(protocols: Mapping[str, Any], filename: str, number: int, write: Callable[[BinaryIO], object]) -> None:
    """Write one of the parts."""
    with open_in(protocols, _part(filename, number), "wb") as file:
        write(file)


def end_folder(protocols: Mapping[str, Any], filename: str, **told: Any) -> None:
    """Say what there is, in JSON."""
    with open_in(protocols, f"{filename}/{_ABOUT}", "wb") as file:
        file.write(json.dumps(told).encode())


def about(protocols: Mapping[str, Any], filename: str, version: Any, known: int) -> dict[str, Any]:
    """What there is.

    Raises:
        DecodeError: a later version has written it, or it is none of ours.
    """
    if version != known:
        raise DecodeError(f"{filename} was written as version {version!r}: update Holdfast")
    try:
        with open_in(protocols, f"{filename}/{_ABOUT}", "rb") as file:
            told = json.loads(file.read())
        if not isinstance(told["parts"], int):
            raise TypeError("parts")
    except (KeyError, TypeError, ValueError) as error:
        raise DecodeError(f"{filename} is no table in parts that Holdfast has written: {error}") from error
    return dict(told)


def part_opener(protocols: Mapping[str, Any], filename: str, number: int) -> Callable[[], BinaryIO]:
    """What opens one of the parts."""
    return opener(protocols, _part(filename, number))
