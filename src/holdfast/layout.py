"""How a payload's buffers lie in one piece of stored bytes, and how they are found again.

A payload of one buffer is stored as it is. One with out-of-band buffers is the in-band buffer, then each other at the
next multiple of 64 bytes, so that arrays over a map of the file are aligned. The record's config then tells::

    {"head": [length, algorithm, digest], "parts": [[offset, length], ...], "config": <the serializer's own>}

``head`` is the in-band part with a digest of its own, so that it can be checked without hashing the arrays behind it.
Where all that is compressed, ``size`` says how many bytes it was, and the places are those in them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from operator import index
from typing import Any, NamedTuple

from .compression import UNPACKED, check_compression, shrink
from .errors import IntegrityError
from .hashing import check_digest, digest_buffers
from .payload import Buffer, Payload
from .storages.buffers import Chain

__all__ = ["Layout", "lay_out", "pack", "packed_size", "read_config", "size_config", "take_apart"]

_ALIGNMENT = 64
_PADDING = bytes(_ALIGNMENT)


class Layout(NamedTuple):
    """A payload as it is stored: the buffers to write, their size together, the record's config, and the encoding."""

    buffers: Sequence[Buffer]
    size: int
    config: str | None
    encoding: str | None = None


def lay_out(payload: Payload) -> Layout:
    """Place a payload's buffers."""
    head = payload.buffers[0]
    if len(payload.buffers) == 1:
        text = None if payload.config is None else _dumps({"config": payload.config})
        return Layout(payload.buffers, len(head), text)
    others = payload.buffers[1:]
    buffers, size, parts = [head], len(head), []
    for buffer in others:
        gap = -size % _ALIGNMENT
        if gap:
            buffers.append(_PADDING[:gap])
            size += gap
        parts.append([size, len(buffer)])
        buffers.append(buffer)
        size += len(buffer)
    algorithm, digest = digest_buffers([head], len(head))
    config = {"head": [len(head), algorithm, digest.hex()], "parts": parts, "config": payload.config}
    return Layout(buffers, size, _dumps(config))


def pack(layout: Layout, compression: str | None) -> Layout:
    """The same in an encoding that makes it fewer bytes; as it is where none is asked for, or saves enough.

    Raises:
        InvalidArgumentError: there is no such encoding.
        MissingExtraError: the encoding's library is not installed.
    """
    buffers, size, config, _ = layout
    if check_compression(compression) in (None, UNPACKED) or (found := shrink(str(compression), buffers, size)) is None:
        return layout
    return Layout(*found, size_config(size, config), compression)


def size_config(size: int, config: str | None = None) -> str:
    """The config of a compressed content that was ``size`` bytes, from what it is without."""
    return _dumps({**json.loads(config or "{}"), "size": size})


def packed_size(config: dict[str, Any], where: str) -> int | None:
    """How many bytes a compressed content was; None for one that is not.

    Raises:
        IntegrityError: the record cannot say so.
    """
    size = config.get("size")
    if size is None or (type(size) is int and size >= 0):
        return size
    raise IntegrityError(f"the record of {where} says that it was {size!r} bytes before compression")


def _dumps(config: dict[str, Any]) -> str:
    return json.dumps(config, separators=(",", ":"))


def read_config(text: str | None, where: str) -> dict[str, Any]:
    """The record's config as a dict.

    Raises:
        IntegrityError: it is not one of ours.
    """
    if text is None:
        return {}
    try:
        config = json.loads(text)
    except (RecursionError, ValueError):
        config = None
    if not isinstance(config, dict):
        raise IntegrityError(f"the record of {where} has a config that Holdfast cannot have written")
    return config


def take_apart(stored: memoryview | Sequence[Buffer], config: dict[str, Any], where: str) -> list[Buffer]:
    """The buffers of a payload with parts as views of its stored bytes, which may be several buffers in their order;
    the in-band part is copied and checked first.

    Raises:
        IntegrityError: the in-band part was altered, or the parts do not lie inside the bytes.
    """
    pieces = Chain([stored] if isinstance(stored, memoryview) else stored)
    whole = pieces.size
    try:
        length, algorithm, digest = config["head"]
        parts = [(index(offset), offset + index(size)) for offset, size in config["parts"]]
        inside = 0 <= index(length) <= whole and all(0 <= begin <= end <= whole for begin, end in parts)
        expected = bytes.fromhex(digest)
    except (KeyError, TypeError, ValueError):
        inside = False
    if not inside:
        raise IntegrityError(f"the record of {where} names parts that its {whole} bytes do not have")
    head = bytes(pieces[0:length])  # a copy: what is checked is what is decoded, whoever writes to the file meanwhile
    check_digest(algorithm, expected, [head], where)
    return [head, *(pieces[begin:end] for begin, end in parts)]
