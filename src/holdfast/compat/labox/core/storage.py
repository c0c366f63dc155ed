"""The contract of storages: four coroutine methods, as of :class:`~holdfast.storages.asynchronous.AsyncStorage`."""

from __future__ import annotations

from ....storages.asynchronous import AsyncStorage
from ....storages.asynchronous import Digest as Digest
from ....storages.asynchronous import GetStreamDigest as GetStreamDigest
from ....storages.asynchronous import StreamDigest as StreamDigest
from .component import Component

__all__ = ["Storage"]


class Storage(Component, AsyncStorage):
    """A storage: bytes in, a JSON config out, with which the bytes are read again.

    ``write_data(data, digest, tags) -> config``, ``read_data(config) -> bytes``,
    ``write_data_stream(stream, get_digest, tags) -> config`` and ``read_data_stream(config)``, an async generator.
    """
