"""Buffers one after the other are joined where they are small, and cut as if they were one."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.payload import OUT_OF_BAND, Buffer
from holdfast.storages.buffers import Chain, cut, gathered

LARGE = bytes(OUT_OF_BAND)


def test_small_neighbours_are_joined() -> None:
    large = memoryview(bytearray(LARGE))
    found = gathered([b"a", bytearray(b"b"), b"", large, b"", large, memoryview(b"c"), b"d"])
    assert found == [b"ab", large, large, b"cd"]
    assert found[1] is large, "it was copied"
    assert gathered([b"", b""]) == gathered([]) == []


@pytest.mark.parametrize("sizes", [[], [5], [0, 5, 0], [3, 4, 5], [(1 << 20) + 3, 7, 3 << 20]])
def test_a_span_is_that_of_the_joined_bytes(sizes: list[int]) -> None:
    buffers: list[Buffer] = [bytes((n + 1,)) * size for n, size in enumerate(sizes)]
    whole = b"".join(buffers)
    edges = {0, 1, 3, 4, len(whole) - 1, len(whole), len(whole) + 2, 1 << 20, (1 << 20) + 4}
    for start in edges:
        for end in edges:
            if 0 <= start <= end:
                pieces = list(cut(buffers, start, end))
                assert b"".join(pieces) == whole[start:end]
                assert all(0 < len(piece) <= 1 << 20 for piece in pieces)
            if 0 <= start <= end <= len(whole):
                assert Chain(buffers)[start:end] == whole[start:end]
    assert Chain(buffers).size == len(whole)


def test_a_slice_of_one_buffer_is_a_view() -> None:
    first, second = bytearray(10), bytearray(10)
    chain = Chain([first, b"", second])
    inside: Any = chain[12:20]
    inside[0] = 1
    assert second[2] == 1
    assert isinstance(chain[5:15], bytes)
