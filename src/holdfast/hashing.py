"""Digests: SHA-256 up to 4 KB, where it is the quicker one, BLAKE3 above; the algorithm is part of the digest."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Protocol, TypeVar

from blake3 import blake3

from .errors import IntegrityError
from .payload import Buffer

__all__ = [
    "ALGORITHMS",
    "BLAKE3",
    "HASH_THREADS",
    "NONE",
    "SHA256",
    "Hasher",
    "check_digest",
    "checked",
    "digest_beside",
    "digest_buffers",
    "hasher",
]

B = TypeVar("B", bound=Buffer)

NONE, SHA256, BLAKE3 = 0, 1, 2
"""Algorithm numbers as the catalog stores them; NONE is for native integers and ephemeral contents."""

ALGORITHMS = {NONE: None, SHA256: "sha256", BLAKE3: "blake3"}
"""Algorithm numbers to the names that records show."""

HASH_THREADS = min(4, os.cpu_count() or 1)
"""Threads for one large digest. They are the digest's own, made and ended with it: a pool would not survive a fork."""

_SMALL = 4096
_LARGE = 16 << 20  # from here on several threads hash faster than one
_THREAD = 1 << 20  # below this a thread costs more than it hides


class Hasher(Protocol):
    """The part of ``hashlib``'s objects that is used here."""

    def update(self, data: Buffer, /) -> object:
        """Add bytes."""

    def digest(self) -> bytes:
        """The digest of all bytes added so far."""


def hasher(algorithm: int) -> Hasher:
    """An empty hasher of a stored algorithm number.

    Raises:
        IntegrityError: the number is not one of ours, so the record cannot be checked.
    """
    if algorithm == BLAKE3:
        return blake3()
    if algorithm == SHA256:
        return sha256()
    raise IntegrityError(f"unknown digest algorithm {algorithm}: the record was written by a newer version or altered")


def digest_buffers(buffers: Sequence[Buffer], size: int) -> tuple[int, bytes]:
    """Algorithm and digest of ``buffers`` one after the other, ``size`` bytes together."""
    if size <= _SMALL:
        if len(buffers) == 1:
            return SHA256, sha256(buffers[0]).digest()
        algorithm = SHA256
    else:
        algorithm = BLAKE3
    state = blake3(max_threads=HASH_THREADS) if size >= _LARGE else hasher(algorithm)
    for buffer in buffers:
        state.update(buffer)
    return algorithm, state.digest()


def digest_beside(buffers: Sequence[Buffer], size: int) -> Callable[[], tuple[int, bytes]]:
    """Begin to hash in a thread beside the caller's own work; the function given back waits for the result."""
    if size < _THREAD:
        ready = digest_buffers(buffers, size)
        return lambda: ready
    result: list[tuple[int, bytes]] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(digest_buffers(buffers, size))
        except BaseException as error:  # handed to the caller below
            failure.append(error)

    thread = threading.Thread(target=run, name="holdfast-digest", daemon=True)
    thread.start()

    def wait() -> tuple[int, bytes]:
        thread.join()
        if failure:
            raise failure[0]
        return result[0]

    return wait


def check_digest(algorithm: int, digest: bytes | None, chunks: Iterable[Buffer], where: str) -> None:
    """Hash ``chunks`` and compare.

    Raises:
        IntegrityError: the bytes are not the ones that were written; ``where`` is named in the message.
    """
    if algorithm != NONE:
        for _ in checked(algorithm, digest, chunks, where):
            pass


def checked(algorithm: int, digest: bytes | None, chunks: Iterable[B], where: str) -> Iterator[B]:
    """The chunks as they pass, hashed and compared at their end.

    Raises:
        IntegrityError: as :func:`check_digest`.
    """
    if algorithm == NONE:
        yield from chunks
        return
    state = hasher(algorithm)
    for chunk in chunks:
        state.update(chunk)
        yield chunk
    if state.digest() != digest:
        raise IntegrityError(f"the stored bytes of {where} do not match their digest: they were truncated or altered")
