"""What an open store is made of, and the look-ups that all verbs share."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from .catalog.base import Catalog
from .catalog.sqlite import SQLiteCatalog
from .config import FILES, INLINE, MEMORY, OFF, StoreConfig, is_server, is_service, with_password
from .errors import HoldfastError, InvalidArgumentError, NotAStoreError, NotRegisteredError, ReadOnlyError, StoreError
from .memory.sessions import Sessions
from .model import KEPT, STORABLE, Codec
from .registry import Registry
from .serializers.base import StreamSerializer
from .signing import Signer
from .storages.asynchronous import AsyncStorage
from .storages.base import Storage
from .storages.ephemeral import ENDING, EphemeralStorage
from .storages.places import boot_id, check_local

if TYPE_CHECKING:
    from .storages.cache import DiskCache

__all__ = ["CATALOG_FILE", "NATIVE_INTEGER", "CodecIds", "Decoder", "Decoders", "Kernel", "Opened", "shared_kernel"]

CATALOG_FILE = "catalog.sqlite"
"""Name of the catalog in a store's folder; its log and lock files begin with it."""

_KINDS = {FILES: "holdfast.file@v1", INLINE: "holdfast.inline@v1", MEMORY: "holdfast.memory@v1"}
_BUCKETS = ("s3", "az", "gs")
_BUCKET, _OTHER = "holdfast.objectstore@v1", "holdfast.fsspec@v1"
_FAR = (_BUCKET, _OTHER, "holdfast.routed@v1", "holdfast.http@v1")
_LOCKS = "locks"
_MOST = 1 << 28  # bytes of a value in a row
_BESIDE = "#beside"  # at the end of the URL of a storage that is for contents which name it, and not the store's own

NATIVE_INTEGER = Codec("holdfast.int@v1", "application/json")
"""Codec of the integers that the catalog itself can add to."""

_OURS = (CATALOG_FILE, FILES, _LOCKS)


class Decoder(NamedTuple):
    """A codec with its serializer at hand (None for a file), and whether that gives a value at once, without code."""

    codec: Codec
    serializer: Any  # of either kind
    safe: bool


Opened = Callable[[Any, Any], Any]
"""What is given for a stream of values that is got: by the stream and the config that it was stored with."""


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
        serializer = None if codec.serializer in (None, KEPT, STORABLE) else self._registry.reader(codec.serializer)
        safe = serializer is None or not (serializer.executable or isinstance(serializer, StreamSerializer))
        found = self[codec_id] = Decoder(codec, serializer, safe)
        return found


class Kernel:
    """Catalog, storages, serializers, signing key and caches of one open store. Thread-safe and fork-safe.

    Opening the same configuration again in a process gives another kernel on the same data; pickling one gives its
    configuration, and unpickling opens it (once a process); if that fails, its first use raises why.
    """

    def __init__(self, config: StoreConfig, *, create: bool = True) -> None:
        """Open.

        Raises:
            StoreError: one of its kinds, for a folder that is missing (without ``create``), no store, not writable,
                on a network file system, or of a newer version.
        """
        self.config = config
        self.registry = config.registry if config.registry is not None else Registry.default()
        self.power = config.durability == "power"
        own = config.store == MEMORY
        self.folder = None if own or is_server(config.store) else config.store
        self.closed = False
        # A registry comes out of each pickle as another object, so what was unpickled before is told by this.
        self.token = "" if config.registry is None else os.urandom(8).hex()
        text = os.environ.get("HOLDFAST_KEY")
        key = Signer.parse_key(text) if text else None
        wanted = MEMORY if own else config.storage
        asked = None if wanted is None else self._open(*_named(wanted))  # before anything is made on disk
        self.catalog: Catalog = _open_catalog(config, create, key)
        self.boot = self.catalog.boot or boot_id()
        self.volatile = own or self.catalog.volatile
        self.signer = Signer(self.catalog.store_id, key or self.catalog.signing_key or None)
        self._storages: dict[int, Storage] = {}
        self._named: dict[str, int] = {}
        self._under: dict[Registry, Kernel] = {}
        self._beside: dict[int, Kernel] = {}
        self._main: Kernel | None = None  # of a kernel beside another one
        self.sessions = Sessions(self.catalog, self._memory)
        self.decoders = Decoders(self.catalog, self.registry)
        self.codec_ids = CodecIds(self.catalog)
        self._lock = threading.Lock()
        try:
            self.storage, url = asked or self._open(*self._own_storage())
            self.storage_id = self._take(self.storage, url)
        except BaseException:
            self.catalog.close()
            raise
        self.inline = _MOST if url == INLINE else config.inline
        self.integer = self.codec_ids[NATIVE_INTEGER]
        self.dirty: Callable[[], None] = _nothing
        """Called after a commit whose bytes are not on disk yet."""
        self.opened: Opened = _as_it_is
        self.swept = float("-inf")  # monotonic seconds; see memory.putting.tidy
        self.companions: dict[type, Any] = {}
        """What views keep beside an open store, each by its class; closed with it."""

    def _open(self, name: str, url: str) -> tuple[Storage, str]:
        """A storage by name and URL, with the URL by which the catalog knows it: a given object's own, if it has one.

        Raises:
            NotRegisteredError: there is none of that name.
            InvalidArgumentError: the URL is not legal.
        """
        found: Any = self.registry.storage(name)
        if not isinstance(found, type):
            own = getattr(found, "url", url)
            if url in ("", own):
                return _lifted(found), own
            found = type(found)  # the object given is for another place
        if url in ("", INLINE, MEMORY):
            return _lifted(found()), url  # empty: what another process kept in memory is gone
        place = url if "://" in url or os.path.isabs(url) else os.path.join(self.folder or ".", url)
        if issubclass(found, EphemeralStorage):
            # A copy of the store's files does not take what is there for what its own dead writers left.
            store = "-".join(filter(None, (self.catalog.store_id, self.catalog.instance)))
            return found(store, size=self.config.memory_size, folder=self.config.memory_folder or None), url
        # of those that ship, what is far is waited for; below a second it would give up on a server that is only busy
        waits = {"timeout": min(max(self.config.timeout, 1.0), 3600.0)} if name in _FAR else {}
        return _lifted(found(place, **waits)), url

    def _own_storage(self) -> tuple[str, str]:
        """Name and URL of the newest storage that the store has and that does not end with a process."""
        known = [self.catalog.storage(number) for number in reversed(self.catalog.storages())]
        lasting = [(name, url) for name, url in known if url not in ENDING and not url.endswith(_BESIDE)]
        return lasting[0] if lasting else _named(INLINE if self.folder is None else FILES)

    def _take(self, storage: Storage, url: str) -> int:
        """Make a storage this store's, and give its number here. Several may share a place, also those of one store
        under several URLs, and each looks for what its own dead writers left."""
        store = self.catalog.store_id
        if storage.owner.partition("/")[0] not in ("", store):
            raise InvalidArgumentError(f"{storage!r} serves another store: make one for each")
        number = self.catalog.storage_id(storage.name, url)
        if all(storage is not other for other in self._storages.values()):  # else its writers have left marks already
            storage.owner = f"{store}/{number}"
        self._storages[number] = storage
        return number

    # --- look-ups ---------------------------------------------------------------------------------------------------

    def storage_of(self, storage_id: int) -> Storage:
        """The storage of an id, opened when it is first needed.

        Raises:
            NotRegisteredError: this storage is not registered here.
        """
        found = self._storages.get(storage_id)
        if found is not None:
            return found
        with self._lock:
            others = list(self._under.values())
            for other in [] if self in others else others:  # which may know storages that are not registered here
                if storage_id in other._storages:
                    self._storages[storage_id] = other._storages[storage_id]
            if storage_id not in self._storages:
                name, url = self.catalog.storage(storage_id)
                self._take(self._open(name, url.removesuffix(_BESIDE))[0], url)
        return self._storages[storage_id]

    def storage_named(self, name: str) -> int | None:
        """The id of the storage of that name, for contents that are to lie there: the store's own, if it has the name,
        or one beside it; None for the catalog itself.

        Raises:
            NotRegisteredError: there is none of that name.
            InvalidArgumentError: it is a class that does not say where it is.
        """
        if name == _KINDS[INLINE]:
            return None
        if name in (self.storage.name, self.catalog.storage_name(self.storage_id)):
            return self.storage_id
        if name not in self._named:
            own = {_KINDS[url]: url for url in (MEMORY, *(() if self.folder is None else (FILES,)))}
            try:
                storage, url = self._open(name, own.get(name, ""))
            except TypeError as error:
                raise InvalidArgumentError(
                    f"the storage {name} does not say where it is: register an instance, as in "
                    f"Registry(storages=[{getattr(self.registry.storage(name), '__name__', name)}(...)])"
                ) from error
            with self._lock:
                self._named[name] = self._take(storage, url + _BESIDE)
        return self._named[name]

    def _memory(self, name: str) -> EphemeralStorage:
        return self.memory(name)[1]

    def memory(self, name: str) -> tuple[int, EphemeralStorage]:
        """The memory of a name, with its number here; nothing is begun by asking for it.

        Raises:
            NotRegisteredError: there is no memory of that name.
        """
        number = self._named.get(name)
        if number is None:
            kind: Any = self.registry.storage(name)
            if not issubclass(kind if isinstance(kind, type) else type(kind), EphemeralStorage):
                raise NotRegisteredError(f"{name} is no memory that ends with a session")
            number = self.catalog.storage_id(name, kind.url)
            self.storage_of(number)
            self._named[name] = number
        memory = self.storage_of(number)
        assert isinstance(memory, EphemeralStorage)
        return number, memory

    def whereabouts(self, storage_id: int | None) -> tuple[str | None, bool]:
        """Name of the storage that holds bytes (None: the catalog, or several), and whether they end with a process."""
        if not storage_id:
            return None, self.volatile
        url = self.catalog.storage(storage_id)[1]
        return self.catalog.storage_name(storage_id), self.catalog.volatile or url.removesuffix(_BESIDE) == MEMORY

    def under(self, registry: Registry, bind: Callable[[], tuple[Registry, Opened]] | None = None) -> Kernel:
        """This open store as another registry reads and writes it: the same catalog, key and locks, with serializers
        and storages of its own. It is closed with this one. ``bind`` gives the registry that stands for the other one
        in this store, and the ``opened`` of the kernel."""
        found = self._under.get(registry)
        if found is None:
            own, opened = (registry, self.opened) if bind is None else bind()
            found = object.__new__(type(self))
            vars(found).update(vars(self))
            found.config, found.token = self.config._replace(registry=own), os.urandom(8).hex()
            found.registry, found.decoders, found.opened = own, Decoders(self.catalog, own), opened
            found._storages, found._named = {self.storage_id: self.storage}, {}
            found = self._under.setdefault(registry, found)
        return found

    def beside(self, storage: Storage, *, keep: bool = False) -> Kernel:
        """This open store as one whose file-sized values go to another storage, whose URL says where that is; what is
        put here and there is one catalog's, and is read in either. It is closed with this one.

        Where there is one for that place already, it has this storage from now on, unless ``keep``."""
        url = getattr(storage, "url", "")
        if (storage.name, url) == self.catalog.storage(self.storage_id):
            return self
        with self._lock:
            number = self.catalog.storage_id(storage.name, url + _BESIDE)
            found = self._beside.get(number)
            if found is None:
                found = object.__new__(type(self))
                vars(found).update(vars(self))
                found.inline, found._main = self.config.inline, self
                keep, self._beside[number] = False, found
            if not keep and found.storage is not storage:
                self._take(storage, url + _BESIDE)
                found.storage, found.storage_id = storage, number
        return found

    def same_store(self, other: Kernel) -> bool:
        """Whether the other one is open on the same data; a back-up beside has the same id, and is another store."""
        if self.catalog is other.catalog or self.config.store == MEMORY:
            return self.catalog is other.catalog
        return self.config.store == other.config.store and self.catalog.store_id == other.catalog.store_id

    def settle(self) -> None:
        """With durability "power": return when all that was committed so far is on disk; else do nothing."""
        if self.power:
            self.catalog.barrier()

    @property
    def locks(self) -> str | None:
        """Folder for lock files by which processes of this machine see who is alive; None where there is none that all
        of them share."""
        return None if self.folder is None else os.path.join(self.folder, _LOCKS)

    @cached_property
    def cache(self) -> DiskCache | None:
        """Copies of remote bytes on the local disk; None where they are not wanted, or cannot be kept."""
        config = self.config
        if config.cache == OFF or not config.cache_size:
            return None
        from .storages.cache import DiskCache  # only where there are remote bytes

        home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        try:
            return DiskCache(config.cache or os.path.join(home, "holdfast"), config.cache_size)
        except StoreError as error:
            import logging

            logging.getLogger("holdfast").warning("no copies of remote bytes are kept: %s", error)
            return None

    def close(self) -> None:
        """Close the catalog, the storages, and what views keep beside them."""
        kernels = (self, *self._under.values(), *self._beside.values())
        for kernel in kernels:
            kernel.closed = True
        for companion in self.companions.values():
            companion.close()
        self.catalog.close()
        for storage in {storage for kernel in kernels for storage in kernel._storages.values()}:
            storage.close()

    def __reduce__(self) -> tuple[Any, ...]:
        if self.config.store == MEMORY:
            raise InvalidArgumentError("a store in memory cannot be given to another process: open one in a folder")
        if self._main is not None:
            return _beside, (self._main, self.storage)
        return _reopen, (type(self), self.config, self.token)


def _nothing() -> None:
    pass


def _as_it_is(stream: Any, config: Any) -> Any:
    return stream


def _lifted(storage: Storage | AsyncStorage) -> Storage:
    if isinstance(storage, Storage):
        return storage
    from .storages.bridge import lift  # with asyncio behind it

    return lift(storage)


def _named(storage: str) -> tuple[str, str]:
    """Name and URL of the storage that a configuration asks for; no URL for a registered one."""
    scheme, there, _ = storage.partition("://")
    if there:
        return _BUCKET if scheme in _BUCKETS else _OTHER, storage
    return (_KINDS[storage], storage) if storage in _KINDS else (storage, "")


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


class _Unopened:
    """Stands for a kernel that could not be opened when it was unpickled. Whoever uses it gets the error: raised by the
    unpickling itself it would end a worker of a pool in silence, and its caller would wait for ever."""

    def __init__(self, error: HoldfastError, how: tuple[Any, ...]) -> None:
        self._error, self._how = error, how
        self.catalog = self

    def __getattr__(self, name: str) -> Any:
        raise self._error

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, self._how


def _reopen(kind: type[Kernel], config: StoreConfig, token: str) -> Kernel:
    try:
        return shared_kernel(kind, config, token, create=False)
    except HoldfastError as error:
        return cast(Kernel, _Unopened(error, (kind, config, token)))


def _beside(main: Any, storage: Storage) -> Kernel:
    return cast(Kernel, main if isinstance(main, _Unopened) else main.beside(storage, keep=True))


def _open_catalog(config: StoreConfig, create: bool, key: bytes | None) -> Catalog:
    if config.store == MEMORY:
        return SQLiteCatalog(None, timeout=config.timeout)
    if is_service(config.store):
        from .catalog.http import HTTPCatalog  # with sockets behind it

        return HTTPCatalog(config.store, timeout=config.timeout, key=key)
    if is_server(config.store):
        from .catalog.postgresql import PostgreSQLCatalog  # an extra

        return PostgreSQLCatalog(with_password(config.store), create=create, timeout=config.timeout)
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
