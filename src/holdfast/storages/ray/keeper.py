"""The actors that hold what is kept: references to objects, and Ray's own views of their memory, never copies.

An object of Ray belongs to the process that put it, and goes when that ends. A keeper is on the node where the object
lies and has a view of it, by which the memory stays as it is. Only where Ray itself does not give an object any more
whose owner died does the keeper put it once more, from that view, as its own.

Nothing of the library is imported here: the class travels as it is to nodes that may have Ray alone.
"""

from __future__ import annotations

import os
import pickle
import secrets
import socket
import threading
from typing import Any

__all__ = ["Keeper", "machine"]

_ROOM = 0.8
"""Of a node's object store that is kept, where nobody says how much: the rest is for what tasks give each other."""


def machine() -> str:
    """The network that this process is in, as its loopback shows it: this start of this machine or container."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        return f"{boot}.{os.stat('/proc/self/ns/net').st_ino}"
    except OSError:  # not Linux
        return "".join(letter if letter.isalnum() else "-" for letter in socket.gethostname())


class _Piece:
    """One object and its size, and, of one that another process put, the view that keeps its memory."""

    __slots__ = ("lock", "mine", "ref", "size", "view")

    def __init__(self, ref: Any, size: int, view: Any = None) -> None:
        self.ref = ref
        self.size = size
        self.view = view
        self.mine = view is None
        self.lock = threading.Lock()


class Keeper:
    """Holds the pieces of one store on one node; that of the head is named, and begins those of the other nodes, which
    end with it. Its methods run in threads. References come and go in lists: alone, Ray would put their values in
    their place."""

    def __init__(self, limit: int | None, token: str | None = None) -> None:
        """
        Args:
            limit: bytes that may be kept on a node, None for a part of its object store.
            token: what it is known by; None for the named one, which takes one by chance.
        """
        import ray

        self._ray: Any = ray
        self._token = token or secrets.token_hex(8)
        self._node: str = ray.get_runtime_context().get_node_id()
        self._asked = limit
        self._limit = self._room_of_node() if limit is None else limit
        self._used = 0
        self._lock = threading.Lock()
        self._pieces: dict[str, _Piece] = {}
        self._others: dict[str, tuple[str, Any]] = {}

    def _room_of_node(self) -> int:
        for node in self._ray.nodes():
            if node["NodeID"] == self._node:
                return int(node["Resources"].get("object_store_memory", 0) * _ROOM)
        return 0

    def identity(self) -> tuple[str, str, str]:
        """Token, node and machine."""
        return self._token, self._node, machine()

    # --- the keepers of other nodes -----------------------------------------------------------------------------------

    def place(self, node: str, lost: str | None) -> tuple[str, Any]:
        """Token and handle of a node's keeper, begun if need be; another one if that is the one of token ``lost``."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        with self._lock:
            found = self._others.get(node)
            if found is None or found[0] == lost:
                token = secrets.token_hex(8)
                there = NodeAffinitySchedulingStrategy(node, soft=False)
                actor = self._ray.remote(num_cpus=0, max_concurrency=16)(Keeper)
                found = token, actor.options(scheduling_strategy=there).remote(self._asked, token)
                self._others[node] = found
            return found

    def reach(self, token: str) -> Any:
        """The keeper of that token; None for none."""
        with self._lock:
            return next((handle for known, handle in self._others.values() if known == token), None)

    # --- pieces -------------------------------------------------------------------------------------------------------

    def room(self) -> int:
        """Bytes that may still be kept here."""
        return self._limit - self._used

    def take(self, name: str, buffers: list[Any], size: int) -> int:
        """Put a small piece; the room left, or -1: there is none for it."""
        if not self._reserve(size):
            return -1
        try:
            self._pieces[name] = _Piece(self._put(buffers), size)
        except BaseException:
            self._release(size)
            raise
        return self.room()

    def keep(self, name: str, refs: list[Any], size: int) -> int:
        """Keep a piece that lies on this node; the room left, or -1: there is none for it."""
        if not self._reserve(size):
            return -1
        try:
            self._pieces[name] = _Piece(refs[0], size, self._ray.get(refs[0], timeout=20))
        except BaseException:
            self._release(size)
            raise
        return self.room()

    def find(self, name: str) -> list[Any] | None:
        """The reference of a piece; None when it is gone."""
        piece = self._pieces.get(name)
        return None if piece is None else [piece.ref]

    def own(self, name: str) -> list[Any] | None:
        """:meth:`find`, of an object that is this process' own: its owner's end does not matter any more."""
        piece = self._pieces.get(name)
        if piece is None:
            return None
        with piece.lock:
            if not piece.mine:
                piece.ref = self._put(piece.view)
                piece.view = self._ray.get(piece.ref, timeout=20)
                piece.mine = True
            return [piece.ref]

    def holds(self, names: list[str]) -> list[bool]:
        """For each piece, whether it is here."""
        return [name in self._pieces for name in names]

    def drop(self, names: list[str]) -> None:
        """Forget pieces."""
        for name in names:
            piece = self._pieces.pop(name, None)
            if piece is not None:
                self._release(piece.size)

    def _put(self, buffers: list[Any]) -> Any:
        return self._ray.put([pickle.PickleBuffer(buffer) for buffer in buffers])

    def _reserve(self, size: int) -> bool:
        with self._lock:
            if size > self._limit - self._used:
                return False
            self._used += size
            return True

    def _release(self, size: int) -> None:
        with self._lock:
            self._used -= size
