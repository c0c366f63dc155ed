"""Values in memory: of this machine against Ray's object store and Flowdapt's local memory, of clusters against the
bare engine.

Ray runs in this process' environment; Flowdapt in one of its own, which is made at the first run in the user's cache,
by ``pip``. First gets are made in a process that did not put, and that has everything imported.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import holdfast

from .measure import Result, Timing, ratios, time_calls

__all__ = ["run"]

_MB = 1 << 20
_COLUMNS = 64

_READER = """
import sys, time, numpy, pandas, holdfast
scope = holdfast.open(sys.argv[1], memory=sys.argv[2]).namespace("bench")
scope.get("warm")
print("ready", flush=True)
for key in map(str.strip, sys.stdin):
    begin = time.perf_counter()
    value = scope.get(key)
    first = value[0] if isinstance(value, numpy.ndarray) else value.iloc[0, 0]
    print((time.perf_counter() - begin) * 1e6, flush=True)
    del value
"""

_FLOWDAPT = """
import asyncio, gc, json, statistics, sys, threading, time
from flowdapt.compute.executor.local import cluster_memory as memory

ready = threading.Event()

async def serve():
    server = memory.ClusterMemoryServer(memory.SOCKET_PATH)
    await server.start()
    ready.set()
    await asyncio.Event().wait()

threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
ready.wait()
client = memory.LocalClusterMemory()
value = {"name": "run", "text": "x" * 1000}
client.put("warm", value), client.get("warm")
print("ready", flush=True)
for line in sys.stdin:
    count, times = int(line), [[], []]
    gc.disable()
    for number in range(count):
        begin = time.perf_counter_ns()
        client.put(f"key{number % 100}", value)
        middle = time.perf_counter_ns()
        client.get(f"key{number % 100}")
        times[0].append(middle - begin), times[1].append(time.perf_counter_ns() - middle)
    gc.enable()
    found = [[f(part) / 1e3 for f in (statistics.median, statistics.fmean, max)] for part in times]
    print(json.dumps(found), flush=True)
"""


def _environment() -> str:
    """Python with Flowdapt: made when it is not there."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(cache) / "holdfast-bench" / f"flowdapt-0.1.52-{sys.version_info[0]}.{sys.version_info[1]}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-qq", "flowdapt==0.1.52"], check=True)
        (folder / "complete").touch()
    return str(python)


class _Program:
    """A program in a process of its own that answers each line with one."""

    def __init__(self, stack: ExitStack, python: str, code: str, *arguments: str, ours: bool = True) -> None:
        environment = dict(os.environ)
        if ours:
            environment["PYTHONPATH"] = str(Path(holdfast.__file__).parents[1])
        else:
            environment.pop("PYTHONPATH", None)
        self._process = stack.enter_context(
            subprocess.Popen(
                [python, "-c", code, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
        )
        stack.callback(self._process.kill)
        assert self._answer() == "ready"

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def ask(self, line: object) -> Any:
        """What it answers, as JSON."""
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)
        return json.loads(self._answer())


def _array(size: int) -> Any:
    return np.random.default_rng(0).random(size // 8)


def _frame(size: int) -> pd.DataFrame:
    return pd.DataFrame(_array(size).reshape(-1, _COLUMNS), columns=[f"c{index}" for index in range(_COLUMNS)])


def _seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


# --- engines ----------------------------------------------------------------------------------------------------------


@contextmanager
def _ray(size: int) -> Iterator[Any]:
    """Ray on this machine."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    ray.init(
        num_cpus=2,
        object_store_memory=6 * size + 200 * _MB,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        logging_level=40,
    )
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _dask() -> Iterator[Any]:
    """A client of a Dask cluster on this machine, of two processes."""
    import logging

    from distributed import Client, LocalCluster

    with (
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=logging.ERROR, memory_limit=0
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        yield client


def _ray_reader(ray: Any) -> Any:
    class Reader:
        def get(self, references: list[Any]) -> float:
            import time

            begin = time.perf_counter()
            value = ray.get(references[0])
            value[0] if isinstance(value, np.ndarray) else value.iloc[0, 0]
            return (time.perf_counter() - begin) * 1e6

    reader = ray.remote(num_cpus=0)(Reader).remote()
    ray.get(reader.get.remote([ray.put(_frame(_MB))]))
    return reader


# --- what is measured -------------------------------------------------------------------------------------------------


def _against_ray(folder: Path, size: int, rounds: int, stack: ExitStack) -> list[Result]:
    """The memory of this machine, and that of Ray, each against bare Ray."""
    ray = stack.enter_context(_ray(size))
    theirs = _ray_reader(ray)
    results = []
    stores = {}
    readers = {}
    for memory in ("local", "ray"):
        store = stores[memory] = stack.enter_context(holdfast.open(folder / memory, memory=memory))
        store.namespace("bench").put("warm", _frame(_MB), tier="memory")
    address = ray.get_runtime_context().gcs_address
    os.environ["RAY_ADDRESS"] = address
    for memory in stores:
        readers[memory] = _Program(stack, sys.executable, _READER, str(folder / memory), memory)
    for kind, value in (("array", _array(size)), ("DataFrame", _frame(size))):
        times: dict[str, list[list[float]]] = {"bare": [], "local": [], "ray": []}
        for turn in range(rounds + 1):
            begin = time.perf_counter()
            reference = ray.put(value)
            put = time.perf_counter() - begin
            got = ray.get(theirs.get.remote([reference])) / 1e6
            del reference
            if turn:  # the first one warms
                times["bare"].append([put, got])
            for memory, store in stores.items():
                scope = store.namespace("bench")
                put = _seconds(partial(scope.put, kind, value, tier="memory"))
                got = readers[memory].ask(kind) / 1e6
                if turn:
                    times[memory].append([put, got])
        best = {way: [statistics.median(pair[n] for pair in found) for n in (0, 1)] for way, found in times.items()}
        what = f"{size // _MB} MB {kind}"
        put, got = best["local"]
        detail = f"{put * 1e3:.1f} ms, ray.put {best['bare'][0] * 1e3:.1f} ms"
        results.append(Result(f"{what}, local put", best["bare"][0] / put, "x ray.put's speed", 0.8, False, detail))
        detail = f"{got * 1e3:.2f} ms, ray.get {best['bare'][1] * 1e3:.2f} ms"
        results.append(Result(f"{what}, local first get", got / best["bare"][1], "x ray.get", 0.5, True, detail))
        ours, bare = sum(best["ray"]), sum(best["bare"])
        detail = f"{ours * 1e3:.1f} ms, bare {bare * 1e3:.1f} ms"
        results.append(Result(f"{what}, Ray put and get", ours / bare, "x bare Ray", 1.2, True, detail))
    return results


def _scattered(client: Any, value: Any) -> Any:
    return client.scatter(value, hash=False).result()


def _against_dask(folder: Path, size: int, rounds: int) -> list[Result]:
    results = []
    with _dask() as client, holdfast.open(folder / "dask", memory="dask") as store:
        scope = store.namespace("bench")
        for kind, value in (("array", _array(size)), ("DataFrame", _frame(size))):
            times: dict[str, list[float]] = {"bare": [], "ours": []}
            for turn in range(rounds + 1):
                bare = _seconds(partial(_scattered, client, value))
                scope.delete(kind, missing_ok=True)

                def both(kind: str = kind, value: Any = value) -> None:
                    scope.put(kind, value, tier="memory")
                    scope.get(kind)

                ours = _seconds(both)
                if turn:
                    times["bare"].append(bare)
                    times["ours"].append(ours)
            ours, bare = statistics.median(times["ours"]), statistics.median(times["bare"])
            detail = f"{ours * 1e3:.0f} ms, bare {bare * 1e3:.0f} ms"
            what = f"{size // _MB} MB {kind}, Dask put and get"
            results.append(Result(what, ours / bare, "x bare Dask", 1.2, True, detail))
    return results


def _against_flowdapt(folder: Path, count: int, rounds: int, stack: ExitStack) -> list[Result]:
    control = _Program(stack, _environment(), _FLOWDAPT, ours=False)
    scope = stack.enter_context(holdfast.open(folder / "small")).namespace("bench")
    value = {"name": "run", "text": "x" * 1000}
    ours: list[list[Timing]] = [[], []]
    theirs: list[list[Timing]] = [[], []]
    for turn in range(rounds):
        ours[0].append(time_calls(lambda n: scope.put(f"key{n % 100}", value, tier="memory"), count, turn * count))
        ours[1].append(time_calls(lambda n: scope.get(f"key{n % 100}"), count, turn * count))
        for way, part in zip(theirs, control.ask(count), strict=True):
            way.append(Timing(*part))
    return [
        result
        for verb, mine, control_ in zip(("put", "get"), ours, theirs, strict=True)
        for result in ratios(f"1 KB, local {verb}", 0.1, (min(mine), min(control_)), "Flowdapt's local memory")
    ]


def run(folder: Path, quick: bool) -> list[Result]:
    """Large values on this machine and on clusters, and small ones."""
    size, rounds = ((16 if quick else 256) * _MB, 2 if quick else 5)
    with ExitStack() as stack:
        results = _against_flowdapt(folder, 50 if quick else 300, rounds, stack)
    with ExitStack() as stack:
        results += _against_ray(folder, size, rounds, stack)
    return results + _against_dask(folder, size, rounds)
