"""A namespace to run flows in, and an engine that does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import holdfast
from holdfast.errors import FlowFailed
from holdfast.flows.engine import Engine

from .callers import Calls


class Place:
    """A namespace with an engine, for a test: registers definitions and runs them."""

    def __init__(self, store: holdfast.Store, calls: Calls) -> None:
        self.store = store
        self.namespace = store.namespace("prod")
        self.calls = calls
        self.engine = Engine(store, calls)

    def register(self, text: str, path: str = "/flow.yaml") -> str:
        return self.namespace.flows.register(path, text)

    def run(self, text: str, given: Any = None, path: str = "/flow.yaml") -> Any:
        """Register a definition, run it, and give its output."""
        return self.engine.run(self.namespace, self.register(text, path), given)

    def fails(self, text: str, given: Any = None) -> FlowFailed:
        """Run a definition that fails, and give the error."""
        with pytest.raises(FlowFailed) as caught:
            self.run(text, given)
        return caught.value

    def states(self, text: str, given: Any = None) -> Any:
        """Run states, which a text has as a list of YAML."""
        return self.run(f"states:\n{text}", given)

    def code(self, text: str, given: Any = None) -> str:
        """The code with which these states fail."""
        return self.fails(f"states:\n{text}", given).error_code

    @property
    def last(self) -> str:
        """The id of the newest instance."""
        return self.engine.instances(self.namespace).ids()[0]

    def log(self, id: str | None = None) -> list[str]:
        return [line.text for line in self.engine.instances(self.namespace).log(id or self.last)]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[holdfast.Store]:
    with holdfast.open(tmp_path_factory.mktemp("flows") / "store") as found:
        yield found


@pytest.fixture
def place(store: holdfast.Store) -> Iterator[Place]:
    """The namespace ``prod`` of one store, with nothing in it."""
    for namespace in list(store.children()):
        namespace.drop()
    found = Place(store, Calls())
    yield found
    found.engine.close()
