"""What frames and arrays have in common: the type that is told in the metadata, and parts by number."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from ......errors import InvalidArgumentError
from ....errors import NoPartsError, NotAssertedError, OutsideRunError
from ...resources.workflow.context import get_run_context
from ..interface import Artifact, ArtifactFile
from .handler import get_handler_func

__all__ = ["VALUE_TYPE", "check_parts", "check_type", "full_name", "load", "parts_of", "save", "split_dataframe"]

VALUE_TYPE = "value_type"
"""Key of the metadata that has the full name of the saved value's type."""


def full_name(value: Any) -> str:
    """Full name of a value's type, such as ``pandas.DataFrame``."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


def check_type(artifact: Artifact, *names: str) -> None:
    """Raise NotAssertedError (an AssertionError) unless an artifact holds a value of one of these types."""
    found = artifact[VALUE_TYPE]
    if found not in names:
        raise NotAssertedError(f"{artifact!r} holds a value of type {found}, and this loads {' or '.join(names)}")


def save(artifact: Artifact, value: Any, executor: str, **options: Any) -> Any:
    """Have a value saved in place of all that the artifact holds, in one commit, by the function for its type."""
    name = full_name(value)
    handler = get_handler_func(executor or _get_current_executor() or "*", name, "to_artifact")
    with artifact.transaction():
        artifact.clear()
        artifact[VALUE_TYPE] = name
        return handler(artifact, value, **options)


def load(artifact: Artifact, executor: str, **options: Any) -> Any:
    """Have the artifact's value loaded by the function for the type that its metadata names."""
    name = artifact[VALUE_TYPE]
    if not isinstance(name, str):
        raise InvalidArgumentError(f"{artifact!r} does not say the type of its value: no hook has saved it")
    return get_handler_func(executor or _get_current_executor() or "*", name, "from_artifact")(artifact, **options)


def parts_of(artifact: Artifact, format: str) -> list[ArtifactFile]:
    """The files of a format, by the numbers in their names.

    Raises:
        InvalidArgumentError: there is none (a ValueError).
    """
    files = [file for file in artifact.list_files() if file.name.endswith(f".{format}")]
    if not files:
        raise InvalidArgumentError(f"{artifact!r} has no file that ends in .{format}: name the format it was saved in")
    return sorted(files, key=lambda file: _natural(file.name))


def split_dataframe(dataframe: Any, n: int) -> list[Any]:
    """A frame's rows in ``n`` parts, of which the first may have one row more than the others.

    Raises:
        NoPartsError: fewer than one part (a ZeroDivisionError).
    """
    size, more = divmod(len(dataframe), check_parts(n))
    ends = [size * number + min(number, more) for number in range(n + 1)]
    return [dataframe.iloc[start:end] for start, end in pairwise(ends)]


def check_parts(number: Any) -> int:
    """The number of parts; NoPartsError when it is none."""
    if type(number) is not int or number < 1:
        raise NoPartsError(f"num_parts is a number from 1 on, not {number!r}")
    return number


def _natural(name: str) -> list[Any]:
    return [int(part) if part.isdecimal() else part for part in re.split("([0-9]+)", name)]


def _get_current_executor() -> str | None:
    try:
        return get_run_context().executor
    except OutsideRunError:
        return None
