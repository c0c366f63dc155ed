"""Who may come in: the machine that asks, the page that asks, the token, and how many at once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import count
from time import monotonic
from urllib.parse import urlsplit

from ..tokens import VERBS, Access
from .base import Exchange, Service
from .problems import Refusal

__all__ = ["Guard", "is_loopback"]

_EVERYTHING = Access(((),), frozenset(VERBS))
_ONCE = (
    b"host",
    b"origin",
    b"authorization",
    b"direktiv-token",
    b"content-length",
    b"content-type",
    b"if-match",
    b"if-none-match",
    b"range",
)
_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,100}")
_BEARER = re.compile(r"bearer +([!-~]+) *", re.IGNORECASE)
_LOOKED = 0.5  # seconds after which it is asked again whether there are tokens


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is of this machine alone."""
    host = host.strip("[]").lower()
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


class Guard:
    """What is asked of every request. ``loopback`` tells that only this machine can reach the service: then a request
    needs no token before the first one is made."""

    def __init__(self, service: Service, loopback: bool) -> None:
        self._service = service
        service.sign_in = self.sign_in
        self._needed = not loopback
        self._looked = float("-inf")
        self._ids = _ids()

    def request_id(self, exchange: Exchange) -> str:
        """The id that the client or a balancer gave the request, or a new one."""
        given = exchange.headers.get(b"x-request-id")
        if given is not None and _ID.fullmatch(given):
            return given.decode()
        return next(self._ids)

    def check_origin(self, exchange: Exchange) -> None:
        """Refuse what is ambiguous and, while no token is needed, what a page of another site or a name that was bound
        to this machine may have sent.

        Raises:
            Refusal: 400 or 403.
        """
        fields = exchange.fields()
        if len(fields) != len(exchange.headers):
            names = [name for name, _ in fields]
            for name in _ONCE:
                if names.count(name) > 1:
                    raise Refusal(400, "invalid_argument", f"the header field {name.decode()} is there several times")
        if self._needed:
            return
        host = exchange.header(b"host") or ""
        if not _is_here(host):
            raise Refusal(403, "forbidden", f"without tokens only this machine is served, not the host {host!r:.100}")
        origin = exchange.header(b"origin")
        if origin is not None and origin != f"http://{host}":
            raise Refusal(403, "forbidden", f"without tokens no page of {origin!r:.100} is served")
        if _is_of_another_page(exchange.headers):
            raise Refusal(403, "forbidden", "without tokens no page of another site is served")

    def check_room(self) -> None:
        """Refuse a request when there are too many.

        Raises:
            Refusal: 503.
        """
        most = self._service.limits.requests
        if len(self._service.active) > most:
            told = f"more than {most} requests at once: try again"
            raise Refusal(503, "busy", told, [(b"retry-after", b"1")])

    async def sign_in(self, exchange: Exchange) -> Access:
        """What the request's token allows; everything, while there is none and none is needed.

        Raises:
            Refusal: 401.
        """
        tokens, driver = self._service.tokens, self._service.driver
        if not self._needed and monotonic() > self._looked + _LOOKED:
            self._needed = await driver.look(tokens.in_use)
            self._looked = monotonic()
        text = exchange.header(b"authorization")
        if text is None and b"direktiv-token" in exchange.headers:
            text = f"Bearer {exchange.header(b'direktiv-token')}"  # as Direktiv's clients send it
        if not self._needed and (text is None or "hft_" not in text):  # one of ours opens no more than it says
            return _EVERYTHING
        match = _BEARER.fullmatch(text or "")
        if match is None:
            raise _unauthorized("a token is needed: send it as Authorization: Bearer hft_...", "")
        token = match[1]
        access = tokens.remembered(token) or await driver.look(lambda: tokens.check(token))
        if access is None:
            raise _unauthorized("this token is unknown, revoked or expired", ', error="invalid_token"')
        exchange.token = token.split("_")[1]
        return access


def _is_of_another_page(headers: Mapping[bytes, bytes]) -> bool:
    """True for a cross-site subresource request, which carries no ``Origin``; top-level navigation is allowed."""
    site = headers.get(b"sec-fetch-site", b"none")
    return site not in (b"none", b"same-origin") and headers.get(b"sec-fetch-mode") != b"navigate"


def _unauthorized(message: str, error: str) -> Refusal:
    challenge = f'Bearer realm="holdfast"{error}'.encode()
    return Refusal(401, "unauthorized", message, [(b"www-authenticate", challenge)])


@lru_cache(100)
def _is_here(host: str) -> bool:
    """Whether a ``Host`` is of this machine."""
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


def _ids() -> Iterator[str]:
    first = os.urandom(6).hex()
    for number in count(1):
        yield f"{first}-{number}"
