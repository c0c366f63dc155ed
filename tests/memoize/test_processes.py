"""Many processes that call one slow function: one computes, the others wait, and go on when it is killed."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast

pytestmark = pytest.mark.alone

WORKER = """
import os, resource, sys, time
import holdfast

store = holdfast.open(sys.argv[1])

@store.memoize
def slow(number, seconds):
    print("computing", number, flush=True)
    time.sleep(seconds)
    return (number, os.getpid())

print("ready", flush=True)
for line in sys.stdin:
    number, seconds = line.split()
    before = resource.getrusage(resource.RUSAGE_SELF)
    value = slow(int(number), float(seconds))
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print("done", number, value[1], spent, flush=True)
"""


class Crowd:
    """Processes of one program that are talked to by lines."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        (folder / "worker.py").write_text(WORKER)
        self._selector = selectors.DefaultSelector()
        self._rest: dict[int, bytes] = {}
        self.workers: list[subprocess.Popen[bytes]] = []
        for _ in range(count):
            self.start()
        self.read("ready", count)

    def start(self) -> None:
        command = [sys.executable, "worker.py", "data"]
        worker = subprocess.Popen(command, cwd=self._folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert worker.stdout is not None
        self.workers.append(worker)
        self._selector.register(worker.stdout, selectors.EVENT_READ, worker)

    def ask(self, line: str) -> None:
        for worker in self.workers:
            assert worker.stdin is not None
            worker.stdin.write(line.encode() + b"\n")
            worker.stdin.flush()

    def read(self, word: str, count: int, seconds: float = 60) -> list[tuple[subprocess.Popen[bytes], list[str]]]:
        """Lines that begin with a word, each with its worker; other lines fail."""
        found: list[tuple[subprocess.Popen[bytes], list[str]]] = []
        deadline = time.monotonic() + seconds
        while len(found) < count:
            events = self._selector.select(deadline - time.monotonic())
            assert events, f"{len(found)} of {count} workers said {word}"
            for key, _ in events:
                piece = os.read(key.fd, 65536)
                assert piece, "a worker ended"
                *lines, self._rest[key.fd] = (self._rest.get(key.fd, b"") + piece).split(b"\n")
                for line in lines:
                    words = line.decode().split()
                    assert words[0] == word, line
                    found.append((key.data, words[1:]))
        return found

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        worker.kill()
        assert worker.stdout is not None
        self._selector.unregister(worker.stdout)
        self._rest.pop(worker.stdout.fileno(), None)
        worker.communicate()
        self.workers.remove(worker)

    def close(self) -> None:
        for worker in list(self.workers):
            self.kill(worker)
        self._selector.close()


@pytest.fixture
def crowd(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Crowd]:
    crowd = Crowd(tmp_path, getattr(request, "param", 16))
    yield crowd
    crowd.close()


def results(folder: Path) -> list[Any]:
    with holdfast.open(folder / "data") as store:
        return [record for scope in store.children("memo") for record in scope.list("call/")]


def test_sixteen_processes_compute_once_and_waiting_costs_no_cpu(crowd: Crowd, tmp_path: Path) -> None:
    def spent(number: int, seconds: float) -> float:
        """The median of the CPU seconds of the 15 that waited for one call of so long."""
        crowd.ask(f"{number} {seconds}")
        ((owner, _),) = crowd.read("computing", 1)
        done = crowd.read("done", 16)
        assert {words[1] for _, words in done} == {str(owner.pid)}
        assert len(results(tmp_path)) == number
        return sorted(float(words[2]) for worker, words in done if worker is not owner)[7]

    spent(1, 0.2)  # what only a first call costs
    short, long = spent(2, 0.2), spent(3, 1.2)
    assert long - short < 0.03, f"a second more of waiting took {long - short} s of CPU"


def killing(crowd: Crowd, folder: Path, rounds: int) -> float:
    """Kill the one who computes, again and again; gives the longest time that the others waited then."""
    longest = 0.0
    for number in range(rounds):
        crowd.ask(f"{number} 0.2")
        ((owner, _),) = crowd.read("computing", 1)
        time.sleep(0.1)
        crowd.kill(owner)
        began = time.monotonic()
        ((heir, _),) = crowd.read("computing", 1, seconds=40)
        done = crowd.read("done", 15)
        longest = max(longest, time.monotonic() - began)
        assert {words[1] for _, words in done} == {str(heir.pid)}, "one result, of one who lived"
        assert len(results(folder)) == number + 1
        crowd.start()
        crowd.read("ready", 1)
    return longest


def test_a_killed_owner_is_followed_by_another(crowd: Crowd, tmp_path: Path) -> None:
    assert killing(crowd, tmp_path, 3) < 30 + 0.2


@pytest.mark.long
@pytest.mark.timeout(580)
def test_a_hundred_killed_owners(crowd: Crowd, tmp_path: Path) -> None:
    longest = killing(crowd, tmp_path, 100)
    print("longest wait after a kill, of which 0.2 s are the computation:", round(longest, 3))
    assert longest < 30 + 0.2


STOPPED = """
import os, signal, sys, time
import holdfast
from holdfast.memoize import memo

memo._LEASE = 0.5
store = holdfast.open(sys.argv[1])

@store.memoize
def slow():
    if sys.argv[2] == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(float(sys.argv[3]))
    return sys.argv[2]

print(slow(), flush=True)
"""


@pytest.mark.parametrize("noticed", [0, 1])  # seconds after which the renewal has found the lease lost, or not
def test_an_owner_that_was_stopped_commits_nothing(tmp_path: Path, noticed: int) -> None:
    (tmp_path / "stopped.py").write_text(STOPPED)

    def start(word: str) -> subprocess.Popen[str]:
        command = [sys.executable, "stopped.py", "data", word, str(noticed)]
        return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)

    first = start("stop")
    os.waitid(os.P_PID, first.pid, os.WSTOPPED)
    second = start("other")
    assert second.communicate(timeout=20)[0] == "other\n"
    first.send_signal(18)  # SIGCONT
    assert first.communicate(timeout=20)[0] == "other\n", "it gives what was stored meanwhile"
    assert len(results(tmp_path)) == 1


def test_results_are_found_by_a_later_process_under_any_hash_seed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import holdfast\nstore = holdfast.open('data')\n"
        "@store.memoize\ndef f(x):\n    print('computed')\n    return x\n"
        "f({'b': {3, 1, 2}, 'a': frozenset('xyz')})\n"
    )
    said = [
        subprocess.run(
            [sys.executable, "script.py"], cwd=tmp_path, env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in range(4)
    ]  # fmt: skip
    assert said == ["computed\n", "", "", ""]


POOL = """
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import cloudpickle
import holdfast

store = holdfast.open("data")

@store.memoize
def work(x):
    return 2 * x

@store.memoize(scope="namespace:other")
def made(x):
    return 3 * x

if __name__ == "__main__":
    with ProcessPoolExecutor(2, mp_context=get_context(sys.argv[1])) as pool:
        print(list(pool.map(work, [1, 2, 1])), work.stats().entries, work.name)
    with open("made.pickle", "wb") as file:
        file.write(cloudpickle.dumps(made))
    made(1)
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_scripts_function_goes_to_other_processes(tmp_path: Path, method: str) -> None:
    (tmp_path / "script.py").write_text(POOL)

    def run(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    assert run("script.py", method) == "[2, 4, 2] 2 script.work\n"
    code = "import pickle; made = pickle.load(open('made.pickle', 'rb')); print(made(1), made(2), made.stats().entries)"
    assert run("-W", "ignore", "-c", code).split()[:2] == ["3", "6"]
