"""Names of things: keys, scope paths and addresses, and their text form.

A *scope path* is a tuple of ``(kind, name)`` pairs, the root first. As text it is ``kind:name/kind:name`` with
``%``, ``/`` and ``:`` percent-encoded inside kinds and names. An *address* is a scope path, ``/``, and a key, in
whose first segment ``%`` and ``:`` are percent-encoded, so that the key is not read as one more scope.
"""

from __future__ import annotations

import re

from .errors import InvalidKeyError, InvalidScopeError

__all__ = [
    "MAX_NAME",
    "Path",
    "check_key",
    "check_name",
    "format_address",
    "format_path",
    "parse_address",
    "parse_path",
    "prefix_end",
]

Path = tuple[tuple[str, str], ...]
"""``(("namespace", "prod"), ("workflow", "forecast"))``; ``()`` is the root, which holds scopes and no records."""

MAX_NAME = 512
"""Longest key, scope kind or scope name, in characters."""

_ILLEGAL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ESCAPE = re.compile("%(?:25|2F|3A)", re.IGNORECASE)
_ENCODE = {"%": "%25", "/": "%2F", ":": "%3A"}
_DECODE = {code: char for char, code in _ENCODE.items()}


def check_key(key: str) -> str:
    """Give ``key`` back when it is legal: 1 to 512 characters, no control characters, no surrogates.

    Raises:
        InvalidKeyError: with what is wrong about it.
    """
    # The one-line test is the hot path: nearly every key is printable ASCII.
    if key.__class__ is str and 0 < len(key) <= MAX_NAME and key.isascii() and key.isprintable():
        return key
    problem = _problem(key)
    if problem:
        raise InvalidKeyError(f"illegal key {_show(key)}: {problem}")
    return key


def check_name(kind: str, name: str) -> tuple[str, str]:
    """Give ``(kind, name)`` back when both are legal parts of a scope path.

    Raises:
        InvalidScopeError: with what is wrong about it.
    """
    for what, text in (("kind", kind), ("name", name)):
        problem = _problem(text)
        if problem:
            raise InvalidScopeError(f"illegal scope {what} {_show(text)}: {problem}")
    return (kind, name)


def _problem(text: object) -> str | None:
    if not isinstance(text, str):
        return f"it must be a str, not {type(text).__name__}"
    if not text:
        return "it is empty"
    if len(text) > MAX_NAME:
        return f"it has {len(text)} characters, the limit is {MAX_NAME}"
    found = _ILLEGAL.search(text)
    if found:
        return f"it has the control character or surrogate U+{ord(found.group()):04X} at position {found.start()}"
    return None


def _require_text(text: object) -> None:
    if not isinstance(text, str):
        raise InvalidScopeError(f"a scope or an address is a str, not {type(text).__name__}")


def _show(text: object) -> str:
    shown = ascii(text)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _encode(text: str, chars: str = "%/:") -> str:
    for char in chars:  # "%" first, or it would encode the others' escapes
        text = text.replace(char, _ENCODE[char])
    return text


def _decode(text: str) -> str:
    return _ESCAPE.sub(lambda match: _DECODE[match.group().upper()], text)


def format_path(path: Path) -> str:
    """Text of a scope path; the root is the empty text."""
    return "/".join(f"{_encode(kind)}:{_encode(name)}" for kind, name in path)


def format_address(path: Path, key: str) -> str:
    """Text of a key in a scope."""
    first, slash, rest = key.partition("/")
    return f"{format_path(path)}/{_encode(first, '%:')}{slash}{rest}" if path else _encode(first, "%:") + slash + rest


def parse_path(text: str) -> Path:
    """Read a scope path; the inverse of :func:`format_path`.

    Raises:
        InvalidScopeError: a segment without ``:``, or an illegal kind or name.
    """
    _require_text(text)
    if not text:
        return ()
    pairs = []
    for segment in text.split("/"):
        kind, colon, name = segment.partition(":")
        if not colon or ":" in name:
            raise InvalidScopeError(f"{_show(text)} is no scope: each segment is kind:name, with % / : percent-encoded")
        if not name:
            raise InvalidScopeError(f"{_show(segment)} has no name; a / in one is %2F, as in workflow:%2Fa.yaml")
        pairs.append(check_name(_decode(kind), _decode(name)))
    return tuple(pairs)


def parse_address(text: str) -> tuple[Path, str | None]:
    """Read an address into its scope path and key; the key is None when the text names a scope only.

    Raises:
        InvalidScopeError: no scope, or an illegal one, at the front.
        InvalidKeyError: an illegal key.
    """
    _require_text(text)
    segments = text.split("/")
    depth = 0
    while depth < len(segments) and ":" in segments[depth]:
        depth += 1
    if depth == 0:
        raise InvalidScopeError(
            f"{_show(text)} names no scope: an address is kind:name/key, as in namespace:prod/model"
        )
    path = parse_path("/".join(segments[:depth]))
    if depth == len(segments) or segments[depth:] == [""]:
        return path, None
    return path, check_key("/".join([_decode(segments[depth]), *segments[depth + 1 :]]))


def prefix_end(prefix: str) -> str | None:
    """The first text, by bytes of its UTF-8, after all that begin with ``prefix``; None when there is none."""
    while prefix:
        last = ord(prefix[-1])
        if last < 0x10FFFF:
            return prefix[:-1] + chr(0xE000 if last == 0xD7FF else last + 1)  # surrogates are no text
        prefix = prefix[:-1]
    return None
