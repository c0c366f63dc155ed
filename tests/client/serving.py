"""Services for the tests of the client: apps of many stores behind one server of this process, each at a path of its
own, as behind a proxy. So a test need not wait for a server's begin and end."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import holdfast
from holdfast.service.app import App, make_app
from holdfast.service.base import Limits
from holdfast.service.server import Server, serve
from holdfast.storages.http import HTTPStorage

__all__ = ["KEY", "Behind", "storage_at", "whole_host"]

KEY = hashlib.sha256(b"a key of these tests").hexdigest()
"""As ``HOLDFAST_KEY``."""


class Behind:
    """A server that sends each request to the app of the first part of its path.

    Attributes:
        calls: the paths that were asked for, without that part.
    """

    def __init__(self) -> None:
        self._apps: dict[bytes, App] = {}
        self._numbers = itertools.count()
        self._own = holdfast.open("memory:")
        ready, urls = threading.Event(), []

        def listening(url: str) -> None:
            urls.append(url)
            ready.set()

        self._server: Server = serve(self._own, port=0, listening=listening)
        first = self._server._app
        self.service, self.journal = first.service, first.journal
        self._server.config.app = self
        self.calls: list[str] = []
        self._thread = threading.Thread(target=self._server.run, name="served")
        self._thread.start()
        assert ready.wait(20)
        self.url = urls[0]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        name, _, rest = scope["raw_path"][1:].partition(b"/")
        self.calls.append(rest.decode())
        if name not in self._apps:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b"nothing here"})
            return
        await self._apps[name]({**scope, "raw_path": b"/" + rest}, receive, send)

    @contextmanager
    def serving(self, store: holdfast.Store, limits: Limits | None = None, *, loopback: bool = True) -> Iterator[str]:
        """The URL of a service of an open store, until the block ends."""
        name = f"s{next(self._numbers)}"
        self._apps[name.encode()] = make_app(store, limits or Limits(), loopback=loopback)
        try:
            yield f"{self.url}/{name}"
        finally:
            del self._apps[name.encode()]

    def client(self, own: holdfast.Store, *, loopback: bool = True, **settings: Any) -> holdfast.Store:
        """A client of a service of its own, which ends with it, and the store that it serves too."""
        stack = ExitStack()
        stack.enter_context(own)
        try:
            store = holdfast.open(stack.enter_context(self.serving(own, loopback=loopback)), **settings)
        except BaseException:
            stack.close()
            raise
        store._kernel.companions[ExitStack] = stack
        return store

    def forget_tokens(self) -> None:
        """Have each token looked up again, as after the seconds for which it is remembered."""
        for app in self._apps.values():
            app.service.tokens._good.clear()

    def close(self) -> None:
        """End it."""
        self._server.stop()
        self._thread.join(60)
        self._own.close()


@contextmanager
def whole_host() -> Iterator[Behind]:
    """A server until the block ends."""
    host = Behind()
    try:
        yield host
    finally:
        host.close()


def storage_at(url: str, store: holdfast.Store) -> HTTPStorage:
    """The storage of a served store."""
    return HTTPStorage(f"{url}#{store._kernel.storage_id}")
