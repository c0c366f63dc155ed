"""Signatures of records whose bytes can run code when they are read.

A signature is the key's id (8 bytes) and an HMAC-SHA-256 over the store's id, that key id, the serializer's name, its
config (with the in-band digest and the place of every part) and the digest of all bytes. It lies in the record, so
whoever can write only a storage cannot make one; rename and copy keep it valid.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

from .errors import InvalidArgumentError, SignatureError

__all__ = ["Signer"]


class Signer:
    """Signs and checks for one store with one key; without one (None), as of a service's client, it says what to do."""

    __slots__ = ("_key", "_prefix", "key_id")

    def __init__(self, store_id: str, key: bytes | None) -> None:
        self._key = key
        self.key_id = sha256(b"holdfast key id\0" + (key or b"")).digest()[:8]
        self._prefix = b"holdfast signature 1\0" + bytes.fromhex(store_id) + self.key_id

    @staticmethod
    def parse_key(text: str, source: str = "HOLDFAST_KEY") -> bytes:
        """Read a key as ``HOLDFAST_KEY`` gives it, or another ``source``.

        Raises:
            InvalidArgumentError: not 64 hex digits.
        """
        try:
            key = bytes.fromhex(text.strip())
        except ValueError:
            key = b""
        if len(key) != 32:
            raise InvalidArgumentError(f"{source} must be 64 hex digits (32 bytes)")
        return key

    @property
    def able(self) -> bool:
        """Whether there is a key."""
        return self._key is not None

    @property
    def key(self) -> bytes:
        """The key itself.

        Raises:
            SignatureError: there is none.
        """
        if self._key is None:
            raise SignatureError(
                "what can run code when it is loaded, as pickles can, is signed, and the store's own key stays with "
                "the service: set HOLDFAST_KEY (64 hex digits) to one that all have who put and get such values"
            )
        return self._key

    def check(self) -> None:
        """Raise a SignatureError when there is no key."""
        _ = self.key

    def sign(self, serializer: str, config: str | None, algorithm: int, digest: bytes) -> bytes:
        """The signature of a content.

        Raises:
            SignatureError: there is no key.
        """
        parts = (serializer.encode(), (config or "").encode(), bytes([algorithm]) + digest)
        message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return self.key_id + hmac.digest(self.key, self._prefix + message, "sha256")

    def holds(self, signature: bytes, serializer: str, config: str | None, algorithm: int, digest: bytes) -> bool:
        """Whether this store's key made the signature for exactly this content."""
        return hmac.compare_digest(signature, self.sign(serializer, config, algorithm, digest))
