"""Stores in which objects are put: both catalogs, with files and S3, and a storage of one's own beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import holdfast

from ..kernel.conftest import no_settings
from ..kernel.places import opener_of, set_keys
from ..storages.authors import FileStorage

__all__ = ["ARCHIVE", "Open", "no_settings"]

ARCHIVE = FileStorage.name
"""Name of the storage of one's own."""

Open = Callable[..., holdfast.Store]
"""Opens the store of a test, again and again."""

PLACES = ["sqlite+files", "sqlite+s3", "postgresql+s3", "postgresql+inline", "service+files"]


@pytest.fixture
def archive(tmp_path: Path) -> FileStorage:
    (tmp_path / "archive").mkdir()
    return FileStorage(tmp_path / "archive")


def opener(place: str, request: pytest.FixtureRequest, tmp_path: Path, archive: FileStorage, monkeypatch: Any) -> Open:
    set_keys(monkeypatch)
    open_store = opener_of(place, request)

    def opened(**settings: Any) -> holdfast.Store:
        registry = settings.pop("registry", None) or holdfast.Registry(storages=[archive])
        return open_store(tmp_path / "data", **{"registry": registry, **settings})

    return opened


@pytest.fixture(params=PLACES)
def open_store(
    request: pytest.FixtureRequest, tmp_path: Path, archive: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> Open:
    """The store of the test, at each of the places."""
    return opener(request.param, request, tmp_path, archive, monkeypatch)


@pytest.fixture
def open_here(
    request: pytest.FixtureRequest, tmp_path: Path, archive: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> Open:
    """The store of the test, in a folder."""
    return opener("sqlite+files", request, tmp_path, archive, monkeypatch)
