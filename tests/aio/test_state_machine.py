"""The shipped state machine holds over the asynchronous colour, and notices planted faults of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import Phase

import holdfast
from holdfast import objects
from holdfast.aio.driver import Driver
from holdfast.testing.state_machine import check_store
from tests.aio.face import LoopThread, opener

Patch = pytest.MonkeyPatch


@pytest.fixture(scope="module")
def thread() -> Iterator[LoopThread]:
    made = LoopThread()
    yield made
    made.close()


def test_the_asynchronous_colour_behaves_as_a_dict(thread: LoopThread) -> None:
    check_store(opener(thread), max_examples=8)


def test_with_everything_in_files(thread: LoopThread) -> None:
    check_store(opener(thread, inline=0), max_examples=4)


def test_with_everything_on_disk(thread: LoopThread) -> None:
    check_store(opener(thread, durability="power"), max_examples=4, stateful_step_count=20)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_at_length(thread: LoopThread) -> None:
    check_store(opener(thread), max_examples=300, stateful_step_count=50)


# --- planted faults: each is a colour that is wrong in one way --------------------------------------------------------


def expired_is_visible(patch: Patch) -> None:
    patch.setattr("holdfast.aio.scope.visible", lambda kernel, rows: rows[0] if rows else None)


def a_write_in_haste_is_lost(patch: Patch) -> None:
    put = objects.put
    count = iter(range(10**9))

    def forgetful(kernel: Any, ledger: Any, path: Any, key: str, value: Any, plan: Any) -> Any:
        if next(count) % 7 == 6 and plan.if_version is None and ledger is kernel.catalog:
            return ledger.record(path, key)[0] and put(kernel, ledger, path, key, "old", plan)
        return put(kernel, ledger, path, key, value, plan)

    patch.setattr("holdfast.aio.scope.put", forgetful)


def a_page_is_given_twice(patch: Patch) -> None:
    here = Driver.here

    async def doubled(self: Any, verb: Any) -> Any:
        found = await here(self, verb)
        return found * 2 if isinstance(found, list) else found

    patch.setattr(Driver, "here", doubled)


FAULTS: list[Callable[[Patch], None]] = [
    expired_is_visible,
    a_write_in_haste_is_lost,
    a_page_is_given_twice,
]


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_found(
    fault: Callable[[Patch], None], thread: LoopThread, monkeypatch: Patch, capsys: Any
) -> None:
    fault(monkeypatch)
    with pytest.raises((AssertionError, holdfast.HoldfastError, IndexError, pytest.fail.Exception, ExceptionGroup)):
        check_store(
            opener(thread, timeout=1),
            max_examples=1000,
            phases=[Phase.generate],
            database=None,
            derandomize=True,
        )
