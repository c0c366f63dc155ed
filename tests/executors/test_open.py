"""Opening: which executors there are, and what is said of those that are not."""

from __future__ import annotations

import socket
import sys
import threading
import time
from typing import Any

import pytest

from holdfast import executors
from holdfast.errors import InvalidArgumentError, MissingExtraError, StoreError
from holdfast.memory import in_force

from . import deeds


def test_the_default_is_processes_of_this_machine() -> None:
    for name in (None, "local", "processes"):
        with executors.open(name, workers=1) as executor:
            assert executor.name == "processes"


@pytest.mark.parametrize("name", ["spark", "", 3, "LOCAL"])
def test_an_unknown_name(name: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="name one of local, processes, threads, ray, dask"):
        executors.open(name)


def test_one_that_is_open_is_lent() -> None:
    with executors.open("threads", workers=1) as executor:
        with pytest.raises(InvalidArgumentError, match="using"):
            executors.open(executor)  # type: ignore[arg-type]
        with executors.using(executor) as same:
            assert same is executor
        assert executor.submit(deeds.add, 1).result(60) == 2
        with pytest.raises(InvalidArgumentError, match="takes no workers"), executors.using(executor, workers=2):
            pass
    with executors.using("threads", workers=1) as opened:
        assert opened.submit(deeds.add, 1).result(60) == 2
    assert opened._closed
    assert in_force.get() is None


@pytest.mark.parametrize("name", ["threads", "processes", "local"])
def test_options_that_it_has_not(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="has no option 'address'"):
        executors.open(name, address="host:1")
    with pytest.raises(InvalidArgumentError, match="has no option 'colour'"):
        executors.open(name, colour="red")
    for workers in (0, -1, 1.5, True, "two"):
        with pytest.raises(InvalidArgumentError, match="workers is a positive whole number"):
            executors.open(name, workers=workers)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "module"), [("ray", "ray"), ("dask", "distributed")])
def test_an_engine_that_is_not_installed(name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"holdfast\[{name}\]"):
        executors.open(name)


@pytest.mark.parametrize("name", ["ray", "dask"])
def test_nobody_answers(name: str) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        begun = time.monotonic()
        with pytest.raises(StoreError, match=rf"at {address}.*start one by"):
            executors.open(name, address=address)
        assert time.monotonic() - begun < 30


@pytest.mark.parametrize("name", ["ray", "dask"])
def test_somebody_else_answers(name: str) -> None:
    """A server that takes connections, and says what no engine would."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connection.sendall(b"220 welcome to some other service\r\n")
                connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            with pytest.raises(StoreError, match="start one by"):
                executors.open(name, address=f"127.0.0.1:{server.getsockname()[1]}")
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("name", ["ray", "dask"])
def test_what_is_no_address(name: str) -> None:
    with pytest.raises(StoreError):
        executors.open(name, address="nowhere")
    with pytest.raises(InvalidArgumentError, match="is text"):
        executors.open(name, address=6379)  # type: ignore[arg-type]
