"""The end of a service: who is in the middle of his work sees none of it."""

from __future__ import annotations

import signal
import socket
import threading
import time
from pathlib import Path

import holdfast

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
