"""What a token that is limited to a scope cannot do, whatever it sends to the client's half of the service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any, NamedTuple

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import holdfast
from holdfast.address import Path
from holdfast.catalog import wire
from holdfast.catalog.base import ABSENT, Delete, Edit, Expect, Fence, Member, NewBlob, Policy, Put, Restore
from holdfast.catalog.channel import Channel
from holdfast.errors import (
    AccessError,
    ConflictError,
    HoldfastError,
    InvalidArgumentError,
    InvalidScopeError,
    NotFoundError,
    StoreError,
    ValueLost,
)
from holdfast.hashing import BLAKE3, NONE, SHA256
from holdfast.model import EPHEMERAL, Codec
from holdfast.tokens import Tokens

from .serving import Behind

MINE: Path = (("namespace", "mine"),)
THEIRS: Path = (("namespace", "theirs"),)
SECRET = b"a secret of theirs " * 5000
SMALL = b"a small one of theirs"


class TokenCatalog(NamedTuple):
    """Who has a token, and sends what he likes."""

    channel: Channel
    storage: int
    codec: int

    def call(self, name: str, *arguments: Any) -> Any:
        answer = self.channel.ask("POST", f"/catalog/{name}", wire.encode(arguments), timeout=5, again=False)
        return wire.decode(name, answer.data, result=True)

    def about(self, verb: str, what: Any, storage: int | None = None, **headers: str) -> Any:
        """What ``/v1/bytes`` answers: to places as JSON, or to a body of bytes with ``verb`` empty."""
        number = self.storage if storage is None else storage
        raw = isinstance(what, bytes)
        body = what if raw else json.dumps(what).encode()
        path = f"/bytes/{number}{verb and '/'}{verb}"
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        return self.channel.ask("PUT" if raw else "POST", path, body, timeout=5, again=False, headers=named).data

    def upload(self, data: bytes) -> Any:
        return json.loads(self.about("", data))

    def commit(self, *changes: Any, began: Any = (), fence: Any = None, power: bool = False) -> Any:
        return self.call("commit", wire.encode_changes(changes), list(began), fence, power)

    def file(self, config: Any, data: bytes, path: Path = MINE, key: str = "key", **more: Any) -> Put:
        """A put of bytes that were sent."""
        place = json.dumps(config, separators=(",", ":"))
        blob = NewBlob(self.storage, place, True)
        return Put(path, key, self.codec, BLAKE3, blake3(data).digest(), len(data), None, blob)._replace(**more)

    def value(self, data: bytes = b"value", path: Path = MINE, key: str = "key", **more: Any) -> Put:
        """A put of a value in the catalog."""
        return Put(path, key, self.codec, SHA256, sha256(data).digest(), len(data), data)._replace(**more)


@pytest.fixture
def places(host: Behind, own: holdfast.Store) -> Iterator[Callable[..., TokenCatalog]]:
    """Makes who has a token of these scopes and verbs."""
    theirs = own.scope("namespace:theirs")
    theirs.put("file", SECRET, tags={"whose": "theirs"})
    theirs.put("small", SMALL)
    theirs.put("count", 1)
    theirs.set_policy(history=3)
    tokens = Tokens(own)
    codec = own._kernel.codec_ids[Codec("holdfast.bytes@v1", "application/octet-stream")]
    channels: list[Channel] = []
    with host.serving(own, loopback=False) as url:

        def guest(*allow: str, scopes: Any = (MINE,)) -> TokenCatalog:
            token, _ = tokens.create(scopes=scopes, allow=allow or ("read", "write", "admin"))
            channels.append(Channel(url, token))
            return TokenCatalog(channels[-1], own._kernel.storage_id, codec)

        yield guest
        for channel in channels:
            channel.close()


def state(store: holdfast.Store) -> Any:
    """What others have in a store."""
    scope = store.scope("namespace:theirs")
    entries = [scope.entry(key) for key in list(scope.keys())]
    return [(entry.record.key, entry.version, entry.record.tags, entry.value) for entry in entries], scope.policy()


# --- sessions of memories ---------------------------------------------------------------------------------------------

NOWHERE = "holdfast.dask@v1 tcp://10.0.0.1:9|Scheduler-11111111-1111-1111-1111-111111111111"


def test_sessions_are_named_by_whose_token_opens_all(places: Callable[..., TokenCatalog], own: holdfast.Store) -> None:
    guest = places()
    row = (None, None, SHA256, sha256(b"x").digest(), 1, guest.codec, None, None, b"x")
    ending = guest.value(b"x", tier=EPHEMERAL, session=NOWHERE)
    for attempt in (
        lambda: guest.call("put", MINE, "key", row, False, NOWHERE),
        lambda: guest.commit(ending),
        lambda: guest.commit(Restore(ending, 5, 1.0, 1.0)),
    ):
        with pytest.raises(AccessError):
            attempt()
    assert own._kernel.catalog.sessions() == []
    own.scope("namespace:mine").put("key", b"x", tier="memory")
    (session,) = own._kernel.catalog.sessions()
    guest.call("put", MINE, "another", row, False, session)  # as a copy of what is there
    guest.commit(ending._replace(key="third", session=session))
    assert own.scope("namespace:mine").get("third") == b"x"


@pytest.mark.parametrize("session", ["", " ", "x", "x\0 y", "x y z", "holdfast.local@v1 " + "x" * 201])
def test_what_is_no_session_is_refused(places: Callable[..., TokenCatalog], own: holdfast.Store, session: str) -> None:
    guest = places(scopes=((),))
    row = (None, None, SHA256, sha256(b"x").digest(), 1, guest.codec, None, None, b"x")
    with pytest.raises(InvalidArgumentError):
        guest.call("put", MINE, "key", row, False, session)
    with pytest.raises(InvalidArgumentError):
        guest.commit(guest.value(b"x", tier=EPHEMERAL, session=session))
    with pytest.raises(InvalidArgumentError, match="durable"):
        guest.commit(guest.value(b"x", session=NOWHERE))
    assert own._kernel.catalog.sessions() == []


# --- scopes of others -------------------------------------------------------------------------------------------------

ROW = (None, None, SHA256, sha256(b"x").digest(), 1, 1, None, None, b"x")
ON_A_PATH: dict[str, tuple[Any, ...]] = {
    "find": ("file",), "put": ("file", ROW, False, None), "replace": ("small", ROW, 1), "add": ("count", 1, 1, False),
    "record": ("file",), "entry": ("file",), "past": ("file",), "keys": ("", None, 10),
    "search": ("", None, None, "key", None, 10), "scope_id": (), "usage": (False,), "scope": (),
    "create_scope": (None, True, None), "children": (None, 10), "rename_scope": ("renamed",), "drop_scope": (False,),
    "was_dropped": (), "policy": (), "set_policy": (None, None), "past_keys": ("", None, 10),
}  # fmt: skip
STORE_WIDE: dict[str, tuple[Any, ...]] = {
    "unsynced": ("", True, 0, 10), "mark_synced": ([1],), "trust": (1, NewBlob(1, '"x"', True)), "mark_lost": (1,),
    "sweep": (10,), "garbage": (10, None), "forget": ([1],), "begin": (), "vacate": ([1],), "sessions": (),
    "end_session": ("x",),
    "abandon": (Put((), "", 0, NONE, None, 0, blob=NewBlob(1, '"x"', True)),), "known": (1, ['"x"']),
    "garbage_size": (),
}  # fmt: skip
ANYBODY = {
    "hello", "commit", "members", "codec_id", "codec", "storage_id", "storage", "storages", "now", "settled", "acquire",
    "holder", "renew", "release", "barrier",
}  # fmt: skip


def test_all_calls_are_looked_at_here() -> None:
    assert ON_A_PATH.keys() | STORE_WIDE.keys() | ANYBODY == wire.CALLS.keys()


@pytest.mark.parametrize("path", [THEIRS, (), (("namespace", "mine2"),), (("service", "tokens"),)])
def test_no_call_reaches_a_scope_of_others(places: Any, own: holdfast.Store, path: Path) -> None:
    guest, before = places(), state(own)
    for name, rest in ON_A_PATH.items():
        with pytest.raises(AccessError):
            guest.call(name, path, *rest)
    for change in (
        guest.value(path=path), Delete(path, "file"), Edit(path, "file", tags=None), Expect(path, "file", ABSENT),
        guest.file(guest.upload(b"x" * 50_000), b"x" * 50_000, path),
    ):  # fmt: skip
        with pytest.raises(AccessError):
            guest.commit(guest.value(), change)
    with pytest.raises(AccessError):
        guest.commit(guest.value(), began=[(path, 1)])
    assert state(own) == before
    assert guest.call("keys", MINE, "", None, 10) == [], "something was written in part"


@pytest.mark.parametrize("scopes", [(MINE,), (MINE, THEIRS)])
def test_no_call_of_the_whole_store_is_made_for_a_part(places: Any, own: holdfast.Store, scopes: Any) -> None:
    guest, before = places(scopes=scopes), state(own)
    for name, arguments in STORE_WIDE.items():
        with pytest.raises(AccessError):
            guest.call(name, *arguments)
    for name, arguments in {
        "acquire": ("name", "me", 10.0, "you"),
        "storage_id": ("holdfast.memory@v1", "memory:#beside"),
    }.items():
        with pytest.raises(AccessError):
            guest.call(name, *arguments)
    with pytest.raises(AccessError):
        guest.call("acquire", "holdfast/gc", "me", 10.0, "")
    with pytest.raises(AccessError):
        guest.commit(Restore(guest.value(), 1 << 59, 1.0, 1.0))
    assert state(own) == before


def test_verbs_are_kept(places: Any, own: holdfast.Store) -> None:
    reader, writer, both = places("read"), places("write"), places("read", "write")
    both.commit(both.file(both.upload(SECRET), SECRET))
    for name, rest in ON_A_PATH.items():
        needs = wire.CALLS[name].needs
        for guest, verb in ((reader, "read"), (writer, "write")):
            if needs not in (verb, "either"):
                with pytest.raises(AccessError):
                    guest.call(name, MINE, *rest)
    for change in (reader.value(), Delete(MINE, "key"), Edit(MINE, "key", tags=None)):
        with pytest.raises(AccessError):
            reader.commit(change)
    reader.commit(Expect(MINE, "key", reader.call("record", MINE, "key")[0].version))
    for call in (
        lambda: reader.upload(b"x"),
        lambda: reader.about("delete", []),
        lambda: reader.about("sync", []),
        lambda: reader.call("acquire", "name", "me", 10.0, ""),
        lambda: reader.call("codec_id", Codec("new", "new")),
        lambda: writer.about("read", writer.upload(b"x")),
        lambda: writer.call("members", 1),
    ):
        with pytest.raises(AccessError):
            call()
    # who may only write gets no place by which another token of his could read
    (done,) = writer.commit(Edit(MINE, "key", tags='{"a":"b"}'))
    assert done.row.storage_config is None
    (done,) = writer.commit(Delete(MINE, "key"))
    assert done.row.storage_config is None


def test_no_call_makes_what_cannot_be_named(places: Any) -> None:
    guest = places(scopes=((),))
    guest.commit(guest.value())
    for part in (("", "x"), ("x", ""), ("x", "a\nb"), ("x\0", "a"), ("x", "a" * 513)):
        for name, rest in ON_A_PATH.items():
            if wire.CALLS[name].needs in ("write", "admin"):
                with pytest.raises(InvalidScopeError):
                    guest.call(name, (*MINE, part), *rest)
    for name in ("", "a\nb", "a" * 513):
        with pytest.raises(InvalidScopeError):
            guest.call("rename_scope", MINE, name)
    assert guest.call("children", MINE, None, 10) == []


def test_a_scope_cannot_be_renamed_out_of_its_place(places: Any) -> None:
    guest = places()
    guest.commit(guest.value())
    with pytest.raises(AccessError):
        guest.call("rename_scope", MINE, "theirs2")
    with pytest.raises(AccessError):
        guest.call("rename_scope", (), "x")


def test_the_services_own_scopes_are_nobodys(places: Any, own: holdfast.Store) -> None:
    guest, tokens = places(scopes=((),)), (("service", "tokens"),)
    for name, rest in ON_A_PATH.items():
        for path in (tokens, (("service", "new"),), (*tokens, ("a", "b"))):
            with pytest.raises(AccessError):
                guest.call(name, path, *rest)
    for change in (guest.value(path=tokens), Delete(tokens, "x"), Expect(tokens, "x", 0)):
        with pytest.raises(AccessError):
            guest.commit(change)
    for kind in ("a", "sessions", "z"):
        own.scope(f"{kind}:x").put("key", 1)
    kinds, after = [], None
    while page := guest.call("children", (), after, 2):
        kinds += [info.path[0][0] for info in page]
        after = page[-1].path[-1]
        assert len(page) == 2 or after[0] == "z"
    assert kinds == ["a", "namespace", "sessions", "z"]
    assert len(Tokens(own).list()) == 1


# --- places and ids ---------------------------------------------------------------------------------------------------


def the_place(own: holdfast.Store, key: str = "file") -> Any:
    """Where theirs lies, as the catalog has it."""
    config = own.scope("namespace:theirs").record(key).row.storage_config
    assert config is not None
    return json.loads(config)


def test_forged_places_open_nothing(places: Any, own: holdfast.Store, host: Behind, tmp_path: Any) -> None:
    guest, there = places(), the_place(own)
    seal, *fresh = guest.upload(b"x" * 50_000)
    with holdfast.open(tmp_path / "another") as other, host.serving(other) as url:
        foreign = TokenCatalog(Channel(url), other._kernel.storage_id, 1).upload(b"x")
    forged: list[Any] = [
        there, [seal, json.dumps(there)], ["", json.dumps(there)], [seal, there], [seal, *fresh[:-1]],
        [seal, json.dumps(there), *fresh[1:]], [seal.swapcase(), *fresh], [seal, *fresh, 0], [seal, *fresh[::-1]],
        foreign, "../../../../etc/passwd", [seal, '"../../../../etc/passwd"'], [seal], [], {}, None, 5, [[seal], fresh],
        ["\u00e9" * 16, json.dumps(there)], [True, json.dumps(there)], [1.5, *fresh],
        [seal, *fresh[:3], {}, *fresh[4:]],
    ]  # fmt: skip
    for config in forged:
        for verb, what in (("read", config), ("delete", [config]), ("sync", [config])):
            with pytest.raises(InvalidArgumentError):
                guest.about(verb, what)
        with pytest.raises(InvalidArgumentError):
            guest.commit(guest.file(config, SECRET))
    for other_storage in (guest.storage + 1, 10**17):
        with pytest.raises(HoldfastError):
            guest.about("read", [seal, *fresh], storage=other_storage)
    assert own.scope("namespace:theirs").get("file") == SECRET


def test_what_a_reader_was_given_cannot_be_claimed_or_deleted(places: Any, own: holdfast.Store) -> None:
    """He may read it; it stays another record's."""
    guest = places(scopes=(MINE, THEIRS))
    row = guest.call("find", THEIRS, "file")[0]
    config = json.loads(row.storage_config)
    assert guest.about("read", config) == SECRET
    with pytest.raises(InvalidArgumentError):
        guest.commit(guest.file(config, SECRET))
    with pytest.raises(AccessError):
        guest.about("delete", [config])
    assert own.scope("namespace:theirs").get("file", verify=True) == SECRET


def test_ids_of_blobs_are_those_that_were_given(places: Any, own: holdfast.Store) -> None:
    guest, reader = places(), places(scopes=(MINE, THEIRS))
    plain = own._kernel.catalog.find(THEIRS, "file")[0]
    sealed = reader.call("find", THEIRS, "file")[0]
    assert isinstance(sealed.blob, bytes)
    blob: Any = sealed.blob
    copy = Put(MINE, "copy", sealed.codec, sealed.algorithm, sealed.digest, sealed.size, blob=blob)
    reader.commit(copy)
    assert own.scope("namespace:mine").get("copy") == SECRET
    changed: Any = bytes([sealed.blob[0] ^ 1]) + sealed.blob[1:]
    another: Any = sealed.blob[:-1] + bytes([sealed.blob[-1] ^ 1])
    for wrong in (
        copy._replace(blob=plain[10]), copy._replace(blob=changed), copy._replace(blob=another),
        copy._replace(blob=changed[:-1]),
        copy._replace(size=1), copy._replace(digest=b"x" * 32), copy._replace(algorithm=1),
        copy._replace(blob=None, members=(Member(plain[10], *sealed[3:6]),)),
        copy._replace(blob=None, members=(Member(blob, sealed.algorithm, sealed.digest, 1),), size=1),
    ):  # fmt: skip
        with pytest.raises((AccessError, InvalidArgumentError)):
            guest.commit(wrong._replace(key="stolen"))
    for blob in (1, 2, changed, another, b"", b"x" * 1000):
        with pytest.raises(AccessError):
            guest.call("members", blob)
    assert guest.call("keys", MINE, "", None, 10) == ["copy"]


def test_nobody_brings_a_storage_along(places: Any, own: holdfast.Store) -> None:
    whole = places(scopes=((),))
    for name, url in (("holdfast.file@v1", "/etc"), ("holdfast.fsspec@v1", "ftp://x"), ("holdfast.memory@v1", "x")):
        with pytest.raises(InvalidArgumentError):
            whole.call("storage_id", name, url)
    number = whole.call("storage_id", "somebody.storage@v1", "/etc")
    for call in (
        lambda: whole.about("", b"x", storage=number),
        lambda: whole.about("read", "passwd", storage=number),
        lambda: whole.about("delete", ["passwd"], storage=number),
    ):
        with pytest.raises(InvalidArgumentError):
            call()
    guest = places()
    claimed = guest.file("passwd", SECRET)
    with pytest.raises(AccessError):
        guest.commit(claimed._replace(blob=NewBlob(number, '"passwd"', True)))


# --- what is said of bytes --------------------------------------------------------------------------------------------


def test_bytes_are_committed_as_what_they_are(places: Any, own: holdfast.Store) -> None:
    """Else others who put equal bytes later would share what he only claims to have."""
    guest, sent = places(), b"rubbish" * 10_000
    true = guest.file(guest.upload(sent), sent)
    for lie in (
        {"digest": blake3(SECRET).digest()}, {"size": len(sent) - 1}, {"algorithm": SHA256}, {"digest": None},
        {"algorithm": NONE, "digest": None}, {"algorithm": 77}, {"digest": b""}, {"data": 5},
        {"data": b"beside"}, {"members": (Member(5, 1, b"", 1),)},
    ):  # fmt: skip
        with pytest.raises((AccessError, InvalidArgumentError, ConflictError)):
            guest.commit(true._replace(**lie))
    bundle = true._replace(blob=None, data=b"", digest=sha256(b"").digest(), algorithm=SHA256)
    config = guest.upload(sent)
    blob = NewBlob(guest.storage, json.dumps(config), True)
    for members in (
        (Member(blob, BLAKE3, blake3(SECRET).digest(), len(sent)),),
        (Member(blob, BLAKE3, true.digest, len(SECRET)),),
    ):
        with pytest.raises(InvalidArgumentError):
            guest.commit(bundle._replace(members=members, size=sum(member.size for member in members)))
    assert guest.call("keys", MINE, "", None, 10) == []
    own.scope("namespace:theirs").put("again", SECRET)
    assert own.scope("namespace:theirs").get("again", verify=True) == SECRET


def test_values_in_the_catalog_are_as_they_say(places: Any) -> None:
    guest = places()
    for lie in (
        {"digest": sha256(b"other").digest()}, {"digest": None}, {"size": 4}, {"size": 1 << 40}, {"algorithm": BLAKE3},
        {"algorithm": NONE, "digest": None}, {"algorithm": 99}, {"data": None}, {"data": 7}, {"data": 7, "size": 8},
    ):  # fmt: skip
        put = guest.value()._replace(**lie)
        row = (None, None, put.algorithm, put.digest, put.size, put.codec, None, None, put.data)
        for call in (
            lambda put=put: guest.commit(put),
            lambda row=row: guest.call("put", MINE, "key", row, False, None),
            lambda row=row: guest.call("replace", MINE, "key", row, 1),
        ):
            with pytest.raises(HoldfastError):
                call()
    assert guest.call("keys", MINE, "", None, 10) == []


def test_a_seal_is_good_for_one_commit(places: Any, own: holdfast.Store) -> None:
    guest, data = places(), b"once" * 20_000
    put = guest.file(guest.upload(data), data)
    guest.commit(put)
    with pytest.raises(ConflictError, match="send them again"):
        guest.commit(put._replace(key="second"))
    guest.about("delete", [json.loads(put.blob.config)])  # it is a record's now: nothing happens
    assert own.scope("namespace:mine").get("key", verify=True) == data
    guest.commit(Delete(MINE, "key"))
    own.gc()
    with pytest.raises(ConflictError, match="send them again"):
        guest.commit(put)
    own.scope("namespace:theirs").put("same", data)
    own.gc()
    assert own.scope("namespace:theirs").get("same", verify=True) == data
    gone = guest.upload(data)
    guest.about("delete", [gone])
    guest.about("delete", [gone])
    with pytest.raises(ValueLost):
        guest.about("read", gone)
    with pytest.raises(ConflictError, match="send them again"):
        guest.commit(guest.file(gone, data))


def test_a_refused_commit_leaves_no_bytes(places: Any, own: holdfast.Store) -> None:
    guest, data = places(), b"refused" * 10_000
    config = guest.upload(data)
    with pytest.raises(ConflictError):
        guest.commit(guest.file(config, data, if_version=5))
    with pytest.raises(ValueLost):
        guest.about("read", config)


# --- leases -----------------------------------------------------------------------------------------------------------


def test_who_waits_for_a_lease_learns_nothing_of_its_holder(places: Any, own: holdfast.Store) -> None:
    guest = places()
    with own.lease("one") as lease:
        row = guest.call("acquire", "one", "me", 10.0, "")
        assert guest.call("holder", "one") == row
        assert lease.owner not in str(row)
        assert row.token == 0
        with pytest.raises(ConflictError):
            guest.commit(guest.value(), fence=Fence("one", row.token))
        lease.renew()
    for seconds in (0.0, -1.0, 7 * 86400 + 1.0, 1e300, float("nan"), float("inf")):
        with pytest.raises(InvalidArgumentError):
            guest.call("acquire", "two", "me", seconds, "")


def test_the_librarys_own_leases_are_of_who_has_all(places: Any, own: holdfast.Store) -> None:
    """Nobody who is limited to a scope holds up what concerns all."""
    guest = places()
    for name in ("holdfast/gc", "holdfast/policy", "holdfast/any"):
        for call in (
            ("acquire", name, "me", 9.0, ""), ("holder", name), ("renew", (name, 1), 9.0), ("release", (name, 1)),
        ):  # fmt: skip
            with pytest.raises(AccessError):
                guest.call(*call)
    with pytest.raises(InvalidArgumentError):
        guest.call("acquire", "no\nname", "me", 9.0, "")


# --- nonsense ---------------------------------------------------------------------------------------------------------


def test_the_key_is_in_no_answer(places: Any, own: holdfast.Store) -> None:
    whole, key = places(scopes=((),)), own._kernel.catalog.signing_key
    for name, arguments in {"hello": (), "storages": (), "children": ((), None, 10), "find": (THEIRS, "file")}.items():
        answer = whole.channel.ask("POST", f"/catalog/{name}", wire.encode(arguments), timeout=5, again=True)
        assert key not in answer.data
        assert key.hex().encode() not in answer.data


def test_a_body_that_is_too_large_is_refused(places: Any) -> None:
    guest = places()
    with pytest.raises(InvalidArgumentError):
        guest.channel.ask("POST", "/catalog/find", b"x" * (2 << 20), timeout=5, again=False)
    with pytest.raises(InvalidArgumentError):
        guest.channel.ask("POST", "/catalog/no-such-call", b"\x90", timeout=5, again=False)
    with pytest.raises(InvalidArgumentError):
        guest.call("keys", MINE, "", None, 1 << 40)
    with pytest.raises(InvalidArgumentError):
        guest.call("codec_id", Codec("x" * 5000, "x"))


def send(guest: TokenCatalog, name: str, body: bytes) -> None:
    """Send this as the arguments of a call; what comes back must be an answer in our words."""
    try:
        guest.channel.ask("POST", f"/catalog/{name}", body, timeout=5, again=False)
    except (AccessError, NotFoundError):
        pass
    except StoreError as error:  # what a 5xx is, and an answer that tells nothing
        pytest.fail(f"{name} {body!r:.100}: {error!r}")
    except HoldfastError:
        pass


def test_malformed_messages_are_refused_in_our_words(places: Any, own: holdfast.Store) -> None:
    guest, before = places(), state(own)
    deep = b"\x91" * 100_000
    for name in wire.CALLS:
        for body in (deep, b"", b"\xc1", b"\xdd\xff\xff\xff\xff", b"\x93", b"\x80", b"\xc0", b"\x91\xd9\xff"):
            send(guest, name, body)
    assert state(own) == before


@pytest.mark.parametrize("examples", [25, pytest.param(1500, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
def test_anything_is_refused_in_our_words(places: Any, own: holdfast.Store, examples: int) -> None:
    guest, before = places(), state(own)
    values = st.recursive(
        st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    )

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(sorted(wire.CALLS)), values)
    def anything(name: str, value: Any) -> None:
        send(guest, name, wire.encode(value))
        send(guest, name, wire.encode((MINE, value)))
        send(guest, "commit", wire.encode(([("put", value), ("edit", value)], [], None, False)))
        for verb in ("read", "delete", "sync"):
            try:
                guest.about(verb, [value] if verb != "read" else {"a": value})
            except (TypeError, InvalidArgumentError):  # bytes are no JSON
                pass

    anything()
    assert state(own) == before


def test_policies_of_others_stay(places: Any, own: holdfast.Store) -> None:
    guest = places("read", "write")
    with pytest.raises(AccessError):
        guest.call("set_policy", MINE, Policy(0, 10, 10), None)
    assert guest.call("policy", MINE) is None
