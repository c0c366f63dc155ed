"""Workers of this machine: tasks wait until what they ask for is free, and then one of the workers does them."""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, ClassVar, NamedTuple

from ..errors import InvalidArgumentError, StoreError
from .base import Executor, Resources, amounts
from .futures import Future

__all__ = ["Job", "Pool", "PoolExecutor", "Runner", "machine"]

_ROUNDING = 1e-9  # of sums of tenths

_Needs = tuple[tuple[str, float], ...]


class Job(NamedTuple):
    """A task that waits for a worker, or is with one."""

    number: int
    future: Future[Any]
    work: Any
    needs: _Needs


class Runner(ABC):
    """Does jobs, one at a time, in a thread of its own."""

    @abstractmethod
    def do(self, job: Job) -> None:
        """Do it and settle its future. Never raises."""

    def leave(self) -> None:
        """There is no more to do."""


class Pool:
    """Jobs, and the runners that do them: begun when there is work for them, ended with the pool.

    What an older job waits for is not given to a younger one; all else is, so that nobody waits for ever and nothing
    stands idle for the sake of order.
    """

    def __init__(self, total: Mapping[str, float], make: Callable[[Pool], Runner], name: str) -> None:
        self.total = dict(total)
        self._free = dict(total)
        self._make = make
        self._name = name
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._waiting: dict[_Needs, deque[Job]] = {}
        self._idle: list[SimpleQueue[Job | None]] = []
        self._threads: dict[threading.Thread, Job | None] = {}  # with what each does
        self._ending = False

    def check(self, needs: Mapping[str, float]) -> None:
        """Raise InvalidArgumentError for what this pool never has."""
        for name, amount in needs.items():
            there = self.total.get(name, 0.0)
            if amount > there + _ROUNDING:
                if name in ("cpu", "gpu"):
                    raise InvalidArgumentError(f"the executor has no resource {name!r}: name it {name + 's'!r}")
                more = "more workers" if name == "cpus" else f"resources={{{name!r}: {amount:g}}}"
                raise InvalidArgumentError(
                    f"the task asks for {amount:g} {name}, and the executor has {there:g}: ask for less, or open it "
                    f"with {more}"
                )

    def add(self, future: Future[Any], work: Any, needs: Mapping[str, float]) -> None:
        """Have a job done as soon as what it needs is free."""
        kind = tuple(sorted(needs.items()))
        with self._lock:
            job = Job(next(self._numbers), future, work, kind)
            self._waiting.setdefault(kind, deque()).append(job)
            self._dispatch()

    @contextmanager
    def lent(self, job: Job) -> Iterator[None]:
        """What the job holds is free for others in this block, and its own again at once behind it, even if there is
        then less than nothing left: who waited for others has waited enough."""
        with self._lock:
            self._give_back(job)
            self._dispatch()
        try:
            yield
        finally:
            with self._lock:
                self._take(job)

    def dismiss(self) -> None:
        """Let the runners go when what was added is done."""
        with self._lock:
            self._ending = True
            idle, self._idle = self._idle, []
        for inbox in idle:
            inbox.put(None)

    def has(self, thread: threading.Thread) -> bool:
        """Whether it is one of the runners."""
        with self._lock:
            return thread in self._threads

    def end(self, *, forsake: bool = False) -> None:
        """:meth:`dismiss` and wait until the runners are gone; if told to ``forsake``, not for those that are still at
        a job which was taken back."""
        self.dismiss()
        with self._lock:
            threads = dict(self._threads)
        for thread, job in threads.items():
            if not (forsake and job is not None and job.future.cancelled()):
                thread.join()

    # --- under the lock ---------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        while (job := self._next()) is not None:
            if self._idle:
                self._idle.pop().put(job)
                continue
            inbox: SimpleQueue[Job | None] = SimpleQueue()
            inbox.put(job)
            thread = threading.Thread(target=self._live, args=(inbox,), name=f"holdfast-{self._name}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                self._give_back(job)
                job.future._fail(StoreError(f"{job.future.name} was not run: {error}; this process has too many"))
            else:
                self._threads[thread] = None

    def _next(self) -> Job | None:
        """The oldest job whose needs are free, which are then taken."""
        held: set[str] = set()
        for kind in sorted(self._waiting, key=lambda kind: self._waiting[kind][0].number):
            lacking = [name for name, amount in kind if self._free[name] + _ROUNDING < amount]
            if lacking or any(name in held for name, _ in kind):
                held.update(lacking)
                continue
            jobs = self._waiting[kind]
            job = jobs.popleft()
            if not jobs:
                del self._waiting[kind]
            self._take(job)
            return job
        return None

    def _take(self, job: Job) -> None:
        for name, amount in job.needs:
            self._free[name] -= amount

    def _give_back(self, job: Job) -> None:
        for name, amount in job.needs:
            self._free[name] += amount

    # --- the life of a runner ---------------------------------------------------------------------------------------

    def _live(self, inbox: SimpleQueue[Job | None]) -> None:
        runner = self._make(self)
        try:
            while (job := inbox.get()) is not None:
                with self._lock:
                    self._threads[threading.current_thread()] = job
                if not job.future.done():  # else cancelled
                    runner.do(job)
                self._done(job, inbox)
                del job  # its arguments are not kept while there is nothing to do
        finally:
            runner.leave()
            with self._lock:
                self._threads.pop(threading.current_thread(), None)

    def _done(self, job: Job, inbox: SimpleQueue[Job | None]) -> None:
        with self._lock:
            self._give_back(job)
            self._threads[threading.current_thread()] = None
            another = self._next()
            self._dispatch()
            if another is not None or self._ending:
                inbox.put(another)
            else:
                self._idle.append(inbox)


class PoolExecutor(Executor):
    """An executor of which each task is a job of a pool of its own, on this machine.

    Attributes:
        runner: makes one of those that do the jobs.
    """

    memory: ClassVar[str] = "local"
    runner: ClassVar[Callable[[Pool], Runner]]

    def __init__(self, *, workers: int | None = None, resources: Mapping[str, float] | None = None) -> None:
        """Open; no thread or process is started before there is a task for it.

        Args:
            workers: tasks that run at a time, of one CPU each; as many as there are CPUs by default.
            resources: what else tasks may ask for, by name, such as ``{"gpus": 1}``.
        """
        self._pool = Pool(machine(workers, resources), type(self).runner, self.name)
        super().__init__()
        weakref.finalize(self, self._pool.dismiss).atexit = False
        self._ready()

    @property
    def resources(self) -> Resources:
        """What it was opened with."""
        self._check_open()
        total = self._pool.total
        named = {name: amount for name, amount in total.items() if name not in ("cpus", "memory")}
        return Resources(total["cpus"], int(total["memory"]), named)

    def _start(
        self,
        future: Future[Any],
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        needs: dict[str, float],
    ) -> None:
        self._pool.check(needs)
        self._pool.add(future, self._work(function, args, kwargs), needs)

    def _check_outside(self) -> None:
        if self._pool.has(threading.current_thread()):
            raise InvalidArgumentError(
                "a task, and what is called when one ends, cannot close its executor: it would wait for itself"
            )

    def _end(self) -> None:
        self._pool.end()

    @abstractmethod
    def _work(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """The work of a job, as the runners take it."""


def machine(workers: int | None, named: Mapping[str, float] | None) -> dict[str, float]:
    """What this machine offers to as many workers: one for each CPU by default.

    Raises:
        InvalidArgumentError: the number of workers is no positive whole number.
    """
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count: Any = workers
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InvalidArgumentError(f"workers is a positive whole number, not {workers!r}")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = {"memory": float(memory)} | amounts(named)
    return found | {"cpus": float(count)}
