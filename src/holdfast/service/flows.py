"""The flows of a service: one engine, how many instances it takes on, and what becomes of them when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Lock
from time import monotonic
from typing import Annotated, TypedDict, TypeVar

import msgspec

from ..aio.driver import Driver
from ..api import Scope, Store
from ..errors import DecodeError, HoldfastError, NotFoundError
from ..flows.engine import Engine
from ..flows.functions import Functions
from ..flows.functions.door import Door
from ..flows.instance import Limits
from ..flows.instances import InstanceInfo, Instances
from ..flows.record import CRASHED, PENDING
from ..flows.workers import Tell
from .problems import Refusal

__all__ = ["UNREADABLE", "Flows", "recorded"]

T = TypeVar("T")

_SHARE = 0.8  # of the time that ending may take: then what still runs is stopped, and who waits for it is told so
_LOOK = 0.05  # seconds between two looks whether all have ended
_BATCH = 200  # instances that are looked at before others may go on
_LATER = 40.0  # seconds after which it is known of all whether those who ran them are alive
_NAMED = 10  # instances that a report names
_STOPPED = "stopped"

UNREADABLE = (NotFoundError, DecodeError)
"""What :func:`recorded` raises for something that is not to keep others from being seen: none, or a damaged one."""


class _Above(TypedDict):
    id: str
    state: str
    branch: Annotated[str, msgspec.Meta(pattern="^[0-9]+/[0-9]+/[0-9]+$")]


def recorded(known: Instances, id: str) -> InstanceInfo:
    """What is recorded of an instance.

    Raises:
        NotFoundError: there is none of this id, or others, who may write there, wrote something that is none.
        DecodeError: it is damaged.
    """
    try:
        info = msgspec.convert(tuple(known.get(id)), InstanceInfo)
        msgspec.convert(info.lineage, tuple[_Above, ...])
        if info.id == id:
            return info
    except UNREADABLE:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        pass
    raise NotFoundError(f"what is recorded as the instance {id} is none")


class Flows:
    """Runs instances of flows for a service.

    Args:
        store: open, and left open.
        driver: of the store.
        functions: that flows may call; closed with this.
        most: instances at the same time.
        seconds: that each may take here; None for as long as it takes.

    Attributes:
        engine: what runs them.
        door: what answers ``/var`` and ``/log``.
        ended: how many have ended here, by what became of them.
    """

    def __init__(
        self, store: Store, driver: Driver, functions: Functions | None, most: int, seconds: float | None
    ) -> None:
        self._store, self._driver, self._most = store, driver, most
        self.engine = Engine(store, functions, limits=Limits(seconds=seconds), threads=most)
        self.door = Door() if functions is None else functions.door
        self.ended: dict[str, int] = {}
        self._tells: dict[object, Tell] = {}  # of what runs
        self._ending = False
        self._lock = Lock()

    @property
    def active(self) -> int:
        """How many run."""
        return len(self._tells)

    # --- running ------------------------------------------------------------------------------------------------------

    def start(self, namespace: Scope, path: str, given: bytes, tell: Tell) -> str:
        """Begin an instance, and give its id; see :meth:`Engine.start <holdfast.flows.engine.Engine.start>`.

        ``tell`` is called with ``stopped`` also when this ends, before what runs then has been stopped.

        Raises:
            Refusal: 503, there are too many, or this is ending.
            NotFoundError, InvalidArgumentError: there is no such workflow; it, or the input, is not legal.
        """
        return self._counted(tell, lambda done: self.engine.start(namespace, path, given, tell=done))

    def resume(self, namespace: Scope, id: str) -> None:
        """Go on with an instance that crashed.

        Raises:
            Refusal: 503, there are too many, or this is ending.
            NotFoundError, InvalidArgumentError: there is none of this id; it did not crash.
        """
        self._counted(lambda _: None, lambda done: self.engine.resume(namespace, id, tell=done))

    def _counted(self, tell: Tell, begin: Callable[[Tell], T]) -> T:
        with self._lock:
            if self._ending:
                raise Refusal(503, "closed", "the service is ending", [(b"retry-after", b"5")])
            if self.active >= self._most:
                told = f"more than {self._most} instances of flows at once: try again"
                raise Refusal(503, "busy", told, [(b"retry-after", b"1")])
            own = object()
            self._tells[own] = tell

        def done(status: str) -> None:
            with self._lock:
                self._tells.pop(own, None)
                self.ended[status] = self.ended.get(status, 0) + 1
            tell(status)

        try:
            return begin(done)
        except BaseException:
            with self._lock:
                self._tells.pop(own, None)
            raise

    def instances(self, namespace: Scope) -> Instances:
        """The instances of a namespace as they are now."""
        return self.engine.instances(namespace)

    # --- beginning and ending -----------------------------------------------------------------------------------------

    async def look_back(self, tell: Callable[[str, str], None], resume: bool) -> None:
        """Tell of instances that crashed before, and go on with them if that is wished.

        Those whose process may still be alive are looked at once more when that is certain.

        Args:
            tell: takes a message and its level.
            resume: whether to go on with them.
        """
        try:
            await self._look_back(tell, resume)
        except HoldfastError as error:
            tell(f"instances of flows that crashed before cannot be looked for: {error}", "error")

    async def _look_back(self, tell: Callable[[str, str], None], resume: bool) -> None:
        away = self._driver.away
        pending: dict[str, list[str]] = {}
        for namespace in await away(lambda: [scope.name for scope in self._store.children("namespace")]):
            pending[namespace] = await away(partial(self._ids, namespace))
        for pause in (0.0, _LATER):
            await asyncio.sleep(pause)
            for namespace, ids in pending.items():
                known, crashed, left = self.instances(self._store.namespace(namespace)), [], []
                for begin in range(0, len(ids), _BATCH):
                    found = await away(partial(self._unfinished, known, ids[begin : begin + _BATCH]))
                    crashed += [id for id, status in found if status == CRASHED]
                    left += [id for id, status in found if status == PENDING]
                pending[namespace] = left
                if crashed:
                    await self._report(tell, resume, namespace, crashed)

    def _ids(self, namespace: str) -> list[str]:
        return self.instances(self._store.namespace(namespace)).ids()

    @staticmethod
    def _unfinished(known: Instances, ids: list[str]) -> list[tuple[str, str]]:
        found = []
        for id in ids:
            with suppress(*UNREADABLE):
                info = recorded(known, id)
                if info.status in (PENDING, CRASHED) and not info.lineage:  # a subflow is gone on with by what calls it
                    found.append((id, info.status))
        return found

    async def _report(self, tell: Callable[[str, str], None], resume: bool, namespace: str, crashed: list[str]) -> None:
        named = ", ".join(crashed[:_NAMED]) + (", ..." if len(crashed) > _NAMED else "")
        done = "are gone on with" if resume else 'can be gone on with: PATCH each with {"status": "pending"}'
        tell(f"{len(crashed)} instances of flows in namespace:{namespace} crashed and {done}: {named}", "warning")
        for id in crashed if resume else ():
            while not self._ending:
                try:
                    await self._driver.away(partial(self.resume, self._store.namespace(namespace), id))
                except Refusal:
                    await asyncio.sleep(1.0)
                    continue
                except Exception as error:  # of whatever others wrote there
                    tell(f"the instance {id} in namespace:{namespace} is not gone on with: {error}", "error")
                break

    async def end(self, seconds: float, at_once: Callable[[], bool]) -> int:
        """Let what runs come to its end, but not for ever; what is stopped then can be resumed. Gives how many.

        Args:
            seconds: that all of it may take.
            at_once: asked whether to wait no more.
        """
        with self._lock:
            self._ending = True
        end = monotonic() + _SHARE * seconds
        while self.active and monotonic() < end and not at_once():
            await asyncio.sleep(_LOOK)
        with self._lock:
            left = list(self._tells.values())
        for tell in left:  # before it has been stopped, which takes its time: those who wait are not to be broken off
            tell(_STOPPED)
        await asyncio.to_thread(self.close)
        return len(left)

    def close(self) -> None:
        """Stop what runs, which can be resumed, and close the functions."""
        with self._lock:
            self._ending = True
        self.engine.close()
