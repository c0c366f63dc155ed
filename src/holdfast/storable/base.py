"""The contract of objects that are stored as several contents: a class with a permanent id, and who takes it apart."""

from __future__ import annotations

import gc
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple
from weakref import WeakValueDictionary

from ..errors import InvalidArgumentError

__all__ = ["Storable", "StorableConfig", "Unpacker", "check_class_id", "full_name", "known_storable", "twice"]

_known: WeakValueDictionary[str, type[Storable]] = WeakValueDictionary()
_definers: dict[str, int] = {}  # the threads that defined them
_entering = threading.RLock()  # a destructor may define a class anywhere


class Unpacker(ABC):
    """Takes objects of some classes apart into named contents, and makes them again of these.

    It keeps no state between calls and may be used from many threads at once. What it once took apart it puts together
    for ever: a change of format is a new name.

    Attributes:
        name: permanent and unique, ``owner.what@v1``.
    """

    name: ClassVar[str]

    @abstractmethod
    def unpack_object(self, obj: Any, registry: Any, /) -> Mapping[str, Mapping[str, Any]]:
        """The contents of an object by their names: of each ``{"value": ...}``, or ``{"value_stream": ...}`` for an
        iterable, synchronous or not, that is stored item by item. Beside it there may be a ``"serializer"`` and a
        ``"storage"``, each as a registered name, class or instance, or None.

        Raises:
            EncodeError: this object cannot be stored; the message names its class and field.
        """

    @abstractmethod
    def repack_object(self, cls: type[Any], contents: Mapping[str, Mapping[str, Any]], registry: Any, /) -> Any:
        """The object again, of the class that has its id now, of such contents; what is large may be read only when
        its ``"value"`` is asked for.

        Raises:
            DecodeError: these contents make no such object; the message names class and field.
        """


class StorableConfig(NamedTuple):
    """What a class says of how it is stored: its id, of 32 hex digits, and its unpacker."""

    class_id: str
    unpacker: Unpacker


class Storable:
    """Base of classes whose objects are stored as several contents, each by its own serializer in its own storage.

    ::

        class Run(StorableDataclass, class_id="5f0c2a71"): ...

    The id stands in every record in place of the class's name: the class may be renamed and moved, the id never
    changes. Classes below do not inherit it. One that is not to be stored itself needs none; ``"..."`` warns and
    suggests one.

    Args:
        class_id: 8 to 32 hex digits, of this class alone.
        unpacker: who takes its objects apart; by default that of the class above.

    Raises:
        InvalidArgumentError: an id that is none, or that another class has.
    """

    _storable_class_id: ClassVar[str | None] = None
    _storable_unpacker: ClassVar[Unpacker | None] = None

    def __init_subclass__(cls, class_id: str | None = None, unpacker: Unpacker | None = None, **more: Any) -> None:
        super().__init_subclass__(**more)
        if unpacker is not None:
            if not isinstance(unpacker, Unpacker):
                raise InvalidArgumentError(f"the unpacker of {full_name(cls)} is {unpacker!r}: give an Unpacker")
            cls._storable_unpacker = unpacker
        if class_id is not None:
            cls._storable_class_id = check_class_id(cls, class_id)
        elif "_storable_class_id" not in vars(cls):  # a dataclass with slots is made a second time, with what it has
            cls._storable_class_id = None
        if cls._storable_class_id is not None:
            _enter(cls, cls._storable_class_id)

    @classmethod
    def storable_config(cls, *, allow_none: bool = False) -> StorableConfig | None:
        """Id and unpacker of this class; with ``allow_none`` None where it lacks one of them.

        Raises:
            InvalidArgumentError: it lacks one of them.
        """
        class_id, unpacker = cls._storable_class_id, cls._storable_unpacker
        if class_id is not None and unpacker is not None:
            return StorableConfig(class_id, unpacker)
        if allow_none:
            return None
        missing = f'class id: class {cls.__name__}(..., class_id="{_suggested()}")'
        raise InvalidArgumentError(
            f"{full_name(cls)} cannot be stored: give it a "
            + (missing if class_id is None else "class above, or unpacker=, that says how to take it apart")
        )


def full_name(kind: type) -> str:
    """Module and name of a class."""
    return f"{kind.__module__}.{kind.__qualname__}"


def known_storable(class_id: str) -> type[Storable] | None:
    """The class of an id, of those that are defined in this process; None when there is none."""
    return _known.get(class_id)


def check_class_id(cls: type, class_id: Any) -> str | None:
    """A class id as records have it, of 32 hex digits; None for ``"..."``, with a warning that suggests one.

    Raises:
        InvalidArgumentError: it is none.
    """
    if class_id == "...":
        import warnings

        warnings.warn(
            f'{full_name(cls)} cannot be stored before it has an id: class_id="{_suggested()}"',
            UserWarning,
            stacklevel=3,
        )
        return None
    if isinstance(class_id, str) and 8 <= len(class_id) <= 32 and not class_id.strip("0123456789abcdefABCDEF"):
        return class_id.lower().ljust(32, "0")
    raise InvalidArgumentError(
        f"{full_name(cls)} has the class_id {class_id!r}: it must be 8 to 32 hex digits, such as {_suggested()!r}"
    )


def twice(class_id: str, one: type, other: type) -> InvalidArgumentError:
    """The error for two classes of one id."""
    return InvalidArgumentError(
        f"{full_name(one)} and {full_name(other)} have the same class_id {class_id}: give the newer one its own, "
        f"such as {_suggested()!r}"
    )


def _suggested() -> str:
    from secrets import token_hex

    return token_hex(4)


def _enter(cls: type[Storable], class_id: str) -> None:
    """Make it the class of its id, unless another one is."""
    collected = False
    while True:
        other = _known.get(class_id)
        if other is None or _succeeds(cls, other, _definers.get(class_id)):
            with _entering:  # nothing of others runs in here, which could wait for another thread
                if _known.get(class_id) is other:
                    _known[class_id], _definers[class_id] = cls, threading.get_ident()
                    return
        elif collected:
            raise twice(class_id, other, cls)
        else:
            del other
            gc.collect()  # classes refer to themselves: one that nobody has any more may still be there
            collected = True


def _succeeds(new: type, old: type, definer: int | None) -> bool:
    """Whether a class takes the place of another one: it is defined anew, or that one is not to be found any more."""
    if full_name(new) == full_name(old):
        return True
    modules = [sys.modules.get(kind.__module__) for kind in (new, old)]
    file, other_file = (getattr(module, "__file__", None) for module in modules)
    if new.__qualname__ == old.__qualname__ and file is not None and file == other_file:
        return True  # imported by a module that runs as __main__
    try:
        return attrgetter(old.__qualname__)(modules[1]) is not old
    except AttributeError:  # it was deleted; or it never had a place in its module, or is getting it only now
        busy = definer != threading.get_ident() and any(thread.ident == definer for thread in threading.enumerate())
        return "<locals>" not in old.__qualname__ and not busy
