"""From a description to a storage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ....errors import InvalidArgumentError
from . import filestorage, rayfilestorage, s3storage
from .base import Storage

__all__ = ["storage_factory"]

_KINDS: Mapping[str, Callable[[Mapping[str, Any]], Storage]] = {
    "file": filestorage.FileStorage,
    "ray": rayfilestorage.FileStorage,
    "S3": s3storage.S3Storage,
}


def storage_factory(opt: Mapping[str, Any]) -> Storage:
    """The storage that ``{"kind": ..., "options": {...}}`` describes.

    Raises:
        InvalidArgumentError: there is no such kind, or an option is missing or not legal.
    """
    given: object = opt
    if not isinstance(given, Mapping) or not isinstance(opt.get("options", {}), Mapping):
        raise InvalidArgumentError(f"a storage is described by {{'kind': ..., 'options': {{...}}}}, not by {opt!r}")
    kind = opt.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise InvalidArgumentError(f"there is no storage of the kind {kind!r}: there are {', '.join(_KINDS)}")
    return _KINDS[kind](opt.get("options", {}))
