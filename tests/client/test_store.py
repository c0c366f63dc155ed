"""What a user sees of a store that a service keeps: all verbs, with the same outcomes and errors."""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.address import Path as Path_
from holdfast.address import format_path
from holdfast.catalog.http import HTTPCatalog
from holdfast.config import find_config
from holdfast.errors import (
    AccessError,
    BusyError,
    ClosedError,
    ConflictError,
    ExistsError,
    InvalidArgumentError,
    NotFoundError,
    QuotaExceededError,
    ScopeDroppedError,
    SignatureError,
    StoreError,
)
from holdfast.lease import is_held
from holdfast.storable.simple import StorableValue
from holdfast.testing.processes import in_child
from holdfast.testing.state_machine import check_store
from holdfast.tokens import Tokens

from ..kernel.places import opener_of, set_keys
from .serving import KEY, Behind

LARGE = b"large " * 20_000


class Odd:
    """A value that only pickle takes."""

    def __init__(self, number: int) -> None:
        self.number = number


@holdfast.task
def double(number: int) -> int:
    return number * 2


@pytest.fixture
def limited(host: Behind, own: holdfast.Store, tmp_path: Path) -> Any:
    """The store as one has it whose token opens one scope, to read and write."""
    token, _ = Tokens(own).create(scopes=["namespace:mine"], allow=["read", "write"])
    with host.serving(own, loopback=False) as url, holdfast.open(url, token=token, cache=tmp_path / "his") as store:
        yield store


# --- verbs ------------------------------------------------------------------------------------------------------------


def test_what_is_written_here_is_read_there(store: holdfast.Store, own: holdfast.Store) -> None:
    here, there = store.namespace("mine"), own.namespace("mine")
    for number, value in enumerate([None, 5, 1 << 70, "text", b"", {"a": [1, (2,)]}, LARGE, StorableValue(LARGE)]):
        record = here.put(f"k{number}", value, tags={"é": "ü"}, expires=timedelta(days=1))
        wanted = value.value if isinstance(value, StorableValue) else value
        for scope in (here, there):
            found = scope.get(f"k{number}")
            assert (found.value if isinstance(found, StorableValue) else found) == wanted
            assert (scope.record(f"k{number}").version, scope.record(f"k{number}").tags) == (record.version, {"é": "ü"})
        assert record.digest == there.record(f"k{number}").digest
        assert record.durability == "process"
    assert list(here.keys()) == list(there.keys())
    with there.open("file", "wb") as file:
        file.write(LARGE)
    with here.open("file", "rb") as file:
        assert (file.read(10), file.seek(100_000), file.read()) == (LARGE[:10], 100_000, LARGE[100_000:])
    assert store.id == own.id


def test_one_who_has_one_scope_works_in_it(limited: holdfast.Store, own: holdfast.Store) -> None:
    """What he is given is sealed, and all goes on as ever."""
    mine = limited.namespace("mine")
    mine.put("large", LARGE)
    mine.put("object", StorableValue(LARGE * 2))
    mine.copy("large", "copy")
    mine.copy("object", "object too")
    assert (mine.get("copy"), mine.get("object too").value) == (LARGE, LARGE * 2)
    assert own.namespace("mine").get("copy", verify=True) == LARGE
    with limited.transaction() as tx:
        inside = tx.namespace("mine")
        inside.put("new", LARGE[::-1])
        inside.copy("large", "again")
        inside.copy("object", "third")
        assert (inside.get("new"), inside.get("again"), inside.get("third").value) == (LARGE[::-1], LARGE, LARGE * 2)
    assert (mine.get("new"), mine.get("again"), mine.get("third").value) == (LARGE[::-1], LARGE, LARGE * 2)
    assert own.namespace("mine").record("new").durability == "power", "not on disk before its commit"
    again = mine.get("object")
    mine.put("unread", again)
    assert mine.get("unread").value == LARGE * 2
    mine.update("count", lambda n: n + 1, default=0)
    with mine.artifact("run").transaction() as artifact:
        artifact.write("a.bin", LARGE)
        artifact.write("b.txt", "b")
        artifact.metadata["stage"] = "eval"
    assert mine.artifact("run").read("a.bin") == LARGE
    assert dict(mine.artifact("run").metadata) == {"stage": "eval"}
    own.gc()
    assert mine.get("third").value == LARGE * 2
    with limited.lease("one", wait=0) as lease:
        mine.put("held", 1, lease=lease)
        with pytest.raises(BusyError), limited.lease("one", wait=0):
            pass
    for verb in (
        limited.gc,
        limited.sync,
        limited.verify,
        lambda: mine.drop(),
        lambda: limited.namespace("theirs").get("x", default=None),
        lambda: list(limited.children()),
    ):
        with pytest.raises(AccessError):
            verb()


def test_a_lease_of_a_client_on_this_machine_is_not_taken_for_a_dead_ones(
    store: holdfast.Store, own: holdfast.Store
) -> None:
    """By who opens the store itself: the client has no lock file there."""
    with store.lease("one", wait=0) as lease:
        assert is_held(own._kernel, "one")
        assert is_held(store._kernel, "one")
        with pytest.raises(BusyError):
            own.lease("one", wait=0).acquire()
        assert lease.acquire().token == lease.token
        store.namespace("mine").put("held", 1, lease=lease)
    with own.lease("one", wait=0):
        assert is_held(store._kernel, "one")
        with pytest.raises(BusyError):
            store.lease("one", wait=0).acquire()
    assert not is_held(own._kernel, "one")


def test_who_has_admin_on_a_scope_sets_its_limits(host: Behind, own: holdfast.Store) -> None:
    """Without a lease, as those that concern all are not for him."""
    token, _ = Tokens(own).create(scopes=["namespace:mine"], allow=["read", "admin"])
    with host.serving(own, loopback=False) as url, holdfast.open(url, token=token) as his:
        assert his.namespace("mine").set_policy(history=2, max_records=5) == (2, 5, None)
        assert his.namespace("mine").set_policy(history=3) == (3, 5, None)
        with pytest.raises(AccessError):
            his.namespace("theirs").set_policy(history=0)
    assert own.namespace("mine").policy() == (3, 5, None)


@pytest.mark.parametrize("examples", [2, pytest.param(20, marks=pytest.mark.long)])
def test_the_state_machine_for_one_who_has_not_all(host: Behind, examples: int) -> None:
    """As of any store, under sealed places and ids; what concerns all of it is done where it is."""
    names = ("x", "y", "a/b", "c")

    def opened(folder: str) -> holdfast.Store:
        own = holdfast.open(folder)
        scopes = [(("namespace", name),) for name in names]
        token, _ = Tokens(own).create(scopes=scopes, allow=["read", "write", "admin"])
        store = host.client(own, loopback=False, token=token, cache="off")
        for verb in ("gc", "sync", "verify"):
            setattr(store, verb, getattr(own, verb))
        namespaces = [store.namespace(name) for name in sorted(names)]
        present: Any = lambda: [scope for scope in namespaces if scope.present]  # noqa: E731
        store.children = present  # type: ignore[method-assign]
        return store

    check_store(opened, max_examples=examples, stateful_step_count=20)


def test_errors_cross_with_class_and_message(store: holdfast.Store, own: holdfast.Store) -> None:
    scope = store.namespace("prod")
    record = scope.put("key", 1)
    for verb, error, message in (
        (lambda: scope.get("none"), NotFoundError, "no record namespace:prod/none"),
        (lambda: scope.put("key", 2, if_version=record.version + 7), ConflictError, "read it again and retry"),
        (lambda: scope.put("key", 2, if_absent=True), ExistsError, "exists already"),
        (lambda: scope.add("text", 1), InvalidArgumentError, "integer"),
        (lambda: scope.rename("text", "key"), ExistsError, "exists already"),
        (lambda: store.namespace("none").drop(), NotFoundError, "no scope"),
    ):
        scope.put("text", "text")
        with pytest.raises(error, match=message) as raised:
            verb()
        assert type(raised.value) is error
    scope.set_policy(max_records=2)
    with pytest.raises(QuotaExceededError):
        scope.put("third", 1)
    assert issubclass(QuotaExceededError, OSError)

    def drop() -> Any:
        yield b"x" * 100_000
        own.namespace("gone").drop()
        yield b"y" * 100_000

    store.namespace("gone").put("key", 1)
    with pytest.raises(ScopeDroppedError):
        store.namespace("gone").put_chunks("stream", drop())


def test_pickles_are_signed_with_a_key_of_ones_own(
    url: str, own: holdfast.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.namespace("prod").put("theirs", Odd(1))
    with holdfast.open(url, cache="off") as store:
        scope = store.namespace("prod")
        for value in (Odd(2), [Odd(2)], Odd(2).__dict__ | {"a": Odd}):
            with pytest.raises(SignatureError, match="set HOLDFAST_KEY"):
                scope.put("key", value)
        with pytest.raises(SignatureError, match="set HOLDFAST_KEY"):
            scope.get("theirs")
        assert scope.get("theirs", trust=True).number == 1
        assert "key" not in scope
        with pytest.raises(SignatureError, match="HOLDFAST_KEY"):
            store.export_to(str(tmp_path / "out"), key_file=str(tmp_path / "key"))
    monkeypatch.setenv("HOLDFAST_KEY", KEY)
    with holdfast.open(url, cache="off") as store, holdfast.open(url, cache="off") as another:
        store.namespace("prod").put("key", Odd(2))
        store.namespace("prod").put("large", [Odd(3), LARGE])
        assert another.namespace("prod").get("key").number == 2
        assert another.namespace("prod").get("large")[0].number == 3
        with pytest.raises(SignatureError, match="another key"):
            store.namespace("prod").get("theirs")
    with pytest.raises(SignatureError):
        own.namespace("prod").get("key")


def test_memoized_functions(store: holdfast.Store, own: holdfast.Store) -> None:
    calls = []

    @store.memoize(version="1")
    def double(number: int) -> bytes:
        calls.append(number)
        return b"%d" % (2 * number) * 50_000

    assert double(4) == double(4) == b"8" * 50_000
    assert calls == [4]


@pytest.mark.parametrize(
    "path",
    [
        (("namespace", "mine"), ("workflow", "/a.yaml")),
        (("namespace", "100%/a:b é"), ("workflow", "%2F\N{SNOWMAN}")),
        (("namespace", "n" * 500), ("workflow", "/" * 300)),
        (("namespace", "mine"), ("workflow", "\N{SNOWMAN}" * 512), ("k" * 512, "%" * 512)),
    ],
    ids=["plain", "encoded", "long", "longest"],
)
def test_who_has_one_scope_runs_graphs_and_memoized_functions_in_it(
    host: Behind, own: holdfast.Store, path: Path_, caplog: pytest.LogCaptureFixture
) -> None:
    tokens, text = Tokens(own), format_path(path)
    worker, reader, other = (
        tokens.create(scopes=[scope], allow=allow)[0]
        for scope, allow in ((path, ["read", "write"]), (path, ["read"]), ((*path[:-1], ("x", "y")), ["write"]))
    )
    leases: set[str] = set()
    states: list[str] = []
    with ExitStack() as opened:
        url = opened.enter_context(host.serving(own, loopback=False))
        his, seen, theirs = (opened.enter_context(holdfast.open(url, token=token)) for token in (worker, reader, other))

        def look(_: object) -> None:
            states.append(seen.scope(text).runs.get("latest").state)
            leases.update(name for (name,) in own._kernel.catalog.read("SELECT name FROM leases"))  # type: ignore[attr-defined]

        assert his.scope(text).run(double(2), executor="threads", progress=look) == [4]
        calls = []

        @his.scope(text).memoize(version=1)
        def once(number: int) -> int:
            leases.update(name for (name,) in own._kernel.catalog.read("SELECT name FROM leases"))  # type: ignore[attr-defined]
            calls.append(number)
            return number

        assert (once(1), once(1), calls) == (1, 1, [1])
        assert states[0] == "running"
        assert seen.scope(text).runs.get("latest").state == "done"
        assert len(leases) >= 2
        for name in leases:
            with pytest.raises(AccessError):
                theirs.lease(name, wait=0).acquire()
    assert caplog.messages == []


def test_async_programs(store: holdfast.Store) -> None:
    async def main() -> None:
        scope = store.namespace("prod").aio
        await asyncio.gather(*(scope.put(f"k{number}", LARGE + b"%d" % number) for number in range(10)))
        found = await asyncio.gather(*(scope.get(f"k{number}") for number in range(10)))
        assert [value[-1:] for value in found] == [b"%d" % number for number in range(10)]
        async with store.aio.transaction() as tx:
            await tx.namespace("prod").put("a", 1)
        assert await scope.get("a") == 1
        async with await scope.open("stream", "wb") as file:
            await file.write(LARGE)
        assert await scope.get("stream") == LARGE

    asyncio.run(main())


def test_streams_of_values(store: holdfast.Store, own: holdfast.Store) -> None:
    scope = store.namespace("prod")
    scope.put_stream("rows", ({"n": number} for number in range(5_000)))
    assert sum(row["n"] for row in scope.get("rows")) == sum(range(5_000))
    assert sum(row["n"] for row in own.namespace("prod").get("rows")) == sum(range(5_000))


def test_collecting_and_verifying(store: holdfast.Store, own: holdfast.Store) -> None:
    scope = store.namespace("prod")
    scope.put("a", LARGE)
    scope.put("b", LARGE[1:])
    scope.delete("a")
    assert store.sync() >= 1
    assert store.gc().blobs == 1
    assert scope.record("b").durability == "power"
    assert not store.verify().problems
    path = Path(own.config.store, "files", scope.record("b").contents["value"].storage_config[1].strip('"'))
    path.write_bytes(b"x" * path.stat().st_size)
    assert len(store.verify().problems) == 1


def test_copies_and_exports(store: holdfast.Store, tmp_path: Path) -> None:
    scope = store.namespace("prod")
    versions = [scope.put("a", LARGE).version, scope.put("b", {"x": 1}).version]
    with holdfast.open(tmp_path / "other") as other:
        store.sync_to(other)
        assert [other.namespace("prod").record(key).version for key in "ab"] == versions
        other.namespace("new").put("c", LARGE[2:])
        other.sync_to(store)
    assert store.namespace("new").get("c") == LARGE[2:]


def test_equal_bytes_are_stored_once_and_mended(store: holdfast.Store, own: holdfast.Store) -> None:
    scope, folder = store.namespace("prod"), Path(own.config.store, "files")

    def files() -> list[Path]:
        return [path for path in folder.glob("*/*") if path.name != "lock"]

    scope.put("a", LARGE)
    scope.put("b", LARGE)
    scope.put("a", LARGE)
    (one,) = files()
    one.unlink()  # by an accident
    scope.put("a", LARGE)
    assert len(files()) == 1
    assert own.namespace("prod").get("b", verify=True) == LARGE


def test_what_power_means_there(store: holdfast.Store, own: holdfast.Store) -> None:
    scope = own.namespace("prod")
    for key, value in (("small", 1), ("large", LARGE), ("stream", None)):
        if value is None:
            store.namespace("prod").put_chunks(key, [LARGE, LARGE], durability="power")
        else:
            store.namespace("prod").put(key, value, durability="power")
        assert scope.record(key).durability == "power", key


# --- requests ---------------------------------------------------------------------------------------------------------


def test_few_requests_are_made(store: holdfast.Store, host: Behind) -> None:
    scope = store.namespace("prod")
    scope.put("first", {"a": 1})
    scope.put("first large", LARGE)

    def made(verb: Any) -> list[str]:
        host.calls.clear()
        verb()
        return [call.removeprefix("v1/") for call in host.calls]

    assert made(lambda: scope.put("key", {"a": 1})) == ["catalog/put"]
    assert made(lambda: scope.get("key")) == ["catalog/find"]
    assert made(lambda: scope.put("large", LARGE[1:])) == ["catalog/scope_id", "bytes/1", "catalog/commit"]
    assert made(lambda: scope.get("large")) == ["catalog/find", "bytes/1/read"]
    assert made(lambda: scope.get("large")) == ["catalog/find"], "the copy is not used"
    many = made(lambda: scope.put_many({f"k{number}": number for number in range(500)}))
    assert many == ["catalog/scope_id", "catalog/commit"]

    def transact() -> None:
        with store.transaction() as tx:
            for number in range(100):
                tx.namespace("prod").put(f"t{number}", number)

    assert made(transact)[-1] == "catalog/commit"
    assert len(made(transact)) <= 2


# --- opening ----------------------------------------------------------------------------------------------------------


def test_the_token_is_in_no_text(host: Behind, own: holdfast.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    token, known = Tokens(own).create(scopes=[()], allow=["read", "write", "admin"])
    secret = token.split("_", 2)[2]  # which may have underscores of its own
    with host.serving(own, loopback=False) as url:
        with holdfast.open(url, token=token) as store:
            shown = [repr(store), repr(store.config), str(store._kernel.catalog), repr(store._kernel.storage)]
            assert known.id in store.config.store
            shown.append(pickle.dumps(store).hex())
            assert not [text for text in shown if secret in text or secret.encode().hex() in text]
            assert find_config(store.config.store).store == store.config.store
            copied = pickle.loads(pickle.dumps(store))
            copied.namespace("prod").put("key", 1)
            assert store.namespace("prod").get("key") == 1
            monkeypatch.setenv("HOLDFAST_TOKEN", token)
            script = f"import pickle; print(pickle.loads({pickle.dumps(store)!r}).namespace('prod').get('key'))"
            done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
            assert done.stdout == "1\n"
        with holdfast.open(url) as store:
            assert store.namespace("prod").get("key") == 1
        monkeypatch.setenv("HOLDFAST_TOKEN", f"hft_{known.id}_{'x' * 43}")
        with pytest.raises(AccessError) as raised:
            holdfast.open(url)
        assert "xxx" not in str(raised.value)
        with pytest.raises(AccessError) as raised:
            holdfast.open(url, token="wrong")
        assert f"holdfast.open({url!r}, token=" in str(raised.value)
        assert "@" not in str(raised.value), "no user that nobody named"
        store = holdfast.open(url, token=token)
        store.close()
        with pytest.raises(ClosedError) as closed:
            store.gc()
        assert "@" not in str(closed.value)


def test_a_token_may_come_with_the_end_of_its_line(
    host: Behind, own: holdfast.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, known = Tokens(own).create(scopes=[()], allow=["read", "write"])
    with host.serving(own, loopback=False) as url:
        with holdfast.open(url, token=f" {token}\r\n") as store:
            assert known.id in store.config.store
        HTTPCatalog(url, f"{token}\n").close()
        monkeypatch.setenv("HOLDFAST_TOKEN", f"{token}\n")
        holdfast.open(url).close()
        HTTPCatalog(url).close()


def test_a_token_that_ends_is_told(host: Behind, own: holdfast.Store) -> None:
    token, known = Tokens(own).create(scopes=[()], allow=["read", "write"])
    with host.serving(own, loopback=False) as url:
        with pytest.raises(AccessError, match="token"):
            holdfast.open(url)
        with pytest.raises(AccessError):
            HTTPCatalog(url, "hft_nonsense")
        with holdfast.open(url, token=token) as store:
            store.namespace("a").put("b", 1)
            host.forget_tokens()
            Tokens(own).revoke(known.id)
            with pytest.raises(AccessError, match="revoked"):
                store.namespace("a").put("b", 2)
    assert own.namespace("a").get("b") == 1


@pytest.mark.parametrize(
    "store",
    [
        "http://", "https://:80", "http://user@host", "http://user:password@host", "http://host:99999", "http://h?a=b",
        "http://h#1", "ftp://host", "http://[::1",
    ],
)  # fmt: skip
def test_what_is_no_url_of_a_service(store: str) -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        holdfast.open(store)
    assert "password" not in str(raised.value)


def test_the_path_of_the_interface_is_left_away(url: str) -> None:
    for more in ("/v1", "/v1/"):
        with pytest.raises(InvalidArgumentError, match=f"no /v1: give {url}$"):
            holdfast.open(url + more)


def test_what_does_not_go_together(url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="storage"):
        holdfast.open(url, storage="s3://bucket/prefix")
    with pytest.raises(InvalidArgumentError, match="token"):
        holdfast.open(tmp_path / "folder", token="hft_x")
    for token in ("", "a b", "é", "a\nb", 5):
        with pytest.raises(InvalidArgumentError, match="token"):
            holdfast.open(url, token=token)  # type: ignore[arg-type]


def test_no_service_is_there(host: Behind) -> None:
    with pytest.raises(StoreError, match="no service answers"):
        holdfast.open("http://127.0.0.1:9", timeout=0.1)
    with pytest.raises(StoreError, match=r"no Holdfast service answers at .*404"):
        holdfast.open(f"{host.url}/no-such-path-here", timeout=1)


@pytest.mark.parametrize(
    ("url", "told"),
    [("http://127.0.0.1:9", "on this port"), ("http://no.such.invalid", "'no.such.invalid' the right name")],
)
def test_what_cannot_be_reached_is_told_soon(url: str, told: str) -> None:
    began = time.monotonic()
    with pytest.raises(StoreError, match=told):
        holdfast.open(url)
    assert time.monotonic() - began < 5


@pytest.mark.long
def test_an_address_where_nothing_answers_is_told_soon() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as stack:
        for _ in range(3):  # whose connections nobody accepts, so that no more are answered
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        began = time.monotonic()
        with pytest.raises(StoreError, match="timed out"):
            holdfast.open(f"http://127.0.0.1:{full.getsockname()[1]}")
        assert time.monotonic() - began < 8


def test_another_server_than_holdfast() -> None:
    class Other(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Nothing."""

    class Page(Other):
        def do_POST(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "14")
            self.end_headers()
            self.wfile.write(b"<h1>Hello</h1>")

    for kind in (Other, Page):
        with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            with pytest.raises(
                StoreError, match=r"no Holdfast service answers at http://127\.0\.0\.1:\d+: it answered"
            ):
                holdfast.open(f"http://127.0.0.1:{server.server_address[1]}")
            server.shutdown()
            thread.join()


def test_closed_stores_say_so(url: str) -> None:
    store = holdfast.open(url)
    store.close()
    for verb in (lambda: store.namespace("a").get("b"), lambda: store.namespace("a").put("b", LARGE), store.gc):
        with pytest.raises(ClosedError):
            verb()


def test_forks_go_on_with_connections_of_their_own(store: holdfast.Store) -> None:
    scope = store.namespace("prod")
    scope.put("key", LARGE)

    def child() -> Any:
        for number in range(5):
            scope.put(f"child{number}", LARGE[number:])
        return len(scope.get("key")), os.getpid()

    assert in_child(child)[0] == len(LARGE)
    assert scope.get("child4") == LARGE[4:]
    assert scope.get("key") == LARGE


@pytest.mark.parametrize("place", ["postgresql+inline", pytest.param("postgresql+s3", marks=pytest.mark.long)])
def test_a_service_over_postgresql(
    place: str, host: Behind, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_keys(monkeypatch)
    opened = opener_of(place, request)

    def through(folder: str) -> holdfast.Store:
        return host.client(opened(folder), timeout=5, cache="off")

    check_store(through, max_examples=1, stateful_step_count=12)
    with through(str(tmp_path / "x")) as store:
        scope = store.namespace("prod")
        scope.put("large", LARGE)
        with store.transaction() as tx:
            tx.namespace("prod").put("one", LARGE[1:])
            tx.namespace("prod").put("two", 2)
        assert (scope.get("large"), scope.get("one"), scope.get("two")) == (LARGE, LARGE[1:], 2)
        scope.delete("large")
        assert store.gc().blobs == (1 if place.endswith("s3") else 0)
