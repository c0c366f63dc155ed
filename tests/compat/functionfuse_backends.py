"""What runs workflows of the Function Fuse face, and where their results lie."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.compat.functionfuse.backends.builtin.localback import LocalWorkflow
from holdfast.compat.functionfuse.backends.builtin.rayback import RayWorkflow
from holdfast.compat.functionfuse.storage import storage_factory
from holdfast.compat.functionfuse.storage.rayfilestorage import end_keepers
from holdfast.kernel import _shared

from ..kernel.places import set_keys

__all__ = ["BACKENDS", "EVERYWHERE", "KINDS", "Backend", "Notes", "Place", "backend", "close_below", "place"]

BACKENDS = ["local", "ray"]
KINDS = ["file", "S3", "ray"]

_QUICK = [("local", "file"), ("local", "S3"), ("ray", "ray")]

EVERYWHERE = pytest.mark.parametrize(
    "backend, place",
    [
        pytest.param(backend, kind, marks=() if (backend, kind) in _QUICK else pytest.mark.long)
        for backend in BACKENDS
        for kind in KINDS
    ],
    indirect=True,
)
"""For tests of every backend with every kind of place."""

_numbers = count()


class Backend:
    """Runs nodes, one way or the other.

    Attributes:
        name: one of :data:`BACKENDS`.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def workflow(self, *nodes: Any, name: str = "flow", storage: Any = None) -> Any:
        """A workflow of these nodes."""
        kind: Any = LocalWorkflow if self.name == "local" else RayWorkflow
        made = kind(*nodes, workflow_name=name)
        if storage is not None:
            made.set_storage(storage)
        return made

    def results(self, workflow: Any) -> Any:
        """What it gives."""
        return workflow.run() if self.name == "local" else workflow.run(return_results=True)

    def run(self, *nodes: Any, name: str = "flow", storage: Any = None) -> Any:
        """Both."""
        return self.results(self.workflow(*nodes, name=name, storage=storage))


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    if request.param == "ray":
        request.getfixturevalue("ray_driver")
    yield Backend(request.param)
    if request.param == "ray":
        end_keepers()


class Place:
    """A place for results.

    Attributes:
        kind: one of :data:`KINDS`.
        options: as ``storage_factory`` takes them.
    """

    def __init__(self, kind: str, options: dict[str, Any]) -> None:
        self.kind, self.options = kind, options

    def storage(self, *serializers: Any) -> Any:
        """A new storage there."""
        made = storage_factory({"kind": self.kind, "options": self.options})
        made.register_persistent_serializers(*serializers)
        return made


def close_below(folder: Path) -> None:
    """Close the stores that storages have left open there, as they do until their process ends."""
    for kernel in list(_shared.values()):
        if not kernel.closed and Path(kernel.config.store).is_relative_to(folder):
            kernel.close()


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    if request.param == "S3":
        set_keys(monkeypatch)
        keys = {"key": "tester", "secret": "of-no-worth", "endpoint_url": request.getfixturevalue("s3_endpoint")}
        path = f"/bucket/fuse{next(_numbers)}-{tmp_path.parent.parent.name}"
        with holdfast.open(tmp_path / "catalog", cache=tmp_path / "copies") as store, store.context():
            yield Place("S3", {"path": path, "s3fs": keys})
        return
    if request.param == "ray":
        request.getfixturevalue("ray_driver")
    yield Place(request.param, {"path": str(tmp_path / "storage")})
    end_keepers()


class Notes:
    """What ran, as noted in a file by whoever ran it.

    Attributes:
        note: notes a word; it travels to where these tests are not.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "notes"
        path = str(self._path)

        def note(word: str) -> None:
            with open(path, "a", encoding="utf-8") as file:
                file.write(f"{word}\n")

        self.note = note

    def taken(self) -> list[str]:
        """What was noted since it was asked the last time, sorted."""
        words = sorted(self._path.read_text().split("\n")[:-1]) if self._path.exists() else []
        self._path.unlink(missing_ok=True)
        return words
