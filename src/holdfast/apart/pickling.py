"""A value as a pickle in which what goes apart is only named."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import DecodeError, EncodeError, HoldfastError
from ..payload import OUT_OF_BAND
from ..registry import Registry
from ..storable.base import full_name
from .contract import PersistentSerializer
from .table import Table, reference

__all__ = ["Taken", "holds_nothing", "load", "take"]

_FORMAT = 1

_PLAIN = ("builtins.", "datetime.", "decimal.", "uuid.", "pathlib.")
_CONTAINERS = ("list", "dict", "tuple", "set", "frozenset")


class Taken:
    """A value without what went apart.

    Attributes:
        pickle: the rest, with a persistent id for each of what went.
        buffers: its large buffers.
        classes: the classes that keep what went, by name.
        ids: ``(name, version, filename)`` of each; the pickle has its place here.
    """

    def __init__(self) -> None:
        self.pickle = b""
        self.buffers: list[pickle.PickleBuffer] = []
        self.classes: dict[str, Any] = {}
        self.ids: list[tuple[str, Any, str]] = []

    def packed(self, protocol: str, place: Any) -> dict[str, Any]:
        """As the record has it, itself pickled and signed."""
        return {
            "format": _FORMAT, "pickle": self.pickle, "buffers": self.buffers, "classes": self.classes,
            "ids": self.ids, "protocol": protocol, "place": place,
        }  # fmt: skip


def holds_nothing(registry: Registry, table: Table, value: Any) -> bool:
    """Whether a value is known not to have anything in it that goes apart, by its type alone."""
    kind = type(value)
    if table.of(kind) is not None:
        return False
    name = full_name(kind)
    if name.startswith(_PLAIN):
        return name.partition(".")[2] not in _CONTAINERS
    if getattr(getattr(value, "dtype", None), "hasobject", False):
        return False
    return kind.__module__.partition(".")[0] in ("numpy", "pyarrow", "PIL") and registry.for_type(kind) is not None


def take(value: Any, table: Table, begin: Callable[[], Mapping[str, Any]], closing: Callable[[], None]) -> Taken:
    """Take a value apart: each part of a type that the table knows is given to its class, once.

    Args:
        begin: gives the protocols, when the first part is met.
        closing: called after each, to close what its class has left open.

    Raises:
        EncodeError: the rest cannot be pickled, or a class gave no persistent id; and what the classes raise.
    """
    import cloudpickle  # as for every value that needs it

    taken = Taken()
    seen: dict[int, int] = {}
    kept: list[Any] = []
    protocols: list[Mapping[str, Any]] = []

    class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def persistent_id(self, obj: Any) -> Any:
            found = table.of(type(obj))
            if found is None:
                return None
            if id(obj) not in seen:
                if not protocols:
                    protocols.append(begin())
                taken.ids.append(_given_away(found, obj, protocols[0]))
                closing()
                taken.classes[found.name] = reference(found)
                seen[id(obj)] = len(taken.ids) - 1
                kept.append(obj)  # so that no other one gets its id
            return seen[id(obj)]

    def in_band(buffer: pickle.PickleBuffer) -> bool:
        try:
            if len(buffer.raw()) < OUT_OF_BAND:
                return True
        except BufferError:  # not contiguous
            return True
        taken.buffers.append(buffer)
        return False

    file = io.BytesIO()
    try:
        _Pickler(file, protocol=5, buffer_callback=in_band).dump(value)
    except (HoldfastError, MemoryError, OSError):
        raise
    except RecursionError:
        raise EncodeError(f"this {full_name(type(value))} is nested too deeply to be pickled") from None
    except (pickle.PicklingError, AttributeError, TypeError, ValueError) as error:
        raise EncodeError(f"cannot store this {full_name(type(value))}: {error}") from error
    taken.pickle = file.getvalue()
    return taken


def _given_away(found: type[PersistentSerializer], obj: Any, protocols: Mapping[str, Any]) -> tuple[str, Any, str]:
    given: Any = found.pickle(obj, protocols)
    try:
        name, (version, filename) = given
    except (TypeError, ValueError):
        name = filename = version = None
    if name != found.name or not isinstance(filename, str):
        raise EncodeError(
            f"{full_name(found)}.pickle must give ({found.name!r}, (version, filename)), and gave {given!r:.200}"
        )
    return name, version, filename


def load(packed: Mapping[str, Any], table: Table, protocols: Callable[[], Mapping[str, Any]], where: str) -> Any:
    """The value again.

    Raises:
        DecodeError: it cannot be loaded.
        NotRegisteredError: a class is not here; and what the classes raise.
    """
    made: dict[int, Any] = {}
    opened: list[Mapping[str, Any]] = []

    class _Unpickler(pickle.Unpickler):
        def persistent_load(self, pid: Any) -> Any:
            if pid not in made:
                name, version, filename = packed["ids"][pid]
                if not opened:
                    opened.append(protocols())
                found = table.named(name, packed["classes"].get(name), where)
                made[pid] = found.unpickle((version, filename), opened[0])
            return made[pid]

    if packed.get("format") != _FORMAT:
        raise DecodeError(f"{where} was taken apart by a later Holdfast (format {packed.get('format')!r}): update")
    try:
        return _Unpickler(io.BytesIO(packed["pickle"]), buffers=packed["buffers"]).load()
    except (HoldfastError, MemoryError):
        raise
    except ModuleNotFoundError as error:
        raise DecodeError(f"loading {where} needs the module {error.name}, which is missing here") from error
    except Exception as error:
        raise DecodeError(f"loading {where} failed: {type(error).__name__}: {error}") from error
