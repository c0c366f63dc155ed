"""``/v1/batch`` and ``/v1/transactions``."""

from __future__ import annotations

from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from .talk import Client, Served


def do(client: Client, kind: str, *operations: object, **more: object):
    return client.ask("POST", f"/v1/{kind}", {"operations": list(operations), **more})


def test_a_batch_does_each_for_itself(service: Served, client: Client, at: str) -> None:
    data = b64encode(b"\0\xff").decode()
    results = do(
        client,
        "batch",
        {"op": "put", "address": f"{at}/a", "value": {"x": 1}, "tags": {"t": "1"}, "expires": 60},
        {"op": "put", "address": f"{at}/b", "data": data, "content_type": "image/x"},
        {"op": "put", "address": f"{at}/b", "data": data, "if_version": 0},
        {"op": "add", "address": f"{at}/n", "amount": 5},
        {"op": "put", "address": f"{at}/m", "value": 7},
        {"op": "add", "address": f"{at}/m"},
        {"op": "get", "address": f"{at}/a"},
        {"op": "get", "address": f"{at}/b"},
        {"op": "get", "address": f"{at}/none"},
        {"op": "record", "address": f"{at}/a"},
        {"op": "delete", "address": f"{at}/a"},
        {"op": "get", "address": f"{at}/a"},
    ).json["results"]
    assert [result["status"] for result in results] == [201, 201, 409, 200, 201, 200, 200, 200, 404, 200, 204, 404]
    assert results[2]["error"]["code"] == "exists"
    assert (results[3]["value"], results[5]["value"]) == (5, 8)
    assert (results[6]["value"], results[6]["record"]["tags"]) == ({"x": 1}, {"t": "1"})
    assert (results[7]["data"], results[7]["record"]["content_type"]) == (data, "image/x")
    assert service.store.scope(at).get("b") == b"\0\xff"
    assert service.store.scope(at).get("m") == 8


WRONG: tuple[Any, ...] = (
    1,
    {},
    {"op": "get"},
    {"op": "get", "address": 1},
    {"op": "get", "address": "namespace:x"},
    {"op": "get", "address": "x"},
    {"op": "drop", "address": "n:a/b"},
    {"op": [], "address": "n:a/b"},
    {"op": "get", "address": "n:a/b", "value": 1},
    {"op": "put", "address": "n:a/b"},
    {"op": "put", "address": "n:a/b", "value": 1, "data": ""},
    {"op": "put", "address": "n:a/b", "data": "x"},
    {"op": "put", "address": "n:a/b", "data": 1},
    {"op": "put", "address": "n:a/b", "value": 1, "tags": 5},
    {"op": "put", "address": "n:a/b", "value": 1, "tags": {"a": 1}},
    {"op": "put", "address": "n:a/b", "value": 1, "expires": "x"},
    {"op": "put", "address": "n:a/b", "value": 1, "if_version": "1"},
    {"op": "put", "address": "n:a/b", "value": 1, "content_type": ""},
    {"op": "put", "address": "n:a/b", "value": 1, "content_type": 1},
    {"op": "add", "address": "n:a/b", "amount": 2**70},
    {"op": "add", "address": "n:a/b", "amount": "1"},
    {"op": "delete", "address": "n:a/b", "if_version": -1},
    {"op": "put", "address": "n:a/\u0000", "value": 1},
)


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_what_is_malformed_is_told_and_the_others_are_done(client: Client, at: str, number: int) -> None:
    good = {"op": "put", "address": f"{at}/{number}", "value": number}
    results = do(client, "batch", WRONG[number], good).json["results"]
    assert [result["status"] for result in results] == [400, 201]
    got = do(client, "transactions", {**good, "value": "x"}, WRONG[number])
    assert (got.status, got.json["operation"]) == (400, 1)
    assert client.get(f"/v1/values/{at}/{number}").body == str(number).encode()


def test_a_value_that_json_cannot_hold(client: Client, at: str) -> None:
    deep: list = []
    for _ in range(300):
        deep = [deep]
    results = do(client, "batch", {"op": "put", "address": f"{at}/a", "value": deep}).json["results"]
    assert results[0]["error"]["code"] == "unsupported_value"
    got = do(client, "transactions", {"op": "put", "address": f"{at}/a", "value": "\ud800"})
    assert (got.status, got.code) == (422, "unsupported_value")


def test_a_transaction_is_all_or_nothing(client: Client, at: str) -> None:
    done = do(
        client,
        "transactions",
        {"op": "put", "address": f"{at}/a", "value": 1},
        {"op": "put", "address": f"{at}/x:x/b", "value": "two"},
        {"op": "get", "address": f"{at}/a"},
        {"op": "add", "address": f"{at}/a", "amount": 2},
        {"op": "put", "address": f"{at}/large", "data": b64encode(bytes(200_000)).decode()},
        {"op": "get", "address": f"{at}/large"},
        durability="power",
    )
    results = done.json["results"]
    assert [result["status"] for result in results] == [201, 201, 200, 200, 201, 200]
    assert (results[2]["value"], results[3]["value"]) == (1, 3)
    assert client.get(f"/v1/values/{at}/a").headers["holdfast-version"] == str(results[3]["record"]["version"])
    failed = do(
        client,
        "transactions",
        {"op": "put", "address": f"{at}/a", "value": 9},
        {"op": "put", "address": f"{at}/large", "data": b64encode(bytes(99_999)).decode()},
        {"op": "delete", "address": f"{at}/none"},
        {"op": "put", "address": f"{at}/c", "value": 9},
    )
    assert (failed.status, failed.code, failed.json["operation"]) == (404, "not_found", 2)
    assert client.get(f"/v1/values/{at}/a").body == b"3"
    assert client.get(f"/v1/values/{at}/c").status == 404
    assert client.get(f"/v1/values/{at}/large").headers["content-length"] == "200000"


def test_what_a_transaction_expects(client: Client, at: str) -> None:
    version = client.put(f"/v1/values/{at}/a", b"1").json["version"]
    put = {"op": "put", "address": f"{at}/b", "value": 1}
    assert do(client, "transactions", put, expect={f"{at}/a": version + 1}).code == "conflict"
    assert do(client, "transactions", put, expect={f"{at}/a": 0}).code == "exists"
    assert client.get(f"/v1/values/{at}/b").status == 404
    assert do(client, "transactions", put, expect={f"{at}/a": version, f"{at}/none": 0}).status == 200
    assert do(client, "transactions", {**put, "if_version": 0}).json["operation"] == 0
    assert do(client, "transactions", expect={f"{at}/a": version}).json == {"results": []}
    malformed: list[object] = [[], {"x": 1}, {f"{at}/a": "1"}, {at: 1}]
    for wrong in malformed:
        assert do(client, "transactions", put, expect=wrong).status == 400
    assert do(client, "transactions", put, durability="none").status == 400
    assert do(client, "transactions", put, more=1).status == 400
    malformed = [{}, {"operations": {}}, {"operations": [put] * 1001}]
    for body in malformed:
        for kind in ("batch", "transactions"):
            assert client.ask("POST", f"/v1/{kind}", body).status == 400


def test_transactions_at_once_lose_nothing(service: Served, at: str) -> None:
    def add(_: int) -> list[int]:
        client = service.another()
        operations = [{"op": "add", "address": f"{at}/{key}"} for key in ("a", "b")]
        statuses = [do(client, "transactions", *operations).status for _ in range(25)]
        client.close()
        return statuses

    with ThreadPoolExecutor(4) as pool:
        statuses = [status for found in pool.map(add, range(4)) for status in found]
    assert set(statuses) <= {200, 409}
    scope = service.store.scope(at)
    assert scope.get("a") == scope.get("b") == statuses.count(200)
    assert statuses.count(200) > 50


def test_an_answer_has_a_limit(client: Client, at: str) -> None:
    client.put(f"/v1/values/{at}/a", bytes(6 << 20))
    results = do(client, "batch", *[{"op": "get", "address": f"{at}/a"}] * 4).json["results"]
    assert [result["status"] for result in results] == [200, 200, 413, 413]
