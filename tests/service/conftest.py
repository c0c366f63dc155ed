"""A service of a store in a folder, on a real socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest

import holdfast

from .direktiv import Api
from .flows import Called, Flowing, called, flowing
from .talk import Client, Served, served


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service without tokens, for all tests of a module: each takes a scope of its own."""
    with holdfast.open(tmp_path_factory.mktemp("served") / "store") as store, served(store) as found:
        yield found


@pytest.fixture
def client(service: Served) -> Client:
    return service.client


@pytest.fixture
def at(request: pytest.FixtureRequest) -> str:
    """A scope that no other test has, as it stands in a URL."""
    name: str = request.node.name
    return "namespace:" + "".join(char if char.isalnum() else "-" for char in name)


_namespaces = count(1)


@pytest.fixture
def api(service: Served) -> Iterator[Api]:
    """A namespace of Direktiv's that no other test has."""
    client = service.another()
    found = Api(f"n{next(_namespaces)}", client, service)
    found.data("POST", "/namespaces", {"name": found.namespace})
    yield found
    client.close()


@pytest.fixture(scope="module")
def functions() -> Iterator[Called]:
    with called() as found:
        yield found


@pytest.fixture(scope="module")
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, functions: Called
) -> Iterator[tuple[Served, Callable[..., Flowing]]]:
    """A service that runs flows, within the module's limits, and what makes namespaces in it."""
    limits = getattr(request.module, "LIMITS", None)
    with flowing(tmp_path_factory.mktemp("flowing"), functions, limits) as found:
        yield found
