"""Fingerprints of functions: of their code and of all that it uses."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple

from .identify import is_natural
from .origin import Origins
from .pieces import Pieces
from .walk import Walk

__all__ = ["Codes", "Fingerprint"]


_WALKS = 3


class Fingerprint(NamedTuple):
    """What a function is as code: equal in every process and Python version while the code and what it uses are.

    Attributes:
        digest: 16 bytes, over ``parts``.
        parts: what it rests on: functions, classes and values by their names, with 32 hex digits; ``x (name)``, with
            the name of what x stands for; packages, with their versions.
        current: whether all of that is as it was. Quick: it compares by identity, and reads only values that can
            change.
    """

    digest: bytes
    parts: dict[str, str]
    current: Callable[[], bool] = lambda: True


class Codes:
    """Makes fingerprints, and remembers what it has read. Thread-safe; one for a process is enough."""

    def __init__(self) -> None:
        self._origins = Origins()
        self._pieces = Pieces()
        self._tags: dict[int, tuple[Any, Fingerprint]] = {}

    def tag(self, value: Any) -> bytes:
        """16 bytes for a function, class, method, module or the like: the digest of its fingerprint.

        Raises:
            UnhashableError: it uses a value that has no hash.
        """
        known = self._tags.get(id(value))
        if known is not None and known[1].current():
            return known[1].digest
        made = self.fingerprint(value)
        if is_natural(value, getattr(value, "__module__", None), getattr(value, "__qualname__", "")):
            # Others may be made by the thousand, and hold what they close over.
            self._tags[id(value)] = value, made
        return made.digest

    def fingerprint(self, function: Any) -> Fingerprint:
        """What a function, or anything that can be called, is as code.

        Raises:
            UnhashableError: a value that it uses has no hash that is the same in every process; the message names it.
        """
        for _ in range(_WALKS):
            walk = Walk(function, self._pieces, self._origins)
            current = walk.watches.check(walk.encode_again())
            if current():  # else what it imported on the way changed what it had met before
                break
        parts = dict(sorted(walk.parts.items()))
        said = "\0".join(f"{len(name)} {name}\0{text}" for name, text in parts.items())
        digest = sha256(said.encode("utf-8", "surrogatepass")).digest()[:16]
        return Fingerprint(digest, parts, current)
