"""From what a user says to what a store is made of: arguments, environment and ``holdfast.toml``.

Each setting is looked for in this order: the argument, the environment variable, ``holdfast.toml`` (the nearest one in
the working directory or above it), the default.

=============  ==========================  ===============  ==========================================================
setting        variable                    default          meaning
=============  ==========================  ===============  ==========================================================
store          ``HOLDFAST_STORE``          none             a folder, ``postgresql://...``, ``https://...`` of a
                                                            service, or ``memory:``
storage        ``HOLDFAST_STORAGE``        the store's own  where bytes above ``inline`` go: ``files``, a URL,
                                                            ``inline``, ``memory:``, the name of a registered storage
durability     ``HOLDFAST_DURABILITY``     ``process``      ``process`` or ``power``
inline         ``HOLDFAST_INLINE``         32768            values up to this many bytes lie in the catalog
timeout        ``HOLDFAST_TIMEOUT``        30               seconds to wait for other writers, and for servers
cache          ``HOLDFAST_CACHE``          the user's own   folder for copies of remote bytes, or ``off``
cache_size     ``HOLDFAST_CACHE_SIZE``     10 GB            bytes of all copies in it together
memory         ``HOLDFAST_MEMORY``         ``local``        what ``tier="memory"`` means where no executor says it:
                                                            ``local``, ``ray`` or ``dask``
memory_size    ``HOLDFAST_MEMORY_SIZE``    half of it       bytes that the memory of this machine may take
memory_folder  ``HOLDFAST_MEMORY_FOLDER``  ``/dev/shm``     folder for the memory of this machine
token          ``HOLDFAST_TOKEN``          none             who asks, of a store that a service keeps
=============  ==========================  ===============  ==========================================================

A storage goes with the store that it was named for: of a lower place than the store, it does not count.

The tables ``functions`` and ``actions`` of ``holdfast.toml``, or of a file that ``HOLDFAST_FUNCTIONS`` names, say which
functions flows may call; see :func:`functions_file`.

``HOLDFAST_KEY`` (64 hex digits) replaces the signing key that lies in the catalog; it is read from the environment
only, and never written anywhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from .errors import InvalidArgumentError, StoreNotFoundError
from .registry import Registry

__all__ = [
    "DURABILITIES",
    "FILES",
    "INLINE",
    "MEMORIES",
    "MEMORY",
    "OFF",
    "StoreConfig",
    "find_config",
    "functions_file",
    "is_server",
    "is_service",
    "with_password",
]

MEMORY = "memory:"
"""URL of a store that lives and ends with this process."""

FILES = "files"
"""Storage name of the files beside the catalog."""

INLINE = "inline"
"""Storage name of the catalog itself: nothing lies anywhere else."""

OFF = "off"
"""As a cache: no copies are kept."""

MEMORIES = ("local", "ray", "dask")
"""What a memory can be: of this machine, or of a cluster."""

DURABILITIES = ("process", "power")
"""What a put can have survived when it returns: the death of any process, or a power cut."""

_FILE = "holdfast.toml"
_FUNCTIONS = "HOLDFAST_FUNCTIONS"
_TABLES = ("functions", "actions")  # of that file, for who runs flows
_PATHS = ("store", "cache", "memory_folder")
_SERVERS = ("postgresql", "postgres")
_SERVICES = ("http", "https")
_MOST = 1 << 28  # bytes of a value in the catalog

_passwords: dict[str, str] = {}  # whole URLs by those without a password: it comes into no message and no pickle


class StoreConfig(NamedTuple):
    """All that is needed to open a store again, in this process or another one.

    Attributes:
        store: absolute path of the folder, URL of a PostgreSQL database without its password, URL of a service with the
            id of the token in front of its host, or :data:`MEMORY`.
        storage: :data:`FILES`, :data:`INLINE`, :data:`MEMORY`, a URL, or the name of a registered storage. None for
            the newest that the store has; a new one in a folder has files, one in a database is inline.
        durability: the default of each put, one of :data:`DURABILITIES`.
        inline: values up to this many bytes lie in the catalog.
        timeout: seconds to wait for other writers, and for servers.
        cache: folder for copies of remote bytes, "" for the user's own, or :data:`OFF`.
        cache_size: bytes of all copies together.
        memory: one of :data:`MEMORIES`.
        memory_size: bytes that the memory of this machine may take; None for half of what its place has.
        memory_folder: folder for the memory of this machine, "" for the usual place.
        registry: serializers and storages beyond the built-in ones, None for none.
    """

    store: str
    storage: str | None = None
    durability: str = "process"
    inline: int = 32768
    timeout: float = 30.0
    cache: str = ""
    cache_size: int = 10_000_000_000
    memory: str = "local"
    memory_size: int | None = None
    memory_folder: str = ""
    registry: Registry | None = None


def find_config(
    store: str | os.PathLike[str] | None = None, *, registry: Registry | None = None, **settings: Any
) -> StoreConfig:
    """Complete the given settings (None: not given) from the environment and ``holdfast.toml``, and check them.

    Raises:
        StoreNotFoundError: nothing names a store.
        InvalidArgumentError: a setting that is not legal, with where it came from.
    """
    _check_registry(registry)
    if settings.keys() - _SETTINGS.keys():
        raise TypeError(
            f"unexpected setting {min(settings.keys() - _SETTINGS.keys())!r}; there are {', '.join(_SETTINGS)}"
        )
    storage = settings.get("storage")
    if getattr(storage, "name", "") == "holdfast.file@v1":
        raise InvalidArgumentError(
            "files of a store lie in its own folder, since two stores in one folder would collect each other's bytes: "
            "leave storage away, and make the store where there is room"
        )
    if storage is not None and not isinstance(storage, str):
        registry = (registry or Registry.default()).extend(storages=[storage])
        settings["storage"] = storage.name
    given = {"store": store, **settings}
    found = {name: (value, "argument") for name, value in given.items() if value is not None}
    folder, toml = _read_toml() if len(found) < len(_SETTINGS) else (".", {})
    for name in _SETTINGS:
        variable = f"HOLDFAST_{name.upper()}"
        if name in found:
            continue
        source = found["store"][1] if name == "storage" and "store" in found else ""
        if os.environ.get(variable) and source != "argument":
            found[name] = (os.environ[variable], variable)
        elif name in toml and source not in ("argument", "HOLDFAST_STORE"):
            value = toml[name]
            if name in _PATHS and isinstance(value, str) and value != OFF and ":" not in value:
                value = os.path.join(folder, value)  # a path in a file is relative to that file
            found[name] = (value, os.path.join(folder, _FILE))
    if "store" not in found:
        raise StoreNotFoundError(
            "no store is named: pass one, as in holdfast.open('data') or storage_options={'store': 'data'}, "
            f"set HOLDFAST_STORE, or write store = 'data' into {_FILE}"
        )
    checked: dict[str, Any] = {name: _SETTINGS[name](*pair) for name, pair in found.items()}
    token = checked.pop("token", None)
    if is_service(checked["store"]):
        if checked.get("storage") is not None:
            raise InvalidArgumentError("a service has its own storage: leave storage away")
        checked["store"] = _as_who(checked["store"], token)
    elif token is not None and found["token"][1] == "argument":
        raise InvalidArgumentError(f"a token is for a service at https://..., not for {checked['store']}")
    elif is_server(checked["store"]) and checked.get("storage") in (FILES, MEMORY):
        raise InvalidArgumentError(
            f"{checked['storage']} is of one machine: with a catalog in PostgreSQL, storage must be a URL such as "
            f"'s3://bucket/prefix', or {INLINE!r}"
        )
    if checked["store"] == MEMORY and checked.get("storage", MEMORY) not in (FILES, INLINE, MEMORY):
        raise InvalidArgumentError(f"a store in memory has its bytes there, not in {checked['storage']!r}")
    return StoreConfig(**checked, registry=registry)


def functions_file(given: str | os.PathLike[str] | None = None) -> str | None:
    """Path of the TOML file that says which functions flows may call: the one given, else the one that
    ``HOLDFAST_FUNCTIONS`` names, else the nearest ``holdfast.toml`` if it has such tables; None for none.

    Raises:
        InvalidArgumentError: the nearest ``holdfast.toml`` is not legal.
    """
    named = given or os.environ.get(_FUNCTIONS)
    if named:
        return os.path.abspath(os.path.expanduser(named))
    folder, settings = _read_toml()
    return os.path.join(folder, _FILE) if settings.keys() & set(_TABLES) else None


def is_server(store: str) -> bool:
    """Whether a configured store's catalog is in a database server, or with a service."""
    return store.partition("://")[0] in (*_SERVERS, *_SERVICES)


def is_service(store: str) -> bool:
    """Whether a configured store is kept by a service."""
    return store.partition("://")[0] in _SERVICES


def _service(url: str, source: str) -> str:
    """The URL of a service as it is compared. No password may stand in it; a token's id may, as we write it there."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        sound = parts.port is None or parts.port > 0
    except ValueError:
        parts, sound = None, False
    user, at, host = parts.netloc.rpartition("@") if parts else ("", "", "")
    if (
        parts is None
        or not (host and sound)
        or parts.query
        or parts.fragment
        or (at and not re.fullmatch("[0-9a-f]{16}", user))
    ):
        shown = re.sub("//[^/]*@", "//", url)
        raise InvalidArgumentError(
            f"store ({source}): {shown!r} is no URL of a service, such as https://host:8080; who asks is said by token="
        )
    bare = f"{host.lower()}{parts.path.rstrip('/')}"
    if bare.endswith("/v1"):
        raise InvalidArgumentError(
            f"store ({source}): the URL of a service has no /v1: give {parts.scheme}://{bare.removesuffix('/v1')}"
        )
    return f"{parts.scheme}://{user}{at}{bare}"


def _as_who(url: str, token: str | None) -> str:
    """The URL with the token's id, so that stores of two tokens are two, and the token in this process' memory."""
    if token is None:
        return url
    scheme, _, rest = url.partition("://")
    known = re.fullmatch("hft_([0-9a-f]{16})_.*", token)
    if known:
        id = known[1]
    else:
        from hashlib import sha256

        id = sha256(token.encode()).hexdigest()[:16]
    named = f"{scheme}://{id}@{rest.rpartition('@')[2]}"
    from .catalog.channel import remember  # with sockets behind it

    remember(named, token)
    return named


def with_password(store: str) -> str:
    """The URL of a store with the password that it was given in this process, or that ``HOLDFAST_STORE`` has for it."""
    variable = os.environ.get("HOLDFAST_STORE", "")
    if store not in _passwords and is_server(variable):
        _without_password(variable)
    return _passwords.get(store, store)


def _without_password(url: str) -> str:
    bare = re.sub(r"(?<=[?&])(?:ssl)?password=[^&]*&?", "", re.sub(r"(//[^:/@?]*):[^/?]*@", r"\1@", url)).rstrip("?&")
    if bare != url:
        _passwords[bare] = url
    return bare


def _check_registry(registry: Any) -> None:
    if registry is not None and not isinstance(registry, Registry):
        raise InvalidArgumentError(f"registry must be a holdfast.Registry, not {registry!r}")


def _read_toml() -> tuple[str, dict[str, Any]]:
    try:
        folder = os.getcwd()
    except FileNotFoundError:  # it was removed, and has nothing to say
        return ".", {}
    while True:
        path = os.path.join(folder, _FILE)
        try:
            with open(path, "rb") as file:
                from tomllib import load  # 7 ms that only its users need

                settings = load(file)
        except OSError as error:
            if os.path.exists(path):
                raise InvalidArgumentError(f"{path} cannot be read: {error.strerror}") from error
            above = os.path.dirname(folder)
            if above == folder:
                return folder, {}
            folder = above
            continue
        except ValueError as error:
            raise InvalidArgumentError(f"{path} is not valid TOML: {error}") from error
        known = (*_SETTINGS, *_TABLES)
        unknown = sorted(settings.keys() - set(known))
        if unknown:
            raise InvalidArgumentError(f"{path}: unknown setting {unknown[0]!r}; there are {', '.join(known)}")
        return folder, settings


def _store(value: Any, source: str) -> str:
    if isinstance(value, os.PathLike):
        value = os.fsdecode(value)
    if not isinstance(value, str) or not value or "\0" in value or not _encodable(value):
        raise InvalidArgumentError(f"store ({source}) must be a folder or {MEMORY}, not {value!r}")
    if value == MEMORY:
        return MEMORY
    scheme, colon, _ = value.partition(":")
    if is_service(value):
        return _service(value, source)
    if is_server(value):
        return _without_password(value)
    if colon and scheme.replace("+", "").isalnum() and not os.path.exists(value):
        if scheme != "file":
            raise InvalidArgumentError(
                f"store ({source}): there is no catalog for {scheme}:, only folders, postgresql://, https:// of a "
                f"service and {MEMORY} (a bucket can be the storage of one)"
            )
        from urllib.parse import unquote, urlsplit  # 4 ms that few need

        value = unquote(urlsplit(value).path)
    try:
        path: str = os.path.abspath(os.path.expanduser(value))
    except FileNotFoundError:
        raise InvalidArgumentError(
            f"store ({source}): {value!r} lies in a working directory that was removed: name a full path"
        ) from None
    return path


def _encodable(path: str) -> bool:
    try:
        return bool(os.fsencode(path))
    except UnicodeEncodeError:
        return False


def _storage(value: Any, source: str) -> str:
    if value in (FILES, INLINE, MEMORY) or (isinstance(value, str) and ("://" in value or "@v" in value)):
        return str(value)
    raise InvalidArgumentError(
        f"storage ({source}) must be {FILES!r}, {INLINE!r}, {MEMORY!r}, a URL such as 's3://bucket/prefix' or the name "
        f"of a registered storage, not {value!r}"
    )


def _durability(value: Any, source: str) -> str:
    if value not in DURABILITIES:
        raise InvalidArgumentError(f"durability ({source}) must be 'process' or 'power', not {value!r}")
    return str(value)


def _bytes(name: str, most: int, words: str) -> Callable[[Any, str], int]:
    def check(value: Any, source: str) -> int:
        try:
            size = int(value)
        except (TypeError, ValueError):
            size = -1
        if isinstance(value, (bool, float)) or not 0 <= size <= most:
            raise InvalidArgumentError(f"{name} ({source}) must be a number of bytes up to {words}, not {value!r}")
        return size

    return check


def _cache(value: Any, source: str) -> str:
    if isinstance(value, os.PathLike):
        value = os.fsdecode(value)
    if not isinstance(value, str) or not value or "\0" in value:
        raise InvalidArgumentError(f"cache ({source}) must be a folder or {OFF!r}, not {value!r}")
    return value if value == OFF else os.path.abspath(os.path.expanduser(value))


def _memory(value: Any, source: str) -> str:
    if value not in MEMORIES:
        raise InvalidArgumentError(f"memory ({source}) must be one of {', '.join(MEMORIES)}, not {value!r}")
    return str(value)


def _memory_folder(value: Any, source: str) -> str:
    folder = os.fsdecode(value) if isinstance(value, os.PathLike) else value
    if not isinstance(folder, str) or not folder or "\0" in folder:
        raise InvalidArgumentError(f"memory_folder ({source}) must be a folder, not {value!r}")
    return os.path.abspath(os.path.expanduser(folder))


def _timeout(value: Any, source: str) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if isinstance(value, bool) or not 0 <= seconds < float("inf"):
        raise InvalidArgumentError(f"timeout ({source}) must be a number of seconds, not {value!r}")
    return seconds


def _token(value: Any, source: str) -> str:
    token = value.strip() if isinstance(value, str) else ""  # a file of it ends with a line
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidArgumentError(f"token ({source}) must be the text that holdfast token create gave")
    return token


_SETTINGS: dict[str, Callable[[Any, str], Any]] = {
    "store": _store,
    "storage": _storage,
    "durability": _durability,
    "inline": _bytes("inline", _MOST, "256 MB"),
    "timeout": _timeout,
    "cache": _cache,
    "cache_size": _bytes("cache_size", 1 << 62, "2**62"),
    "memory": _memory,
    "memory_size": _bytes("memory_size", 1 << 62, "2**62"),
    "memory_folder": _memory_folder,
    "token": _token,
}
