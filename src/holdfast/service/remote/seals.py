"""HMAC seals over storage places and blob ids, so that clients can send back only what they were given.

A token may be limited to scopes, and places in storages and ids of blobs are of the whole store. So they leave the
service under an HMAC, whose key is made of the store's own and never leaves it. A seal is for one store, one storage
and one place. Bytes that were uploaded are sealed with their size and digests, so that only these can be
committed.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any, NamedTuple

from ...catalog.wire import SEALED_ID
from ...errors import AccessError, InvalidArgumentError
from ...hashing import BLAKE3, SHA256

__all__ = ["Fresh", "Seals"]

_MAC = (SEALED_ID - 8) // 2  # bytes of each: 12, as nobody can try 2**96


class Fresh(NamedTuple):
    """Bytes that were uploaded and that no record names yet.

    Attributes:
        place: where they are, as the catalog keeps it.
        size: how many there are.
        blake3, sha256: their digests in hexadecimal; the second one only where it may be a record's, else "".
        synced: whether they were put on disk.
        author: the service process that took them.
        tags, content_type, encoding: what their storage was told of them: the tags as JSON, no encoding as "".
    """

    place: str
    size: int
    blake3: str
    sha256: str
    synced: bool
    author: str
    tags: str
    content_type: str
    encoding: str

    def is_of(self, algorithm: int, digest: bytes | None, size: int) -> bool:
        """Whether a record may say this of the bytes."""
        own = {BLAKE3: self.blake3, SHA256: self.sha256}.get(algorithm)
        return bool(own) and digest is not None and digest.hex() == own and size == self.size


class Seals:
    """Makes and checks the seals of one store."""

    def __init__(self, store_id: str, key: bytes) -> None:
        self._key = hmac.digest(key, b"holdfast seals 1\0" + bytes.fromhex(store_id), sha256)

    def _mac(self, what: Any) -> bytes:
        return hmac.digest(self._key, json.dumps(what, separators=(",", ":")).encode(), sha256)[:_MAC]

    def _text(self, what: Any) -> str:
        return urlsafe_b64encode(self._mac(what)).decode()

    # --- places -----------------------------------------------------------------------------------------------------

    def place(self, storage: int, place: str) -> str:
        """A place in a storage as a client gets it, which it may read: JSON, as all places are."""
        return json.dumps([self._text(["place", storage, place]), place], separators=(",", ":"))

    def fresh(self, storage: int, fresh: Fresh) -> list[Any]:
        """The place of bytes that were just taken, which may be committed."""
        return [self._text(["fresh", storage, *fresh]), *fresh]

    def open(self, storage: int, config: Any) -> Fresh | str:
        """The place that a config which came back means.

        Raises:
            InvalidArgumentError: this service gave no such config for this storage.
        """
        if isinstance(config, list) and config and all(type(part) in (str, int, bool) for part in config):
            seal, *rest = config
            what = {1: "place", len(Fresh._fields): "fresh"}.get(len(rest))
            known = what is not None and isinstance(seal, str) and seal.isascii()
            if known and hmac.compare_digest(seal, self._text([what, storage, *rest])):
                return Fresh(*rest) if what == "fresh" else rest[0]
        raise InvalidArgumentError(f"the service gave no place {config!r:.100} in storage {storage}")

    # --- ids of blobs -----------------------------------------------------------------------------------------------

    def blob(self, id: int, algorithm: int, digest: bytes | None, size: int) -> bytes:
        """A blob's id as a client gets it whose token does not open all, with what a record says of its bytes."""
        content = ["content", id, algorithm, digest and digest.hex(), size]
        return self._mac(["blob", id]) + self._mac(content) + id.to_bytes(8)

    def open_blob(self, sealed: Any, *content: Any) -> int:
        """The id again; with the algorithm, digest and size that go with it, if it is to stand for those.

        Raises:
            AccessError: this service gave no such id, or not for that content.
        """
        if isinstance(sealed, bytes) and len(sealed) == SEALED_ID:
            id = int.from_bytes(sealed[2 * _MAC :])
            if hmac.compare_digest(sealed[:_MAC], self._mac(["blob", id])) and (
                not content or hmac.compare_digest(sealed, self.blob(id, *content))
            ):
                return id
        raise AccessError("the service gave no such blob with these bytes: copy a record that this token may read")
