"""Results in a bucket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from ....apart import S3_PROTOCOL
from ....api import Scope, Store
from ....errors import InvalidArgumentError
from ....storages.objectstore import ObjectStorage
from ...places import place_of, s3_keys
from .base import Storage

__all__ = ["Keyed", "S3Storage"]


class S3Storage(Storage):
    """The bytes are in the bucket and below the prefix that ``path`` names, as ``/bucket/prefix``, and what is there
    knows the current store. ``s3fs`` has ``key``, ``secret``, ``endpoint_url`` and the like."""

    kind: ClassVar[str] = "S3"
    protocol: ClassVar[str] = S3_PROTOCOL
    _OPTIONS: ClassVar[tuple[str, ...]] = ("path", "s3fs")

    def _open(self) -> Scope:
        params: Any = self.options.get("s3fs", {})
        if not isinstance(params, Mapping):
            raise InvalidArgumentError(f"s3fs has options by name, as in {{'key': ..., 'secret': ...}}, not {params!r}")
        root: Any = place_of("s3", self.options["path"].strip("/"), params).root
        there, keys = root._kernel.storage, s3_keys(params)
        if keys and isinstance(there, ObjectStorage):
            kernel = root._kernel._main.beside(Keyed(there.url, keys, there.timeout, there.owner, there.patience))
            return Store(kernel)._at(root.path)
        return cast(Scope, root)


class Keyed(ObjectStorage):
    """A bucket whose keys go to the workers of a workflow, as they were given for it."""

    def __init__(self, url: str, keys: Mapping[str, str], timeout: float, owner: str, patience: float) -> None:
        super().__init__(url, credentials=keys, timeout=timeout, owner=owner, patience=patience)
        self._keys = keys

    def __reduce__(self) -> tuple[Any, ...]:
        return Keyed, (self.url, self._keys, self.timeout, self.owner, self.patience)
