"""The threads of an engine, and what runs in them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Condition, Event

from ..address import Path
from ..errors import ClosedError, HoldfastError
from .failures import Stopped
from .groups import CANCELLED, CLOSING
from .instance import Instance
from .record import CRASHED, PENDING
from .threads import begin_thread

__all__ = ["CANCEL", "MOST", "Running", "Tell", "Workers"]

Tell = Callable[[str], object]
"""Called with what became of an instance."""

CANCEL = "cancel"
"""Key of the record that somebody in another process writes to cancel an instance."""

MOST = 100
"""Instances that run at the same time, those aside that are run in threads of others: many only wait."""

_IDLE = 10.0  # seconds after which a thread without work ends
_LOOK = 0.5  # seconds between two looks whether somebody cancelled what runs here
_PATIENCE = 5.0  # seconds in which closing waits for what runs


class Running:
    """An instance that runs here, or waits for a thread.

    Attributes:
        error: why it goes on no further here, if it did not come to its end.
    """

    def __init__(self, instance: Instance, tell: Tell | None = None) -> None:
        """``tell`` is called with :attr:`status` when it has ended, in the thread that ran it."""
        self.instance = instance
        self.ended = Event()
        self.error: BaseException | None = None
        self.since = time.monotonic()
        self._tell = tell

    @property
    def status(self) -> str:
        """What became of it here, once it has ended: its status, or ``crashed``, or ``stopped`` to be gone on with."""
        status: str = self.instance.facts["status"]
        return status if status != PENDING else "stopped" if isinstance(self.error, Stopped) else CRASHED

    def end(self) -> None:
        """Let those know who wait for it."""
        self.ended.set()
        if self._tell is not None:
            self._tell(self.status)


class Workers:
    """Runs instances, and knows those that run."""

    def __init__(self, most: int = MOST) -> None:
        """``most`` instances run at the same time, those aside that are run in threads of others."""
        self._most = most
        self._work = Condition()
        self._waiting: deque[Running] = deque()
        self._running: dict[tuple[Path, str], Running] = {}
        self._crashed: list[Callable[[], object]] = []  # what records of an instance that it crashed, and could not yet
        self._threads = self._free = 0
        self._watches = self._closed = False

    def get(self, namespace: Path, id: str) -> Running | None:
        """The instance of this id, if it runs here."""
        return self._running.get((namespace, id))

    def add(self, instance: Instance, tell: Tell | None = None) -> Running:
        """Know an instance, which is going to be run."""
        running = Running(instance, tell)
        with self._work:
            self._running[instance.place.namespace.path, instance.place.instance] = running
            if self._closed:
                instance.group.stop(CLOSING)
            self._begin_watch()
        return running

    def _begin_watch(self) -> None:
        if not self._watches and not self._closed:
            self._watches = begin_thread(self._watch, "holdfast-flows-watch") is not None

    def enqueue(self, running: Running) -> None:
        """Run an instance in a thread, as soon as there is one; in this one, if there can be none."""
        with self._work:
            self._waiting.append(running)
            if self._free >= len(self._waiting):
                self._work.notify()
            elif self._threads < self._most and begin_thread(self._serve, "holdfast-flow") is not None:
                self._threads += 1
            if self._threads:
                return
            self._waiting.remove(running)
        self.perform(running)

    def _serve(self) -> None:
        while (running := self._next()) is not None:
            try:
                self.perform(running)
            except BaseException:
                with self._work:
                    self._threads -= 1
                raise
            del running

    def _next(self) -> Running | None:
        """What a thread does next; None if it is to end, and does not count any more."""
        with self._work:
            while not self._waiting and not self._closed:
                self._free += 1
                woken = self._work.wait(_IDLE)
                self._free -= 1
                if not woken:
                    break
            if self._waiting:
                return self._waiting.popleft()
            self._threads -= 1
            return None

    def perform(self, running: Running) -> None:
        """Run an instance in this thread."""
        place = running.instance.place
        key = place.namespace.path, place.instance
        try:
            running.instance.run()
        except BaseException as error:
            running.error = error
            self.record_crash(partial(running.instance.crashed, error))
            if not isinstance(error, Exception):
                raise
        finally:
            with self._work:
                if self._running.get(key) is running:  # else somebody goes on with it already
                    del self._running[key]
            running.end()

    def record_crash(self, record: Callable[[], object]) -> None:
        """Let this record that an instance crashed: now, or as soon as the store can be written."""
        if not self._records(record):
            with self._work:
                self._crashed.append(record)
                self._begin_watch()

    @staticmethod
    def _records(record: Callable[[], object]) -> bool:
        """Record that an instance crashed; gives whether there is no more to do about that."""
        try:
            record()
        except (ClosedError, Stopped):
            pass
        except HoldfastError:
            return False
        return True

    def _watch(self) -> None:
        """Stop what somebody in another process cancelled or removed, and write down what was logged, and what crashed
        while the store could not be written, for as long as there is something."""
        while True:
            time.sleep(_LOOK)
            with self._work:
                running, crashed = list(self._running.values()), list(self._crashed)
                if self._closed or not (running or crashed):
                    self._watches = False
                    return
            recorded = [each for each in crashed if self._records(each)]
            with self._work:
                self._crashed = [each for each in self._crashed if each not in recorded]
            now = time.monotonic()
            for each in (each for each in running if now - each.since > _LOOK):
                record = each.instance.record
                with suppress(HoldfastError):
                    if record.is_gone():
                        self.stop(each, CLOSING)
                    elif record.scope.exists(CANCEL):
                        self.stop(each, CANCELLED)
                    else:
                        record.write_log()

    def stop(self, running: Running, reason: str) -> None:
        """Stop an instance; one that waits for a thread ends in this one."""
        running.instance.group.stop(reason)
        with self._work:
            if running not in self._waiting:
                return
            self._waiting.remove(running)
        self.perform(running)

    def close(self, meanwhile: Callable[[], None]) -> None:
        """Stop what runs here, do something else, and wait a while for the end of what ran."""
        with self._work:
            self._closed = True
            running = list(self._running.values())
            waiting = list(self._waiting)
            self._waiting.clear()
            self._work.notify_all()
        for each in waiting:  # which nobody begins any more
            each.error = Stopped()
            each.end()
        for each in running:
            each.instance.group.stop(CLOSING)
        meanwhile()
        end = time.monotonic() + _PATIENCE
        for each in running:
            each.ended.wait(max(0.0, end - time.monotonic()))
