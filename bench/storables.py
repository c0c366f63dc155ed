"""Objects of several contents, against labox itself on SQLite and files, in an environment of its own.

The environment is made at the first run, in the user's cache, by ``pip``: labox 0.1.0 with what it was written for, and
what it needs and does not ask for. The control saves and loads one at a time by ``save_one`` and ``load_one``; ours is
measured by ``put`` and ``get``, and by the face with the very same program.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import venv
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import holdfast
from holdfast import StorableDataclass

from .measure import Result, Timing, ratios, time_calls

__all__ = ["run"]

_MB = 1 << 20
_NEEDS = ["labox[pandas,numpy,pyarrow]==0.1.0", "sqlalchemy<2.1", "pandas<3", "aiosqlite", "ruyaml", "sniffio"]

_PROGRAM = """
import asyncio, gc, json, statistics, sys, time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from ROOT.builtin.serializers import json_serializer
from ROOT.builtin.storables import StorableDataclass
from ROOT.builtin.storages import FileStorage
from ROOT.core import Registry, load_one, save_one
from ROOT.core.database import BaseRecord
from ROOT.extra.pandas import arrow_dataframe_serializer


@dataclass
class Settings(StorableDataclass, class_id="f0000001"):
    name: str
    speed: float
    loads: list
    tags: dict


@dataclass
class Table(StorableDataclass, class_id="f0000002"):
    name: str
    frame: pd.DataFrame


async def timed(session, registry, make, kind, count, first):
    times, records = [[], []], []
    gc.disable()
    for number in range(first, first + count):
        value = make(number)
        begin = time.perf_counter_ns()
        record = await save_one(value, registry=registry, session=session)
        times[0].append(time.perf_counter_ns() - begin)
        records.append(record)
    del value
    for record in records * (3 if kind is Table else 1):
        if hasattr(record, "_sa_instance_state"):  # as a query for it would give it
            await session.refresh(record)
        begin = time.perf_counter_ns()
        got = await load_one(record, kind, registry=registry, session=session)
        if kind is Table:
            got.frame.iloc[0, 0]
        times[1].append(time.perf_counter_ns() - begin)
    gc.enable()
    return [[f(part) / 1e3 for f in (statistics.median, statistics.fmean, max)] for part in times]


def small(number):
    return Settings(name="run", speed=number / 7, loads=list(range(20)), tags={"stage": "eval", "by": "Ada"})


async def main(folder):
    (folder / "files").mkdir(parents=True)
    registry = Registry(
        storables=[Settings, Table],
        serializers=[json_serializer, arrow_dataframe_serializer],
        storages=[FileStorage(folder / "files")],
        default_storage=True,
    )
    engine = create_async_engine(f"sqlite+aiosqlite:///{folder / 'records.db'}")
    await BaseRecord.create_all(engine)
    async with async_sessionmaker(engine)() as session:
        for line in sys.stdin:
            what, count, first = json.loads(line)
            if what == "small":
                result = await timed(session, registry, small, Settings, count, first)
            else:
                array = np.random.default_rng(first).random(count // 8).reshape(-1, 64)
                frame = pd.DataFrame(array, columns=[f"c{index}" for index in range(64)])
                result = await timed(session, registry, lambda n: Table(name="table", frame=frame), Table, 1, first)
            print(json.dumps(result), flush=True)
    await engine.dispose()

asyncio.run(main(Path(sys.argv[1])))
"""


@dataclass
class Settings(StorableDataclass, class_id="f0000001"):
    """A small object: as many plain values as a configuration has."""

    name: str
    speed: float
    loads: list[int]
    tags: dict[str, str]


@dataclass
class Table(StorableDataclass, class_id="f0000002"):
    """An object with a large frame."""

    name: str
    frame: pd.DataFrame


def _environment() -> str:
    """Python with labox: made when it is not there."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(cache) / "holdfast-bench" / f"labox-0.1.0-{sys.version_info[0]}.{sys.version_info[1]}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-qq", *_NEEDS], check=True)
        (folder / "complete").touch()
    return str(python)


class _Program:
    """The control, or the face, in a process that waits for what to measure."""

    def __init__(self, stack: ExitStack, python: str, root: str, folder: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(Path(holdfast.__file__).parents[1])}
        command = [python, "-c", _PROGRAM.replace("ROOT", root), str(folder)]
        self._process = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        )

    def measure(self, what: str, count: int, first: int) -> list[Timing]:
        """Timings of saving and of loading."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([what, count, first]), file=self._process.stdin, flush=True)
        return [Timing(*part) for part in json.loads(self._process.stdout.readline())]


def _warm(flow: Any) -> None:
    """Import what is imported at the first use."""
    flow.put("warm", _table(_MB, 0))
    flow.get("warm").frame.iloc[0, 0]


def _settings(number: int) -> Settings:
    return Settings(name="run", speed=number / 7, loads=list(range(20)), tags={"stage": "eval", "by": "Ada"})


def _native(flow: Any, count: int, first: int) -> list[Timing]:
    values = [_settings(number) for number in range(first, first + count)]
    saved = time_calls(lambda number: flow.put(f"s/{number}", values[number - first]), count, first)
    return [saved, time_calls(lambda number: flow.get(f"s/{number}"), count, first)]


def _small(flow: Any, programs: dict[str, _Program], quick: bool) -> list[Result]:
    count, rounds = (20, 2) if quick else (200, 5)
    ways: dict[str, list[list[Timing]]] = {way: [] for way in ("holdfast", *programs)}
    for turn in range(rounds):
        ways["holdfast"].append(_native(flow, count, turn * count))
        for way, program in programs.items():
            ways[way].append(program.measure("small", count, turn * count))
    results = []
    for index, (native, verb) in enumerate((("put", "save_one"), ("get", "load_one"))):
        best = {way: min(timings[index] for timings in found) for way, found in ways.items()}
        results += ratios(f"small dataclass, {native}", 0.1, (best["holdfast"], best["labox"]), f"labox {verb}")
        results += ratios(f"small dataclass, face's {verb}", 0.1, (best["face"], best["labox"]), f"labox {verb}")
    return results


def _table(size: int, seed: int) -> Table:
    array = np.random.default_rng(seed).random(size // 8).reshape(-1, 64)
    return Table(name="table", frame=pd.DataFrame(array, columns=[f"c{index}" for index in range(64)]))


def _native_large(store: holdfast.Store, flow: Any, size: int, turn: int) -> list[float]:
    table = _table(size, turn)
    begin = time.perf_counter()
    flow.put("table", table)
    saved = time.perf_counter()
    del table
    store.sync()
    gets = time_calls(lambda number: flow.get("table").frame.iloc[0, 0], 20)
    store.gc()
    return [(saved - begin) * 1e6, gets.median]


def _large(store: holdfast.Store, flow: Any, programs: dict[str, _Program], quick: bool) -> list[Result]:
    size, rounds = ((16 if quick else 256) * _MB, 2 if quick else 3)
    ways: dict[str, list[list[float]]] = {way: [] for way in ("holdfast", *programs)}
    for turn in range(rounds):
        ways["holdfast"].append(_native_large(store, flow, size, turn))
        for way, program in programs.items():
            ways[way].append([timing.median for timing in program.measure("large", size, turn)])
    saved, loaded = ({way: statistics.median(pair[n] for pair in found) for way, found in ways.items()} for n in (0, 1))
    results, what = [], f"{size // _MB} MB DataFrame field"
    verbs = {"holdfast": ("put", "get", 2), "face": ("face's save_one", "face's load_one", None)}
    for way, (put, get, most) in verbs.items():
        if way in saved:
            detail = f"{saved[way] / 1e6:.2f} s, labox {saved['labox'] / 1e6:.2f} s"
            results.append(Result(f"{what}, {put}", saved["labox"] / saved[way], "x labox's speed", 5, False, detail))
            detail = f"labox {loaded['labox'] / 1e3:.0f} ms"
            results.append(Result(f"{what}, {get}", loaded[way] / 1e3, "ms", most, True, detail))
    return results


def run(folder: Path, quick: bool) -> list[Result]:
    """Small objects, and one with a large frame."""
    with ExitStack() as stack:
        store = stack.enter_context(holdfast.open(folder / "holdfast"))
        flow = store.namespace("prod").workflow("bench")
        _warm(flow)
        programs = {"labox": _Program(stack, _environment(), "labox", folder / "labox")}
        programs["face"] = _Program(stack, sys.executable, "holdfast.compat.labox", folder / "face")
        return [*_small(flow, programs, quick), *_large(store, flow, programs, quick)]
