"""gc: what was deleted, overwritten, expired, dropped or orphaned leaves the disk, beside live readers and writers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from ..catalog.base import Blob, NewBlob, Put
from ..errors import MissingExtraError, NotRegisteredError, StoreError
from ..hashing import NONE
from ..keeper import sync_all
from ..kernel import Kernel
from ..lease import Lease, bury
from ..stopping import go_on
from ..storages.base import Storage
from ..storages.ephemeral import EphemeralStorage
from ..writing import place_text

__all__ = ["Collected", "Collecting", "collect"]

_LEASE = "holdfast/gc"
_BATCH = 1000
_TIDY = 8  # batches between two checkpoints: steady writing would never let the log shrink


class Collected(NamedTuple):
    """What a collection removed, or with ``dry_run`` would remove.

    Attributes:
        records: expired records, and records of dropped scopes.
        blobs: pieces of bytes that no record names.
        size: bytes of those.
        orphans: pieces left by writers that died before their commit (not looked for in a dry run).
        seconds: how long it took.
        dry_run: nothing was removed.
    """

    records: int
    blobs: int
    size: int
    orphans: int
    seconds: float
    dry_run: bool


def collect(
    kernel: Kernel, *, dry_run: bool = False, wait: float = 0.0, progress: Callable[[int], object] | None = None
) -> Collected:
    """Collect in small commits. ``progress`` is called with the number of things removed, again and again.

    Raises:
        BusyError: another collector is at work, for longer than ``wait`` seconds.
    """
    began = time.monotonic()
    if dry_run:
        records, blobs, size = kernel.catalog.garbage_size()
        return Collected(records, blobs, size, 0, time.monotonic() - began, True)
    with Lease(kernel, _LEASE, 60.0, wait) as lease:
        run = _Run(kernel, lease, progress)
        sync_all(kernel)  # what was kept until newer bytes are on disk becomes garbage now
        records = run.records()
        orphans = run.orphans()
        blobs, size = run.blobs()  # after the orphans, which may be found to be garbage
        bury(kernel.locks)
        kernel.catalog.barrier()
        return Collected(records, blobs, size, orphans, time.monotonic() - began, False)


class _Run:
    """One collection under its lease."""

    def __init__(self, kernel: Kernel, lease: Lease, progress: Callable[[int], object] | None) -> None:
        self._kernel = kernel
        self._lease = lease
        self._progress = progress
        self._batches = 0

    def _step(self, removed: int) -> None:
        go_on()
        self._lease.renew()
        self._batches += 1
        if self._batches % _TIDY == 0:
            self._kernel.catalog.barrier()
        if self._progress is not None:
            self._progress(removed)

    def records(self) -> int:
        total = 0
        while True:
            removed = self._kernel.catalog.sweep(_BATCH)
            if not removed:
                return total
            total += removed
            self._step(removed)

    def blobs(self) -> tuple[int, int]:
        count = size = 0
        while True:
            batch: list[Blob] = self._kernel.catalog.garbage(_BATCH)
            if not batch:
                return count, size
            by_storage: dict[int, list[Blob]] = {}
            for blob in batch:
                by_storage.setdefault(blob.storage, []).append(blob)
            before, unknown = count, None
            for number, blobs in by_storage.items():
                try:
                    self._delete(number, self._kernel.storage_of(number), blobs)
                except (MissingExtraError, NotRegisteredError) as error:
                    unknown = error  # those of the storages that are known go first
                    continue
                count, size = count + len(blobs), size + sum(blob.size for blob in blobs)
            if unknown is not None and count == before:
                raise unknown
            self._step(count - before)

    def _delete(self, number: int, storage: Storage, blobs: list[Blob]) -> None:
        catalog, ids = self._kernel.catalog, [blob.id for blob in blobs]
        places = [json.loads(blob.config) for blob in blobs]
        if not storage.shares:
            ends = (StoreError,) if isinstance(storage, EphemeralStorage) else ()
            with suppress(*ends):  # with a cluster that cannot be reached from here
                storage.delete_many(places)
            catalog.forget(ids)
            return
        twins = [other for other in catalog.storages() if other != number and catalog.storage(other)[0] == storage.name]
        for place, blob in zip(places, blobs, strict=True):
            self._lease.renew()  # who lost it in his sleep must not delete what was written there since
            if not any(catalog.known(twin, [blob.config]) for twin in twins):  # the same bytes by another URL
                storage.delete(place)
        catalog.vacate(ids)

    def orphans(self) -> int:
        total = 0
        for number in self._kernel.catalog.storages():
            try:
                storage = self._kernel.storage_of(number)
            except (MissingExtraError, NotRegisteredError) as error:
                import logging

                logging.getLogger("holdfast").warning(
                    "leftovers of dead writers in one storage are not looked for: %s", error
                )
                continue
            for left in storage.abandoned():
                for places in left.configs():
                    total += self._remove(number, storage, {place_text(place): place for place in places})
                # A commit that a power cut takes back must not leave a file that nobody looks for any more.
                self._kernel.catalog.barrier()
                left.release()
        return total

    def _remove(self, number: int, storage: Storage, places: dict[str, Any]) -> int:
        """Remove those of a dead writer's pieces that no record came to name."""
        catalog = self._kernel.catalog
        orphans = places.keys() - catalog.known(number, list(places))
        if storage.shares:  # somebody may be about to name them: they are garbage, if nobody does
            for text in places:
                catalog.abandon(Put((), "", 0, NONE, None, 0, blob=NewBlob(number, text, True)))
        else:
            storage.delete_many([places[text] for text in orphans])
        self._step(len(orphans))
        return len(orphans)


class Collecting:
    """The verb that a store has from here."""

    _kernel: Kernel

    def gc(
        self, *, dry_run: bool = False, wait: float = 0.0, progress: Callable[[int], object] | None = None
    ) -> Collected:
        """Remove from disk what no record needs any more; safe beside live readers and writers of any process.

        Args:
            dry_run: only count.
            wait: seconds to wait for another collector.
            progress: called with the number of things removed, again and again.

        Raises:
            BusyError: another collector is at work.
        """
        return collect(self._kernel, dry_run=dry_run, wait=wait, progress=progress)
