"""What a worker does with one node: reads its inputs, makes the call, and stores what came of it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple

from ..address import Path
from ..catalog.base import InlineRow, Put
from ..context import current_context
from ..errors import EncodeError, NotFoundError
from ..model import STORABLE
from ..options import PutOptions
from ..scope import BaseScope
from ..serializers.pickle import PickleSerializer
from ..storable.base import Storable
from ..writing import inline_row, prepare
from .node import MAKE, fill

__all__ = ["Call", "Lies", "Outcome", "Place", "Taken", "Unstorable", "Value", "carried", "inside", "work"]

_SMALL = 1 << 15  # bytes up to which a result travels with the messages; larger ones are read from the store

_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_pickles = PickleSerializer()

inside: ContextVar[tuple[str, ...]] = ContextVar("holdfast_graph_runs", default=())
"""The runs that this code is run by a node of, the outermost first."""


class Unstorable(EncodeError):
    """A result that can be neither stored nor handed on, however often it is made."""


class Value(NamedTuple):
    """A result that is at hand."""

    value: Any


class Lies(NamedTuple):
    """A result that lies in the store."""

    path: Path
    key: str


class Taken(NamedTuple):
    """What is taken of a result, for an input."""

    of: Value | Lies
    path: tuple[Any, ...]


class Place(NamedTuple):
    """Where a result goes, or an object on its way from one call to the next."""

    path: Path
    key: str
    options: PutOptions


class Call(NamedTuple):
    """A node, for a worker.

    Attributes:
        function: what is called; bytes for one that travels by value.
        method: which method of it, None for the function itself.
        args, kwargs: its arguments, with slots for the inputs.
        inputs: these.
        object: the object whose method it is.
        keep: where its result is stored, None if it is not.
        spare: where a result goes that is not stored and too large to be sent; None if it is sent nevertheless.
        begin: where it is noted that it has begun; None if nobody asks.
        runs: the runs that it is part of.
        name: what it is called in messages.
        here: whether the worker is a thread of the process that runs the graph, so that nothing need travel.
        copied: whether others take the object as it is left by this call, and not only later calls.
        retried: whether it may be tried again, so that a try that fails is to leave the object as it was.
    """

    function: Any
    method: str | None
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    inputs: tuple[Taken, ...]
    object: Value | Lies | None
    keep: Place | None
    spare: Place | None
    begin: Place | None
    runs: tuple[str, ...]
    name: str
    here: bool
    copied: bool
    retried: bool


class Outcome(NamedTuple):
    """What came of a node.

    Attributes:
        value: its result, or where that lies.
        object: the same of the object whose method was called.
        copy: the same of that object as it is now; later calls change it.
        found: whether the result was there already, so that nothing was called.
        begun, ended: when, in seconds since 1970.
        version, size: of the record.
        change: what stores the result, together with others; None where that is done.
    """

    value: Value | Lies
    object: Value | Lies | None
    copy: Value | Lies | None
    found: bool
    begun: float
    ended: float
    version: int | None = None
    size: int | None = None
    change: Put | None = None


def work(call: Call) -> Outcome:
    """Run a node."""
    begun = time.time()
    if call.begin is not None:
        _at(call.begin.path).put(call.begin.key, begun)
    keep = call.keep
    if keep is not None and not call.here and _at(keep.path).exists(keep.key):
        # Stored meanwhile, by a worker that is left of a run that broke off.
        return Outcome(Lies(keep.path, keep.key), None, None, True, begun, begun)
    function = call.function
    if not call.here:
        function = _loaded(function) if type(function) is bytes else function.function
    given = [_taken(one) for one in call.inputs]
    args = tuple([fill(value, given) for value in call.args])
    kwargs = {name: fill(value, given) for name, value in call.kwargs.items()}
    token = inside.set(call.runs)
    try:
        instance, value = _called(call, function, args, kwargs)
    finally:
        inside.reset(token)
    ended = time.time()
    if keep is not None:
        return _kept(call, keep, value, begun, ended)
    if call.method is None:
        return Outcome(_sent(value, call, "value", "the result"), None, None, False, begun, ended)
    left = _sent(instance, call, "object", "the object")
    sent = left if call.method == MAKE else _sent(value, call, "value", "the result")
    copy = Value(_copied(instance)) if call.copied and call.here else left
    return Outcome(sent, left, copy, False, begun, ended)


def _called(call: Call, function: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """The object whose method was called, if one was, and the result."""
    if call.method is None:
        return None, function(*args, **kwargs)
    if call.method == MAKE:
        made = function(*args, **kwargs)
        return made, made
    assert call.object is not None
    instance = _read(call.object)
    if call.here and call.retried:
        instance = _copied(instance)
    return instance, getattr(instance, call.method)(*args, **kwargs)


def _kept(call: Call, keep: Place, value: Any, begun: float, ended: float) -> Outcome:
    change = record = None
    try:
        scope = _at(keep.path)
        own = type(scope).put is not BaseScope.put  # a scope that takes values apart, say, is to see each of them
        if call.here and not own:  # a small one goes with those that end at the same time
            change = _small_put(scope, keep, value)
        if change is None:
            record = scope.put(keep.key, value, **keep.options)
    except EncodeError as error:
        problem = f"the result of node {call.name!r} cannot be stored: {error.message}; give another, or keep=False"
        raise Unstorable(problem) from error
    lies: Value | Lies = Lies(keep.path, keep.key)
    travels = record is not None and record.size <= _SMALL and record.serializer != STORABLE
    if type(value) in _PLAIN if record is None or call.here else travels:
        lies = Value(value)
    if record is None:
        return Outcome(lies, None, None, False, begun, ended, change=change)
    return Outcome(lies, None, None, False, begun, ended, record.version, record.size)


def _small_put(scope: BaseScope[Any], keep: Place, value: Any) -> Put | None:
    """A put of a result that lies in the catalog, to be committed together with others; None for one that lies
    elsewhere, or is put under conditions of its own."""
    kernel, plan = scope._kernel, scope._plan(keep.options)
    if plan.tier is not None or plan.conditional or plan.power != kernel.power or isinstance(value, Storable):
        return None
    encoded, integer = prepare(kernel, value, plan)
    if integer is None and encoded.size > kernel.inline:
        return None
    return Put(keep.path, keep.key, **InlineRow._make(inline_row(kernel, encoded, integer, plan))._asdict())


def _sent(value: Any, call: Call, part: str, what: str) -> Value | Lies:
    """A result that is not stored, on its way to where it is needed."""
    if call.here or call.spare is None or type(value) in _PLAIN[:5]:
        return Value(value)
    try:
        if sum(map(len, _pickles.serialize(value).buffers)) <= _SMALL:
            return Value(value)
        spare = call.spare
        key = f"{spare.key}/{part}"
        _at(spare.path).put(key, value, tier="auto")
    except EncodeError as error:
        problem = f"{what} of node {call.name!r} cannot be handed on: {error.message}; run it by the executor 'threads'"
        raise Unstorable(problem) from error
    return Lies(spare.path, key)


def _copied(value: Any) -> Any:
    """A copy, as another process would get it; what cannot leave this one is handed on itself."""
    import pickle

    try:
        return pickle.loads(carried(value))
    except Exception:
        return value


def _taken(one: Taken) -> Any:
    value = _read(one.of)
    for item in one.path:
        value = value[item]
    return value


def _read(of: Value | Lies) -> Any:
    if isinstance(of, Value):
        return of.value
    try:
        return _at(of.path).get(of.key)
    except NotFoundError as error:
        problem = f"{error.message}: an input was removed while the graph ran, or was in a memory that has ended"
        raise type(error)(problem) from error


def _at(path: Path) -> Any:
    context = current_context()
    assert context is not None
    return context.store._at(path)


def carried(function: Any) -> bytes:
    """A function that travels by value."""
    import cloudpickle

    data: bytes = cloudpickle.dumps(function, protocol=5)
    return data


@functools.lru_cache(maxsize=256)
def _loaded(data: bytes) -> Callable[..., Any]:
    """A function that travelled by value; the same one each time, as functions that are imported are."""
    import pickle

    found: Callable[..., Any] = pickle.loads(data)
    return found
