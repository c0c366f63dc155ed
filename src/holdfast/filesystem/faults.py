"""The kernel's errors as those that users of a file system expect; each of these is both."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from ..errors import ConflictError, ExistsError, InvalidArgumentError, NotFoundError

__all__ = ["FileMissing", "FileThere", "FolderNotEmpty", "IsFolder", "NotFolder", "as_file_errors"]

P = ParamSpec("P")
R = TypeVar("R")


class FileMissing(NotFoundError, FileNotFoundError):
    """No record and no folder of that address."""


class FileThere(ExistsError, FileExistsError):
    """A record or a folder of that address is there already."""


class IsFolder(InvalidArgumentError, IsADirectoryError):
    """The address names a scope, or what keys begin with, where it should name a record."""


class NotFolder(InvalidArgumentError, NotADirectoryError):
    """The address names a record where it should name a scope."""


class FolderNotEmpty(ConflictError, OSError):
    """What is to be removed holds something."""


def as_file_errors(call: Callable[P, R]) -> Callable[P, R]:
    """A function that raises the errors of this module for those of the kernel."""

    @wraps(call)
    def wrapped(*args: P.args, **options: P.kwargs) -> R:
        try:
            return call(*args, **options)
        except (NotFoundError, ExistsError) as error:
            # By the exact type: lost bytes (ValueLost) are no missing file, in whose place zarr would put zeros.
            if type(error) is NotFoundError:
                raise FileMissing(error.message) from error
            if type(error) is ExistsError:
                raise FileThere(error.message) from error
            raise

    return wrapped
