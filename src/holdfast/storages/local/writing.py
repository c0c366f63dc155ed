"""A value that is being written: published whole, or gone."""

from __future__ import annotations

import time
from contextlib import suppress

from ...errors import ClosedError
from ...payload import Buffer
from ..base import GetDigest, Writer
from .copying import STARTS
from .eviction import LASTING
from .place import FULL, explained
from .room import Room
from .writers import Mark

__all__ = ["SegmentWriter", "Writing"]

_AHEAD = 16 << 20  # a stream's segment grows by at most so much beyond what has come
_TRIES = 3


class Writing:
    """A segment on its way to be a value of a live writer.

    Attributes:
        segment: the segment.
    """

    def __init__(
        self, session: str, room: Room, mark: Mark, size: int, start: int | None = None, lasting: bool = False
    ) -> None:
        """Have a segment for ``size`` bytes, which begin at ``start`` if that is not None and there is room; what is
        ``lasting`` goes for no other value, nor others for it. OSError as it comes.

        Raises:
            StorageFullError: there is no room for them.
        """
        self._number = next(mark.numbers)
        self._session = session
        self._mark = mark
        self._room = room
        if start is None or size + STARTS > room.limit:
            start, whole = 0, size
        else:
            whole = size + STARTS  # wherever it begins, so that the segment serves when the same is put again
        self._lasting = lasting
        self.segment = room.segment(whole, f"{mark.folder}/new-{self._number}", lasting)
        self.segment.used = self._start = start

    @property
    def folder(self) -> str:
        """Where its writer's values are."""
        return self._mark.folder

    @property
    def held(self) -> bool:
        """Whether it may go on: its writer lives, in this process."""
        return self._mark.lock.fd >= 0 and self.segment.lock.fd >= 0

    def append(self, data: Buffer) -> None:
        """Write after the last bytes, growing if need be. OSError as it comes.

        Raises:
            StorageFullError: there is no room.
        """
        segment = self.segment
        end = segment.used + len(data)
        for tries in range(_TRIES):
            try:
                if end > segment.capacity:
                    self._room.grow(segment, max(end, min(end + min(end, _AHEAD), self._room.limit)))
                segment.append(memoryview(data)[len(data) - (end - segment.used) :])
                return
            except OSError as error:
                if error.errno not in FULL or tries == _TRIES - 1:
                    raise
                self._room.make_way(end - segment.used)

    def complete(self) -> None:
        """Have exactly the memory that is needed. OSError as it comes."""
        self._room.trim(self.segment)
        self.segment.complete()

    def finish(self) -> str:
        """Give it to the readers, and its config. OSError as it comes, and nothing is kept."""
        name = f"{self._number}-{self.segment.used - self._start}"
        if self._start:
            name += f"-{self._start}"
        if self._lasting:
            name += LASTING
        try:
            self.segment.publish(f"{self._mark.folder}/{name}", time.time_ns())
        except BaseException:
            self.discard()
            raise
        return f"{self._session}/{self._mark.writer}/{name}"

    def discard(self) -> None:
        """Keep nothing of it; in a forked child it is the parent's."""
        with suppress(OSError):  # another error is on its way, and what stays is removed when room is needed
            self._room.discard(self.segment)


class SegmentWriter(Writer):
    """A stream into a segment that grows."""

    def __init__(self, writing: Writing) -> None:
        self._writing: Writing | None = writing

    def _current(self) -> Writing:
        if self._writing is None:
            raise ClosedError("this writer was committed or aborted before: begin another")
        if not self._writing.held:
            raise ClosedError(
                "a writer does not go on in a forked process, or after its memory was closed: begin another"
            )
        return self._writing

    def write(self, data: Buffer) -> None:
        """Append bytes."""
        writing = self._current()
        try:
            with explained(writing.folder):
                writing.append(data)
        except BaseException:
            self.abort()
            raise

    def commit(self, get_digest: GetDigest, *, sync: bool = False) -> str:
        """Finish, and give the config; ``sync`` changes nothing."""
        writing = self._current()
        try:
            with explained(writing.folder):
                writing.complete()
                config = writing.finish()
        except BaseException:
            self.abort()
            raise
        self._writing = None
        return config

    def abort(self) -> None:
        """Discard what was written, unless it is committed."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.discard()

    def __del__(self) -> None:
        if getattr(self, "_writing", None) is not None:
            self.abort()
