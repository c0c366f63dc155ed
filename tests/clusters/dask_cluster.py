"""A small Dask cluster for tests: a scheduler and its workers, in processes of their own.

A room that needs it names the fixtures in its ``conftest.py``::

    from ..clusters.dask_cluster import dask_client, dask_cluster  # noqa: F401

However many rooms do so, one cluster serves the whole run; it is started when the first test asks for it, and each
process of pytest-xdist has its own. Who kills something starts a :class:`DaskCluster` for that alone.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

__all__ = ["DaskCluster", "dask_client", "dask_cluster", "settings"]

SECONDS = 60
"""A busy machine may take as long for anything; nothing is believed dead before."""

_SETTINGS = {
    "distributed.comm.timeouts.connect": f"{SECONDS}s",
    "distributed.comm.timeouts.tcp": f"{SECONDS}s",
    "distributed.scheduler.worker-ttl": None,
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "2s",
    "distributed.admin.tick.limit": "1h",  # a busy loop is no news here
}


# Of such a cluster alone: another one that this process starts may have long tasks that short ones wait behind.
_ITS_OWN = {"distributed.scheduler.work-stealing": False}


def settings() -> contextlib.AbstractContextManager[Any]:
    """Dask's settings for a process that talks to such a cluster."""
    import dask
    import distributed  # noqa: F401  whose own settings would go with these, if it were imported in between

    return dask.config.set(_SETTINGS)


class DaskCluster:
    """A scheduler and workers of one thread each, in processes that end with this object's :meth:`stop`, or with the
    process that made it, however that ends.

    Args:
        workers: how many.
        memory: bytes that each worker may use; 0 for no limit.

    Attributes:
        address: of the scheduler.
    """

    def __init__(self, workers: int = 2, memory: int = 0) -> None:
        command = [sys.executable, "-m", __name__, json.dumps({"n_workers": workers, "memory_limit": memory})]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=_environment(),
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        if not self.address:
            self.kill()
            raise RuntimeError("the Dask cluster of the tests did not start: see above")

    def client(self, **options: Any) -> Any:
        """A new client of it; the caller closes it."""
        from distributed import Client

        return Client(self.address, **options)

    def kill(self) -> None:
        """End the scheduler and the workers as a power cut would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        """End it in good order; does nothing the second time."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            # Said, as forked children of this process may hold the pipe open.
            with contextlib.suppress(BrokenPipeError):
                print("end", file=self._process.stdin, flush=True)
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        if self._process.stdout is not None:
            self._process.stdout.close()
        try:
            self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def __enter__(self) -> DaskCluster:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def _environment() -> dict[str, str]:
    """The workers import what the tests import."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


_shared: DaskCluster | None = None
_users = 0


@pytest.fixture(scope="session")
def dask_cluster() -> Iterator[DaskCluster]:
    """The cluster of this run: two workers."""
    global _shared, _users  # several rooms' fixtures, one cluster
    with settings():
        _shared = _shared or DaskCluster()
        _users += 1
        try:
            yield _shared
        finally:
            _users -= 1
            if not _users:
                _shared.stop()
                _shared = None


@pytest.fixture
def dask_client(dask_cluster: DaskCluster) -> Iterator[Any]:
    """A client of that cluster, which is the default one of this process for as long as the test lasts."""
    with dask_cluster.client() as client:
        yield client


def main() -> None:
    """The process of a cluster: says its address, and lives until a line comes, or nobody holds its standard
    input."""
    import dask
    from distributed import LocalCluster

    options = json.loads(sys.argv[1])
    with (
        settings(),
        dask.config.set(_ITS_OWN),
        LocalCluster(
            processes=True,
            threads_per_worker=1,
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
            **options,
        ) as cluster,
    ):
        print(cluster.scheduler_address, flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    main()
