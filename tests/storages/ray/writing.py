"""Pieces of bytes in and out of a storage."""

from __future__ import annotations

from holdfast.payload import Payload


def no_digest():
    return 0, b""


def put(storage, *buffers):
    return storage.write(Payload(buffers, "application/octet-stream"), no_digest, {})


def get(storage, config):
    return bytes(storage.read(config))
