"""Settings for all tests, and the servers that several rooms of them use: each is started when the first test needs
it, and ends with the test session."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from holdfast.testing.postgresql import Server

from .client.serving import Behind, whole_host
from .storages.remote.servers import azurite, ftp, moto

# A shell that starts a command in the background has it ignore this signal, and some tests interrupt themselves.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The machine decides how long an example takes, so no example fails for its time; pytest-timeout watches the whole.
settings.register_profile("holdfast", deadline=None, print_blob=True, max_examples=25)
settings.register_profile("thorough", settings.get_profile("holdfast"), max_examples=500)
settings.load_profile("holdfast")


# Those that take longest, the longest first: begun at the end, one process would be busy with one, and the others idle.
FIRST = [
    "docs/test_docs.py",
    "storages/remote/test_objectstore.py",
    "storages/remote/test_conformance.py",
    "serializers/test_conformance.py",
    "serializers/test_streams.py",
    "storages/remote/test_table.py",
    "crash/test_kill.py",
    "crash/test_powercut.py",
    "house/test_wheel.py",
    "kernel/test_state_machine.py",
    "kernel/test_far.py",
    "catalog/test_postgresql_haste.py",
    "memoize/test_code_sources.py",
    "kernel/test_everywhere.py",
    "cluster/test_tour.py",
    "catalog/test_postgresql_store.py",
    "storages/remote/test_routed.py",
    "compat/test_install.py",
]


# A cluster takes a part of a processor for as long as it is there: one process of pytest-xdist has all of these tests.
CLUSTERS = (
    "tests/apart/test_collections.py",
    "tests/compat/test_flowdapt",
    "tests/compat/test_functionfuse",
    "tests/executors/test_clusters.py",
    "tests/graph/test_clusters.py",
    "tests/memory/test_",
    "tests/storages/dask/",
    "tests/storages/ray/",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

    class Scheduling(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return "clusters" if nodeid.startswith(CLUSTERS) else str(super()._split_scope(nodeid))

    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {str(Path(__file__).parent / name): place for place, name in enumerate(FIRST)}

    def place(item: pytest.Item) -> int:
        return -1 if item.nodeid.startswith(CLUSTERS) else order.get(str(item.path), len(order))

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """Many tests collect garbage: what was imported for all of them is not gone through each time. And some change a
    module twice a second, which the interpreter's cache of compiled files would not notice."""
    gc.collect()
    gc.freeze()
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server for all tests of this run; each takes a schema of its own."""
    with Server() as server:
        yield server


@pytest.fixture(scope="session")
def host() -> Iterator[Behind]:
    """A server for the services of all tests of this run; each serves its store at a path of its own."""
    with whole_host() as found:
        yield found


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto(tmp_path_factory.mktemp("moto")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def azure_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with azurite(tmp_path_factory.mktemp("azurite")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def ftp_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with ftp(tmp_path_factory.mktemp("ftp")) as port:
        yield port
