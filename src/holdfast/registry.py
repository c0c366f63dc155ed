"""Names and types to serializers, names to storages.

What ships with Holdfast stands in one static table, so that nothing is imported before a value of its type is met.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, NamedTuple, Union

from .errors import InvalidArgumentError, NotRegisteredError
from .serializers.base import Serializer, StreamSerializer
from .storages.asynchronous import AsyncStorage
from .storages.base import Storage

__all__ = [
    "BUILT_IN",
    "BUILT_IN_STORAGES",
    "BUILT_IN_STREAMS",
    "ENTRY_POINTS",
    "PICKLE",
    "VALUE",
    "VALUE_STREAM",
    "AnySerializer",
    "AnyStorage",
    "BuiltIn",
    "Registry",
]

VALUE = "holdfast.value@v1"
PICKLE = "holdfast.pickle@v1"
"""Names of the serializers for nested plain data, and for whatever no other takes."""

VALUE_STREAM = "holdfast.value-stream@v1"
"""Name of the serializer for streams of items that no other takes."""

ENTRY_POINTS = "holdfast.serializers"
"""The entry-point group in which other packages announce classes (or instances) of serializers of both kinds."""

_PANDAS = "holdfast.pandas@v1"
_NAME = re.compile(r"[a-z0-9_.-]+@v[0-9]+", re.ASCII)

AnySerializer = Union[Serializer, type[Serializer], StreamSerializer, type[StreamSerializer]]
AnyStorage = Union[Storage, type[Storage], AsyncStorage, type[AsyncStorage]]
"""An instance, or a class: a serializer's is made when first needed, a storage's by the store."""


class BuiltIn(NamedTuple):
    """A shipped serializer: where its class is, and what the class says of itself (a test compares the two)."""

    target: str
    content_types: tuple[str, ...]
    types: tuple[str, ...] = ()


def _names(prefix: str, names: str) -> tuple[str, ...]:
    return tuple(f"{prefix}.{name}" for name in names.split())


_PATHS = "PosixPath PurePosixPath PureWindowsPath WindowsPath"

BUILT_IN: Mapping[str, BuiltIn] = {
    "holdfast.bytes@v1": BuiltIn("plain:BytesSerializer", ("application/octet-stream",), ("builtins.bytes",)),
    "holdfast.text@v1": BuiltIn("plain:TextSerializer", ("text/plain; charset=utf-8",), ("builtins.str",)),
    # Before int: of two with the same content type the first reads it.
    "holdfast.json@v1": BuiltIn("json:JsonSerializer", ("application/json",)),
    "holdfast.int@v1": BuiltIn("plain:IntSerializer", ("application/json",), ("builtins.int",)),
    VALUE: BuiltIn(
        "value:ValueSerializer",
        ("application/msgpack",),
        _names("builtins", "NoneType bool float complex dict list tuple set frozenset bytearray")
        + _names("datetime", "date datetime time timedelta")
        + ("decimal.Decimal", "uuid.UUID")
        + _names("pathlib", _PATHS)
        + _names("pathlib._local", _PATHS),
    ),
    "holdfast.numpy@v1": BuiltIn(
        "numpy:NumpySerializer",
        ("application/vnd.holdfast.numpy",),
        _names(
            "numpy",
            "ndarray bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 intc uintc longlong ulonglong "
            "float16 float32 float64 longdouble complex64 complex128 clongdouble datetime64 timedelta64 "
            "str_ bytes_ void",
        ),
    ),
    _PANDAS: BuiltIn(
        "pandas:PandasSerializer",
        ("application/vnd.holdfast.pandas",),
        _names("pandas", "DataFrame Series Index RangeIndex MultiIndex CategoricalIndex DatetimeIndex TimedeltaIndex")
        + _names("pandas", "PeriodIndex IntervalIndex")
        + _names("pandas.core", "frame.DataFrame series.Series")
        + _names("pandas.core.indexes", "base.Index range.RangeIndex multi.MultiIndex category.CategoricalIndex")
        + _names("pandas.core.indexes", "datetimes.DatetimeIndex timedeltas.TimedeltaIndex period.PeriodIndex")
        + _names("pandas.core.indexes", "interval.IntervalIndex"),
    ),
    "holdfast.polars@v1": BuiltIn(
        "polars:PolarsSerializer",
        ("application/vnd.holdfast.polars",),
        ("polars.dataframe.frame.DataFrame", "polars.series.series.Series"),
    ),
    "holdfast.arrow@v1": BuiltIn(
        "arrow:ArrowSerializer",
        ("application/vnd.apache.arrow.stream",),
        _names("pyarrow.lib", "Table RecordBatch"),
    ),
    "holdfast.pillow@v1": BuiltIn(
        "pillow:PillowSerializer",
        ("image/png", "application/vnd.holdfast.image"),
        _names("PIL", "Image.Image BmpImagePlugin.BmpImageFile GifImagePlugin.GifImageFile")
        + _names("PIL", "Jpeg2KImagePlugin.Jpeg2KImageFile JpegImagePlugin.JpegImageFile PngImagePlugin.PngImageFile")
        + _names("PIL", "PpmImagePlugin.PpmImageFile TiffImagePlugin.TiffImageFile WebPImagePlugin.WebPImageFile"),
    ),
    PICKLE: BuiltIn("pickle:PickleSerializer", ("application/x-python-pickle",)),
}
"""The shipped serializers by name; targets are below ``holdfast.serializers``."""

BUILT_IN_STREAMS: Mapping[str, BuiltIn] = {
    VALUE_STREAM: BuiltIn("value.stream:ValueStreamSerializer", ("application/vnd.holdfast.values",)),
    "holdfast.json-lines@v1": BuiltIn("json:JsonLinesSerializer", ("application/jsonl",)),
}
"""The shipped stream serializers, likewise; their types are those of items."""

BUILT_IN_STORAGES: Mapping[str, str] = {
    "holdfast.file@v1": "holdfast.storages.file:FileStorage",
    "holdfast.fsspec@v1": "holdfast.storages.fsspec:FsspecStorage",
    "holdfast.inline@v1": "holdfast.storages.inline:InlineStorage",
    "holdfast.memory@v1": "holdfast.storages.memory:MemoryStorage",
    "holdfast.objectstore@v1": "holdfast.storages.objectstore:ObjectStorage",
    "holdfast.routed@v1": "holdfast.storages.objectstore:RoutedStorage",
}
"""The shipped storages by name, each as ``module:Class``."""


class _Serializers(NamedTuple):
    """Serializers by name, and their names by type and by content type, and those of streams by the type of an item; of
    equal ones the last one added."""

    by_name: dict[str, AnySerializer | BuiltIn]
    types: dict[str, str]
    content_types: dict[str, str]
    items: dict[str, str]

    @classmethod
    def none(cls) -> _Serializers:
        return cls({}, {}, {}, {})

    def copy(self) -> _Serializers:
        return _Serializers(self.by_name.copy(), self.types.copy(), self.content_types.copy(), self.items.copy())

    def add(self, name: str, serializer: AnySerializer | BuiltIn) -> None:
        content_types = [_normal(text) for text in serializer.content_types]  # what raises, raises before all changes
        if _is_of_streams(name, serializer):
            self.items.update(dict.fromkeys(serializer.types, name))
        else:
            self.types.update(dict.fromkeys(serializer.types, name))
            self.content_types.update(dict.fromkeys(content_types, name))
        self.by_name[name] = serializer


def _is_of_streams(name: str, serializer: Any) -> bool:
    if isinstance(serializer, BuiltIn):
        return name in BUILT_IN_STREAMS
    return issubclass(serializer if isinstance(serializer, type) else type(serializer), StreamSerializer)


class Registry:
    """Which serializer takes a value or reads a record, and which storage is meant by a name. Immutable.

    Args:
        serializers: instances or classes, of whole values or of streams, added to those of ``base``; among equal names
            or types the last one wins.
        storages: instances or classes, likewise.
        base: what to add to; None for :meth:`default`.

    Attributes:
        by_type: exact types met so far to their serializers: a cache for the hot path (``by_type.get(type(value))``),
            which :meth:`for_value` fills. Read it only.

    Raises:
        InvalidArgumentError: something that is no serializer or storage, or whose name is not like ``my.table@v1``.
    """

    def __init__(
        self,
        serializers: Iterable[AnySerializer] = (),
        storages: Iterable[AnyStorage] = (),
        base: Registry | None = None,
    ) -> None:
        self._added = tuple(serializers), tuple(storages)
        self._base: Registry | None = base or Registry.default()
        self._build()

    @classmethod
    def default(cls) -> Registry:
        """The shipped serializers and storages, and those that installed packages announce; one per process."""
        global _default
        if _default is None:
            made = object.__new__(cls)
            made._added, made._base = ((), ()), None
            made._build()
            _default = made
        return _default

    def extend(self, *, serializers: Iterable[AnySerializer] = (), storages: Iterable[AnyStorage] = ()) -> Registry:
        """A new registry with these added; this one stays as it is."""
        return Registry(serializers, storages, self)

    def _build(self) -> None:
        base = self._base
        self.by_type: dict[type, Serializer] = {}
        self._made: dict[str, Serializer] = {}
        self._made_streams: dict[str, StreamSerializer] = {}
        self._storages: dict[str, AnyStorage | str] = dict(BUILT_IN_STORAGES if base is None else base._storages)
        if base is None:
            self._known = _Serializers.none()
            for name, entry in reversed([*BUILT_IN.items(), *BUILT_IN_STREAMS.items()]):
                self._known.add(name, entry)  # so that the first of a content type is the last one added
        else:
            self._known = base._known.copy()
        for serializer in self._added[0]:
            self._known.add(_check(serializer, (Serializer, StreamSerializer), "serializer"), serializer)
        for storage in self._added[1]:
            self._storages[_check(storage, (Storage, AsyncStorage), "storage")] = storage

    def serializer(self, name: str) -> Serializer:
        """The serializer of that name.

        Raises:
            NotRegisteredError: there is none, or one of streams; names that look alike are given.
        """
        found = self._made.get(name)
        return found if found is not None else self._make(name, of_streams=False)

    def stream_serializer(self, name: str) -> StreamSerializer:
        """The stream serializer of that name.

        Raises:
            NotRegisteredError: there is none, or one of whole values; names that look alike are given.
        """
        found = self._made_streams.get(name)
        return found if found is not None else self._make(name, of_streams=True)

    def reader(self, name: str) -> Serializer | StreamSerializer:
        """The serializer that reads what is recorded under that name, of whichever kind it is.

        Raises:
            NotRegisteredError: there is none; names that look alike are given.
        """
        made: Serializer | StreamSerializer = self._make(name, _is_of_streams(name, self._given(name)))
        return made

    def for_items(self, value: Any) -> StreamSerializer:
        """The stream serializer for items of exactly this one's type; that for any values where nobody names it."""
        full_name = f"{type(value).__module__}.{type(value).__qualname__}"
        name = self._known.items.get(full_name) or _plugins().items.get(full_name)
        return self.stream_serializer(name or VALUE_STREAM)

    def for_value(self, value: Any) -> Serializer:
        """The serializer chosen for the value's exact type; the pickle one for types that nobody has named.

        A subclass is another type: an ``OrderedDict`` is not a dict and would not come back as one.
        """
        found = self.by_type.get(type(value))
        return found if found is not None else self.for_type(type(value)) or self.serializer(PICKLE)

    def for_type(self, kind: type) -> Serializer | None:
        """The serializer that names this exact type, None when there is none."""
        found = self.by_type.get(kind)
        if found is None:
            full_name = f"{kind.__module__}.{kind.__qualname__}"
            name = self._known.types.get(full_name) or _plugins().types.get(full_name)
            if name is None:  # not remembered: a class made in a function would live as long as the registry
                return None
            found = self.by_type.setdefault(kind, self.serializer(name))
        return found

    def for_content_type(self, content_type: str) -> Serializer:
        """The serializer that reads this MIME type; parameters count only where they are registered.

        Raises:
            NotRegisteredError: none does.
        """
        full = _normal(content_type)
        for known in (self._known.content_types, _plugins().content_types):
            name = known.get(full) or known.get(full.partition(";")[0])
            if name is not None:
                return self.serializer(name)
        near = _near(full, self._known.content_types)
        raise NotRegisteredError(f"no serializer reads the content type {content_type!r}{near}")

    def storage(self, name: str) -> AnyStorage:
        """The storage class or instance of that name.

        Raises:
            NotRegisteredError: there is none; names that look alike are given.
        """
        found: Any = self._storages.get(name)
        if found is None:
            raise NotRegisteredError(f"no storage is named {name!r}{_near(name, self._storages)}")
        return _load(found) if isinstance(found, str) else found  # type: ignore[no-any-return]

    def _given(self, name: str) -> AnySerializer | BuiltIn:
        given = self._known.by_name.get(name) or _plugins().by_name.get(name)
        if given is None:
            near = _near(name, {**self._known.by_name, **_plugins().by_name})
            failed = "".join(f"; the entry point {what}" for what in _failures)
            raise NotRegisteredError(f"no serializer is named {name!r}{near}{failed}")
        return given

    def _make(self, name: str, of_streams: bool) -> Any:
        given = self._given(name)
        if _is_of_streams(name, given) is not of_streams:
            wanted = "of streams: use put_stream" if not of_streams else "of whole values: use put"
            raise NotRegisteredError(f"the serializer {name!r} is {wanted}")
        if isinstance(given, BuiltIn):
            made = self._make_built_in(name, given)
        else:
            made = given() if isinstance(given, type) else given
        made_before: dict[str, Any] = self._made_streams if of_streams else self._made
        return made_before.setdefault(name, made)

    def _make_built_in(self, name: str, given: BuiltIn) -> Any:
        kind = _load("holdfast.serializers." + given.target)
        if name == VALUE:
            made = kind(self._for_nested, self.serializer)
        elif name == VALUE_STREAM:
            made = kind(self.serializer(VALUE))
        elif name == _PANDAS:
            # A frame's parts may hold arrays and Arrow columns, but no frames: bytes that nest without end cannot be.
            parts = {part: self.serializer(part) for part in ("holdfast.numpy@v1", "holdfast.arrow@v1")}
            made = kind(_load("holdfast.serializers." + BUILT_IN[VALUE].target)(*_only(parts)))
        else:
            made = kind()
        return made

    def _for_nested(self, kind: type) -> Serializer | None:
        found = self.for_type(kind)
        return None if found is None or found.executable or found.name == VALUE else found

    # Equal when made of equal parts, so that one unpickled again and again is one configuration, and opens one store.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Registry) and (self._added, self._base) == (other._added, other._base)

    def __hash__(self) -> int:
        return hash((self._added, self._base))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_shipped, ()) if self._base is None else (Registry, (*self._added, self._base))

    def __repr__(self) -> str:
        added = ", ".join(thing.name for group in self._added for thing in group)
        return f"<Registry of the shipped serializers and storages{' and ' + added if added else ''}>"


_default: Registry | None = None


def _shipped() -> Registry:  # what pickles name: a function of a module is one that every pickler knows by reference
    return Registry.default()


_found: _Serializers | None = None
_failures: list[str] = []


def _plugins() -> _Serializers:
    """What installed packages announce; looked for once per process, at the first name or type that is not ours."""
    global _found
    if _found is None:
        from importlib.metadata import entry_points  # slow to import

        plugins = _Serializers.none()
        for entry in entry_points(group=ENTRY_POINTS):
            try:
                serializer = entry.load()
                plugins.add(_check(serializer, (Serializer, StreamSerializer), "serializer"), serializer)
            except Exception as error:  # one broken package must not stop the others; who asks for it by name is told
                _failures.append(f"{entry.name} = {entry.value} failed: {error}")
                warnings.warn(
                    f"the Holdfast serializer {entry.name} = {entry.value} cannot be used: {error}", stacklevel=3
                )
        _found = plugins
    return _found


def _only(parts: dict[str, Serializer]) -> tuple[Any, Any]:
    """Lookups by type and by name that know these serializers and no others."""
    types = {kind: serializer for serializer in parts.values() for kind in serializer.types}

    def for_type(kind: type) -> Serializer | None:
        return types.get(f"{kind.__module__}.{kind.__qualname__}")

    def by_name(name: str) -> Serializer:
        if name not in parts:
            raise NotRegisteredError(f"{name!r} may not be a part of a frame")
        return parts[name]

    return for_type, by_name


def _check(thing: Any, kinds: tuple[type, ...], what: str) -> str:
    """The name of a serializer or storage, given as instance or class."""
    if not (isinstance(thing, kinds) or (isinstance(thing, type) and issubclass(thing, kinds))):
        names = " or ".join(f"{kind.__module__}.{kind.__name__}" for kind in kinds)
        raise InvalidArgumentError(f"{thing!r} is no {what}: give a subclass of {names}, or an instance")
    name = getattr(thing, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        shown = f"has the name {name!r}" if name is not None else "has no name"
        raise InvalidArgumentError(
            f"the {what} {thing!r} {shown}: it must be like my.table@v1 (small letters, digits, _ . -)"
        )
    return name


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def _normal(content_type: str) -> str:
    return content_type.lower().replace(" ", "")


def _near(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    names = list(known)
    near = [full for full in names if name in full][:3] or get_close_matches(name, names, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(near)}?" if near else ""
