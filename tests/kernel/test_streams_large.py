"""Memory that does not grow with a stream: two gigabytes of frames, there and back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .places import set_keys

CODE = """
import asyncio, resource, sys
import numpy as np, pandas as pd, pyarrow as pa, polars as pl
import holdfast

folder, storage, kind, how, megabytes = *sys.argv[1:5], int(sys.argv[5])
makers = {"numpy": lambda a: a, "pandas": lambda a: pd.DataFrame(a, columns=list("abcd")),
          "arrow": lambda a: pa.table({name: a[:, n] for n, name in enumerate("abcd")}),
          "polars": lambda a: pl.DataFrame(a, schema=list("abcd"))}
make = makers[kind.partition("-")[0]]
options = {} if kind in makers else {"serializer": f"holdfast.{kind.replace('arrow-parquet', 'parquet')}-stream@v1"}
options |= {"compression": "zstd"} if how == "zstd" else {}
chance = np.random.default_rng(1)
noise = chance.random((1 << 17, 4))                        # 4 MB

def frames(count):
    for number in range(count):
        yield make(noise + number)

async def trickle(count):
    for frame in frames(count):
        await asyncio.sleep(0)
        yield frame

def first(frame):
    return float(np.asarray(frame if isinstance(frame, np.ndarray) else frame["a"]).reshape(-1)[0])

def number_of(position, frame):
    assert first(frame) == noise[0, 0] + position, position
    return position + 1

async def there_and_back(scope, key, count):
    await scope.aio.put_stream(key, trickle(count), **options)
    position = 0
    async for frame in await scope.aio.get(key):
        position = number_of(position, frame)
    return position

def round_trip(scope, key, count):
    if how == "aio":
        return asyncio.run(there_and_back(scope, key, count))
    scope.put_stream(key, frames(count), **options)
    position = 0
    for frame in scope.get(key):
        position = number_of(position, frame)
    return position

store = holdfast.open(folder, storage=storage, cache="off")
scope = store.namespace("a")
round_trip(scope, "warm", 2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert round_trip(scope, "k", megabytes // 4) == megabytes // 4
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""

LIMIT = 128  # megabytes


def grown(folder: Path, storage: str, kind: str, how: str, megabytes: int) -> float:
    """Megabytes that a process takes more for a stream of so many than for one of eight."""
    command = [sys.executable, "-c", CODE, str(folder), storage, kind, how, str(megabytes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def test_a_stream_takes_no_more_memory_than_a_few_frames(tmp_path: Path) -> None:
    assert grown(tmp_path / "data", "files", "numpy", "sync", 256) < 48


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("numpy", "sync"),
        ("numpy", "aio"),
        ("numpy", "zstd"),
        ("pandas", "sync"),
        ("pandas-arrow", "sync"),
        ("pandas-parquet", "sync"),
        ("arrow", "aio"),
        ("arrow-parquet", "sync"),
        ("polars-arrow", "sync"),
        ("polars-parquet", "zstd"),
    ],
)
def test_two_gigabytes_there_and_back(tmp_path: Path, kind: str, how: str) -> None:
    assert grown(tmp_path / "data", "files", kind, how, 2048) < LIMIT


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(("kind", "how"), [("pandas", "sync"), ("arrow", "aio"), ("pandas-parquet", "sync")])
def test_half_a_gigabyte_in_a_bucket(
    tmp_path: Path, kind: str, how: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_keys(monkeypatch)
    endpoint = request.getfixturevalue("s3_endpoint")
    assert grown(tmp_path / "data", f"s3://bucket/{kind}?endpoint={endpoint}&region=us-east-1", kind, how, 512) < LIMIT
