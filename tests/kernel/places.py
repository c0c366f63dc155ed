"""Where a store can be: its catalog and its storage, in every combination that makes a difference."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import fsspec.config
import pytest

import holdfast
from holdfast.testing.postgresql import Server

from ..client.serving import KEY, Behind
from ..storages.remote.servers import AZURE_ACCOUNT, AZURE_KEY

__all__ = ["PLACES", "opener_of", "set_keys"]

PLACES = [
    "sqlite+files", "sqlite+s3", "sqlite+azure", "sqlite+ftp", "sqlite+inline",
    "postgresql+s3", *(pytest.param(place, marks=pytest.mark.long) for place in ("postgresql+azure", "postgresql+ftp")),
    "postgresql+inline", "service+files",
]  # fmt: skip


def set_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the keys of the test servers, and nobody else's."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_", "STORAGE_EMULATOR")):
            monkeypatch.delenv(name)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "of-no-worth",
        "AZURE_STORAGE_ACCOUNT_NAME": AZURE_ACCOUNT,
        "AZURE_STORAGE_ACCOUNT_KEY": AZURE_KEY,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(fsspec.config.conf, "ftp", {"password": "its-password"})


def opener_of(place: str, request: pytest.FixtureRequest) -> Callable[..., holdfast.Store]:
    """A function that opens the store of a folder: in that folder, or in a schema and a prefix of its name."""
    kind, _, storage = place.partition("+")
    if kind == "service":
        return _served(request)

    def url(mark: str) -> str:
        if storage == "s3":
            return f"s3://bucket/{mark}?endpoint={request.getfixturevalue('s3_endpoint')}&region=us-east-1"
        if storage == "azure":
            return f"az://container/{mark}?endpoint={request.getfixturevalue('azure_endpoint')}"
        if storage == "ftp":
            return f"ftp://writer@127.0.0.1:{request.getfixturevalue('ftp_port')}/{mark}"
        return storage

    def open_store(folder: Any, **settings: Any) -> holdfast.Store:
        mark = "s" + sha256(str(folder).encode()).hexdigest()[:20]
        store = str(folder)
        if kind == "postgresql":
            server: Server = request.getfixturevalue("postgresql")
            store = f"{server.url()}?schema={mark}"
        return holdfast.open(store, storage=url(mark), **{"timeout": 5, "cache": f"{folder}-copies", **settings})

    return open_store


def _served(request: pytest.FixtureRequest) -> Callable[..., holdfast.Store]:
    """The same by the client of a service, which ends with the client."""
    host: Behind = request.getfixturevalue("host")
    request.getfixturevalue("monkeypatch").setenv("HOLDFAST_KEY", KEY)

    def open_store(folder: Any, **settings: Any) -> holdfast.Store:
        own = holdfast.open(str(folder), timeout=5)
        return host.client(own, **{"timeout": 5, "cache": f"{folder}-copies", **settings})

    return open_store
