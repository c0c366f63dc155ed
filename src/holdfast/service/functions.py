"""``/var`` and ``/log``: what functions of flows ask for while they run. The id of an action is all that they need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any

from ..flows.functions.door import LOG, VAR, Reply
from .answer import Answer
from .base import Exchange, Service
from .routing import OPEN, Parameter, Route, Verb

__all__ = ["ROUTES"]

_AHEAD = 4  # pieces of a body that wait for who reads them


class _Body:
    """A body that is received in the loop and read in a thread.

    Attributes:
        wanted: done when somebody begins to read it; before that nobody needs to send it.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.wanted: asyncio.Future[None] = self._loop.create_future()
        self._pieces: SimpleQueue[bytes | None] = SimpleQueue()
        self._taken = asyncio.Event()
        self._ahead = 0
        self._begun = self._whole = False
        self._broken = False

    # --- in the thread ------------------------------------------------------------------------------------------------

    def read(self, size: int, /) -> bytes:
        """The next piece, as it came; nothing at the end.

        Raises:
            ConnectionError: no more of it is to come.
        """
        if self._whole:
            return b""
        if not self._begun:
            self._begun = True
            self._tell(self._want)
        piece = self._pieces.get()
        if piece is not None:
            self._tell(self._took)
            return piece
        self._whole = True
        if self._broken:
            raise ConnectionResetError("the body of a request broke off")
        return b""

    def _tell(self, what: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop is closed: it receives no more
            self._loop.call_soon_threadsafe(what)

    # --- in the loop --------------------------------------------------------------------------------------------------

    def _want(self) -> None:
        if not self.wanted.done():
            self.wanted.set_result(None)

    def _took(self) -> None:
        self._ahead -= 1
        self._taken.set()

    async def receive(self, exchange: Exchange, reading: asyncio.Future[Reply]) -> None:
        """Receive it, for as long as it is read.

        Raises:
            ClientDisconnected, Refusal: it did not come to its end; who reads is told so, too.
        """
        reading.add_done_callback(lambda _: self._taken.set())
        try:
            async for piece in exchange.pieces(exchange.service.limits.body):
                while self._ahead >= _AHEAD and not reading.done():
                    self._taken.clear()
                    await self._taken.wait()
                if reading.done():
                    return
                self._ahead += 1
                self._pieces.put(piece)
        except BaseException:
            self._broken = True
            raise
        finally:
            self._pieces.put(None)


async def _ask(exchange: Exchange) -> Answer:
    """Pass a request on to the door of the actions that run, which answers in a thread."""
    service, body = exchange.service, _Body()
    path, headers = exchange.raw_path.decode("latin-1"), {"content-type": exchange.header(b"content-type") or ""}
    answer = partial(service.flows.door.answer, path, exchange.method, exchange.raw_query, headers, body)
    asking = asyncio.ensure_future(service.driver.alone(answer))
    try:
        either: list[asyncio.Future[Any]] = [asking, body.wanted]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not asking.done():
            await body.receive(exchange, asking)
        return _answer_of(service, await asking)
    except BaseException:
        if not asking.done():
            await asyncio.wait([asking])  # nothing of it goes on when this has ended
        with suppress(BaseException):
            asking.exception()
        raise


def _answer_of(service: Service, reply: Reply) -> Answer:
    headers = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in reply.headers]
    if isinstance(reply.body, list | tuple):
        headers = [field for field in headers if field[0] != b"content-length"]
        return Answer(reply.status, headers, b"".join(reply.body))
    return Answer(reply.status, headers, service.streamed(iter(reply.body)))


_IN = {400: "scope or key is not legal", 403: "no action that runs has this aid"}
_KEPT = {409: "the namespace was dropped meanwhile", 507: "it has no room for that"}
_AID = Parameter("aid", "the id of the action, as its function was told it")
_OF_VAR = (_AID, Parameter("scope", "namespace, workflow or instance"), Parameter("key", "the variable's name"))
_VAR = {
    "GET": Verb(
        _ask, "The bytes of a variable, for a function that runs.", OPEN,
        {200: "its bytes; none where there is no such variable", **_IN}, _OF_VAR, gives="*/*", lenient=True,
    ),
    "POST": Verb(
        _ask, "Set a variable, for a function that runs.", OPEN, {200: "it is stored", **_IN}, _OF_VAR, "*/*",
        lenient=True,
    ),
}  # fmt: skip
_LOG = {
    "POST": Verb(
        _ask, "Write into the log of an instance, for a function that runs.", OPEN, {200: "it is written", **_IN},
        (_AID,), "*/*", lenient=True,
    ),
}  # fmt: skip

ROUTES: tuple[Route, ...] = (
    *(Route(VAR + end, _VAR) for end in ("", "/")),
    *(Route(LOG + end, _LOG) for end in ("", "/")),
)
"""For :data:`holdfast.service.routes.ROUTES`."""
