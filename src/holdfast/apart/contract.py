"""The contract of persistent serializers: classes that keep values of one type beside the record that they are in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Protocol

from ..errors import EncodeError, InvalidArgumentError
from ..storable.base import full_name

__all__ = [
    "FILE_PROTOCOL",
    "S3_PROTOCOL",
    "PersistentSerializer",
    "check_serializer",
    "open_in",
    "opener",
]

FILE_PROTOCOL = "file_protocol"
"""Among the protocols that a serializer is given: an object with ``open(filename, mode)`` and ``remove(filename)``."""

S3_PROTOCOL = "s3 protocol"
"""Likewise: ``{"client": <a file system of fsspec>, "folder": <a path in it>}``."""


class PersistentSerializer(Protocol):
    """What a class must have. It is used as a class, and never called.

    ``filename`` is any name that is used once in a record, such as a fresh UUID; what is opened under it, or under
    names that begin with it and a slash, lies in the record: it becomes visible with it and is removed with it. What a
    class keeps elsewhere it removes itself in ``remove``.

    Attributes:
        name: permanent and unique among those used together.
        serializer_class: the exact type of the values.
    """

    name: str
    serializer_class: type

    @classmethod
    def pickle(cls, obj: Any, protocols: Mapping[str, Any], /) -> tuple[str, tuple[Any, str]]:
        """Write the value, and give ``(name, (version, filename))``."""

    @classmethod
    def unpickle(cls, persistent_id: tuple[Any, str], protocols: Mapping[str, Any], /) -> Any:
        """The value of such a ``(version, filename)``."""

    @classmethod
    def remove(cls, persistent_id: tuple[Any, str], protocols: Mapping[str, Any], /) -> None:
        """Called when the record was deleted: remove what was kept elsewhere."""


def check_serializer(given: Any) -> type[PersistentSerializer]:
    """Give a class back when it can be a persistent serializer.

    Raises:
        InvalidArgumentError: it cannot; the message says what it lacks.
    """
    if not isinstance(given, type):
        raise InvalidArgumentError(f"a persistent serializer is a class, not {given!r}")
    if not isinstance(getattr(given, "name", None), str) or not isinstance(
        getattr(given, "serializer_class", None), type
    ):
        raise InvalidArgumentError(
            f"{full_name(given)} needs a name (text) and a serializer_class (the type of the values)"
        )
    for verb in ("pickle", "unpickle", "remove"):
        if not callable(getattr(given, verb, None)):
            raise InvalidArgumentError(f"{full_name(given)} has no class method {verb}")
    return given


def open_in(protocols: Mapping[str, Any], filename: str, mode: str) -> BinaryIO:
    """Open a file by whichever protocol there is."""
    if FILE_PROTOCOL in protocols:
        file: BinaryIO = protocols[FILE_PROTOCOL].open(filename, mode)
    elif S3_PROTOCOL in protocols:
        file = protocols[S3_PROTOCOL]["client"].open(f"{protocols[S3_PROTOCOL]['folder']}/{filename}", mode)
    else:
        raise EncodeError(f"there is no protocol to open a file by, among {', '.join(map(str, protocols)) or 'none'}")
    return file


def opener(protocols: Mapping[str, Any], filename: str) -> Callable[[], BinaryIO]:
    """What opens a file to read, later and in other processes, too."""
    files = protocols.get(FILE_PROTOCOL) or protocols[S3_PROTOCOL]["client"]
    path = filename if FILE_PROTOCOL in protocols else f"{protocols[S3_PROTOCOL]['folder']}/{filename}"
    own = getattr(files, "opener", None)
    return own(path) if own is not None else _Opener(files, path)


class _Opener:
    """Opens a file of a protocol that is not ours."""

    def __init__(self, files: Any, path: str) -> None:
        self._files, self._path = files, path

    def __call__(self) -> BinaryIO:
        file: BinaryIO = self._files.open(self._path, "rb")
        return file
