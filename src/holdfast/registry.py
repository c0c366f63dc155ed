"""Names and types to serializers, names to storages and unpackers, ids to classes.

What ships with Holdfast stands in one static table, so that nothing is imported before a value of its type is met.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple, Union

from .errors import InvalidArgumentError, NotRegisteredError
from .serializers.base import Serializer, StreamSerializer
from .storable.base import Storable, Unpacker, full_name, known_storable, twice
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
    "AnyUnpacker",
    "BuiltIn",
    "Registry",
]

VALUE = "holdfast.value@v1"
PICKLE = "holdfast.pickle@v1"
"""Names of the serializers for nested plain data, and for whatever no other takes."""

VALUE_STREAM = "holdfast.value-stream@v1"
"""Name of the serializer for streams of items that no other takes."""

ENTRY_POINTS = "holdfast."
"""What the names of the entry-point groups begin with in which other packages announce components:
``holdfast.serializers``, ``storages``, ``unpackers`` and ``storables``."""

_PANDAS = "holdfast.pandas@v1"
_NAME = re.compile(r"[a-z0-9_.-]+@v[0-9]+", re.ASCII)

AnySerializer = Union[Serializer, type[Serializer], StreamSerializer, type[StreamSerializer]]
AnyStorage = Union[Storage, type[Storage], AsyncStorage, type[AsyncStorage]]
AnyUnpacker = Union[Unpacker, type[Unpacker]]
"""An instance, or a class: a storage's is made by the store, another when first needed."""


class BuiltIn(NamedTuple):
    """A shipped serializer: where its class is, and what the class says of itself (a test compares the two)."""

    target: str
    content_types: tuple[str, ...]
    types: tuple[str, ...] = ()


def _names(prefix: str, names: str) -> tuple[str, ...]:
    return tuple(f"{prefix}.{name}" for name in names.split())


_PATHS = "PosixPath PurePosixPath PureWindowsPath WindowsPath"

_ARROW, _ARROW_FILE = "application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file"
_PARQUET = "application/vnd.apache.parquet"
_ARROW_TYPES = _names("pyarrow.lib", "Table RecordBatch")

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
        (_ARROW,),
        _ARROW_TYPES,
    ),
    "holdfast.pillow@v1": BuiltIn(
        "pillow:PillowSerializer",
        ("image/png", "application/vnd.holdfast.image"),
        _names("PIL", "Image.Image BmpImagePlugin.BmpImageFile GifImagePlugin.GifImageFile")
        + _names("PIL", "Jpeg2KImagePlugin.Jpeg2KImageFile JpegImagePlugin.JpegImageFile PngImagePlugin.PngImageFile")
        + _names("PIL", "PpmImagePlugin.PpmImageFile TiffImagePlugin.TiffImageFile WebPImagePlugin.WebPImageFile"),
    ),
    "holdfast.plotly@v1": BuiltIn(
        "plotly:PlotlySerializer", ("application/vnd.plotly.v1+json",), ("plotly.graph_objs._figure.Figure",)
    ),
    "holdfast.png@v1": BuiltIn("pillow:PngSerializer", ("image/png",)),
    "holdfast.msgpack@v1": BuiltIn("value.messages:MsgpackSerializer", ("application/msgpack",)),
    "holdfast.csv@v1": BuiltIn("csv:CsvSerializer", ("text/csv; charset=utf-8",)),
    "holdfast.iso8601@v1": BuiltIn("iso8601:Iso8601Serializer", ("text/plain; charset=utf-8",)),
    **{
        f"holdfast.{name}@v1": BuiltIn(target, (content_type,))
        for name, target, content_type in (
            ("arrow-file", "arrow.tables:ArrowFileSerializer", _ARROW_FILE),
            ("pandas-arrow-file", "pandas.tables:PandasArrowFileSerializer", _ARROW_FILE),
            ("polars-arrow-file", "polars.tables:PolarsArrowFileSerializer", _ARROW_FILE),
            ("parquet", "arrow.tables:ParquetSerializer", _PARQUET),
            ("pandas-parquet", "pandas.tables:PandasParquetSerializer", _PARQUET),
            ("polars-parquet", "polars.tables:PolarsParquetSerializer", _PARQUET),
        )
    },
    PICKLE: BuiltIn("pickle:PickleSerializer", ("application/x-python-pickle",)),
}
"""The shipped serializers by name; targets are below ``holdfast.serializers``."""

BUILT_IN_STREAMS: Mapping[str, BuiltIn] = {
    VALUE_STREAM: BuiltIn("value.stream:ValueStreamSerializer", ("application/vnd.holdfast.values",)),
    "holdfast.json-lines@v1": BuiltIn("json:JsonLinesSerializer", ("application/jsonl",)),
    "holdfast.msgpack-stream@v1": BuiltIn("value.messages:MsgpackStreamSerializer", ("application/x-msgpack-stream",)),
    "holdfast.csv-rows@v1": BuiltIn("csv:CsvRowsSerializer", ("text/csv; charset=utf-8",)),
    "holdfast.video@v1": BuiltIn("video:VideoSerializer", ("video/matroska",)),
    "holdfast.arrow-stream@v1": BuiltIn("arrow.tables:ArrowStreamSerializer", (_ARROW,), _ARROW_TYPES),
    **{
        f"holdfast.{name}-stream@v1": BuiltIn(target, (content_type,))
        for name, target, content_type in (
            ("pandas-arrow", "pandas.tables:PandasArrowStreamSerializer", _ARROW),
            ("polars-arrow", "polars.tables:PolarsArrowStreamSerializer", _ARROW),
            ("parquet", "arrow.tables:ParquetStreamSerializer", _PARQUET),
            ("pandas-parquet", "pandas.tables:PandasParquetStreamSerializer", _PARQUET),
            ("polars-parquet", "polars.tables:PolarsParquetStreamSerializer", _PARQUET),
        )
    },
}
"""The shipped stream serializers, likewise; their types are those of items."""

BUILT_IN_STORAGES: Mapping[str, str] = {
    "holdfast.dask@v1": "holdfast.storages.dask:DaskMemory",
    "holdfast.file@v1": "holdfast.storages.file:FileStorage",
    "holdfast.fsspec@v1": "holdfast.storages.fsspec:FsspecStorage",
    "holdfast.http@v1": "holdfast.storages.http:HTTPStorage",
    "holdfast.inline@v1": "holdfast.storages.inline:InlineStorage",
    "holdfast.local@v1": "holdfast.storages.local:LocalMemory",
    "holdfast.memory@v1": "holdfast.storages.memory:MemoryStorage",
    "holdfast.objectstore@v1": "holdfast.storages.objectstore:ObjectStorage",
    "holdfast.ray@v1": "holdfast.storages.ray:RayMemory",
    "holdfast.routed@v1": "holdfast.storages.objectstore:RoutedStorage",
}
"""The shipped storages by name, each as ``module:Class``."""


class _Components:
    """Components by name (storables by class id), serializers also by type and content type, those of streams by the
    type of an item; of equal ones the last one added counts."""

    def __init__(self) -> None:
        self.serializers: dict[str, AnySerializer | BuiltIn] = {}
        self.types: dict[str, str] = {}
        self.content_types: dict[str, str] = {}
        self.items: dict[str, str] = {}
        self.storages: dict[str, AnyStorage | str] = {}
        self.unpackers: dict[str, AnyUnpacker] = {}
        self.storables: dict[str, type[Storable]] = {}

    def add(self, thing: Any) -> None:
        """Add one, whatever it is.

        Raises:
            InvalidArgumentError: it is none, its name is not like ``my.table@v1``, or its class id is another's.
        """
        if _is(thing, *_KINDS["serializers"]):
            self.add_serializer(_check_name(thing), thing)
        elif _is(thing, *_KINDS["storages"]):
            self.storages[_check_name(thing)] = thing
        elif _is(thing, Unpacker):
            self.unpackers[_check_name(thing)] = thing
        else:
            class_id, unpacker = thing.storable_config()
            other = self.storables.setdefault(class_id, thing)
            if full_name(other) != full_name(thing):
                raise twice(class_id, other, thing)
            self.storables[class_id] = thing
            self.unpackers[_check_name(unpacker)] = unpacker

    def add_serializer(self, name: str, serializer: AnySerializer | BuiltIn) -> None:
        content_types = [_normal(text) for text in serializer.content_types]  # what raises, raises before all changes
        if _is_of_streams(name, serializer):
            self.items.update(dict.fromkeys(serializer.types, name))
        else:
            self.types.update(dict.fromkeys(serializer.types, name))
            self.content_types.update(dict.fromkeys(content_types, name))
        self.serializers[name] = serializer


def _is_of_streams(name: str, serializer: Any) -> bool:
    return name in BUILT_IN_STREAMS if isinstance(serializer, BuiltIn) else _is(serializer, StreamSerializer)


class Registry:
    """Which serializer takes a value or reads a record, which storage is meant by a name, and which class by an id.
    Immutable.

    To what ships with Holdfast are added, of equal names, types or ids the last one: what the modules have, then what
    was added to the registries, then what the other arguments name. An entry of an installed package comes last of all.

    Args:
        serializers: instances or classes, of whole values or of streams.
        storages: instances or classes.
        storables: classes of objects with several contents. Those that are not named here are known while they are
            defined in the process; to name them makes sure that they are.
        unpackers: instances or classes; that of a storable need not be named.
        modules: modules, or their names: the components that their ``__all__`` has, classes before instances.
        registries: registries.

    Attributes:
        by_type: exact types met so far to their serializers: a cache for the hot path (``by_type.get(type(value))``),
            which :meth:`for_value` fills. Read it only.

    Raises:
        InvalidArgumentError: something of another kind, a name that is not like ``my.table@v1``, two classes of one
            id, or a module without ``__all__``.
    """

    def __init__(
        self,
        serializers: Iterable[AnySerializer] = (),
        storages: Iterable[AnyStorage] = (),
        *,
        storables: Iterable[type[Storable]] = (),
        unpackers: Iterable[AnyUnpacker] = (),
        modules: Iterable[str | ModuleType] = (),
        registries: Iterable[Registry] = (),
    ) -> None:
        given = {"serializers": serializers, "storages": storages, "unpackers": unpackers, "storables": storables}
        added = [thing for module in modules for thing in _exported(module)]
        for registry in registries:
            if not isinstance(registry, Registry):
                raise InvalidArgumentError(f"registries takes registries, not {registry!r}")
            added += registry._added
        added += [_check(thing, argument) for argument, things in given.items() for thing in things]
        self._build(tuple(added))

    @classmethod
    def default(cls) -> Registry:
        """The shipped serializers and storages, and what installed packages announce; one per process."""
        global _default
        if _default is None:
            _default = Registry()
        return _default

    def extend(self, **more: Any) -> Registry:
        """A new registry with these added, by the arguments of :class:`Registry`; this one stays as it is."""
        return Registry(registries=[self, *more.pop("registries", ())], **more)

    def _build(self, added: tuple[Any, ...]) -> None:
        self._added = added
        self.by_type: dict[type, Serializer] = {}
        self._made: dict[str, Serializer] = {}
        self._made_streams: dict[str, StreamSerializer] = {}
        self._known = _Components()
        self._known.storages.update(BUILT_IN_STORAGES)
        for name, entry in reversed([*BUILT_IN.items(), *BUILT_IN_STREAMS.items()]):
            self._known.add_serializer(name, entry)  # so that the first of a content type is the last one added
        for thing in added:
            self._known.add(thing)

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
        made: Serializer | StreamSerializer = self._make(name, _is_of_streams(name, self._find("serializers", name)))
        return made

    def for_items(self, value: Any) -> StreamSerializer:
        """The stream serializer for items of exactly this one's type; that for any values where nobody names it."""
        kind = full_name(type(value))
        return self.stream_serializer(self._known.items.get(kind) or _plugins().items.get(kind) or VALUE_STREAM)

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
            kind_name = full_name(kind)
            name = self._known.types.get(kind_name) or _plugins().types.get(kind_name)
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
        found: Any = self._find("storages", name)
        return _load(found) if isinstance(found, str) else found  # type: ignore[no-any-return]

    def storable(self, class_id: str) -> type[Storable]:
        """The class of an id, of 32 hex digits.

        Raises:
            NotRegisteredError: none that is registered, or defined in this process, has it.
        """
        found: type[Storable] = (
            self._known.storables.get(class_id) or known_storable(class_id) or self._find("storables", class_id)
        )
        return found

    def unpacker(self, name: str, kind: type[Storable] | None = None) -> Unpacker:
        """The unpacker of that name: the one that is registered, else that of the class ``kind``.

        Raises:
            NotRegisteredError: there is none; names that look alike are given.
        """
        config = None if kind is None or name in self._known.unpackers else kind.storable_config(allow_none=True)
        if config is not None and config.unpacker.name == name:
            return config.unpacker
        return _instance(self._find("unpackers", name))  # type: ignore[no-any-return]

    def _find(self, group: str, name: str) -> Any:
        """A component by name, of what is registered or else of what installed packages announce."""
        known: dict[str, Any] = getattr(self._known, group)
        found = known.get(name) or getattr(_plugins(), group).get(name)
        if found is None:
            near = _near(name, {**known, **getattr(_plugins(), group)})
            failed = "".join(f"; the entry point {what}" for what in _failures)
            if group == "storables":
                near = ": import its module, or give it to Registry(storables=[...])"
            what = "storable class that is known here has the id" if group == "storables" else f"{group[:-1]} is named"
            raise NotRegisteredError(f"no {what} {name!r}{near}{failed}")
        return found

    def _make(self, name: str, of_streams: bool) -> Any:
        given = self._find("serializers", name)
        if _is_of_streams(name, given) is not of_streams:
            wanted = "of streams: use put_stream" if not of_streams else "of whole values: use put"
            raise NotRegisteredError(f"the serializer {name!r} is {wanted}")
        made = self._make_built_in(name, given) if isinstance(given, BuiltIn) else _instance(given)
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
        return isinstance(other, Registry) and self._added == other._added

    def __hash__(self) -> int:
        return hash(self._added)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, self._added

    def __repr__(self) -> str:
        added = ", ".join(full_name(thing) if _is(thing, Storable) else thing.name for thing in self._added)
        return f"<Registry of what ships with Holdfast{' and ' + added if added else ''}>"


_default: Registry | None = None


def _unpickled(*added: Any) -> Registry:  # a function of a module is what every pickler knows by reference
    if not added:
        return Registry.default()
    made = object.__new__(Registry)
    made._build(added)
    return made


_found: _Components | None = None
_failures: list[str] = []


def _plugins() -> _Components:
    """What installed packages announce; looked for once per process, at the first name or type that is not ours."""
    global _found
    if _found is None:
        from importlib.metadata import entry_points  # slow to import

        plugins = _Components()
        for group in _KINDS:
            for entry in entry_points(group=f"{ENTRY_POINTS}{group}"):
                try:
                    plugins.add(_check(entry.load(), group))
                except Exception as error:  # a broken package must not stop the others; who asks for it by name is told
                    _failures.append(f"{entry.name} = {entry.value} failed: {error}")
                    warnings.warn(
                        f"the entry {entry.name} = {entry.value} of {ENTRY_POINTS}{group} cannot be used: {error}",
                        stacklevel=3,
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


_KINDS: dict[str, tuple[type, ...]] = {
    "serializers": (Serializer, StreamSerializer),
    "storages": (Storage, AsyncStorage),
    "unpackers": (Unpacker,),
    "storables": (Storable,),
}


def _is(thing: Any, *kinds: type) -> bool:
    """Whether it is an instance of one of these, or a class below one."""
    return isinstance(thing, kinds) or (isinstance(thing, type) and issubclass(thing, kinds))


def _check(thing: Any, argument: str) -> Any:
    """Give a component back when it can be one of that argument of the registry's."""
    kinds = _KINDS[argument]
    if _is(thing, *kinds) and (argument != "storables" or isinstance(thing, type)):
        return thing
    names = " or ".join(map(full_name, kinds))
    instance = "" if argument == "storables" else ", or an instance"
    raise InvalidArgumentError(f"{thing!r} is no {argument.removesuffix('s')}: give a subclass of {names}{instance}")


def _check_name(thing: Any) -> str:
    name = getattr(thing, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        shown = f"has the name {name!r}" if name is not None else "has no name"
        raise InvalidArgumentError(f"{thing!r} {shown}: it must be like my.table@v1 (small letters, digits, _ . -)")
    return name


def _exported(module: Any) -> list[Any]:
    """The components that a module's ``__all__`` has, what cannot be one itself aside; classes first, so that an
    instance beside its class counts."""
    if isinstance(module, str):
        try:
            module = import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise  # something that the module itself needs
            raise InvalidArgumentError(f"modules names {module!r}, and there is no module {error.name}") from error
    if not isinstance(getattr(module, "__all__", None), (list, tuple)):
        raise InvalidArgumentError(
            f"{module!r} is read by its __all__, and has none: write there which of its names are to be registered"
        )
    things = []
    for name in module.__all__:
        thing: Any = getattr(module, name)
        if isinstance(thing, type) and issubclass(thing, Storable):
            usable = thing.storable_config(allow_none=True) is not None
        else:
            named = not getattr(thing, "__abstractmethods__", ()) and getattr(thing, "name", None) is not None
            usable = named and any(_is(thing, *kinds) for kinds in _KINDS.values())
        things += [thing] if usable else []
    return sorted(things, key=lambda thing: not isinstance(thing, type))


def _instance(thing: Any) -> Any:
    return thing() if isinstance(thing, type) else thing


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
