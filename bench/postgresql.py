"""The catalog in PostgreSQL against bare statements, on one server that is started here.

The control is what a program would do that wants nothing but the value: psycopg, one connection held in autocommit, one
cursor, a prepared statement, on a table of the same shape. The server leaves writing to its disk to the system
(``fsync=off``), which makes the share of everything else as large as it can be; puts are measured on one that waits for
its disk, too, as servers do.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg

import holdfast
from holdfast.catalog.base import Fence
from holdfast.catalog.postgresql import PostgreSQLCatalog
from holdfast.model import Codec
from holdfast.testing.postgresql import Server

from .measure import Result, Timing, ratios

__all__ = ["run"]

_KEYS = 100
_PROCESSES = 8
_PATH = (("namespace", "bench"),)
_BYTES = Codec("holdfast.bytes@v1", "application/octet-stream", None)
_TABLES = (
    'CREATE TABLE bare(scope int8 NOT NULL, key text COLLATE "C" NOT NULL, version int8 NOT NULL, data bytea NOT NULL, '
    "UNIQUE(scope,key))",
    "ALTER TABLE bare ALTER data SET STORAGE EXTERNAL",  # as ours: random bytes are not tried to be compressed
    "CREATE TABLE counter(id int4 PRIMARY KEY, n int8 NOT NULL)",
    "INSERT INTO counter VALUES(1,0)",
)
_UPSERT = (
    "INSERT INTO bare(scope,key,version,data) VALUES(%s,%s,1,%s) "
    "ON CONFLICT(scope,key) DO UPDATE SET version=bare.version+1,data=excluded.data RETURNING version"
)
_SELECT = "SELECT version,data FROM bare WHERE scope=%s AND key=%s"
_COUNT = "UPDATE counter SET n=n+1 WHERE id=1 RETURNING n"


class _Bare:
    """The control: one connection, one cursor, one statement a call."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True)
        self._cursor = self.connection.cursor(binary=True)

    def make(self) -> None:
        """Make its tables."""
        for statement in _TABLES:
            self._cursor.execute(statement)

    def __call__(self, statement: str, *values: Any) -> Any:
        return self._cursor.execute(statement, values, prepare=True).fetchone()


class _Sides:
    """The three that put and get the same keys: the whole store, its catalog alone, the control."""

    def __init__(self, server: Server) -> None:
        self.url = f"{server.url()}?schema=bench"
        self.store = holdfast.open(self.url)
        self.scope = self.store.namespace("bench")
        self.catalog = PostgreSQLCatalog(self.url)
        self.bare = _Bare(server.url())
        self.bare.make()
        self._codec = self.catalog.codec_id(_BYTES)
        self.values = [os.urandom(1024) for _ in range(_KEYS)]

    def put_by_store(self, key: str, number: int) -> object:
        return self.scope.put(key, self.values[number % _KEYS])

    def put_by_catalog(self, key: str, number: int) -> object:
        data = self.values[number % _KEYS]
        row = (None, None, 1, sha256(data).digest(), len(data), self._codec, None, None, data)
        return self.catalog.put(_PATH, key, row)

    def put_bare(self, key: str, number: int) -> object:
        return self.bare(_UPSERT, 1, key, self.values[number % _KEYS])

    def close(self) -> None:
        self.store.close()
        self.catalog.close()
        self.bare.connection.close()


def run(folder: Path, quick: bool) -> list[Result]:
    """One value at a time, counters and leases, and listings of many."""
    settings = {"shared_buffers": "512MB", "max_wal_size": "4GB", "checkpoint_timeout": "1h"}
    results = []
    with Server({**settings, "fsync": "on"}) as server:
        sides = _Sides(server)
        results += _puts(sides, 20 if quick else 300, ", synced")
        sides.close()
    with Server(settings) as server:
        sides = _Sides(server)
        count = 200 if quick else 5000
        results += _puts(sides, count, "") + _gets(sides, count, "")
        results += _cpu(sides, count) + _leases(sides, count)
        results += _counters(sides, 50 if quick else 500, 1 if quick else 5)
        results += _among(sides, 10_000 if quick else 100_000, count)
        results += _pages(sides, (1000, 20_000) if quick else (10_000, 1_000_000), 30 if quick else 300)
        sides.close()
    return results


def _in_turn(ours: Callable[[int], object], control: Callable[[int], object], *, count: int) -> tuple[Timing, Timing]:
    """Call by call in turn: what else goes on in the machine, or in the server, is shared fairly."""
    clock = time.perf_counter_ns
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(count):
        for call, noted in zip((ours, control), times, strict=True):
            begin = clock()
            call(number)
            noted.append((clock() - begin) / 1e3)
    mine, theirs = (Timing(statistics.median(noted), statistics.fmean(noted), max(noted)) for noted in times)
    return mine, theirs


# --- one value --------------------------------------------------------------------------------------------------------


def _puts(sides: _Sides, count: int, how: str) -> list[Result]:
    results = []
    ways = {"catalog": sides.put_by_catalog, "store": sides.put_by_store}
    for number in range(_KEYS):
        for put in (*ways.values(), sides.put_bare):
            put(f"key-{number}", number)
    for name, put in ways.items():
        for what, key in (("new key", f"{name}-{{}}".format), ("overwrite", lambda n: f"key-{n % _KEYS}")):
            pair = _in_turn(
                lambda n, put=put, key=key: put(key(n), n), lambda n, key=key: sides.put_bare(key(n), n), count=count
            )
            results += ratios(f"put of 1 KB, {what}, {name}{how}", 1.3, pair, "bare upsert")
    return results


def _gets(
    sides: _Sides, count: int, how: str, keys: Callable[[int], str] = lambda n: f"key-{n % _KEYS}"
) -> list[Result]:
    control = partial(sides.bare, _SELECT, 1)
    ways = {"catalog": partial(sides.catalog.find, _PATH), "store": sides.scope.get}
    results = []
    for name, get in ways.items():
        pair = _in_turn(lambda n, get=get: get(keys(n)), lambda n: control(keys(n)), count=count)
        results += ratios(f"get of 1 KB, {name}{how}", 1.3, pair, "bare select")
    return results


def _among(sides: _Sides, size: int, count: int) -> list[Result]:
    """Gets of random keys among many."""
    _fill(sides, "bench", 0, size)
    sides.bare(
        "INSERT INTO bare SELECT 1,to_char(i,'FM\"rec\"-000000000'),1,decode(repeat(md5(i::text),12),'hex') "
        "FROM generate_series(0,%s) i RETURNING 1", size - 1,
    )  # fmt: skip
    sides.bare.connection.execute("VACUUM ANALYZE bare")
    chance = random.Random(1)
    keys = [f"rec-{chance.randrange(size):09d}" for _ in range(count)]
    return _gets(sides, count, f", among {size:,}", keys.__getitem__)


def _fill(sides: _Sides, name: str, begin: int, end: int) -> None:
    """Records of 200 bytes, straight into the table, in an order of no meaning: their rows lie anywhere. Each has a tag
    that one in ten has with this value, and a hundred of them, however many there are, have another."""
    sides.store.namespace(name).put("rec", b"")
    scope = sides.catalog.scope_id((("namespace", name),))
    data = b"x" * 200
    link = sides.catalog._pool.take()
    indexes = link.rows(
        "SELECT indexrelid::regclass::text,pg_get_indexdef(indexrelid) FROM pg_index "
        "WHERE indrelid='records'::regclass AND NOT indisprimary"
    )
    link.script("SET maintenance_work_mem='256MB'")
    link.script(";".join(f"DROP INDEX {index}" for index, _ in indexes))  # made anew at the end, which is quicker
    link.rows(
        "INSERT INTO records(scope,key,tier,version,flags,created,updated,tags,algorithm,digest,size,codec,data) "
        "SELECT $1,to_char(i,'FM\"rec\"-000000000'),0,nextval('versions'),0,1e9,1e9,"
        "'{\"kind\":\"'||i%10||'\"'||CASE WHEN i%($3/100)=0 THEN ',\"few\":\"yes\"' ELSE '' END||'}',"
        "1,$4,$5,$6,$7 FROM (SELECT i FROM generate_series($2,$3-1) i ORDER BY hashint4(i)) o",
        (scope, begin, end, sha256(data).digest(), len(data), sides.catalog.codec_id(_BYTES), data),
    )
    link.script(";".join(definition for _, definition in indexes))
    link.script("VACUUM ANALYZE records")
    sides.catalog._pool.give(link)


def _cpu(sides: _Sides, count: int) -> list[Result]:
    """CPU of this process and of its session in the server together: what other programs take of the machine does not
    count here."""
    pid = "SELECT pg_backend_pid()"
    sessions = {
        "catalog": sides.catalog.read(pid)[0][0],
        "store": sides.store._kernel.catalog.read(pid)[0][0],  # type: ignore[attr-defined]
        "bare": sides.bare(pid)[0],
    }
    select = partial(sides.bare, _SELECT, 1)
    verbs: dict[str, dict[str, Callable[[str, int], object]]] = {
        "put of 1 KB, overwrite": {
            "catalog": sides.put_by_catalog,
            "store": sides.put_by_store,
            "bare": sides.put_bare,
        },
        "get of 1 KB": {
            "catalog": lambda key, _: sides.catalog.find(_PATH, key),
            "store": lambda key, _: sides.scope.get(key),
            "bare": lambda key, _: select(key),
        },
    }
    results = []
    for what, ways in verbs.items():
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(10):
            for name, call in ways.items():
                taken[name].append(_taken(call, sessions[name], count // 10))
        bare = statistics.median(taken.pop("bare"))
        for name, times in taken.items():
            ours = statistics.median(times)
            detail = f"{ours:.0f} µs, bare {bare:.0f} µs"
            results.append(Result(f"{what}, {name}, CPU of both sides", ours / bare, "x bare", None, True, detail))
    return results


def _taken(call: Callable[[str, int], object], session: int, count: int) -> float:
    """Microseconds of CPU a call."""

    def now() -> float:
        return time.process_time() * 1e6 + int(Path(f"/proc/{session}/schedstat").read_text().split()[0]) / 1e3

    begin = now()
    for number in range(count):
        call(f"key-{number % _KEYS}", number)
    return (now() - begin) / count


# --- many at once -----------------------------------------------------------------------------------------------------


def _leases(sides: _Sides, count: int) -> list[Result]:
    lease = sides.catalog.acquire("bench", "me", 3600)
    fence = Fence("bench", lease.token)

    def pair(number: int) -> None:
        mine = sides.catalog.acquire(f"lease-{number}", "me", 60)
        sides.catalog.release(Fence(mine.name, mine.token))

    results = []
    calls = {"renewing a lease": lambda n: sides.catalog.renew(fence, 3600), "taking and giving a lease": pair}
    for what, call in calls.items():
        times = _in_turn(call, lambda n: sides.put_bare(f"key-{n % _KEYS}", n), count=count)
        results += ratios(what, None, times, "bare upsert")
    return results


def _update(url: str) -> Callable[[], object]:
    scope = holdfast.open(url).namespace("bench")
    return lambda: scope.update("counter", lambda number: number + 1, default=0)


def _add(url: str) -> Callable[[], object]:
    scope = holdfast.open(url).namespace("bench")
    return lambda: scope.add("added")


def _bare_add(url: str) -> Callable[[], object]:
    bare = _Bare(url.partition("?")[0])
    return lambda: bare(_COUNT)


def _work(make: Callable[[str], Callable[[], object]], url: str, count: int, gate: Any, results: Any) -> None:
    call = make(url)
    clock = time.perf_counter
    longest = 0.0
    gate.wait()
    began = clock()
    for _ in range(count):
        before = clock()
        call()
        longest = max(longest, clock() - before)
    results.put((began, clock(), longest))


def _race(make: Callable[[str], Callable[[], object]], url: str, count: int) -> tuple[float, float]:
    """Calls a second of all processes together, and the longest wait in seconds."""
    context = multiprocessing.get_context("spawn")
    gate, results = context.Barrier(_PROCESSES), context.Queue()
    workers = [context.Process(target=_work, args=(make, url, count, gate, results)) for _ in range(_PROCESSES)]
    for worker in workers:
        worker.start()
    times = [results.get(timeout=300) for _ in workers]
    for worker in workers:
        worker.join()
    span = max(end for _, end, _ in times) - min(begin for begin, _, _ in times)
    return _PROCESSES * count / span, max(longest for _, _, longest in times)


def _counters(sides: _Sides, count: int, rounds: int) -> list[Result]:
    ways = {"update": _update, "add": _add, "bare": _bare_add}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    waits: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, make in ways.items():
            rate, wait = _race(make, sides.url, count)
            rates[name].append(rate)
            waits[name].append(wait)
    expected = rounds * _PROCESSES * count
    lost = sum(expected - sides.scope.get(key) for key in ("counter", "added"))
    control = statistics.median(rates["bare"])
    results = [Result("8 processes, counts lost", lost, "", 0, True, f"of {2 * expected}")]
    for name in ("update", "add"):
        rate, wait = statistics.median(rates[name]), statistics.median(waits[name])
        detail = f"{rate:.0f}/s, bare {control:.0f}/s; longest wait {wait * 1e3:.0f} ms"
        results.append(
            Result(f"8 processes, one counter by {name}", rate / control, "x bare update", None, False, detail)
        )
    return results


# --- listings ---------------------------------------------------------------------------------------------------------


def _pages(sides: _Sides, sizes: tuple[int, int], count: int) -> list[Result]:
    """Pages of 100 that begin anywhere, among few records and among many, in turn; all of it in the server's memory."""
    calls: list[dict[str, Callable[[int], object]]] = []
    for size in sizes:
        name = f"of-{size}"
        _fill(sides, name, 0, size)
        scope = sides.store.namespace(name)
        sides.catalog.read("SELECT sum(size) FROM records WHERE scope=?1", (sides.catalog.scope_id(scope.path),))
        chance = random.Random(1)
        calls.append(_listings(scope, [f"rec-{chance.randrange(size * 9 // 10):09d}" for _ in range(count)]))
    results = []
    for what in calls[0]:
        few, many = _in_turn(calls[0][what], calls[1][what], count=count)
        for index, kind in enumerate(("median", "mean")):
            detail = f"{few[index]:.0f} µs of {sizes[0]:,}; {many[index]:.0f} µs of {sizes[1]:,}"
            ratio = many[index] / few[index]
            results.append(Result(f"{what}, 100 of {sizes[1]:,} ({kind})", ratio, "x few", 1.5, True, detail))
    return results


def _listings(scope: holdfast.Scope, starts: list[str]) -> dict[str, Callable[[int], object]]:
    return {
        "keys()": lambda n: list(scope.keys(start=starts[n], limit=100)),
        "list()": lambda n: list(scope.list(start=starts[n], limit=100)),
        "list() downwards": lambda n: list(scope.list(end=starts[n] + "~", order="-key", limit=100)),
        "list() by tags of one in ten": lambda n: list(scope.list(start=starts[n], limit=100, tags={"kind": "3"})),
        "list() by tags of a hundred": lambda n: list(scope.list(start=starts[n], limit=100, tags={"few": "yes"})),
    }
