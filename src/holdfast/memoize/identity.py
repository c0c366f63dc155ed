"""What a call is, whoever asks: the function as code, and how its arguments count."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any

from .binding import Binding
from .canonical import Canonical
from .code import Codes, Fingerprint

__all__ = ["Identity", "canonical", "codes"]

codes = Codes()
"""Reads code; one for a process, as it remembers what it has read."""

canonical = Canonical(codes.tag)
"""Encodes arguments."""


class Identity:
    """A function, or class, as calls of it are told apart.

    Args:
        ignore: names of parameters that do not count.
        key: by the name of a parameter, a function from its argument to what counts of it.
        version: stands for the code and all that it uses, which are then not looked at.

    Attributes:
        binding: how it takes its arguments.

    Raises:
        InvalidArgumentError: ``ignore`` or ``key`` name a parameter that there is not, or there is no signature.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        ignore: Iterable[str],
        key: Mapping[str, Callable[[Any], Any]],
        version: str | None,
    ) -> None:
        self.binding = Binding(function, canonical, ignore, key)
        self._function = function
        self._key = key
        self._version = version
        self._lock = threading.Lock()
        self._known: Fingerprint | None = None

    @property
    def is_read(self) -> bool:
        """Whether the code has been read, so that :meth:`code` is quick unless it changed."""
        return self._known is not None

    def code(self) -> Fingerprint:
        """The code as it is now.

        Raises:
            UnhashableError: it uses a value that has no hash that is the same in every process.
        """
        found = self._known
        if found is None or not found.current():
            with self._lock:
                found = self._known = _version(self._version) or self._read()
        return found

    def _read(self) -> Fingerprint:
        """The fingerprint of the function, and of what says what counts of its arguments."""
        found = codes.fingerprint(self._function)
        keys = {f"key of {name}": codes.fingerprint(key) for name, key in sorted(self._key.items())}
        if not keys:
            return found
        said = b"".join([found.digest, *(key.digest for key in keys.values())])
        parts = dict(found.parts)
        for name, key in keys.items():
            parts |= {f"{name}: {part}": text for part, text in key.parts.items()}
        checks = [found.current, *(key.current for key in keys.values())]
        return Fingerprint(sha256(said).digest()[:16], parts, lambda: all(check() for check in checks))


def _version(text: str | None) -> Fingerprint | None:
    """What stands for the code of a function that says its version itself."""
    if text is None:
        return None
    return Fingerprint(sha256(f"version {text}".encode()).digest()[:16], {"version": text})
