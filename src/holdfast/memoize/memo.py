"""A memoized function: looks its result up by its arguments and its code, and computes it once where it is not there.

A miss is written once, as steps that either colour of function takes: what blocks, what is waited for, and the call
itself. Within a process one caller leads and the others wait for it; between processes the leaders wait for a lease.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future
from functools import update_wrapper
from hashlib import sha256
from inspect import GEN_CLOSED, getgeneratorstate
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar

from ..address import format_path
from ..errors import BusyError, ConflictError, EncodeError, LeaseLost, NotFoundError, StoreError
from ..lease import Lease, name_in
from ..navigation import Navigation
from .binding import Argument
from .code import Fingerprint
from .explain import Explanation, explain
from .flights import Flight, computing, leave
from .identity import Identity
from .origin import module_name
from .shelf import CALLS, MISSING, Rules, Shelf

__all__ = ["CALL", "BoundMemo", "Memo", "Miss", "Place", "Settings", "Stats", "Step"]

P = ParamSpec("P")
R = TypeVar("R")

Place = Navigation[Any] | Callable[[], Navigation[Any]]
"""Below which results lie, or what says so at each call."""

_LEASE = 30.0  # seconds; renewed while the function runs
_log = logging.getLogger("holdfast")


class Settings(NamedTuple):
    """What a function is memoized by, beside itself; see :meth:`Memoizing.memoize`."""

    rules: Rules = Rules()
    ignore: Iterable[str] = ()
    key: Mapping[str, Callable[[Any], Any]] = {}
    version: str | None = None


class Stats(NamedTuple):
    """How a memoized function fared.

    Attributes:
        hits: calls of this process that were answered from the store.
        misses: calls of this process that were computed.
        entries: results that are stored.
        size: their bytes.
    """

    hits: int
    misses: int
    entries: int
    size: int


CALL: Any = object()
"""The step that calls the function."""

Step = Callable[[], Any] | float | Future[None]
"""What blocks, seconds to sleep, a computation of somebody else to wait for, or :data:`CALL`."""


class Memo(Generic[P, R]):
    """A function whose results are kept. Called like the function itself.

    Made by ``@store.memoize``, ``@scope.memoize`` or ``@holdfast.memoize``; see :meth:`Memoizing.memoize`.
    """

    __name__: str
    __qualname__: str
    __wrapped__: Callable[P, R]

    def __init__(self, function: Callable[P, R], place: Place, settings: Settings) -> None:
        self._function = function
        self._place = place
        self._settings = settings
        self._identity = Identity(function, settings.ignore, settings.key, settings.version)
        self._binding = self._identity.binding
        self._shelves: dict[Any, Shelf] = {}
        self._fixed: Shelf | None = None  # that of a place which is the same at each call
        self._hits = self._misses = 0
        update_wrapper(self, function)

    @property
    def name(self) -> str:
        """Name of the scope with its results: module and qualified name; of a script, the name it is imported by."""
        return f"{_module(self._function)}.{getattr(self._function, '__qualname__', type(self._function).__qualname__)}"

    # --- the call -----------------------------------------------------------------------------------------------------

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        shelf = self._fixed or self._shelf()
        code, key = self._named(args, kwargs)
        value = shelf.get(key)
        if value is MISSING:
            value = Miss(self, shelf, code, key, args, kwargs).run()
        else:
            self._hits += 1
        return value  # type: ignore[no-any-return]

    # --- keys ---------------------------------------------------------------------------------------------------------

    def _named(self, args: Any, kwargs: Any) -> tuple[Fingerprint, str]:
        """The code as it is now, and the key of a call."""
        code = self._identity.code()
        return code, f"{CALLS}{code.digest.hex()}/{self._binding.digest(args, kwargs)}"

    def _shelf(self) -> Shelf:
        place = self._place() if callable(self._place) else self._place
        where = (place._kernel, place.path)
        shelf = self._shelves.get(where)
        if shelf is None:
            if len(self._shelves) > 100:
                self._shelves.clear()  # a program that works in ever new scopes
            shelf = self._shelves[where] = Shelf(place, self.name, self._settings.rules)
        if place is self._place:
            self._fixed = shelf
        return shelf

    # --- beside the call ----------------------------------------------------------------------------------------------

    def call(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself, past the store: nothing is looked up and nothing is kept."""
        return self._function(*args, **kwargs)

    def explain(self, *args: Any, **kwargs: Any) -> Explanation:
        """Whether a call with these arguments would hit or miss, and why; nothing is computed."""
        code, key = self._named(args, kwargs)
        return explain(self._shelf(), key, self._binding.describe(args, kwargs), code.parts)

    def peek(self, *args: Any, **kwargs: Any) -> Any:
        """The stored result of a call; the function is not called.

        Raises:
            NotFoundError: there is none.
        """
        value = self._shelf().get(self._named(args, kwargs)[1])
        if value is MISSING:
            raise NotFoundError(f"no result of {self.name} is stored for these arguments")
        return value

    def forget(self, *args: Any, **kwargs: Any) -> bool:
        """Remove the stored result of a call; gives whether there was one."""
        return self._shelf().scope.delete(self._named(args, kwargs)[1], missing_ok=True) is not None

    def clear(self) -> int:
        """Remove all stored results of this function, also those of earlier code; gives their number."""
        return self._shelf().clear()

    def stats(self) -> Stats:
        """Hits and misses of this process, and what is stored."""
        sizes = [record.size for record in self._shelf().records()]
        return Stats(self._hits, self._misses, len(sizes), sum(sizes))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else BoundMemo(self, instance)

    def __reduce__(self) -> Any:
        # By its name, as functions are pickled. Of a script or notebook, which another process may not have, or have
        # another of, by what it is made of as well.
        module, name = self._function.__module__, str(getattr(self, "__qualname__", ""))
        if module not in _MAIN:
            return name if _named(module, name) is self else (type(self), self._made_of())
        from cloudpickle import dumps

        return _of_main, (name, type(self), dumps(self._made_of()), _body(self._function))

    def _made_of(self) -> tuple[Any, ...]:
        return self._function, self._place, self._settings

    def __repr__(self) -> str:
        return f"<memoized {self.name}>"


class _Failed(BaseException):
    """Thrown into the steps in place of what the function raised: a generator turns some errors into others."""


class Miss:
    """A call whose result is not stored: one caller computes it, however many ask for it, and it is kept.

    Its steps are made in a ``with`` block, which ends when they do; what an interrupt leaves is made at its end.

    Attributes:
        flight: it, among those of this process.
        failing: whether the next step is one of those that are left after an error.
    """

    def __init__(self, memo: Memo[Any, Any], shelf: Shelf, code: Fingerprint, key: str, args: Any, kwargs: Any) -> None:
        self._memo, self._shelf, self._code, self._key = memo, shelf, code, key
        self._args, self._kwargs = args, kwargs
        scope = shelf.scope
        self.flight = Flight(f"{scope._kernel.catalog.store_id}/{format_path(scope.path)}/{key}", memo.name)
        self._steps = self._look()
        self._given: Any = None
        self._error: BaseException | None = None
        self._result: Any = None
        self.failing = False

    # --- making the steps ---------------------------------------------------------------------------------------------

    def run(self) -> Any:
        """Make the steps here, one after the other, and give the result."""
        with self:
            while True:
                step = self.step()
                try:
                    if isinstance(step, float):
                        self.made(time.sleep(step))  # type: ignore[func-returns-value]
                    elif isinstance(step, Future):
                        self.made(step.result())
                    else:
                        self.made(self._memo._function(*self._args, **self._kwargs) if step is CALL else step())
                except BaseException as error:
                    self.failed(step, error)
        return self.outcome()

    def step(self) -> Step:
        """The next step, which is to be made."""
        return self._steps.throw(self._given) if self.failing else self._steps.send(self._given)

    def made(self, given: Any) -> None:
        """Note what the step gave."""
        self._given, self.failing = given, False

    def failed(self, step: Step, error: BaseException) -> None:
        """Note what the step raised."""
        if step is CALL:
            self._error = error
        self._given, self.failing = _Failed() if step is CALL else error, True

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        try:
            if getgeneratorstate(self._steps) != GEN_CLOSED:
                assert error is not None
                self.failed(CALL, error)  # interrupted between two steps
                self.run()
            self._result = error.value if isinstance(error, StopIteration) else None
            return isinstance(error, StopIteration | _Failed)
        finally:
            self._given = None
            self.flight.end()  # if an interrupt came when the steps were about to

    def outcome(self) -> Any:
        """What the steps came to."""
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
            return self._result
        finally:
            del error  # which has this frame

    # --- the steps ----------------------------------------------------------------------------------------------------

    def _look(self) -> Generator[Step, Any, Any]:
        try:
            while (other := self.flight.begin()) is not None:
                yield other
                value = yield self._stored
                if value is not MISSING:
                    self._memo._hits += 1
                    return value
            return (yield from self._lead())
        finally:
            self.flight.end()

    def _stored(self) -> Any:
        return self._shelf.get(self._key)

    def _lead(self) -> Generator[Step, Any, Any]:
        """Be the one of this process who computes, and wait for those of other processes."""
        memo = self._memo
        scope = self._shelf.scope
        name = name_in(scope.path, f"memo/{sha256(self.flight.call.encode()).hexdigest()[:32]}")
        lease = Lease(scope._kernel, name, _LEASE, None, renew=True)
        pauses = lease.attempts()
        try:
            try:
                while (pause := (yield lambda: next(pauses, None))) is not None:
                    yield pause
            except (StoreError, BusyError) as error:
                _log.warning("%s is computed, but its result will not be kept: %s", memo.name, error)
            value = yield self._stored
            if value is not MISSING:
                memo._hits += 1
                return value
            arguments = yield lambda: memo._binding.describe(self._args, self._kwargs)  # before the call changes them
            # Another thread may have changed it while this one waited.
            is_same = self._code.current() or memo._identity.code().digest == self._code.digest
            is_kept = lease.held and is_same
            memo._misses += 1
            token = computing.set(self.flight.around | {self.flight})
            try:
                result = yield CALL
            finally:
                leave(token)
            return (yield lambda: self._keep(result, arguments, lease)) if is_kept else result
        finally:
            try:
                pauses.close()
                yield lambda: self._give_back(lease)
            except BaseException:
                yield lambda: self._give_back(lease)  # which an interrupt may have kept from being done
                raise

    def _keep(self, result: Any, arguments: Mapping[str, Argument], lease: Lease) -> Any:
        name = self._memo.name
        try:
            try:
                self._shelf.put(self._key, result, arguments, self._code.parts, lease)
            except LeaseLost:  # we were asleep for so long that somebody else computes it, or did already
                value = self._stored()
                return result if value is MISSING else value
        except EncodeError as error:
            problem = f"the result of {name} cannot be kept: {error.message}; call it past the store by .call()"
            raise type(error)(problem) from error
        except (StoreError, BusyError, ConflictError) as error:
            _log.warning("the result of %s is not kept: %s", name, error)
        return result

    def _give_back(self, lease: Lease) -> None:
        try:
            lease.release()
        except (StoreError, BusyError) as error:  # it expires; the result does not go with it
            _log.warning("the lease of %s is not given back: %s", self._memo.name, error)


class BoundMemo:
    """A memoized method of one object."""

    def __init__(self, memo: Memo[Any, Any], instance: Any) -> None:
        self._memo = memo
        self._instance = instance

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._memo(self._instance, *args, **kwargs)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """See :meth:`Memo.call`."""
        return self._memo.call(self._instance, *args, **kwargs)

    def explain(self, *args: Any, **kwargs: Any) -> Explanation:
        """See :meth:`Memo.explain`."""
        return self._memo.explain(self._instance, *args, **kwargs)

    def peek(self, *args: Any, **kwargs: Any) -> Any:
        """See :meth:`Memo.peek`."""
        return self._memo.peek(self._instance, *args, **kwargs)

    def forget(self, *args: Any, **kwargs: Any) -> bool:
        """See :meth:`Memo.forget`."""
        return self._memo.forget(self._instance, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<memoized {self._memo.name} of {self._instance!r}>"


_MAIN = ("__main__", "__mp_main__")


def _module(function: Callable[..., Any]) -> str:
    """The function's module; that of a script or of ``python -m`` as others import it."""
    module: str = getattr(function, "__module__", None) or "builtins"
    return module_name(vars(sys.modules[module])) if module in _MAIN else module


def _named(module: str, name: str) -> Any:
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _body(function: Any) -> bytes | None:
    code = getattr(function, "__code__", None)
    return None if code is None else bytes(code.co_code)


def _of_main(name: str, kind: type[Memo[Any, Any]], made_of: bytes, body: bytes | None) -> Any:
    """The memoized function of that name in this process's script, if it is the one; else one that is made anew."""
    from pickle import loads

    found = _named("__main__", name)
    return found if isinstance(found, Memo) and _body(found._function) == body else kind(*loads(made_of))
