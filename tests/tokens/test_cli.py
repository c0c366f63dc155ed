"""``holdfast token``: what is shown, and what only once."""

from __future__ import annotations

from pathlib import Path

import pytest

import holdfast
from holdfast.tokens import Tokens
from tests.cli.running import run


@pytest.fixture
def at(tmp_path: Path) -> list[str]:
    """The words that name a store."""
    with holdfast.open(tmp_path / "store"):
        return ["--store", str(tmp_path / "store")]


def test_a_token_is_made_listed_and_revoked(at: list[str]) -> None:
    words = ["--scope", "namespace:prod", "--scope", "namespace:dev", "--allow", "read,write", "--expires", "30d"]
    made = run("token", "create", *words, "--label", "the forecast's", *at)
    assert (made.code, made.out.count("\n")) == (0, 1)
    text = made.out.strip()
    with holdfast.open(at[1]) as store:
        access = Tokens(store).check(text)
        assert access is not None
        assert access.allows((("namespace", "dev"),), "write")
    listed = run("token", "ls", *at)
    assert "read,write" in listed.out
    assert "namespace:prod namespace:dev" in listed.out
    assert "in 30 d" in listed.out
    assert text not in listed.out + listed.err
    (found,) = run("token", "ls", "--json", *at).lines
    assert found["scopes"] == ["namespace:prod", "namespace:dev"]
    assert found["allow"] == ["read", "write"]
    assert found["label"] == "the forecast's"
    assert text.startswith(f"hft_{found['id']}_")
    assert run("token", "revoke", found["id"], *at).out == f"revoked {found['id']}\n"
    assert run("token", "ls", *at).out == ""
    with holdfast.open(at[1]) as store:
        assert Tokens(store).check(text) is None


def test_the_first_token_is_made_before_the_store_is_served(tmp_path: Path) -> None:
    at = ["--store", str(tmp_path / "new")]
    assert run("token", "ls", *at).code == 3
    text = run("token", "create", "--scope", "/", *at).out.strip()
    with holdfast.open(at[1], create=False) as store:
        assert Tokens(store).check(text) is not None


@pytest.mark.parametrize("words", [["create", "--scope", "/"], ["ls"], ["revoke", "0123456789abcdef"]])
def test_tokens_are_no_matter_of_clients(words: list[str]) -> None:
    ended = run("token", *words, "--store", "http://127.0.0.1:9")
    assert (ended.code, "where the store lies" in ended.err) == (2, True)


def test_json_has_the_text_once(at: list[str]) -> None:
    made = run("token", "create", "--scope", "/", "--json", *at).json
    assert made["scopes"] == [""]
    assert made["allow"] == ["read"]
    assert made["expires"] is None
    assert "token" not in run("token", "ls", "--json", *at).lines[0]
    assert run("token", "revoke", made["id"], "--json", *at).json == {"revoked": made["id"]}


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["create"], 2, "--scope"),
        (["create", "--scope", "prod"], 2, "no scope"),
        (["create", "--scope", "service:tokens"], 2, "the service's own"),
        (["create", "--scope", "/", "--allow", "delete"], 2, "read, write, admin"),
        (["create", "--scope", "/", "--allow", ""], 2, "read, write, admin"),
        (["create", "--scope", "/", "--expires", "soon"], 2, "30d"),
        (["create", "--scope", "/", "--expires", "0d"], 2, "a time ahead"),
        (["create", "--scope", "/", "--label", "a\tb"], 2, "printable"),
        (["revoke", "0123456789abcdef"], 3, "token ls"),
        (["revoke", "forecast"], 2, "16 hex digits"),
    ],
)
def test_what_is_not_legal_is_told(at: list[str], words: list[str], code: int, told: str) -> None:
    ended = run("token", *words, *at)
    assert (ended.code, ended.out) == (code, "")
    assert told in ended.err
    assert run("token", "ls", "--json", *at).lines == []
