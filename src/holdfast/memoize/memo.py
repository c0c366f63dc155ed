"""A memoized function: looks its result up by its arguments and its code, and computes it once where it is not there.

A miss is written once, as steps that either colour of function takes: what blocks, what is waited for, and the call
itself. Within a process one caller leads and the others wait for it; between processes the leaders wait for a lease.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future
from functools import update_wrapper
from hashlib import sha256
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar

from ..address import format_path
from ..errors import BusyError, ConflictError, EncodeError, LeaseLost, NotFoundError, RecursiveCallError, StoreError
from ..lease import Lease
from ..navigation import Navigation
from . import flights
from .binding import Argument, Binding
from .canonical import Canonical
from .code import Codes, Fingerprint
from .explain import Explanation, explain
from .shelf import CALLS, MISSING, Rules, Shelf

__all__ = ["CALL", "Below", "BoundMemo", "Memo", "Place", "Settings", "Stats", "Step", "Steps"]

P = ParamSpec("P")
R = TypeVar("R")

Place = Navigation[Any] | Callable[[], Navigation[Any]]
"""Below which results lie, or what says so at each call."""

_LEASE = 30.0  # seconds; renewed while the function runs
_codes = Codes()
_canonical = Canonical(_codes.tag)
_log = logging.getLogger("holdfast")


class Below:
    """A place below one that is found at each call."""

    def __init__(self, place: Callable[[], Navigation[Any]], path: str) -> None:
        self._place, self._path = place, path

    def __call__(self) -> Navigation[Any]:
        below: Navigation[Any] = self._place().scope(self._path)
        return below


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

Steps = Generator[Step, Any, Any]


class Memo(Generic[P, R]):
    """A function whose results are kept. Called like the function itself.

    Made by ``@store.memoize``, ``@scope.memoize`` or ``@holdfast.memoize``; see :meth:`Memoizing.memoize`.
    """

    def __init__(self, function: Callable[P, R], place: Place, settings: Settings) -> None:
        self._function = function
        self._place = place
        self._settings = settings
        self._binding = Binding(function, _canonical, settings.ignore, settings.key)
        self._lock = threading.Lock()
        self._print: Fingerprint | None = None
        self._calls = CALLS
        self._shelves: dict[Any, Shelf] = {}
        self._hits = self._misses = 0
        update_wrapper(self, function)

    @property
    def name(self) -> str:
        """Name of the scope with its results: module and qualified name; of a script, the name it is imported by."""
        return f"{_module(self._function)}.{getattr(self._function, '__qualname__', type(self._function).__qualname__)}"

    # --- the call -----------------------------------------------------------------------------------------------------

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        shelf = self._shelf()
        key = self._key(args, kwargs)
        value = shelf.get(key)
        if value is MISSING:
            return self._run(self._steps(shelf, key, args, kwargs), args, kwargs)
        self._hits += 1
        found: R = value
        return found

    def _run(self, steps: Steps, args: Any, kwargs: Any) -> R:
        go_on: Any = steps.send
        given: Any = None
        try:
            while True:
                step = go_on(given)
                try:
                    if isinstance(step, float):
                        given = None
                        time.sleep(step)
                    elif isinstance(step, Future):
                        given = step.result()
                    else:
                        given = self._function(*args, **kwargs) if step is CALL else step()
                    go_on = steps.send
                except BaseException as error:
                    go_on, given = steps.throw, error
        except StopIteration as end:
            result: R = end.value
            return result

    def _steps(self, shelf: Shelf, key: str, args: Any, kwargs: Any) -> Steps:
        call = f"{shelf.scope._kernel.catalog.store_id}/{format_path(shelf.scope.path)}/{key}"
        if call in flights.computing.get():
            raise RecursiveCallError(f"{self.name} was called with these arguments by the very call that computes them")
        while (flight := flights.begin(call)) is not None:
            yield flight
            value = yield lambda: shelf.get(key)
            if value is not MISSING:
                self._hits += 1
                return value
        try:
            return (yield from self._lead(shelf, key, call, args, kwargs))
        finally:
            flights.end(call)

    def _lead(self, shelf: Shelf, key: str, call: str, args: Any, kwargs: Any) -> Steps:
        """Be the one of this process who computes, and wait for those of other processes."""
        lease = Lease(shelf.scope._kernel, "memo/" + sha256(call.encode()).hexdigest()[:32], _LEASE, None, renew=True)
        pauses = lease.attempts()
        try:
            try:
                while (pause := (yield lambda: next(pauses, None))) is not None:
                    yield pause
            except (StoreError, BusyError) as error:
                _log.warning("%s is computed, but its result will not be kept: %s", self.name, error)
            value = yield lambda: shelf.get(key)
            if value is not MISSING:
                self._hits += 1
                return value
            arguments = yield lambda: self._binding.describe(args, kwargs)  # before the function may change them
            parts = self._fingerprint().parts
            self._misses += 1
            token = flights.computing.set(flights.computing.get() | {call})
            try:
                result = yield CALL
            finally:
                flights.computing.reset(token)
            if not lease.held:
                return result
            return (yield lambda: self._keep(shelf, key, result, arguments, parts, lease))
        finally:
            pauses.close()
            yield lease.release

    def _keep(
        self,
        shelf: Shelf,
        key: str,
        result: Any,
        arguments: Mapping[str, Argument],
        parts: Mapping[str, str],
        lease: Lease,
    ) -> Any:
        try:
            shelf.put(key, result, arguments, parts, lease)
        except EncodeError as error:
            problem = f"the result of {self.name} cannot be kept: {error.message}; call it past the store by .call()"
            raise type(error)(problem) from error
        except LeaseLost:  # we were asleep for so long that somebody else computes it, or did already
            value = shelf.get(key)
            return result if value is MISSING else value
        except (StoreError, BusyError, ConflictError) as error:
            _log.warning("the result of %s is not kept: %s", self.name, error)
        return result

    # --- keys ---------------------------------------------------------------------------------------------------------

    def _fingerprint(self) -> Fingerprint:
        found = self._print
        if found is None or not found.current():
            with self._lock:
                found = _version(self._settings.version) or _codes.fingerprint(self._function)
                self._calls = f"{CALLS}{found.digest.hex()}/"
                self._print = found
        return found

    def _key(self, args: Any, kwargs: Any) -> str:
        self._fingerprint()
        return self._calls + self._binding.digest(args, kwargs)

    def _shelf(self) -> Shelf:
        place = self._place() if callable(self._place) else self._place
        where = (place._kernel, place.path)
        shelf = self._shelves.get(where)
        if shelf is None:
            if len(self._shelves) > 100:
                self._shelves.clear()  # a program that works in ever new scopes
            shelf = self._shelves[where] = Shelf(place, self.name, self._settings.rules)
        return shelf

    # --- beside the call ----------------------------------------------------------------------------------------------

    def call(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself, past the store: nothing is looked up and nothing is kept."""
        return self._function(*args, **kwargs)

    def explain(self, *args: Any, **kwargs: Any) -> Explanation:
        """Whether a call with these arguments would hit or miss, and why; nothing is computed."""
        parts, key = self._fingerprint().parts, self._key(args, kwargs)
        return explain(self._shelf(), key, self._binding.describe(args, kwargs), parts)

    def peek(self, *args: Any, **kwargs: Any) -> Any:
        """The stored result of a call; the function is not called.

        Raises:
            NotFoundError: there is none.
        """
        value = self._shelf().get(self._key(args, kwargs))
        if value is MISSING:
            raise NotFoundError(f"no result of {self.name} is stored for these arguments")
        return value

    def forget(self, *args: Any, **kwargs: Any) -> bool:
        """Remove the stored result of a call; gives whether there was one."""
        return self._shelf().scope.delete(self._key(args, kwargs), missing_ok=True) is not None

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
        # By its name, as functions are pickled; of a script or notebook by what it is made of.
        module, name = self._function.__module__, str(getattr(self, "__qualname__", ""))
        found: Any = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is self and module != "__main__":
            return name
        return type(self), (self._function, self._place, self._settings)

    def __repr__(self) -> str:
        return f"<memoized {self.name}>"


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


def _version(text: str | None) -> Fingerprint | None:
    """What stands for the code of a function that says its version itself."""
    if text is None:
        return None
    return Fingerprint(sha256(f"version {text}".encode()).digest()[:16], {"version": text})


def _module(function: Callable[..., Any]) -> str:
    """The function's module; that of a script or of ``python -m`` as others import it."""
    module: str = getattr(function, "__module__", None) or "builtins"
    if module != "__main__":
        return module
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:
        return str(spec.name.removesuffix(".__main__"))
    return module if file is None else str(file).replace("\\", "/").rpartition("/")[2].removesuffix(".py")
