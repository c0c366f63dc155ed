"""The memory storage: bytes of this process, for tests and caches."""

from __future__ import annotations

import itertools
import os
import re
import secrets
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from ..errors import ClosedError, InvalidArgumentError, StorageFullError, ValueLost
from ..payload import Buffer, Payload
from .base import OCTETS, GetDigest, Storage, Writer, check_size, check_span

__all__ = ["MemoryStorage"]

_CONFIG = re.compile(r"[0-9a-f]{16}/(?:0|[1-9][0-9]{0,18})")
_PIECE = 1 << 20

_storages: weakref.WeakSet[MemoryStorage] = weakref.WeakSet()


class MemoryStorage(Storage):
    """Bytes in the memory of this process, gone with this object.

    The config is ``"<random>/<number>"``. The random part is of this object in this process (a forked child goes on
    under another one), so that another process' config is never taken for one of ours: it gives ValueLost.
    """

    name: ClassVar[str] = "holdfast.memory@v1"
    ephemeral: ClassVar[bool] = True

    def __init__(self) -> None:
        self._pieces: dict[str, bytes] = {}
        self._rename()
        _storages.add(self)

    def _rename(self) -> None:
        self._owner = secrets.token_hex(8)
        self._numbers = itertools.count()

    def __repr__(self) -> str:
        return f"<MemoryStorage of {len(self._pieces)} pieces>"

    def write(self, payload: Payload, get_digest: GetDigest, tags: Mapping[str, str], *, sync: bool = False) -> str:
        """Keep a copy of a payload's bytes; ``sync`` changes nothing."""
        return self._keep(payload.buffers)

    def _keep(self, buffers: Sequence[Buffer]) -> str:
        try:
            data = b"".join(buffers)
        except MemoryError:
            raise StorageFullError("this process has no memory for the bytes: nothing of them was kept") from None
        config = f"{self._owner}/{next(self._numbers)}"
        self._pieces[config] = data
        return config

    def writer(
        self,
        tags: Mapping[str, str],
        *,
        size: int | None = None,
        content_type: str = OCTETS,
        encoding: str | None = None,
    ) -> Writer:
        """Begin to write a stream; ``size`` changes nothing."""
        check_size(size)
        return _MemoryWriter(self)

    def read(self, config: Any) -> Buffer:
        """The bytes; they are immutable, so no copy is made."""
        try:
            return self._pieces[self._check(config)]
        except KeyError:
            raise ValueLost(f"the bytes of {config} are gone: they end with the process that wrote them") from None

    def read_stream(self, config: Any, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes in pieces of 1 MB."""
        check_span(offset, length)
        data = self.read(config)
        end = len(data) if length is None else min(len(data), offset + length)
        return (bytes(data[start : min(end, start + _PIECE)]) for start in range(offset, end, _PIECE))

    def delete(self, config: Any) -> None:
        """Forget the bytes."""
        self._pieces.pop(self._check(config), None)

    def sync(self, configs: Sequence[Any]) -> list[bool]:
        """For each config, whether its bytes are held; there is no disk."""
        return [self._check(config) in self._pieces for config in configs]

    @staticmethod
    def _check(config: Any) -> str:
        if isinstance(config, str) and _CONFIG.fullmatch(config):
            return config
        raise InvalidArgumentError(f"no memory storage gave the config {config!r}")

    def close(self) -> None:
        """Forget everything."""
        self._pieces.clear()


class _MemoryWriter(Writer):
    def __init__(self, storage: MemoryStorage) -> None:
        self._storage = storage
        self._parts: list[bytes] | None = []

    def _open(self) -> list[bytes]:
        if self._parts is None:
            raise ClosedError("this writer was committed or aborted before: begin another")
        return self._parts

    def write(self, data: Buffer) -> None:
        self._open().append(bytes(data))

    def commit(self, get_digest: GetDigest, *, sync: bool = False) -> str:
        config = self._storage._keep(self._open())
        self._parts = None
        return config

    def abort(self) -> None:
        self._parts = None


def _after_fork_in_child() -> None:
    for storage in list(_storages):
        storage._rename()


os.register_at_fork(after_in_child=_after_fork_in_child)
