"""Services that are processes of their own: several on one store, one killed, and the memory that they take."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

import holdfast
from holdfast.catalog.channel import Channel
from holdfast.errors import ConflictError, StoreError

from .test_attacks import TokenCatalog


class Process(NamedTuple):
    """A service that runs."""

    url: str
    running: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        """Of the process."""
        return self.running.pid

    @property
    def peak(self) -> int:
        """The most memory that it has had, in bytes."""
        return _peak(self.pid)


def _peak(pid: int | str = "self") -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) << 10


@contextmanager
def process(folder: Path) -> Iterator[Process]:
    """``holdfast serve``, until the block ends or it is killed."""
    command = [sys.executable, "-m", "holdfast", "serve", "--store", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        assert running.stdout is not None
        line = running.stdout.readline()
        try:
            yield Process(next(word for word in line.split() if word.startswith("http://")), running)
        finally:
            with suppress(ProcessLookupError):
                running.terminate()
            running.wait(20)


DATA = b"taken by one process " * 10_000


def test_bytes_that_one_process_took_are_committed_by_another(tmp_path: Path) -> None:
    """Though the first one is killed, and what it left is collected: nothing acknowledged is lost."""
    with ExitStack() as stack:
        first, second = (stack.enter_context(process(tmp_path / "store")) for _ in range(2))
        with holdfast.open(second.url, cache="off") as store:
            codec = store._kernel.codec_ids["holdfast.bytes@v1", "application/octet-stream", None]
            guests = [TokenCatalog(Channel(one.url), store._kernel.storage_id, codec) for one in (first, second)]
            configs = [guests[0].upload(DATA + bytes([number])) for number in range(3)]
            guests[1].commit(guests[1].file(configs[0], DATA + b"\0", key="k0"))
            guests[0].commit(guests[0].file(configs[1], DATA + b"\1", key="k1"))
            first.running.kill()
            first.running.wait()  # until then its locks are held
            for key in ("k0", "k1"):
                assert store.namespace("mine").get(key)[:-1] == DATA
            with holdfast.open(tmp_path / "store") as own:
                own.gc()  # removes what the dead one left
            with pytest.raises(ConflictError, match="send them"):
                guests[1].commit(guests[1].file(configs[2], DATA + b"\2", key="k2"))
            assert [store.namespace("mine").get(key)[-1] for key in ("k0", "k1")] == [0, 1]
            assert list(store.namespace("mine").keys()) == ["k0", "k1"]
            for guest in guests:
                guest.channel.close()


def test_a_service_that_is_killed_loses_nothing_acknowledged(tmp_path: Path) -> None:
    acknowledged: dict[str, bytes] = {}
    with process(tmp_path / "store") as running, holdfast.open(running.url, timeout=0.5, cache="off") as store:
        scope = store.namespace("a")
        for number in range(1000):
            value = b"%d " % number * (40_000 if number % 3 else 10)
            if number == 40:
                os.kill(running.pid, signal.SIGKILL)
            try:
                scope.put(f"k{number}", value)
            except StoreError:
                break
            acknowledged[f"k{number}"] = value
    with process(tmp_path / "store") as again, holdfast.open(again.url, cache="off") as store:
        scope = store.namespace("a")
        assert len(acknowledged) >= 40
        assert {key: scope.get(key, verify=True) for key in acknowledged} == acknowledged
        assert store.verify().fine


def streamed(url: str, size: int) -> None:
    """Send and read a stream; print by how many bytes this process grew, and how long each took."""
    piece = os.urandom(1 << 20)
    with holdfast.open(url, cache="off") as store:
        scope = store.namespace("a")
        scope.put("warm", piece)
        scope.get("warm")
        before, began = _peak(), time.monotonic()
        scope.put_chunks("stream", (piece for _ in range(size >> 20)))
        sent = time.monotonic()
        total = sum(len(chunk) for chunk in scope.get_chunks("stream"))
        assert total == size
        print(_peak() - before, sent - began, time.monotonic() - sent)


@pytest.mark.parametrize("size", [64 << 20, pytest.param(1 << 30, marks=pytest.mark.long)])
def test_streams_take_little_memory(tmp_path: Path, size: int) -> None:
    with process(tmp_path / "store") as running:
        with holdfast.open(running.url, cache="off") as store:
            store.namespace("a").put("warm", os.urandom(1 << 20))
            store.namespace("a").get("warm")
        before = running.peak
        script = f"from tests.client.test_processes import streamed; streamed({running.url!r}, {size})"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        grown = int(done.stdout.split()[0]), running.peak - before
        assert max(grown) < 32 << 20, f"client and service grew by {grown} bytes"
        print(done.stdout)
