"""A task on its way to a worker and back: the call with its surroundings there, and what came of it here.

Everything large travels beside the pickles and is not copied into them, so that each engine moves it as it moves
arrays.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Mapping
from contextvars import Context, copy_context
from typing import Any, NamedTuple, TypeVar

from ..context import RunContext, current_context, make_current
from ..errors import EncodeError, HoldfastError, InvalidArgumentError
from ..memory import in_force
from ..payload import Buffer, Payload
from ..serializers.pickle import PickleSerializer

__all__ = ["Packed", "RemoteTraceback", "name_of", "open_result", "pack_call", "run", "send_ahead", "surroundings"]

R = TypeVar("R")

_pickles = PickleSerializer()
_ahead: list[Any] = []


class Packed:
    """A pickle in parts: the first is the program, the others are the large buffers that it needs.

    Pickled by an engine it gives these parts to it out of band.
    """

    __slots__ = ("parts",)

    def __init__(self, *parts: Buffer) -> None:
        self.parts = parts

    @property
    def size(self) -> int:
        """Bytes in all parts together."""
        return sum(len(part) for part in self.parts)

    def __sizeof__(self) -> int:  # what clusters reckon with
        return object.__sizeof__(self) + self.size

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Packed, tuple(pickle.PickleBuffer(part) if protocol >= 5 else bytes(part) for part in self.parts)


class RemoteTraceback(Exception):
    """The traceback of an error where it was raised, as the cause of the error that is raised here."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


class _Call(NamedTuple):
    ahead: tuple[Any, ...]  # first, as what is loaded behind it may need it
    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    context: RunContext | None
    memory: str


class _Outcome(NamedTuple):
    """What came of a call: its value, or its error as a pickle of its own with its text and its traceback."""

    value: Any = None
    error: bytes | None = None
    text: str = ""
    trace: str = ""


def name_of(function: Callable[..., Any]) -> str:
    """What a function is called in messages."""
    inner = getattr(function, "func", function)  # of a partial
    name = getattr(inner, "__qualname__", None) or type(inner).__qualname__
    return str(name).replace("<locals>.", "")


def send_ahead(thing: Any) -> None:
    """Have every call from here on bring this along, and the worker load it before all that the call itself needs."""
    if thing not in _ahead:
        _ahead.append(thing)


def surroundings(memory: str) -> Context:
    """A copy of the context variables here, in which that memory is in force: for a task."""
    found = copy_context()
    found.run(in_force.set, memory)
    return found


def pack_call(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], memory: str, engine: str
) -> Packed:
    """A call for a worker: the function by value where the worker could not import it, the run context that is current
    here, and the memory that is to be in force there.

    Raises:
        EncodeError: the function or an argument, which is named, cannot be pickled.
        InvalidArgumentError: something in it stays in this process, the run context's store first of all.
    """
    name = name_of(function)
    context = current_context()
    _check_context(context, engine)
    try:
        return _pack(_Call(tuple(_ahead), name, function, args, kwargs, context, memory))
    except EncodeError as error:
        raise _blame(name, function, args, kwargs) or error from None


def run(call: Packed) -> Packed:
    """In a worker: the call, in the surroundings that it came with. Never raises: what came of it is given."""
    try:
        _, name, function, args, kwargs, context, memory = _unpack(call)
    except BaseException as error:
        return _pack_error("the task", error)
    try:
        around = surroundings(memory)
        around.run(make_current, context)
        value = around.run(function, *args, **kwargs)
    except BaseException as error:
        return _pack_error(name, error)
    try:
        return _pack(_Outcome(value))
    except BaseException as error:
        message = str(error).replace("value.value", "value", 1)
        return _pack_error(name, EncodeError(f"the result of {name} cannot be sent back: {message}"))


def open_result(outcome: Packed) -> Any:
    """The value that came of a call, where it was submitted.

    Raises:
        BaseException: what the call raised, with its :class:`RemoteTraceback` as the cause.
        EncodeError: what it raised cannot be pickled.
        DecodeError: the value cannot be loaded here.
    """
    found: _Outcome = _unpack(outcome)
    if found.error is None:
        return found.value
    try:
        error: BaseException = pickle.loads(found.error)
    except Exception as reason:
        error = EncodeError(f"{found.text} (an error that cannot be loaded here: {reason})")
    error.__cause__ = RemoteTraceback(found.trace)
    raise error


def _check_context(context: RunContext | None, engine: str) -> None:
    if context is None:
        return
    try:
        pickle.dumps(context.store)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(
            f"the run context here is of a store that its tasks cannot open on {engine}: {error}, or run them by "
            "the executor 'threads'"
        ) from None
    except Exception:
        return  # told with its path, as all that cannot be pickled


def _pack(value: Any) -> Packed:
    return Packed(*_pickles.serialize(value).buffers)


def _unpack(packed: Packed) -> Any:
    first, *others = packed.parts
    return _pickles.deserialize(Payload((first, *others), "", trusted=True))


def _pack_error(name: str, error: BaseException) -> Packed:
    first = error.__traceback__.tb_next if error.__traceback__ else None  # this module's own frame says nothing
    trace = "".join(traceback.format_exception(type(error), error, first or error.__traceback__))
    text = f"{name} raised {''.join(traceback.format_exception_only(error)).strip()}"
    try:
        data = _dumps(error)
        twin = pickle.loads(data)
        if type(twin).__qualname__ != type(error).__qualname__:
            raise EncodeError(f"what its pickle gives is a {type(twin).__qualname__}")
    except Exception as reason:
        data = _dumps(EncodeError(f"{text} (an error that cannot be pickled: {reason})"))
    return _pack(_Outcome(None, data, text, trace))


def _dumps(error: BaseException) -> bytes:
    import cloudpickle  # imports much

    data: bytes = cloudpickle.dumps(error, protocol=5)
    return data


def _blame(
    name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> EncodeError | None:
    """Which part of a call cannot be pickled."""
    parts: list[tuple[str, Any]] = [("the function itself", function)]
    parts += [(f"argument {number}", value) for number, value in enumerate(args, 1)]
    parts += [(f"argument {keyword}=", value) for keyword, value in kwargs.items()]
    for what, value in parts:
        try:
            _pickles.serialize(value)
        except HoldfastError as error:
            return EncodeError(f"{what} of {name} cannot be sent to a worker: {error}")
    return None
