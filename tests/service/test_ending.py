"""The end of a service: who is in the middle of his work sees none of it. And what it is told at its begin."""

from __future__ import annotations

import signal
import socket
import threading
import time
from pathlib import Path

import pytest

import holdfast

from ..cli.running import run
from .talk import process_of

THREADS = 16


def test_a_restart_costs_busy_clients_nothing(tmp_path: Path) -> None:
    """Each kept connection has a request on its way, again and again, while the service ends and comes back."""
    folder, ended = str(tmp_path / "store"), threading.Event()
    errors: list[Exception] = []
    made = [0] * THREADS

    def count(number: int) -> None:
        while not ended.is_set():
            try:
                scope.add(f"k{number}")
                made[number] += 1
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=count, args=(number,)) for number in range(THREADS)]
    with process_of(folder, "--quiet") as (first, client), holdfast.open(f"http://{client.host}:{client.port}") as store:
        scope = store.namespace("n")
        for thread in threads:
            thread.start()
        try:
            time.sleep(0.5)
            first.send_signal(signal.SIGTERM)
            assert first.wait(20) == 0
            before, late = sum(made), time.monotonic() + 10
            with process_of(folder, "--quiet", "--port", str(client.port)):
                while sum(made) < before + 100 and time.monotonic() < late:
                    time.sleep(0.05)
                ended.set()
                for thread in threads:
                    thread.join(30)
                assert errors == []
                assert min(made) > 0
                assert [scope.get(f"k{number}") for number in range(THREADS)] == made
        finally:
            ended.set()
            for thread in threads:
                thread.join(30)


@pytest.mark.long
def test_the_last_answer_says_so(tmp_path: Path) -> None:
    """A request on a kept connection of a service that was told to end is answered, and the connection closed then;
    one on which nothing comes is closed soon."""
    with process_of(str(tmp_path / "store")) as (process, client):
        assert client.get("/healthz").headers.get("connection") != "close"
        with socket.create_connection((client.host, client.port), timeout=10) as idle:
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            assert client.put("/v1/values/n:a/k", b"late").headers["connection"] == "close"
            began = time.monotonic()
            assert idle.recv(1) == b""
            assert time.monotonic() - began < 3
        assert process.wait(20) == 0
    with holdfast.open(tmp_path / "store") as store:
        assert store.scope("n:a").get("k") == b"late"


@pytest.mark.parametrize("words", [("--max-body", "0"), ("--max-json", "1 potato"), ("--max-headers", "1000")])
def test_sizes_that_are_none_are_refused(tmp_path: Path, words: tuple[str, str]) -> None:
    ended = run("serve", "--store", str(tmp_path / "store"), *words)
    assert (ended.code, "64KB" in ended.err) == (2, True)


def test_sizes_have_units(tmp_path: Path) -> None:
    sizes = {"--max-body": "1.5MB", "--max-json": "1000", "--max-headers": "2 kb", "--max-memory": "2GiB"}
    words = [word for pair in sizes.items() for word in pair]
    with process_of(str(tmp_path / "store"), *words) as (_, client):
        limits = client.get("/v1").json["limits"]
    assert [limits[name] for name in ("body", "json", "headers", "memory")] == [3 << 19, 1000, 2048, 2 << 30]
