"""Streams to a cluster: in parts, so that no process has more than one of them in hand."""

from __future__ import annotations

import os
from contextlib import suppress

from ...errors import ClosedError, StoreError
from ...payload import Buffer
from ..base import GetDigest, Writer
from . import cluster
from .configs import Config, new_name
from .connection import Link

__all__ = ["PART", "PartsWriter"]

PART = 16 << 20
"""Bytes of each part of a stream but the last."""


class PartsWriter(Writer):
    """Gives the cluster a part whenever one is full; the parts have no name that anybody knows before the commit."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._name = new_name()
        self._keys: list[str] = []
        self._buffers: list[bytes] = []
        self._waiting = 0
        self._size = 0
        self._open = True
        self._process = os.getpid()

    def write(self, data: Buffer) -> None:
        self._check()
        view = memoryview(data)
        while view:
            some = view[: PART - self._waiting]
            self._buffers.append(bytes(some))
            self._waiting += len(some)
            if self._waiting == PART:
                self._send()
            view = view[len(some) :]

    def commit(self, get_digest: GetDigest, *, sync: bool = False) -> str:
        self._check()
        if self._keys:
            if self._waiting:
                self._send()
            config = Config(self._link.scheduler, self._name, self._size, len(self._keys))
        else:  # all of it is one piece
            config = Config(self._link.scheduler, self._name, self._waiting)
            config = config._replace(worker=self._place(config.keys[0]))
        self._open = False
        self._buffers = []
        return str(config)

    def abort(self) -> None:
        if not self._open or os.getpid() != self._process:  # a forked child's copy is not its own
            return
        self._open = False
        self._buffers = []
        keys = self._keys
        if keys:
            with suppress(StoreError):  # with the cluster, they have gone too
                self._link.run(lambda: cluster.release(self._link, keys))

    def _send(self) -> None:
        key = f"holdfast-{self._name}-{len(self._keys)}"
        self._keys.append(key)  # first: an error on the way may leave it there
        self._place(key)
        self._size += self._waiting
        self._buffers, self._waiting = [], 0

    def _place(self, key: str) -> str:
        return self._link.run(lambda: cluster.place(self._link, key, self._buffers, self._waiting), self._waiting)

    def _check(self) -> None:
        if not self._open:
            raise ClosedError("this writer was committed or aborted before: begin another")
