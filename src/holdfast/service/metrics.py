"""What the service counts, as text for Prometheus."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["Metrics"]

_BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class Metrics:
    """Counts of requests by route, method and status, their times, and bytes both ways."""

    def __init__(self) -> None:
        self._began = time.time()
        self._requests: defaultdict[tuple[str, str, int], int] = defaultdict(int)
        self._times: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(_BOUNDS) + 1))
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._bytes = [0, 0]

    def count(self, exchange: Any, route: Any, seconds: float) -> None:
        """Count a request that has ended."""
        template = "none" if route is None else route.template
        self._requests[template, exchange.method, exchange.status] += 1
        self._times[template][bisect_left(_BOUNDS, seconds)] += 1
        self._seconds[template] += seconds
        self._bytes[0] += exchange.received
        self._bytes[1] += exchange.sent

    def refuse(self, status: int) -> None:
        """Count a connection that was refused before there was a request."""
        self._requests["none", "none", status] += 1

    def text(self, active: int, instances: int, ended: Mapping[str, int]) -> str:
        """All of it, in the text format, with the number of requests that are being answered, of instances of flows
        that run, and of those that have ended."""
        return "\n".join((*self._lines(active), *_of_flows(instances, ended))) + "\n"

    def _lines(self, active: int) -> Iterator[str]:
        yield from _kind("holdfast_requests_total", "counter", "Requests answered.")
        for (template, method, status), number in self._requests.items():
            yield f'holdfast_requests_total{{route="{template}",method="{method}",status="{status}"}} {number}'
        yield from _kind("holdfast_request_seconds", "histogram", "Seconds until a request was answered.")
        for template, counts in self._times.items():
            total = 0
            for bound, number in zip((*_BOUNDS, "+Inf"), counts, strict=True):
                total += number
                yield f'holdfast_request_seconds_bucket{{route="{template}",le="{bound}"}} {total}'
            yield f'holdfast_request_seconds_sum{{route="{template}"}} {self._seconds[template]:.6f}'
            yield f'holdfast_request_seconds_count{{route="{template}"}} {total}'
        for way, number in zip(("received", "sent"), self._bytes, strict=True):
            yield from _kind(f"holdfast_{way}_bytes_total", "counter", f"Bytes of bodies {way}.")
            yield f"holdfast_{way}_bytes_total {number}"
        yield from _kind("holdfast_requests_active", "gauge", "Requests that are being answered.")
        yield f"holdfast_requests_active {active}"
        yield from _kind("holdfast_start_time_seconds", "gauge", "When this process began to serve.")
        yield f"holdfast_start_time_seconds {self._began:.3f}"


def _of_flows(active: int, ended: Mapping[str, int]) -> Iterator[str]:
    yield from _kind(
        "holdfast_instances_total", "counter", "Instances of flows that ended here, by what became of them."
    )
    for status, number in ended.items():
        yield f'holdfast_instances_total{{status="{status}"}} {number}'
    yield from _kind("holdfast_instances_active", "gauge", "Instances of flows that run here.")
    yield f"holdfast_instances_active {active}"


def _kind(name: str, kind: str, means: str) -> tuple[str, str]:
    return f"# HELP {name} {means}", f"# TYPE {name} {kind}"
