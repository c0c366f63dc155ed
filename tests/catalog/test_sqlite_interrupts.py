"""An interrupt at any call inside the catalog: what is acknowledged after it is committed, and nobody has to wait."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from holdfast.catalog.sqlite import SQLiteCatalog
from holdfast.testing.catalog_cases import FLOW, SPACE, inline_put, put, put_file


def interrupted_at(number: int, work: Callable[[], object]) -> bool:
    """Call ``work`` and interrupt it after its ``number``-th call of a function; False when it had fewer."""
    calls = count(1)

    def profile(frame: Any, event: str, argument: object) -> None:
        # These are the moments at which Python looks for a signal; one that comes while a C function runs is seen when
        # it returns.
        if event in ("call", "c_return") and next(calls) == number:
            raise KeyboardInterrupt

    sys.setprofile(profile)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
    return False


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Python tells of those in finalizers
@pytest.mark.parametrize("work", [
    lambda catalog: catalog.commit([inline_put(catalog, "work"), inline_put(catalog, "work", path=SPACE)]),
    lambda catalog: put(catalog, "work"),
    lambda catalog: put_file(catalog, "work"),
    lambda catalog: catalog.barrier(),
], ids=["commit", "put", "file", "barrier"])  # fmt: skip
def test_what_follows_an_interrupt_is_committed(tmp_path: Path, work: Callable[[SQLiteCatalog], object]) -> None:
    catalog, other = SQLiteCatalog(tmp_path / "c"), SQLiteCatalog(tmp_path / "c", timeout=0.0)
    put(catalog, "work")
    for number in count(1):
        interrupted = interrupted_at(number, lambda: work(catalog))
        put(other, "other")  # who never waits is not in anybody's way
        put(catalog, f"after {number}")
        assert other.find(FLOW, f"after {number}"), f"lost after an interrupt at call {number}"
        if not interrupted:
            break
    assert number > 10
    catalog.close()
    other.close()


@pytest.mark.parametrize("then", [
    lambda catalog: put(catalog, "then"),
    lambda catalog: catalog.commit([inline_put(catalog, "then")]),
    lambda catalog: (catalog.find(FLOW, "first"), put(catalog, "then")),
], ids=["put", "commit", "find"])  # fmt: skip
def test_nothing_joins_a_transaction_that_was_left_open(tmp_path: Path, then: Callable[[Any], object]) -> None:
    catalog, other = SQLiteCatalog(tmp_path / "c"), SQLiteCatalog(tmp_path / "c", timeout=0.0)
    put(catalog, "first")
    connection = catalog._pool.link().connection
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM records")
    then(catalog)
    assert not connection.in_transaction
    assert other.find(FLOW, "then")
    assert other.find(FLOW, "first")
    catalog.close()
    other.close()
