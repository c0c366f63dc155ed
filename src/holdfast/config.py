"""From what a user says to what a store is made of: arguments, environment and ``holdfast.toml``.

Each setting is looked for in this order: the argument, the environment variable, ``holdfast.toml`` (the nearest one in
the working directory or above it), the default.

===========  =======================  ==============  ==========================================================
setting      variable                 default         meaning
===========  =======================  ==============  ==========================================================
store        ``HOLDFAST_STORE``       none            a folder, or ``memory:``
storage      ``HOLDFAST_STORAGE``     files           where bytes above ``inline`` go: ``files``, ``memory:``
durability   ``HOLDFAST_DURABILITY``  ``process``     ``process`` or ``power``
inline       ``HOLDFAST_INLINE``      32768           values up to this many bytes lie in the catalog
timeout      ``HOLDFAST_TIMEOUT``     30              seconds to wait for other writers
===========  =======================  ==============  ==========================================================

``HOLDFAST_KEY`` (64 hex digits) replaces the signing key that lies in the catalog; it is read from the environment
only, and never written anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from .errors import InvalidArgumentError, StoreNotFoundError
from .registry import Registry

__all__ = ["DURABILITIES", "FILES", "MEMORY", "StoreConfig", "find_config"]

MEMORY = "memory:"
"""URL of a store that lives and ends with this process."""

FILES = "files"
"""Storage name of the files beside the catalog."""

DURABILITIES = ("process", "power")
"""What a put can have survived when it returns: the death of any process, or a power cut."""

_FILE = "holdfast.toml"


class StoreConfig(NamedTuple):
    """All that is needed to open a store again, in this process or another one of this machine.

    Attributes:
        store: absolute path of the folder, or :data:`MEMORY`.
        storage: :data:`FILES` or :data:`MEMORY`.
        durability: the default of each put, one of :data:`DURABILITIES`.
        inline: values up to this many bytes lie in the catalog.
        timeout: seconds to wait for other writers.
        registry: serializers and storages beyond the built-in ones, None for none.
    """

    store: str
    storage: str = FILES
    durability: str = "process"
    inline: int = 32768
    timeout: float = 30.0
    registry: Registry | None = None


def find_config(
    store: str | os.PathLike[str] | None = None,
    *,
    storage: str | None = None,
    durability: str | None = None,
    inline: int | None = None,
    timeout: float | None = None,
    registry: Registry | None = None,
) -> StoreConfig:
    """Complete the given settings from the environment and ``holdfast.toml``, and check them.

    Raises:
        StoreNotFoundError: nothing names a store.
        InvalidArgumentError: a setting that is not legal, with where it came from.
    """
    given = {"store": store, "storage": storage, "durability": durability, "inline": inline, "timeout": timeout}
    found = {name: (value, "argument") for name, value in given.items() if value is not None}
    folder, toml = _read_toml() if len(found) < len(_SETTINGS) else (".", {})
    for name in _SETTINGS:
        variable = f"HOLDFAST_{name.upper()}"
        if name in found:
            continue
        if os.environ.get(variable):
            found[name] = (os.environ[variable], variable)
        elif name in toml:
            value = toml[name]
            if name == "store" and isinstance(value, str) and ":" not in value:
                value = os.path.join(folder, value)  # a path in a file is relative to that file
            found[name] = (value, os.path.join(folder, _FILE))
    if "store" not in found:
        raise StoreNotFoundError(
            "no store is named: pass one, as in holdfast.open('data') or storage_options={'store': 'data'}, "
            f"set HOLDFAST_STORE, or write store = 'data' into {_FILE}"
        )
    checked: dict[str, Any] = {name: _SETTINGS[name](*pair) for name, pair in found.items()}
    _check_registry(registry)
    return StoreConfig(**checked, registry=registry)


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
        unknown = sorted(set(settings) - set(_SETTINGS))
        if unknown:
            raise InvalidArgumentError(f"{path}: unknown setting {unknown[0]!r}; there are {', '.join(_SETTINGS)}")
        return folder, settings


def _store(value: Any, source: str) -> str:
    if isinstance(value, os.PathLike):
        value = os.fsdecode(value)
    if not isinstance(value, str) or not value or "\0" in value or not _encodable(value):
        raise InvalidArgumentError(f"store ({source}) must be a folder or {MEMORY}, not {value!r}")
    if value == MEMORY:
        return MEMORY
    scheme, colon, _ = value.partition(":")
    if colon and scheme.replace("+", "").isalnum() and not os.path.exists(value):
        if scheme != "file":
            raise InvalidArgumentError(
                f"store ({source}): there is no catalog for {scheme}:, only folders and {MEMORY}"
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
    if value not in (FILES, MEMORY):
        raise InvalidArgumentError(f"storage ({source}) must be {FILES!r} or {MEMORY!r}, not {value!r}")
    return str(value)


def _durability(value: Any, source: str) -> str:
    if value not in DURABILITIES:
        raise InvalidArgumentError(f"durability ({source}) must be 'process' or 'power', not {value!r}")
    return str(value)


def _inline(value: Any, source: str) -> int:
    try:
        size = int(value)
    except (TypeError, ValueError):
        size = -1
    if isinstance(value, (bool, float)) or not 0 <= size <= 1 << 28:
        raise InvalidArgumentError(f"inline ({source}) must be a number of bytes up to 256 MB, not {value!r}")
    return size


def _timeout(value: Any, source: str) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if isinstance(value, bool) or not 0 <= seconds < float("inf"):
        raise InvalidArgumentError(f"timeout ({source}) must be a number of seconds, not {value!r}")
    return seconds


_SETTINGS: dict[str, Callable[[Any, str], Any]] = {
    "store": _store,
    "storage": _storage,
    "durability": _durability,
    "inline": _inline,
    "timeout": _timeout,
}
