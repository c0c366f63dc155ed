"""Who decides where an object lies: a router gives a pointer for a digest and tags."""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from ...errors import HoldfastError, InvalidArgumentError
from .connection import SEGMENT, Place

__all__ = ["BOOKS", "Pointers", "Router", "ask", "simple_blob_router", "simple_s3_router", "takes_temp"]

Router = Callable[..., Mapping[str, Any]]
"""``(digest, tags) -> pointer``, or ``(digest, tags, *, temp: bool) -> pointer``. The digest is a
:class:`~holdfast.storages.asynchronous.StreamDigest`: not complete for a temporary place, and with an empty hash for
bytes that nobody hashes."""

BOOKS = ".holdfast"
"""Folder, below a storage's prefix, of what it keeps for itself."""

_FIELDS = {"s3": ("bucket", "key"), "az": ("container", "blob"), "gs": ("bucket", "blob")}
_MOST = 1024  # bytes of a name that all three take


class Pointers:
    """What pointers of one bucket look like, and which of them may be written.

    Args:
        place: bucket, and the prefix below which routers may put objects.
    """

    def __init__(self, place: Place) -> None:
        self._bucket_field, self._name_field = _FIELDS[place.scheme]
        self._place = place

    def make(self, name: str) -> dict[str, Any]:
        """The pointer of an object of this bucket."""
        return {self._bucket_field: self._place.bucket, self._name_field: name}

    def canonical(self, pointer: Any) -> dict[str, Any]:
        """A pointer with its fields in one order: equal ones are equal texts.

        Raises:
            InvalidArgumentError: as :meth:`name`.
        """
        made = self.make(self.name(pointer))
        return made | {"user_project": pointer["user_project"]} if "user_project" in pointer else made

    def name(self, pointer: Any) -> str:
        """The whole name of the object that a pointer means.

        Raises:
            InvalidArgumentError: it is no pointer into this bucket.
        """
        fields = f"{{{self._bucket_field!r}: …, {self._name_field!r}: …}}"
        if not isinstance(pointer, Mapping) or {*pointer} - {"user_project"} != {self._bucket_field, self._name_field}:
            raise InvalidArgumentError(f"{pointer!r} is no pointer of {self._place.shown}: one is like {fields}")
        bucket, name, payer = pointer[self._bucket_field], pointer[self._name_field], pointer.get("user_project")
        if "user_project" in pointer and (self._place.scheme != "gs" or not isinstance(payer, str | None)):
            raise InvalidArgumentError(f"user_project in {pointer!r} is a text or None, and for gs:// only")
        if bucket != self._place.bucket:
            raise InvalidArgumentError(f"{pointer!r} is in another bucket than {self._place.shown}: open that")
        if not isinstance(name, str) or not _is_legal(name):
            raise InvalidArgumentError(
                f"{name!r} is no name of an object: parts between single slashes, none of them . or .., without "
                f"control characters, {_MOST} bytes together"
            )
        return name

    def writable(self, pointer: Any) -> tuple[dict[str, Any], str]:
        """A pointer that a router gave, canonical, and the name of its object.

        Raises:
            InvalidArgumentError: it is no pointer, or not below the prefix, or among what the storage keeps for itself.
        """
        try:
            pointer = self.canonical(pointer)
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"the router gave a wrong place: {error}") from None
        name: str = pointer[self._name_field]
        if self._place.prefix and not name.startswith(self._place.prefix + "/"):
            raise InvalidArgumentError(f"the router gave {name!r}, which is not below {self._place.shown}/: mend it")
        if BOOKS in name.split("/"):
            raise InvalidArgumentError(f"the router gave {name!r}: {BOOKS} is the storage's own folder")
        return pointer, name


def _is_legal(name: str) -> bool:
    parts = name.split("/")
    try:
        short = len(name.encode()) <= _MOST
    except UnicodeEncodeError:
        return False
    return short and all(SEGMENT.fullmatch(part) and part not in (".", "..") for part in parts)


def takes_temp(router: Router) -> bool:
    """Whether a router wants to be asked for temporary places, too."""
    try:
        parameters = inspect.signature(router).parameters.values()
    except (TypeError, ValueError):  # of a C function
        return False
    return any(
        item.kind is item.VAR_KEYWORD
        or (item.name == "temp" and item.kind in (item.KEYWORD_ONLY, item.POSITIONAL_OR_KEYWORD))
        for item in parameters
    )


def ask(router: Router, digest: Any, tags: Mapping[str, str], **temp: bool) -> Any:
    """What a router gives.

    Raises:
        InvalidArgumentError: the router raised.
    """
    try:
        return router(digest, dict(tags), **temp)
    except HoldfastError:
        raise
    except Exception as error:
        told = f"the router {getattr(router, '__name__', router)!r} failed: {type(error).__name__}: {error}"
        raise InvalidArgumentError(f"{told}; nothing was written") from error


def simple_s3_router(bucket: str, prefix: str = "") -> Router:
    """A router by content: equal bytes at ``<prefix>/<algorithm>/<hash>`` of an S3 bucket, once.

    What has no hash, and what is temporary, gets a name of its own.
    """
    return _by_content("bucket", "key", bucket, prefix)


def simple_blob_router(container: str, prefix: str = "", *, field: str = "container") -> Router:
    """The same for an Azure container; with ``field="bucket"`` for a Google bucket."""
    return _by_content(field, "blob", container, prefix)


def _by_content(bucket_field: str, name_field: str, bucket: str, prefix: str) -> Router:
    head = f"{prefix.strip('/')}/".lstrip("/")

    def route(digest: Any, tags: Mapping[str, str], *, temp: bool = False) -> dict[str, str]:
        if temp or not digest["content_hash"]:
            name = f"{head}{'temporary' if temp else 'unhashed'}/{secrets.token_hex(16)}"
        else:
            name = f"{head}{digest['content_hash_algorithm']}/{digest['content_hash']}"
        return {bucket_field: bucket, name_field: name}

    return route
