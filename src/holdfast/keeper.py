"""What an open store does by itself: recover after an unclean end, put new bytes on disk, show that it is alive."""

from __future__ import annotations

import json
import os
import threading
import weakref
from contextlib import suppress

from .catalog.base import Blob, Catalog, EmbeddedCatalog
from .errors import (
    ClosedError,
    HoldfastError,
    IntegrityError,
    MissingExtraError,
    NotRegisteredError,
    OtherHostError,
    ValueLost,
)
from .hashing import check_digest
from .kernel import Kernel
from .reading import blob_at
from .stopping import go_on
from .storages.base import MappedStorage
from .storages.places import machine_id
from .writing import sync_blobs

__all__ = ["Keeper", "recover", "sync_all", "take_hold"]

_ALIVE = 60.0  # seconds for which a claim says that this machine holds the store
_BEAT = 20.0  # seconds between two claims
_SETTLE = 1.0  # seconds that new bytes may gather before they are put on disk together


def take_hold(kernel: Kernel) -> None:
    """Claim an embedded store for this machine, and mend what an unclean shutdown left.

    Raises:
        OtherHostError: another machine holds it and was alive a moment ago.
    """
    catalog = kernel.catalog
    if catalog.served:
        return
    if isinstance(catalog, EmbeddedCatalog):
        claimed = catalog.machine()
        here = machine_id()
        if claimed is not None and claimed[1] != kernel.boot and claimed[0] != here:
            left = claimed[2] - catalog.now()
            if left > 0:
                raise OtherHostError(
                    f"another machine ({claimed[0]}) holds this store and was alive a moment ago. An embedded store "
                    f"serves one machine at a time: if that one is gone, try again in {left:.0f} s. Several machines "
                    "share a store in PostgreSQL, as in holdfast.open('postgresql://...', storage='s3://...')"
                )
            catalog.adopt()
            kernel.sessions.leave()
        if claimed is None or claimed[:2] != (here, kernel.boot) or claimed[2] - catalog.now() < _ALIVE / 2:
            catalog.claim(here, kernel.boot, _ALIVE)
    lost = recover(kernel)
    if lost:
        import logging

        logging.getLogger("holdfast").warning(
            "%d files written shortly before an unclean shutdown were not whole: their keys are back at the newest "
            "version that is on disk, or gone where there was none",
            lost,
        )


def recover(kernel: Kernel) -> int:
    """Look at each blob that an earlier boot wrote and whose sync is not recorded; gives the number of lost ones.

    Whole ones are put on disk and marked; for torn ones the catalog goes back to the newest kept version.
    """
    lost = after = 0
    while True:
        blobs = kernel.catalog.unsynced(boot=kernel.boot, earlier=True, after=after, limit=100)
        if not blobs:
            return lost
        after = blobs[-1].id
        for blob in blobs:
            with suppress(MissingExtraError, NotRegisteredError):  # it is looked at where its storage is known
                if not _whole(kernel, blob):
                    kernel.catalog.mark_lost(blob.id)
                    lost += 1


def _whole(kernel: Kernel, blob: Blob) -> bool:
    storage, place = kernel.storage_of(blob.storage), json.loads(blob.config)
    try:
        before = storage.identity(place) if isinstance(storage, MappedStorage) else None
        check_digest(blob.algorithm, blob.digest, storage.read_stream(place, 0, blob.size + 1), f"blob {blob.id}")
    except (IntegrityError, ValueLost):
        return False
    if not storage.sync([place])[0]:
        return False
    kernel.catalog.trust(blob.id, blob_at(blob.storage, blob.config, True, kernel.boot, before))
    return True


def sync_all(kernel: Kernel) -> int:
    """Put all bytes that this boot wrote on disk and record it; gives their number."""
    done = after = 0
    while True:
        go_on()
        blobs = kernel.catalog.unsynced(boot=kernel.boot, earlier=False, after=after)
        if not blobs:
            return done
        after = blobs[-1].id
        synced = sync_blobs(kernel, blobs)
        kernel.catalog.mark_synced([blob.id for blob in synced])
        done += len(synced)


class Keeper:
    """A thread of one store: syncs new bytes a second after they came, and renews the machine's claim."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = weakref.ref(kernel)
        self._new = False
        self._closed = self._failed = False
        self._wake = threading.Event()
        self._process = os.getpid()
        kernel.dirty = self.wake
        self._start()

    def _start(self) -> None:
        thread = threading.Thread(target=_run, args=(weakref.ref(self), self._wake), daemon=True)
        thread.name = "holdfast-keeper"
        thread.start()

    def wake(self) -> None:
        """There are new bytes that are not on disk."""
        self._new = True
        if self._process != os.getpid():  # threads do not survive a fork
            self._process = os.getpid()
            self._wake = threading.Event()
            self._start()
        self._wake.set()

    def close(self) -> None:
        """End the thread; what it did not do yet is done by whoever opens the store next."""
        self._closed = True
        self._wake.set()

    def turn(self) -> bool:
        """One round: sync what is new, renew the claim. False when the thread is to end."""
        kernel = self._kernel()
        if kernel is None or self._closed:
            return False
        new, self._new = self._new, False
        try:
            if new:
                sync_all(kernel)
            _beat(kernel.catalog, kernel.boot)
            self._failed = False
        except ClosedError:
            return False
        except HoldfastError as error:
            # A full disk or a busy store passes: nothing is lost by trying again, and the caller's puts report it.
            import logging

            if not self._failed:  # said once, however long it lasts: each put reports it, too
                logging.getLogger("holdfast").warning("the background sync will be tried again: %s", error)
            self._new = self._failed = True
        return True


def _beat(catalog: Catalog, boot: str) -> None:
    if isinstance(catalog, EmbeddedCatalog):
        claimed = catalog.machine()
        if claimed is None or claimed[2] - catalog.now() < _ALIVE - _BEAT:
            catalog.claim(machine_id(), boot, _ALIVE)


def _run(keeper: weakref.ref[Keeper], wake: threading.Event) -> None:
    pause = threading.Event()
    while True:
        wake.wait(_BEAT)
        pause.wait(_SETTLE)
        wake.clear()
        mine = keeper()
        if mine is None or not mine.turn():
            return
        del mine
