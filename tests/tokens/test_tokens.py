"""Tokens: what they open, what ends them, and what is kept of them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast import tokens as module
from holdfast.errors import IntegrityError, InvalidArgumentError, InvalidScopeError, NotFoundError
from holdfast.tokens import TOKENS, Access, Tokens

PROD = (("namespace", "prod"),)
FLOW = (*PROD, ("workflow", "forecast"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[holdfast.Store]:
    with holdfast.open(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def tokens(store: holdfast.Store) -> Tokens:
    return Tokens(store)


def test_a_token_opens_its_scopes_with_all_below_them(tokens: Tokens) -> None:
    text, token = tokens.create(scopes=["namespace:prod"], allow=["read", "write"], label="the forecast's")
    access = tokens.check(text)
    assert access == token.access == Access((PROD,), frozenset({"read", "write"}))
    assert access.allows(PROD, "read")
    assert access.allows(FLOW, "write")
    assert not access.allows(PROD, "admin")
    assert not access.allows((), "read")
    assert not access.allows((("namespace", "production"),), "read")
    assert not access.allows((("workflow", "prod"),), "read")
    assert token.label == "the forecast's"
    assert token.expires is None


@pytest.mark.parametrize("scope", ["/", "", ()])
def test_a_token_for_the_whole_store_opens_all_but_the_services_own(tokens: Tokens, scope: Any) -> None:
    text, _ = tokens.create(scopes=[scope], allow=module.VERBS)
    access = tokens.check(text)
    assert access is not None
    for verb in module.VERBS:
        assert access.allows((), verb)
        assert access.allows(FLOW, verb)
        assert not access.allows(TOKENS, verb)
        assert not access.allows((("service", "x"), ("a", "b")), verb)
    assert access.allows((*PROD, ("service", "mail")), "read")  # at the root only


def test_the_text_has_an_id_and_a_secret_of_256_bits(tokens: Tokens) -> None:
    text, token = tokens.create(scopes=[PROD], allow="read")
    assert re.fullmatch(r"hft_[0-9a-f]{16}_[A-Za-z0-9_-]{43}", text)
    assert text.startswith(f"hft_{token.id}_")
    assert tokens.create(scopes=[PROD], allow="read")[0] != text


def test_nothing_of_the_secret_is_stored(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "store") as store:
        text, _ = Tokens(store).create(scopes=[PROD], allow=["read"])
    secret = text[21:].encode()
    files = [file.read_bytes() for file in (tmp_path / "store").rglob("*") if file.is_file()]
    assert files
    assert not any(secret in content for content in files)


def test_wrong_tokens_open_nothing(tokens: Tokens) -> None:
    text, token = tokens.create(scopes=[PROD], allow=["read"])
    last = "A" if text[-1] != "A" else "B"
    wrong = [
        "", "hft_", text[:-1], text + "A", text[:-1] + last, text.upper(), " " + text, text + "\n",
        f"hft_{'0' * 16}_{text[21:]}", f"hft_{token.id}_{'A' * 43}", "hft_é", "\udc80", "x" * 100_000,
    ]  # fmt: skip
    assert [tokens.check(attempt) for attempt in wrong] == [None] * len(wrong)
    assert tokens.check(text) is not None


def test_a_token_ends_when_it_expires_even_if_it_was_remembered(
    tokens: Tokens,
) -> None:
    _, token = tokens.create(scopes=[PROD], allow=["read"], expires=timedelta(days=30))
    assert token.expires is not None
    assert timedelta(days=29) < token.expires - datetime.now(timezone.utc) < timedelta(days=31)
    short, _ = tokens.create(scopes=[PROD], allow=["read"], expires=timedelta(seconds=0.15))
    assert tokens.check(short) is not None
    time.sleep(0.2)
    assert tokens.check(short) is None
    assert tokens.remembered(short) is None
    assert [found.id for found in tokens.list()] == [token.id]


def test_a_revocation_holds_here_at_once_and_elsewhere_when_it_is_looked_up(
    tokens: Tokens, store: holdfast.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, token = tokens.create(scopes=[PROD], allow=["read"])
    elsewhere = Tokens(store)
    assert tokens.check(text)
    assert elsewhere.check(text)
    tokens.revoke(token.id)
    assert tokens.check(text) is None
    assert elsewhere.check(text) == elsewhere.remembered(text) == token.access  # for less than 5 seconds
    assert module._REMEMBERED < 5
    now = time.monotonic()
    monkeypatch.setattr(module, "monotonic", lambda: now + module._REMEMBERED)
    assert elsewhere.check(text) is None


def test_a_token_that_was_checked_costs_no_look_into_the_store(tokens: Tokens, store: holdfast.Store) -> None:
    text, token = tokens.create(scopes=[PROD], allow=["read"])
    assert tokens.remembered(text) is None
    tokens.check(text)
    store.scope("service:tokens").delete(token.id)
    assert tokens.remembered(text) == token.access


def test_tokens_are_listed_the_oldest_first(tokens: Tokens) -> None:
    assert tokens.list() == []
    made = [tokens.create(scopes=[PROD, FLOW], allow=["read"], label=f"number {n}")[1] for n in range(3)]
    assert tokens.list() == made


def test_tokens_stay_asked_for_when_the_last_one_is_gone(tokens: Tokens, store: holdfast.Store) -> None:
    assert not tokens.in_use()
    _, token = tokens.create(scopes=[PROD], allow=["read"])
    assert tokens.in_use()
    tokens.revoke(token.id)
    assert tokens.in_use()
    assert Tokens(store).in_use()
    store.scope("service:tokens").drop()
    assert tokens.in_use()  # a service that was begun with tokens ends with tokens
    assert not Tokens(store).in_use()


def test_a_token_made_by_another_process_is_seen_soon(
    tokens: Tokens, store: holdfast.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not tokens.in_use()
    Tokens(store).create(scopes=[PROD], allow=["read"])
    now = time.monotonic()
    monkeypatch.setattr(module, "monotonic", lambda: now + 5)
    assert tokens.in_use()


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"scopes": []}, InvalidArgumentError, "name the scopes"),
        ({"scopes": "namespace:prod"}, InvalidArgumentError, "scopes are several"),
        ({"scopes": None}, InvalidArgumentError, "scopes are several"),
        ({"scopes": ["prod"]}, InvalidScopeError, "no scope"),
        ({"scopes": PROD}, InvalidScopeError, "a scope is a path"),
        ({"scopes": [3]}, InvalidScopeError, "a scope is a path"),
        ({"scopes": ["service:tokens"]}, InvalidScopeError, "the service's own"),
        ({"allow": []}, InvalidArgumentError, "read, write, admin"),
        ({"allow": ["delete"]}, InvalidArgumentError, "'delete'"),
        ({"allow": None}, InvalidArgumentError, "not None"),
        ({"expires": timedelta(0)}, InvalidArgumentError, "a time ahead"),
        ({"expires": datetime(2020, 1, 1, tzinfo=timezone.utc)}, InvalidArgumentError, "a time ahead"),
        ({"expires": datetime(2020, 1, 1)}, InvalidArgumentError, "time zone"),
        ({"expires": 30}, InvalidArgumentError, "timedelta"),
        ({"label": "x" * 201}, InvalidArgumentError, "200"),
        ({"label": "a\x1b[31mb"}, InvalidArgumentError, "printable"),
        ({"label": None}, InvalidArgumentError, "printable"),
    ],
)
def test_what_is_not_legal_makes_no_token(
    tokens: Tokens, wrong: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        tokens.create(**{"scopes": [PROD], "allow": ["read"], **wrong})
    assert not tokens.in_use()
    assert tokens.list() == []


def test_revoking_what_is_not_there(tokens: Tokens) -> None:
    with pytest.raises(NotFoundError, match="holdfast token ls"):
        tokens.revoke("0" * 16)
    text, _ = tokens.create(scopes=[PROD], allow=["read"])
    with pytest.raises(InvalidArgumentError) as told:
        tokens.revoke(text)
    assert text not in str(told.value)


@pytest.mark.parametrize("value", [3, {}, {"secret": "x", "scopes": 3, "verbs": [], "label": ""}, b"bytes"])
def test_a_record_that_is_no_token_opens_nothing_and_is_named(
    tokens: Tokens, store: holdfast.Store, value: Any
) -> None:
    text, token = tokens.create(scopes=[PROD], allow=["read"])
    store.scope("service:tokens").put(token.id, value)
    assert tokens.check(text) is None
    with pytest.raises(IntegrityError, match=f"service:tokens/{token.id} is no token"):
        tokens.list()


def test_a_token_that_is_revoked_while_all_are_listed(store: holdfast.Store, tokens: Tokens) -> None:
    ids = [tokens.create(scopes=[PROD], allow=["read"])[1].id for _ in range(3)]

    class Listed(holdfast.Scope):
        def list(self, *arguments: Any, **options: Any) -> Any:
            for record in list(super().list(*arguments, **options)):
                if record.key == ids[1]:
                    Tokens(store).revoke(ids[1])
                yield record

    tokens._scope = Listed(store._kernel, TOKENS)
    assert [token.id for token in tokens.list()] == [ids[0], ids[2]]


def test_a_token_that_is_revoked_while_it_is_checked(store: holdfast.Store, tokens: Tokens) -> None:
    """It was found, but is not remembered after that."""
    text, token = tokens.create(scopes=[PROD], allow=["read"])

    class Looked(holdfast.Scope):
        def entry(self, *asked: Any, **options: Any) -> Any:
            found = super().entry(*asked, **options)
            tokens.revoke(token.id)
            return found

    tokens._scope = Looked(store._kernel, TOKENS)
    assert tokens.check(text) == token.access
    tokens._scope = store.scope("service:tokens")
    assert tokens.check(text) is None
