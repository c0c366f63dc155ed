"""What is no file of ours is not opened, not waited for and not removed, whoever put it into the storage's folder."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.errors import ValueLost
from holdfast.storages.file import FileStorage
from tests.storages.test_file_processes import put, sweep


@pytest.fixture
def storage(tmp_path: Path) -> FileStorage:
    return FileStorage(tmp_path / "files")


def _socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket has to be short
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(path.name)
    finally:
        os.chdir(here)


KINDS: dict[str, Callable[[Path], None]] = {
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "socket": _socket,
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "link": lambda path: path.symlink_to(path.parent.parent.parent / "elsewhere"),
    "loop": lambda path: path.symlink_to(path),
    "dangling": lambda path: path.symlink_to("nowhere"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_in_the_place_of_a_file(storage: FileStorage, tmp_path: Path, kind: str) -> None:
    (tmp_path / "elsewhere").write_bytes(b"abc")
    config = put(storage, b"abc")
    path = Path(storage.root) / config
    path.unlink()
    KINDS[kind](path)
    for read in (
        storage.read,
        storage.open,
        lambda config: list(storage.read_stream(config)),
        lambda config: storage.map(config, 3),
    ):
        with pytest.raises(ValueLost, match="no regular file"):
            read(config)
    assert storage.identity(config) is None
    assert storage.sync([config]) == [False]
    storage.delete(config)
    assert (tmp_path / "elsewhere").read_bytes() == b"abc"
    assert os.path.lexists(path) == (kind == "folder")


def test_a_link_to_a_dead_writers_folder_of_another_storage(storage: FileStorage, tmp_path: Path) -> None:
    other = FileStorage(tmp_path / "other")
    config = put(other, b"of the other one")
    other.close()
    writer, number = config.split("/")
    mine = put(storage, b"x")
    link = Path(storage.root) / ("a" * 18)
    link.symlink_to(tmp_path / "other" / writer)
    assert sweep(storage) == []
    storage.delete(f"{link.name}/{number}")
    assert bytes(other.read(config)) == b"of the other one"
    assert bytes(storage.read(mine)) == b"x"


@pytest.mark.parametrize("kind", KINDS)
def test_in_the_place_of_a_writers_folder_or_its_lock(storage: FileStorage, tmp_path: Path, kind: str) -> None:
    (tmp_path / "elsewhere").write_bytes(b"abc")
    put(storage, b"x")
    KINDS[kind](Path(storage.root) / ("a" * 18))
    folder = Path(storage.root) / ("b" * 18)
    folder.mkdir()
    KINDS[kind](folder / "lock")
    dead = FileStorage(storage.root)
    config = put(dead, b"of a dead one")
    dead.close()
    assert sweep(storage) == [config]  # what is wrong with one folder keeps nobody from the next
    assert (tmp_path / "elsewhere").read_bytes() == b"abc"
