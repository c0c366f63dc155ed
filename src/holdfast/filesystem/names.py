"""Addresses as the tools above fsspec spell them."""

from __future__ import annotations

import re

from ..address import Path, format_address, format_path, parse_address
from ..errors import InvalidArgumentError, InvalidScopeError

__all__ = ["PROTOCOL", "name_of", "place_of", "strip"]

PROTOCOL = "holdfast"
"""What stands before ``://``."""

_SCHEME = re.compile(f"{PROTOCOL}:/+")  # one slash is what pathlib makes of two


def strip(address: object) -> str:
    """The one spelling of an address, or of a pattern of addresses: without ``holdfast://`` and outer slashes.

    Text whose first segment has ``%3A`` and no ``:`` names no scope: it was percent-encoded once more, for a tool that
    takes ``namespace:prod`` for a host and a port, and is decoded. What is no address stays as it is, to be refused
    where it is used.
    """
    if not isinstance(address, str):
        raise InvalidScopeError(f"an address is text such as namespace:prod/model, not {address!r}")
    text = _SCHEME.sub("", address, count=1) if _SCHEME.match(address) else address
    text = text.strip("/")
    if "%" not in text:
        return text
    first = text.partition("/")[0]
    if ":" not in first and "%3A" in first.upper():
        from urllib.parse import unquote

        text = unquote(text)
    try:
        return name_of(*place_of(text))
    except InvalidArgumentError:
        return text


def place_of(name: str) -> tuple[Path, str | None]:
    """Scope and key of a stripped address; the root is the scope ``()``, and no key is None."""
    return parse_address(name) if name else ((), None)


def name_of(path: Path, key: str | None = None) -> str:
    """The stripped address of a scope or of a key in it: ``%`` and ``:`` are encoded only where they must be."""
    if key is None:
        return format_path(path)
    plain = f"{format_path(path)}/{key}"
    first = key.partition("/")[0]
    if ":" not in first and ("%" not in first or parse_address(plain) == (path, key)):
        return plain
    return format_address(path, key)
