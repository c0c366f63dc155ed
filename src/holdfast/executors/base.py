"""The contract of an executor: where functions run, beside each other, with the run context of who submitted them."""

from __future__ import annotations

import atexit
import concurrent.futures
import math
import numbers
import os
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

from ..errors import BusyError, ClosedError, InvalidArgumentError, StoreError
from ..memory import using_memory
from .futures import Future, wait_for
from .tasks import name_of

__all__ = ["Executor", "Resources", "amounts"]

R = TypeVar("R")

_GLANCE = 1.0  # seconds between looks at whether anybody is there to do the work
_PATIENCE = 10.0  # seconds without a single worker, after which closing waits no more: one may be on its way


class Resources(NamedTuple):
    """What an executor has, all its workers together.

    Attributes:
        cpus: tasks of one CPU each that run at a time.
        memory: bytes; None where that is not known.
        named: amounts of all other kinds, such as ``gpus``, by name.
    """

    cpus: float
    memory: int | None
    named: Mapping[str, float]


class Executor(ABC):
    """Runs functions: in threads, in processes, on Ray, on Dask. All methods may be called from any thread.

    In a task the run context is the one that was current where it was submitted: ``holdfast.current()`` is the same
    scope on every engine. ``tier="memory"`` is the memory that belongs to the executor, in its tasks and within its
    ``with`` block.

    A task is run at most once. (A Dask cluster that was there before may run one again whose worker died.)

    Attributes:
        name: what :func:`holdfast.executors.open` calls it.
        memory: the memory that belongs to it: ``local``, ``ray`` or ``dask``.
    """

    name: ClassVar[str]
    memory: ClassVar[str]

    def __init__(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._closed = False
        self._pending: set[Future[Any]] = set()
        self._block: AbstractContextManager[None] | None = None

    # --- what there is to do ----------------------------------------------------------------------------------------

    def submit(
        self, function: Callable[..., R], /, *args: Any, resources: Mapping[str, float] | None = None, **kwargs: Any
    ) -> Future[R]:
        """Have ``function(*args, **kwargs)`` run, and give what stands for its result.

        Where it runs in another process, function and arguments travel by pickle: functions and classes of
        ``__main__``, lambdas and those of a notebook by value, others by their module, which must be there as well.
        Large arrays are not copied before they travel: leave them as they are until the task is done.

        Args:
            resources: what the task takes while it runs: ``cpus`` (1 by default), ``memory`` in bytes, and others by
                the names that the executor was opened with. It waits until that much is free.

        Raises:
            ClosedError: the executor was closed.
            EncodeError: the function, or an argument, which is named, cannot be pickled.
            InvalidArgumentError: the executor can never have these resources; or the run context's store is in memory
                and the task would run in another process.
        """
        if not callable(function):
            raise InvalidArgumentError(f"submit takes a function and then its arguments, not {function!r}")
        needs = amounts(resources)
        self._check_here()
        future: Future[R] = Future(name_of(function))
        with self._lock:
            self._check_open()
            self._pending.add(future)
        try:
            self._start(future, function, args, kwargs, needs)
        except BaseException:
            self._pending.discard(future)
            raise
        future.add_done_callback(self._pending.discard)
        return future

    def gather(
        self,
        futures: Iterable[concurrent.futures.Future[Any]],
        *,
        return_exceptions: bool = False,
        timeout: float | None = None,
    ) -> list[Any]:
        """The results of these tasks in their order, as soon as all are there.

        Args:
            return_exceptions: give what a task raised in its place, instead of raising the first as soon as there is
                one; the others go on in either case.
            timeout: seconds to wait; None for as long as it takes.

        Raises:
            BusyError: the time is over; the tasks go on.
        """
        given: Any = futures
        if isinstance(given, concurrent.futures.Future):
            raise InvalidArgumentError("gather takes a list of futures: of one, take its result()")
        wanted: list[Any] = list(given)
        strange = [item for item in wanted if not isinstance(item, concurrent.futures.Future)]
        if strange:
            raise InvalidArgumentError(f"gather takes futures, as submit gives them, not {strange[0]!r}")
        when = concurrent.futures.ALL_COMPLETED if return_exceptions else concurrent.futures.FIRST_EXCEPTION
        ended, missing = wait_for(wanted, timeout, when)
        if not return_exceptions:
            for future in wanted:
                if future in ended:
                    future.result()
        if missing:
            raise BusyError(
                f"{len(missing)} of {len(set(wanted))} tasks have not ended within {timeout:g} s, "
                f"{min(getattr(future, 'name', '?') for future in missing)} among them: wait longer, or cancel them"
            )
        return [_outcome(future) for future in wanted]

    @property
    @abstractmethod
    def resources(self) -> Resources:
        """What there is at this moment, free or not.

        Raises:
            ClosedError: the executor was closed.
            StoreError: the cluster does not answer.
        """

    # --- its end ----------------------------------------------------------------------------------------------------

    def close(self, *, cancel: bool = False) -> None:
        """Take no more tasks, wait for those that were submitted, and end what this executor started; a cluster that
        was there before goes on. A second call does nothing.

        Where a cluster has no workers, tasks that wait for one fail with StoreError instead of being waited for.

        Args:
            cancel: take back the tasks that have not ended, as :meth:`Future.cancel
                <holdfast.executors.futures.Future.cancel>` does.
        """
        if self._process != os.getpid():
            return  # the parent's: a forked child has no part in it
        self._check_outside()
        with self._lock:
            self._closed = True
            pending = set(self._pending)
        try:
            if not cancel:
                self._wait(pending)
        except BaseException:
            cancel = True
            raise
        finally:
            if cancel:
                for future in pending:
                    future.cancel()
            self._end()
            _open.discard(self)

    def __enter__(self) -> Self:
        if self._block is not None:
            raise InvalidArgumentError("this executor is entered already: holdfast.executors.using(executor) lends it")
        self._check_open()
        self._block = self._surrounding()
        self._block.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; where the block was left by an error, Ctrl-C included, with ``cancel=True``."""
        block, self._block = self._block, None
        assert block is not None
        try:
            block.__exit__(None, None, None)
        finally:
            self.close(cancel=kind is not None)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'closed' if self._closed else f'{len(self._pending)} tasks'}>"

    def __reduce__(self) -> Any:
        raise InvalidArgumentError(
            f"the executor {self.name!r} stays in the process that opened it: a task that is to submit others opens "
            "one of its own, or runs by the executor 'threads', 'ray' or 'dask'"
        )

    # --- what each engine does its own way --------------------------------------------------------------------------

    def _ready(self) -> None:
        """Called when it is open: it is closed at the end of this process, if not before."""
        _open.add(self)
        atexit.unregister(_close_all)
        atexit.register(_close_all)  # anew, so that it comes before what the engine, imported since, does there

    @abstractmethod
    def _start(
        self,
        future: Future[Any],
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        needs: dict[str, float],
    ) -> None:
        """Begin, or put into a queue; the future is settled later."""

    @abstractmethod
    def _end(self) -> None:
        """End what was started, when all tasks have ended or were cancelled. May be called again."""

    def _hopeless(self, pending: set[Future[Any]]) -> tuple[set[Future[Any]], str]:
        """Those of them that no worker which is there can ever run, and why."""
        return set(), ""

    def _surrounding(self) -> AbstractContextManager[None]:
        """A block of the submitting side that belongs to this executor."""
        return using_memory(self.memory)

    def _check_outside(self) -> None:
        """Raise InvalidArgumentError in a thread that the end of this executor would wait for."""

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"the executor {self.name!r} was closed: open another one")

    def _check_here(self) -> None:
        if self._process != os.getpid():
            raise InvalidArgumentError(
                f"the executor {self.name!r} was opened by the parent of this forked process: open one here"
            )

    def _wait(self, pending: set[Future[Any]]) -> None:
        since: dict[Future[Any], float] = {}  # nobody has been there for it
        while pending:
            _, pending = wait_for(pending, _GLANCE)  # type: ignore[assignment]
            lonely, why = self._hopeless(pending) if pending else (set(), "")
            since = {future: since.get(future, time.monotonic()) for future in lonely}
            for future, begun in since.items():
                if time.monotonic() > begun + _PATIENCE:
                    future._fail(StoreError(f"{future.name} was not run before its executor was closed: {why}"))
                    future._recall()


_open: weakref.WeakSet[Executor] = weakref.WeakSet()


def _close_all() -> None:
    for executor in list(_open):
        executor.close(cancel=True)


def _outcome(future: concurrent.futures.Future[Any]) -> Any:
    try:
        return future.exception() or future.result()
    except concurrent.futures.CancelledError as error:
        return error


def amounts(resources: Mapping[str, Any] | None) -> dict[str, float]:
    """Resources by name, one CPU if nothing else is said.

    Raises:
        InvalidArgumentError: an amount is no positive number.
    """
    given: Any = resources
    if given is not None and not isinstance(given, Mapping):
        raise InvalidArgumentError(f"resources are amounts by name, as in {{'cpus': 2}}, not {resources!r}")
    found = {"cpus": 1.0}
    for name, amount in dict(given or {}).items():
        real = isinstance(amount, numbers.Real) and not isinstance(amount, bool)
        if not isinstance(name, str) or not name or not real or not 0 < amount < math.inf:
            raise InvalidArgumentError(f"a resource is a name with a positive number, not {name!r}: {amount!r}")
        found[name] = float(amount)
    return found
