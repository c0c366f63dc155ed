"""The servers that hosts share, and their keys."""

from __future__ import annotations

import os

import pytest

from ..kernel.places import set_keys


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys of the test servers, and nothing that the developer's own environment names."""
    set_keys(monkeypatch)
    for name in list(os.environ):
        if name.startswith("HOLDFAST_"):
            monkeypatch.delenv(name)
