"""Where storages are, and Ray."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from ... import executors
from ...errors import InvalidArgumentError, NotFoundError
from ...executors.ray import _engine
from .errors import FileMissing

__all__ = ["Files", "join_ray"]

_joined: list[Any] = []
_lock = threading.Lock()


class Files:
    """The files of a scope, by name."""

    def __init__(self, scope: Any) -> None:
        self._scope = scope

    def open(self, filename: str, mode: str = "r") -> IO[Any]:
        """See :meth:`Scope.open <holdfast.Scope.open>`; FileMissing (a FileNotFoundError) when there is none."""
        with _told():
            file: IO[Any] = self._scope.open(filename, mode)
        return file

    def remove(self, filename: str) -> None:
        """Remove one; FileMissing (a FileNotFoundError) when there is none."""
        with _told():
            self._scope.delete(filename)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except NotFoundError as error:
        if type(error) is not NotFoundError:  # such as one whose bytes are lost
            raise
        raise FileMissing(error.message) from error


def join_ray(ray_init_args: Mapping[str, Any]) -> Any:
    """Be in a Ray cluster, as ``ray.init`` takes these arguments, until this process ends; gives the module ``ray``.

    Where this process is in one already, nothing is done.

    Raises:
        MissingExtraError: Ray is not installed.
        InvalidArgumentError: ``ray.init`` does not take one of them.
        StoreError: the cluster cannot be started or reached.
    """
    if not isinstance(ray_init_args, Mapping):
        raise InvalidArgumentError(f"ray_init_args are options by name, not {ray_init_args!r}")
    ray = _engine()
    with _lock:
        if not ray.is_initialized():
            options = {name: value for name, value in ray_init_args.items() if name != "ignore_reinit_error"}
            _joined[:] = [executors.open("ray", **options)]  # which leaves it when it is closed, at the end
    return ray
