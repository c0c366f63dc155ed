"""Results in a folder of one machine of a Ray cluster.

An actor there opens the folder's store and serves it to the cluster; workers write to it and read from it directly.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, ClassVar

from ....api import Store, open
from ....config import StoreConfig, find_config
from ....errors import InvalidArgumentError, StoreError
from ....signing import Signer
from ....store import OpenKernel
from ....tokens import VERBS, Tokens
from ..places import join_ray
from .base import Storage

__all__ = ["FileStorage", "Keeper", "RayKernel", "end_keepers", "reach"]

_LASTS = timedelta(days=30)  # of a token whose actor was killed, so that nobody takes it back
_PATIENCE = 60.0  # seconds for the actor to begin, once it has what it asks for
_keepers: dict[tuple[Any, str], Any] = {}  # by the job that has begun them, with which they end
_kernels: dict[str, RayKernel] = {}
_lock = threading.RLock()


class FileStorage(Storage):
    """A Holdfast store in the folder ``path``, as the machine sees it that has what ``remoteArgs`` asks for, as
    ``ray.remote`` has it. ``rayInitArgs`` are for ``ray.init``, where this process is in no cluster yet."""

    kind: ClassVar[str] = "ray"
    _OPTIONS: ClassVar[tuple[str, ...]] = ("path", "remoteArgs", "rayInitArgs")

    def _open(self) -> Store:
        args: Any = self.options.get("remoteArgs", {})
        if not isinstance(args, Mapping):
            raise InvalidArgumentError(f"remoteArgs are options by name, as of ray.remote, not {args!r}")
        ray = join_ray(self.options.get("rayInitArgs", {}))
        asked = (ray.get_runtime_context().get_job_id(), repr((self.options["path"], sorted(args.items()))))
        with _lock:
            keeper = _keepers.get(asked)
            if keeper is None:
                try:
                    keeper = ray.remote(Keeper).options(**{"num_cpus": 0, **args}).remote(self.options["path"])
                except (TypeError, ValueError) as error:
                    raise InvalidArgumentError(f"Ray does not take these remoteArgs: {error}") from error
                _keepers[asked] = keeper
            return Store(reach(keeper))


class Keeper:
    """The actor that has the store open."""

    def __init__(self, path: str) -> None:
        import ray

        from ....service.server import serve

        self._store = open(path)
        self._tokens = Tokens(self._store)
        self._token, known = self._tokens.create(scopes=["/"], allow=VERBS, expires=_LASTS, label="a Ray cluster's")
        self._id = known.id
        ready: Any = threading.Event()
        host: Any = ray.util.get_node_ip_address
        self._server = serve(self._store, host=host(), port=0, listening=lambda url: ready.set())
        self._thread = threading.Thread(target=self._server.run, name="served", daemon=True)
        self._thread.start()
        if not ready.wait(_PATIENCE):
            raise StoreError(f"the service of {path} did not begin to listen")

    def access(self) -> tuple[str, str, bytes]:
        """URL, token and signing key; for processes of the cluster, which can run code here in any case."""
        return self._server.url, self._token, self._store._kernel.signer.key

    def end(self) -> None:
        """Serve no more."""
        self._tokens.revoke(self._id)
        self._server.stop()
        self._thread.join(10)
        self._store.close()


class RayKernel(OpenKernel):
    """What reaches a store through its actor. Pickled it is the actor, and no secret goes with it."""

    def __init__(self, config: StoreConfig, keeper: Any, key: bytes) -> None:
        super().__init__(config, create=False)
        self.keeper = keeper
        self.signer = Signer(self.catalog.store_id, key)

    def __reduce__(self) -> tuple[Any, ...]:
        return super().__reduce__() if self._main is not None else (reach, (self.keeper,))


def reach(keeper: Any) -> RayKernel:
    """The store of an actor, open in this process.

    Raises:
        StoreError: the actor is gone.
    """
    import ray

    name = keeper._actor_id.hex()
    with _lock:
        kernel = _kernels.get(name)
        if kernel is None or kernel.closed:
            try:
                url, token, key = ray.get(keeper.access.remote())
            except ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, Exception) else error from error
            except ray.exceptions.RayError as error:
                raise StoreError(f"the Ray actor that has the store is gone: {error}") from error
            kernel = _kernels[name] = RayKernel(find_config(url, token=token), keeper, key)
        return kernel


@atexit.register
def end_keepers() -> None:
    """End the actors that this process has begun, and what it has open of their stores."""
    for kernel in list(_kernels.values()):
        with suppress(Exception):
            kernel.close()
    _kernels.clear()
    keepers = dict(_keepers)
    _keepers.clear()
    if not keepers:
        return
    import ray

    if ray.is_initialized():  # else they have ended with their job, and to ask one would begin another
        job = ray.get_runtime_context().get_job_id()
        with suppress(Exception):
            ray.get([keeper.end.remote() for (its, _), keeper in keepers.items() if its == job], timeout=10)
