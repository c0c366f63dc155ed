"""A host dies that others wait for; and eight that write the same keys."""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from contextlib import closing
from pathlib import Path

import pytest

import holdfast
from holdfast.errors import ValueLost
from holdfast.testing.postgresql import Server

from ..kernel.tools import LARGE, wait_for
from . import deeds
from .hosts import Host, hosts

pytestmark = pytest.mark.filterwarnings("default:no namespaces are allowed here")


@pytest.fixture
def store(postgresql: Server, s3_endpoint: str, tmp_path: Path) -> tuple[str, str]:
    schema = f"killed{time.monotonic_ns()}"
    return f"{postgresql.url()}?schema={schema}", f"s3://bucket/{schema}?endpoint={s3_endpoint}&region=us-east-1"


def test_the_holder_of_a_lease_and_who_computes(store: tuple[str, str], tmp_path: Path) -> None:
    with hosts(tmp_path, "anna bert cleo", *store) as (anna, bert, cleo):
        token = anna.call(deeds.hold, "job", 2.0)
        waiting = [host.start(deeds.take, "job") for host in (bert, cleo)]
        answers = [anna.start(deeds.compute, "a", 1, 60.0, lease=2.0)]
        wait_for(lambda: bert.call(deeds.has, "a", "runs"))
        answers += [host.start(deeds.compute, "a", 1, 0.5, lease=2.0) for host in (bert, cleo) for _ in range(2)]
        time.sleep(0.3)
        anna.kill()
        with pytest.raises(EOFError):
            answers[0].result(10)
        taken = [answer.result(30) for answer in waiting]
        assert all(later > token and waited < 15 for later, waited in taken)
        assert taken[0][0] != taken[1][0]
        results = {answer.result(30)[0] for answer in answers[1:]}
        assert results in ({(1, bert.pid)}, {(1, cleo.pid)})
        assert bert.call(deeds.get, "a", "runs") == 2, "the one that was killed, and one more"
        assert bert.call(deeds.results) == 1


@pytest.mark.long
def test_waiting_asks_the_server_seldom(store: tuple[str, str]) -> None:
    """Sixteen who wait for long ask it 64 times a second together; who waits for a moment learns of the end at once."""
    with holdfast.open(store[0]) as opened, opened.lease("job"):
        began, pauses = time.monotonic(), list[float]()
        with closing(opened.lease("job").attempts()) as attempts:
            while time.monotonic() < began + 4:
                pauses.append(next(attempts))
                assert pauses[-1] <= max(0.021, (time.monotonic() - began) / 10)
                time.sleep(pauses[-1])
        assert len(pauses) < 45
        assert pauses[0] <= 0.021
        assert pauses[-1] <= 0.25


def test_what_a_dead_host_left_is_collected(store: tuple[str, str], tmp_path: Path) -> None:
    """By its own machine at once, by others when it has been silent for as long as they have patience."""
    with hosts(tmp_path, "bert", *store) as (bert,):
        with Host("anna", tmp_path) as anna:
            anna.call(deeds.open_store, *store)
            anna.call(deeds.put, "a", "kept", bytes(100_000))
            anna.call(deeds.write_orphan)
            anna.kill()
        assert bert.call(deeds.collect).orphans == 0, "it may be alive, as far as another machine can tell"
        with Host("anna", tmp_path) as again:
            again.call(deeds.open_store, *store)
            assert again.call(deeds.collect).orphans == 1
        assert bert.call(deeds.objects) == bert.call(deeds.named)
        assert bert.call(deeds.problems) == []


@pytest.mark.long
@pytest.mark.timeout(200)
def test_others_are_patient_with_a_silent_host(store: tuple[str, str], tmp_path: Path) -> None:
    with hosts(tmp_path, "bert", *store, patience=60) as (bert,):
        with Host("anna", tmp_path, ahead=7200) as anna:
            anna.call(deeds.open_store, *store, patience=60)
            anna.call(deeds.put, "a", "kept", bytes(100_000))
            anna.call(deeds.write_orphan)
            time.sleep(70)
            assert bert.call(deeds.collect).orphans == 0, "it gives signs of life"
            anna.kill()
        assert bert.call(deeds.collect).orphans == 0
        time.sleep(62)
        assert bert.call(deeds.collect).orphans == 1
        assert bert.call(deeds.objects) == bert.call(deeds.named)


@pytest.mark.long
def test_a_host_that_slept_in_a_transaction(store: tuple[str, str], tmp_path: Path) -> None:
    """It was taken for dead, and what it wrote was collected. No record without bytes may come of it."""
    with hosts(tmp_path, "anna bert", *store) as (anna, bert):
        anna.call(deeds.be_impatient, 2.0)
        anna.call(deeds.begin_transaction, "a", "key", LARGE)
        os.kill(anna.pid, signal.SIGSTOP)
        time.sleep(3)
        assert bert.call(deeds.collect).orphans == 1
        os.kill(anna.pid, signal.SIGCONT)
        time.sleep(0.5)  # time to give a sign of life again
        with pytest.raises(ValueLost, match="nothing was committed"):
            anna.call(deeds.end_transaction, "a")
        assert not bert.call(deeds.has, "a", "key")
        anna.call(deeds.begin_transaction, "a", "key", LARGE)
        anna.call(deeds.end_transaction, "a")
        assert bert.call(deeds.get, "a", "key", verify=True) == LARGE
        assert bert.call(deeds.problems) == []


def no_version_goes_back(store: tuple[str, str], folder: Path, times: int) -> None:
    with hosts(folder, " ".join(f"host{number}" for number in range(8)), *store) as found:
        answers = [host.start(deeds.churn, "a", 3, times, seed) for seed, host in enumerate(found)]
        collecting = found[0].start(deeds.collect_often, times // 10)
        history = sorted((event for answer in answers for event in answer.result(500)), key=lambda event: event[1])
        collecting.result(60)
        assert found[0].call(deeds.problems) == []
    made = defaultdict[str, list[int]](list)
    ended: list[tuple[str, float, int]] = []
    for key, began, end, version, written in history:
        before = max((other for name, at, other in ended if name == key and at < began), default=0)
        assert version > before if written else version >= before, (key, version, before)
        ended.append((key, end, version))
        if written:
            made[key].append(version)
    assert len(made) == 3
    assert all(len(versions) == len(set(versions)) for versions in made.values()), "no version was given twice"


@pytest.mark.long
def test_versions_never_go_back(store: tuple[str, str], tmp_path: Path) -> None:
    no_version_goes_back(store, tmp_path, 24)


@pytest.mark.long
@pytest.mark.timeout(580)
def test_versions_never_go_back_at_length(store: tuple[str, str], tmp_path: Path) -> None:
    no_version_goes_back(store, tmp_path, 500)
