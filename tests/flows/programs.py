"""Programs that run flows in processes of their own: ``python -m tests.flows.programs WHAT STORE ARGUMENTS``."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import holdfast
from holdfast.flows.engine import Engine

from .callers import Calls

NAMESPACE = "prod"
namespace: holdfast.Scope
engine: Engine


def run(path: str, times: str, threads: str = "1") -> None:
    """Run a flow so many times, in so many threads, and print ``begun`` before and ``ended`` after them."""
    print("begun", flush=True)
    with ThreadPoolExecutor(int(threads)) as pool:
        outputs = list(pool.map(lambda _: engine.run(namespace, path), range(int(times))))
    print("ended", len(outputs), flush=True)


def start(path: str, given: str = "{}") -> None:
    """Begin an instance, print its id, and wait for it."""
    id = engine.start(namespace, path, given.encode())
    print(id, flush=True)
    try:
        print(engine.wait(namespace, id), flush=True)
    except holdfast.errors.FlowFailed as failed:
        print(failed.status, failed.error_code, flush=True)


def at_once(store: str, path: str, threads: str, *counts: str) -> None:
    """Run a flow so many times in each of several forks, which begin together; fails if one of them does."""
    children = []
    for count in counts:
        child = os.fork()
        if not child:
            try:
                work("run", store, path, count, threads)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(counts)


def work(what: str, store: str, *arguments: str) -> None:
    global namespace, engine
    with holdfast.open(store) as opened:
        namespace = opened.namespace(NAMESPACE)
        engine = Engine(opened, Calls())
        works: Any = {"run": run, "start": start}
        works[what](*arguments)
        engine.close()


if __name__ == "__main__":
    if sys.argv[1] == "at_once":
        at_once(*sys.argv[2:])
    else:
        work(*sys.argv[1:])
