"""What a call adds to the time of the function itself, against calling it barely in the same run."""

from __future__ import annotations

import http.client
import subprocess
import time
from collections.abc import Callable
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlsplit

import pytest

from .acting import World, file
from .serving import json_of, serving

MOST = 0.010  # seconds


def seconds(*works: Callable[[], Any]) -> list[float]:
    """Seconds of each, taken in turns: the lower quartile, as others may be busy here; the median is printed."""
    for work in works:
        work()
    times: list[list[float]] = [[] for _ in works]
    for _ in range(60):
        for work, taken in zip(works, times, strict=True):
            began = time.perf_counter()
            work()
            taken.append(time.perf_counter() - began)
    print(" ms, ".join(f"{median(taken) * 1e3:.2f}" for taken in times), "ms")
    return [quantiles(taken)[0] for taken in times]


@pytest.mark.alone
def test_a_command(world: World) -> None:
    world.put("instance", "x", b"1" * 1000)
    script = "cat > /dev/null; echo 1"
    functions = world.functions({"f": {"command": script, "shell": True}})
    action = world.action("f", file("x"))

    def bare() -> None:
        subprocess.run(["/bin/sh", "-c", script], input=b"null", capture_output=True, check=True)

    without, called = seconds(bare, lambda: functions.call(action))
    assert called - without < MOST


@pytest.mark.alone
def test_a_service(world: World) -> None:
    world.put("instance", "x", b"1" * 1000)
    with serving(lambda request: json_of(1)) as service:
        functions = world.functions({"f": {"url": service.url}})
        action = world.action("f", file("x"))

        def bare() -> None:
            connection = http.client.HTTPConnection(urlsplit(service.url).netloc)
            connection.request("POST", "/", b"null")
            connection.getresponse().read()
            connection.close()

        without, called = seconds(bare, lambda: functions.call(action))
    assert called - without < MOST
