"""Runs instances of flows: each in a thread of this process, and its subflows with it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from posixpath import dirname
from threading import BoundedSemaphore, Lock
from typing import Any, NamedTuple
from uuid import uuid4
from weakref import WeakSet

from ..address import Path
from ..errors import (
    ClosedError,
    ConflictError,
    DefinitionError,
    FlowFailed,
    HoldfastError,
    InvalidArgumentError,
    LeaseLost,
    NotFoundError,
)  # fmt: skip
from ..lease import Lease
from ..model import Entry
from ..scope import BaseScope
from ..stopping import go_on
from .expressions import Data
from .failures import Codes, Failure, Stopped
from .functions.action import Caller
from .groups import CANCELLED, Group
from .ids import id_below, new_id
from .instance import Above, Host, Instance, Limits
from .instances import Instances, lease_of
from .json_text import encode, from_bytes, parse
from .place import Place
from .record import CANCELLED as WAS_CANCELLED
from .record import COMPLETE, CRASHED, FACTS, PENDING, PROGRESS, Change, Record, new_facts, text_in
from .states import perform
from .variables import LARGEST
from .workers import CANCEL, MOST, Running, Tell, Workers
from .workflows import Definitions, clean_path, not_there, text_of

__all__ = ["Engine", "as_input"]

_HELPERS = 64  # threads for calls at the same time
_SOON, _LATE = 0.005, 0.25  # seconds between two looks at an instance that runs elsewhere: the first, and at most
_SECONDS = 30.0  # of the lease of who runs instances, which is renewed
_WAIT = 5.0  # seconds for a lease that nobody else can have

_Lineage = Sequence[dict[str, Any]]


def as_input(given: Any) -> dict[str, Any]:
    """What an instance begins with: an object as it is, ``{}`` for nothing, and all else as its ``input``.

    Args:
        given: a JSON value, or the bytes of one; bytes that are no JSON are taken as base64.

    Raises:
        InvalidArgumentError: it is no JSON value, or too large.
    """
    try:
        if isinstance(given, bytes):
            value = from_bytes(given) if given else {}
        else:
            value = {} if given is None else parse(encode(given))
    except ValueError as error:
        raise InvalidArgumentError(f"the input of a flow must be JSON: {error}") from None
    found = value if isinstance(value, dict) else {"input": value}
    if len(encode(found)) > LARGEST:
        raise InvalidArgumentError(f"the input of a flow may have {LARGEST:,} bytes: put more into a variable")
    return found


class _Runner(NamedTuple):
    """Under which name a process runs instances, and the lease that says that it does."""

    name: str
    lease: Lease


class Engine:
    """Runs instances in one store. Use it as a context manager, or call :meth:`close`.

    An instance is named by its namespace, a scope of the store, and its id.

    Attributes:
        caller: calls functions; closed with the engine.
        limits: of what each instance may use that begins from now on.
    """

    def __init__(
        self, store: Any, caller: Caller | None = None, *, limits: Limits | None = None, threads: int = MOST
    ) -> None:
        """``threads`` is how many instances run at the same time; more that are started wait."""
        self._most = threads
        self._kernel = store._kernel
        self.caller = caller
        self.limits = limits or Limits()
        self._closed = False
        self._begin()
        _engines.add(self)

    def _begin(self) -> None:
        """Run nothing yet, as after a fork, where what runs is the parent's."""
        self._lock = Lock()
        self._definitions = Definitions(self.caller)
        self._threads = BoundedSemaphore(_HELPERS)
        self._workers = Workers(self._most)
        self._runners: dict[Path, _Runner] = {}

    # --- running ------------------------------------------------------------------------------------------------------

    def start(
        self,
        namespace: BaseScope[Any],
        path: str,
        given: Any = None,
        *,
        invoker: str = "api",
        tell: Tell | None = None,
    ) -> str:
        """Begin an instance of a workflow, and give its id.

        Args:
            path: of the workflow's file in the namespace.
            given: its input, as :func:`as_input` takes it.
            tell: called, in another thread, when it goes on no further here: with its status, or ``crashed``, or
                ``stopped`` if this engine was closed.

        Raises:
            NotFoundError: there is no such workflow.
            DefinitionError: its definition is not legal, or names a function that cannot be called.
            InvalidArgumentError: the input is no JSON, or too large.
        """
        running = self._new(namespace, path, given, invoker, tell)
        self._workers.enqueue(running)
        return running.instance.place.instance

    def run(self, namespace: BaseScope[Any], path: str, given: Any = None, *, invoker: str = "api") -> Any:
        """Run an instance of a workflow in this thread, and give its output.

        Raises:
            FlowFailed: it failed, or was cancelled.
            NotFoundError, DefinitionError, InvalidArgumentError: as of :meth:`start`.
        """
        running = self._new(namespace, path, given, invoker)
        self._workers.perform(running)
        return _result(running)

    def _new(self, namespace: BaseScope[Any], path: str, given: Any, invoker: str, tell: Tell | None = None) -> Running:
        place = Place(namespace, clean_path(path), new_id())
        try:
            instance = self._instance(place, as_input(given), invoker, [], self._above())
        except Failure as failure:
            raise InvalidArgumentError(f"the input of a flow must be JSON: {failure.message}") from None
        return self._workers.add(instance, tell)

    def _above(self) -> Above:
        """What instances are under that no other one calls."""
        seconds = self.limits.seconds
        return Above(Group(), deadline=None if seconds is None else time.monotonic() + seconds)

    def _instance(self, place: Place, given: dict[str, Any], invoker: str, lineage: _Lineage, above: Above) -> Instance:
        """A new instance, which is recorded."""
        number = place.namespace._ledger.scope_id(place.namespace.path)
        if number is None:
            raise not_there(place.namespace, place.path)
        text = text_of(place.namespace, place.path)
        definition = self._definitions.get(text, place.path)
        facts, data = new_facts(place, invoker, lineage, definition.start), Data(given, self.limits.jq)
        record = self._held(place, facts, lambda record: record.begin(facts, text, data.text.decode(), number))
        return Instance(self._host, definition, record, facts, data, above)

    @property
    def _host(self) -> Host:
        return Host(self.limits, perform, self.caller, self._run_subflow, self._threads)

    def resume(self, namespace: BaseScope[Any], id: str, *, tell: Tell | None = None) -> None:
        """Go on with an instance that crashed, from the last state that is recorded as finished.

        Its getters and setters are not done twice; a call that was not recorded as ended is. ``tell`` is as of
        :meth:`start`.

        Raises:
            NotFoundError: there is none of this id.
            InvalidArgumentError: it did not crash.
            DefinitionError: it names a function that cannot be called now.
        """
        self._workers.enqueue(self._workers.add(self._taken_over(namespace, id, self._above()), tell))

    def _taken_over(self, namespace: BaseScope[Any], id: str, above: Above) -> Instance:
        known = self.instances(namespace)
        entry = known.facts(id)
        if entry.value["status"] != PENDING or known.lasts(entry.value):
            raise InvalidArgumentError(f"the instance {id} is {known.get(id).status}: only one that crashed is resumed")
        definition = self._definitions.get(known.definition(id), entry.value["path"])
        try:
            record, facts, text, unit = self._claimed(namespace, entry)
        except ConflictError:
            raise InvalidArgumentError(f"the instance {id} is resumed by another process at this moment") from None
        data = Data(parse(text), self.limits.jq)
        record.log("resumed", "warning", facts["state"])
        return Instance(self._host, definition, record, facts, data, above, unit)

    def _claimed(self, namespace: BaseScope[Any], entry: Entry[Any]) -> tuple[Record, dict[str, Any], str, Any]:
        """The record of an instance that crashed, which is this process's from here on; its facts, data and unit.

        Raises:
            ConflictError: others were faster.
        """
        facts = {"interrupted": False, **entry.value, "trouble": None}  # of earlier versions none has the first
        scope = Instances(namespace).scope(facts["id"])
        progress = scope.get(PROGRESS, None) or {"data": text_in(scope, facts, "input"), "unit": None}
        place = Place(namespace, facts["path"], facts["id"])
        record = self._held(place, facts, lambda record: record.take_over(facts, entry.version))
        text, unit = progress.pop("data"), progress.pop("unit")
        return record, facts | progress, text, unit

    def wait(self, namespace: BaseScope[Any], id: str, timeout: float | None = None) -> Any:
        """Wait for the end of an instance, whoever runs it, and give its output.

        Args:
            timeout: seconds; None for as long as it takes.

        Raises:
            FlowFailed: it failed, was cancelled, or crashed.
            NotFoundError: there is none of this id.
            TimeoutError: it goes on.
        """
        end = math.inf if timeout is None else time.monotonic() + timeout

        def left() -> float:
            return max(0.0, end - time.monotonic())

        running = self._here(namespace, id)
        if running is not None:
            while not running.ended.wait(min(_LATE, left())):
                go_on()
                if not left():
                    raise TimeoutError(f"the instance {id} goes on")
            return _result(running)
        pause = _SOON
        while (info := self.instances(namespace).get(id)).status == PENDING:
            go_on()
            if not left():
                raise TimeoutError(f"the instance {id} goes on")
            time.sleep(min(pause, left()))
            pause = min(pause * 1.5, _LATE)
        if info.status == COMPLETE:
            return self.instances(namespace).output(id)
        raise _failed(info.path, info.id, info.status, info.error_code, info.error_message)

    def cancel(self, namespace: BaseScope[Any], id: str) -> None:
        """End an instance, and the subflows that it waits for; does nothing when it has ended.

        One that another process runs ends within a second.

        Raises:
            NotFoundError: there is none of this id.
        """
        self._cancel(namespace, id, with_subflows=True)

    def _cancel(self, namespace: BaseScope[Any], id: str, *, with_subflows: bool) -> None:
        while (running := self._here(namespace, id)) is None:
            known = self.instances(namespace)
            entry = known.facts(id)
            if entry.value["status"] != PENDING:
                return
            with suppress(ConflictError, Stopped):  # it was gone on with, it ended, or it was removed: look again
                if known.lasts(entry.value):
                    with known.scope(id).transaction() as inside:
                        if inside.record(FACTS).version == entry.version:
                            inside.put(CANCEL, True)
                            return
                else:
                    self._end_crashed(namespace, entry, known.below(id) if with_subflows else ())
                    return
        self._workers.stop(running, CANCELLED)

    def _end_crashed(self, namespace: BaseScope[Any], entry: Entry[Any], below: Sequence[str]) -> None:
        """Cancel an instance that crashed; what is below it first, so that what fails here can be done again."""
        record, facts, *_ = self._claimed(namespace, entry)
        try:
            for child in below:
                with suppress(NotFoundError):
                    self._cancel(namespace, child, with_subflows=False)
            ended = {**facts, "status": WAS_CANCELLED, "ended": self._kernel.catalog.now()}
            record.commit(Change(ended, line=("error", WAS_CANCELLED)))
        except BaseException as error:
            self._workers.record_crash(partial(record.crashed, error))
            raise

    def remove(self, namespace: BaseScope[Any], id: str) -> None:
        """Remove what is recorded of an instance that has ended or crashed. What it has written stays.

        Raises:
            NotFoundError: there is none of this id.
            InvalidArgumentError: it goes on.
        """
        known = self.instances(namespace)
        if known.lasts(known.facts(id).value):
            raise InvalidArgumentError(f"the instance {id} goes on: cancel it first")
        known.scope(id).drop(missing_ok=True)
        namespace.scope("instance", known.scope(id).name).drop(missing_ok=True)

    def instances(self, namespace: BaseScope[Any]) -> Instances:
        """The instances of a namespace as they are now, to list and to look at."""
        runner = self._runners.get(namespace.path)
        return Instances(namespace, runner.name if runner is not None and runner.lease.held else None)

    # --- subflows -----------------------------------------------------------------------------------------------------

    def _run_subflow(
        self, parent: Instance, path: str, given: dict[str, Any], call: dict[str, Any], above: Above
    ) -> dict[str, Any]:
        """Run a subflow in this thread, or go on with it, and give its output.

        Raises:
            Failure: it failed, or there is no such workflow.
        """
        caller = parent.place
        lineage = [*parent.facts["lineage"], call]
        if len(lineage) > self.limits.depth:
            raise Failure(Codes.DEPTH, f"subflows may be in each other {self.limits.depth} levels deep")
        id = id_below(caller.instance, call["branch"])
        status = CRASHED
        while status == CRASHED:
            try:
                place = Place(caller.namespace, clean_path(path, dirname(caller.path)), id)
                child = self._child(place, given, lineage, above._replace(group=Group(above.group)))
            except NotFoundError as error:
                raise Failure(Codes.NO_WORKFLOW, str(error)) from None
            except InvalidArgumentError as error:  # its path, or its definition
                raise Failure(Codes.INVALID_WORKFLOW, str(error)) from None
            if child is not None:
                running = self._workers.add(child)
                self._workers.perform(running)
                if child.output is not None:
                    return child.output
                above.check()
                if running.status == CRASHED and running.error is not None:
                    raise running.error  # then the caller crashes, too, and both can be gone on with
            while (info := self.instances(caller.namespace).get(id)).status == PENDING:
                above.group.event.wait(_LATE)  # somebody goes on with it, who is not its caller
                above.check()
            status = info.status
        if status == COMPLETE:
            return self.instances(caller.namespace).output(info.id)  # type: ignore[no-any-return]
        code = Codes.CANCELLED if info.status == WAS_CANCELLED else info.error_code
        raise Failure(code or "", info.error_message or f"the subflow {path} was {info.status}")

    def _child(self, place: Place, given: dict[str, Any], lineage: _Lineage, above: Above) -> Instance | None:
        """The instance of a subflow: a new one, or that of an earlier try of the same call; None if that has ended, or
        goes on."""
        try:
            status = self.instances(place.namespace).get(place.instance).status
            return self._taken_over(place.namespace, place.instance, above) if status == CRASHED else None
        except NotFoundError:
            return self._instance(place, given, f"instance:{lineage[-1]['id']}", lineage, above)
        except DefinitionError:
            raise
        except InvalidArgumentError:  # it does not need that any more
            return None

    # --- this process -------------------------------------------------------------------------------------------------

    def _held(self, place: Place, facts: dict[str, Any], write: Callable[[Record], None]) -> Record:
        """Write down that this process runs an instance; under a new lease, where the old one turns out to be lost.

        Raises:
            NotFoundError: the instance was removed meanwhile.
        """
        lost: Lease | None = None
        for _ in range(2):
            facts["runner"], lease = self._hold(place.namespace, lost)
            record = Record(place, lease)
            try:
                write(record)
                return record
            except Stopped as stopped:
                if not isinstance(stopped.__cause__, LeaseLost):
                    break
                lost = lease
            except (ConflictError, NotFoundError):
                raise
            except BaseException as error:  # which may be the answer to a commit that was made
                self._workers.record_crash(partial(record.crashed, error))
                raise
        raise NotFoundError(f"the instance {place.instance} was removed")

    def _hold(self, namespace: BaseScope[Any], lost: Lease | None) -> _Runner:
        """The name under which this process runs what it runs of a namespace, and the lease that says so."""
        with self._lock:
            if self._closed:
                raise ClosedError("this engine was closed: make another one")
            found = self._runners.get(namespace.path)
            if found is None or found.lease is lost or not found.lease.held:
                name = uuid4().hex
                lease = Lease(self._kernel, lease_of(namespace, name), _SECONDS, _WAIT, renew=True)
                found = self._runners[namespace.path] = _Runner(name, lease.acquire())
            return found

    def _here(self, namespace: BaseScope[Any], id: str) -> Running | None:
        return self._workers.get(namespace.path, self.instances(namespace).scope(id).name)

    def close(self) -> None:
        """Stop what runs here, which can be resumed, and close the caller of functions."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._workers.close((lambda: None) if self.caller is None else self.caller.close)
        for runner in self._runners.values():
            with suppress(HoldfastError):
                runner.lease.release()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *how: object) -> None:
        self.close()


_engines: WeakSet[Engine] = WeakSet()


def _after_fork_in_child() -> None:
    for engine in list(_engines):
        engine._begin()


os.register_at_fork(after_in_child=_after_fork_in_child)


def _result(running: Running) -> Any:
    instance = running.instance
    if instance.output is not None:
        return instance.output
    facts, error = instance.facts, running.error
    if facts["status"] != PENDING:
        raise _failed(facts["path"], facts["id"], facts["status"], facts["code"], facts["message"])
    why = "it was removed, or its engine was closed" if isinstance(error, Stopped) else str(error)
    raise _failed(facts["path"], facts["id"], CRASHED, None, why) from error


def _failed(path: str, id: str, status: str, code: str | None, message: str | None) -> FlowFailed:
    what = "was cancelled" if status == WAS_CANCELLED else status
    why = f" with {code}: {message}" if code else f": {message}" if message else ""
    failed = FlowFailed(f"the flow {path} {what}{why} (instance {id})")
    failed.instance, failed.status, failed.error_code = id, status, code or ""
    return failed
