"""Tasks on a Ray cluster: one that is there, or one that is started on this machine."""

from __future__ import annotations

import concurrent.futures
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ALL_COMPLETED, FIRST_EXCEPTION
from typing import Any, ClassVar

from ..errors import InvalidArgumentError, MissingExtraError, StoreError, TaskLost
from ..storages.dialing import dial
from .base import Resources, amounts
from .clusters import ClusterExecutor, Ended
from .futures import Future, Waited, plainly, waiting_by
from .tasks import Packed, run

__all__ = ["RayExecutor", "attached", "run_inside"]

_ANSWER = 5.0  # seconds for a server to answer at all
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # and empty settings
_NATIVE = {"cpus": "CPU", "gpus": "GPU", "memory": "memory"}
_INNER = ("node:", "object_store_memory", "accelerator_type:")  # resources that are no task's

_lock = threading.Lock()
_started: dict[str, float] | None = None  # what a cluster of this process's own has
_users = 0  # executors that share the connection that one of them made; a process has one


class RayExecutor(ClusterExecutor):
    """Runs tasks on a Ray cluster, whose object store is the memory that belongs to it.

    A process is in one cluster at a time: if it is in one already, that is used. What an executor connected or started
    ends with the last executor that uses it. Holdfast must be installed where the workers are.

    Arrays that come to a task are read-only: they lie in the object store, and are not copied out of it. A task may
    take this executor along and submit others to it.
    """

    name: ClassVar[str] = "ray"
    memory: ClassVar[str] = "ray"

    def __init__(
        self,
        address: str | None = None,
        *,
        workers: int | None = None,
        resources: Mapping[str, float] | None = None,
        **options: Any,
    ) -> None:
        """Connect or start.

        Args:
            address: ``host:port`` of a cluster's head, ``auto`` for one that was started on this machine by the command
                ``ray start``, or ``local`` for one of its own, whatever ``RAY_ADDRESS`` says; that, or else one of its
                own, by default.
            workers: CPUs of a cluster that is started; as many as there are by default.
            resources: what else it has, by name.
            options: for ``ray.init``.

        Raises:
            MissingExtraError: Ray is not installed.
            InvalidArgumentError: workers or resources of a cluster that is there already; or no option of ``ray.init``.
            StoreError: nothing answers at that address, the cluster cannot be started, or this process is in another.
        """
        super().__init__()
        self._ray = _engine()
        self._ours = _join(self._ray, address, workers, resources, options)
        self._remote = self._ray.remote(max_retries=0)(run_inside)
        self._ready()

    @property
    def resources(self) -> Resources:
        """What all nodes have that are alive."""
        self._check_open()
        there: dict[str, float] = self._ray.cluster_resources()
        named = {name: amount for name, amount in there.items() if name not in _NATIVE.values()}
        named = {name: amount for name, amount in named.items() if not name.startswith(_INNER)}
        if "GPU" in there:
            named["gpus"] = there["GPU"]
        return Resources(there.get("CPU", 0.0), int(there["memory"]) if "memory" in there else None, named)

    def _native(self, needs: dict[str, float]) -> dict[str, float]:
        found = {_NATIVE.get(name, name): amount for name, amount in needs.items()}
        for name, amount in found.items():
            if _started is not None and amount > _started.get(name, 0):
                raise InvalidArgumentError(
                    f"the task asks for {amount:g} {name}, and this Ray cluster has {_started.get(name, 0):g}: ask for "
                    "less, or open it with more"
                )
        return found

    def _send(self, future: Future[Any], call: Packed, ended: Callable[[Ended], None]) -> None:
        named = {name: need for name, need in future._needs.items() if name not in _NATIVE.values()}
        given: dict[str, Any] = {"num_cpus": future._needs["CPU"], "num_gpus": future._needs.get("GPU")}
        if "memory" in future._needs:
            given["memory"] = int(future._needs["memory"])
        try:
            remote = self._remote.options(name=future.name, resources=named or None, **given)
            future._handle = reference = remote.remote(call)
        except ValueError as error:
            raise InvalidArgumentError(f"Ray does not take these resources: {error}") from error
        name = future.name
        reference.future().add_done_callback(lambda theirs: ended(lambda: self._outcome(name, theirs)))

    def _outcome(self, name: str, theirs: concurrent.futures.Future[Packed]) -> Packed:
        """What came of the call; an error is Ray's own, as the call raises none."""
        kinds = self._ray.exceptions
        try:
            return theirs.result()
        except kinds.RayTaskError as error:
            raise StoreError(f"{name} could not be begun on a worker of Ray, is Holdfast there?: {error}") from error
        except (kinds.RaySystemError, kinds.RuntimeEnvSetupError) as error:
            raise StoreError(f"Ray could not run {name}: {error}") from error
        except kinds.RayError as error:
            raise TaskLost(
                f"the Ray worker that ran {name} is lost: part of its work may be done; look at the memory of its "
                f"machine, and submit it again. Ray says: {error}"
            ) from error

    def _drop(self, future: Future[Any]) -> None:
        reference, future._handle = future._handle, None
        if reference is not None and future.cancelled() and self._ray.is_initialized():
            self._ray.cancel(reference)

    def _there(self) -> list[Mapping[str, float]]:
        if not self._ray.is_initialized():
            raise StoreError("this process left the Ray cluster meanwhile")
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def _end(self) -> None:
        super()._end()
        if self._ours:
            self._ours = False
            _leave(self._ray)

    def __reduce__(self) -> Any:
        return attached, ()


def attached() -> RayExecutor:
    """An executor of the cluster that this process is in, as a task gets it."""
    return RayExecutor()


def run_inside(call: Packed) -> Packed:
    """In a worker: the call, whose CPU others have while it waits for tasks of its own."""
    with waiting_by(_wait):
        return run(call)


def _wait(futures: Collection[concurrent.futures.Future[Any]], timeout: float | None, until: str) -> Waited:
    """Ray notices that a task waits when it waits by Ray's own means."""
    import ray

    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        handles = [getattr(future, "_handle", None) for future in futures if not future.done()]
        references = [one for one in handles if isinstance(one, ray.ObjectRef)]
        if not references:
            return plainly(futures, left, until)
        ready, _ = ray.wait(references, timeout=left, fetch_local=False)
        plainly([one for one in futures if getattr(one, "_handle", None) in ready], left, ALL_COMPLETED)
        ended, missing = plainly(futures, 0, until)
        failed = until == FIRST_EXCEPTION and any(not one.cancelled() and one.exception() for one in ended)
        if not missing or failed or not ready:
            return ended, missing


def _engine() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("the executor 'ray' needs Ray: pip install \"holdfast[ray]\"") from error
    return ray


def _join(
    ray: Any,
    address: str | None,
    workers: int | None,
    resources: Mapping[str, float] | None,
    options: Mapping[str, Any],
) -> bool:
    """Be in that cluster; gives whether this has to be left again."""
    global _users, _started
    if address is not None and not isinstance(address, str):
        raise InvalidArgumentError(f"the address of a Ray cluster is text such as 10.0.0.1:6379, not {address!r}")
    with _lock:
        inside = ray.is_initialized()
        if not inside:
            _users, _started = 0, None  # whatever was shared has been left
            address = address or os.environ.get("RAY_ADDRESS") or "local"
        if (inside or address != "local") and (workers is not None or resources):
            raise InvalidArgumentError("a Ray cluster that is there already has the workers and resources that it has")
        if inside:
            _check_same(ray, address)
            _users += bool(_users)
            return _users > 0
        _enter(ray, str(address), workers, amounts(resources), options)
        _users = 1
        _started = ray.cluster_resources() if address == "local" else None
        return True


def _enter(
    ray: Any, address: str, workers: int | None, resources: Mapping[str, float], options: Mapping[str, Any]
) -> None:
    given: dict[str, Any] = {"logging_level": logging.WARNING}
    if address == "local":
        named = {name: amount for name, amount in resources.items() if name not in _NATIVE}
        given |= {"num_cpus": workers, "num_gpus": resources.get("gpus"), "resources": named or None}
        given["include_dashboard"] = False
        what = "a Ray cluster cannot be started on this machine"
    else:
        _knock(address)
        what = f"the Ray cluster at {address} cannot be joined (start one by: ray start --head)"
    try:
        ray.init(address=address, **given | dict(options))
    except (RuntimeError, TypeError) as error:
        if "keyword" not in str(error):
            raise StoreError(f"{what}: {error}") from error
        raise InvalidArgumentError(f"ray.init does not take these options: {error}") from error
    except (Exception, SystemExit) as error:
        raise StoreError(f"{what}: {error}") from error


def _leave(ray: Any) -> None:
    global _users
    with _lock:
        _users -= 1
        if _users == 0 and ray.is_initialized():
            ray.shutdown()


def _check_same(ray: Any, address: str | None) -> None:
    if address in (None, "auto", "local"):
        return
    there = ray.get_runtime_context().gcs_address
    ours, theirs = _place(str(address)), _place(there)
    if ours != theirs:
        raise StoreError(
            f"this process is in the Ray cluster at {there}, and can be in one at a time: close its executors, or call "
            "ray.shutdown(), before it joins another"
        )


def _place(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        number = socket.gethostbyname(host)
        if number.startswith("127."):
            number = socket.gethostbyname(socket.gethostname())
        return number, int(port)
    except (OSError, ValueError) as error:
        raise StoreError(f"{address!r} is no address of a Ray cluster, such as 10.0.0.1:6379: {error}") from error


def _knock(address: str) -> None:
    """Ray itself tries for minutes, and ends this process if nobody answers."""
    if address == "auto":
        return
    host, port = _place(address)
    try:
        with dial(f"{host}:{port}", _ANSWER) as connection:
            if os.environ.get("RAY_USE_TLS", "0") in ("", "0"):
                connection.sendall(_HELLO)
                answer = connection.recv(4)
                if len(answer) < 4 or answer[3] != 4:
                    raise OSError("what answers there is no Ray")
    except OSError as error:
        raise StoreError(
            f"no Ray cluster answers at {address}: {error}; start one by ray start --head, or leave the address away"
        ) from error
