"""Two machines that share nothing but a database and a bucket do everything together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.errors import (
    InvalidArgumentError,
    LeaseLost,
    NotFoundError,
    ScopeDroppedError,
    SignatureError,
    StoreError,
)
from holdfast.testing.postgresql import Server

from ..kernel.places import set_keys
from ..kernel.tools import LARGE
from . import deeds
from .hosts import Host

pytestmark = pytest.mark.filterwarnings("default:no namespaces are allowed here")

Pair = tuple[Host, Host]


@pytest.fixture(scope="module", params=["s3", pytest.param("azure", marks=pytest.mark.long)])
def store(request: pytest.FixtureRequest, postgresql: Server) -> tuple[str, str]:
    """The URLs of a store and its storage."""
    schema = f"cluster_{request.param}_{time.monotonic_ns()}"
    if request.param == "s3":
        storage = f"s3://bucket/{schema}?endpoint={request.getfixturevalue('s3_endpoint')}&region=us-east-1"
    else:
        storage = f"az://container/{schema}?endpoint={request.getfixturevalue('azure_endpoint')}"
    return f"{postgresql.url()}?schema={schema}", storage


@pytest.fixture(scope="module")
def pair(store: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two hosts on one store. The clock of one is an hour ahead, that of the other right."""
    folder = tmp_path_factory.mktemp("cluster")
    with pytest.MonkeyPatch.context() as patch:
        set_keys(patch)
        with Host("anna", folder) as anna, Host("bert", folder, ahead=3600) as bert:
            assert anna.call(deeds.open_store, *store) == bert.call(deeds.open_store, *store)
            yield anna, bert


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A scope of the test's own."""
    return request.node.name.replace("[", "-").replace("]", "")


def test_they_are_two_machines(pair: Pair) -> None:
    mine, other = (host.call(deeds.who) for host in pair)
    same = [what for what in mine if mine[what] == other[what]]
    assert same == [], f"the same for both: {same}"
    clocks = [host.call(time.time) for host in pair]
    assert 3590 < clocks[1] - clocks[0] < 3700


def test_what_one_puts_the_other_reads(pair: Pair, name: str) -> None:
    for number, (writer, reader) in enumerate((pair, pair[::-1])):
        versions = writer.call(deeds.put_all, f"{name}-{number}")
        reader.call(deeds.read_all, f"{name}-{number}", versions)


def test_a_counter_and_transactions_on_the_same_keys(pair: Pair, name: str) -> None:
    anna, bert = pair
    counts = [host.start(deeds.count, name, 30) for host in pair]
    versions = [answer.result(60) for answer in counts]
    assert anna.call(deeds.get, name, "count") == bert.call(deeds.get, name, "count") == 120
    assert all(made == sorted(set(made)) for made in versions)
    assert len({version for made in versions for version in made}) == 120, "each write has a version of its own"

    for key in ("left", "right"):
        anna.call(deeds.put, name, key, (100, b""))
    moves = [anna.start(deeds.move, name, "left", "right", 10), bert.start(deeds.move, name, "right", "left", 15)]
    for answer in moves:
        answer.result(90)
    assert [bert.call(deeds.get, name, key)[0] for key in ("left", "right")] == [105, 95]


def test_a_lease(pair: Pair, name: str) -> None:
    anna, bert = pair
    first = anna.call(deeds.hold, name, 30)
    waiting = bert.start(deeds.take, name)
    time.sleep(0.5)
    assert not waiting.done()
    assert anna.call(deeds.put_under, name, name, "report", LARGE)
    anna.call(deeds.let_go, name)
    second, waited = waiting.result(10)
    assert second > first
    assert waited >= 0.4

    first = anna.call(deeds.hold, name, 0.5)
    second, waited = bert.call(deeds.take, name)
    assert second > first
    assert waited < 10, "it ended by the server's clock"
    with pytest.raises(LeaseLost):
        anna.call(deeds.put_under, name, name, "report", b"too late")
    assert bert.call(deeds.get, name, "report") == LARGE


def test_a_memoized_call_runs_once(pair: Pair, name: str) -> None:
    answers = [host.start(deeds.compute, name, 7, 0.5) for host in pair for _ in range(2)]
    results = {answer.result(30)[0] for answer in answers}
    assert len(results) == 1
    assert pair[0].call(deeds.get, name, "runs") == 1
    assert results.pop()[1] in {host.pid for host in pair}


@pytest.mark.long
def test_gc_beside_a_writer(pair: Pair, name: str) -> None:
    for writer, collector in (pair, pair[::-1]):
        writing = writer.start(deeds.write_and_delete, f"{name}-{writer.name}", 15)
        removed = 0
        while not writing.done():
            removed += collector.call(deeds.collect).blobs
        writing.result()
        assert removed + collector.call(deeds.collect).blobs > 10
        assert [host.call(deeds.problems) for host in pair] == [[], []]


def test_drops_and_renames_are_seen(pair: Pair, name: str) -> None:
    anna, bert = pair
    version = anna.call(deeds.put, name, "key", LARGE)
    assert bert.call(deeds.get, name, "key") == LARGE
    anna.call(deeds.rename, name, f"{name}-new")
    with pytest.raises(NotFoundError):
        bert.call(deeds.get, name, "key")
    assert bert.call(deeds.get, f"{name}-new", "key") == LARGE

    for change in (lambda: anna.call(deeds.drop, f"{name}-new"), lambda: anna.call(deeds.rename, name, f"{name}-old")):
        place = f"{name}-new" if f"{name}-new" in bert.call(deeds.children) else name
        bert.call(deeds.put, place, "key", LARGE)
        bert.call(deeds.begin_file, place, "file")
        change()
        with pytest.raises(ScopeDroppedError):
            bert.call(deeds.end_file, "file")
        with pytest.raises(NotFoundError):
            bert.call(deeds.get, place, "key")
    assert bert.call(deeds.put, f"{name}-new", "key", b"again") > version
    assert anna.call(deeds.get, f"{name}-new", "key") == b"again"


def test_expiry_is_by_the_clock_of_the_server(pair: Pair, name: str) -> None:
    for number, (writer, reader) in enumerate((pair, pair[::-1])):
        for data in (b"small", LARGE):
            key = f"key-{number}-{len(data)}"
            writer.call(deeds.put, name, key, data, expires=2.0)
            waiting = [host.start(deeds.wait_until_gone, name, key) for host in (writer, reader)]
            if len(data) == 5:
                assert reader.call(deeds.get, name, key) == data
                assert all(0.5 < answer.result(20) < 10 for answer in waiting)
            else:
                writer.call(deeds.put, name, key, data, expires=600.0)
                time.sleep(0.2)
                assert not any(answer.done() for answer in waiting)
                writer.call(deeds.put, name, key, b"", expires=0.01)


def test_what_travels(pair: Pair, store: tuple[str, str], postgresql: Server, name: str, tmp_path: Path) -> None:
    """A store and a scope are sent to a third host, which knows nothing yet; then it has another signing key."""
    anna, bert = pair
    anna.call(deeds.put, name, "pickle", deeds.Own(50_000))
    anna.call(deeds.put, name, "array", deeds.array())
    sent = anna.call(deeds.pickled, name)
    assert not any(postgresql.password.encode() in text for text in sent), "no password travels"
    told, value = bert.call(deeds.unpickled, *sent, "pickle")
    assert told == anna.call(deeds.identity)
    assert value.data == bytes(50_000)

    with Host("cleo", tmp_path) as guest:
        with pytest.raises(StoreError, match=r"asks for a password.* HOLDFAST_STORE") as caught:
            guest.call(deeds.unpickled, *sent, "pickle")
        assert postgresql.password not in str(caught.value)
        guest.call(deeds.set_variable, "HOLDFAST_STORE", store[0])
        assert guest.call(deeds.unpickled, *sent, "pickle")[1].data == bytes(50_000)

        guest.call(deeds.open_store, store[0], None)
        assert guest.call(deeds.get, name, "array").sum() == deeds.array().sum(), "the store knows where its bytes are"

        guest.call(deeds.set_variable, "HOLDFAST_KEY", "secret")
        with pytest.raises(InvalidArgumentError, match="64 hex digits"):
            guest.call(deeds.open_store, *store)
        guest.call(deeds.set_variable, "HOLDFAST_KEY", "5" * 64)
        guest.call(deeds.open_store, *store)
        assert guest.call(deeds.get, name, "array").sum() == deeds.array().sum()
        with pytest.raises(SignatureError, match=r"another key.*HOLDFAST_KEY"):
            guest.call(deeds.get, name, "pickle")
        guest.call(deeds.put, name, "theirs", deeds.Own(50_000))
        assert guest.call(deeds.get, name, "theirs").data == bytes(50_000)
    with pytest.raises(SignatureError, match=r"another key.*HOLDFAST_KEY"):
        anna.call(deeds.get, name, "theirs")
