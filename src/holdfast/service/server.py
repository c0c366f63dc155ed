"""Running the service: a socket, uvicorn on it, and an end that finishes what was taken on."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import math
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

from ..api import Store
from ..errors import HoldfastError, InvalidArgumentError, MissingExtraError, StoreError
from ..flows.functions import Functions
from ..tokens import Tokens
from .app import App, make_app
from .base import Limits, Service
from .direktiv.identity import tidy as tidy_ids
from .guard import is_loopback
from .journal import Journal
from .remote.routes import Remote

try:
    import uvicorn

    from .protocol import Connection, send_whole, sweep
except ImportError as missing:
    raise MissingExtraError('the service needs uvicorn: pip install "holdfast[service]"') from missing

__all__ = ["Server", "serve"]

_BACKLOG = 2048
_TIDY = 60.0  # seconds between two looks for what nobody needs any more


class Server(uvicorn.Server):
    """A server of one app on one socket; ``url`` is where it listens.

    Args:
        app: see :func:`~holdfast.service.app.make_app`.
        listener: bound, and closed with the server.
        listening: called with the URL when requests are answered.
        resume: whether to go on with instances of flows that crashed before.
    """

    def __init__(
        self,
        app: App,
        listener: socket.socket,
        listening: Callable[[str], object] | None = None,
        resume: bool = False,
    ) -> None:
        self._app, self._listener, self._listening, self._resume = app, listener, listening, resume
        limits = app.service.limits
        app.service.send_whole = send_whole
        kind = type("ServedConnection", (Connection,), {"service": app.service})
        super().__init__(uvicorn.Config(
            app, http=kind, loop="uvloop", ws="none", lifespan="off", log_config=None, log_level="critical",
            access_log=False, proxy_headers=False, server_header=False, backlog=_BACKLOG,
            timeout_keep_alive=math.ceil(limits.idle_time), timeout_graceful_shutdown=math.ceil(limits.shutdown_time),
        ))  # fmt: skip
        host, port = listener.getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def run(self, sockets: Any = None) -> None:
        """Serve until :meth:`stop`, or until this process is told to end, if it is its main thread."""
        logger, handler = logging.getLogger("holdfast"), _Forwarding(self._app.journal)
        logger.addHandler(handler)
        try:
            super().run([self._listener])
        finally:
            self._app.service.flows.close()
            logger.removeHandler(handler)

    async def startup(self, sockets: Any = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        service, journal = self._app.service, self._app.journal
        sweepers = (
            sweep(service, self.server_state.connections),
            _tidy(service),
            service.flows.look_back(journal.tell, self._resume),
        )
        self._sweepers = [asyncio.ensure_future(sweeper) for sweeper in sweepers]
        journal.tell(f"listening on {self.url}")
        if self._listening is not None:
            self._listening(self.url)

    async def shutdown(self, sockets: Any = None) -> None:
        """Take no more, finish what was taken on, and let those go who wait for changes."""
        service, journal = self._app.service, self._app.journal
        service.stop()
        told = f"{len(service.active)} requests and {service.flows.active} instances of flows are to be finished"
        journal.tell(f"ending: {told}")
        ending = asyncio.ensure_future(service.flows.end(service.limits.shutdown_time, lambda: self.force_exit))
        await super().shutdown(sockets)
        stopped = await ending
        if stopped:
            journal.tell(f"{stopped} instances of flows were stopped, and can be gone on with", "warning")
        for sweeper in self._sweepers:
            sweeper.cancel()

    def stop(self) -> None:
        """End, soon; may be called from any thread."""
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal as the wish to end, which is no failure of this process; a second one ends it at once."""
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


async def _tidy(service: Service) -> None:
    """Delete uploads that nobody committed, and ids of what is gone, now and then, for ever."""
    while True:
        await asyncio.sleep(_TIDY)
        with suppress(HoldfastError):
            await service.driver.away(partial(tidy_ids, service.store))
        remote = service.kernel.companions.get(Remote)
        if remote is not None:
            with suppress(HoldfastError):
                await service.driver.away(remote.shared.uploads.forget_old)


class _Forwarding(logging.Handler):
    """Tells the journal what the library logs."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        self._journal.tell(record.getMessage(), record.levelname.lower())


def serve(
    store: Store,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    limits: Limits = Limits(),  # noqa: B008  immutable
    journal: Journal | None = None,
    listening: Callable[[str], object] | None = None,
    functions: Functions | None = None,
    resume: bool = False,
) -> Server:
    """A server of a store; ``run()`` it.

    Args:
        store: open, and left open.
        host: name or address to listen on.
        port: number, 0 for any that is free.
        limits: what it takes on.
        journal: where requests and troubles are told.
        listening: called with the URL when it listens.
        functions: that flows may call; they are closed when it ends.
        resume: whether to go on with instances of flows that crashed before.

    Raises:
        InvalidArgumentError: others than this machine would be served, and there are no tokens.
        StoreError: it cannot listen there.
    """
    if not 0 <= port <= 65535:
        raise InvalidArgumentError(f"a port is a number from 0 to 65535, not {port}")
    loopback = is_loopback(host)
    if not loopback and not Tokens(store).in_use():
        raise InvalidArgumentError(
            f"without tokens only this machine is served, not {host}: make one by holdfast token create"
        )
    journal = journal or Journal(None)
    listener = _listen(host, port)
    _raise_open_files(limits)
    app = make_app(store, limits, journal=journal, loopback=loopback, functions=functions)
    return Server(app, listener, listening, resume)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET
    with suppress(ValueError):
        family = socket.AF_INET6 if ipaddress.ip_address(host.strip("[]")).version == 6 else family
    try:
        return socket.create_server((host.strip("[]"), port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise StoreError(f"the service cannot listen on {host}:{port}: {error}") from error


def _raise_open_files(limits: Limits) -> None:
    """Let this process have as many open files as its connections may take, as far as it is allowed to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.connections + 1024
    if soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
