"""Values whose large parts lie beside them in one record, each kept by a class of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Unpack

from ..address import check_key, format_address
from ..contents import Unread, read_object
from ..errors import DecodeError, EncodeError, InvalidArgumentError, NotFoundError
from ..kernel import Kernel
from ..model import STORABLE, Record
from ..options import Plan, PutOptions
from ..reading import seen
from ..scope import BaseScope
from ..storable.base import Storable, Unpacker, full_name
from ..values import RAISE
from .contract import FILE_PROTOCOL, S3_PROTOCOL
from .outgoing import VALUE, Outgoing
from .pickling import holds_nothing, load, take
from .protocols import Incoming, protocols_over
from .stored import stored_part
from .table import Table

__all__ = ["Apart", "ApartUnpacker", "delete", "get", "put", "registered"]

_given: ContextVar[Table | None] = ContextVar("holdfast_apart", default=None)

_peeking: ContextVar[list[Mapping[str, Any]] | None] = ContextVar("holdfast_apart_peeking", default=None)
"""Set where only what a record says of its parts is wanted."""

_CLASS_ID = "6f1d3a0e"


@contextmanager
def registered(serializers: Iterable[Any] | Table) -> Iterator[Table]:
    """A block in which values are read by these classes, where their names are those that wrote them."""
    table = serializers if isinstance(serializers, Table) else Table(serializers)
    token = _given.set(table)
    try:
        yield table
    finally:
        _given.reset(token)


class ApartUnpacker(Unpacker):
    """Makes values again of records that :func:`put` has made."""

    name = "holdfast.apart@v1"

    def unpack_object(self, obj: Any, registry: Any, /) -> dict[str, dict[str, Any]]:
        """Refuses: it is :func:`put` that takes values apart."""
        raise EncodeError("values are taken apart by holdfast.apart.put")

    def repack_object(self, cls: type[Any], contents: Mapping[str, Mapping[str, Any]], registry: Any, /) -> Any:
        """See the contract."""
        packed, peeking = _packed(contents), _peeking.get()
        if peeking is not None:
            peeking.append(packed)
            return None
        path, key = packed["place"]
        where = format_address(path, key)

        def protocols() -> Mapping[str, Any]:
            files = {
                name: stored_part(content, (path, f"{key} [{name}]"))
                for name, content in contents.items()
                if name != VALUE and isinstance(content, Unread)
            }
            return protocols_over(Incoming(files, where), packed["protocol"])

        return load(packed, _given.get() or Table(), protocols, where)


def _packed(contents: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    packed = contents[VALUE]["value"] if VALUE in contents else None
    if not isinstance(packed, dict) or "format" not in packed:
        raise DecodeError("a record of a value that was taken apart has no value")
    return packed


class _Anything(type):
    """What was put may be of any class, and comes back as that."""

    def __instancecheck__(cls, instance: object) -> bool:
        return True


class Apart(Storable, metaclass=_Anything, class_id=_CLASS_ID, unpacker=ApartUnpacker()):
    """What records of values that were taken apart say that they are. No object is of this class."""


def put(
    scope: BaseScope[Any],
    key: str,
    value: Any,
    *,
    serializers: Iterable[Any] | Table = (),
    protocol: str | None = None,
    **options: Unpack[PutOptions],
) -> Record:
    """Store a value as ``scope.put`` does, with its parts of certain types beside it in the same record: dask arrays
    and frames, polars' lazy frames, and whatever is of a type that one of the ``serializers`` keeps, wherever they are
    in it. All of it becomes visible in one commit, and is replaced and removed together. ``scope.get`` gives it back.

    Args:
        serializers: classes; see :class:`~holdfast.apart.contract.PersistentSerializer`.
        protocol: by which they write; by default :data:`FILE_PROTOCOL`, and :data:`S3_PROTOCOL` where the store's bytes
            are on another machine.
        options: as of ``scope.put``. What lies in a memory cannot be taken apart.

    Raises:
        EncodeError, StorageFullError, ConflictError, InvalidArgumentError: as of ``scope.put``; nothing was written.
    """
    table = serializers if isinstance(serializers, Table) else Table(serializers)
    kernel, ledger, path, plan = scope._kernel, scope._ledger, scope.path, scope._plan(options)
    check_key(key)
    if isinstance(value, Storable) or plan.serializer is not None or holds_nothing(kernel.registry, table, value):
        return BaseScope.put(scope, key, value, **options)
    protocol = _protocol(kernel, protocol)
    if plan.conditional:
        kernel.sessions.settle()
    begun: list[Outgoing] = []

    def begin() -> Mapping[str, Any]:
        _check_tier(plan)
        begun.append(Outgoing(kernel, ledger, path, key, plan))
        return protocols_over(begun[0], protocol)

    try:
        taken = take(value, table, begin, lambda: begun[0].close_files())
        if not begun:
            return BaseScope.put(scope, key, value, **options)
        config = Apart.storable_config()
        assert config is not None
        thing = (config.class_id, config.unpacker.name, full_name(Apart))
        return begun[0].commit(taken.packed(protocol, (path, key)), thing)
    finally:
        if begun:
            begun[0].discard()


def _check_tier(plan: Plan) -> None:
    if plan.tier is not None:
        raise InvalidArgumentError("what goes apart is durable: compute it first, or put it without tier=")


def _protocol(kernel: Kernel, given: str | None) -> str:
    if given is None:
        return S3_PROTOCOL if kernel.storage.remote else FILE_PROTOCOL
    if given not in (FILE_PROTOCOL, S3_PROTOCOL):
        raise InvalidArgumentError(f"protocol must be {FILE_PROTOCOL!r} or {S3_PROTOCOL!r}, not {given!r}")
    return given


def get(
    scope: BaseScope[Any], key: str, default: Any = RAISE, *, serializers: Iterable[Any] | Table = (), **options: Any
) -> Any:
    """A value, as ``scope.get`` gives it; what these classes have kept is read by them."""
    with registered(serializers):
        return BaseScope.get(scope, key, default, **options)


def delete(
    scope: BaseScope[Any], key: str, *, serializers: Iterable[Any] | Table = (), **options: Any
) -> Record | None:
    """Remove a record, as ``scope.delete`` does, and then have the classes remove what they have kept elsewhere.

    Raises:
        NotFoundError: there is none; and what the classes raise, when the record is gone.
    """
    packed = _kept_by(scope, key)
    record = BaseScope.delete(scope, key, **options)
    if packed is not None:
        table = serializers if isinstance(serializers, Table) else Table(serializers)
        where = format_address(scope.path, key)
        protocols = protocols_over(Incoming({}, where), packed["protocol"])
        for name, version, filename in packed["ids"]:
            table.named(name, packed["classes"].get(name), where).remove((version, filename), protocols)
    return record


def _kept_by(scope: BaseScope[Any], key: str) -> Mapping[str, Any] | None:
    """What a record says of its parts; None for one that has none, or that cannot be read."""
    kernel = scope._kernel
    row = seen(kernel, scope._ledger, scope.path, check_key(key))
    if row is None or kernel.catalog.codec(row[6]).serializer != STORABLE:
        return None
    if read_object(row[7], format_address(scope.path, key))[1] != ApartUnpacker.name:
        return None
    found: list[Mapping[str, Any]] = []
    token = _peeking.set(found)
    try:
        BaseScope.get(scope, key)
    except (DecodeError, NotFoundError):  # it was altered, and is removed all the same
        return None
    finally:
        _peeking.reset(token)
    return found[0] if found else None
