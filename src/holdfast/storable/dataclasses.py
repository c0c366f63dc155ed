"""Dataclasses as storables, whose large fields are read when they are first used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from ..contents import Unread
from ..errors import DecodeError, EncodeError, InvalidArgumentError
from .base import full_name
from .fields import Field, FieldStorable, FieldUnpacker

__all__ = ["DataclassUnpacker", "StorableDataclass"]

_NONE: Any = object()


class _Later:
    """A field of a class that may have objects which were got and have not read it yet. It reads it when it is asked
    for, and stands in front of what the class had for the field: a slot, a default, or nothing."""

    def __init__(self, name: str, before: Any) -> None:
        self._name = name
        self._before = before
        self._slot = hasattr(before, "__set__")

    def raw(self, obj: Any) -> Any:
        """The value, or what is to be read."""
        if self._slot:
            return self._before.__get__(obj)
        try:
            return obj.__dict__[self._name]
        except KeyError:
            return self.__get__(None)

    def __get__(self, obj: Any, kind: type | None = None) -> Any:
        if obj is not None:
            value = self.raw(obj)
            if type(value) is Unread:  # isinstance would ask the class of Mapping
                value = value.value
                self.__set__(obj, value)
            return value
        if self._before is _NONE:
            raise AttributeError(self._name)
        return self._before

    def __set__(self, obj: Any, value: Any) -> None:
        if self._slot:
            self._before.__set__(obj, value)
        else:
            vars(obj)[self._name] = value

    def __delete__(self, obj: Any) -> None:
        if self._slot:
            self._before.__delete__(obj)
        else:
            del vars(obj)[self._name]


def _static(cls: type, name: str) -> Any:
    return next((vars(kind)[name] for kind in cls.__mro__ if name in vars(kind)), _NONE)


class DataclassUnpacker(FieldUnpacker):
    """Takes dataclasses apart; see :class:`StorableDataclass`."""

    name = "holdfast.dataclass@v1"

    def fields_of(self, obj: Any) -> Iterator[Field]:
        """The fields that its constructor takes.

        Raises:
            EncodeError: one was never set; or the constructor takes something else, so that it could not make it again.
        """
        _check_constructor(type(obj))
        for name, (_, serializer, storage) in _fields(type(obj)).items():
            standing = _static(type(obj), name)
            try:
                value = standing.raw(obj) if isinstance(standing, _Later) else getattr(obj, name)
            except AttributeError:
                raise EncodeError(f"{full_name(type(obj))}.{name} was never set, or deleted") from None
            yield Field(name, value, serializer, storage)

    def make(self, cls: type[Any], fields: dict[str, Any]) -> Any:
        """The object; what is not read yet is read at its first use."""
        known = _fields(cls)
        extra = [name for name in fields if name not in known]
        if extra and cls._storable_extra_fields == "forbid":
            raise DecodeError(
                f"{full_name(cls)} has no field {extra[0]}, and one was stored: class {cls.__name__}(..., "
                'extra_fields="ignore") leaves it away'
            )
        missing = [name for name, (required, *_) in known.items() if required and name not in fields]
        if missing:
            raise DecodeError(f"{full_name(cls)}.{missing[0]} was not stored, and has no default: give it one")
        given = {name: value for name, value in fields.items() if name in known}
        own = getattr(cls.__init__, "__code__", None)  # a constructor of its own has no use for what is unread
        generated = own is not None and own.co_filename == "<string>"
        for name, value in given.items():
            if isinstance(value, Unread):
                if generated:
                    standing = _static(cls, name)
                    if not isinstance(standing, _Later):
                        setattr(cls, name, _Later(name, standing))
                else:
                    given[name] = value.value
        return cls(**given)


def _fields(cls: type) -> dict[str, tuple[bool, Any, Any]]:
    """The fields that a class is made of: whether each must be given, and its serializer and storage."""
    from dataclasses import MISSING, fields, is_dataclass

    found: dict[str, tuple[bool, Any, Any]] | None = vars(cls).get("_storable_fields")
    if found is None:
        if not is_dataclass(cls):
            raise InvalidArgumentError(f"{full_name(cls)} is no dataclass: decorate it by @dataclass")
        found = {}
        for field in fields(cls):
            required, of = field.default is MISSING and field.default_factory is MISSING, field.metadata.get
            if field.init:
                found[field.name] = required, of("serializer", of("stream_serializer")), of("storage")
        cls._storable_fields = found  # type: ignore[attr-defined]
    return found


def _check_constructor(cls: type) -> None:
    """Refuse a class whose constructor cannot be called with its fields by name."""
    fault: str | None = vars(cls).get("_storable_fault")
    if fault is None:
        from inspect import signature

        own: Any = cls.__init__  # type: ignore[misc]
        fault, given = "", dict.fromkeys(_fields(cls))
        try:
            signature(_nothing if own is object.__init__ else own).bind(None, **given)
        except TypeError as error:
            fault = f"{error}; give what is no field a default, and declare by field(init=False) what it does not take"
        cls._storable_fault = fault  # type: ignore[attr-defined]
    if fault:
        raise EncodeError(f"{full_name(cls)} could not be made again of its fields by its constructor: {fault}")


def _nothing(self: object) -> None:
    """What ``object.__init__`` takes."""


class StorableDataclass(FieldStorable, unpacker=DataclassUnpacker()):
    """Base of dataclasses that are stored field by field.

    ::

        @dataclass
        class Run(StorableDataclass, class_id="5f0c2a71"):
            speed: float
            frame: pd.DataFrame = field(metadata={"storage": "my.archive@v1"})

    Plain values, and storables nested in the object, lie together in one content. Any other is a content of its own: by
    the serializer for its type, or the one that the field's ``metadata`` names by ``serializer`` (``stream_serializer``
    is the same). An iterator is stored as a stream. ``storage`` there names where it lies. Of an object that was got,
    contents that lie in a storage are read at their first use.

    Fields are given by keyword. A field that was not stored takes its default; one that the class has no more is an
    error, or is left away with ``extra_fields="ignore"``.
    """

    _storable_extra_fields: ClassVar[str] = "forbid"

    def __init_subclass__(cls, extra_fields: str | None = None, **more: Any) -> None:
        super().__init_subclass__(**more)
        if extra_fields is not None:
            if extra_fields not in ("forbid", "ignore"):
                raise InvalidArgumentError(f"extra_fields is 'forbid' or 'ignore', not {extra_fields!r}")
            cls._storable_extra_fields = extra_fields
        from dataclasses import KW_ONLY

        own = cls.__annotations__
        if not any(kind is KW_ONLY or str(kind).endswith("KW_ONLY") for kind in own.values()):
            cls.__annotations__ = {"_": KW_ONLY, **own}
