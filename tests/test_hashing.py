"""Digests: the algorithm by size, one digest however the bytes are cut, and altered bytes found."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import IntegrityError
from holdfast.hashing import ALGORITHMS, BLAKE3, NONE, SHA256, check_digest, digest_beside, digest_buffers, hasher

MB = 1 << 20


def test_numbers_are_for_ever() -> None:
    """They lie in every catalog."""
    assert ALGORITHMS == {0: None, 1: "sha256", 2: "blake3"}
    assert (NONE, SHA256, BLAKE3) == (0, 1, 2)


@pytest.mark.parametrize(
    ("size", "algorithm"), [(0, SHA256), (1, SHA256), (4096, SHA256), (4097, BLAKE3), (MB - 1, BLAKE3), (MB, BLAKE3)]
)
def test_the_size_decides_the_algorithm(size: int, algorithm: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    expected = hashlib.sha256(data).digest() if algorithm == SHA256 else blake3(data).digest()
    assert digest_buffers([data], size) == (algorithm, expected)
    assert digest_buffers([data[: size // 2], b"", data[size // 2 :]], size) == (algorithm, expected)
    assert digest_beside([memoryview(data)], size)() == (algorithm, expected)


def test_known_digests() -> None:
    """Against the published values of the empty input, so that no library can change them unnoticed."""
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest_buffers([], 0)[1].hex() == digest_buffers([b""], 0)[1].hex() == empty
    assert hasher(BLAKE3).digest().hex() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


@given(st.lists(st.binary(max_size=3000), max_size=6))
def test_the_cuts_do_not_matter(buffers: list[bytes]) -> None:
    joined = b"".join(buffers)
    found = digest_buffers(buffers, len(joined))
    assert found == digest_buffers([joined], len(joined))
    assert found == digest_buffers([bytearray(joined)], len(joined))
    check_digest(*found, buffers, "the test")
    check_digest(*found, iter([joined[:1], joined[1:]]), "the test")


@given(st.binary(min_size=1, max_size=6000), st.data())
def test_altered_bytes_are_found(data: bytes, draw: st.DataObject) -> None:
    algorithm, digest = digest_buffers([data], len(data))
    place = draw.draw(st.integers(0, len(data) - 1))
    bit = 1 << draw.draw(st.integers(0, 7))
    flipped = data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]
    for wrong in (flipped, data[:-1], data + b"\0", data[:place]):
        with pytest.raises(IntegrityError, match="record a:b/c do not match their digest"):
            check_digest(algorithm, digest, [wrong], "record a:b/c")


@pytest.mark.parametrize("digest", [None, b"", b"\0" * 32, b"\0" * 31])
@pytest.mark.parametrize("algorithm", [SHA256, BLAKE3])
def test_a_wrong_digest_is_found(algorithm: int, digest: bytes | None) -> None:
    with pytest.raises(IntegrityError):
        check_digest(algorithm, digest, [b"data"], "the test")


def test_what_has_no_digest_is_not_read() -> None:
    read = []

    def chunks() -> Iterator[bytes]:
        read.append(True)
        yield b""

    check_digest(NONE, None, chunks(), "the test")
    assert read == []


@pytest.mark.parametrize("algorithm", [NONE, 3, -1, 255])
def test_an_unknown_algorithm_is_refused(algorithm: int) -> None:
    with pytest.raises(IntegrityError, match=f"unknown digest algorithm {algorithm}"):
        hasher(algorithm)


@pytest.mark.parametrize("size", [10, MB, 3 * MB + 1])
def test_hashing_beside_gives_the_same(size: int) -> None:
    data = bytes(size)
    wait = digest_beside([data[:7], memoryview(data)[7:]], size)
    assert wait() == wait() == digest_buffers([data], size)


def test_large_data_is_hashed_in_another_thread() -> None:
    seen: list[str] = []

    class Spy(list[bytes]):
        def __iter__(self) -> Iterator[bytes]:
            seen.append(threading.current_thread().name)
            return super().__iter__()

    digest_beside(Spy([b"a"]), MB)()
    digest_beside(Spy([b"a", b"b"]), 2)()
    assert seen == ["holdfast-digest", threading.current_thread().name]


@pytest.mark.parametrize("size", [2, MB])
def test_an_error_beside_reaches_the_caller(size: int) -> None:
    broken: Any = ["text is no buffer", "nor is this"]

    def begin_and_wait() -> None:
        digest_beside(broken, size)()

    with pytest.raises(TypeError):
        begin_and_wait()


def test_many_hash_beside_at_once() -> None:
    pieces = [bytes([n]) * MB for n in range(8)]
    waits = [digest_beside([piece], MB) for piece in pieces]
    assert [wait()[1] for wait in waits] == [blake3(piece).digest() for piece in pieces]


def test_an_unfinished_digest_does_not_keep_a_process_alive() -> None:
    """Who begins to hash and then fails leaves nothing behind that must be waited for."""
    script = (
        "import threading, holdfast.hashing as h\n"
        "gate = threading.Event()\n"
        "class Slow(list):\n"
        "    def __iter__(self): gate.wait(); return super().__iter__()\n"
        f"h.digest_beside(Slow([b'a']), {MB})\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
