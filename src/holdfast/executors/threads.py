"""Tasks in threads of this process: nothing travels, and all objects are shared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import Context
from typing import Any, ClassVar, NamedTuple

from .futures import Waited, plainly, waiting_by
from .pool import Job, Pool, PoolExecutor, Runner
from .tasks import surroundings

__all__ = ["ThreadExecutor"]


class _Work(NamedTuple):
    context: Context
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class _Thread(Runner):
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def do(self, job: Job) -> None:
        future, work = job.future, job.work
        if not future._begin():
            return
        try:
            with waiting_by(lambda *given: self._lend(job, *given)):
                value = work.context.run(work.function, *work.args, **work.kwargs)
        except BaseException as error:
            inner = error.__traceback__.tb_next if error.__traceback__ else None  # this frame would keep the arguments
            future._fail(error.with_traceback(inner))
        else:
            future._finish(value)

    def _lend(self, job: Job, *given: Any) -> Waited:
        with self._pool.lent(job):
            return plainly(*given)


class ThreadExecutor(PoolExecutor):
    """Runs tasks in threads of this process. Good for what waits, for NumPy and the like, and for stores in memory.

    A task that waits for another one lends its place, so tasks may submit tasks and wait for them.
    """

    name: ClassVar[str] = "threads"
    runner: ClassVar[Callable[[Pool], Runner]] = _Thread

    def _work(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Work:
        return _Work(surroundings(self.memory), function, args, kwargs)

    def _end(self) -> None:
        self._pool.end(forsake=True)  # what was taken back may still run, and no thread can be stopped
