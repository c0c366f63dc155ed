"""The service against a bare application of Starlette on the same server, which answers from memory and by a static
file; the load comes from this process, by raw sockets."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from .load import Load, load, receive, send
from .measure import Result

__all__ = ["run"]

_CLIENTS = 8
_KEYS = 1000  # of each client
_BODY = os.urandom(1000)
_PIECE = os.urandom(1 << 20)
_SCOPE = "/v1/values/namespace:bench"


class _Server(NamedTuple):
    """A server process. ``value`` and ``file`` are the paths of its small values and of its large one."""

    address: tuple[str, int]
    pid: int
    value: str
    file: str

    def get(self, key: str) -> bytes:
        return f"GET {self.value}/{key} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()

    def put(self, key: str) -> bytes:
        return self.head(f"{self.value}/{key}", len(_BODY)) + _BODY

    def head(self, path: str, size: int) -> bytes:
        return f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {size}\r\n\r\n".encode()


@contextmanager
def _started(command: list[str]) -> Iterator[tuple[int, str]]:
    with subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.pid, process.stdout.readline()
        finally:
            process.terminate()


@contextmanager
def _servers(folder: Path) -> Iterator[tuple[_Server, _Server]]:
    """Ours and the control."""
    static = folder / "static"
    static.mkdir()
    command = ["holdfast", "serve", "--store", str(folder / "store"), "--port", "0", "--quiet", "--json"]
    with _started(command) as (pid, line), _started(["bench.bare_service", str(static)]) as (bare, port):
        ours = int(json.loads(line)["url"].rpartition(":")[2])
        yield (
            _Server(("127.0.0.1", ours), pid, _SCOPE, f"{_SCOPE}/file"),
            _Server(("127.0.0.1", int(port)), bare, "/value", "/file"),
        )


def _put(server: _Server, seconds: float) -> Load:
    return load(server.address, lambda client, count: server.put(f"{client}-{count % _KEYS}"), _CLIENTS, seconds)


def _get(server: _Server, seconds: float) -> Load:
    requests = [server.get(f"{client}-0") for client in range(_CLIENTS)]
    return load(server.address, lambda client, count: requests[client], _CLIENTS, seconds)


def _both(server: _Server, seconds: float, clients: int) -> Load:
    def request(client: int, count: int) -> bytes:
        key = f"{client}-{count // 2 % _KEYS}"
        return server.get(key) if count % 2 else server.put(key)

    return load(server.address, request, clients, seconds)


class _Round(NamedTuple):
    """What came of one round, and the CPU that the server took for a request, in seconds."""

    load: Load
    cpu: float


def _round(server: _Server, kind: Callable[[_Server, float], Load], seconds: float) -> _Round:
    before = _cpu(server.pid)
    found = kind(server, seconds)
    return _Round(found, (_cpu(server.pid) - before) / (found.rate * seconds))


def _cpu(pid: int) -> float:
    """Seconds of CPU that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rate(what: str, goal: float, ours: list[_Round], bare: list[_Round]) -> Result:
    """By the median of the ratios of rounds that followed one another: neighbours' noise comes and goes in seconds."""
    ratio = statistics.median(one.load.rate / other.load.rate for one, other in zip(ours, bare, strict=True))
    mine, theirs = (statistics.median(each.load.rate for each in rounds) for rounds in (ours, bare))
    cpu, bare_cpu = (statistics.median(each.cpu for each in rounds) * 1e6 for rounds in (ours, bare))
    errors = sum(each.load.errors for each in (*ours, *bare))
    detail = f"{mine:.0f}/s, bare {theirs:.0f}/s; CPU {cpu:.0f} µs, bare {bare_cpu:.0f} µs; {errors} errors"
    return Result(what, ratio, "x bare server", goal, False, detail)


def _memory(pid: int, name: str) -> int:
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(name + ":")]
    return int(line.split()[1]) * 1024


def _large(servers: tuple[_Server, _Server], pieces: int, rounds: int) -> list[Result]:
    ours = servers[0]
    size = pieces * len(_PIECE)
    rates: dict[tuple[str, int], list[float]] = {}
    growth = {"up": 0, "down": 0}

    def note(way: str, server: _Server, seconds: float, before: int) -> None:
        rates.setdefault((way, server.pid), []).append(size / seconds / 1e6)
        if server is ours:
            growth[way] = max(growth[way], _memory(server.pid, "VmHWM") - before)

    for _ in range(rounds):
        for server in servers:
            before = _begin(server)
            status, seconds = send(server.address, server.head(server.file, size), _PIECE, pieces)
            assert status in (b"200", b"201"), status
            note("up", server, seconds, before)
        for server in servers:
            before = _begin(server)
            got, seconds = receive(server.address, f"GET {server.file} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            assert got == size, got
            note("down", server, seconds, before)
    results = []
    for way, goal in (("up", 0.5), ("down", 0.5)):
        mine, theirs = (statistics.median(rates[way, server.pid]) for server in servers)
        detail = f"{mine:.0f} MB/s, static file {theirs:.0f} MB/s"
        results.append(
            Result(f"service: {size / 1e9:.2g} GB {way}", mine / theirs, "x static file", goal, False, detail)
        )
    detail = f"up {growth['up'] / 1e6:.0f} MB, down {growth['down'] / 1e6:.0f} MB"
    results.append(Result("service: memory for it", max(growth.values()) / 1e6, "MB", 64, True, detail))
    return results


def _begin(server: _Server) -> int:
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")  # the peak begins anew
    return _memory(server.pid, "VmRSS")


def run(folder: Path, quick: bool) -> list[Result]:
    """Rates of small values, of a large one, and a hundred clients."""
    seconds, rounds, pieces, minute = (0.5, 1, 64, 2.0) if quick else (1.0, 12, 954, 60.0)
    with _servers(folder) as (ours, bare):
        puts: tuple[list[_Round], list[_Round]] = ([], [])
        gets: tuple[list[_Round], list[_Round]] = ([], [])
        for _ in range(rounds):
            for kind, pair in ((_put, puts), (_get, gets)):
                for server, found in zip((ours, bare), pair, strict=True):
                    found.append(_round(server, kind, seconds))
        results = [_rate("service: GET of 1 KB", 0.5, *gets), _rate("service: PUT of 1 KB", 0.3, *puts)]
        results += _large((ours, bare), pieces, 1 if quick else 3)
        many = _both(ours, minute, 100)
        figures = f"{many.rate:.0f}/s, p50 {many.p50:.1f} ms, p99 {many.p99:.1f} ms, half of them PUT"
        results.append(Result(f"service: 100 clients for {minute:g} s, errors", many.errors, "", 0, True, figures))
    return results
