"""What executors on clusters have in common: calls go out, what came of them comes back by itself."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

from ..errors import InvalidArgumentError
from .base import Executor
from .futures import Future
from .tasks import Packed, open_result, pack_call

__all__ = ["ClusterExecutor", "Ended"]

Ended = Callable[[], Packed]
"""Gives the outcome of a task that has ended, or raises what the user is to be told of it."""


class ClusterExecutor(Executor):
    """An executor of which each task is something on a cluster: the handle that its future has.

    What comes back is opened in a thread of the executor's own, as it may be large and run code, and an engine's own
    threads are not for that.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ended: SimpleQueue[tuple[Future[Any], Ended] | None] = SimpleQueue()
        self._opener: threading.Thread | None = None

    def _start(
        self,
        future: Future[Any],
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        needs: dict[str, float],
    ) -> None:
        call = pack_call(function, args, kwargs, self.memory, self.name)
        future._needs = self._native(needs)
        with self._lock:
            if self._opener is None:
                name = f"holdfast-{self.name}"
                self._opener = threading.Thread(target=_open, args=(self._ended,), name=name, daemon=True)
                self._opener.start()
        ended = self._ended
        self._send(future, call, lambda result: ended.put((future, result)))
        future._recalled_by(lambda: self._drop(future))

    def _check_outside(self) -> None:
        if threading.current_thread() is self._opener:
            raise InvalidArgumentError(
                "what is called when a task ends cannot close its executor: it would wait for itself"
            )

    def _hopeless(self, pending: set[Future[Any]]) -> tuple[set[Future[Any]], str]:
        try:
            there = self._there()
        except (OSError, InvalidArgumentError) as error:
            return pending, str(error)
        able = {
            future
            for future in pending
            if any(all(one.get(name, 0) >= need for name, need in future._needs.items()) for one in there)
        }
        return pending - able, f"no worker of the {self.name} cluster, which has {len(there)}, has what it asks for"

    def _end(self) -> None:
        self._ended.put(None)

    # --- what each engine does its own way --------------------------------------------------------------------------

    @abstractmethod
    def _native(self, needs: dict[str, float]) -> dict[str, float]:
        """What a task asks for in the engine's words.

        Raises:
            InvalidArgumentError: the cluster will never have it, as far as that can be known.
        """

    @abstractmethod
    def _send(self, future: Future[Any], call: Packed, ended: Callable[[Ended], None]) -> None:
        """Begin, and set the future's handle. ``ended`` is to be called from any thread when the task has ended, with
        what gives its outcome."""

    @abstractmethod
    def _drop(self, future: Future[Any]) -> None:
        """Nobody wants that task any more, or what came of it. May be called again."""

    @abstractmethod
    def _there(self) -> list[Mapping[str, float]]:
        """What each worker has that is there now, in the engine's words.

        Raises:
            StoreError: the cluster does not answer.
        """


def _open(ended: SimpleQueue[tuple[Future[Any], Ended] | None]) -> None:
    while (found := ended.get()) is not None:
        future, result = found
        try:
            if not future.done():
                future._finish(open_result(result()))
        except BaseException as error:
            future._fail(error)
        future._recall()
        del found, future, result  # nothing is kept while there is nothing to do
