"""A small Ray cluster for the tests of this process, started when the first test needs it.

``ray_cluster`` is the cluster, of which this process is no part; ``ray_driver`` connects this process to it for the
tests of one module. It is seen by nobody who does not know its address, and its files are in a folder of its own.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import pytest

__all__ = ["RayCluster", "ray_cluster", "ray_driver"]

# Nothing is reported to anybody.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

# No token is made in, or taken from, the developer's home, and nobody else gets in. One for all clusters of a process,
# which asks for it once.
_TOKEN = secrets.token_hex(32)

_CLUSTER = """
import json, os, shutil, sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args=json.loads(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    cluster.add_node(**json.loads(sys.argv[3]))
print("address", cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
shutil.rmtree(os.environ["RAY_TMPDIR"], ignore_errors=True)
"""


class RayCluster:
    """A cluster in processes of its own, which end with the context, and with this process however that ends.

    Attributes:
        address: what ``ray.init(address=...)`` takes.
        environment: what a process must have in its environment to be a driver of it, ``RAY_ADDRESS`` included.
    """

    address: str

    def __init__(self, *, cpus: int = 4, memory: int = 600 << 20, others: int = 0) -> None:
        """
        Args:
            cpus: tasks that a node runs at a time, by Ray's count; the machine may have fewer.
            memory: bytes of a node's object store.
            others: nodes beside the head.
        """
        self._folder = tempfile.mkdtemp(prefix="hf-ray-", dir="/tmp")  # sockets' paths are short
        self._node = {"num_cpus": cpus, "object_store_memory": memory}
        self._others = others
        self.environment = {**QUIET, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": f"{self._folder}/token"}

    def __enter__(self) -> RayCluster:
        os.mkdir(f"{self._folder}/ray")
        with open(f"{self._folder}/token", "w", encoding="ascii") as file:
            file.write(_TOKEN)
        head = {**self._node, "include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
        with open(f"{self._folder}/output", "wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CLUSTER, json.dumps(head), str(self._others), json.dumps(self._node)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env={**os.environ, **self.environment, "RAY_TMPDIR": self._folder},
                start_new_session=True,  # Ray's reaper ends the whole group
            )
        try:
            self.address = self.environment["RAY_ADDRESS"] = self._wait()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _wait(self) -> str:
        end = time.monotonic() + 90
        while time.monotonic() < end:
            with open(f"{self._folder}/output", encoding="utf-8", errors="replace") as file:
                text = file.read()
            for line in text.splitlines():
                if line.startswith("address "):
                    return line.split()[1]
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"no Ray cluster came up:\n{text[-4000:]}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def connect(self, patch: pytest.MonkeyPatch) -> Any:
        """The module ``ray``, with this process connected to the cluster, by an environment that is patched."""
        self.be_known(patch)
        import ray

        ray.init(address=self.address, log_to_driver=False, configure_logging=False, logging_level=logging.ERROR)
        return ray

    def be_known(self, patch: pytest.MonkeyPatch) -> None:
        """Have this process able to connect to it."""
        for name, value in self.environment.items():
            patch.setenv(name, value)
        if "ray" in sys.modules:  # it has looked at the environment already
            from ray._private.authentication_test_utils import reset_auth_token_state

            reset_auth_token_state()


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RayCluster]:
    """The cluster of this test process."""
    with RayCluster() as cluster, pytest.MonkeyPatch.context() as patch:
        cluster.be_known(patch)
        yield cluster


@pytest.fixture(scope="module")
def ray_driver(ray_cluster: RayCluster) -> Iterator[Any]:
    """The module ``ray``, connected to that cluster as long as a module's tests run."""
    with pytest.MonkeyPatch.context() as patch:
        ray = ray_cluster.connect(patch)
        yield ray
        ray.shutdown()
