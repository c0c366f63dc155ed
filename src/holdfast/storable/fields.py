"""Objects with fields, taken apart: plain values lie together in one content, ``body``, others in one each.

The body is ``{"fields": {name: value}, "marked": [names]}``. In the values of marked fields a dict whose only key is
``holdfast`` stands for something else, by the first item of its list:

================================================  ====================================================================
``["content", name]``                             the content of that name
``["object", class id, class, body]``             an object with fields
``["contents", class id, class, unpacker, names]``  an object with another unpacker: names of its contents to those here
``["dict", value]``                               a dict whose only key is ``holdfast``
================================================  ====================================================================
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from ..contents import Unread, named
from ..errors import DecodeError, EncodeError, HoldfastError, NotRegisteredError
from ..payload import OUT_OF_BAND
from ..registry import VALUE, Registry
from ..serializers.base import StreamSerializer
from .base import Storable, StorableConfig, Unpacker, full_name

__all__ = ["BODY", "Field", "FieldStorable", "FieldUnpacker"]

BODY = "body"
"""Name of the content that has all plain values."""

_MARK = "holdfast"
_SCALARS = {type(None), bool, int, float}
_NUMBER = 64  # bytes that none of a library's own numbers has
_LONG = {str, bytes, bytearray}


class Field(NamedTuple):
    """A field of an object, and how it asks to be stored: a serializer, of a value or of a stream, and a storage, by
    name, class or instance, or None."""

    name: str
    value: Any
    serializer: Any = None
    storage: Any = None


class FieldStorable(Storable):
    """Base of classes whose objects a :class:`FieldUnpacker` takes apart."""

    def storable_body_serializer(self, registry: Any) -> Any:
        """The serializer of the plain values, by name, class or instance; None for the one of plain data."""
        return None

    def storable_body_storage(self, registry: Any) -> Any:
        """The storage of the plain values, likewise; None for the store's own, or the catalog while they are few."""
        return None


class FieldUnpacker(Unpacker):
    """Takes objects apart by their fields, and those that are nested in them, also in lists, tuples and dicts."""

    @abstractmethod
    def fields_of(self, obj: Any) -> Iterable[Field]:
        """The fields of an object that are stored."""

    @abstractmethod
    def make(self, cls: type[Any], fields: dict[str, Any]) -> Any:
        """The object of these fields; a value may be an :class:`~holdfast.contents.Unread`.

        Raises:
            DecodeError: they are not those of the class.
        """

    def nested(self, value: Any) -> Mapping[str, Any] | None:
        """The values in something that is no storable and that :meth:`make` makes anew; None for other things."""
        return None

    def unpack_object(self, obj: Any, registry: Any, /) -> dict[str, dict[str, Any]]:
        """See the contract."""
        serializer = obj.storable_body_serializer(registry)
        is_rich = getattr(serializer, "name", serializer) in (None, VALUE)
        is_rich = is_rich or getattr(serializer, "keeps_plain_values", False)
        taking = _Taking(registry, self, full_name(type(obj)), is_rich)
        try:
            body = taking.body(self, obj, "")
        except RecursionError as error:
            raise EncodeError(f"{full_name(type(obj))} is nested too deeply, or holds itself") from error
        own = {"value": body, "serializer": serializer or VALUE, "storage": obj.storable_body_storage(registry)}
        return {BODY: own, **taking.contents}

    def repack_object(self, cls: type[Any], contents: Mapping[str, Mapping[str, Any]], registry: Any, /) -> Any:
        """See the contract."""
        if "value" not in contents.get(BODY, ()):
            raise DecodeError(f"a {full_name(cls)} has a content {BODY!r}, and here is none")
        return _Making(registry, contents).object(self, cls, contents[BODY]["value"])


class _Taking:
    """An object being taken apart.

    Attributes:
        contents: those beside the body.
    """

    def __init__(self, registry: Registry, unpacker: FieldUnpacker, kind: str, rich: bool) -> None:
        self._registry = registry
        self._unpacker = unpacker
        self._kind = kind
        self._rich = rich  # the body may have all plain values, and not only those of JSON
        self._marks = 0
        self._within: set[int] = set()
        self._once: dict[int, str] = {}  # iterators, and the contents that they are
        self.contents: dict[str, dict[str, Any]] = {}

    def body(self, unpacker: FieldUnpacker, obj: Any, path: str) -> dict[str, Any]:
        if id(obj) in self._within:
            raise EncodeError(f"{full_name(type(obj))} holds itself, by {path.rstrip('/')}")
        self._within.add(id(obj))
        fields, marked = {}, []
        for field in unpacker.fields_of(obj):
            before = self._marks
            fields[field.name] = self._field(field, path + field.name)
            marked += [field.name] if self._marks > before else []
        self._within.discard(id(obj))
        return {"fields": fields, "marked": marked}

    def _field(self, field: Field, path: str) -> Any:
        value = field.value
        if value is None or isinstance(value, Storable):
            return self.value(value, path)
        if not (isinstance(value, Unread) or _is_stream(value)) and field.serializer is None and field.storage is None:
            return self.value(value, path, direct=True)
        kind = "value_stream" if self._is_streamed(field.serializer, value) else "value"
        return self._content(path, **{kind: value, "serializer": field.serializer, "storage": field.storage})

    def _is_streamed(self, serializer: Any, value: Any) -> bool:
        if serializer is None:
            return value.part.stream if isinstance(value, Unread) else _is_stream(value)
        with suppress(NotRegisteredError):  # which is told when it is to be used
            return isinstance(self._registry.reader(getattr(serializer, "name", serializer)), StreamSerializer)
        return False

    def value(self, value: Any, path: str, direct: bool = False) -> Any:
        """A value as it stands in the body: itself, or with marks for what is elsewhere."""
        kind = type(value)
        if kind in _SCALARS or (kind in _LONG and len(value) < OUT_OF_BAND and (self._rich or kind is str)):
            return value
        if kind is list or (kind is tuple and self._rich):
            if _SCALARS.issuperset(map(type, value)):
                return value
            return kind(self.value(item, f"{path}/{n}") for n, item in enumerate(value))
        if kind is dict and (self._rich or all(type(key) is str for key in value)):
            made = {key: self.value(item, f"{path}/{key}") for key, item in value.items()}
            return self._mark("dict", made) if made.keys() == {_MARK} else made
        if isinstance(value, Storable):
            return self._storable(value, path)
        nested = self._unpacker.nested(value)
        if nested is not None:
            return self.value(dict(nested), path)
        if self._rich and self._stays(value, direct):
            return value
        if _is_stream(value):
            return self._content(path, value_stream=value)
        return self._content(path, value=value)

    def _stays(self, value: Any, direct: bool) -> bool:
        """Whether a value lies in the body: plain ones, numbers of libraries, and small arrays in lists and dicts."""
        serializer = self._registry.for_type(type(value))
        if serializer is None or serializer.executable:
            return False
        if serializer.name == VALUE:
            return True
        size = getattr(value, "nbytes", None)
        return isinstance(size, int) and size < (_NUMBER if direct else OUT_OF_BAND)

    def _storable(self, value: Storable, path: str) -> Any:
        config = value.storable_config()
        assert isinstance(config, StorableConfig)
        class_id, kind = config.class_id, type(value)
        unpacker = self._registry.unpacker(config.unpacker.name, kind)
        if isinstance(unpacker, FieldUnpacker):
            return self._mark("object", class_id, full_name(kind), self.body(unpacker, value, f"{path}/"))
        names = {}
        for name, content in unpacker.unpack_object(value, self._registry).items():
            names[name] = self._named(f"{path}/{name}", dict(content))
        return self._mark("contents", class_id, full_name(kind), unpacker.name, names)

    def _content(self, path: str, **content: Any) -> Any:
        return self._mark("content", self._named(path, content))

    def _named(self, name: str, content: dict[str, Any]) -> str:
        while name in self.contents or name == BODY:
            name += "_"
        stream = content.get("value_stream")
        if isinstance(stream, (AsyncIterator, Iterator)) and self._once.setdefault(id(stream), name) != name:
            both = f"{self._once[id(stream)]} and {name}"
            raise EncodeError(f"{self._kind}: {both} are one iterator, which is read once: give each its own")
        self.contents[name] = content
        return name

    def _mark(self, *what: Any) -> dict[str, Any]:
        self._marks += 1
        return {_MARK: list(what)}


def _is_stream(value: Any) -> bool:
    return isinstance(value, (AsyncIterable, Iterator))


class _Making:
    """An object being made again of its contents."""

    def __init__(self, registry: Registry, contents: Mapping[str, Mapping[str, Any]]) -> None:
        self._registry = registry
        self._contents = dict(contents)

    def object(self, unpacker: FieldUnpacker, cls: type[Any], body: Any) -> Any:
        try:
            fields, marked = dict(body["fields"]), list(body["marked"])
            for name in marked:
                fields[name] = self._value(fields[name], direct=True)
        except HoldfastError:
            raise
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise DecodeError(f"the body of a {full_name(cls)} is not one that was written: {error!r}") from error
        return unpacker.make(cls, fields)

    def _value(self, value: Any, direct: bool = False) -> Any:
        kind = type(value)
        if kind is list or kind is tuple:
            return kind(map(self._value, value))
        if kind is not dict:
            return value
        if value.keys() != {_MARK}:
            return {key: self._value(item) for key, item in value.items()}
        what, *rest = value[_MARK]
        if what == "dict":
            return {key: self._value(item) for key, item in rest[0].items()}
        if what == "content":
            content = self._contents[rest[0]]
            if direct and isinstance(content, Unread) and content.part.member is not None and not content.is_read:
                return content
            return content["value" if "value" in content else "value_stream"]
        with named(str(rest[1])):
            cls = self._registry.storable(rest[0])
        if what == "object":
            config = cls.storable_config(allow_none=True)
            unpacker = None if config is None else self._registry.unpacker(config.unpacker.name, cls)
            if not isinstance(unpacker, FieldUnpacker):
                raise DecodeError(f"{full_name(cls)} was stored by its fields, and has another unpacker now")
            return self.object(unpacker, cls, rest[2])
        if what != "contents":
            raise ValueError(f"unknown mark {what!r}")
        # Taken away, as they are of that object alone: two that name the same ones would be made twice at each depth.
        contents = {name: self._contents.pop(here) for name, here in rest[3].items()}
        return self._registry.unpacker(rest[2], cls).repack_object(cls, contents, self._registry)
