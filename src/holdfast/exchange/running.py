"""What export, import and sync have in common: one run, what it counts, and what it comes to."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ..address import Path, format_address
from ..errors import DecodeError, NotFoundError, NotRegisteredError
from ..upkeep.verifier import Problem

__all__ = ["Moved", "Run"]

_TOLD = 1000  # problems and addresses that are told one by one


class Moved(NamedTuple):
    """What an export, an import or a synchronization came to.

    Attributes:
        scopes: scopes looked at.
        records: records written.
        past: replaced and deleted versions written.
        size: bytes of all of these, shared ones counted each time.
        there: records that were there already, as they are in the source.
        removed: records and scopes that were removed, as the source has them no more.
        left: records that were left as they are, since they are newer than the source's.
        newer: the addresses of these, the first 1,000.
        unsigned: records written unsigned, as the key to check their signatures by was not given.
        refused: records that were left out, as their bytes are lost or damaged or their signatures do not hold.
        problems: what is wrong with these, the first 1,000.
        seconds: how long it took.
    """

    scopes: int
    records: int
    past: int
    size: int
    there: int
    removed: int
    left: int
    newer: list[str]
    unsigned: int
    refused: int
    problems: list[Problem]
    seconds: float


class Run:
    """One run, and how far it is; ``progress`` is told the bytes of each piece."""

    def __init__(self, progress: Callable[[int], object] | None) -> None:
        self.tell = progress or (lambda size: None)
        self.count: Counter[str] = Counter()
        self._newer: list[str] = []
        self._problems: list[Problem] = []
        self._began = time.monotonic()

    @contextmanager
    def failing(self, path: Path, key: str, version: int) -> Iterator[None]:
        """What is wrong with one record is noted, and the others go on."""
        try:
            yield
        except (DecodeError, NotFoundError, NotRegisteredError) as error:
            self.count["refused"] += 1
            if len(self._problems) < _TOLD:
                self._problems.append(Problem(format_address(path, key), version, error.code, error.message))

    def leave(self, path: Path, key: str) -> None:
        """Note that a record is newer."""
        self.count["left"] += 1
        if len(self._newer) < _TOLD:
            self._newer.append(format_address(path, key))

    def moved(self) -> Moved:
        """What it came to."""
        told = {"newer": self._newer, "problems": self._problems, "seconds": time.monotonic() - self._began}
        return Moved(**{name: told.get(name, self.count[name]) for name in Moved._fields})  # type: ignore[arg-type]
