"""Processes that are to each other as those of two machines: another host name, machine id, boot id, home, cache,
temporary folder and working directory, and no folder in common. They meet in the servers only."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from . import deeds

__all__ = ["Host", "hosts", "picklable"]

ROOT = Path(__file__).parents[2]

CLOCK = r"""
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static time_t ahead(void) { const char *text = getenv("SECONDS_AHEAD"); return text ? atol(text) : 0; }
int clock_gettime(clockid_t clock, struct timespec *at) {
    int failed = syscall(SYS_clock_gettime, clock, at);
    if (!failed && clock == CLOCK_REALTIME) at->tv_sec += ahead();
    return failed;
}
time_t time(time_t *at) {
    struct timespec now; clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now; clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec; at->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""
"""A clock of the host's own, for whatever asks the C library."""


@cache
def _apart() -> list[str]:
    """The command under which a process has a host name and mounts of its own; empty where the system forbids it."""
    for more in ([], ["--user", "--map-root-user"]):
        command = ["unshare", *more, "--uts", "--mount"]
        trial = [*command, "sh", "-c", "mount --bind /etc /etc && test -w /proc/sys/kernel/hostname"]
        if shutil.which("unshare") and subprocess.run(trial, capture_output=True, check=False).returncode == 0:
            return command
    return []


def _own_clock(folder: Path) -> str:
    source, library = folder / "clock.c", folder / "clock.so"
    if not library.exists():
        source.write_text(CLOCK)
        compiler = shutil.which("cc")
        assert compiler, "clocks that differ are ten lines of C: install a C compiler"
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return str(library)


class Host:
    """A process of another machine, which calls functions of :mod:`tests.cluster.deeds`, each in a thread of its own.

    Where the system allows no namespaces, it has the same host name, may see the others' folders, and reads its ids
    from other files than the system's; a warning says so.

    Args:
        name: of the host; one that had it before in the same folder is the same machine, in the same boot.
        folder: where the folders of all hosts are.
        ahead: seconds that its clock is ahead of this machine's.
        environment: variables beside the keys of the test servers.
    """

    def __init__(self, name: str, folder: Path, *, ahead: int = 0, environment: dict[str, str] | None = None) -> None:
        own = folder / "hosts" / name
        for part in ("home", "cache", "tmp", "work"):
            (own / f"{name}-{part}").mkdir(parents=True, exist_ok=True)
        for part, text in (("machine", uuid.uuid4().hex), ("boot", str(uuid.uuid4()))):
            if not (own / part).exists():
                (own / part).write_text(text + "\n")
        apart = _apart()
        if not apart:
            warnings.warn("no namespaces are allowed here: hosts share their host name and folders", stacklevel=2)
        # What it sees in place of the folder of all hosts is its own one.
        seen = folder / "hosts" if apart else own
        kept = {key: value for key, value in os.environ.items() if key.startswith(("AWS_", "AZURE_", "LANG", "PATH"))}
        variables = {
            **kept,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH")])),
            "HOME": str(seen / f"{name}-home"),
            "XDG_CACHE_HOME": str(seen / f"{name}-cache"),
            "TMPDIR": str(seen / f"{name}-tmp"),
            **(environment or {}),
        }
        if ahead:
            variables |= {"LD_PRELOAD": _own_clock(own), "SECONDS_AHEAD": str(ahead)}
        ours, theirs = socket.socketpair()
        agent = [sys.executable, "-m", "tests.cluster.agent", str(theirs.fileno()), name, str(own), str(seen)]
        self._process = subprocess.Popen([*apart, *agent], env=variables, pass_fds=[theirs.fileno()], cwd=own)
        theirs.close()
        self._connection = Connection(ours.detach())
        self._answers: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.name = name
        self.pid = self._process.pid

    def start(self, deed: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:
        """Begin a deed there."""
        answer: Future[Any] = Future()
        with self._lock:
            number = len(self._answers)
            self._answers[number] = answer
            self._connection.send((number, deed, args, kwargs))
        return answer

    def call(self, deed: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What a deed gives there, or raises."""
        return self.start(deed, *args, **kwargs).result(100)

    def _read(self) -> None:
        with suppress(EOFError, OSError):
            while True:
                number, raised, result = self._connection.recv()
                answer = self._answers[number]
                if raised:
                    answer.set_exception(result)
                else:
                    answer.set_result(result)
        for answer in list(self._answers.values()):
            if not answer.done():
                answer.set_exception(EOFError(f"host {self.name} has ended"))

    def kill(self) -> None:
        """End it by SIGKILL."""
        self._process.send_signal(signal.SIGKILL)
        self._end()

    def close(self) -> None:
        """End it in order: its store is closed."""
        with suppress(OSError):
            self._connection.send(None)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        finally:
            self._end()

    def _end(self) -> None:
        self._process.wait()
        self._reader.join()
        self._connection.close()

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._process.poll() is None:
            self.close()


@contextmanager
def hosts(folder: Path, names: str, url: str, storage: str, **settings: float) -> Iterator[list[Host]]:
    """Hosts of these names, each with the store open."""
    with ExitStack() as stack:
        found = [stack.enter_context(Host(name, folder)) for name in names.split()]
        for opening in [host.start(deeds.open_store, url, storage, **settings) for host in found]:
            opening.result(60)
        yield found


def picklable(error: BaseException) -> BaseException:
    """An error as it can be sent."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
