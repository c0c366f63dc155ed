"""Large variables: what is done with their bytes stops nobody else's requests."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from time import perf_counter

import pytest

import holdfast

from .direktiv import base64
from .talk import Client, process_of

MUCH = 12_000_000  # 16 MB in base64


@pytest.mark.alone
def test_requests_are_answered_while_large_variables_are_put_and_got(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "store") as store:
        store.namespace("n").create()
        store.namespace("n").put("seven", 7)
    with process_of(str(tmp_path / "store")) as (_, client):
        large, done = Client(f"http://{client.host}:{client.port}"), threading.Event()
        statuses: list[int] = []
        data = base64(b"x" * MUCH)
        variable = json.dumps({"name": "x", "mimeType": "a/b", "data": data}).encode()
        file = json.dumps({"name": "f", "type": "file", "mimeType": "a/b", "data": data}).encode()
        change = json.dumps({"data": data}).encode()

        def ask(method: str, path: str, body: bytes | None = None) -> bytes:
            reply = large.ask(method, f"/api/v2/namespaces/n/{path}", body)
            statuses.append(reply.status)
            return reply.body

        def work() -> None:
            try:
                id = ask("POST", "variables", variable)[:100].split(b'"')[5].decode()
                ask("GET", f"variables/{id}")
                ask("PATCH", f"variables/{id}", change)
                ask("POST", "files", file)
                ask("GET", "files/f")
                ask("PATCH", "files/f", change)
            finally:
                done.set()

        client.get("/api/v2/namespaces/n")
        thread = threading.Thread(target=work)
        thread.start()
        slowest = 0.0
        while not done.wait(0.002):
            began = perf_counter()
            assert client.get("/api/v2/namespaces/n").status == 200
            slowest = max(slowest, perf_counter() - began)
        thread.join()
        large.close()
    assert statuses == [200] * 6
    assert slowest < 0.15
