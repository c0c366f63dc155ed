"""Storages through fsspec beyond the suite: errors, connections that end, what a protocol cannot do."""

from __future__ import annotations

import pickle
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import (
    ClosedError,
    HoldfastError,
    InvalidArgumentError,
    MissingExtraError,
    ReadOnlyError,
    StorageFullError,
    StoreError,
    StoreNotFoundError,
    ValueLost,
)
from holdfast.storages.fsspec import FsspecStorage
from holdfast.testing.ports import free_port
from holdfast.testing.processes import in_child

from .conftest import FTP_KEYS
from .helpers import no_digest, pattern, put
from .servers import FTP, running

MB = 1 << 20


def refused(kind: type[HoldfastError], work: Callable[[], Any], *words: str) -> str:
    with pytest.raises(kind) as caught:
        work()
    assert caught.type is kind
    told = str(caught.value)
    assert all(word in told for word in words), told
    return told


def stream(storage: FsspecStorage, data: bytes) -> Any:
    with storage.writer({}) as writer:
        for start in range(0, len(data), MB):
            writer.write(data[start : start + MB])
        return writer.commit(no_digest)


@pytest.fixture
def storage(ftp_url):
    storage = FsspecStorage(ftp_url, options=FTP_KEYS)
    yield storage
    storage.close()


@pytest.mark.parametrize("size", [4 * MB, 4 * MB + 1, 20 * MB + 3])
def test_large_ones(storage, size):
    data = pattern(size)
    for config in (put(storage, data[:100], data[100:]), stream(storage, data)):
        assert storage.read(config) == data
        assert b"".join(storage.read_stream(config)) == data
        assert b"".join(storage.read_stream(config, 1000, 5 * MB)) == data[1000 : 1000 + 5 * MB]


def test_nothing_stays_in_the_temporary_folder(storage, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    config = put(storage, pattern(9 * MB))
    pieces = storage.read_stream(config)
    next(pieces)
    assert list(tmp_path.iterdir()) == []
    del pieces


def test_progress(storage):
    moved: list[int] = []
    from holdfast.payload import Payload

    config = storage.write(Payload([b"abc", b"def"], "text/plain"), no_digest, {}, progress=moved.append)
    storage.read(config, progress=moved.append)
    assert sum(moved) == 12


# --- errors --------------------------------------------------------------------------------------------------------

VERBS: dict[str, Callable[[FsspecStorage], Any]] = {
    "write": lambda storage: put(storage, b"x"),
    "writer": lambda storage: stream(storage, b"x"),
    "read": lambda storage: storage.read("0" * 18 + "/1"),
    "read_stream": lambda storage: list(storage.read_stream("0" * 18 + "/1")),
    "sync": lambda storage: storage.sync(["0" * 18 + "/1"]),
    "delete": lambda storage: storage.delete("0" * 18 + "/1"),
    "abandoned": lambda storage: list(storage.abandoned()),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_wrong_password(ftp_port, verb):
    storage = FsspecStorage(f"ftp://writer@127.0.0.1:{ftp_port}/p", options={"password": "secret-and-wrong"})
    told = refused(StoreError, lambda: VERBS[verb](storage), "refused the credentials", "FSSPEC_FTP_PASSWORD")
    assert "secret" not in told


@pytest.mark.parametrize("verb", VERBS)
def test_a_server_that_is_down(verb):
    storage = FsspecStorage(f"ftp://writer@127.0.0.1:{free_port()}/p", options=FTP_KEYS, timeout=0.2)
    refused(StoreError, lambda: VERBS[verb](storage), "could not be reached", "ftp://writer@127.0.0.1")


def test_a_password_of_the_environment(ftp_url):
    """As fsspec reads it: when it is first imported."""
    import os
    import subprocess

    script = f"""
from holdfast.storages.fsspec import FsspecStorage
from holdfast.payload import Payload
storage = FsspecStorage({ftp_url!r})
assert storage.read(storage.write(Payload([b"abc"], ""), lambda: (0, b""), {{}})) == b"abc"
"""
    environment = os.environ | {"FSSPEC_FTP_PASSWORD": FTP_KEYS["password"]}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_who_may_only_read(storage, ftp_port):
    config = put(storage, b"abc")
    url = storage.url.replace("writer@", "reader@")
    reader = FsspecStorage(url, options=FTP_KEYS)
    assert reader.read(config) == b"abc"
    for work in (lambda: put(reader, b"x"), lambda: stream(reader, b"x"), lambda: reader.delete(config)):
        refused(ReadOnlyError, work, "may not be written")
    assert reader.sync([config]) == [True]


def test_a_missing_folder_does_not_mean_that_values_are_lost(storage):
    config = put(storage, b"abc")
    away = FsspecStorage(storage.url + "/not/there", options=FTP_KEYS)
    refused(StoreNotFoundError, lambda: away.read(config), "is not there")
    refused(StoreNotFoundError, lambda: list(away.read_stream(config)), "is not there")
    refused(StoreNotFoundError, lambda: away.sync([config]), "is not there")
    refused(ValueLost, lambda: storage.read("0" * 18 + "/1"), "is gone")


@pytest.mark.long
def test_connections_that_end_while_they_lie_idle(tmp_path):
    """A server was restarted: who had a connection to the old one goes on."""
    port = free_port()
    home = tmp_path / "home"
    home.mkdir()
    command = [sys.executable, "-c", FTP, str(port), str(home)]
    storage = FsspecStorage(f"ftp://writer@127.0.0.1:{port}/p", options=FTP_KEYS)
    with running(command, port, tmp_path / "log"):
        config = put(storage, pattern(MB))
    refused(StoreError, lambda: storage.read(config), "could not be reached")
    with running(command, port, tmp_path / "log"):
        assert storage.read(config) == pattern(MB)
    with running(command, port, tmp_path / "log"):
        assert storage.read(put(storage, b"abc")) == b"abc"
    with running(command, port, tmp_path / "log"):
        assert storage.read(stream(storage, b"abc")) == b"abc"
        shutil.rmtree(home / "p")
        assert storage.read(put(storage, b"folders are made again")) == b"folders are made again"


REFUSING = """    tcp_no_delay = True

    def ftp_STOR(self, path, mode="w"):
        if "writers" in path:
            return super().ftp_STOR(path, mode)
        self.respond("452 Insufficient storage space.")
"""
FULL = FTP.replace("    tcp_no_delay = True\n", REFUSING)


def test_a_full_server(tmp_path):
    port = free_port()
    home = tmp_path / "home"
    home.mkdir()
    assert FULL != FTP
    with running([sys.executable, "-c", FULL, str(port), str(home)], port, tmp_path / "log"):
        storage = FsspecStorage(f"ftp://writer@127.0.0.1:{port}/p", options=FTP_KEYS)
        for work in (lambda: put(storage, b"x"), lambda: stream(storage, b"x")):
            refused(StorageFullError, work, "no space is left")


@pytest.mark.parametrize(
    "url, words",
    [
        ("", "sftp://host/folder"),
        ("folder", "sftp://host/folder"),
        ("memory:x", "sftp://host/folder"),
        (None, "sftp://host/folder"),
        ("simplecache::ftp://host/x", "sftp://host/folder"),
        ("ftp://writer:secret@host/x", "carries no password"),
        ("ftp://host/x?password=secret", "no options"),
        ("file:///tmp/x", "holdfast.open"),
        ("holdfast://x", "in a store"),
        ("https://host/x", "cannot be written"),
        ("nosuch://host/x", "no file system is known for nosuch://"),
    ],
)
def test_urls_that_are_refused(url, words):
    told = refused(InvalidArgumentError, lambda: FsspecStorage(url), words)
    assert "secret" not in told


def test_a_protocol_whose_package_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "paramiko", None)
    monkeypatch.delitem(sys.modules, "fsspec.implementations.sftp", raising=False)
    refused(MissingExtraError, lambda: FsspecStorage("sftp://host/folder"), "sftp:// needs", "pip install paramiko")


def test_without_fsspec(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    refused(MissingExtraError, lambda: FsspecStorage("ftp://host/folder"), 'pip install "holdfast[fsspec]"')


# --- what a storage is ---------------------------------------------------------------------------------------------


def test_memory_ends_with_its_process():
    url = f"memory://{random.getrandbits(40)}"
    storage = FsspecStorage(url)
    assert storage.ephemeral
    assert isinstance(pickle.loads(pickle.dumps(storage)), type(storage))
    config = put(storage, b"abc")
    assert FsspecStorage(url).read(config) == b"abc"
    theirs = in_child(lambda: put(storage, b"child"))
    with pytest.raises(ValueLost):
        storage.read(theirs)


def test_pickles_carry_no_password(storage):
    config = put(storage, b"abc")
    image = pickle.dumps(storage)
    assert FTP_KEYS["password"].encode() not in image
    assert not pickle.loads(image).ephemeral
    assert FTP_KEYS["password"] not in repr(storage)
    assert storage.read(config) == b"abc"


def test_a_forked_child_has_connections_of_its_own(storage):
    data = pattern(9 * MB)
    config = put(storage, data)
    half = storage.read_stream(config)
    first = next(half)
    writer = storage.writer({})
    writer.write(bytes(MB))

    def child() -> Any:
        assert storage.read(config) == data
        with pytest.raises(ClosedError):
            next(half)
        with pytest.raises(ClosedError):
            writer.write(b"x")
        return stream(storage, data)

    theirs = in_child(child)
    assert first + b"".join(half) == data
    writer.write(b"on")
    assert storage.read(writer.commit(no_digest)) == bytes(MB) + b"on"
    assert storage.read(theirs) == data
    assert Path(storage.url).name
