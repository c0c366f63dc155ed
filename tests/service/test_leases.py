"""``/v1/leases``."""

from __future__ import annotations

import time

from holdfast.errors import BusyError

from .talk import Client, Served


def test_a_lease_is_taken_renewed_and_given_back(service: Served, client: Client, at: str) -> None:
    where = f"/v1/leases/{at}"
    taken = client.ask("POST", where, {"seconds": 30})
    assert taken.status == 201
    token = taken.json["token"]
    other = client.ask("POST", where, {"seconds": 30})
    assert (other.status, other.json["lease"]) == (409, {"name": at, "expires": taken.json["expires"]})
    assert taken.json["owner"] not in other.body.decode()
    again = client.ask("POST", where, {"owner": taken.json["owner"]})
    assert (again.status, again.json["token"]) == (201, token)
    try:
        with service.store.lease(at, wait=0):
            raise AssertionError
    except BusyError:
        pass
    assert client.ask("PATCH", where, {"token": token, "seconds": 60}).json["expires"] > taken.json["expires"]
    assert client.ask("PATCH", where, {"token": token + 1}).code == "lease_lost"
    assert "'hours'" in client.ask("PATCH", where, {"token": token, "hours": 1}).json["error"]["message"]
    assert client.ask("DELETE", f"{where}?token={token + 1}").status == 204  # nothing happens
    assert client.ask("POST", where).status == 409
    assert client.ask("DELETE", f"{where}?token={token}").status == 204
    assert client.ask("PATCH", where, {"token": token}).code == "lease_lost"
    with service.store.lease(at) as lease:
        assert (other := client.ask("POST", where)).status == 409
        assert lease.owner not in other.body.decode()
    assert client.ask("POST", where).json["token"] > token


def test_a_lease_protects_a_write(client: Client, at: str) -> None:
    where, name = f"/v1/values/{at}/a", f"/v1/leases/{at}"
    token = client.ask("POST", name, {"seconds": 0.2}).json["token"]
    assert client.put(where, b"1", Holdfast_Lease=f"{at};{token}").status == 201
    time.sleep(0.3)
    for lease in (f"{at};{token}", f"{at};{token + 1}", "none;1"):
        got = client.put(where, b"2", Holdfast_Lease=lease, If_Match="*")
        assert (got.status, got.code) == (409, "lease_lost")
        assert client.ask("DELETE", where, None, Holdfast_Lease=lease).status == 409
        assert client.ask("PATCH", where, {"tags": None}, Holdfast_Lease=lease).status == 409
        put = {"op": "put", "address": f"{at}/a", "value": 1}
        assert client.ask("POST", "/v1/transactions", {"operations": [put], "lease": lease}).code == "lease_lost"
    assert client.put(where, bytes(100_000), Holdfast_Lease=f"{at};{token}").status == 409
    assert client.get(where).body == b"1"


def test_what_is_malformed(client: Client, at: str) -> None:
    where = f"/v1/leases/{at}"
    wrong: list[object] = [
        {"seconds": 0},
        {"seconds": -1},
        {"seconds": "x"},
        {"seconds": 1e99},
        {"owner": 5},
        {"x": 1},
        [],
    ]
    for body in (*wrong, {"owner": "\n"}):
        assert client.ask("POST", where, body).status == 400, body
    wrong = [{}, {"token": "1"}, {"token": 0}, {"token": 1, "seconds": 0}, {"token": 2**80}]
    for body in wrong:
        assert client.ask("PATCH", where, body).status == 400, body
    for query in ("", "?token=x", "?token=-1", "?token=0"):
        assert client.ask("DELETE", where + query).status == 400
    assert client.ask("POST", "/v1/leases/").status == 400
    assert client.ask("POST", "/v1/leases/%00").status == 400
