"""Storages as authors write them: with :class:`~holdfast.storages.asynchronous.AsyncStorage`, and nothing of ours else.

The one in files keeps equal bytes once, under their hash, as the samples that authors start from do.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from tempfile import mkstemp
from typing import Any, ClassVar

import holdfast
from holdfast.errors import InvalidArgumentError
from holdfast.storages.asynchronous import AsyncStorage, Digest, GetStreamDigest


class FileStorage(AsyncStorage):
    """Bytes in files named by their hash; the config is the whole path."""

    name: ClassVar[str] = "authors.file@v1"

    def __init__(self, prefix: str | os.PathLike[str], *, chunk: int = 1024) -> None:
        self.prefix = Path(prefix)
        self.prefix.mkdir(parents=True, exist_ok=True)
        self.chunk = chunk

    async def write_data(self, data: bytes, digest: Digest, tags: dict[str, str]) -> Any:
        path = self.prefix / digest["content_hash"]
        with Draft(self.prefix) as draft:
            draft.write(data)
            await asyncio.sleep(0)
            draft.keep(path)
        return str(path)

    async def write_data_stream(
        self, stream: AsyncIterator[bytes], get_digest: GetStreamDigest, tags: dict[str, str]
    ) -> Any:
        with Draft(self.prefix) as draft:
            async for piece in stream:
                draft.write(piece)
            path = self.prefix / get_digest()["content_hash"]
            draft.keep(path)
        return str(path)

    async def read_data(self, config: Any) -> bytes:
        await asyncio.sleep(0)
        return self.path(config).read_bytes()

    async def read_data_stream(self, config: Any) -> AsyncGenerator[bytes]:
        with self.path(config).open("rb") as file:
            while piece := file.read(self.chunk):
                yield piece

    async def delete_data(self, config: Any) -> None:
        self.path(config).unlink()

    @staticmethod
    def path(config: Any) -> Path:
        """The path of a config, which may be below a prefix of other days."""
        name = isinstance(config, str) and re.fullmatch(r"/(?:[^/\0\n]+/)*[0-9a-f]{64}", config)
        if not name or "/../" in config or "/./" in config:
            raise InvalidArgumentError(f"no {FileStorage.name} gave the config {config!r}")
        return Path(config)


class Draft:
    """A new file beside its place, which takes its name when it is whole, or is gone at the end of the block."""

    def __init__(self, folder: Path) -> None:
        self.number, self.name = mkstemp(dir=folder, prefix="draft-")

    def __enter__(self) -> Draft:
        return self

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.number, view) :]

    def keep(self, path: Path) -> None:
        os.replace(self.name, path)

    def __exit__(self, *how: object) -> None:
        os.close(self.number)
        if os.path.exists(self.name):
            os.unlink(self.name)


class SparingFileStorage(FileStorage):
    """The same, but bytes that are there are not written again."""

    name: ClassVar[str] = "authors.sparing@v1"

    async def write_data(self, data: bytes, digest: Digest, tags: dict[str, str]) -> Any:
        path = self.prefix / digest["content_hash"]
        return str(path) if path.exists() else await super().write_data(data, digest, tags)


class TornFileStorage(FileStorage):
    """A storage that says it is done when half of the bytes are there."""

    name: ClassVar[str] = "authors.torn@v1"

    async def write_data(self, data: bytes, digest: Digest, tags: dict[str, str]) -> Any:
        return await super().write_data(data[: len(data) // 2], digest, tags)

    async def write_data_stream(
        self, stream: AsyncIterator[bytes], get_digest: GetStreamDigest, tags: dict[str, str]
    ) -> Any:
        path = await super().write_data_stream(stream, get_digest, tags)
        os.truncate(path, os.path.getsize(path) // 2)
        return path


class MemoryStorage(AsyncStorage):
    """Bytes in a dict; the config is a list, and another one each time."""

    name: ClassVar[str] = "authors.memory@v1"
    ephemeral: ClassVar[bool] = True

    def __init__(self) -> None:
        self.pieces: dict[tuple[int, int], bytes] = {}
        self.made = 0

    def _keep(self, data: bytes) -> list[int]:
        self.made += 1
        self.pieces[os.getpid(), self.made] = data
        return [os.getpid(), self.made]

    async def write_data(self, data: bytes, digest: Digest, tags: dict[str, str]) -> Any:
        await asyncio.sleep(0)
        return self._keep(data)

    async def write_data_stream(
        self, stream: AsyncIterator[bytes], get_digest: GetStreamDigest, tags: dict[str, str]
    ) -> Any:
        return self._keep(b"".join([piece async for piece in stream]))

    def _found(self, config: Any) -> bytes:
        if not isinstance(config, list) or [type(part) for part in config] != [int, int]:
            raise InvalidArgumentError(f"no {self.name} gave the config {config!r}")
        try:
            return self.pieces[config[0], config[1]]
        except KeyError:
            raise FileNotFoundError(f"no piece {config}") from None

    async def read_data(self, config: Any) -> bytes:
        await asyncio.sleep(0)
        return self._found(config)

    async def read_data_stream(self, config: Any) -> AsyncGenerator[bytes]:
        data = self._found(config)
        for start in range(0, len(data), 100_000):
            await asyncio.sleep(0)
            yield data[start : start + 100_000]

    async def delete_data(self, config: Any) -> None:
        if self._found(config) is not None:
            del self.pieces[config[0], config[1]]


def open_on(folder: str | os.PathLike[str], author: AsyncStorage, **settings: Any) -> holdfast.Store:
    """A store whose large values go to an author's storage."""
    return holdfast.open(folder, storage=author, **settings)
