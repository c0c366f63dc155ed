"""Tasks on a Dask cluster: one that is there, or one that is started on this machine."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, ClassVar

from ..errors import InvalidArgumentError, MissingExtraError, StoreError, TaskLost
from ..storages.dialing import dial
from .base import Resources
from .clusters import ClusterExecutor, Ended
from .futures import Future, Waited, plainly, waiting_by
from .pool import machine
from .tasks import Packed, run

__all__ = ["DaskExecutor", "attached", "run_beside"]

_ANSWER = 10.0  # seconds for a scheduler to answer at all
_START = 60.0  # seconds for workers of this machine to come up
_LOST = 30  # seconds after which a worker that finds no scheduler ends
_GRACE = 10.0  # seconds for them to end
_LARGE = 1 << 20  # bytes of a call that does not go through the scheduler


class DaskExecutor(ClusterExecutor):
    """Runs tasks on a Dask cluster, whose workers' memory belongs to it. Holdfast must be installed there.

    A process that has a client of Dask's already, as tasks do, uses that one if no address is given. Within the
    executor's ``with`` block its client is the current one, so that Dask's collections compute there as well.

    A task may take this executor along and submit others to it: while it waits for them, others have its thread.
    """

    name: ClassVar[str] = "dask"
    memory: ClassVar[str] = "dask"

    def __init__(
        self,
        address: str | None = None,
        *,
        workers: int | None = None,
        resources: Mapping[str, float] | None = None,
        memory_limit: str | int = "auto",
        **options: Any,
    ) -> None:
        """Connect or start.

        Args:
            address: of a scheduler, as ``tcp://host:8786``; that of Dask's own configuration
                (``DASK_SCHEDULER_ADDRESS``) by default, else a cluster is started on this machine.
            workers: processes of a cluster that is started, of one thread each; as many as there are CPUs by default.
            resources: what else each of them has, by name.
            memory_limit: bytes that each may use, in the words of ``dask worker --memory-limit``.
            options: for ``distributed.Client``, or for the ``distributed.LocalCluster`` whose scheduler is started.

        Raises:
            MissingExtraError: Dask's distributed scheduler is not installed.
            InvalidArgumentError: workers or resources of a cluster that is there already; or an unknown option.
            StoreError: nothing answers at that address, or the cluster cannot be started.
        """
        super().__init__()
        self._dask = _engine()
        self._cluster: _Cluster | None = None
        self._shared = False
        if address is not None and not isinstance(address, str):
            raise InvalidArgumentError(f"the address of a scheduler is text such as tcp://host:8786, not {address!r}")
        current = _current(self._dask) if address is None and not options else None
        found = address or _configured()
        if (current or found) and (workers is not None or resources):
            raise InvalidArgumentError("a Dask cluster that is there already has the workers that it has")
        if current is not None:
            self._client, self._shared = current, True
        elif found is not None:
            self._client = _connected(self._dask, found, options)
        else:
            self._cluster = _Cluster(self._dask, machine(workers, resources), memory_limit, options)
            self._client = self._cluster.client
        self._ready()

    @property
    def resources(self) -> Resources:
        """What all workers have that are there."""
        self._check_open()
        workers = self._workers()
        named: dict[str, float] = {}
        for worker in workers:
            for name, amount in worker["resources"].items():
                if name not in ("cpus", "memory"):
                    named[name] = named.get(name, 0) + amount
        limits = [worker["memory_limit"] for worker in workers]
        return Resources(
            sum(worker["nthreads"] for worker in workers), sum(limits) if all(limits) and limits else None, named
        )

    def _workers(self) -> list[dict[str, Any]]:
        try:
            return list(self._client.scheduler_info()["workers"].values())
        except (OSError, ValueError) as error:
            raise StoreError(f"the Dask scheduler does not answer: {error}") from error

    def _native(self, needs: dict[str, float]) -> dict[str, float]:
        if self._cluster is not None:
            self._cluster.check(needs)
        # A task has a thread without asking for it, and no worker says of itself that it has CPUs, but for ours.
        return {name: need for name, need in needs.items() if name != "cpus" or need > 1}

    def _send(self, future: Future[Any], call: Packed, ended: Callable[[Ended], None]) -> None:
        client, argument = self._client, call
        if client.status != "running":
            raise StoreError("the client of the Dask cluster has lost its scheduler, or was closed: open an executor")
        try:
            if call.size > _LARGE:
                from .parcel import Parcel

                (argument,) = client.scatter([Parcel(*call.parts)], hash=False, timeout=_ANSWER)
            key = f"holdfast-{future.name}-{uuid.uuid4().hex}"
            theirs = client.submit(run_beside, argument, key=key, pure=False, resources=future._needs or None)
        except OSError as error:
            raise StoreError(f"the Dask cluster does not take {future.name}: {error}; has it workers?") from error
        future._handle = (theirs, argument)
        follow = asyncio.run_coroutine_threadsafe(_follow(client, theirs), client.loop.asyncio_loop)
        name = future.name
        follow.add_done_callback(lambda done: ended(lambda: self._outcome(name, done)))

    def _outcome(self, name: str, theirs: concurrent.futures.Future[Packed]) -> Packed:
        """What came of the call; an error is Dask's own, as the call raises none."""
        try:
            return theirs.result()
        except (self._dask.KilledWorker, concurrent.futures.CancelledError, asyncio.CancelledError) as error:
            raise TaskLost(
                f"the Dask worker that ran {name}, or the scheduler, is lost: part of its work may be done; look at "
                f"the memory of its machine, and submit it again. Dask says: {error}"
            ) from error
        except Exception as error:
            raise StoreError(
                f"{name} could not be run on a worker of Dask, is Holdfast there?: {type(error).__name__}: {error}"
            ) from error

    def _drop(self, future: Future[Any]) -> None:
        held, future._handle = future._handle, None
        for one in held or ():
            if isinstance(one, self._dask.Future):
                one.release()

    def _there(self) -> list[Mapping[str, float]]:
        return [worker["resources"] for worker in self._workers()]

    @contextmanager
    def _surrounding(self) -> Iterator[None]:
        with super()._surrounding(), nullcontext() if self._shared else self._client.as_current():
            yield

    def _end(self) -> None:
        super()._end()
        if self._shared:
            return
        if self._cluster is not None:
            self._cluster.end()
        else:
            self._client.close()

    def __reduce__(self) -> Any:
        return attached, (self._client.scheduler.address,)


def attached(address: str) -> DaskExecutor:
    """An executor of the cluster at that address, as a task gets it."""
    return DaskExecutor(None if _current(_engine()) is not None else address)


def run_beside(call: Packed) -> Packed:
    """In a worker: the call, whose thread others have while it waits for tasks of its own."""
    from .parcel import Parcel

    with waiting_by(_wait):
        return Parcel(*run(call).parts)


def _wait(*given: Any) -> Waited:
    with _seceded():
        return plainly(*given)


async def _follow(client: Any, theirs: Any) -> Packed:
    (found,) = await client.gather([theirs], asynchronous=True)
    assert isinstance(found, Packed)
    return found


@contextmanager
def _seceded() -> Iterator[None]:
    distributed = _engine()
    try:
        distributed.secede()
    except (KeyError, ValueError, AttributeError):  # it has seceded already, or this thread is none of Dask's
        yield
        return
    try:
        yield
    finally:
        distributed.rejoin()


def _engine() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise MissingExtraError("the executor 'dask' needs distributed: pip install \"holdfast[dask]\"") from error
    return distributed


def _current(dask: Any) -> Any:
    """The client that this process, or the task that this is, has already; None if it has none."""
    try:
        dask.get_worker()
        return dask.get_client(timeout=_ANSWER)
    except ValueError:
        pass
    try:
        return dask.Client.current()
    except ValueError:
        return None


def _configured() -> str | None:
    import dask

    found: str | None = dask.config.get("scheduler-address", None)
    return found


def _connected(dask: Any, address: str, options: Mapping[str, Any]) -> Any:
    scheme, there, _ = address.partition("://")
    if not there or scheme in ("tcp", "tls"):
        try:
            dial(address, _ANSWER, 8786).close()
        except OSError as error:
            raise _nobody(address, error) from error
    given = {"timeout": _ANSWER, "set_as_default": _current(dask) is None, **options}
    try:
        return dask.Client(address, **given)
    except TypeError as error:
        raise InvalidArgumentError(f"distributed.Client does not take these options: {error}") from error
    except Exception as error:  # what else answers there may send Dask anything, a frame of exabytes for one
        raise _nobody(address, error) from error


def _nobody(address: str, error: Exception) -> StoreError:
    return StoreError(
        f"no Dask scheduler answers at {address}: {error}; start one by: dask scheduler, or leave the address away"
    )


@contextmanager
def _losses_untold() -> Iterator[None]:
    """While a cluster is ended on purpose, its scheduler does not report as an error that values end with it."""

    def expected(record: logging.LogRecord) -> bool:
        return "lose scattered data" not in record.getMessage()

    logger = logging.getLogger("distributed.scheduler")
    logger.addFilter(expected)
    try:
        yield
    finally:
        logger.removeFilter(expected)


class _Cluster:
    """A cluster on this machine: the scheduler in this process, whose end no worker outlives, and workers in others.

    The workers are started by Dask's command, as ``LocalCluster`` would import the main module of this process again.
    """

    def __init__(
        self, dask: Any, total: Mapping[str, float], memory_limit: str | int, options: Mapping[str, Any]
    ) -> None:
        count = int(total["cpus"])
        self._each = {name: amount for name, amount in total.items() if name not in ("cpus", "memory")}
        self._each |= {"cpus": 1.0, "memory": total["memory"] // count}
        self._workers: subprocess.Popen[bytes] | None = None
        given = {"n_workers": 0, "dashboard_address": "127.0.0.1:0", **options}
        try:
            self._scheduler = dask.LocalCluster(**given)
        except TypeError as error:
            raise InvalidArgumentError(f"distributed.LocalCluster does not take these options: {error}") from error
        except (OSError, RuntimeError, ValueError) as error:
            raise StoreError(f"a Dask scheduler cannot be started on this machine: {error}") from error
        try:
            self._scheduler.scheduler.allowed_failures = 0  # a task is run once
            self.client = dask.Client(self._scheduler, set_as_default=_current(dask) is None)
            self._workers = self._begin(count, memory_limit)
            self._await(count)
        except BaseException:
            self.end()
            raise

    def check(self, needs: Mapping[str, float]) -> None:
        """Raise InvalidArgumentError for what no worker has."""
        for name, amount in needs.items():
            there = self._each.get(name, 0.0)
            if amount > there:
                raise InvalidArgumentError(
                    f"the task asks for {amount:g} {name}, and each worker of this Dask cluster has {there:g}: ask for "
                    "less, or use a cluster that has more"
                )

    def end(self) -> None:
        """End it, the workers first."""
        workers, self._workers = self._workers, None
        if workers is not None:
            with _losses_untold():
                workers.terminate()
                try:
                    workers.wait(_GRACE)
                except subprocess.TimeoutExpired:
                    pass
                with suppress(ProcessLookupError):  # whatever is left of it
                    os.killpg(workers.pid, signal.SIGKILL)
                workers.wait()
        client = getattr(self, "client", None)
        if client is not None:
            client.close()
        self._scheduler.close()

    def _begin(self, count: int, memory_limit: str | int) -> subprocess.Popen[bytes]:
        offer = ",".join(f"{name}={amount:g}" for name, amount in self._each.items() if name != "memory")
        offer += f",memory={int(self._each['memory'])}"
        command = [sys.executable, "-m", "distributed.cli.dask_worker", self._scheduler.scheduler_address]
        command += ["--nworkers", str(count), "--nthreads", "1", "--resources", offer, "--no-dashboard"]
        # Without the last they would look for ever for a scheduler that was killed before they had found it.
        command += ["--memory-limit", str(memory_limit), "--death-timeout", str(_LOST)]
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            env={"DASK_LOGGING__DISTRIBUTED": "warning"}
            | os.environ
            | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # Ctrl-C is for this process, which ends them
        )

    def _await(self, count: int) -> None:
        assert self._workers is not None
        left = _START
        while left > 0 and self._workers.poll() is None:
            left -= 1
            with suppress(TimeoutError):
                self.client.wait_for_workers(count, timeout=1)
                return
        raise StoreError(f"the workers of a Dask cluster on this machine did not come up within {_START:g} s")
