"""A stream into a new object."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from ...errors import ClosedError, StoreError
from ...payload import Buffer
from ..base import GetDigest, Writer
from .medium import Medium, Upload
from .writers import LiveWriter

__all__ = ["RemoteWriter", "discard"]

_SMALL = 1 << 18  # pieces below this are gathered: each one costs a call


def discard(medium: Medium, name: str) -> None:
    """Remove what a failed write may have left. Errors are not told: another one is on its way, and what stays is
    found after the writer's end."""
    with suppress(StoreError):
        medium.hasty().delete(name)


class RemoteWriter(Writer):
    """A stream into a new object.

    Args:
        mine: tells whether this process is the one that began it: the stream does not go on in a forked child.
        name: of the object, if the writer is not to give it one.
    """

    def __init__(
        self, medium: Medium, writer: LiveWriter, size: int | None, mine: Callable[[], bool], name: str | None = None
    ) -> None:
        self._medium = medium
        self._writer = writer
        self._mine = mine
        self._name = writer.next_name() if name is None else name
        self._upload: Upload | None = medium.upload(self._name, size)
        self._waiting = bytearray()

    def _current(self) -> Upload:
        if self._upload is None:
            raise ClosedError("this writer was committed or aborted before: begin another")
        if not self._mine():
            raise ClosedError(f"the writer of {self._name} does not go on in a forked process: begin another")
        return self._upload

    def write(self, data: Buffer) -> None:
        """Append bytes."""
        upload = self._current()
        try:
            if len(data) < _SMALL:
                self._waiting += data
                if len(self._waiting) < _SMALL:
                    return
                data = b""
            if self._waiting:
                upload.write(bytes(self._waiting))
                self._waiting = bytearray()
            if data:
                upload.write(bytes(data))  # a copy, unless it is bytes: the caller may change the rest later
        except BaseException:
            self.abort()
            raise

    def commit(self, get_digest: GetDigest, *, sync: bool = False) -> str:
        """Finish, and give the config; ``sync`` changes nothing, as what is there is kept."""
        upload = self._current()
        try:
            if self._waiting:
                upload.write(bytes(self._waiting))
            upload.finish()
            if self._writer.lost:
                raise StoreError(
                    f"{self._medium.shown} could not be reached for so long that others may take this writer for dead "
                    "and its bytes for garbage: nothing of this stream was kept, write it again"
                )
        except BaseException:
            self.abort()
            discard(self._medium, self._name)
            raise
        self._upload = None
        return self._name

    def abort(self) -> None:
        """Discard what was written, unless it is committed."""
        upload, self._upload = self._upload, None
        self._waiting = bytearray()
        if upload is not None and self._mine():
            upload.abort()
