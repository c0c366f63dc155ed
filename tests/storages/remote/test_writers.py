"""Signs of life: which writers are taken for dead, which never, and what a writer does that was away for long."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from holdfast.errors import ClosedError, InvalidArgumentError, StoreError, ValueLost
from holdfast.storages.fsspec import FsspecStorage
from holdfast.storages.objectstore import ObjectStorage
from holdfast.storages.remote import together, writers
from holdfast.testing.processes import killed_child

from .conftest import FTP_KEYS, S3_KEYS
from .helpers import names_in, no_digest, put

OTHER = "f" * 16
"""A machine that is not this one."""


@pytest.fixture(params=["s3", "ftp"])
def make(request: pytest.FixtureRequest) -> Any:
    """Makes storages on one place: one with a clock of its own, one without."""
    if request.param == "s3":
        url = request.getfixturevalue("s3_url")
        return lambda **options: ObjectStorage(url, credentials=S3_KEYS, **options)
    url = request.getfixturevalue("ftp_url")
    return lambda **options: FsspecStorage(url, options=FTP_KEYS, **options)


def dead(storage: Any) -> list[str]:
    return [left.writer for left in storage.abandoned()]


def marks(storage: Any) -> list[str]:
    return sorted(names_in(storage, "writers"))


def mark_of(storage: Any, *, place: str, patience: int, pid: int = 1, start: int = 1, owner: str = "") -> str:
    """A mark as a writer elsewhere would leave it, with one piece; gives the writer's name."""
    writer = writers._new_id()
    name = f"writers/{writer}.{writers.owner_mark(owner)}.{patience}.{place}.{pid}.{start}"
    text = b"%.3f" % time.time()
    storage.medium.put(name, (text,), len(text))
    storage.medium.put(f"{writer}/0", (b"piece",), 5)
    return writer


def test_the_layout(make):
    storage = make()
    config = put(storage, b"abc")
    writer, number = config.split("/")
    assert number == "0"
    (mark,) = marks(storage)
    assert mark.startswith(f"writers/{writer}.")
    assert mark.endswith(f".{os.getpid()}.{writers._started(os.getpid())}")
    storage.close()
    assert marks(storage) == [f"writers/{writer}.{writers.owner_mark('')}.ended"]


def test_a_writer_that_wrote_nothing_leaves_nothing(make):
    storage = make()
    storage._current()
    assert len(marks(storage)) == 1
    storage.close()
    assert marks(storage) == []


def test_who_lives_is_left_alone_and_who_has_ended_is_not(make):
    storage, other = make(), make()
    alive = put(storage, b"alive")
    ended = put(other, b"ended")
    assert dead(storage) == dead(other) == []
    other.close()
    (left,) = storage.abandoned()
    assert left.writer == ended.split("/")[0]
    assert list(left.configs()) == [[ended]]
    assert dead(make()) == [left.writer], "it is told again until it is released"
    left.release()
    assert dead(storage) == []
    assert storage.read(ended) == b"ended", "a piece that a record needs stays"
    assert storage.read(alive) == b"alive"


def test_a_process_that_was_killed_is_seen_at_once_on_its_machine(make):
    storage = make()

    def child(report: Any) -> None:
        report(put(storage, b"dead"))
        time.sleep(60)

    config = killed_child(child)
    assert dead(storage) == [config.split("/")[0]]


def test_another_machine_is_given_time(make):
    storage = make()
    patient, hasty = mark_of(storage, place=OTHER, patience=7200), mark_of(storage, place=OTHER, patience=1)
    assert dead(storage) == []
    time.sleep(2.2)  # a server may tell times in whole seconds
    assert dead(storage) == [hasty]
    (left,) = storage.abandoned()
    assert list(left.configs()) == [[f"{hasty}/0"]]
    assert storage.sync([f"{patient}/0"]) == [True]


def test_a_number_of_a_process_that_another_has_now(make):
    storage = make()
    ours = writers._started(os.getpid())
    again = mark_of(storage, place=writers._place(), patience=7200, pid=os.getpid(), start=(ours or 0) + 1)
    unknown = mark_of(storage, place=writers._place(), patience=7200, pid=os.getpid(), start=0)
    assert dead(storage) == [again], f"{unknown} may be us"


def test_a_zombie_is_dead():
    child = subprocess.Popen([sys.executable, "-c", ""])
    deadline = time.monotonic() + 20
    while writers._started(child.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert writers._started(child.pid) is None
    child.wait()
    assert writers._started(child.pid) is None


def test_a_store_looks_after_its_own_writers_only(make):
    """Two stores may share a place: what is garbage to one is the other's."""
    ours, theirs = make(owner="one"), make(owner="two")
    put(ours, b"x")
    config = put(theirs, b"y")
    theirs.close()
    assert dead(ours) == []
    assert dead(make(owner="two")) == [config.split("/")[0]]


def test_foreign_things_are_left_alone(make):
    storage = make()
    put(storage, b"x")
    for name in ("writers/readme.txt", "writers/x.y.z", f"writers/{'0' * 18}.wrong.60.x.1.1"):
        storage.medium.put(name, (b"mine",), 4)
    assert dead(storage) == []
    assert len(marks(storage)) == 4


def test_a_collector_leaves_no_clock(make):
    storage = make()
    assert dead(storage) == []
    assert marks(storage) == []


def test_a_clock_that_a_killed_collector_left(make, monkeypatch):
    storage = make()
    stale, text = f"writers/clock-{'0' * 18}", b"%.3f" % (time.time() - 7200)
    storage.medium.put(stale, (text,), len(text))
    assert dead(storage) == []
    if storage.name == "holdfast.fsspec@v1":  # where ages are the writers' own word
        assert marks(storage) == []
    else:
        assert marks(storage) == [stale], "it is young by the place's clock"


# --- long away -----------------------------------------------------------------------------------------------------


def away(storage: Any, seconds: float) -> None:
    """As if the machine had slept."""
    storage._writer._seen -= seconds


def test_a_writer_that_was_away_for_long_goes_on_as_another(make):
    storage = make(patience=100)
    before = put(storage, b"before")
    away(storage, 40)
    same = put(storage, b"same")
    assert same.split("/")[0] == before.split("/")[0]
    away(storage, 20)
    after = put(storage, b"after")
    assert after.split("/")[0] != before.split("/")[0]
    assert [storage.read(config) for config in (before, same, after)] == [b"before", b"same", b"after"]


def test_what_was_written_while_the_machine_slept_is_written_again(make, monkeypatch):
    storage = make(patience=100)
    before = put(storage, b"before")
    plain = storage.medium.put
    slept: list[str] = []

    def sleepy(name: str, buffers: Any, size: int, progress: Any = None) -> None:
        plain(name, buffers, size, progress)
        if not slept and name.startswith(before.split("/")[0]):
            slept.append(name)
            away(storage, 60)

    monkeypatch.setattr(storage.medium, "put", sleepy)
    config = put(storage, b"value")
    assert config.split("/")[0] != before.split("/")[0]
    assert storage.read(config) == b"value"
    assert storage.sync(slept) == [False]


def test_a_stream_that_took_too_long_is_refused(make):
    storage = make(patience=100)
    writer = storage.writer({})
    writer.write(b"slow")
    away(storage, 60)
    with pytest.raises(StoreError, match="write it again"):
        writer.commit(no_digest)
    with pytest.raises(ValueLost):
        storage.read(writer._name)
    with pytest.raises(ClosedError):
        writer.commit(no_digest)


def test_a_mark_is_renewed(make, monkeypatch):
    """By a thread, which ends with the storage."""
    monkeypatch.setattr(writers, "_BEATS", 600)  # every tenth of a second
    storage = make(patience=60)
    put(storage, b"x")
    writer = storage._writer
    assert writer is not None
    first = writer._seen
    deadline = time.monotonic() + 20
    while writer._seen == first and time.monotonic() < deadline:
        time.sleep(0.02)
    assert writer._seen > first
    (thread,) = [thread for thread, stop in list(writers._pulses.items()) if stop is writer._stop]
    storage.close()
    del writer, storage
    thread.join(10)
    assert not thread.is_alive()


def test_closing_says_so_and_stops_writing(make):
    storage = make()
    config = put(storage, b"abc")
    storage.close()
    for work in (lambda: put(storage, b"x"), lambda: storage.writer({})):
        with pytest.raises(ClosedError, match="open it again"):
            work()
    assert storage.read(config) == b"abc"


def test_closing_without_the_place(s3_url):
    """Nobody can be told, and nothing is in the way of the process' end."""
    storage = ObjectStorage(s3_url, credentials=S3_KEYS)
    put(storage, b"x")
    gone = ObjectStorage("s3://bucket/p?endpoint=http://127.0.0.1:9", credentials=S3_KEYS, timeout=30)
    assert storage._writer is not None
    storage._writer._medium = gone.medium
    began = time.monotonic()
    storage.close()
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("patience", [0, 59, float("nan"), float("inf")])
def test_patience_has_limits(make, patience):
    with pytest.raises(InvalidArgumentError, match="patience"):
        make(patience=patience)


# --- several requests at once --------------------------------------------------------------------------------------


def test_calls_together():
    assert together([], 4) == []
    assert together([partial(abs, -number) for number in range(100)], 4) == list(range(100))


def test_an_error_stops_the_others():
    done: list[int] = []

    def work(number: int) -> int:
        if number == 5:
            raise ZeroDivisionError(number)
        time.sleep(0.01)
        done.append(number)
        return number

    with pytest.raises(ZeroDivisionError):
        together([partial(work, number) for number in range(1000)], 4)
    assert len(done) < 20


def test_the_floor_knows_no_implementation():
    """``remote`` is what implementations stand on; it is imported without any of them."""
    script = "import sys, holdfast.storages.remote; print(*(name for name in sys.modules if 'objectstore' in name))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
    assert Path(writers.__file__).parent.name == "remote"
