"""What an open store is made of, and the look-ups that all verbs share."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

from .catalog.base import Catalog, EmbeddedCatalog
from .catalog.sqlite import SQLiteCatalog
from .config import MEMORY, StoreConfig
from .errors import InvalidArgumentError, NotAStoreError, ReadOnlyError
from .model import Codec
from .registry import Registry
from .serializers.base import Serializer
from .signing import Signer
from .storages.base import Storage
from .storages.places import boot_id, check_local

__all__ = ["CATALOG_FILE", "NATIVE_INTEGER", "CodecIds", "Decoder", "Decoders", "Kernel", "shared_kernel"]

CATALOG_FILE = "catalog.sqlite"
"""Name of the catalog in a store's folder; its log and lock files begin with it."""

_FILES = "files"
_LOCKS = "locks"

NATIVE_INTEGER = Codec("holdfast.int@v1", "application/json")
"""Codec of the integers that the catalog itself can add to."""

_OURS = (CATALOG_FILE, _FILES, _LOCKS)


class Decoder(NamedTuple):
    """A codec with its serializer at hand (None for a file), and whether reading with that runs no code."""

    codec: Codec
    serializer: Serializer | None
    safe: bool


class CodecIds(dict[tuple[str | None, str, str | None], int]):
    """Ids of codecs (serializer, content type, content encoding), made in the catalog when first asked for."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def __missing__(self, codec: tuple[str | None, str, str | None]) -> int:
        found = self[codec] = self._catalog.codec_id(Codec(*codec))
        return found


class Decoders(dict[int, Decoder]):
    """Decoders by the id of their codec, looked up in the catalog and the registry when first asked for.

    Raises:
        NotRegisteredError: on look-up, when the serializer is not registered here.
    """

    def __init__(self, catalog: Catalog, registry: Registry) -> None:
        self._catalog = catalog
        self._registry = registry

    def __missing__(self, codec_id: int) -> Decoder:
        codec = self._catalog.codec(codec_id)
        serializer = None if codec.serializer is None else self._registry.serializer(codec.serializer)
        found = self[codec_id] = Decoder(codec, serializer, serializer is None or not serializer.executable)
        return found


class Kernel:
    """Catalog, storages, serializers, signing key and caches of one open store. Thread-safe and fork-safe.

    Opening the same configuration again in a process gives another kernel on the same data; pickling one gives its
    configuration, and unpickling opens it (once a process).
    """

    def __init__(self, config: StoreConfig, *, create: bool = True) -> None:
        """Open.

        Raises:
            StoreError: one of its kinds, for a folder that is missing (without ``create``), no store, not writable,
                on a network file system, or of a newer version.
        """
        self.config = config
        self.registry = config.registry if config.registry is not None else Registry.default()
        self.boot = boot_id()
        self.power = config.durability == "power"
        self.inline = config.inline
        self.folder = None if config.store == MEMORY else config.store
        self.closed = False
        # A registry comes out of each pickle as another object, so what was unpickled before is told by this.
        self.token = "" if config.registry is None else os.urandom(8).hex()
        text = os.environ.get("HOLDFAST_KEY")
        key = Signer.parse_key(text) if text else None
        self.catalog: Catalog = _open_catalog(config, create)
        self.signer = Signer(self.catalog.store_id, key or self.catalog.signing_key)
        self._storages: dict[int, Storage] = {}
        self.decoders = Decoders(self.catalog, self.registry)
        self.codec_ids = CodecIds(self.catalog)
        self._lock = threading.Lock()
        if self.folder is None or config.storage == MEMORY:
            self.storage = self._make("holdfast.memory@v1")
            url = MEMORY
        else:
            self.storage = self._make("holdfast.file@v1", os.path.join(self.folder, _FILES))
            url = _FILES
        self.storage_id = self.catalog.storage_id(self.storage.name, url)
        self._storages[self.storage_id] = self.storage
        self.integer = self.codec_ids[NATIVE_INTEGER]
        self.dirty: Callable[[], None] = _nothing
        """Called after a commit whose bytes are not on disk yet."""
        self.companions: dict[type, Any] = {}
        """What views keep beside an open store, each by its class; closed with it."""

    def _make(self, name: str, *arguments: str) -> Storage:
        found = self.registry.storage(name)
        return found(*arguments) if isinstance(found, type) else found

    # --- look-ups ---------------------------------------------------------------------------------------------------

    def storage_of(self, storage_id: int) -> Storage:
        """The storage of an id, opened when it is first needed.

        Raises:
            NotRegisteredError: this storage is not registered here.
            StoreError: its bytes were in a process that is gone.
        """
        found = self._storages.get(storage_id)
        if found is not None:
            return found
        name, url = self.catalog.storage(storage_id)
        with self._lock:
            if storage_id not in self._storages:
                if url == MEMORY:
                    self._storages[storage_id] = self._make(name)  # empty: what another process kept in memory is gone
                else:
                    folder = url if os.path.isabs(url) else os.path.join(self.folder or ".", url)
                    self._storages[storage_id] = self._make(name, folder)
        return self._storages[storage_id]

    def whereabouts(self, storage_id: int | None) -> tuple[str | None, bool]:
        """Name of the storage that holds bytes (None: the catalog), and whether they end with a process."""
        if storage_id is None:
            return None, self.folder is None
        name, url = self.catalog.storage(storage_id)
        return name, url == MEMORY

    def same_store(self, other: Kernel) -> bool:
        """Whether the other one is open on the same data; a back-up beside has the same id, and is another store."""
        if self is other:
            return True
        return (
            self.folder is not None and self.folder == other.folder and self.catalog.store_id == other.catalog.store_id
        )

    def settle(self) -> None:
        """With durability "power": return when all that was committed so far is on disk; else do nothing."""
        if self.power:
            self.catalog.barrier()

    @property
    def locks(self) -> str | None:
        """Folder for lock files by which processes of this machine see who is alive; None for a store in memory."""
        return None if self.folder is None else os.path.join(self.folder, _LOCKS)

    def close(self) -> None:
        """Close the catalog, the storages, and what views keep beside them."""
        self.closed = True
        for companion in self.companions.values():
            companion.close()
        self.catalog.close()
        for storage in self._storages.values():
            storage.close()

    def __reduce__(self) -> tuple[Any, ...]:
        if self.config.store == MEMORY:
            raise InvalidArgumentError("a store in memory cannot be given to another process: open one in a folder")
        return _reopen, (type(self), self.config, self.token)


def _nothing() -> None:
    pass


K = TypeVar("K", bound=Kernel)

_shared: dict[tuple[type[Kernel], StoreConfig, str], Kernel] = {}
_shared_lock = threading.Lock()


def shared_kernel(kind: type[K], config: StoreConfig, token: str = "", *, create: bool = True) -> K:
    """The one kernel of a configuration for all in this process that do not open a store of their own."""
    same = (kind, config._replace(registry=None), token)
    with _shared_lock:
        kernel = _shared.get(same)
        if kernel is None or kernel.closed:
            kernel = _shared[same] = kind(config, create=create)
            kernel.token = token
        return cast(K, kernel)


def _reopen(kind: type[Kernel], config: StoreConfig, token: str) -> Kernel:
    return shared_kernel(kind, config, token, create=False)


def _open_catalog(config: StoreConfig, create: bool) -> EmbeddedCatalog:
    if config.store == MEMORY:
        return SQLiteCatalog(None, timeout=config.timeout)
    folder = config.store
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise NotAStoreError(f"{folder} is a file: a store is a folder")
    check_local(folder)
    if create:
        from .storages.file.disk import explain, make_folders  # with ctypes behind it: only when a store is opened

        try:
            make_folders(folder)  # its name is on disk too, else a power cut could take the whole store
        except OSError as error:
            raise explain(error, folder, writing=True) from error
        strangers = [name for name in _names(folder) if not name.startswith(_OURS)]
        if strangers and not os.path.exists(os.path.join(folder, CATALOG_FILE)):
            raise NotAStoreError(f"{folder} holds other things ({min(strangers)} ...) and no store: name a new folder")
    return SQLiteCatalog(os.path.join(folder, CATALOG_FILE), create=create, timeout=config.timeout)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise ReadOnlyError(f"{folder} may not be read by this user: {error.strerror}") from error
