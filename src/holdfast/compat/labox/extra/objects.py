"""Objects where a router says, in whichever bucket of a client."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self
from urllib.parse import urlencode

from ....errors import InvalidArgumentError, ReadOnlyError
from ....hashing import ALGORITHMS
from ....payload import Buffer, Payload
from ....storages.asynchronous import StreamDigest
from ....storages.base import OCTETS, Abandoned, GetDigest, Writer
from ....storages.objectstore import RoutedStorage
from ....storages.objectstore.routers import ask, takes_temp
from ..core.own_storage import OwnStorage

__all__ = ["ObjectStorage", "Router", "routed_in"]

Router = Callable[..., Mapping[str, Any]]
"""Gives a pointer, by digest and tags."""


class ObjectStorage(OwnStorage):
    """One native storage for each bucket that pointers name; a config is a pointer.

    A stream waits in the bucket that the router gives for it before its digest is known.
    """

    shares = True
    remote = True
    scheme: str
    field: str

    def __init__(self, router: Router | None, credentials: Any, options: Mapping[str, str | None]) -> None:
        self._made = router, credentials, options
        self._router = router
        self._takes_temp = router is not None and takes_temp(router)
        self._options = urlencode({name: value for name, value in options.items() if value})
        self._buckets: dict[str, RoutedStorage] = {}
        self._chosen = threading.local()
        for name in getattr(router, "buckets", ()):
            self._bucket({self.field: name})

    def of(self, store: str) -> Self:
        """See :meth:`OwnStorage.of`."""
        made = object.__new__(type(self))
        ObjectStorage.__init__(made, *self._made)
        return made

    def _bucket(self, pointer: Any) -> RoutedStorage:
        name = pointer.get(self.field) if isinstance(pointer, Mapping) else None
        if not isinstance(name, str):
            raise InvalidArgumentError(f"{pointer!r} is no pointer of {self.name}: it must name its {self.field!r}")
        found = self._buckets.get(name)
        if found is None:
            asking = self._ask if self._takes_temp else lambda digest, tags: self._ask(digest, tags)
            router = None if self._router is None else asking
            url = f"{self.scheme}://{name}?{self._options}"
            found = self._buckets.setdefault(name, RoutedStorage(url, router, credentials=self._made[1]))
        found.owner = self.owner
        return found

    def _ask(self, digest: Any, tags: Mapping[str, str], *, temp: bool = False) -> Any:
        """What the router gives; what it gave for this write, when it was asked for the bucket."""
        chosen = vars(self._chosen).pop("pointer", None)
        if chosen is not None:
            return chosen
        if self._router is None:
            raise ReadOnlyError(f"{self!r} has no router and only reads")
        return ask(self._router, digest, tags, **({"temp": temp} if self._takes_temp else {}))

    def write(
        self, payload: Payload, get_digest: GetDigest, tags: Mapping[str, str], *, sync: bool = False
    ) -> dict[str, Any]:
        """See the native contract."""
        algorithm, value = get_digest()
        told = self._digest(payload.content_type, payload.encoding, payload.size, value.hex(), ALGORITHMS[algorithm])
        pointer = self._ask(told, tags)
        bucket = self._bucket(pointer)
        self._chosen.pointer = pointer
        try:
            return bucket.write(payload, get_digest, tags)  # type: ignore[no-any-return]
        finally:
            vars(self._chosen).clear()

    def writer(
        self,
        tags: Mapping[str, str],
        *,
        size: int | None = None,
        content_type: str = OCTETS,
        encoding: str | None = None,
    ) -> Writer:
        """See the native contract."""
        bucket = self._bucket(self._ask(self._digest(content_type, encoding), tags, temp=True))
        return bucket.writer(tags, size=size, content_type=content_type, encoding=encoding)

    @staticmethod
    def _digest(
        content_type: str, encoding: str | None, size: int = 0, value: str = "", algorithm: str | None = None
    ) -> StreamDigest:
        return StreamDigest(
            content_type=content_type, content_encoding=encoding, content_hash=value,
            content_hash_algorithm=algorithm or "", content_size=size, is_complete=bool(value),
        )  # fmt: skip

    def read(self, config: Any) -> Buffer:
        """See the native contract."""
        return self._bucket(config).read(config)

    def read_stream(self, config: Any, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """See the native contract."""
        return self._bucket(config).read_stream(config, offset, length)

    def delete(self, config: Any) -> None:
        """See the native contract."""
        self._bucket(config).delete(config)

    def sync(self, configs: Sequence[Any]) -> list[bool]:
        """See the native contract."""
        return [self._bucket(config).sync([config])[0] for config in configs]

    def stands(self, config: Any) -> bool:
        """See the native contract."""
        return self._bucket(config).stands(config)

    def abandoned(self) -> Iterator[Abandoned]:
        """See the native contract; of the buckets that the router is known to name, or that were used here."""
        for name in list(self._buckets):
            yield from self._bucket({self.field: name}).abandoned()

    def close(self) -> None:
        """See the native contract."""
        for bucket in self._buckets.values():
            bucket.close()


def routed_in(bucket: str, router: Router) -> Router:
    """A router that is known to give one bucket."""
    vars(router)["buckets"] = (bucket,)
    return router
