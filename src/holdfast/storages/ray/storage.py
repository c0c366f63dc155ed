"""The memory of a Ray cluster, as a storage."""

from __future__ import annotations

import os
import pickle
import re
import secrets
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from ...errors import ClosedError, InvalidArgumentError, StorageFullError, StoreError, ValueLost
from ...payload import Buffer, Payload
from ..base import OCTETS, GetDigest, Writer, check_size, check_span
from ..buffers import cut, gathered
from ..ephemeral import EphemeralStorage
from .cluster import Gone, ask, connect, fetch, put
from .keepers import Keepers, Near
from .session import Session

__all__ = ["RayMemory"]

_CONFIG = re.compile(r"(?P<root>[0-9a-f]{16})/(?P<keeper>[0-9a-f]{16})/(?P<name>[0-9a-f]{24})")
_SMALL = 64 << 10
"""Pieces of at most this many bytes travel to the keeper in the call itself."""

_memories: weakref.WeakSet[RayMemory] = weakref.WeakSet()
_inherited: list[object] = []


class _Config(NamedTuple):
    root: str
    keeper: str
    name: str


class RayMemory(EphemeralStorage):
    """Bytes in the object store of a Ray cluster, one object for each piece, read without a copy.

    A piece lies on the node where it was written, and outlives the process that wrote it; it ends when it is deleted,
    with its node, with the keeper (an actor of Ray that holds the references, on the head), and with the cluster. It is
    in use as long as it is kept, so that Ray does not move it to disk: where a node has no room, that is told.

    The config is ``"<session>/<keeper>/<piece>"``, of random hex digits each.
    """

    name: ClassVar[str] = "holdfast.ray@v1"
    url: ClassVar[str] = "ray:"
    nearby: ClassVar[str] = "ray"

    def __init__(self, store: str, *, size: int | None = None, folder: str | None = None) -> None:
        """Nothing is begun before it is needed.

        Args:
            store: id of the store that it serves.
            size: bytes that may be kept on each node, as the first process that uses it says; None for four fifths of
                the node's object store.
            folder: changes nothing.
        """
        if size is not None and size < 0:
            raise InvalidArgumentError(f"the size of a memory is a number of bytes, not {size}")
        self._keepers = Keepers(store, size)
        _memories.add(self)

    def session(self) -> str:
        """The session of this process' cluster. A cluster is joined if one is configured or runs, and none started."""
        return str(self._keepers.session())

    def alive(self, session: str) -> bool:
        """Whether that session lasts: of this process' cluster that is seen within a second. Of another, it is known
        on the machine of its head alone whether it has ended, and elsewhere taken to last."""
        found = Session.of(session)
        return found is None or self._keepers.alive(found)

    # --- writing ------------------------------------------------------------------------------------------------------

    def write(
        self,
        payload: Payload,
        get_digest: GetDigest,
        tags: Mapping[str, str],
        *,
        sync: bool = False,
        lasting: bool = False,
    ) -> str:
        """Keep a payload's bytes; ``sync`` changes nothing."""
        return self._keep(payload.buffers)

    def _keep(self, buffers: Sequence[Buffer]) -> str:
        parts = gathered(buffers)
        size = sum(len(part) for part in parts)
        ray = connect()
        for _ in range(3):
            near = self._keepers.near(ray)
            try:
                return self._give(ray, near, parts, size)
            except Gone:
                self._keepers.lost(ray, near)
        raise StoreError(
            "the keepers of Holdfast's memory on the Ray cluster end as soon as they begin: see its logs for why"
        )

    def _give(self, ray: Any, near: Near, parts: list[Buffer], size: int) -> str:
        name = secrets.token_hex(12)
        value = [pickle.PickleBuffer(part) for part in parts]
        if size <= _SMALL:
            room = ask(ray, near.actor, "take", name, value, size)
        elif self._fits(ray, near, size):
            room = ask(ray, near.actor, "keep", name, [put(ray, value)], size)
        else:
            room = -1
        near.room = room
        if room < 0:
            raise StorageFullError(
                f"the memory on this node of the Ray cluster has no room for {size} bytes: delete something, give Ray "
                "a larger object_store_memory, or keep the value in the durable tier"
            )
        return f"{near.root}/{near.token}/{name}"

    @staticmethod
    def _fits(ray: Any, near: Near, size: int) -> bool:
        """Whether there is room, so that Ray need not make any: asked for only where it may have become too little."""
        if 2 * size > near.room:
            near.room = ask(ray, near.actor, "room")
        return size <= near.room

    def writer(
        self,
        tags: Mapping[str, str],
        *,
        size: int | None = None,
        content_type: str = OCTETS,
        encoding: str | None = None,
    ) -> Writer:
        """Begin to write a stream, which is in this process' memory until its commit; ``size`` changes nothing."""
        check_size(size)
        return _RayWriter(self)

    # --- reading ------------------------------------------------------------------------------------------------------

    def view(self, config: Any, size: int) -> Sequence[Buffer]:
        """The bytes in Ray's own memory, which they keep there as long as anybody has them; read-only."""
        buffers = self._buffers(config)
        there = sum(len(buffer) for buffer in buffers)
        if there != size:
            raise ValueLost(f"{config} has {there} bytes and not {size}: they are not what was written")
        return buffers

    def read(self, config: Any) -> Buffer:
        """The bytes; without a copy where they lie in one piece."""
        buffers = self._buffers(config)
        return buffers[0] if len(buffers) == 1 else b"".join(buffers)

    def _buffers(self, config: Any) -> list[memoryview]:
        found = _parsed(config)
        ray = connect()
        try:
            value = self._value(ray, found)
        except Gone as error:
            self._keepers.forget()
            raise ValueLost(f"the bytes of {config} are gone, with the node or the keeper of them: {error}") from error
        return [memoryview(buffer).cast("B") for buffer in value]

    def _value(self, ray: Any, config: _Config) -> Any:
        actor = self._keepers.reach(ray, config.root, config.keeper)
        if actor is None:
            raise Gone("their session, or their node, has ended")
        refs = ask(ray, actor, "find", config.name)
        if refs is not None:
            try:
                return fetch(ray, refs[0])
            except Gone:  # who put them has ended, and this node had no copy yet
                refs = ask(ray, actor, "own", config.name)
        if refs is None:
            raise Gone("they were deleted")
        return fetch(ray, refs[0])

    def read_stream(self, config: Any, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes in pieces of at most 1 MB."""
        check_span(offset, length)
        buffers = self._buffers(config)
        end = sum(map(len, buffers)) if length is None else offset + length
        return cut(buffers, offset, end)

    # --- what is there, and no more -----------------------------------------------------------------------------------

    def delete(self, config: Any) -> None:
        """Forget the bytes. Who has a view of them has it still."""
        self.delete_many([config])

    def delete_many(self, configs: Sequence[Any]) -> None:
        """Forget the bytes of several, one call to each keeper."""
        self._each_keeper(configs, "drop")

    def sync(self, configs: Sequence[Any]) -> list[bool]:
        """For each config, whether its bytes are kept; there is no disk."""
        answers = self._each_keeper(configs, "holds")
        there = {config for config, held in answers.items() if held}
        return [config in there for config in configs]

    def _each_keeper(self, configs: Sequence[Any], method: str) -> dict[str, Any]:
        """What each keeper answers for its pieces; nothing of those that have ended."""
        groups: dict[tuple[str, str], list[str]] = {}
        for config in configs:
            found = _parsed(config)
            groups.setdefault((found.root, found.keeper), []).append(config)
        if not groups:
            return {}
        ray = connect()
        answers: dict[str, Any] = {}
        for (root, token), members in groups.items():
            try:
                actor = self._keepers.reach(ray, root, token)
                if actor is not None:
                    names = [_parsed(config).name for config in members]
                    answers.update(zip(members, ask(ray, actor, method, names) or (), strict=False))
            except Gone:
                self._keepers.forget()
        return answers


class _RayWriter(Writer):
    def __init__(self, storage: RayMemory) -> None:
        self._storage = storage
        self._data: bytearray | None = bytearray()

    def _open(self) -> bytearray:
        if self._data is None:
            raise ClosedError("this writer was committed or aborted before: begin another")
        return self._data

    def write(self, data: Buffer) -> None:
        self._open().extend(data)

    def commit(self, get_digest: GetDigest, *, sync: bool = False) -> str:
        config = self._storage._keep([self._open()])
        self._data = None
        return config

    def abort(self) -> None:
        self._data = None


def _parsed(config: Any) -> _Config:
    found = _CONFIG.fullmatch(config) if isinstance(config, str) else None
    if found is None:
        raise InvalidArgumentError(f"no memory of a Ray cluster gave the config {str(config)[:100]!r}")
    return _Config(*found.groups())


def _after_fork_in_child() -> None:
    # Freed here, a handle of Ray's would wait for threads that a child does not have.
    _inherited.extend(memory._keepers.__dict__.copy() for memory in list(_memories))


os.register_at_fork(after_in_child=_after_fork_in_child)
