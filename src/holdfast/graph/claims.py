"""Several runs of a scope's graphs at the same time: none begins what another is about.

Each run that has something to compute says so in ``graph:running``, for as long as it lasts: a record under its id has
the keys. A lease says whether whoever runs it is alive. Who looks what there is to do, and says what he will do, is
alone meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from ..address import format_path
from ..lease import Lease, is_held, name_in
from ..scope import BaseScope
from .shelf import KIND

__all__ = ["RUNNING", "Claims", "is_alive"]

RUNNING = "running"
"""Name of the scope that has what runs are about."""

_SECONDS = 30.0  # of a lease, which is renewed


class Claims:
    """What one run is about, and what others are.

    Args:
        outer: runs that this one is run by a node of: what these are about may be this one itself.
    """

    def __init__(self, scope: BaseScope[Any], run: str, outer: Iterable[str]) -> None:
        self._scope: BaseScope[Any] = scope.scope(KIND, RUNNING)
        self._home = scope
        self._run = run
        self._outer = frozenset(outer)
        self._lease = Lease(scope._kernel, _name(scope, "run", run), _SECONDS, None, renew=True)
        self._own: list[str] = []

    @contextmanager
    def planning(self) -> Iterator[None]:
        """A block in which nobody else plans."""
        with Lease(self._home._kernel, _name(self._home, "graph"), _SECONDS, None, renew=True):
            yield

    def others(self) -> dict[str, str]:
        """Keys that other runs are about, and which; to be called while planning. What dead runs left is removed."""
        found: dict[str, str] = {}
        for run in list(self._scope.keys()):
            if run == self._run or run in self._outer:
                continue
            if is_alive(self._home, run):
                found.update(dict.fromkeys(self._scope.get(run, ()), run))
            else:
                self._scope.delete(run, missing_ok=True)
        return found

    def claim(self, keys: Iterable[str]) -> None:
        """Be about these as well."""
        new = list(keys)
        if not new:
            return
        self.live()
        self._own += new
        self._scope.put(self._run, self._own)

    def live(self) -> None:
        """Be known to be alive from here on."""
        if not self._lease.held:
            self._lease.acquire()

    def lasts(self, run: str) -> bool:
        """Whether another run is still about something."""
        return self._scope.exists(run) and is_alive(self._home, run)

    def end(self) -> None:
        """Be about nothing any more."""
        if self._lease.held:
            try:
                self._scope.delete(self._run, missing_ok=True)
            finally:
                self._lease.release()


def is_alive(scope: BaseScope[Any], run: str) -> bool:
    """Whether whoever runs it is alive."""
    return is_held(scope._kernel, _name(scope, "run", run))


def _name(scope: BaseScope[Any], *what: str) -> str:
    """Of a lease, for a scope."""
    return name_in(scope.path, "/".join((*what, sha256(format_path(scope.path).encode()).hexdigest()[:32])))
