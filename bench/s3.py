"""An object store against ``boto3``, on one S3 server, moto's, in a process of its own.

Small operations are measured on one that keeps connections open, as S3 does; large ones on moto's own, as the other
writes bodies to a file before it looks at them, which is most of the time then.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3

from holdfast.payload import Payload
from holdfast.storages.objectstore import ObjectStorage
from tests.storages.remote.servers import moto

from .measure import Result

__all__ = ["run"]

_KB, _MB = 1 << 10, 1 << 20
_KEYS = {"access_key_id": "bench", "secret_access_key": "of-no-worth"}
_THREADS = 16
_MANY = 64

Verb = Callable[[int], object]


class _Ours:
    """The verbs of a storage, by number."""

    def __init__(self, endpoint: str, value: bytes) -> None:
        self._storage = ObjectStorage(f"s3://bucket/ours?endpoint={endpoint}&region=us-east-1", credentials=_KEYS)
        self._value = value
        self._configs: dict[int, Any] = {}

    def put(self, number: int) -> object:
        self._configs[number] = self._storage.write(Payload((self._value,), ""), lambda: (0, b""), {})
        return None

    def get(self, number: int) -> object:
        return self._storage.read(self._configs[number])

    def delete(self, number: int) -> object:
        return self._storage.delete(self._configs[number])


class _Theirs:
    """The same of boto3."""

    def __init__(self, endpoint: str, value: bytes) -> None:
        names = {f"aws_{name}": text for name, text in _KEYS.items()}
        self._client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **names)
        self._value = value

    def put(self, number: int) -> object:
        return self._client.put_object(Bucket="bucket", Key=f"theirs/{number}", Body=self._value)

    def get(self, number: int) -> object:
        return self._client.get_object(Bucket="bucket", Key=f"theirs/{number}")["Body"].read()

    def delete(self, number: int) -> object:
        return self._client.delete_object(Bucket="bucket", Key=f"theirs/{number}")


def _cpu(verb: Verb, numbers: range) -> float:
    """Microseconds of this process' time for a call, those of its threads included."""
    begin = time.process_time()
    for number in numbers:
        verb(number)
    return (time.process_time() - begin) / len(numbers) * 1e6


def _wall(verb: Verb, numbers: range) -> float:
    """Seconds for all, by many threads."""
    with ThreadPoolExecutor(_THREADS) as pool:
        begin = time.perf_counter()
        list(pool.map(verb, numbers))
        return time.perf_counter() - begin


def run(folder: Path, quick: bool) -> list[Result]:
    """Client CPU of small operations, and large ones at once."""
    with moto(folder, keeping=True) as endpoint:
        small = _small(endpoint, 50 if quick else 300)
    with moto(folder) as endpoint:
        return small + _large(endpoint, 1 if quick else 7)


def _small(endpoint: str, count: int) -> list[Result]:
    value = os.urandom(_KB)
    ours, theirs = _Ours(endpoint, value), _Theirs(endpoint, value)
    mine: dict[str, list[float]] = {"put": [], "get": [], "delete": []}
    control: dict[str, list[float]] = {"put": [], "get": [], "delete": []}
    for side in (ours, theirs):  # the first call of each kind opens connections and loads what it needs
        side.put(-1), side.get(-1), side.delete(-1)
    for turn in range(5):
        numbers = range(turn * count, (turn + 1) * count)
        for verb in mine:
            mine[verb].append(_cpu(getattr(ours, verb), numbers))
            control[verb].append(_cpu(getattr(theirs, verb), numbers))
    results = []
    for verb, times in mine.items():
        fast, slow = statistics.median(times), statistics.median(control[verb])
        detail = f"{fast:.0f} µs, boto3 {slow:.0f} µs (medians of 5 rounds)"
        results.append(Result(f"{verb} of 1 KB in S3, client CPU", fast / slow, "x boto3", 0.3, True, detail))
    return results


def _large(endpoint: str, rounds: int) -> list[Result]:
    value = os.urandom(_MB)
    ours, theirs = _Ours(endpoint, value), _Theirs(endpoint, value)
    mine: dict[str, list[float]] = {"put": [], "get": []}
    control: dict[str, list[float]] = {"put": [], "get": []}
    _wall(ours.put, range(_THREADS)), _wall(theirs.put, range(_THREADS))
    for _ in range(rounds):
        for verb in mine:
            mine[verb].append(_wall(getattr(ours, verb), range(_MANY)))
            control[verb].append(_wall(getattr(theirs, verb), range(_MANY)))
        _wall(ours.delete, range(_MANY)), _wall(theirs.delete, range(_MANY))
    results = []
    for verb, times in mine.items():
        fast, slow = statistics.median(times), statistics.median(control[verb])
        detail = f"{fast * 1e3:.0f} ms, boto3 {slow * 1e3:.0f} ms"
        what = f"{verb} of 64 x 1 MB in S3 by 16 threads"
        results.append(Result(what, fast / slow, "x boto3", 1.0, True, detail))
    return results
