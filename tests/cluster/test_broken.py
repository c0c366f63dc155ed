"""The database killed, the object store killed, the connection to it cut, each in the middle of work: the error that
was promised, nothing acknowledged lost, no record without bytes, and the work goes on with the stores as they are open.
"""

from __future__ import annotations

import re
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from holdfast.errors import StoreError
from holdfast.testing.ports import free_port
from holdfast.testing.postgresql import Server

from ..kernel.tools import pattern, wait_for
from ..storages.remote.servers import (
    AZURE_ACCOUNT,
    CuttingProxy,
    azurite_program,
    make_container,
    running,
)
from . import deeds
from .hosts import Host, hosts

pytestmark = pytest.mark.filterwarnings("default:no namespaces are allowed here")

LOST = r"store: the connection to .* broke during a write: whether it was committed is not known"


def settled(folder: Path, found: list[Host], notes: list[deeds.Noted], url: str, storage: str) -> None:
    """A last reader finds all that was acknowledged, and what is left over goes when its writers have ended."""
    names = [host.name for host in found]
    for host in found:
        again = host.call(deeds.work, f"{host.name}-after", 0.2)
        assert (again.errors, again.done > 0) == ([], True), "it goes on, with the store as it is open"
        host.close()
    with hosts(folder, "reader", url, storage) as (reader,):
        for name, noted in zip(names, notes, strict=True):
            reader.call(deeds.check, name, noted)
        assert reader.call(deeds.problems) == []
        reader.call(deeds.collect)
        assert reader.call(deeds.objects) == reader.call(deeds.named), "no piece that no record names, and none missing"
        assert reader.call(deeds.problems) == []


def killed_database(folder: Path, storage: str, rounds: int, pause: float) -> None:
    with Server() as server, hosts(folder, "anna bert cleo dora", server.url(), storage, timeout=20) as writers:
        answers = [host.start(deeds.work, host.name, rounds * (2 * pause + 1)) for host in writers]
        for _ in range(rounds):
            time.sleep(pause)
            server.kill()
            time.sleep(pause / 2)
            server.start()
        notes = [answer.result(200) for answer in answers]
        told = [error for noted in notes for error in noted.errors]
        assert all(re.match(LOST, error) for error in told), told
        assert len(told) <= rounds * len(writers), "only what was on its way"
        assert all(noted.done > 3 for noted in notes)
        settled(folder, writers, notes, server.url(), storage)


@pytest.mark.long
def test_the_database_is_killed(s3_endpoint: str, tmp_path: Path) -> None:
    killed_database(tmp_path, f"s3://bucket/{tmp_path.name}?endpoint={s3_endpoint}&region=us-east-1", 1, 1.0)


@pytest.mark.long
@pytest.mark.timeout(580)
def test_the_database_is_killed_again_and_again(s3_endpoint: str, tmp_path: Path) -> None:
    killed_database(tmp_path, f"s3://bucket/{tmp_path.name}?endpoint={s3_endpoint}&region=us-east-1", 15, 3.0)


class Azurite:
    """An Azure server that keeps its blobs on disk. It notes what it has every five seconds only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir()
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}/{AZURE_ACCOUNT}"
        self._running = ExitStack()

    def start(self) -> None:
        command = [str(azurite_program()), "--disableTelemetry", "--silent", "--location", str(self.folder)]
        command += ["--blobHost", "127.0.0.1", "--blobPort", str(self.port)]
        self._running.enter_context(running(command, self.port, self.folder / f"log-{time.monotonic_ns()}"))

    def kill(self) -> None:
        self._running.close()

    def size(self) -> int:
        """Bytes that it has taken."""
        return sum(path.stat().st_size for path in self.folder.glob("__blobstorage__/*"))

    def has_taken(self, size: int) -> bool:
        return self.size() > size

    def has_noted(self, names: list[str]) -> bool:
        """Whether it would know of these objects after a kill."""
        noted = (self.folder / "__azurite_db_blob__.json").read_text()
        return all(name in noted for name in names)


def killed_azurite(folder: Path, server: Server, rounds: int, size: int) -> None:
    azurite = Azurite(folder / "azurite")
    azurite.start()
    try:
        make_container(azurite.endpoint)
        storage = f"az://container/prefix?endpoint={azurite.endpoint}"
        url = f"{server.url()}?schema=azurite{time.monotonic_ns()}"
        with hosts(folder, "anna bert", url, storage, timeout=10) as (anna, bert):
            for number in range(rounds):
                for key in range(3):
                    anna.call(deeds.put, "a", f"kept-{number}-{key}", pattern(200_000, 100 * number + key))
                wait_for(lambda: azurite.has_noted(anna.call(deeds.named)), 30)
                before = azurite.size()
                if number % 2:
                    putting = anna.start(deeds.put_large, "a", "large", size)
                else:
                    putting = anna.start(deeds.put_streamed, "a", "large", size)
                wait_for(partial(azurite.has_taken, before + size // 3), 60)
                azurite.kill()
                assert bert.call(deeds.put, "a", "small", number), "what lies in the catalog goes on"
                time.sleep(0.5)
                azurite.start()
                if (error := putting.exception(60)) is not None:
                    assert isinstance(error, StoreError)
                    assert re.search("could not be reached|writing to az://container/prefix failed", str(error))
                    assert not bert.call(deeds.has, "a", "large"), "no record without its bytes"
                    anna.call(deeds.put_large, "a", "large", size)
                assert bert.call(deeds.is_large, "a", "large", size)
                assert [host.call(deeds.problems) for host in (anna, bert)] == [[], []]
                anna.call(deeds.delete, "a", "large")
                bert.call(deeds.collect)
            anna.close()
            bert.call(deeds.collect)
            left = set(bert.call(deeds.objects)) - set(bert.call(deeds.named))
            assert left == set(), "anna ended in order, so what she left is collected at once"
    finally:
        azurite.kill()


@pytest.mark.long
def test_azurite_is_killed(postgresql: Server, tmp_path: Path) -> None:
    killed_azurite(tmp_path, postgresql, 1, 24_000_000)


@pytest.mark.long
@pytest.mark.timeout(580)
def test_azurite_is_killed_again_and_again(postgresql: Server, tmp_path: Path) -> None:
    killed_azurite(tmp_path, postgresql, 4, 100_000_000)


@pytest.mark.long
def test_the_connection_is_cut(postgresql: Server, s3_endpoint: str, tmp_path: Path) -> None:
    proxy = CuttingProxy(int(s3_endpoint.rpartition(":")[2]))
    storage = f"s3://bucket/{tmp_path.name}?endpoint=http://127.0.0.1:{proxy.port}&region=us-east-1"
    url = f"{postgresql.url()}?schema=cut{time.monotonic_ns()}"
    try:
        with hosts(tmp_path, "anna bert", url, storage, timeout=4) as writers:
            anna, bert = writers
            proxy.left, proxy.cuts = 20_000_000, 3
            anna.call(deeds.put_large, "a", "large", 30_000_000)
            assert proxy.cuts == 0, "the connection was cut in the middle"
            assert bert.call(deeds.is_large, "a", "large", 30_000_000)

            proxy.left, proxy.cuts = 20_000_000, 1000
            putting = anna.start(deeds.put_streamed, "a", "large", 30_000_000)
            wait_for(lambda: proxy.cuts < 1000, 30)
            proxy.refuse = True
            with pytest.raises(StoreError, match="could not be reached"):
                putting.result(60)
            assert bert.call(deeds.put, "a", "small", b"") > 0
            with pytest.raises(StoreError, match="could not be reached"):
                anna.call(deeds.put_large, "a", "other", 100_000)
            assert not bert.call(deeds.has, "a", "other")
            proxy.refuse, proxy.cuts = False, 0
            assert bert.call(deeds.is_large, "a", "large", 30_000_000), "the one that was there before"
            bert.call(deeds.delete, "a", "large")

            answers = [host.start(deeds.work, host.name, 4.0) for host in writers]
            while not all(answer.done() for answer in answers):
                proxy.left, proxy.cuts = 300_000, 2
                time.sleep(0.3)
            proxy.cuts = 0
            notes = [answer.result() for answer in answers]
            assert [noted.errors for noted in notes] == [[], []], "a cut is not noticed"
            settled(tmp_path, writers, notes, url, storage)
    finally:
        proxy.close()
