"""Bytes that were sent to a service and wait for their commit."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.catalog.channel import Channel
from holdfast.errors import QuotaExceededError
from holdfast.service import server
from holdfast.service.remote import uploads
from holdfast.tokens import Tokens

from ..service.talk import served
from .test_attacks import TokenCatalog

DATA = b"sent, and not committed yet " * 10_000


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def guest_of(store: holdfast.Store, stack: ExitStack, token: str | None = None) -> TokenCatalog:
    """A client of a service of its own."""
    channel = Channel(stack.enter_context(served(store)).url, token)
    stack.callback(channel.close)
    codec = store._kernel.codec_ids["holdfast.bytes@v1", "application/octet-stream", None]
    return TokenCatalog(channel, store._kernel.storage_id, codec)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size == len(DATA)]


def test_what_nobody_commits_is_deleted_though_nobody_sends_more(
    tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "_KEPT", 0.3)
    monkeypatch.setattr(server, "_TIDY", 0.1)
    store = stack.enter_context(holdfast.open(tmp_path))
    guest_of(store, stack).upload(DATA)
    assert len(files(tmp_path)) == 1
    end = time.monotonic() + 5
    while files(tmp_path):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_uploads_that_wait_have_a_limit(tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_MOST", 3)
    store = stack.enter_context(holdfast.open(tmp_path))
    texts = [Tokens(store).create(scopes=[f"namespace:{name}"], allow=["read", "write"])[0] for name in ("mine", "b")]
    guest = guest_of(store, stack, texts[0])
    places = [guest.upload(DATA + bytes([number])) for number in range(3)]
    with pytest.raises(QuotaExceededError, match="commit or delete"):
        guest.upload(DATA)
    other = TokenCatalog(Channel(guest.channel.url, texts[1]), guest.storage, guest.codec)
    stack.callback(other.channel.close)
    other.upload(DATA)
    guest.commit(guest.file(places[0], DATA + b"\0"))
    guest.about("delete", [places[1]])
    for number in range(2):
        guest.upload(DATA + bytes([number]))
    with pytest.raises(QuotaExceededError):
        guest.upload(DATA)


def test_a_copy_of_what_another_process_took_is_stored_as_it_was_sent(
    tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket may be chosen by tags and type."""
    stores = [stack.enter_context(holdfast.open(tmp_path)) for _ in range(2)]
    first, second = (guest_of(store, stack) for store in stores)
    told = [("Holdfast-Tags", "%7B%22stage%22%3A%22eval%22%7D"), ("Holdfast-Encoding", "zstd")]
    path = f"/bytes/{first.storage}"
    place = first.channel.ask("PUT", path, DATA, timeout=5, again=False, mime="text/csv", headers=told).data
    storage = stores[1]._kernel.storage
    begin, begun = storage.writer, []

    def writer(tags: Any, **more: Any) -> Any:
        begun.append((dict(tags), more["content_type"], more["encoding"]))
        return begin(tags, **more)

    monkeypatch.setattr(storage, "writer", writer)

    second.commit(second.file(json.loads(place), DATA))
    assert begun == [({"stage": "eval"}, "text/csv", "zstd")]
    assert stores[0].scope("namespace:mine").get_bytes("key") == DATA
