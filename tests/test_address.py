"""Keys, scope paths and addresses: their text reads back as what it was made of, and bad ones are named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from holdfast.address import (
    MAX_NAME,
    Path,
    check_key,
    check_name,
    format_address,
    format_path,
    parse_address,
    parse_path,
)
from holdfast.errors import InvalidArgumentError, InvalidKeyError, InvalidScopeError

LEGAL = st.characters(exclude_categories=["Cs", "Cc"])
# Half of the names are of the characters that the text form gives a meaning to.
NAMES = st.text(st.sampled_from("%/:25AFaf."), min_size=1, max_size=12) | st.text(LEGAL, min_size=1, max_size=20)
PATHS = st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=4).map(tuple)


@given(PATHS | st.just(()))
@example((("namespace", "prod"), ("workflow", "forecast")))
@example((("a:b", "c/d"), ("%", "%2F"), ("/", ":")))
def test_a_path_reads_back(path: Path) -> None:
    assert parse_path(format_path(path)) == path


@given(PATHS, NAMES)
@example((("namespace", "prod"),), "a:b/c:d")
@example((("namespace", "prod"),), "/")
@example((("namespace", "prod"),), "//x:y")
@example((("namespace", "prod"),), "a/")
@example((("namespace", "prod"),), "%3A/%3A")
@example((("namespace", "prod"),), "kind:name")
def test_an_address_reads_back(path: Path, key: str) -> None:
    assert parse_address(format_address(path, key)) == (path, key)


@given(PATHS, NAMES, PATHS, NAMES)
def test_different_things_have_different_texts(path: Path, key: str, other_path: Path, other_key: str) -> None:
    assume((path, key) != (other_path, other_key))
    assert format_address(path, key) != format_address(other_path, other_key)
    assert format_address(path, key) != format_path(other_path)


@given(PATHS)
def test_an_address_without_a_key_names_the_scope(path: Path) -> None:
    assert parse_address(format_path(path)) == (path, None)
    assert parse_address(format_path(path) + "/") == (path, None)


@given(st.lists(st.text(LEGAL, min_size=1, max_size=8), min_size=2, max_size=12))
def test_keys_sort_as_their_bytes(keys: list[str]) -> None:
    """What a catalog orders by bytes, Python orders alike, so that pages from both can be merged."""
    legal = [check_key(key) for key in keys]
    assert sorted(legal) == sorted(legal, key=lambda key: key.encode())


@given(st.text(max_size=30) | st.text(st.sampled_from("ab:/%2F3A\n"), max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever the text, the answer is a legal address or an error of ours; and what is read is stable."""
    try:
        path, key = parse_address(text)
    except InvalidArgumentError:
        return
    assert all(check_name(*pair) == pair for pair in path)
    again = format_path(path) if key is None else format_address(path, key)
    assert parse_address(again) == (path, key)


def test_the_text_form_is_fixed() -> None:
    """Addresses are written down by people and by other programs, so their form is for ever."""
    path = (("workspace", "bridges"), ("entity", "Span.A1"))
    assert format_path(path) == "workspace:bridges/entity:Span.A1"
    assert format_path(()) == ""
    assert format_address(path, "loads/wind.csv") == "workspace:bridges/entity:Span.A1/loads/wind.csv"
    assert format_path((("a%b", "c/d:e"),)) == "a%25b:c%2Fd%3Ae"
    assert format_address((("n", "p"),), "10:30/11:45 %") == "n:p/10%3A30/11:45 %"
    assert format_address((("n", "p"),), "50%/x") == "n:p/50%25/x"


def test_escapes_are_read_in_both_cases() -> None:
    assert parse_path("n:a%2fb%3ac%25") == (("n", "a/b:c%"),)
    assert parse_address("n:p/a%3ab") == ((("n", "p"),), "a:b")


def test_other_percent_signs_stay() -> None:
    assert parse_address("n:p/100%20 %") == ((("n", "p"),), "100%20 %")


@pytest.mark.parametrize(
    "key", ["a", " ", "a" * MAX_NAME, "\U0001f40c" * MAX_NAME, "\u00a0", "é", "a/b", ".", "..", "-", "%", "a:b"]
)
def test_legal_keys(key: str) -> None:
    assert check_key(key) is key


def test_a_subclass_of_str_is_a_key() -> None:
    class Name(str):
        __slots__ = ()

    assert check_key(Name("a")) == "a"
    with pytest.raises(InvalidKeyError):
        check_key(Name("a\n"))


BAD: list[tuple[Any, str]] = [
    ("", "it is empty"),
    ("a" * (MAX_NAME + 1), f"it has {MAX_NAME + 1} characters, the limit is {MAX_NAME}"),
    ("a\x00", "U+0000 at position 1"),
    ("a\nb", "U+000A at position 1"),
    ("\x7f", "U+007F at position 0"),
    ("é\x85", "U+0085 at position 1"),
    ("ab\ud800", "U+D800 at position 2"),
    ("\udfff", "U+DFFF at position 0"),
    (None, "it must be a str, not NoneType"),
    (b"a", "it must be a str, not bytes"),
    (7, "it must be a str, not int"),
    (("a",), "it must be a str, not tuple"),
]


@pytest.mark.parametrize(("bad", "why"), BAD)
def test_an_illegal_key_is_refused(bad: Any, why: str) -> None:
    with pytest.raises(InvalidKeyError) as caught:
        check_key(bad)
    assert why in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(("bad", "why"), BAD)
def test_an_illegal_scope_is_refused(bad: Any, why: str) -> None:
    with pytest.raises(InvalidScopeError, match="illegal scope kind") as kind:
        check_name(bad, "a")
    with pytest.raises(InvalidScopeError, match="illegal scope name") as name:
        check_name("a", bad)
    assert why in str(kind.value)
    assert why in str(name.value)


@pytest.mark.parametrize(
    "text", ["prod", "a:b/c", "a:b/", "/a:b", "a:b//c:d", "a:b:c", ":", "a:", ":b", "a:b/c:d\n", "/"]
)
def test_a_bad_path_is_refused(text: str) -> None:
    with pytest.raises(InvalidScopeError):
        parse_path(text)


@pytest.mark.parametrize("text", ["", "key", "/n:p/key", "a/n:p", "n:/key", ":p/key", "n:p:q/key", "n:p\x00/key"])
def test_an_address_with_a_bad_scope_is_refused(text: str) -> None:
    with pytest.raises(InvalidScopeError):
        parse_address(text)


@pytest.mark.parametrize("text", ["n:p/a\tb", "n:p/" + "a" * (MAX_NAME + 1), "n:p/\ud800"])
def test_an_address_with_a_bad_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidKeyError):
        parse_address(text)


@pytest.mark.parametrize("text", [None, 0, b"n:p", ("n", "p"), []])
@pytest.mark.parametrize("parse", [parse_path, parse_address])
def test_what_is_no_text_is_refused(parse: Any, text: Any) -> None:
    """Neither taken for the root nor an error of Python's."""
    with pytest.raises(InvalidScopeError):
        parse(text)


@pytest.mark.parametrize("key", ["\n" * 500, "é" * 600, "\ud800", "\x1b[31m"])
def test_a_message_is_short_and_safe_for_any_terminal(key: str) -> None:
    with pytest.raises(InvalidKeyError) as caught:
        check_key(key)
    message = str(caught.value)
    assert len(message) < 200
    assert message.isascii()
    assert message.isprintable()


def test_a_path_as_a_name_is_told_how_to_be_written() -> None:
    with pytest.raises(InvalidScopeError, match=r"'workflow:' has no name.*%2F"):
        parse_address("namespace:a/workflow:/b.yaml/x")
