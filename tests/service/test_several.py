"""Several services of one store, in PostgreSQL, serve one client."""

from __future__ import annotations

import http.client
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from uuid import uuid4

import pytest

import holdfast
from holdfast.testing.postgresql import Server

from .talk import process_of, served
from .test_properties import Program


def test_killing_one_of_two_loses_nothing_that_was_acknowledged(postgresql: Server) -> None:
    """One client writes to two processes by turns, small values and such as lie in the storage, until one is killed in
    the middle; then it goes on with the other one."""
    url = f"{postgresql.url()}?schema=s{uuid4().hex}"
    holdfast.open(url).close()  # one makes it
    with ExitStack() as stack:
        (first, one), (_, two) = (stack.enter_context(process_of(url, "--quiet")) for _ in range(2))
        acknowledged: dict[str, bytes] = {}
        clients = [one, two]
        for number in range(200):
            key, data = str(number), bytes([number]) * (10 if number % 5 else 60_000)
            if number == 100:
                first.kill()  # what is on its way then may be there or not
            client = clients[number % len(clients)]
            try:
                reply = client.put(f"/v1/values/n:a/{key}", data)
            except (OSError, http.client.HTTPException):
                clients.remove(one)
                continue
            assert reply.status in (200, 201)
            acknowledged[key] = data
        assert len(acknowledged) > 190
        assert clients == [two]
        for key, data in acknowledged.items():
            assert two.get(f"/v1/values/n:a/{key}").body == data
    with holdfast.open(url, create=False) as store:
        assert store.verify().problems == []


def test_what_one_writes_the_other_tells(postgresql: Server) -> None:
    url = f"{postgresql.url()}?schema=s{uuid4().hex}"
    with ExitStack() as stack:
        services = []
        for _ in range(2):
            store = stack.enter_context(holdfast.open(url))
            services.append(stack.enter_context(served(store)))
        one, two = services
        version = one.client.put("/v1/values/n:a/x", b"1").json["version"]
        assert two.client.get("/v1/values/n:a/x").headers["etag"] == f'"{version}"'
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(two.once, "GET", f"/v1/changes/n:a/x?after={version}&wait=20")
            newer = one.client.put("/v1/values/n:a/x", b"2", If_Match=f'"{version}"').json["version"]
            assert waiting.result().json["version"] == newer
        assert two.client.put("/v1/values/n:a/x", b"3", If_Match=f'"{version}"').status == 412
        token = one.client.ask("POST", "/v1/leases/nightly", {}).json["token"]
        assert two.client.ask("POST", "/v1/leases/nightly", {}).status == 409
        assert two.client.put("/v1/values/n:a/x", b"4", Holdfast_Lease=f"nightly;{token}").status == 200


@pytest.mark.parametrize("requests", [150, pytest.param(3000, marks=pytest.mark.long)])
def test_the_program_of_the_properties_on_postgresql(postgresql: Server, requests: int) -> None:
    url = f"{postgresql.url()}?schema=s{uuid4().hex}"
    with holdfast.open(url) as store, served(store) as service:
        program = Program(service, requests)
        program.run(requests)
        program.close()
