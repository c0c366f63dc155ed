"""The registry: Holdfast's own, asked as labox asks."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any
from uuid import UUID

from ....errors import InvalidArgumentError, NotRegisteredError
from ....registry import Registry as NativeRegistry
from ....storable.base import Storable as NativeStorable
from ....storable.base import full_name
from .component import Component
from .serializer import Serializer, StreamSerializer
from .storage import Storage

__all__ = ["Registry"]

_ROOT = __name__.removesuffix(".core.registry")


class Registry(NativeRegistry):
    """Which component is meant by a name, a content type, or a value's class and those above it. Immutable.

    Modules are read by their ``__all__``; those of labox are ours by their own names, too. Of equal names the last one
    counts: those of modules, then of registries, then of the other arguments.

    Args:
        default_storage: True for the last one of the storages, or a storage, for contents that name none.

    Raises:
        InvalidArgumentError: something of another kind, or a name that is none (a ValueError).
    """

    def __init__(
        self,
        *,
        modules: Iterable[str | ModuleType] | None = None,
        registries: Iterable[NativeRegistry] | None = None,
        storables: Iterable[type[NativeStorable]] | None = None,
        unpackers: Iterable[Any] | None = None,
        serializers: Iterable[Any] | None = None,
        storages: Iterable[Any] | None = None,
        default_storage: bool | Storage | None = False,
    ) -> None:
        if not isinstance(default_storage, bool | Storage | None):
            raise InvalidArgumentError(f"default_storage is True, False or a Storage, not {default_storage!r}")
        given = [default_storage] if isinstance(default_storage, Storage) else []
        super().__init__(
            serializers or (),
            [*(storages or ()), *given],
            storables=storables or (),
            unpackers=unpackers or (),
            modules=[_ours(module) for module in modules or ()],
            registries=registries or (),
        )
        last = next((thing for thing in reversed(self._added) if isinstance(thing, Storage)), None)
        self._default = last if default_storage else None

    def _build(self, added: tuple[Any, ...]) -> None:
        added = tuple([thing for thing in added if not (isinstance(thing, type) and issubclass(thing, Component))])
        super()._build(added)  # of what modules have, labox takes the instances
        self._asked: dict[tuple[type, Any], Any] = {}  # by kind of serializer, and class or content type
        for thing in added:
            if isinstance(thing, Serializer | StreamSerializer):
                kind = Serializer if isinstance(thing, Serializer) else StreamSerializer
                for key in (*thing.types, *map(_plain, thing.content_types)):
                    self._asked[kind, key] = thing

    def get_default_storage(self) -> Storage:
        """The storage for contents that name none; ValueError where there is no default."""
        if self._default is None:
            raise InvalidArgumentError(
                "no default storage is set: Registry(…, default_storage=True) takes the last one"
            )
        return self._default

    def has_storable(self, cls: type[Any], *, raise_if_missing: bool = False) -> bool:
        """Whether a class is registered.

        Raises:
            TypeError: it is no storable class.
            NotRegisteredError: it is not, and ``raise_if_missing`` is set.
        """
        if not issubclass(cls, NativeStorable):
            raise TypeError(f"{full_name(cls)} is no storable class")
        config = cls.storable_config(allow_none=True)
        known = config is not None and config.class_id in self._known.storables
        if raise_if_missing and not known:
            raise NotRegisteredError(f"{full_name(cls)} is not registered: Registry(storables=[{cls.__name__}])")
        return known

    def get_storable(self, class_id: UUID | str) -> type[Any]:
        """The class of an id, of those that are registered here."""
        found = self._known.storables.get(UUID(str(class_id)).hex)
        if found is None:
            raise NotRegisteredError(f"no storable class has the id {class_id}: Registry(storables=[…]) names them")
        return found

    def get_serializer(self, name: str) -> Any:
        """The serializer of a name."""
        return self.serializer(name)

    def get_stream_serializer(self, name: str) -> Any:
        """The stream serializer of a name."""
        return self.stream_serializer(name)

    def get_unpacker(self, name: str) -> Any:
        """The unpacker of a name."""
        return self.unpacker(name)

    def get_storage(self, name: str) -> Any:
        """The storage of a name."""
        return self.storage(name)

    def infer_unpacker(self, cls: type[Any]) -> Any:
        """The unpacker of a class, or of the next one above that is registered; ValueError where there is none."""
        for base in cls.__mro__:
            if issubclass(base, NativeStorable) and base in self._known.storables.values():
                return base.storable_config().unpacker  # type: ignore[union-attr]
        raise InvalidArgumentError(f"no unpacker takes {full_name(cls)}")

    def get_serializer_by_type(self, cls: type[Any]) -> Any:
        """The serializer for a class, or for the next one above that one names; ValueError where there is none."""
        return self._by_type(Serializer, cls)

    def get_stream_serializer_by_type(self, cls: type[Any]) -> Any:
        """The stream serializer for items of a class, likewise."""
        return self._by_type(StreamSerializer, cls)

    def get_serializer_by_content_type(self, content_type: str) -> Any:
        """The serializer for a content type, parameters aside."""
        return self._by_content_type(Serializer, content_type)

    def get_stream_serializer_by_content_type(self, content_type: str) -> Any:
        """The stream serializer for a content type, likewise."""
        return self._by_content_type(StreamSerializer, content_type)

    def _by_type(self, kind: type, cls: type[Any]) -> Any:
        for base in cls.__mro__:
            found = self._asked.get((kind, base))
            if found is not None:
                return found
        raise InvalidArgumentError(f"no {_word(kind)} takes {full_name(cls)}: register one, or name one for it")

    def _by_content_type(self, kind: type, content_type: str) -> Any:
        found = self._asked.get((kind, _plain(content_type)))
        if found is None:
            raise NotRegisteredError(f"no {_word(kind)} has the content type {content_type!r}")
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Registry) and (self._added, self._default) == (other._added, other._default)

    def __hash__(self) -> int:
        return hash((self._added, self._default))

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self._added, self._default)


def _again(added: tuple[Any, ...], default: Storage | None) -> Registry:
    made = object.__new__(Registry)
    made._build(added)
    made._default = default
    return made


def _ours(module: Any) -> Any:
    """A module's name; one of labox' own is ours."""
    return (
        _ROOT + module.removeprefix("labox")
        if isinstance(module, str) and f"{module}.".startswith("labox.")
        else module
    )


def _plain(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _word(kind: type) -> str:
    return "serializer" if kind is Serializer else "stream serializer"
